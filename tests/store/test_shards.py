import errno
import json
import os
import pickle
import shutil
from functools import partial

import numpy as np
import pytest
import zarr
from numcodecs import blosc

import zstruct
from zstruct.errors import CorruptStoreError
from zstruct.schema import infer
from zstruct.store.files import shard_path
from zstruct.store.shards import ArrayReader
from zstruct.store.store import Store


def read(reader, start, stop, dtype):
    store = reader.store
    out = np.empty((stop - start, *store.shape(reader.name)[1:]), dtype)
    reader.read_into(start, stop, out)
    return out


def test_both_paths_read_the_same_bytes(source, rng):
    store = Store(source.path)
    for name in ("offsets", *store.fields):
        reader = ArrayReader(store, name)
        assert reader.direct
        n, stored = store.shape(name)[0], store.dtype(name)
        dtypes = {stored, np.dtype("f4")} if stored.kind == "f" else {stored}
        for start, stop in [(0, n), (0, 0), (0, 1), (n - 1, n), *np.sort(rng.integers(0, n + 1, (8, 2)))]:
            expected = store.read(name, start, stop)
            for dtype in dtypes:
                found = read(reader, start, stop, dtype)
                assert found.tobytes() == expected.astype(dtype).tobytes()  # NaNs too


@pytest.mark.parametrize("n_atoms", [1, 7, 16, 17, 32, 33, 100])
def test_odd_sizes(make_store, tmp_path, rng, n_atoms):
    """One row, one chunk, a chunk and a row, a whole shard, partial tails."""
    columns = {
        "numbers": rng.integers(1, 9, n_atoms).astype("u1"),
        "positions": rng.normal(size=(n_atoms, 3)),
    }
    made = make_store(tmp_path / "s.zarr", np.array([n_atoms]), columns)
    for name, column in columns.items():
        reader = pickle.loads(pickle.dumps(ArrayReader(Store(made.path), name)))
        assert reader.direct
        assert np.array_equal(read(reader, 0, n_atoms, column.dtype), column)


def test_other_codecs_go_through_zarr(make_store, tmp_path, rng):
    values = rng.normal(size=(40, 3))
    made = make_store(tmp_path / "s.zarr", np.array([4] * 10), {"positions": values})
    attrs = dict(zarr.open_group(str(made.path))["positions"].attrs)
    shutil.rmtree(made.path / "positions")
    array = zarr.open_group(str(made.path), use_consolidated=False).create_array(
        "positions", shape=(40, 3), chunks=(8, 3), shards=(16, 3), dtype="f8", attributes=attrs,
        dimension_names=("atom", "xyz"),
    )  # fmt: skip
    array[:] = values
    root = json.loads((made.path / "zarr.json").read_text())
    (made.path / "zarr.json").write_text(json.dumps(root | {"consolidated_metadata": None}))

    reader = ArrayReader(Store(made.path), "positions")

    assert not reader.direct
    assert np.array_equal(read(reader, 3, 37, "f4"), values[3:37].astype("f4"))


@pytest.fixture(params=["noise", "steps"])
def damaged(make_store, tmp_path, rng, request):
    """A reader of 40 rows in chunks of 8, two in a shard, and the file of the second shard."""
    values = rng.normal(size=(40, 3)) if request.param == "noise" else np.arange(120.0).reshape(40, 3) // 9
    made = make_store(tmp_path / "s.zarr", np.array([4] * 10), {"positions": values})
    return ArrayReader(Store(made.path), "positions"), shard_path(made.path, "positions", 1, 2), values


def test_every_flipped_bit_is_found(damaged, rng):
    reader, file, values = damaged
    content = file.read_bytes()
    for byte in range(len(content)):
        changed = bytearray(content)
        changed[byte] ^= 1 << rng.integers(8)
        file.write_bytes(bytes(changed))
        with pytest.raises(CorruptStoreError, match=r"chunk [23] \(rows .*\) of positions can't be decoded"):
            read(ArrayReader(reader.store, "positions"), 16, 32, "f8")
    file.write_bytes(content)
    assert np.array_equal(read(reader, 0, 40, "f8"), values)


@pytest.mark.parametrize("known", [False, True])
def test_a_cut_shard_is_found(damaged, known):
    reader, file, _ = damaged
    if known:  # the index has been read before the file was cut
        read(reader, 0, 40, "f8")
    content = file.read_bytes()
    for length in (0, 3, 20, 100, len(content) // 2):
        file.write_bytes(content[:length])
        with pytest.raises(CorruptStoreError, match=r"of positions can't be decoded"):
            read(reader, 16, 32, "f8")


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("compression", ["fast", "raw"])
def test_decoders_write_where_nobody_else_is(make_store, tmp_path, monkeypatch, private, compression):
    # They use that memory as scratch: two processes with one arena would spoil a block for each other.
    values = np.arange(120.0).reshape(40, 3) % (5 if compression == "fast" else 50)
    made = make_store(tmp_path / "s.zarr", np.array([4] * 10), {"positions": values})
    zstruct.rewrite(made.path, tmp_path / "s", compression=compression, chunks=16, progress=False)
    out, there, wrapped = np.zeros_like(values), [], {}

    def watched(name, *arguments):
        written = np.asarray(arguments[1] if name == "decompress" else arguments[1][1])
        there.append(np.shares_memory(written, out))
        return wrapped[name](*arguments)

    for name, module in (("decompress", blosc), ("preadv", os)):
        wrapped[name] = getattr(module, name)
        monkeypatch.setattr(module, name, partial(watched, name))
    ArrayReader(Store(tmp_path / "s"), "positions").read_into(0, len(out), out, private=private)
    assert np.array_equal(out, values)
    # A chunk that is not full has no place there; what comes first are the checksums of shards.
    assert there[-3:] == [private, private, False]


def test_errors_of_the_system_are_not_the_store_s(damaged, monkeypatch):
    def no_more(*arguments):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("zstruct.store.chunk_reader.os.open", no_more)
    with pytest.raises(OSError, match="Too many open files"):
        read(damaged[0], 0, 40, "f8")


def test_a_missing_shard_is_found(damaged):
    reader, file, _ = damaged
    file.unlink()
    with pytest.raises(CorruptStoreError, match=r"chunk 2 .* of positions can't be decoded \(.*No such file"):
        read(reader, 0, 40, "f8")


def test_a_chunk_that_is_not_there_is_found(make_store, tmp_path, damaged):
    from zstruct.store.spec import spec_of
    from zstruct.store.write import write_shard

    reader, file, values = damaged
    spec = spec_of(infer("positions", "atom", "float", (3,)), "positions", 40, {})
    write_shard(tmp_path, spec, 1, values[16:24])  # a shard with one chunk of its two
    file.write_bytes(shard_path(tmp_path, "positions", 1, 2).read_bytes())
    with pytest.raises(CorruptStoreError, match=r"chunk 3 .*\(it is missing from its shard"):
        read(reader, 16, 32, "f8")
    assert np.array_equal(read(reader, 16, 24, "f8"), values[16:24])
