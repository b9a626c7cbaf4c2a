"""What a build is given: lists that mix everything keep their order, the rest gets a sentence."""

import collections
import os
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zstruct
from zstruct.errors import InputError
from zstruct.sources.ase.source import AtomsSource
from zstruct.sources.inputs import expand
from zstruct.sources.xyz.source import XYZSource


def labelled(energy):
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.full((3, 3), energy))
    return atoms


@pytest.fixture
def file(tmp_path):
    """Write a file of two structures with the energies e and e + 0.5."""

    def write(energy):
        path = tmp_path / f"{energy}.xyz"
        ase.io.write(path, [labelled(energy), labelled(energy + 0.5)])
        return path

    return write


def built(given, tmp_path, **options):
    report = zstruct.build(given, tmp_path / "s.zarr", progress=False, overwrite=True, **options)
    store = zstruct.open(report.path)
    sources = [os.path.basename(str(s)) for s in store["source"].values.tolist()]
    return store["energy"].values.tolist(), sources, store["frame"].values.tolist()


def test_paths_and_atoms_mix_and_keep_their_order(tmp_path, file):
    given = [file(1.0), labelled(2.0), labelled(3.0), str(file(4.0)), labelled(5.0)]
    energies, _, frames = built(given, tmp_path)
    assert energies == [1.0, 1.5, 2.0, 3.0, 4.0, 4.5, 5.0]
    assert frames == [0, 1, 0, 1, 0, 1, 2]  # of the Atoms in the list, all of them together
    assert built(tuple(given), tmp_path)[0] == energies


def test_an_iterator_may_mix_too_and_hand_out_one_object_again_and_again(tmp_path, file):
    def steps():
        yield file(1.0)
        atoms = labelled(0.0)
        for energy in (2.0, 3.0):
            atoms.calc = SinglePointCalculator(atoms, energy=energy)
            yield atoms
        yield file(4.0)

    assert built(steps(), tmp_path)[0] == [1.0, 1.5, 2.0, 3.0, 4.0, 4.5]


def test_sources_mix_too(file):
    mine = AtomsSource([labelled(1.0)], label="mine")
    found, _ = expand([labelled(0.0), mine, labelled(2.0), XYZSource(file(1.0))])
    assert [s.label for s in found][:3] == ["atoms", "mine", "atoms"]
    assert [s.scan()[0].first_frame for s in found[:3]] == [0, 0, 1]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from("paf"), min_size=1, max_size=12))
def test_any_mixture_keeps_its_order(tmp_path, file, kinds):
    given, right = [], []
    for k, kind in enumerate(kinds):
        if kind == "a":
            given.append(labelled(float(k)))
            right.append(float(k))
        else:
            given.append(file(float(k)) if kind == "p" else XYZSource(file(float(k))))
            right += [float(k), k + 0.5]
    energies = []
    for source in expand(given)[0]:
        for piece in source.scan():
            for raw in source.read(piece):
                energies += raw.structure["energy"][0].values.tolist()
    assert energies == right


def test_what_is_no_atoms_among_atoms_is_a_bad_frame(tmp_path, file):
    given = [file(1.0), labelled(2.0), None, labelled(3.0)]
    with pytest.raises(InputError, match=r"atoms, frame 1: this is a NoneType, not an ase\.Atoms"):
        built(given, tmp_path)
    assert built(given, tmp_path, on_error="skip")[0] == [1.0, 1.5, 2.0, 3.0]


def test_many_atoms_are_one_source():
    frames = [bulk("Cu")] * 1000
    ((source,), _) = expand(frames)
    assert source.structures is frames


class Frame:
    """What a DataFrame looks like from outside."""

    def __iter__(self):
        return iter(["energy", "forces"])


Frame.__name__ = Frame.__qualname__ = "DataFrame"
Frame.__module__ = "pandas.core.frame"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"a.xyz": 1}, "can't build from dict, which maps names to values; give paths, ase.Atoms objects"),
        (collections.OrderedDict(), "can't build from collections.OrderedDict, which maps"),
        (
            Frame(),
            "can't build from pandas.DataFrame, which maps names to values; .*sources.arrays",
        ),
        ({"a.xyz"}, "set has no order, which a store keeps; give a list, such as sorted"),
        (5.0, "can't build from float; give paths"),
        (None, "can't build from NoneType"),
        (lambda: None, "can't build from function"),
        (Atoms, "can't build from type"),
        ([["a.xyz"]], "list is neither a path.*put what is in it into the list itself"),
        ([[molecule("H2O")]], "list is neither a path"),
        (["a.xyz", 5], "int is neither a path, an ase.Atoms object nor a source"),
        ([None], "NoneType is neither a path"),
        (np.arange(3.0), "numpy.float64 is neither a path"),
        ("", "'' can't be the path of an input"),
        ("a\0b", "can't be the path of an input"),
        (Path("s3://bucket/a.xyz"), "was a URL before pathlib took a slash out of it"),
    ],
)
def test_what_is_no_input(given, reason):
    with pytest.raises(InputError, match=reason):
        expand(given)


@pytest.mark.parametrize("given", [b"a.xyz", [b"a.xyz"]])
def test_bytes_are_no_path(given):
    with pytest.raises(TypeError, match="in text, not in bytes"):
        expand(given)


def test_stores_and_what_opens_them(tmp_path, file):
    path = zstruct.build(file(1.0), tmp_path / "s.zarr", progress=False).path
    reader = zstruct.StructureReader(path)
    for k, inputs in enumerate((path, Path(path), path + "/", [path], zstruct.Store(path), reader, [reader])):
        assert built(inputs, tmp_path / str(k))[0] == [1.0, 1.5]
    assert built([file(3.0), path, labelled(2.0)], tmp_path / "mixed")[0] == [3.0, 3.5, 1.0, 1.5, 2.0]
    assert built(reader[1:], tmp_path / "view")[0] == [1.5]
    with pytest.raises(InputError, match=r"can't build from xarray\.Dataset: .* is written by ds\.zs\.write"):
        zstruct.build(zstruct.open(path), tmp_path / "t.zarr")
    assert not (tmp_path / "t.zarr").exists()
    assert not (tmp_path / "t.zarr.building").exists()


def test_torch_datasets(tmp_path, file):
    pytest.importorskip("torch")
    path = zstruct.build(file(1.0), tmp_path / "s.zarr", progress=False).path
    data = zstruct.ZarrStructureDataset(path).select("energy > 1.2")
    assert built(data, tmp_path / "view")[0] == [1.5]
