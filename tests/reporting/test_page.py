"""The page in a browser: what is drawn, what is chosen, how long it takes, and that texts are texts."""

import re
import time

import numpy as np
import pytest
from ase.data.colors import jmol_colors

import zstruct
from tests.reporting.conftest import HOSTILE
from zstruct.reporting import findings

INK = """(id) => {
  const canvas = document.getElementById(id), pen = canvas.getContext("2d");
  const { data } = pen.getImageData(0, 0, canvas.width, canvas.height), seen = {};
  for (let k = 0; k < data.length; k += 4) {
    if (data[k + 3] < 200) continue;
    const key = [data[k] >> 3, data[k + 1] >> 3, data[k + 2] >> 3].join();
    seen[key] = (seen[key] || 0) + 1;
  }
  return seen;
}"""


@pytest.fixture(scope="module")
def file(path, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "report.html"
    zstruct.report(path, out)
    return out


@pytest.fixture
def page(browser, file):
    opened = browser.page(file)
    yield opened
    opened.close()


def ink(page, canvas):
    """Return how many pixels of a canvas have each colour."""
    return page.evaluate(f"({INK})({canvas!r})")


def shown(page):
    return int(value(page, "viewer", "structure"))


def put(page, name, value):
    """Give a field of the page another value, as a user does."""
    page.evaluate(
        f"(() => {{ const x = document.getElementById({name!r}); x.value = {value!r};"
        " x.dispatchEvent(new Event('change')); })()"
    )


def pick(page, name, words):
    """Choose what has these words."""
    options = f"[...document.getElementById({name!r}).options]"
    put(page, name, page.evaluate(f"{options}.find(o => o.textContent === {words!r}).value"))


def box(page, name):
    """Return where a canvas is in the window: left, top, width, height."""
    script = (
        f"(b => [b.x, b.y, b.width, b.height])(document.getElementById({name!r}).getBoundingClientRect())"
    )
    return page.evaluate(script)


def texts(page, selector):
    return page.evaluate(f"[...document.querySelectorAll({selector!r})].map(x => x.textContent)")


def rows(page, selector):
    """Return the texts of a table, row by row."""
    return page.evaluate(
        f"[...document.querySelectorAll({selector + ' tr'!r})].map(r => [...r.cells].map(c => c.textContent))"
    )


def details(page):
    return dict(rows(page, "#details"))


def value(page, name, key):
    return page.evaluate(f"document.getElementById({name!r}).dataset[{key!r}]")


def test_texts_are_texts_and_nothing_is_asked_for(page, file, pictures):
    page.screenshot(pictures / "report-light.png")
    assert page.faults() == []
    assert page.evaluate("window.hit") is None
    body = page.evaluate("document.body.textContent")
    for text in ("<b>hostile&.zarr", "<i onmouseover=alert(1)>", "</td><u>test", *HOSTILE):
        assert text in body, text
    tags = set(page.evaluate("[...document.querySelectorAll('*')].map(x => x.tagName.toLowerCase())"))
    assert not tags & {"img", "iframe", "u", "s", "b", "object", "link"}
    assert page.evaluate("document.querySelectorAll('script').length") < 30
    on = page.evaluate(
        "[...document.querySelectorAll('*')].flatMap(x => x.getAttributeNames()).filter(x => /^on/.test(x))"
    )
    assert on == []
    assert "://" not in re.sub(r"<script type=.*?</script>", "", file.read_text(), flags=re.DOTALL)


def test_a_script_that_came_in_would_not_run(page):
    page.evaluate(
        "(() => { const x = document.createElement('script'); x.textContent = 'window.hit = 5';"
        " document.body.append(x); const image = '<img src=x onerror=\"window.hit=6\">';"
        " document.body.insertAdjacentHTML('beforeend', image);"
        " return new Promise(r => setTimeout(r, 100)); })()"
    )
    assert page.evaluate("window.hit") is None


def test_sections_tell_what_is_in_the_store(page, structures):
    assert texts(page, "h2") == [
        "Structures", "Summary", "Fields", "Composition", "Sizes", "Energies", "Forces", "Stress",
        "Shortest distances", "Splits", "Duplicates and leaks", "Outliers",
    ]  # fmt: skip
    titanium = sum("Ti" in atoms.symbols for atoms in structures)
    symbols = texts(page, "#composition g.there text:not(.count)")
    assert symbols == ["H", "C", "O", "Ti"]
    assert texts(page, "#composition g.there text.count")[3] == str(titanium)
    assert [row[:2] for row in rows(page, "#splits")[1:]] == [["train", "40"], ["</td><u>test", "20"]]
    assert "4 of 60 structures are in 2 groups of 2 to 2" in texts(page, "#duplicates")[0]
    bars = page.evaluate("document.querySelectorAll('#energies path.bar').length")
    assert bars == 2 * len(HOSTILE)


def test_every_structure_is_a_point_and_the_chosen_one_is_drawn(page, structures, pictures):
    assert value(page, "points", "drawn") == "60"
    assert texts(page, "#pick-x option:checked, #pick-y option:checked") == ["pca: <s>one", "pca: two"]
    for number in (1, 4):
        put(page, "number", number)
        assert shown(page) == number
        atoms = structures[number]
        assert value(page, "viewer", "atoms") == str(len(atoms))
        said = details(page)
        assert said["number of atoms"] == str(len(atoms))
        assert said["config_type"] == atoms.info["config_type"]
        energy = float(said["energy per atom (eV)"].replace("\N{MINUS SIGN}", "-"))
        assert energy == pytest.approx(atoms.calc.results["energy"] / len(atoms), rel=1e-4)
        seen = ink(page, "viewer")
        assert sum(seen.values()) > 2000
        for z in set(atoms.numbers.tolist()):
            near = [
                np.abs(np.array(key.split(","), int) * 8 + 4 - 255 * jmol_colors[z]).max() for key in seen
            ]
            assert min(near) < 24, f"no pixel has the colour of element {z}"
    page.screenshot(pictures / "report-structure.png")


def test_a_click_on_a_point_chooses_it_and_keys_go_on(page, structures):
    order = np.argsort([len(atoms) for atoms in structures], kind="stable")
    for name, words in (("x", "number of atoms"), ("y", "energy per atom (eV)"), ("color", "one colour")):
        pick(page, f"pick-{name}", words)
    left, top, width, height = box(page, "marks")
    sizes = np.array([len(atoms) for atoms in structures])
    energies = np.array([atoms.calc.results["energy"] / len(atoms) for atoms in structures])
    wanted = int(np.argmax(energies))

    def place(values, k):
        low, high = values.min(), values.max()
        pad = 0.02 * (high - low)
        return (values[k] - low + pad) / (high - low + 2 * pad)

    width, height = width - 68 - 14, height - 10 - 46
    page.click(left + 68 + width * place(sizes, wanted), top + 10 + height * (1 - place(energies, wanted)))
    assert shown(page) == wanted
    page.evaluate("document.getElementById('marks').focus()")
    rank = int(np.flatnonzero(order == wanted)[0])
    page.press("ArrowLeft")
    assert shown(page) == order[rank - 1]
    page.press("ArrowRight")
    assert shown(page) == wanted
    page.press("ArrowUp")
    assert shown(page) == wanted, "it is the highest"
    before = ink(page, "viewer")
    page.evaluate("document.getElementById('viewer').focus()")
    page.press("ArrowLeft")
    assert ink(page, "viewer") != before, "the structure is turned"
    page.press("0")
    assert ink(page, "viewer") == before


def test_a_box_shows_a_part_and_a_double_click_all(page):
    left, top, width, height = box(page, "marks")
    page.mouse("mouseMoved", left + 100, top + 40)
    page.mouse("mousePressed", left + 100, top + 40)
    page.mouse("mouseMoved", left + width / 2, top + height / 2)
    page.mouse("mouseReleased", left + width / 2, top + height / 2)
    drawn = int(value(page, "points", "drawn"))
    assert 0 < drawn < 60
    page.evaluate("document.getElementById('marks').dispatchEvent(new MouseEvent('dblclick'))")
    assert value(page, "points", "drawn") == "60"


def test_keys_show_a_part_around_the_chosen_structure_and_all(page):
    page.evaluate("document.getElementById('marks').focus()")
    for _ in range(3):
        page.press("+")
    assert 0 < int(value(page, "points", "drawn")) < 60
    page.press("-")
    page.press("Escape")
    assert value(page, "points", "drawn") == "60"
    outline = "getComputedStyle(document.getElementById('marks')).outline{}"
    assert page.evaluate(outline.format("Style")) == "solid"
    assert float(page.evaluate(outline.format("Offset")).removesuffix("px")) < 0, "the stage would cut it off"


def test_what_the_page_names_is_a_click_away(page, structures):
    names = texts(page, "#outliers [data-show]")
    fmax = [
        np.linalg.norm(atoms.calc.results["forces"], axis=1).max() if "forces" in atoms.calc.results else 0.0
        for atoms in structures
    ]
    assert [int(name) for name in names[:8]] == np.argsort(fmax)[::-1][:8].tolist()
    page.evaluate("document.querySelector('#outliers [data-show]').click()")
    assert shown(page) == int(np.argmax(fmax))
    page.evaluate("document.getElementById('forces').click()")
    accent = [0xB3 >> 3, 0x26 >> 3, 0x1E >> 3]
    assert ink(page, "viewer").get(",".join(map(str, accent)), 0) > 20, "forces are arrows"


def test_cells_are_repeated(page, structures):
    put(page, "number", 1)
    put(page, "repeats", 2)
    assert value(page, "viewer", "atoms") == str(8 * len(structures[1]))


def test_dark_and_narrow(browser, file, pictures):
    page = browser.page(file, 375, 800, dark=True)
    page.screenshot(pictures / "report-dark-375.png")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 29)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    before = ink(page, "points")
    page.evaluate("document.getElementById('theme').click()")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert ink(page, "points") != before, "points are drawn anew"
    assert page.faults() == []
    page.close()


def test_a_number_that_is_not_in_the_page_is_said(browser, path, structures, tmp_path):
    zstruct.report(path, tmp_path / "few.html", select="n_atoms > 6", tolerance=None)
    page = browser.page(tmp_path / "few.html")
    few = [k for k, atoms in enumerate(structures) if len(atoms) > 6]
    absent = next(k for k in range(few[0], 60) if k not in few)
    put(page, "number", absent)
    assert shown(page) == next(k for k in few if k > absent)
    assert texts(page, "#title")[0].startswith(f"Structure {absent} is not in this page; here is ")
    page.close()


def test_a_page_without_room_for_any_structure_has_all_the_rest(browser, path, tmp_path, monkeypatch):
    monkeypatch.setattr(findings, "MOST_ATOMS", 1)
    made = zstruct.report(path, tmp_path / "none.html", tolerance=None)
    assert made.n_shown == 0
    page = browser.page(tmp_path / "none.html", dark=True)
    assert texts(page, "#look p")[0].startswith("None can be shown: ")
    page.evaluate("document.getElementById('theme').click()")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.faults() == []
    page.close()


@pytest.mark.long
def test_twenty_thousand_structures_hold_the_limits(browser, tmp_path, pictures):
    n, rng = 20_500, np.random.default_rng(5)
    counts = np.full(n, 62)
    total = int(counts.sum())
    path = tmp_path / "large.zarr"
    arrays = zstruct.sources.arrays(
        n_atoms=counts,
        numbers=rng.choice([1, 6, 8], total),
        positions=rng.uniform(0, 12, (total, 3)),
        energy=rng.normal(size=n),
        forces=rng.normal(size=(total, 3)),
    )
    zstruct.build(arrays, path, progress=False)
    made = zstruct.report(path, tmp_path / "large.html", tolerance=None)

    assert (tmp_path / "large.html").stat().st_size < 15_000_000
    assert 18_000 < made.n_shown <= 20_000
    began = time.monotonic()
    page = browser.page(tmp_path / "large.html")
    assert time.monotonic() - began < 10
    script = page.evaluate(
        "(() => { const [mark] = performance.getEntriesByName('first-picture');"
        " return mark.startTime - performance.getEntriesByType('navigation')[0].responseEnd; })()"
    )
    assert script < 3_000
    assert int(value(page, "points", "drawn")) == made.n_shown
    times = page.evaluate(
        "(() => { const next = document.getElementById('next'), viewer = document.getElementById('viewer');"
        " const once = () => { const began = performance.now(); next.click();"
        " viewer.getContext('2d').getImageData(0, 0, 1, 1); return performance.now() - began; };"
        " return Array.from({ length: 41 }, once); })()"
    )
    assert float(np.median(times)) < 50
    assert sum(ink(page, "viewer").values()) > 5_000
    page.screenshot(pictures / "report-20000.png")
    page.close()
