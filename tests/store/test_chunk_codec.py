"""Chunks: what becomes of rows, and what metadata says about it."""

import numpy as np
import pytest

from zstruct.store.chunk_codec import HEADER_BYTES, ChunkCodec, is_plain
from zstruct.store.decimals import Decimal

DECIMAL = Decimal(8, "int32")
CODECS = [
    ("float32", ChunkCodec.chosen("float32")),
    ("float64", ChunkCodec.chosen("float64", "small")),
    ("float64", ChunkCodec.chosen("float64", "raw")),
    ("uint8", ChunkCodec.chosen("uint8")),
    ("float64", ChunkCodec.chosen("float64", "fast", DECIMAL)),
    ("float64", ChunkCodec.chosen("float64", "small", Decimal(0, "int64"))),
    ("float64", ChunkCodec.chosen("float64", "raw", DECIMAL)),
]


@pytest.mark.parametrize(("dtype", "codec"), CODECS)
def test_metadata_leads_back(dtype, codec):
    assert ChunkCodec.of(dtype, codec.documents(dtype)) == codec


def test_the_metadata_of_decimals():
    before = ChunkCodec.chosen("float64", "fast", DECIMAL).documents("float64")
    assert [one["name"] for one in before] == ["scale_offset", "cast_value", "bytes", "blosc", "crc32c"]
    assert before[0]["configuration"] == {"scale": 10**8}
    assert before[1]["configuration"] == {
        "data_type": "int32",
        "scalar_map": {"encode": [["NaN", -(2**31)]], "decode": [[-(2**31), "NaN"]]},
    }
    assert before[3]["configuration"]["typesize"] == 4


CAST = ("cast_value", {"data_type": "int32", "scalar_map": {"decode": [[-(2**31), "NaN"]]}})


@pytest.mark.parametrize(
    ("scale", "cast", "dtype"),
    [
        ({"scale": 100, "offset": 1}, CAST, "float64"),
        ({"scale": 99}, CAST, "float64"),
        ({"scale": 10**13}, CAST, "float64"),
        ({"scale": 100, "more": 1}, CAST, "float64"),
        ({"scale": 100}, ("cast_value", {"data_type": "int16"}), "float64"),
        ({"scale": 100}, ("cast_value", {"data_type": "int32"}), "float64"),
        ({"scale": 100}, ("cast_value", CAST[1] | {"more": 1}), "float64"),
        ({"scale": 100}, CAST, "float32"),
    ],
)
def test_what_is_encoded_otherwise_is_left_to_zarr(scale, cast, dtype):
    after = ChunkCodec.chosen("int32").documents("int32")
    before = [{"name": "scale_offset", "configuration": scale}, {"name": cast[0], "configuration": cast[1]}]
    assert ChunkCodec.of(dtype, [*before, *after]) is None
    good = [
        {"name": "scale_offset"},
        {"name": "cast_value", "configuration": CAST[1] | {"rounding": "towards-zero"}},
    ]
    assert ChunkCodec.of("float64", [*good, *after]).decimal == Decimal(0, "int32")
    assert ChunkCodec.of("float64", [*good[:1], *after]) is None
    assert ChunkCodec.of("float64", after[:-1]) is None


@pytest.mark.parametrize(("dtype", "codec"), CODECS)
def test_rows_come_back(dtype, codec):
    rows = (np.arange(60) % 20).reshape(20, 3).astype(dtype)
    encoded = np.frombuffer(codec.encode(rows), np.uint8)

    stored = codec.decompress(encoded, dtype, rows.shape)

    out = np.empty(rows.shape, dtype)
    if codec.decimal is None:
        out[:] = stored
    else:
        codec.decimal.restore(stored, out)
    assert out.tobytes() == rows.tobytes()
    there = np.empty_like(stored)
    assert codec.decompress(encoded, dtype, rows.shape, there) is there
    assert there.tobytes() == stored.tobytes()
    for other in (there[:-1], there.astype("c16"), np.empty((20, 6), stored.dtype)[:, ::2]):
        assert codec.decompress(encoded, dtype, rows.shape, other) is not other
    with pytest.raises(ValueError, match=r"it holds \d+ bytes in"):
        codec.decompress(encoded, dtype, (21, 3))
    with pytest.raises(ValueError, match="too few to be a chunk"):
        codec.decompress(encoded[:10], dtype, rows.shape)


def test_small_is_smaller():
    rows = np.random.default_rng(0).normal(size=(10_000, 3)).astype(np.float32)
    sizes = [len(ChunkCodec.chosen("float32", kind).encode(rows)) for kind in ("small", "fast")]
    assert sizes[0] < 0.95 * sizes[1]


@pytest.mark.parametrize("kind", ["fast", "small", "raw"])
def test_what_chunks_are_made_for_is_seen_in_their_codec(kind):
    assert ChunkCodec.chosen("float64", kind, DECIMAL).compression("float64") == kind
    assert ChunkCodec("zstd", 3).compression("float64") is None


def test_without_compression_bytes_are_as_they_are_unless_there_is_nothing_in_them():
    codec = ChunkCodec.chosen("float32", "raw")
    rows = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32)
    encoded = codec.encode(rows)
    assert encoded[HEADER_BYTES:] == rows.tobytes()
    assert is_plain(np.frombuffer(encoded, np.uint8, HEADER_BYTES), rows.nbytes)
    zeros = codec.encode(np.zeros_like(rows))
    assert len(zeros) < rows.nbytes // 10
    assert not is_plain(np.frombuffer(zeros, np.uint8, HEADER_BYTES), rows.nbytes)
    assert not codec.decompress(np.frombuffer(zeros, np.uint8), "float32", rows.shape).any()
