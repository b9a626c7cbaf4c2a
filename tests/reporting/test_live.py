"""The page that reads a store itself, in Chromium: what it draws, what it fetches, and what it says.

Expected values are those of the store, ranges those that its shards name at their ends.
"""

import hashlib
import json
import mimetypes
import shutil
import threading
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

import ase.build
import numpy as np
import pytest
from PIL import Image

import zstruct
from tests.reporting.conftest import HOSTILE
from tests.servers import SECONDS_BETWEEN_LOOKS, Folder
from zstruct.errors import InputError
from zstruct.store import chunks
from zstruct.store.store import Store

READY = "document.documentElement.dataset.ready === 'yes'"
DIGESTS = """import("/page/store.js").then(async ({{Store}}) => {{
    const store = await Store.open(location.origin + "/x.zarr"), found = {{}};
    for (const name of {names}) {{
        const {{data}} = await store.read(name);
        const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
        const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
        found[name] = Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
    }}
    return found;
}})"""
ITS = "(node => node && node.textContent)(document.getElementById('{}'))"


class Counting(Folder):
    """Keeps what it was asked for: paths, ranges and how many bytes it sent; a folder is its page."""

    def answer(self, *, body):
        self.path = unquote(self.path) + ("index.html" if self.path.endswith("/") else "")
        super().answer(body=body)

    def say(self, status, data, headers, body):
        if body:
            self.server.sent.append((self.path.partition("?")[0], self.headers.get("Range"), len(data)))
        kind = mimetypes.guess_type(self.path)[0] or "text/html"
        super().say(status, data, {"Content-Type": kind, **headers}, body)


class Whole(Counting):
    """Knows no ranges, as the server of Python's library."""

    def answer(self, *, body):
        del self.headers["Range"]
        super().answer(body=body)


@contextmanager
def serving(folder, handler=Counting):
    """Serve a folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.folder, server.sent = folder, []
    thread = threading.Thread(target=server.serve_forever, args=(SECONDS_BETWEEN_LOOKS,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def until(page, condition):
    """Wait until an expression holds."""
    page.evaluate(
        f"""new Promise((done, failed) => {{
            const began = performance.now();
            (function look() {{
                if ({condition}) done(true);
                else if (performance.now() - began > 40000) failed(Error({json.dumps(condition)}));
                else setTimeout(look, 10);
            }})();
        }})"""
    )


@contextmanager
def opened(browser, server, where, ready=True, **look):
    """Open a page."""
    page = browser.page(f"http://127.0.0.1:{server.server_port}/{where}", **look)
    try:
        if ready:
            until(page, READY)
        yield page
    finally:
        page.close()


def text(page, name):
    return page.evaluate(ITS.format(name))


def show(page, row):
    """Ask for a structure by its number, and wait for it."""
    page.evaluate(
        f"(document.getElementById('number').value = {row}, document.getElementById('go').requestSubmit())"
    )
    until(page, f"document.documentElement.dataset.shown === '{row}'")


def details(page):
    lines = (
        "Array.from(document.querySelectorAll('#details tr'), r => Array.from(r.cells, c => c.textContent))"
    )
    return dict(page.evaluate(lines))


def differing(page, picture, name):
    """Return the pixels of a canvas, of a screenshot, that are not those of its corner."""
    page.evaluate(f"document.getElementById('{name}').scrollIntoView()")
    page.screenshot(picture)
    box = page.evaluate(f"JSON.stringify(document.getElementById('{name}').getBoundingClientRect())")
    left, top, width, height = (int(json.loads(box)[key]) + 2 for key in ("x", "y", "width", "height"))
    seen = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    part = seen[top : top + height - 6, left : left + width - 6]
    return (np.abs(part - part[0, 0]).max(axis=2) > 24).sum()


@pytest.fixture(scope="module")
def live(tmp_path_factory, path):
    """A folder with a store of hostile texts, and its page (not to be changed)."""
    folder = tmp_path_factory.mktemp("live")
    shutil.copytree(path, folder / path.name)
    made = zstruct.live_report(folder / path.name, folder / "page")
    assert (made.n_sampled, made.store) == (60, "../%3Cb%3Ehostile%26.zarr")
    return folder


@pytest.fixture(scope="module")
def served(live):
    with serving(live) as server:
        yield server


def test_the_sample_is_drawn_and_structures_are_shown_when_they_are_chosen(browser, live, served, pictures):
    store = Store(store_of(live))
    n_atoms, energy, offsets = (store.read(name) for name in ("n_atoms", "energy", "offsets"))
    with opened(browser, served, "page/") as page:
        assert page.evaluate("Number(document.getElementById('points').dataset.drawn)") == store.n_structures
        assert differing(page, pictures / "live-sample.png", "points") > 500
        assert page.evaluate("document.getElementById('viewer').dataset.atoms") is None
        # By the keyboard to the first along x, which is the number of atoms, and to the next one.
        page.evaluate("document.getElementById('marks').focus()")
        order = np.lexsort((np.arange(len(n_atoms)), n_atoms))
        for row in order[:2].tolist():
            page.press("ArrowRight")
            until(page, f"document.documentElement.dataset.shown === '{row}'")
            assert text(page, "title").startswith(f"Structure {row}: {n_atoms[row]} atoms, ")
            assert page.evaluate("Number(document.getElementById('viewer').dataset.atoms)") == n_atoms[row]
        show(page, 7)
        seen = details(page)
        value, unit = seen["energy"].split(" ")
        assert (float(value), unit) == (energy[7], "eV")
        assert seen["config_type"] == HOSTILE[7 % len(HOSTILE)]
        stress = list(map(float, seen["stress"].split(" ")[:6]))
        assert stress == store.read("stress")[7].tolist()
        assert "stress" not in (show(page, 6), details(page))[1]  # a molecule, which has none
        show(page, 7)
        assert differing(page, pictures / "live-structure.png", "viewer") > 1000
        page.evaluate("document.getElementById('forces').click()")
        until(page, "document.documentElement.dataset.shown === '7'")
        exact = page.evaluate(
            "import('/page/store.js').then(async ({Store}) => { const s = await Store.open("
            f"location.origin + '/{quote(store_of(live).name)}'); const g = await s.geometry(7);"
            "return [g.positions, g.numbers, g.cell, await s.forces(7)]; })"
        )
        rows = slice(offsets[7], offsets[8])
        names = ("positions", "numbers", "cell", "forces")
        for name, found in zip(names, exact, strict=True):
            expected = store.read(name)[7] if name == "cell" else store.read(name)[rows]
            assert found == expected.ravel().tolist()
        assert faults(page) == []


def store_of(folder):
    return next(folder.glob("*.zarr"))


def faults(page):
    """Return errors, and requests for anything but the page and the store."""
    found = page.faults()
    return [one for one in found if not str(one).startswith(("http://127.0.0.1:", "data:,"))]


def test_texts_are_no_markup(browser, live, served, pictures):
    with opened(browser, served, "page/", width=375, height=800, dark=True) as page:
        for row in range(5):
            show(page, row)
            assert details(page)["config_type"] == HOSTILE[row]
        page.screenshot(pictures / "live-narrow-dark.png")
        assert page.evaluate("window.hit === undefined")
        assert page.evaluate("document.querySelectorAll('img, svg, u, i[onmouseover], script').length") == 2
        assert text(page, "name") == "<b>hostile&.zarr"
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        assert faults(page) == []


@pytest.mark.parametrize(
    "encoding", [{"compression": "small", "decimal": True}, {"compression": "raw"}, {"dtype": "float32"}]
)
def test_all_arrays_of_all_forms_are_what_they_are(browser, live, encoding, tmp_path, monkeypatch):
    small = "decimal" not in encoding
    if small:  # tiny chunks would not be smaller as decimals
        monkeypatch.setattr(chunks, "_CHUNK_ROWS", {"atom": 64, "structure": 16})
        monkeypatch.setattr(chunks, "_CHUNKS_PER_SHARD", 2)
    rng, n = np.random.default_rng(5), 100 if small else 400
    edges = np.concatenate([[0], np.cumsum(rng.integers(1, 6, n))])
    atoms = int(edges[-1])
    forces = rng.integers(-(10**6), 10**6, (atoms, 3)) / 1e4
    forces[: edges[1]] = np.nan
    given = zstruct.sources.arrays(
        positions=rng.integers(-3000, 3000, (atoms, 3)) / 1e3,
        numbers=rng.choice([1, 8, 22], atoms).astype(np.uint8),
        offsets=edges,
        energy=rng.integers(-(2**45), 2**45, n) / 1e6,
        forces=forces,
        pbc=rng.random((n, 3)) < 0.5,
        cell=rng.integers(0, 90, (n, 3, 3)) / 10,
        config_type=rng.choice(["a", "ü€"], n),
    )
    zstruct.build(given, tmp_path / "x.zarr", encoding=encoding, progress=False)
    zstruct.live_report(tmp_path / "x.zarr", tmp_path / "page")
    store = Store(tmp_path / "x.zarr")
    if "decimal" in encoding:
        assert "scale_offset" in (tmp_path / "x.zarr/positions/zarr.json").read_text()
    names = [*store.array_names(), *store.array_names("index/default"), *store.array_names("index/sample")]
    with serving(tmp_path) as server, opened(browser, server, "page/") as page:
        found = page.evaluate(DIGESTS.format(names=json.dumps(names)))
    assert found == {name: hashlib.sha256(store.read(name).tobytes()).hexdigest() for name in names}


def test_only_chunks_that_hold_a_structure_are_fetched(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "_CHUNK_ROWS", {"atom": 64, "structure": 16})
    monkeypatch.setattr(chunks, "_CHUNKS_PER_SHARD", 4)
    rng = np.random.default_rng(6)
    edges = np.concatenate([[0], np.cumsum(rng.integers(1, 9, 150))])
    given = zstruct.sources.arrays(
        positions=rng.normal(size=(int(edges[-1]), 3)),
        numbers=np.full(int(edges[-1]), 29, np.uint8),
        offsets=edges,
        energy=rng.normal(size=150),
        forces=rng.normal(size=(int(edges[-1]), 3)),
    )
    path = tmp_path / "x.zarr"
    zstruct.build(given, path, progress=False)
    zstruct.live_report(path, tmp_path / "page", sample=50)
    with serving(tmp_path) as server, opened(browser, server, "page/") as page:
        first = {name.split("/c/")[0] for name, _, _ in server.sent if "/c/" in name}
        assert all(name.startswith("/x.zarr/index/sample/") for name in first)
        for row in (0, 70, 149):
            del server.sent[:]
            show(page, row)
            asked = [one for one in server.sent if "/c/" in one[0]]
            held = [chunk_of(path, name, part) for name, part, _ in asked if not part.startswith("bytes=-")]
            assert {array for array, _, _ in held} >= {"positions", "numbers", "offsets", "energy"}
            assert not any(array == "forces" for array, _, _ in held)
            rows = {
                "structure": (row, row + 1),
                "structure_edge": (row, row + 2),
                "atom": edges[row : row + 2],
            }
            store = Store(path)
            for array, start, stop in held:
                low, high = rows.get(store.dims(array)[0], (0, 1 << 60))
                assert max(start, low) < min(stop, high), (row, array)
        page.evaluate("document.getElementById('forces').click()")
        until(page, "document.documentElement.dataset.shown === '149'")
        assert [name for name, _, _ in server.sent if "/forces/" in name]
        del server.sent[:]
        show(page, 148)  # in chunks that are there
        show(page, 149)
        assert not [one for one in server.sent if "/positions/" in one[0]]


def chunk_of(store, name, part):
    """Return the array and the rows of the chunk that is at a range of a shard."""
    array, _, key = name.removeprefix("/x.zarr/").partition("/c/")
    grid = Store(store).grid(array)
    n = grid.shard_rows // grid.chunk_rows
    table = (store / array / "c" / key).read_bytes()[-16 * n - 4 : -4]
    places = np.frombuffer(table, "<u8").reshape(n, 2)
    first, last = map(int, part.removeprefix("bytes=").split("-"))
    chunk = places.tolist().index([first, last - first + 1])
    start = int(key.split("/")[0]) * grid.shard_rows + chunk * grid.chunk_rows
    return array, start, start + grid.chunk_rows


@pytest.fixture
def own(tmp_path, live):
    """A store and its page, to be changed."""
    return store_of(shutil.copytree(live, tmp_path / "own"))


def append(path):
    zstruct.append(path, [ase.build.molecule("CH3CH2OH")], progress=False)


def replace_codec(path):
    document = json.loads((path / "zarr.json").read_text())
    said = document["consolidated_metadata"]["metadata"]["positions"]
    said["codecs"][0]["configuration"]["codecs"][-2] = {"name": "zstd", "configuration": {"level": 1}}
    (path / "zarr.json").write_text(json.dumps(document))


def damage(path):
    shard = path / "positions/c/0/0"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)


def lose(path):
    (path / "numbers/c/0").unlink()


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        (
            append,
            [
                'no sample of its structures, as one that was appended to: run "zstruct live STORE"',
                "it had 60 structures, and has 61 now",
            ],
        ),
        (
            replace_codec,
            ["positions is stored with the codec zstd, which this page can't decode: run \"zstruct rewrite"],
        ),
        (damage, ["A chunk of positions does not have its checksum"]),
        (lose, ["numbers/c/0 is not there"]),
        (shutil.rmtree, ["zarr.json is not there"]),
    ],
)
def test_what_is_wrong_is_said(browser, own, change, sentences):
    change(own)
    with serving(own.parent) as server, opened(browser, server, "page/#3", ready=False) as page:
        for sentence in sentences:
            said = f"{ITS.format('problem')}.includes({json.dumps(sentence)})"
            until(page, f"!document.getElementById('problem').hidden && {said}")
        if change is append:  # what is asked for by its number is shown all the same
            until(page, READY)
            show(page, 60)
            assert text(page, "title").startswith("Structure 60: 9 atoms, not periodic")


def test_a_page_without_ranges_or_a_server_says_so(browser, own):
    with serving(own.parent, Whole) as server, opened(browser, server, "page/#3") as page:
        until(page, "document.documentElement.dataset.shown === '3'")  # small files are sent whole
        assert page.evaluate("document.getElementById('problem').hidden")
    page = browser.page(own.parent / "page" / "index.html")
    assert "Browsers let no page from disk read other files" in text(page, "problem")
    page.close()


def test_a_page_is_written_again_in_its_place_only(own, tmp_path):
    page = own.parent / "page"
    before = {file.name: file.read_bytes() for file in page.rglob("*") if file.is_file()}
    assert not zstruct.live_report(own, page).sample_made
    assert before == {file.name: file.read_bytes() for file in page.rglob("*") if file.is_file()}
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    for folder, says in ((other, "has other files"), (own / "page", "is in the store")):
        with pytest.raises(InputError, match=says):
            zstruct.live_report(own, folder)
    with pytest.raises(InputError, match="has no category 'energy' to draw a sample by; it has config_type"):
        zstruct.live_report(own, by="energy")
    made = zstruct.live_report(own, other / "page", store_url="https://example.org/x.zarr")
    assert (
        json.loads((other / "page/live.json").read_text())["store"]
        == made.store
        == "https://example.org/x.zarr"
    )
    assert made.served is None
    assert Path(zstruct.live_report(own).path) == own.with_name("<b>hostile&-live")
