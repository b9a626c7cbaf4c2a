"""Structures of a Dataset are written into a store of their own: those of its store, unchanged."""

import numpy as np
import pytest

import zstruct
from tests.building.test_round_trip import assert_same_store
from tests.conftest import random_atoms, shrink_chunks
from zstruct import InputError
from zstruct.store.store import Store


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    rng, path = np.random.default_rng(20261120), tmp_path_factory.mktemp("write") / "s.zarr"
    frames = [random_atoms(rng) for _ in range(30)]
    for k, atoms in enumerate(frames):
        atoms.info |= {"config_type": "ab"[k % 2]} | ({"many": k} if k % 3 else {})
        if k % 4 == 0:
            atoms.calc = None
    with pytest.MonkeyPatch.context() as patch:
        shrink_chunks(patch)
        zstruct.build(frames, path, progress=False)
    return path


def test_what_was_selected(path, tmp_path):
    selected = zstruct.open(path).zs.select("C and n_atoms > 2")
    report = selected.zs.write(tmp_path / "cut.zarr", progress=False)
    assert report.n_structures == selected.sizes["structure"] < 30
    zstruct.build(path, tmp_path / "same.zarr", select="C and n_atoms > 2", progress=False)
    assert_same_store(tmp_path / "same.zarr", tmp_path / "cut.zarr")


def test_in_any_order_and_more_than_once(path, tmp_path):
    ds = zstruct.open(path)
    ds.zs.isel([7, 2, 2, 29]).zs.write(tmp_path / "cut.zarr", progress=False)
    assert np.array_equal(
        Store(tmp_path / "cut.zarr").read("energy"), Store(path).read("energy")[[7, 2, 2, 29]], equal_nan=True
    )
    ds.sortby("n_atoms").zs.write(tmp_path / "sorted.zarr", encoding="float32", progress=False)
    assert (np.diff(Store(tmp_path / "sorted.zarr").read("n_atoms")) >= 0).all()
    assert Store(tmp_path / "sorted.zarr").dtype("positions") == np.float32


def test_without_what_was_left_out(path, tmp_path):
    ds = zstruct.open(path).drop_vars(["forces", "many", "has_many"])
    ds.zs.write(tmp_path / "cut.zarr", progress=False)
    fields = Store(tmp_path / "cut.zarr").fields
    assert "positions" in fields
    assert not {"forces", "many"} & set(fields)


@pytest.mark.parametrize("name", ["energy", "positions", "config_type", "many"])
def test_what_was_changed_is_refused_by_name(path, tmp_path, name):
    ds = zstruct.open(path).zs.isel(slice(3, 20)).compute()
    values = ds[name].values.copy()
    values[-1] = "c" if name == "config_type" else 7
    with pytest.raises(InputError, match=f"{name} is not what the store .* has: what was changed in memory"):
        ds.assign({name: (ds[name].dims, values)}).zs.write(tmp_path / "cut.zarr", progress=False)
    ds.zs.write(tmp_path / "cut.zarr", progress=False)


def test_nothing_is_no_store(path, tmp_path):
    with pytest.raises(InputError, match="this Dataset has no structure, and a store has at least one"):
        zstruct.open(path).zs.isel([]).zs.write(tmp_path / "cut.zarr", progress=False)
    assert not (tmp_path / "cut.zarr").exists()


def test_what_was_added_is_refused_by_name(path, tmp_path):
    ds = zstruct.open(path)
    with pytest.raises(InputError, match=r"has no score, which can't be written: .*drop_vars\(\['score'\]\)"):
        ds.assign(score=ds.energy * 2).zs.write(tmp_path / "cut.zarr")
    with pytest.raises(InputError, match="has lost positions"):
        ds.drop_vars("positions").zs.write(tmp_path / "cut.zarr")
    assert not (tmp_path / "cut.zarr").exists()
