"""What was added is served in any order as it was given, by all layouts, processes and caches."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import zstruct
from tests.conftest import random_atoms, shrink_chunks
from zstruct import InputError, layouts
from zstruct.features import add
from zstruct.loading import Cache, StructureReader, ZarrStructureDataset
from zstruct.store import chunks
from zstruct.transforms import AddNoise, OnSample, RandomRotation

DTYPES = ("float64", "float32", "int16", "uint8", "bool")


def expected(parts, level, dtype):
    """What samples have: floats in the precision asked for, whole numbers as int64."""
    kind = np.dtype(dtype).kind
    served = {"f": "float64", "b": "bool"}.get(kind, "int64")
    return [part.astype(served)[0] if level == "structure" else part.astype(served) for part in parts]


@st.composite
def stores(draw):
    """Sizes of structures, and rows of features for each of them at some level."""
    n_atoms = draw(st.lists(st.integers(1, 9), min_size=1, max_size=12))
    level, dtype = draw(st.sampled_from(["atom", "structure", "row"])), draw(st.sampled_from(DTYPES))
    width = draw(st.integers(1, 5))
    if level == "row":
        counts = draw(st.lists(st.integers(0, 6), min_size=len(n_atoms), max_size=len(n_atoms)))
    else:
        counts = n_atoms if level == "atom" else [1] * len(n_atoms)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    parts = [rng.normal(0, 50, (n, width)) for n in counts]
    if dtype.startswith("f"):
        parts = [np.where(rng.random(part.shape) < 0.1, np.nan, part) for part in parts]
    elif dtype == "uint8":
        parts = [np.abs(part) for part in parts]
    return n_atoms, level, [part.astype(dtype) if dtype != "bool" else part > 0 for part in parts]


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(made=stores(), data=st.data())
def test_any_order_of_any_level(tmp_path_factory, made, data):
    n_atoms, level, parts = made
    rng, out = np.random.default_rng(0), tmp_path_factory.mktemp("any") / "s.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "_CHUNK_ROWS", {"atom": 8, "structure": 4})
        patch.setattr(chunks, "_CHUNKS_PER_SHARD", 2)
        zstruct.build([random_atoms(rng, n) for n in n_atoms], out, progress=False)
        add(out, "x", parts, level=level)
    zstruct.verify(out)
    cache = data.draw(st.sampled_from(["memory", None, Cache("memory", bytes=300)]))
    reader = StructureReader(out, ["energy"], "float64", features="x", cache=cache)
    served = expected(parts, level, parts[0].dtype)
    picked = data.draw(st.lists(st.integers(-len(parts), len(parts) - 1), max_size=20))
    batch = layouts.graph(reader.take(picked), as_numpy=True)
    found, edges = batch["features"], batch["ptr"]
    if level == "row":
        edges = batch["features_ptr"]
    elif level == "structure":
        edges = np.arange(len(picked) + 1)
    assert found.dtype == served[0].dtype
    for k, i in enumerate(picked):
        part = found[edges[k] : edges[k + 1]]
        assert_array_equal(part[0] if level == "structure" else part, served[i])
        assert_array_equal(reader[i]["features"], served[i])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with features of all three levels, which the tests only read, and those by structure."""
    rng, out = np.random.default_rng(20261120), tmp_path_factory.mktemp("serving") / "s.zarr"
    sizes = (3, 1, 8, 5, 5, 2, 7, 1, 4, 6, 8)
    parts = {
        "atom": [rng.normal(size=(n, 3)) for n in sizes],
        "structure": [rng.integers(0, 200, (1, 2)).astype("u1") for _ in sizes],
        "row": [rng.normal(size=(n % 4, 2)) for n in sizes],
    }
    with pytest.MonkeyPatch.context() as patch:
        shrink_chunks(patch)
        zstruct.build([random_atoms(rng, n) for n in sizes], out, progress=False)
        for level, values in parts.items():
            add(out, level, values, level=level)
    return out, parts


@pytest.fixture
def store(made):
    return made[0]


@pytest.fixture
def given_parts(made):
    return made[1]


@pytest.mark.parametrize("level", ["atom", "structure", "row"])
@pytest.mark.parametrize("layout", ["graph", "padded", "list"])
@pytest.mark.parametrize(("workers", "cache"), [(0, "memory"), (2, "shared")])
def test_loaders(store, sizes, given_parts, level, layout, workers, cache):
    data = ZarrStructureDataset(store, dtype="float64", features=level, cache=cache)
    assert data.input_size == given_parts[level][0].shape[1]
    served = expected(given_parts[level], level, given_parts[level][0].dtype)
    seen = []
    for batch in data.loader(4, shuffle=True, layout=layout, num_workers=workers):
        if layout == "list":
            for sample in batch:
                seen.append(sample.structure)
                assert_array_equal(sample["features"], served[sample.structure])
            continue
        edges = {"atom": "ptr", "row": "features_ptr"}.get(level)
        for k, i in enumerate(batch["structure"].tolist()):
            seen.append(i)
            if level == "structure":
                found = batch["features"][k]
            elif layout == "graph":
                found = batch["features"][batch[edges][k] : batch[edges][k + 1]]
            else:
                mask = batch["mask" if level == "atom" else "features_mask"][k]
                assert not batch["features"][k][~mask].any()
                found = batch["features"][k][mask]
            assert_array_equal(found, served[i])
    assert sorted(seen) == list(range(len(sizes)))


@pytest.mark.parametrize("level", ["atom", "structure", "row"])
def test_samples_join_again(store, given_parts, level):
    data = ZarrStructureDataset(store, features=level)
    samples = [data[i] for i in (3, 0, 7)]
    for batch, again in (
        (layouts.graph(data.take([3, 0, 7])), layouts.graph(pickle.loads(pickle.dumps(samples)))),
        (layouts.padded(data.take([3, 0, 7])), layouts.padded(samples)),
    ):
        assert batch.keys() == again.keys()
        for name in batch:
            assert_array_equal(batch[name], again[name])


@pytest.mark.parametrize("level", ["atom", "structure", "row"])
def test_layouts_of_libraries(store, given_parts, level):
    data = ZarrStructureDataset(store, features=level, neighbors=2.0)
    packed = data.take([3, 0, 7])
    graph = layouts.graph(packed)
    for batch in (
        layouts.mace(packed, ["H", "C", "O", "Ti"]),
        layouts.schnetpack(packed),
        layouts.fairchem(packed),
    ):
        assert_array_equal(batch["features"], graph["features"])
        if level == "row":
            assert_array_equal(batch["features_ptr"], graph["features_ptr"])
    bare = ZarrStructureDataset(store, features=level).take([3, 0, 7])
    if level == "row":
        with pytest.raises(ValueError, match="a physnet batch has no place for features"):
            layouts.physnet(bare)
    else:
        assert "features" in layouts.physnet(bare)


def test_batches_of_torch_geometric(store, given_parts):
    pytest.importorskip("torch_geometric")
    from torch_geometric.data import Batch

    data = ZarrStructureDataset(store, features="row")
    batch = layouts.pyg(data.take([3, 0, 7]))
    singles = [layouts.pyg(data.take([i])).get_example(0) for i in (3, 0, 7)]
    joined = Batch.from_data_list(singles, follow_batch=["features"])
    for name in ("features", "features_batch", "features_ptr"):
        assert_array_equal(batch[name], joined[name])
    for k, i in enumerate((3, 0, 7)):
        assert_array_equal(batch.get_example(k).features, given_parts["row"][i].astype("f4"))


@pytest.mark.parametrize("level", ["atom", "structure", "row"])
def test_transforms(store, given_parts, level):
    plain = ZarrStructureDataset(store, features=level)
    for transform in (
        RandomRotation(seed=1),
        RandomRotation(seed=1, p=0.5),
        OnSample(lambda sample: sample),
        OnSample(lambda sample: sample, p=0.5),
    ):
        turned = ZarrStructureDataset(store, features=level, transform=transform)
        for i in (2, 5):
            assert_array_equal(turned[i]["features"], plain[i]["features"])
    # As for stored features of descriptors: they would be those of where the atoms were.
    with pytest.raises(ValueError, match="AddNoise moves atoms, and features would still be those"):
        ZarrStructureDataset(store, features=level, transform=AddNoise(0.1))


def test_precision_and_integers(store, given_parts):
    assert ZarrStructureDataset(store, features="atom")[0]["features"].dtype == torch.float32
    double = ZarrStructureDataset(store, features="atom", dtype={"features": "float64"})
    assert_array_equal(double[4]["features"], given_parts["atom"][4])
    small = ZarrStructureDataset(store, features="structure", dtype={"features": "uint8"})
    assert small[0]["features"].dtype == torch.uint8
    assert (
        ZarrStructureDataset(store, features="structure", dtype="float32")[0]["features"].dtype == torch.int64
    )
    with pytest.raises(TypeError, match="features is stored as uint8"):
        ZarrStructureDataset(store, features="structure", dtype={"features": "float32"})


def test_views_and_edges(store, given_parts, sizes):
    data = ZarrStructureDataset(store, features="row", neighbors=2.0, dtype="float64").select("n_atoms > 4")
    which = np.flatnonzero(sizes > 4)
    for batch in data.loader(3):
        for k, i in enumerate(batch["structure"].tolist()):
            rows = batch["features"][batch["features_ptr"][k] : batch["features_ptr"][k + 1]]
            assert_array_equal(rows, given_parts["row"][i])
    assert len(data) == len(which)


def test_kept_features_are_computed_ones(store, given_parts):
    with pytest.raises(InputError, match="a cache keeps features that are computed"):
        ZarrStructureDataset(store, features="atom", cache=Cache("memory", features=True))
