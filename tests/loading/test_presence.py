"""Whole numbers and booleans that some structures lack: exact, with a mask beside them, in every layout."""

import zipfile
from pathlib import Path

import ase.build
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import zstruct
from zstruct import StructureReader

torch = pytest.importorskip("torch")

from zstruct import ZarrStructureDataset, layouts, transforms  # noqa: E402

OLD = Path(__file__).parents[1] / "data" / "store-0.1.zip"
IDS = [2**53 + 1, None, 2**62 + 3, -(2**60) - 1, None, 7]
DONE = [True, False, None, None, True, False]
SITES = [None, [2**55 + 1, 1, 2], None, [3, 4, 5], [6, 7, -(2**55) - 1], None]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    frames = []
    for number, done, sites in zip(IDS, DONE, SITES, strict=True):
        atoms = ase.build.molecule("H2O")
        if number is not None:
            atoms.info["calc_id"] = number
        if done is not None:
            atoms.info["converged"] = done
        if sites is not None:
            atoms.set_array("site", np.array(sites))
        frames.append(atoms)
    path = tmp_path_factory.mktemp("presence") / "ids.zarr"
    zstruct.build(frames, path, progress=False)
    return path


def there(values):
    return [value is not None for value in values]


def check_graph(batch):
    """Compare all six structures, atoms end to end."""
    assert batch["calc_id"].dtype == torch.int64
    assert batch["converged"].dtype == torch.bool
    assert batch["site"].dtype == torch.int64
    for name, values in (("calc_id", IDS), ("converged", DONE), ("site", SITES)):
        has = batch[f"has_{name}"]
        assert has.dtype == torch.bool
        assert has.tolist() == there(values)
        found = batch[name].reshape(6, -1) if name == "site" else batch[name]
        assert found[has].tolist() == [value for value in values if value is not None]


@pytest.mark.parametrize("cache", ["memory", "shared", None])
def test_they_are_exact(path, cache):
    data = ZarrStructureDataset(path, cache=cache)
    for _ in range(2):  # the second time from what is decoded
        check_graph(layouts.graph(data.take(range(6))))
        check_graph(layouts.graph([data[i] for i in range(6)]))


def test_no_dtype_of_floats_touches_them(path):
    for dtype in ("float32", "float64"):
        check_graph(layouts.graph(ZarrStructureDataset(path, dtype=dtype).take(range(6))))
    with pytest.raises(TypeError, match="calc_id is stored as int64 and comes as int64, of torch"):
        ZarrStructureDataset(path, dtype={"calc_id": "float64"})


@pytest.mark.parametrize("workers", [0, 1])
def test_in_a_loader(path, workers):
    check_graph(next(iter(ZarrStructureDataset(path).loader(6, num_workers=workers))))


def test_some_fields_only_and_views(path):
    data = ZarrStructureDataset(path, ["calc_id"])
    assert list(data[0]) == ["calc_id", "has_calc_id"]
    assert (data[0]["calc_id"].item(), data[1]["has_calc_id"].item()) == (IDS[0], False)
    part = data[[2, 4]].take([0, 1])
    assert part.columns["calc_id"][0] == IDS[2]
    assert part.columns["has_calc_id"].tolist() == [True, False]
    arrays = StructureReader(path, ["site"])[3]
    assert arrays["site"].tolist() == SITES[3]
    assert arrays["has_site"].shape == ()


@pytest.mark.parametrize("layout", ["padded", "physnet", "pyg", "schnetpack", "mace", "fairchem"])
def test_in_other_layouts(path, layout):
    if layout == "pyg":
        pytest.importorskip("torch_geometric")
    edges = {"neighbors": 1.2} if layout in ("schnetpack", "mace", "pyg", "fairchem") else {}
    batch = next(iter(ZarrStructureDataset(path, **edges).loader(6, layout=layout)))
    found = batch.to_dict() if layout == "pyg" else batch
    check_graph(found)


def test_edges_and_transforms_beside_them(path):
    steps = [transforms.RandomRotation(p=0.5), dict]
    data = ZarrStructureDataset(path, neighbors=1.2, transform=steps)
    batch = layouts.graph(data.take(range(6)))
    check_graph(batch)
    assert batch["edge_index"].shape[1] > 0


def test_losses_leave_out_what_is_missing(path):
    data = ZarrStructureDataset(path, ["converged", "site"])
    batch = next(iter(data.loader(6)))
    predicted = {"site": batch["site"] + 1}
    assert data.loss(predicted, batch, error=lambda a, b: (a - b).sum()) == 3 * sum(there(SITES))


def test_a_store_of_format_1_0_reads_as_before(tmp_path):
    with zipfile.ZipFile(OLD) as archive:
        archive.extractall(tmp_path)
    (store,) = (p for p in tmp_path.iterdir() if p.is_dir())
    data = ZarrStructureDataset(store)
    assert not data.store.presence
    gaps = [n for n, f in data.store.fields.items() if f.kind in ("int", "bool") and f.dtype == "float64"]
    assert gaps  # such stores have whole numbers as floats
    batch = layouts.graph(data.take(range(len(data))))
    for name in gaps:
        assert batch[name].dtype == torch.float64
        field = data.store.fields[name]
        stored = data.store.read(name)
        assert_array_equal(batch[name], stored)
        if data.store.coverage(name) < len(data):
            has = batch[f"has_{name}"].numpy()
            assert has.sum() == data.store.coverage(name)
            if field.level == "structure":
                assert_array_equal(has, ~np.isnan(stored.reshape(len(stored), -1)).all(axis=1))
