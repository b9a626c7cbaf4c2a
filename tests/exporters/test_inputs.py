"""Stores of all kinds go out as the same file: decimals, zip files, behind S3 and HTTP; whole and in part."""

import shutil

import numpy as np
import pytest

import zstruct
from tests.conftest import random_atoms, shrink_chunks
from zstruct.errors import InputError

# Servers and clients leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

_OTHERS = ["deepmd-npy", "mtp-cfg", "xsf"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Forty structures in small shards, with a split."""
    rng, path = np.random.default_rng(20261120), tmp_path_factory.mktemp("inputs") / "a.zarr"
    with pytest.MonkeyPatch.context() as patch:
        shrink_chunks(patch)
        zstruct.build([random_atoms(rng) for _ in range(40)], path, progress=False)
    zstruct.split(path, {"train": [30, 2, 7], "test": [1]}, name="default")
    return path


@pytest.fixture
def store(made, tmp_path):
    return shutil.copytree(made, tmp_path / "a.zarr")


def exported(data, folder, **options):
    zstruct.export(data, folder / "out.xyz", progress=False, overwrite=True, **options)
    return (folder / "out.xyz").read_bytes()


def test_other_encodings_and_zip_files(store, tmp_path):
    zstruct.rewrite(store, tmp_path / "b.zarr", encoding="decimal", progress=False)
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", store)
    whole = exported(store, tmp_path)
    assert exported(tmp_path / "b.zarr", tmp_path) == whole
    assert exported(packed, tmp_path) == whole
    assert exported(zstruct.open(packed), tmp_path) == whole


def test_behind_http(store, served_folder, tmp_path):
    url = f"{served_folder}/a.zarr"
    assert exported(url, tmp_path) == exported(store, tmp_path)
    chosen = {"select": "n_atoms > 4", "exclude": ["stress"]}
    assert exported(url, tmp_path, **chosen) == exported(store, tmp_path, **chosen)


def test_behind_s3(bucket, tmp_path, rng):
    import s3fs

    store = tmp_path / "a.zarr"
    zstruct.build([random_atoms(rng) for _ in range(9)], store, progress=False)
    zstruct.split(store, {"train": [7, 2]}, name="default")
    s3fs.S3FileSystem().put(str(store), f"{bucket}/a.zarr", recursive=True)
    url = f"s3://{bucket}/a.zarr"
    assert exported(url, tmp_path) == exported(store, tmp_path)
    assert exported(url, tmp_path, split="train") == exported(store, tmp_path, split="train")
    with pytest.raises(InputError, match="exports go to local files, not to s3://"):
        zstruct.export(store, f"s3://{bucket}/out.xyz", progress=False)


def test_parts_in_their_order(store, tmp_path):
    reader, ds = zstruct.StructureReader(store), zstruct.open(store)
    rows = [30, 2, 7]
    for data, options in [
        (store, {"select": rows}),
        (store, {"select": np.array(rows)}),
        (reader.select(rows), {}),
        (reader[rows], {}),
        (ds.zs.isel(rows), {}),
        (ds.zs.sel(rows), {}),
        (ds, {"select": rows}),
    ]:
        assert exported(data, tmp_path, **options) == exported(store, tmp_path, select=rows)
    for data, options in [(store, {"split": "train"}), (ds, {"split": ("default", "train")})]:
        assert exported(data, tmp_path, **options) == exported(store, tmp_path, select=sorted(rows))
    mask = np.isin(np.arange(40), rows)
    assert exported(store, tmp_path, select=mask) == exported(store, tmp_path, split="train")
    one = exported(store, tmp_path, split="test")
    assert exported(store, tmp_path, select="n_atoms > 0", split="test") == one


@pytest.mark.parametrize(
    "options", [{"select": "Au"}, {"select": []}, {"split": "train", "select": "n_atoms > 99"}]
)
def test_nothing_is_selected(store, tmp_path, options):
    for data in (store, zstruct.StructureReader(store), zstruct.open(store)):
        with pytest.raises(InputError, match="there is nothing to export: the selection has no structures"):
            zstruct.export(data, tmp_path / "out.xyz", progress=False, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_options_for_urls_are_for_what_is_opened_here(store, tmp_path):
    options = {"storage_options": {"anon": True}}
    for data in (zstruct.Store(store), zstruct.StructureReader(store), zstruct.open(store)):
        with pytest.raises(InputError, match="open already: pass storage_options where it is opened"):
            zstruct.export(data, tmp_path / "out.xyz", progress=False, **options)


@pytest.mark.parametrize(
    "format", ["xyz", "npz", *(pytest.param(name, marks=pytest.mark.long) for name in _OTHERS)]
)
def test_one_large_structure_among_small_ones(tmp_path, format):
    from ase import Atoms

    rng = np.random.default_rng(0)
    frames = [Atoms(numbers=np.full(n, 14), positions=rng.normal(size=(n, 3)) * n) for n in (1, 20_000, 2)]
    zstruct.build(frames, tmp_path / "a.zarr", progress=False)
    zstruct.export(tmp_path / "a.zarr", tmp_path / f"out.{format}", format, progress=False)
    reader = {"npz": "npz", "mtp-cfg": "mtp-cfg", "xyz": "xyz"}.get(format)
    zstruct.build(tmp_path / f"out.{format}", tmp_path / "b.zarr", reader=reader, progress=False)
    a, b = zstruct.Store(tmp_path / "a.zarr"), zstruct.Store(tmp_path / "b.zarr")
    assert sorted(a.read("n_atoms")) == sorted(b.read("n_atoms"))
    assert np.array_equal(np.sort(a.read("positions"), axis=0), np.sort(b.read("positions"), axis=0))
