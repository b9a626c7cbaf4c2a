"""Features, edges and derivatives: those of the kernels, stored or computed, however they are read."""

import pickle
import shutil
import time
from types import SimpleNamespace

import ase
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch.utils.data import ConcatDataset, DataLoader

import zstruct
from tests.loading.groups import Bumps, structures_of, write_list
from zstruct import layouts
from zstruct.errors import CorruptStoreError, InputError, StaleGroupError, StoreFormatError
from zstruct.features.registry import register
from zstruct.geometry.neighbors import neighbor_list
from zstruct.loading import Cache, Edges, Shuffle, ZarrStructureDataset
from zstruct.schema import infer

ALL = ("edge_shift", "edge_vec", "edge_dist")
PICK = [7, 0, 52, 7, -3]


def opened(
    source, features=None, derivatives=None, neighbors=None, edges=None, dtype=torch.float64, **options
):
    if edges is not None:
        neighbors = Edges(neighbors, carry=edges)
    return ZarrStructureDataset(
        source.path, dtype=dtype, features=features, derivatives=derivatives, neighbors=neighbors, **options
    )


@pytest.fixture(scope="module")
def truth(featured):
    """What the descriptor and the neighbour list say of all structures together."""
    structures = structures_of(featured)
    found = neighbor_list(structures, 3.0)
    arrays = Bumps().derivatives(structures, found)
    dense = Bumps().expand(arrays, structures.numbers[found.indices], found.vectors)
    return structures, found, Bumps().values(structures, found), dense


def check(batch, truth, dtype=torch.float64, exactly=True):
    """Compare a batch in the graph layout with the truth, structure by structure."""
    structures, found, values, dense = truth
    compare = assert_array_equal if exactly else lambda a, b: assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    edge = 0
    for k, i in enumerate(batch["structure"].tolist()):
        first, last = structures.offsets[i : i + 2]
        start, stop = batch["ptr"][k : k + 2].tolist()
        pairs = slice(*found.offsets[[first, last]])
        here = slice(edge, edge + pairs.stop - pairs.start)
        edge = here.stop
        if "features" in batch:
            assert batch["features"].dtype == dtype
            compare(batch["features"][start:stop], values[first:last])
        for index in {"edge_index", "deriv_index"} & batch.keys():
            assert batch[index].dtype == torch.int64
            assert_array_equal(batch[index][0, here], found.centres[pairs] - first + start)
            assert_array_equal(batch[index][1, here], found.indices[pairs] - first + start)
        expected = {"edge_shift": found.shifts, "edge_vec": found.vectors, "edge_dist": found.distances}
        for name in expected.keys() & batch.keys():
            assert batch[name].dtype == dtype
            assert_allclose(batch[name][here], expected[name][pairs], rtol=0, atol=1e-12 if exactly else 1e-5)
        if "deriv_values" in batch:
            assert batch["deriv_values"].dtype == dtype
            compare(batch["deriv_values"][here], dense[pairs])
    for index in {"edge_index", "deriv_index"} & batch.keys():
        assert batch[index].shape == (2, edge)


SOURCES = {
    "stored": {"features": "bumps", "derivatives": "bumps", "neighbors": 3.0},
    "computed": {"features": Bumps(), "derivatives": Bumps(), "neighbors": 3.0},
}


@pytest.fixture(params=SOURCES)
def data(request, featured, plain):
    """All of it, from groups of a store or from a store that has none."""
    source = featured if request.param == "stored" else plain
    return opened(source, **SOURCES[request.param], edges=ALL)


def test_a_batch_has_what_the_kernels_say(data, truth):
    check(layouts.graph(data.take(PICK)), truth)
    check(layouts.graph(data.take(range(len(data)))), truth)


def test_stored_and_computed_are_equal_to_the_last_bit(featured, plain):
    stored, computed = (
        layouts.graph(opened(source, **SOURCES[which], edges=ALL).take(PICK))
        for which, source in (("stored", featured), ("computed", plain))
    )
    assert stored.keys() == computed.keys()
    for name in stored:
        assert torch.equal(stored[name], computed[name]), name


class TestDescriptorsThatAreStored:
    """``features=descriptor`` reads what an equal one has stored."""

    def test_they_are_read(self, featured, truth):
        for descriptor, name in ((Bumps(), "bumps"), (Bumps(2.5), "single")):
            data = ZarrStructureDataset(featured.path, features=descriptor)
            assert f"features: {name}, stored" in repr(data)
            by_name = ZarrStructureDataset(featured.path, features=name)
            assert torch.equal(*(layouts.graph(d.take(PICK))["features"] for d in (data, by_name)))
        check(layouts.graph(opened(featured, Bumps()).take(PICK)), truth)

    def test_beside_what_is_computed(self, featured, plain, truth):
        options = {"derivatives": Bumps(), "neighbors": 2.0, "edges": ALL}
        data = opened(featured, Bumps(), **options)
        assert "features: bumps, stored; edges: within 2 angstrom, computed" in repr(data)
        other = opened(plain, Bumps(), **options)
        batch, expected = (layouts.graph(d.take(PICK)) for d in (data, other))
        for name in expected:
            assert torch.equal(batch[name], expected[name]), name

    @pytest.mark.parametrize(
        "options",
        [
            {"features": Bumps(2.75)},  # another one
            {"features": Bumps(2.5), "dtype": torch.float64},  # stored with fewer digits
            {"features": Bumps(2.5), "dtype": {"features": torch.float64}},
            {"features": Bumps(), "transform": dict},
            {"features": Bumps(), "cache": Cache(features=10)},
        ],
        ids=str,
    )
    def test_else_they_are_computed(self, featured, options):
        assert "computed" in repr(ZarrStructureDataset(featured.path, **options))

    def test_stale_ones_are_not_read(self, featured, tmp_path, monkeypatch):
        monkeypatch.setattr("zstruct.store.store.Store.digest", property(lambda self: "another"))
        assert "computed" in repr(ZarrStructureDataset(featured.path, features=Bumps()))
        with pytest.raises(StaleGroupError):
            ZarrStructureDataset(featured.path, features="bumps")


def test_single_precision_of_positions_does_not_change_the_pairs(featured, plain, truth):
    for source, which in ((featured, "stored"), (plain, "computed")):
        data = opened(source, **SOURCES[which], edges=ALL, dtype=torch.float32)
        batch = layouts.graph(data.take(range(len(data))))
        check(batch, truth, torch.float32, exactly=False)
        assert batch["positions"].dtype == batch["cell"].dtype == torch.float32
        assert_array_equal(batch["positions"], source.columns["positions"].astype(np.float32))


def test_fields_that_are_needed_only_inside_stay_there(data):
    few = ZarrStructureDataset(data.store, ["energy"], neighbors=3.0)
    assert few.fields == ("energy",)
    assert list(few[4]) == ["energy", "edge_index", "edge_shift"]
    bare = ZarrStructureDataset(data.store, [], neighbors=Edges(3.0, carry=()))
    assert list(bare[4]) == ["edge_index"]


def test_samples_count_their_own_atoms(data, truth):
    batch = data.take(PICK)
    for k, i in enumerate(PICK):
        sample = data[i]
        assert (sample["edge_index"] < sample.n_atoms).all()
        alone = layouts.graph([sample])
        check(alone, truth)
        for name, tensor in batch[k].items():
            assert torch.equal(tensor, sample[name]), name
    again = pickle.loads(pickle.dumps(sample))
    assert again.per_pair == {"edge_index": ALL, "deriv_index": ("deriv_values",)}


def test_samples_join_as_a_batch_does(data):
    batch = layouts.graph(data.take(PICK))
    joined = layouts.graph([data[i] for i in PICK])
    assert joined.keys() == batch.keys()
    for name in batch:
        assert torch.equal(joined[name], batch[name]), name
    both = DataLoader(ConcatDataset([data, data]), 7, collate_fn=layouts.graph)
    assert sum(b["edge_index"].shape[1] for b in both) == 2 * sum(s["edge_index"].shape[1] for s in data)


def test_subsets(data, truth):
    part = data[[9, 3, 40, 8]][::-1]
    batch = layouts.graph(part.take([0, -1]))
    assert batch["structure"].tolist() == [8, 9]
    check(batch, truth)


@pytest.mark.parametrize(
    "cache",
    [
        *(pytest.param(kind, marks=pytest.mark.long) for kind in (("memory", None), (None, None))),
        ("memory", 4000),
        ("shared", None),
    ],
)
def test_any_cache(data, truth, cache):
    kind, budget = cache
    which = SOURCES["stored" if "stored" in repr(data) else "computed"]
    again = opened(SimpleNamespace(path=data.store), **which, edges=ALL, cache=Cache(kind, bytes=budget))
    for indices in np.random.default_rng(3).permutation(len(data))[:, None].tolist():
        check(layouts.graph(again.take(indices)), truth)
    check(layouts.graph(again.take(range(len(data)))), truth)


def test_the_budget_is_shared_by_the_caches(featured):
    data = opened(featured, **SOURCES["stored"], cache=Cache("memory", bytes=3000))
    assert len(data.caches) == 3
    assert sum(cache.cache_bytes for cache in data.caches) <= 3000 + len(data.caches)
    assert "BlockShuffleSampler" in repr(data.loader(4, shuffle=True))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(
    "options",
    [
        {"threads": 2},
        pytest.param({"num_workers": 2, "multiprocessing_context": "fork"}, marks=pytest.mark.long),
        {"num_workers": 1, "multiprocessing_context": "forkserver"},
        pytest.param({"num_workers": 1, "multiprocessing_context": "spawn"}, marks=pytest.mark.long),
    ],
    ids=str,
)
def test_loaders(data, truth, options):
    seen = []
    for batch in data.loader(8, Shuffle(seed=1), **options):
        check(batch, truth)
        seen += batch["structure"].tolist()
    assert sorted(seen) == list(range(len(data)))


def test_the_list_layout_keeps_pairs(data):
    samples = next(iter(data.loader(4, layout="list")))
    assert [s["edge_index"].shape[1] for s in samples] == [data[i]["edge_index"].shape[1] for i in range(4)]


def test_pickles(data, truth):
    data.take([1])
    check(layouts.graph(pickle.loads(pickle.dumps(data)).take(PICK)), truth)


def test_features_alone_are_one_more_field(featured, truth):
    data = opened(featured, features="bumps")
    assert list(data[5])[-1] == "features"
    check(layouts.graph(data.take(PICK)), truth)
    padded = layouts.padded(data.take(PICK))
    assert padded["features"].shape == (len(PICK), int(padded["n_atoms"].max()), 2)
    assert_array_equal(padded["features"][0, : padded["n_atoms"][0]], data[PICK[0]]["features"])
    assert_array_equal(opened(featured, features=Bumps())[5]["features"], data[5]["features"])


def test_pairs_have_no_place_in_the_padded_layout(data):
    with pytest.raises(ValueError, match="no rows for edge_index and deriv_index: use layout='graph'"):
        layouts.padded(data.take(PICK))


def test_a_list_by_name(featured, truth):
    data = opened(featured, neighbors="rc3", edges=["edge_dist", "edge_shift"])
    sample = data[8]
    assert list(sample)[-3:] == ["edge_index", "edge_dist", "edge_shift"]
    check(layouts.graph([sample]), truth)


def test_a_stored_list_of_another_cutoff_is_of_no_use(featured):
    data = opened(featured, neighbors=2.0)
    assert "edges: within 2 angstrom, computed" in repr(data)
    whole = neighbor_list(structures_of(featured), 2.0)
    assert layouts.graph(data.take(range(len(data))))["edge_index"].shape[1] == whole.n_pairs


def test_what_was_stored_in_single_precision(featured):
    data, exact = opened(featured, "single", "single"), opened(featured, Bumps(2.5), Bumps(2.5))
    found, expected = layouts.graph(data.take(PICK)), layouts.graph(exact.take(PICK))
    assert_allclose(found["features"], expected["features"], rtol=2e-7)
    assert_allclose(found["deriv_values"], expected["deriv_values"], rtol=5e-7, atol=1e-7)
    assert torch.equal(found["deriv_index"], expected["deriv_index"])


def test_dtypes_by_name(featured):
    asked = {"features": torch.float64, "edge_dist": torch.float64}
    data = opened(featured, "bumps", neighbors=3.0, edges=ALL, dtype=asked)
    sample = data[3]
    assert sample["features"].dtype == sample["edge_dist"].dtype == torch.float64
    assert sample["edge_vec"].dtype == sample["positions"].dtype == torch.float32
    with pytest.raises(KeyError, match=r"dtype names deriv_values; only .* energy, features$"):
        opened(featured, "bumps", dtype={"deriv_values": torch.float64})


def test_nothing_to_gather(data):
    batch = layouts.graph(data.take([]))
    assert batch["edge_index"].shape == (2, 0)
    assert batch["features"].shape == (0, 2)
    assert batch["deriv_values"].shape == (0, 2, 3)


def test_prefetching_decodes_pairs_too(featured):
    data = opened(featured, **SOURCES["stored"])
    data.prefetch(range(len(data)))
    for cache in data.caches:
        for _ in range(1000):
            if cache.decoded_bytes < cache.nbytes:
                time.sleep(0.01)
        assert cache.decoded_bytes == cache.nbytes > 0


def test_repr_says_where_things_come_from(featured, plain):
    assert "features: bumps, stored; edges: rc3, stored; derivatives: bumps, stored; cache:" in repr(
        opened(featured, **SOURCES["stored"])
    )
    assert (
        "features: Bumps, computed; edges: within 3 angstrom, computed; derivatives: Bumps, computed; cache:"
    ) in repr(opened(plain, **SOURCES["computed"]))


def test_arguments_that_make_no_sense(featured, plain):
    with pytest.raises(InputError, match="has no set of features 'chebyshev'; it has bumps, single"):
        opened(featured, features="chebyshev")
    with pytest.raises(InputError, match="has no set of derivatives 'bumps'; it has none"):
        opened(plain, derivatives="bumps")
    with pytest.raises(InputError, match="has no neighbour list 'rc5'; it has rc3"):
        opened(featured, neighbors="rc5")
    with pytest.raises(TypeError, match="features is the name of what is stored or a descriptor, not 5"):
        opened(featured, features=5)
    with pytest.raises(ValueError, match=r"carry is a list of names, not 5"):
        opened(plain, neighbors=3.0, edges=5)
    with pytest.raises(ValueError, match="edges carry edge_shift, edge_vec, edge_dist, not 'vector'"):
        opened(featured, neighbors=3.0, edges=["vector"])
    with pytest.raises(ValueError, match="cutoff"):
        opened(featured, neighbors=-1.0)


def test_a_field_of_the_same_name_is_refused(make_store, tmp_path):
    columns = {
        "numbers": np.array([1, 1], np.uint8),
        "positions": np.eye(3)[:2],
        "cell": np.zeros((1, 3, 3)),
        "pbc": np.zeros((1, 3), bool),
        "features": np.ones(2),
    }
    fields = {"features": infer("features", "atom", "float", ())}
    source = make_store(tmp_path / "clash.zarr", np.array([2]), columns, fields)
    with pytest.raises(ValueError, match="field 'features' has a name that batches use themselves"):
        opened(source, features=Bumps())
    chosen = ZarrStructureDataset(source.path, ["positions"], features=Bumps())
    assert chosen[0]["features"].shape == (2, 2)


def test_stale_groups(featured, tmp_path):
    path = tmp_path / "stale.zarr"
    shutil.copytree(featured.path, path)
    for file in path.rglob("zarr.json"):
        file.write_text(file.read_text().replace('"store_digest": "made by hand"', '"store_digest": "old"'))
    for wanted in ({"features": "bumps"}, {"derivatives": "bumps"}, {"neighbors": "rc3"}):
        with pytest.raises(StaleGroupError, match="made for other content than the store has now"):
            ZarrStructureDataset(path, **wanted)
    assert "edges: within 3 angstrom, computed" in repr(ZarrStructureDataset(path, neighbors=3.0))


def test_a_list_that_a_newer_zstruct_wrote_is_computed_instead(featured, tmp_path):
    path = tmp_path / "newer.zarr"
    shutil.copytree(featured.path, path)
    file = path / "neighbors" / "rc3" / "zarr.json"
    file.write_text(file.read_text().replace('"encoding-version": "1.0"', '"encoding-version": "2.0"'))

    assert "edges: within 3 angstrom, computed" in repr(ZarrStructureDataset(path, neighbors=3.0))
    with pytest.raises(StoreFormatError, match=r"has format version 2\.0"):
        ZarrStructureDataset(path, neighbors="rc3")


def test_pairs_that_point_elsewhere(plain, tmp_path):
    source = type(plain)(tmp_path / "bad.zarr", plain.counts, plain.columns, plain.fields, plain.texts)
    shutil.copytree(plain.path, source.path)
    write_list(source, "bad", 3.0, damage=True)
    with pytest.raises(CorruptStoreError, match="stored pairs point to atoms that are not there"):
        opened(source, neighbors="bad").take(range(53))


def test_an_unknown_element_is_reported_with_the_structures(plain):
    class Picky(Bumps):
        def values(self, structures, neighbors):
            raise InputError("structure 0 has Ti, which this descriptor does not know")

    with pytest.raises(InputError, match="structure 0 has Ti") as error:
        opened(plain, features=Picky()).take([4, 2])
    assert "which are [4, 2]" in error.value.__notes__[0]


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (9e8, "structure 1 has an atom .* periods outside its cell"),
        (1e20, "structure 1 has an atom more than .* from the origin"),
    ],
)
def test_atoms_far_outside_their_cell_are_refused(tmp_path, x, said):
    far = ase.Atoms("H2", [[0, 0, 0], [x, 0, 0]], cell=[1, 1, 1], pbc=True)
    zstruct.build([ase.Atoms("H"), far], tmp_path / "far.zarr", progress=False)
    data = ZarrStructureDataset(tmp_path / "far.zarr", neighbors=2.0)
    assert data.take([0]).pairs[0].index.shape == (2, 0)
    with pytest.raises(ValueError, match=said) as error:
        data.take([0, 1])
    assert "which are [0, 1]" in error.value.__notes__[0]


def test_a_function_has_no_derivatives(plain):
    descriptor = register(lambda s, n: np.ones((len(n), 1)), "ones", cutoff=2.0, feature_names=["one"])
    with pytest.raises(InputError, match="the descriptor ones has no derivatives"):
        opened(plain, derivatives=descriptor)
