import errno
import shutil
import signal
import subprocess
import sys
import textwrap
from importlib import import_module

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from tests.full_store import write_full_store
from zstruct.errors import BuildLockedError, InputError, StoreExistsError, WriteError
from zstruct.exporters import Exporter, TextExporter


def labelled(atoms, k):
    atoms.calc = SinglePointCalculator(atoms, energy=-1.5 * k, forces=np.full((len(atoms), 3), 0.1 * k))
    atoms.info |= {"config_type": "odd" if k % 2 else "even", "k": k}
    return atoms


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "a.zarr"
    frames = [labelled(molecule("H2O") if k % 3 else bulk("Cu"), k) for k in range(20)]
    frames[4].calc = None
    del frames[5].info["k"]
    zstruct.build(frames, path, progress=False)
    return path


@pytest.fixture
def store(made, tmp_path):
    return shutil.copytree(made, tmp_path / "a.zarr")


class Blocks(Exporter):
    """Keeps what it is given."""

    def begin(self, target, contents):
        self.file, self.contents, self.blocks = target.open("w"), contents, []

    def write(self, block):
        self.blocks.append(block)
        if len(self.blocks) == getattr(self, "fails_at", 0):
            raise InputError("no place for this")

    def end(self):
        self.file.close()


class Lines(TextExporter):
    def head(self):
        return b"energies\n"

    def text(self, block):
        return "".join(f"{energy}\n" for energy in block.columns["energy"]).encode()


def test_blocks_have_what_the_store_has(store, tmp_path):
    exporter = Blocks()
    report = zstruct.export(store, tmp_path / "out", exporter, progress=False)
    reader = zstruct.Store(store)
    (block,) = exporter.blocks
    for name, spec in exporter.contents.fields.items():
        assert np.array_equal(block.columns[name], reader.read(name), equal_nan=spec.kind == "float"), name
    assert "formula" not in block.columns
    assert block.n_atoms.tolist() == np.diff(block.offsets).tolist()
    # What exporters keep to the end keeps nothing else in memory.
    assert all(rows.base is None for rows in (block.n_atoms, *block.present.values()))
    assert np.flatnonzero(~block.has("energy")).tolist() == [4]
    assert np.flatnonzero(~block.has("forces")).tolist() == [4]
    assert np.flatnonzero(~block.has("k")).tolist() == [5]
    assert block.has("config_type").all()
    assert not block.has("stress").any()
    assert exporter.contents.categories["config_type"] == ["even", "odd"]
    assert exporter.contents.most_atoms == 3
    assert exporter.contents.originals["frame"] == "zstruct_frame"
    assert (report.n_structures, report.n_atoms) == (20, reader.n_atoms)


def test_fields_come_with_the_names_of_their_inputs(tmp_path):
    atoms = molecule("H2O")
    atoms.info |= {"<R2>": 1.5, "source": "mine"}
    zstruct.build([atoms], tmp_path / "a.zarr", progress=False)
    exporter = Blocks()
    zstruct.export(tmp_path / "a.zarr", tmp_path / "out", exporter, progress=False)
    originals = exporter.contents.originals
    assert (originals["R2"], originals["input_source"]) == ("<R2>", "source")
    assert (originals["positions"], originals["source"]) == ("positions", "zstruct_source")


def test_selections_keep_their_order(store, tmp_path):
    for data, options, rows in [
        (store, {"select": "Cu"}, range(0, 20, 3)),
        (store, {"select": [7, 3, 3]}, [7, 3, 3]),
        (zstruct.StructureReader(store)[::-1], {}, range(19, -1, -1)),
        (zstruct.StructureReader(store).select("O"), {"select": "k > 15"}, [16, 17, 19]),
    ]:
        exporter = Blocks()
        zstruct.export(data, tmp_path / "out", exporter, overwrite=True, progress=False, **options)
        assert exporter.blocks[0].columns["frame"].tolist() == list(rows)
        assert exporter.contents.n_structures == len(rows)


def test_many_blocks_are_written_in_order(tmp_path, monkeypatch):
    frames = [labelled(molecule("H2O"), k) for k in range(200)]
    zstruct.build(frames, tmp_path / "a.zarr", progress=False)
    monkeypatch.setattr(import_module("zstruct.exporters.structures"), "_BLOCK_BYTES", 2000)
    zstruct.export(tmp_path / "a.zarr", tmp_path / "out", Lines(), workers=3, progress=False)
    head, *energies = (tmp_path / "out").read_text().split()
    assert head == "energies"
    assert list(map(float, energies)) == [-1.5 * k for k in range(200)]


def test_fields_are_chosen(store, tmp_path):
    exporter = Blocks()
    zstruct.export(store, tmp_path / "a", exporter, fields=["energy"], progress=False)
    assert list(exporter.contents.fields) == ["numbers", "positions", "cell", "pbc", "energy"]
    zstruct.export(store, tmp_path / "b", exporter, exclude=["energy"], progress=False)
    assert "energy" not in exporter.contents.fields
    with pytest.raises(InputError, match="has no field 'nrg'; it has numbers"):
        zstruct.export(store, tmp_path / "c", exporter, fields=["nrg"])
    with pytest.raises(InputError, match="has no field 'enrgy'; is it energy"):
        zstruct.export(store, tmp_path / "c", exporter, exclude=["enrgy"])


def test_what_fails_leaves_what_was_there(store, tmp_path):
    out = tmp_path / "out"
    out.write_text("before")
    with pytest.raises(StoreExistsError, match="is there already; give overwrite=True"):
        zstruct.export(store, out, Lines(), progress=False)
    failing = Blocks()
    failing.fails_at = 1
    with pytest.raises(InputError, match="no place for this"):
        zstruct.export(store, out, failing, overwrite=True, progress=False)
    assert failing.file.closed
    assert out.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "out"]
    zstruct.export(store, out, "packed-memmap", select="has(energy)", overwrite=True, progress=False)
    assert (out / "E.f64").is_file()
    zstruct.export(store, out, "packed-memmap", select="O and k > 8", overwrite=True, progress=False)
    with pytest.raises(StoreExistsError, match=r"out holds .*, which this format does not have"):
        zstruct.export(store, out, Lines(), overwrite=True, progress=False)
    with pytest.raises(StoreExistsError, match=r"a\.zarr holds zarr.json, which this format does not have"):
        zstruct.export(store, store, "packed-memmap", select="has(energy)", overwrite=True, progress=False)
    assert (out / "E.f64").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "out"]


@pytest.mark.parametrize(
    ("path", "options", "reason"),
    [
        ("out", {}, "the name does not say which format .* 'packed-memmap'"),
        ("out", {"format": "nothing"}, "no format 'nothing' to export to; those are"),
        ("out", {"format": "XYZ"}, "no format 'XYZ' to export to; is it 'xyz'"),
        ("out.xyz", {"select": "Ti"}, "nothing to export: the selection has no structures"),
        ("out.xyz", {"exclude": ["cell"]}, "a structure can't do without cell"),
        ("out.xyz", {"with_split": "mine"}, "has no split 'mine'|no such split|no split"),
        ("s3://bucket/out", {"format": "packed-memmap"}, "exports go to local files"),
        ("out", {"format": "packed-memmap", "selekt": "Cu"}, "export has no option 'selekt'; is it select?"),
        ("out", {"format": "packed-memmap"}, "structure 4 has no .*select='has"),
        ("out", {"format": "packed-memmap", "exclude": ["forces"]}, "has forces of every structure"),
    ],
)
def test_bad_options_are_sentences(store, tmp_path, monkeypatch, path, options, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=reason):
        zstruct.export(store, path, progress=False, **options)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zarr"]


def test_a_kill_leaves_a_directory_that_the_next_call_removes(store, tmp_path):
    code = textwrap.dedent("""
        import os, signal, sys, zstruct
        from zstruct.exporters import Exporter

        class Killed(Exporter):
            def begin(self, target, contents):
                target.write_text("part")

            def write(self, block):
                os.kill(os.getpid(), signal.SIGKILL)

        zstruct.export(sys.argv[1], sys.argv[2], Killed(), progress=False)
    """)
    out = tmp_path / "out.xyz"
    done = subprocess.run([sys.executable, "-c", code, store, out], check=False)
    assert done.returncode == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "out.xyz.exporting"]
    zstruct.export(store, out, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "out.xyz"]


def test_two_exports_to_one_target(store, tmp_path):
    class Other(Lines):
        def text(self, block):
            with pytest.raises(BuildLockedError, match=r"another process is exporting to .*out; wait"):
                zstruct.export(store, tmp_path / "out", Lines(), progress=False)
            return super().text(block)

    zstruct.export(store, tmp_path / "out", Other(), progress=False)
    assert len((tmp_path / "out").read_text().splitlines()) == 21


def test_a_directory_of_that_name_is_left_alone(store, tmp_path):
    (tmp_path / "out.exporting").mkdir()
    (tmp_path / "out.exporting" / "mine").write_text("precious")
    with pytest.raises(InputError, match="holds files, but no lock of zstruct"):
        zstruct.export(store, tmp_path / "out", Lines(), progress=False)
    assert (tmp_path / "out.exporting" / "mine").read_text() == "precious"


def test_a_full_disk_is_a_sentence(store, tmp_path):
    class Full(Lines):
        def append(self, text):
            raise OSError(errno.ENOSPC, "No space left on device", "x")

    with pytest.raises(WriteError, match=r"no space left on device; free some space there.*is as it was"):
        zstruct.export(store, tmp_path / "out", Full(), progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_a_name_that_is_too_long_is_a_sentence(store, tmp_path):
    for name in ("x" * 250 + ".xyz", "x" * 242 + ".xyz"):  # with what is made beside it, too
        with pytest.raises(InputError, match=r"can't write to .*: File name too long"):
            zstruct.export(store, tmp_path / name, progress=False)
    assert not [*tmp_path.glob("x*")]


def test_links_stay_links(store, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "out")
    zstruct.export(store, tmp_path / "link", Lines(), progress=False, overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "out").read_text().startswith("energies")


def test_only_text_is_compressed(store, tmp_path):
    with pytest.raises(InputError, match="only text is compressed as a whole"):
        zstruct.export(store, tmp_path / "a.npz.gz", progress=False)


def test_without_cells_none_is_lost(store, tmp_path):
    report = zstruct.export(store, tmp_path / "a", "packed-memmap", select="O and k > 8", progress=False)
    assert "cell" not in report.lost
    report = zstruct.export(store, tmp_path / "b", "packed-memmap", select="Cu", progress=False)
    assert {"cell", "pbc"} <= set(report.lost)
    assert "left out: cell, pbc, " in str(report)


def test_progress_is_shown(store, tmp_path, capsys, monkeypatch):
    import tqdm.auto

    made = []
    monkeypatch.setattr(tqdm.auto, "tqdm", lambda **options: made.append(options) or tqdm.tqdm(disable=True))
    zstruct.export(store, tmp_path / "a", Lines())
    assert made[0]["total"] == 20


def test_structures_of_a_dataset_are_known_by_their_labels(store, tmp_path):
    low = zstruct.open(store).zs.select("k > 17")
    report = zstruct.export(store, tmp_path / "out", Lines(), select=low.structure.values, progress=False)
    assert report.n_structures == 2


def test_what_a_store_has_beside_fields_is_said(tmp_path):
    path = tmp_path / "full.zarr"
    write_full_store(path)
    zstruct.features.add(path, "given", np.ones((8, 2)))
    zstruct.labels.add(path, "teacher", {"energy": np.arange(8.0)})
    zstruct.split(path, [4, 4], name="other")
    report = zstruct.export(path, tmp_path / "a.npz", progress=False, with_split="default")
    stay = "they stay in the store"
    assert report.lost == {
        "derivatives": f"chebyshev: {stay}",
        "features": f"chebyshev, given: {stay}",
        "labels": "teacher: labels= writes them",
        "neighbors": f"rc2: {stay}",
        "references": f"default: {stay}",
        "splits": "other: with_split= writes one of them",
        "statistics": f"all: {stay}",
    }
    assert "left out: features (chebyshev, given: they stay in the store)" in str(report)
    assert "split" in report.fields
    from_dataset = zstruct.open(path).zs.export(tmp_path / "b.npz", progress=False, with_split="default")
    assert from_dataset.lost == report.lost
