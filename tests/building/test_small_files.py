"""Builds of many small files: they are interpreted together, and every one of them still counts."""

import pytest

import zstruct
from tests.conftest import tree_bytes
from zstruct import InputError
from zstruct.building import parse
from zstruct.store.store import Store

_HEAD = "2\nProperties=species:S:1:pos:R:3{} {}\n"


def _write(folder, n=40):
    """Write files of one structure each that differ in what they have."""
    folder.mkdir()
    for k in range(n):
        forces = ":forces:R:3" if k % 3 else ""
        said = [
            f"energy={-k - 0.5}",
            f"energy={-k} kind=a{k % 4}",
            'kind=b pbc="T T T" Lattice="9 0 0 0 9 0 0 0 9"',
        ]
        rows = [f"H 0 0 {i}.25" + (f" 0 {k}.5 {i}" if forces else "") for i in range(2)]
        (folder / f"f{k}.xyz").write_text(_HEAD.format(forces, said[k % 3]) + "\n".join(rows) + "\n")
    return folder


def test_together_they_give_what_they_give_alone(tmp_path, monkeypatch):
    folder = _write(tmp_path / "in")
    zstruct.build(folder, tmp_path / "together.zarr", progress=False)
    monkeypatch.setattr(parse, "_SMALL_BYTES", 0)
    zstruct.build(folder, tmp_path / "alone.zarr", progress=False)
    assert tree_bytes(tmp_path / "together.zarr") == tree_bytes(tmp_path / "alone.zarr")


def test_one_bad_file_among_them_is_named(tmp_path):
    folder = _write(tmp_path / "in")
    bad = folder / "f17.xyz"
    bad.write_text(bad.read_text().replace("17.5", "nan"))
    with pytest.raises(InputError, match=r"f17.xyz, frame 0: forces: some values are NaN"):
        zstruct.build(folder, tmp_path / "s.zarr", progress=False)
    report = zstruct.build(folder, tmp_path / "s.zarr", on_error="skip", progress=False)
    assert [(label, frame) for label, frame, _ in report.skipped] == [(str(bad), 0)]
    assert report.n_structures == 39


def test_files_of_which_filters_leave_nothing_are_no_source(tmp_path):
    folder = _write(tmp_path / "in")
    report = zstruct.build(folder, tmp_path / "s.zarr", filters={"max_energy": -10.0}, progress=False)
    labels = Store(tmp_path / "s.zarr").categories("source")
    assert len(labels) == report.n_structures == len(set(labels))
    assert str(folder / "f0.xyz") not in labels


def test_a_filter_that_fails_names_the_file(tmp_path):
    folder = _write(tmp_path / "in")
    with pytest.raises(InputError, match=r"f2.xyz, frame 0: the filter given as where= raised KeyError"):
        zstruct.build(
            folder,
            tmp_path / "s.zarr",
            filters=lambda frame: frame["no"] if frame.get("kind") == "b" and "forces" in frame else True,
            progress=False,
        )
