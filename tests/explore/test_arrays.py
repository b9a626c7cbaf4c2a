"""Arrays of a store as xarray indexes them: exact under any key, in threads, children and workers."""

import multiprocessing
import pickle
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from zstruct.explore import arrays
from zstruct.explore.arrays import StoredFormulas, StoredRows, StoredTexts, lazy
from zstruct.schema import FIELDS
from zstruct.store.chunks import choose_grid
from zstruct.store.files import shard_path
from zstruct.store.spec import ArraySpec, categories_specs, spec_of
from zstruct.store.store import Store
from zstruct.store.write import create, finish


def keys(n):
    """Indices along a dimension of length n, as NumPy and xarray both take them."""
    return st.one_of(
        st.slices(n),
        st.integers(-n, n - 1),
        st.lists(st.integers(-n, n - 1), max_size=6).map(lambda k: np.array(k, dtype=np.int64)),
        st.lists(st.booleans(), min_size=n, max_size=n).map(lambda k: np.flatnonzero(k)),
    )


def outer(values, key):
    """Return values indexed along each axis on its own, as xarray means it."""
    for axis in reversed(range(len(key))):
        values = values[(slice(None),) * axis + (key[axis],)]
    return values


@given(data=st.data())
@settings(max_examples=15)
@pytest.mark.parametrize(
    "name", ["energy", "cell", "spectrum", "positions", "numbers", "config_type", "site"]
)
def test_any_key_picks_what_numpy_picks(path, name, data):
    store = Store(path)
    field = store.fields[name]
    values = store.read(name)
    if field.kind == "category":
        values = np.array([*store.categories(name), None], dtype=object)[values]
    hold = data.draw(st.booleans())
    array = (StoredTexts if field.kind == "category" else StoredRows)(store, name, hold=hold)
    variable = lazy(field.dims, array, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "_READ_BYTES", data.draw(st.sampled_from([1, 300, 1 << 27])))
        for _ in range(3):
            key = tuple(data.draw(keys(n)) for n in values.shape)
            found = variable[key].to_numpy()
            if field.kind == "category":
                found = np.where(pd.isnull(found), None, found)
            np.testing.assert_array_equal(found, outer(values, key))


@given(data=st.data())
@settings(max_examples=15)
def test_formulas_of_any_key(path, structures, data):
    expected = np.array([a.get_chemical_formula("hill") for a in structures], dtype=object)
    variable = lazy(("structure",), StoredFormulas(Store(path)), {})

    for _ in range(2):
        key = data.draw(keys(40))
        assert np.array_equal(variable[key].to_numpy(), expected[key])


def test_few_rows_are_read_from_few_chunks(path, monkeypatch):
    read = []
    original = Store.read

    def spied(self, name, start=0, stop=None):
        if not name.startswith("shards/"):
            read.append((name, start, stop))
        return original(self, name, start, stop)

    monkeypatch.setattr(Store, "read", spied)
    ds = zstruct.open(path)
    read.clear()

    ds.energy[[0, 1, 39, 38]].values  # noqa: B018
    assert sorted(read) == [("energy", 0, 2), ("energy", 38, 40)]
    read.clear()
    ds.energy.mean()
    ds.energy.values.sum()
    ds.energy / ds.n_atoms
    ds.energy / ds.n_atoms
    assert sorted(read) == [("energy", 0, 40), ("n_atoms", 0, 40)]


def test_groups_do_not_read_everything_each(path, monkeypatch):
    rows = []
    original = Store.read

    def spied(self, name, start=0, stop=None):
        if name == "energy":
            rows.append(stop - start)
        return original(self, name, start, stop)

    monkeypatch.setattr(Store, "read", spied)
    ds = zstruct.open(path)

    assert ds.energy.groupby("formula").mean().size > 20
    assert sum(rows) <= 120


def test_operations_read_no_labels(path, monkeypatch):
    ds = zstruct.open(path)

    def fail(self, key):
        raise AssertionError("read")

    monkeypatch.setattr(StoredTexts, "read", fail)
    monkeypatch.setattr(StoredFormulas, "read", fail)

    assert (ds.energy / ds.n_atoms + ds.zs.fmax - ds.zs.energy_per_atom).shape == (40,)
    assert ds.energy.where(ds.n_atoms > 2).size > 0
    assert ds.energy[ds.n_atoms > 2].mean() < 0
    assert ds.energy.groupby("n_atoms").mean().size > 0
    assert ds.assign(x=2 * ds.energy).sortby("x").zs.isel([1, 2]).x.shape == (2,)


def test_pickles_carry_no_values(path):
    ds = zstruct.open(path)
    small = len(pickle.dumps(ds))
    ds.n_atoms.values, ds.formula.values, ds.config_type.values, ds.energy.values  # noqa: B018

    again = pickle.loads(pickle.dumps(ds))

    assert len(pickle.dumps(ds)) < small + 5_000
    xr.testing.assert_identical(again.load(), ds.compute())


def _of_child(queue, ds):
    queue.put((ds.energy.values.tolist(), ds.formula.values.tolist(), ds.positions.values.tolist()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_other_processes_read_it(path, method):
    ds = zstruct.open(path, chunks=None)  # threads of dask do not survive a fork
    expected = ds.energy.values.tolist(), ds.formula.values.tolist(), ds.positions.values.tolist()
    ds = zstruct.open(path, chunks=None)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_of_child, args=(queue, ds), daemon=True)
    child.start()
    try:
        assert queue.get(timeout=60) == expected
    finally:
        child.kill()
        child.join(10)


def test_threads_read_it(path):
    ds = zstruct.open(path)
    fresh = zstruct.open(path).load()

    def work(k):
        part = ds.isel(structure=slice(k, k + 7))
        return (
            part.energy.values.tolist(),
            part.config_type.fillna("").values.tolist(),
            part.formula.values.tolist(),
        )

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, list(range(33)) * 3))
    for k, (energies, labels, formulas) in zip(list(range(33)) * 3, found, strict=True):
        assert energies == fresh.energy.values[k : k + 7].tolist()
        assert labels == fresh.config_type.fillna("").values[k : k + 7].tolist()
        assert formulas == fresh.formula.values[k : k + 7].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("chunks", ["atom", pytest.param({}, marks=pytest.mark.long)], ids=str)
def test_workers_of_a_cluster_read_it(path, cluster, chunks):
    ds = zstruct.open(path, chunks=chunks)

    expected = zstruct.open(path, chunks=None)
    assert ds.forces.sum().compute().item() == pytest.approx(expected.forces.sum().item())
    mean = cluster.submit(lambda d: float((d.energy / d.n_atoms).mean()), ds).result()
    assert mean == pytest.approx(float((expected.energy / expected.n_atoms).mean()))


@pytest.mark.parametrize("name", ["energy", "n_atoms", "config_type", "numbers", "forces", "formula"])
@pytest.mark.parametrize("how", ["flip", "cut"])
def test_damage_is_told_with_the_name_of_the_array(path, tmp_path, name, how):
    bad = tmp_path / "bad.zarr"
    shutil.copytree(path, bad)
    array = "numbers" if name == "formula" and not (bad / "formula").exists() else name
    shard = next(f for f in sorted((bad / array / "c").rglob("*")) if f.is_file())
    content = bytearray(shard.read_bytes())
    content[20] ^= 1
    shard.write_bytes(content if how == "flip" else content[:30])

    ds = zstruct.open(bad)

    with pytest.raises(zstruct.CorruptStoreError, match=rf"bad\.zarr.*{array}"):
        ds[name].load()


def test_chunks(path):
    default, none, all_chunked = (zstruct.open(path, chunks=c) for c in ("atom", None, {}))
    rows, mapped, auto = (zstruct.open(path, chunks=c) for c in (7, {"structure": 10}, "auto"))

    assert default.energy.chunks is None
    assert default.forces.chunks is not None
    assert not none.chunks
    assert all_chunked.energy.chunks[0][0] % Store(path).grid("energy").shard_rows == 0
    assert rows.energy.chunks[0] == (7, 7, 7, 7, 7, 5)
    assert mapped.energy.chunks[0] == (10, 10, 10, 10)
    assert auto.energy.chunks == ((40,),)
    for ds in (default, none, all_chunked, rows, mapped, auto):
        assert all(v.chunks is None for v in ds.coords.variables.values())
        assert ds.data_vars.keys() == default.data_vars.keys()
        xr.testing.assert_identical(ds.compute(), none.compute())
        assert ds.zs.isel([3, 30]).zs.to_ase(1) == none.zs.to_ase(30)


def test_opening_ten_million_structures_reads_nothing_of_them(tmp_path):
    n, atoms = 10_000_000, 200_000_000
    path = tmp_path / "large.zarr"
    whole = {"coverage": n}
    lengths = {
        "numbers": atoms,
        "positions": atoms,
        "forces": atoms,
        "cell": n,
        "pbc": n,
        "energy": n,
        "source": n,
    }
    specs = [spec_of(FIELDS[name], name, rows, whole) for name, rows in lengths.items()]
    for name, rows, dims in (("n_atoms", n, "structure"), ("offsets", n + 1, "structure_edge")):
        grid = choose_grid(rows, 8)
        said = {"kind": "int", "rotates": "scalar"}
        dtype = "int32" if name == "n_atoms" else "int64"
        specs.append(ArraySpec(name, (dims,), (rows,), dtype, said, 0, grid))
    tables = [spec for spec, _ in categories_specs("source", ["a"])]
    said = {"n_structures": n, "n_atoms": atoms, "species": {"H": atoms}, "digest": "", "build": {}}
    create(path, [*specs, *tables], said)
    for spec in (*specs, *tables):
        for k in range(spec.grid.n_shards(spec.shape[0])):
            shard = shard_path(path, spec.path, k, len(spec.shape))
            shard.parent.mkdir(parents=True, exist_ok=True)
            shard.touch()
    finish(path, {}, {})
    zstruct.open(path)  # imports what it needs

    before = time.process_time()
    ds = zstruct.open(path)
    shown = repr(ds) + ds._repr_html_()
    part = ds.zs.__repr__() + repr(ds.energy[:0])
    took = time.process_time() - before

    assert took < 0.5
    assert "formula" in shown
    assert "10,000,000 structures" in part
    assert ds.sizes["atom"] == atoms
