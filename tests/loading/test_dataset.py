import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset, default_collate

from zstruct import layouts
from zstruct.errors import ChangedInputError, CorruptStoreError, StoreFormatError
from zstruct.loading import Batches, Cache, PackedBatch, ZarrStructureDataset
from zstruct.store.shards import ArrayReader
from zstruct.store.store import Store

FLOATS = ("positions", "forces", "cell", "energy", "stress", "hirshfeld", "dos")
PARTIAL = ("forces", "hirshfeld", "config_type", "step")


def check_sample(source, sample, i, dtype=None, names=None):
    """Compare every tensor of a sample with what was written."""
    names = names or [name for name in source.fields if name not in ("source", "frame")]
    assert sample.keys() == {*names, *(f"has_{name}" for name in PARTIAL if name in names)}
    for name in names:
        value, kind = source.value(name, i), source.fields[name].kind
        default = torch.float64 if name == "energy" else torch.float32
        expected = (dtype or default) if name in FLOATS else torch.float64 if name == "step" else torch.int64
        expected = torch.bool if kind == "bool" else expected
        assert sample[name].dtype == expected
        assert sample[name].shape == value.shape
        np.testing.assert_array_equal(
            sample[name].numpy(), np.asarray(value).astype(sample[name].numpy().dtype)
        )
    for name in PARTIAL:
        if name in names:
            value = source.value(name, i)
            has = not np.all(value < 0 if name == "config_type" else np.isnan(value))
            assert sample[f"has_{name}"].dtype == torch.bool
            assert sample[f"has_{name}"].shape == ()
            assert sample[f"has_{name}"].item() == has


@pytest.fixture
def data(source):
    return ZarrStructureDataset(source.path)


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.float64])
def test_every_value_is_the_source_s(source, dtype):
    data = ZarrStructureDataset(source.path, dtype=dtype)
    assert len(data) == len(source)
    for i in range(len(source)):
        check_sample(source, data[i], i, dtype)


def test_dtype_by_field(source):
    data = ZarrStructureDataset(source.path, ["energy", "forces", "step"], {"energy": torch.float64})
    batch = layouts.graph(data.__getitems__([3]))
    assert batch["energy"].item() == source.columns["energy"][3]
    assert batch["forces"].dtype == torch.float32
    assert batch["step"].dtype == torch.float64


@pytest.mark.parametrize(
    "index",
    [np.int32(3), np.uint8(3), np.array(3), torch.tensor(3), -58, np.int64(-58), torch.tensor(-58)],
    ids=repr,
)
def test_any_integer(source, data, index):
    check_sample(source, data[index], 3)


@pytest.mark.parametrize("index", [61, -62, np.int64(61), torch.tensor(1000), 2**70], ids=repr)
def test_out_of_range(data, index):
    with pytest.raises(IndexError, match="is out of range: the dataset has 61 structures"):
        data[index]
    if abs(int(index)) < 2**63:
        with pytest.raises(IndexError, match="is out of range"):
            data.__getitems__([0, index])


def test_a_mask_has_an_entry_for_each_structure(data):
    for mask in (np.zeros(0, bool), np.ones(60, bool)):
        for index in (data.__getitem__, data.take):
            with pytest.raises(IndexError, match=f"the mask has {len(mask)} entries, the dataset 61"):
                index(mask)
    assert len(data[[]]) == len(data[np.zeros(61, bool)]) == 0


@pytest.mark.parametrize(
    "index",
    [True, np.True_, torch.tensor(True), 1.0, np.float64(1), torch.tensor(1.0), "0", None, (0, 1), [0.5],
     ["a"], np.zeros((2, 2), int), np.array(1.0)],
    ids=repr,
)  # fmt: skip
def test_what_is_no_index(data, index):
    with pytest.raises(TypeError, match="a dataset is indexed by an integer, a slice, or"):
        data[index]


def test_fields_are_chosen(source):
    data = ZarrStructureDataset(source.path, ["energy", "numbers", "energy"])
    assert data.fields == ("energy", "numbers")
    assert list(data[4]) == ["energy", "numbers"]
    check_sample(source, data[4], 4, names=["numbers", "energy"])
    assert {"source", "frame"} <= ZarrStructureDataset(source.path, ["source", "frame"])[0].keys()
    assert ZarrStructureDataset(Store(source.path), ["energy"])[0]["energy"].shape == ()
    with pytest.raises(KeyError, match="has no field 'charge'; it has numbers, positions"):
        ZarrStructureDataset(source.path, ["charge"])
    with pytest.raises(TypeError, match=r"write fields=\['energy'\]"):
        ZarrStructureDataset(source.path, "energy")


def test_no_fields_still_says_who_and_how_many(source):
    batch = layouts.graph(ZarrStructureDataset(source.path, []).__getitems__([5, 0]))
    assert batch["n_atoms"].tolist() == [40, 1]
    assert batch["structure"].tolist() == [5, 0]


def test_arguments_that_make_no_sense(source, tmp_path):
    with pytest.raises(TypeError, match=r"dtype is float32 or float64, of torch or NumPy, not torch.int64"):
        ZarrStructureDataset(source.path, dtype=torch.int64)
    with pytest.raises(TypeError, match=r"energy is float32 or float64, of torch or NumPy, not 'half'"):
        ZarrStructureDataset(source.path, dtype={"energy": "half"})
    with pytest.raises(
        TypeError, match=r"numbers is stored as uint8 and comes as uint8 or int16 .*, not torch.float32"
    ):
        ZarrStructureDataset(source.path, dtype={"numbers": torch.float32})
    with pytest.raises(TypeError, match=r"numbers is stored as uint8 and comes as .*, not 'int8'"):
        ZarrStructureDataset(source.path, dtype={"numbers": "int8"})
    with pytest.raises(
        KeyError, match="dtype names pbc; only loaded fields of numbers have one: numbers, pos"
    ):
        ZarrStructureDataset(source.path, ["numbers", "positions", "pbc"], dtype={"pbc": "uint8"})
    with pytest.raises(ValueError, match="bytes of a cache must not be negative, but are -1"):
        ZarrStructureDataset(source.path, cache=Cache(bytes=-1))
    for nbytes in ("1GB", True):
        with pytest.raises(TypeError, match="bytes of a cache is a number, not"):
            ZarrStructureDataset(source.path, cache=Cache(bytes=nbytes))
    with pytest.raises(ValueError, match="bytes of a cache is a number, not nan"):
        ZarrStructureDataset(source.path, cache=Cache(bytes=float("nan")))
    with pytest.raises(ValueError, match=r"None or an existing directory, not 1\.5"):
        ZarrStructureDataset(source.path, cache=1.5)
    with pytest.raises(StoreFormatError, match="no such file or directory"):
        ZarrStructureDataset(tmp_path / "nothing.zarr")


def test_a_store_that_is_replaced_is_not_mixed_with_the_old_one(make_store, tmp_path):
    counts, zeros = np.full(40, 2), {"numbers": np.ones(80, np.uint8), "energy": np.arange(40.0)}
    path = make_store(tmp_path / "s.zarr", counts, zeros).path
    data = ZarrStructureDataset(path, ["energy"])
    assert data.take([0, 39]).columns["energy"].tolist() == [0, 39]
    path.rename(tmp_path / "old.zarr")
    with pytest.raises(ChangedInputError, match=r"s\.zarr is gone: .* after this dataset was opened"):
        data.take([20])
    with pytest.raises(ChangedInputError, match=r"s\.zarr is gone: .* after this store was opened"):
        data.store.read("energy")
    shutil.copytree(tmp_path / "old.zarr", path)  # the same again
    assert data.take([20]).columns["energy"].tolist() == [20]
    other = make_store(tmp_path / "new.zarr", counts, zeros | {"energy": -np.arange(40.0)}).path
    metadata = json.loads((other / "zarr.json").read_text())
    metadata["attributes"]["digest"] = "another one"
    (other / "zarr.json").write_text(json.dumps(metadata))
    shutil.rmtree(path)
    other.rename(path)
    with pytest.raises(
        ChangedInputError, match=r"replaced after this dataset was opened: open the dataset again"
    ):
        data.take([10])
    assert data.take([0, 39]).columns["energy"].tolist() == [0, 39]  # what is in memory is the old one's
    assert ZarrStructureDataset(path, ["energy"]).take([10]).columns["energy"].tolist() == [-10]


def test_names_that_batches_use_are_refused(make_store, tmp_path):
    from zstruct.schema import infer

    field = infer("mask", "atom", "bool", ())
    columns = {"numbers": np.ones(3, np.uint8), "mask": np.ones(3, bool)}
    made = make_store(tmp_path / "s.zarr", np.array([3]), columns, {"mask": field})
    with pytest.raises(ValueError, match="'mask' has a name that batches use themselves"):
        ZarrStructureDataset(made.path)
    assert len(ZarrStructureDataset(made.path, ["numbers"])) == 1


def test_categories(source, data):
    texts = data.categories("config_type")
    assert texts == ["bulk", "slab", "Möbius"]
    assert data.categories("site") == ["top", "hollow"]
    with pytest.raises(
        KeyError, match=r"'energy' is no category field of .*; those are config_type, source, site"
    ):
        data.categories("energy")


@pytest.mark.parametrize("i", range(0, 61, 7))
def test_a_missing_value_is_never_zero(source, data, i):
    sample = data[i]
    if not sample["has_forces"]:
        assert torch.isnan(sample["forces"]).all()
    if not sample["has_config_type"]:
        assert sample["config_type"].item() == -1


def test_subsets(source, data):
    subset = data[10:50:3]
    assert isinstance(subset, ZarrStructureDataset)
    assert len(subset) == 14
    check_sample(source, subset[2], 16)
    check_sample(source, subset[-1], 49)
    inner = subset[[3, -1, 0]]
    assert [sample.structure for sample in inner] == [19, 49, 10]
    assert [s.structure for s in inner[np.array([True, False, True])]] == [19, 10]
    assert [s.structure for s in inner[torch.tensor([2, 0])]] == [10, 19]
    assert layouts.graph(inner.__getitems__([1, 0]))["structure"].tolist() == [49, 19]
    assert len(data[[]]) == len(data[5:5]) == 0
    assert [s.structure for s in data[::-20]] == [60, 40, 20, 0]
    assert [s.structure for s in pickle.loads(pickle.dumps(inner))] == [19, 49, 10]
    with pytest.raises(IndexError, match="structure 14 is out of range: the dataset has 14 structures"):
        subset[14]
    with pytest.raises(IndexError, match="the mask has 3 entries, the dataset 14 structures"):
        subset[[True, False, True]]


def test_subsets_share_decoded_blocks(data, monkeypatch):
    data.__getitems__(range(61))
    monkeypatch.setattr(ArrayReader, "read_into", None)  # nothing is left to read
    assert data[3:9][1].structure == 4


def test_iteration_ends(data):
    assert [sample.structure for sample in data[:7]] == list(range(7))


def test_repr(source, data):
    said = repr(data[:5])
    which = "5 structures where slice(None, 5): numbers, pos"
    assert said.startswith(f"ZarrStructureDataset({str(source.path)!r}, {which}")


def loaded(loader):
    """Structure → energy and positions, over an epoch of graphs."""
    found = {}
    for batch in loader:
        for k, i in enumerate(batch["structure"].tolist()):
            atoms = batch["positions"][batch["ptr"][k] : batch["ptr"][k + 1]]
            assert i not in found
            found[i] = (batch["energy"][k].item(), atoms.numpy())
    return found


def check_epoch(source, found):
    assert found.keys() == set(range(len(source)))
    for i, (energy, positions) in found.items():
        assert energy == source.columns["energy"][i]
        assert np.array_equal(positions, source.value("positions", i))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker:UserWarning")
@pytest.mark.parametrize(
    "context",
    ["fork", "forkserver", pytest.param("spawn", marks=pytest.mark.long)],
)
def test_worker_processes(source, context):
    data = ZarrStructureDataset(source.path, dtype=torch.float64)
    data[0]  # the parent has read; what it opened must not break the children
    workers = 2 if context == "spawn" else 4  # each of those loads all there is anew
    loader = data.loader(8, shuffle=True, num_workers=workers, multiprocessing_context=context)
    check_epoch(source, loaded(loader))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("layout", ["graph", "padded", "list"])
def test_layouts_with_and_without_workers(source, layout):
    data = ZarrStructureDataset(source.path)
    here = list(data.loader(16, layout=layout))
    there = list(data.loader(16, layout=layout, num_workers=2, multiprocessing_context="fork"))
    assert len(here) == len(there) == 4
    for a, b in zip(here, there, strict=True):
        a, b = (list(a), list(b)) if layout == "list" else ([a], [b])
        for x, y in zip(a, b, strict=True):
            assert x.keys() == y.keys()
            assert all(torch.equal(x[n].nan_to_num(7.0), y[n].nan_to_num(7.0)) for n in x)


def test_loader(source, data):
    assert isinstance(data.loader(), DataLoader)
    assert [b["structure"].tolist() for b in data[:5].loader(2)] == [[0, 1], [2, 3], [4]]
    assert len(data.loader(Batches(2, drop_last=True))) == 30
    orders = []
    for _ in range(2):
        loader = data.loader(61, shuffle=True, generator=torch.Generator().manual_seed(3))
        orders.append(next(iter(loader))["structure"].tolist())
    assert orders[0] == orders[1] != sorted(orders[0])
    assert next(iter(data.loader(3, layout=len))) == 3
    assert isinstance(next(iter(data.loader(3, layout="list"))), PackedBatch)
    with pytest.raises(ValueError, match=r"'fairchem' or a function, not 'graphs'"):
        data.loader(layout="graphs")
    with pytest.raises(TypeError, match=r"loader has no option 'collate_fn'; write layout=\.\.\."):
        data.loader(collate_fn=len)


def test_a_plain_dataloader_with_the_user_s_own_collate(source, data):
    def own(samples):
        return [sample["energy"].item() for sample in samples], samples[0]["positions"]

    energies, positions = next(iter(DataLoader(data, batch_size=5, collate_fn=own)))
    assert energies == source.columns["energy"][:5].tolist()
    assert np.array_equal(positions.numpy(), source.value("positions", 0).astype(np.float32))


def test_torch_s_own_tools(source):
    data = ZarrStructureDataset(source.path, ["numbers", "energy", "cell"])
    scalars = ZarrStructureDataset(source.path, ["energy", "cell"])
    assert next(iter(DataLoader(scalars, batch_size=4)))["cell"].shape == (4, 3, 3)
    assert default_collate([scalars[0], scalars[1]])["energy"].shape == (2,)
    part = Subset(data, [7, 3, 9])
    batch = next(iter(DataLoader(part, batch_size=3, collate_fn=layouts.graph)))
    assert batch["structure"].tolist() == [7, 3, 9]
    both = ConcatDataset([data[:3], data[5:7]])
    batch = next(iter(DataLoader(both, batch_size=5, collate_fn=layouts.graph)))
    assert batch["structure"].tolist() == [0, 1, 2, 5, 6]
    train, rest = torch.utils.data.random_split(data, [0.8, 0.2], torch.Generator().manual_seed(0))
    assert len(train) + len(rest) == 61


def test_a_pickled_dataset_reads_on(source, data):
    data.__getitems__(range(61))
    written = pickle.dumps(data)
    assert len(written) < 20_000  # no decoded block, no offsets
    check_sample(source, pickle.loads(written)[8], 8)


def test_a_small_budget_reads_the_same(source):
    data = ZarrStructureDataset(source.path, cache=Cache(bytes=500))
    for i, sample in zip([60, 5, 33], data.__getitems__([60, 5, 33]), strict=True):
        check_sample(source, sample, i)


def test_a_flipped_bit_is_seen(make_store, tmp_path):
    made = make_store(tmp_path / "s.zarr", np.array([4] * 10), {"positions": np.random.rand(40, 3)})  # noqa: NPY002
    shard = next((made.path / "positions" / "c").rglob("0"))
    shard = shard if shard.is_file() else next(p for p in shard.rglob("*") if p.is_file())
    content = bytearray(shard.read_bytes())
    content[40] ^= 1
    shard.write_bytes(bytes(content))
    with pytest.raises(CorruptStoreError, match="positions can't be decoded"):
        ZarrStructureDataset(made.path)[0]


def test_without_torch_a_sentence_names_the_extra():
    code = "import sys; sys.modules['torch'] = None; import zstruct.loading as l; l.ZarrStructureDataset"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "MissingExtraError: reading a store into torch needs torch" in done.stderr
    assert 'pip install "zstruct[torch]"' in done.stderr


def test_whole_numbers_come_in_the_dtype_that_is_asked_for(source):
    wide = ZarrStructureDataset(source.path, neighbors=3.0)
    asked = {"numbers": torch.uint8, "config_type": "int32"}
    for options in ({}, {"neighbors": 3.0}):
        narrow = ZarrStructureDataset(source.path, dtype=asked, **options)
        batch, expected = (layouts.graph(data.take([5, 0, 9, 5])) for data in (narrow, wide))
        for name, kind in (("numbers", torch.uint8), ("config_type", torch.int32)):
            assert batch[name].dtype == narrow[5][name].dtype == kind
            assert torch.equal(batch[name].long(), expected[name])
            assert torch.equal(narrow[5][name].long(), wide[5][name])
        assert torch.equal(batch["has_config_type"], expected["has_config_type"])
        for i in range(12):  # one by one, where masks are found by other code
            assert narrow[i]["has_config_type"] == wide[i]["has_config_type"]
