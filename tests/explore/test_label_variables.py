"""Labels beside a store's own, shown for whatever structures a Dataset has."""

import json
import shutil

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import zstruct
from tests.conftest import random_atoms, shrink_chunks
from tests.labels.potentials import failing
from zstruct import InputError

SIZES = (3, 1, 8, 5, 5, 2, 7)
EDGES = np.r_[0, np.cumsum(SIZES)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    rng, out = np.random.default_rng(20261120), tmp_path_factory.mktemp("labels") / "s.zarr"
    with pytest.MonkeyPatch.context() as patch:
        shrink_chunks(patch)
        zstruct.build([random_atoms(rng, n) for n in SIZES], out, progress=False)
    return out


@pytest.fixture
def store(made, tmp_path, small_chunks):
    return shutil.copytree(made, tmp_path / "s.zarr")


@pytest.fixture
def teacher(store, rng):
    labels = {
        "energy": rng.normal(size=7),
        "forces": rng.normal(size=(31, 3)),
        "stress": rng.normal(size=(7, 6)),
    }
    labels["energy"][2] = np.nan
    spins = np.ma.masked_array(np.arange(7), np.arange(7) == 1)
    zstruct.labels.add(store, "teacher", **labels, n_steps=spins, description="of a test")
    return labels


def test_all_of_them_are_there_lazily(store, teacher):
    ds = zstruct.open(store)
    found = ds.zs.labels("teacher")
    assert set(found.data_vars) == {"energy", "forces", "stress", "n_steps", "has_n_steps"}
    assert found.forces.chunks is not None
    for name, values in teacher.items():
        assert_array_equal(found[name], values)
        assert found[name].attrs["units"] == ds[name].attrs["units"]
    assert_array_equal(found.has_n_steps, np.arange(7) != 1)
    assert list(found.stress.voigt.values) == ["xx", "yy", "zz", "yz", "xz", "xy"]
    assert found.attrs["description"] == "of a test"
    assert json.loads(found.attrs["manifest"])["class"] == "External"
    assert_allclose(found.energy - ds.energy, teacher["energy"] - ds.energy.values)
    assert_array_equal(found.formula, ds.formula)


@pytest.mark.parametrize("which", [[5, 0, 3], slice(2, 6), [4], []])
def test_they_go_with_the_structures(store, teacher, which):
    part = zstruct.open(store).zs.isel(which)
    rows = np.arange(7)[which]
    found = part.zs.labels("teacher")
    assert_array_equal(found.energy, teacher["energy"][rows])
    atoms = [teacher["forces"][EDGES[k] : EDGES[k + 1]] for k in rows]
    assert_array_equal(found.forces, np.concatenate([np.empty((0, 3)), *atoms]))
    assert_array_equal(found.structure, part.structure)
    assigned = part.assign(e=found.energy, f=found.forces)
    assert_array_equal(assigned.zs.select("e > 0").e, [e for e in teacher["energy"][rows] if e > 0])


def test_failures_have_reasons(store):
    zstruct.label(store, failing, "x", progress=False)
    found = zstruct.open(store).zs.isel([2, 3, 5]).zs.labels("x")
    assert found.failure.values[1] == "RuntimeError: no five"
    assert_array_equal(found.failure.isnull(), [True, False, True])


def test_what_is_not_there_is_a_sentence(store, teacher):
    ds = zstruct.open(store)
    with pytest.raises(InputError, match="has no set of labels 'pupil'; it has teacher"):
        ds.zs.labels("pupil")
    with pytest.raises(InputError, match="no longer knows its store"):
        _forgetful(ds).zs.labels("teacher")


def _forgetful(ds):
    other = ds.copy()
    other.encoding = {}
    return other
