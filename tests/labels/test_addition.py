"""Labels from elsewhere are kept whole, checked, shown, carried along; what does not fit is refused."""

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import zstruct
from tests.conftest import tree_bytes
from zstruct import InputError, StaleGroupError, StoreExistsError
from zstruct.cli import main
from zstruct.errors import ArgumentTypeError, CorruptStoreError, UnknownNameError
from zstruct.labels import add


def test_labels_are_kept_as_they_are(store, teacher):
    report = add(store, "teacher", **teacher)
    assert report.coverage == {"energy": 11, "forces": 11, "stress": 11}
    assert report.written
    assert report.n_failed == 0
    labels = zstruct.open_labels(store, "teacher")
    for name, values in teacher.items():
        assert_array_equal(labels.read(name), values)
        assert labels.present(name).all()
        own = zstruct.Store(store).fields[name]
        assert labels.fields[name] == own
    assert labels.failures() == {}
    zstruct.verify(store)


def test_the_store_itself_stays_as_it_is(store, teacher):
    before = {name: content for name, content in tree_bytes(store).items() if name != "zarr.json"}
    digest = zstruct.Store(store).digest
    add(store, "teacher", **teacher)
    after = tree_bytes(store)
    assert {name: after[name] for name in before} == before
    assert zstruct.Store(store).digest == digest
    assert_array_equal(zstruct.Store(store).read("energy"), zstruct.open(store).energy)


def test_missing_is_missing_and_never_zero(store, teacher, edges):
    energy, forces = teacher["energy"].copy(), teacher["forces"].copy()
    energy[[2, 10]] = np.nan
    for k in (0, 4, 10):
        forces[edges[k] : edges[k + 1]] = np.nan
    report = add(store, "x", energy=energy, forces=forces)
    assert report.coverage == {"energy": 9, "forces": 8}
    assert "forces of 8, energy of 9, 11 structures" in str(report)
    labels = zstruct.open_labels(store, "x")
    assert_array_equal(labels.read("energy"), energy)
    assert_array_equal(labels.read("forces"), forces)
    assert_array_equal(np.flatnonzero(~labels.present("forces")), [0, 4, 10])
    assert_array_equal(np.flatnonzero(~labels.present("energy")), [2, 10])
    low, high = zstruct.Store(store).array_attrs("labels/x/energy")["actual_range"]
    assert (low, high) == (np.nanmin(energy), np.nanmax(energy))
    zstruct.verify(store)


def test_a_list_has_an_item_for_each_structure_and_none_where_there_is_none(store, teacher, edges, sizes):
    forces = [teacher["forces"][a:b] for a, b in pairwise(edges)]
    energy = teacher["energy"].tolist()
    forces[3] = energy[5] = None
    add(store, "x", forces=forces, energy=energy, dipole=[[1.0, 0.0, k] for k in range(11)])
    labels = zstruct.open_labels(store, "x")
    assert_array_equal(np.flatnonzero(~labels.present("forces")), [3])
    assert_array_equal(np.flatnonzero(~labels.present("energy")), [5])
    assert_array_equal(labels.read("forces")[edges[4] :], teacher["forces"][edges[4] :])
    assert labels.fields["dipole"].rotates == "vector"


def test_whole_numbers_say_who_has_them(store, sizes, rng):
    spin = np.ma.masked_array(rng.integers(0, 4, 11), mask=np.arange(11) == 7)
    tags = [None if k == 2 else np.full(n, k) for k, n in enumerate(sizes)]
    report = add(store, "x", converged=np.arange(11) % 2 == 0, n_steps=spin, tags=tags)
    assert report.coverage == {"converged": 11, "n_steps": 10, "tags": 10}
    labels = zstruct.open_labels(store, "x")
    assert labels.presence == {"n_steps": "has_n_steps", "tags": "has_tags"}
    assert_array_equal(np.flatnonzero(~labels.present("n_steps")), [7])
    assert_array_equal(np.flatnonzero(~labels.present("tags")), [2])
    assert labels.fields["converged"].kind == "bool"
    assert set(labels.fields) == {"converged", "n_steps", "tags"}
    zstruct.verify(store)


def test_whole_numbers_for_a_float_are_missing_where_they_are_not_given(store, sizes):
    energy = [None if k == 4 else k for k in range(11)]
    charges = np.ma.masked_array(np.ones(50, int), mask=np.repeat(np.arange(11) == 2, sizes))
    report = add(store, "x", energy=energy, charges=charges)
    assert report.coverage == {"energy": 10, "charges": 10}
    labels = zstruct.open_labels(store, "x")
    assert_array_equal(labels.read("energy"), [np.nan if k is None else k for k in energy])
    assert_array_equal(np.isnan(labels.read("charges")), np.repeat(np.arange(11) == 2, sizes))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_of_atoms_keep_their_precision(store, teacher, dtype):
    forces = teacher["forces"].astype(dtype)
    add(store, "x", forces=forces, energy=teacher["energy"].astype(dtype))
    labels = zstruct.open_labels(store, "x")
    assert labels.read("forces").dtype == dtype
    assert labels.read("energy").dtype == np.float64
    assert_array_equal(labels.read("forces"), forces)
    add(store, "y", forces=forces, dtype="float32")
    assert zstruct.open_labels(store, "y").read("forces").dtype == np.float32


def test_units_are_those_of_the_store(store, teacher):
    from ase.units import Bohr, Hartree, kcal, mol

    add(store, "x", **teacher, units={"energy": "kcal/mol"})
    labels = zstruct.open_labels(store, "x")
    assert_allclose(labels.read("energy"), teacher["energy"] * kcal / mol, rtol=1e-14)
    assert_allclose(labels.read("forces"), teacher["forces"] * kcal / mol, rtol=1e-14)
    assert zstruct.Store(store).array_attrs("labels/x/energy")["source_units"] == "kcal/mol"
    add(store, "y", **teacher, units="atomic")
    labels = zstruct.open_labels(store, "y")
    assert_allclose(labels.read("forces"), teacher["forces"] * Hartree / Bohr, rtol=1e-12)
    assert_allclose(labels.read("stress"), teacher["stress"] * Hartree / Bohr**3, rtol=1e-12)
    add(store, "z", gap=teacher["energy"], units={"gap": "eV"})
    assert zstruct.open_labels(store, "z").fields["gap"].unit == "eV"


def test_stress_may_be_a_matrix_and_a_virial_becomes_one(store, rng):
    opened = zstruct.Store(store)
    full = rng.normal(size=(11, 3, 3))
    full = full + full.transpose(0, 2, 1)
    voigt = full[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    add(store, "x", stress=full)
    assert_allclose(zstruct.open_labels(store, "x").read("stress"), voigt)
    volume = np.abs(np.linalg.det(opened.read("cell")))
    report = add(store, "y", virial=full)
    periodic = int((volume > 0).sum())
    assert report.coverage == {"stress": periodic, "virial": 11 - periodic}
    labels = zstruct.open_labels(store, "y")
    here = volume > 0
    assert_allclose(labels.read("stress")[here], -voigt[here] / volume[here, None])
    assert_array_equal(labels.read("virial")[~here], full[~here])
    with pytest.raises(InputError, match="a virial becomes a stress: give one of them"):
        add(store, "z", virial=full, stress=voigt)
    skew = full.copy()
    skew[4, 0, 1] += 1
    with pytest.raises(InputError, match="structure 4: the stress is not symmetric"):
        add(store, "z", stress=skew)


def test_equal_structures_may_have_an_axis_of_atoms(tmp_path, rng):
    from tests.conftest import random_atoms

    zstruct.build([random_atoms(rng, 4) for _ in range(3)], tmp_path / "s.zarr", progress=False)
    forces, charges = rng.normal(size=(3, 4, 3)), rng.normal(size=(3, 4))
    add(tmp_path / "s.zarr", "x", forces=forces, charges=charges)
    labels = zstruct.open_labels(tmp_path / "s.zarr", "x")
    assert_array_equal(labels.read("forces"), forces.reshape(12, 3))
    assert_array_equal(labels.read("charges"), charges.reshape(12))


def test_arrays_of_files_and_tensors_will_do(store, teacher, tmp_path):
    np.savez(tmp_path / "teacher.npz", **teacher)
    with np.load(tmp_path / "teacher.npz") as file:
        add(store, "npz", file)
    np.save(tmp_path / "forces.npy", teacher["forces"])
    add(store, "mapped", forces=np.load(tmp_path / "forces.npy", mmap_mode="r"))
    add(store, "pieces", forces=iter(np.array_split(teacher["forces"], 3)))
    for name in ("npz", "mapped", "pieces"):
        assert_array_equal(zstruct.open_labels(store, name).read("forces"), teacher["forces"])
    torch = pytest.importorskip("torch")
    add(store, "torch", energy=torch.tensor(teacher["energy"], requires_grad=True))
    assert_array_equal(zstruct.open_labels(store, "torch").read("energy"), teacher["energy"])


def test_the_same_again_does_nothing_and_others_need_overwrite(store, teacher):
    add(store, "x", **teacher)
    before = tree_bytes(store)
    again = add(store, "x", **teacher)
    assert not again.written
    assert "there already, nothing to do" in str(again)
    assert tree_bytes(store) == before
    for change in ({"energy": teacher["energy"] + 1}, {"description": "new"}, {"units": "atomic"}):
        with pytest.raises(StoreExistsError, match="labels 'x' already, with other values, or another desc"):
            add(store, "x", **teacher | change)
    assert tree_bytes(store) == before
    add(store, "x", energy=teacher["energy"], description="new", overwrite=True)
    labels = zstruct.open_labels(store, "x")
    assert list(labels.fields) == ["energy"]
    assert labels.description == "new"
    with pytest.raises(InputError, match="differs from 'X' in case only"):
        add(store, "X", energy=teacher["energy"])
    assert not store.with_name(store.name + ".featurizing").exists()


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ({}, "there are no labels: give energy="),
        ({"energy": np.zeros(10)}, "energy: there are 10 rows, and the store has 11 structures and 50 at"),
        ({"energy": np.zeros(50)}, "energy: there are 50 rows, .*: give one for each structure"),
        ({"energy": 3.0}, "energy: it is one number"),
        ({"energy": np.zeros((11, 2))}, r"energy: a row has the shape \(2,\), and the field one number"),
        ({"forces": np.zeros((50, 2))}, r"forces: a row has the shape \(2,\), and the field numbers of"),
        ({"forces": np.zeros((11, 3))}, "forces: there are 11 rows, .*: give one for each atom"),
        ({"forces": np.zeros((50, 3), bool)}, "forces: it is a field of kind float, and these are of kind b"),
        ({"energy": np.array(["a"] * 11)}, "energy: .*holds <U1, not numbers|energy: it holds"),
        ({"energy": [1.0] * 9}, "energy: there are 9 items, and the store has 11 structures"),
        ({"forces": [np.zeros((3, 3))] * 11}, r"forces: item 1 has the shape \(3, 3\), and the structure 1"),
        ({"energy": [None] * 11}, "energy: it is missing for all structures"),
        ({"energy": np.r_[np.zeros(9), np.inf, 0]}, "energy of structure 9 is infinite"),
        ({"positions": np.zeros((50, 3))}, "positions is no label"),
        ({"force": np.zeros((50, 3))}, "there is no label 'force'; is it forces"),
        ({"dft_energy": np.zeros(11)}, "there is no label 'dft_energy'; is it energy"),
        ({"overwite": True}, "there is no label 'overwite'; is it overwrite"),
        ({"a b": np.zeros(11)}, "'a b' can't name a label"),
        ({"failure": np.zeros(11)}, "failure is no label"),
        ({"energy": np.zeros(11), "units": {"energy": "kg"}}, "the unit 'kg'"),
        ({"energy": np.zeros(11), "units": {"forces": "eV/A"}}, "there is no label 'forces'"),
        ({"energy": np.zeros(11), "units": {"energy": "bohr"}}, "no unit of energy"),
        ({"energy": np.zeros(11), "levels": {"gap": "atom"}}, "there is no label 'gap'"),
        ({"gap": np.zeros(11), "levels": {"gap": "row"}}, "that is 'atom' or 'structure'"),
        ({"energy": np.zeros(11), "dtype": "int8"}, "dtype is 'float32' or 'float64' or None"),
        ({"energy": np.zeros(11), "description": 3}, "description is a text, or None"),
        ({"fields": np.zeros(11)}, "fields is a mapping of names to labels"),
        ({"fields": {"energy": np.zeros(11)}, "energy": np.zeros(11)}, "energy is given twice"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_a_sentence(store, labels, sentence):
    with pytest.raises(InputError, match=sentence):
        add(store, "x", **labels)
    assert zstruct.Store(store).group_names("labels") == []
    assert not store.with_name(store.name + ".featurizing").exists()


def test_a_label_of_a_part_of_a_structure_is_refused(store, teacher, edges):
    forces = teacher["forces"].copy()
    forces[edges[6] + 2] = np.nan
    with pytest.raises(InputError, match="forces of structure 6 is NaN in some places"):
        add(store, "x", forces=forces)
    forces = teacher["forces"].copy()
    forces[edges[2] : edges[3], 1] = np.nan
    with pytest.raises(InputError, match="forces of structure 2 is NaN in some places"):
        add(store, "x", forces=forces)


def test_stale_labels_are_refused(store, teacher, frames, tmp_path):
    add(store, "x", **teacher)
    shutil.copytree(store / "labels", tmp_path / "kept")
    zstruct.build(frames, store, overwrite=True, progress=False)
    shutil.copytree(tmp_path / "kept", store / "labels")
    with pytest.raises(StaleGroupError, match=r"run zstruct.label or zstruct.labels.add again"):
        zstruct.open_labels(store, "x")
    energy = np.zeros(30)
    with pytest.raises(StoreExistsError, match="of other content than the store has now"):
        add(store, "x", energy=energy)
    add(store, "x", energy=energy, overwrite=True)
    zstruct.verify(store)
    with pytest.raises(InputError, match="has no set of labels 'y'; it has x"):
        zstruct.open_labels(store, "y")
    with pytest.raises(UnknownNameError, match="have no field 'forces'; they have energy"):
        zstruct.open_labels(store, "x").read("forces")


def test_a_rewrite_carries_them_along(store, teacher, tmp_path):
    teacher["energy"][3] = np.nan
    add(store, "x", **teacher)
    out = tmp_path / "small.zarr"
    zstruct.rewrite(store, out, compression="small", progress=False)
    zstruct.verify(out)
    ours, theirs = zstruct.open_labels(out, "x"), zstruct.open_labels(store, "x")
    assert ours.digest == theirs.digest
    assert_array_equal(ours.read("energy"), teacher["energy"])
    assert not add(out, "x", **teacher).written


def test_damage_is_found(store, teacher):
    add(store, "x", **teacher)
    file = store / "labels/x/energy/zarr.json"
    document = json.loads(file.read_text())
    document["attributes"]["kind"] = "category"
    file.write_text(json.dumps(document))
    with pytest.raises(CorruptStoreError, match="energy is of kind category"):
        zstruct.open_labels(store, "x")
    document["attributes"]["kind"] = "float"
    positions = file.parent.with_name("positions")
    file.parent.rename(positions)
    with pytest.raises(CorruptStoreError, match=r"labels/x/positions is among labels, and can be none"):
        zstruct.open_labels(store, "x")
    positions.rename(file.parent)
    document["attributes"]["coverage"] = 3
    file.write_text(json.dumps(document))
    with pytest.raises(CorruptStoreError):
        zstruct.verify(store)


def test_zero_has_no_sign(store):
    add(store, "x", energy=np.full(11, -0.0))
    assert not np.signbit(zstruct.open_labels(store, "x").read("energy")).any()


def test_info_says_what_labels_there_are(store, teacher, capsys):
    teacher["energy"][3] = np.nan
    add(store, "x", **teacher, description="of a test")
    assert main(["info", str(store)]) == 0
    assert "labels/x: forces, energy of 10, stress, added: of a test" in capsys.readouterr().out
    assert main(["info", "--json", str(store)]) == 0
    assert json.loads(capsys.readouterr().out)["groups"]["labels/x"]["manifest"]["class"] == "External"
    assert main(["verify", str(store)]) == 0
    assert "Labels('x'" in repr(zstruct.open_labels(store, "x"))


def test_types_that_are_none(store, teacher):
    with pytest.raises(ArgumentTypeError, match="overwrite is True or False"):
        add(store, "x", **teacher, overwrite=3)
    with pytest.raises(ArgumentTypeError, match="levels is a mapping"):
        add(store, "x", **teacher, levels=3)
    with pytest.raises(InputError, match="can't name labels"):
        add(store, "a/b", **teacher)
