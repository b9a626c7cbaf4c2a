"""How the rows of a chunk become bytes: decimals as whole numbers, if they are some, then Blosc."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from zstruct.store.decimals import MOST_DIGITS, Decimal

__all__ = ["HEADER_BYTES", "ChunkCodec", "Compression", "is_plain"]

#: What a store is made for: to be read, to be kept, or to be read where bytes cost nothing.
Compression = Literal["fast", "small", "raw"]

Document = dict[str, Any]

# Several compressing threads inside one chunk would write its blocks in any order: stores must be
# byte-identical, and there is a chunk for every thread anyway.
blosc.use_threads = False

_SHUFFLES = {"noshuffle": blosc.NOSHUFFLE, "shuffle": blosc.SHUFFLE, "bitshuffle": blosc.BITSHUFFLE}
#: Of a Blosc buffer: versions and flags, then its three sizes.
HEADER_BYTES = 16
_VERSION, _COPIED = 2, 2  # of its format, and the flag that the bytes behind it are as they were
_LITTLE = {"endian": "little"}


@dataclass(frozen=True, slots=True)
class ChunkCodec:
    """How the rows of a chunk become bytes.

    Parameters
    ----------
    compressor, level, shuffle
        Of Blosc.
    decimal
        How float64 numbers are stored as whole ones; None: as they are.
    """

    compressor: str
    level: int
    shuffle: str = "shuffle"
    decimal: Decimal | None = None

    @classmethod
    def chosen(cls, dtype: str, compression: Compression = "fast", decimal: Decimal | None = None) -> Self:
        """Return what is best for arrays of a dtype.

        LZ4 decodes fastest; it finds little in single bytes, which are a small part of a store. Zstandard is
        better at exponents; beyond level 8 it takes five times as long to save a part in a hundred.
        """
        if compression == "raw":
            return cls("lz4", 0, "noshuffle", decimal)
        if compression == "small":
            return cls("zstd", 8, "shuffle", decimal)
        if np.dtype(dtype).itemsize == 1:
            return cls("zstd", 1, "shuffle", decimal)
        return cls("lz4", 9, "shuffle", decimal)

    def compression(self, dtype: str) -> Compression | None:
        """Return what its chunks are made for; None if that is none of what they may be."""
        kinds: tuple[Compression, ...] = get_args(Compression)
        return next((kind for kind in kinds if self == self.chosen(dtype, kind, self.decimal)), None)

    @property
    def plain(self) -> bool:
        """Whether bytes are stored as they are, but where they would become less than half."""
        return self.level == 0

    @classmethod
    def of(cls, dtype: str, codecs: Sequence[str | Mapping[str, Any]]) -> Self | None:
        """Return what codecs of a chunk in checked metadata come to; None: to something else."""
        found = [
            (one, {}) if isinstance(one, str) else (one["name"], one.get("configuration", {}))
            for one in codecs
        ]
        names = [name for name, _ in found]
        if names[-3:] != ["bytes", "blosc", "crc32c"] or found[-3][1].get("endian", "little") != "little":
            return None  # single bytes have no order, and the codec says none
        decimal = None
        if len(names) > 3:
            decimal = _decimal(dtype, found[:-3])
            if decimal is None:
                return None
        said = found[-2][1]
        return cls(str(said.get("cname")), int(said.get("clevel", 5)), str(said.get("shuffle")), decimal)

    def documents(self, dtype: str) -> list[Document]:
        """Return the codecs as metadata names them, with the checksum behind them."""
        stored = self.stored(dtype)
        blosc = {
            "typesize": stored.itemsize,
            "cname": self.compressor,
            "clevel": self.level,
            "shuffle": self.shuffle,
            "blocksize": 0,
        }
        # Single bytes have no order.
        plain: Document = (
            {"name": "bytes"} if stored.itemsize == 1 else {"name": "bytes", "configuration": _LITTLE}
        )
        before = [] if self.decimal is None else _documents(self.decimal)
        return [*before, plain, {"name": "blosc", "configuration": blosc}, {"name": "crc32c"}]

    def encode(self, rows: NDArray[Any]) -> bytes:
        """Return the bytes of the rows of a chunk.

        Raises
        ------
        ValueError
            If a number is not what it should be to be stored as a whole one.
        """
        stored = rows if self.decimal is None else self.decimal.whole(rows)
        name, shuffle = self.compressor.encode(), _SHUFFLES[self.shuffle]
        if self.plain:
            short: bytes = blosc.compress(stored, name, 1, blosc.SHUFFLE)
            if (
                len(short) < stored.nbytes // 2
            ):  # cells that are all zero, say: Blosc's header says what it is
                return short
        encoded: bytes = blosc.compress(stored, name, self.level, shuffle)
        return encoded

    def decompress(
        self,
        encoded: NDArray[np.uint8],
        dtype: str,
        shape: tuple[int, ...],
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Return the rows of a chunk; those of decimals are whole numbers, which `restored` takes.

        Parameters
        ----------
        encoded
            The chunk.
        dtype, shape
            Of its rows.
        out
            Where the rows may go, if they are as stored: memory that nobody else reads or writes meanwhile,
            for decoders use what they write to as scratch.

        Raises
        ------
        ValueError, RuntimeError
            If the bytes are no such chunk.
        """
        stored = self.stored(dtype)
        nbytes = stored.itemsize * math.prod(shape)
        if len(encoded) < HEADER_BYTES:
            raise ValueError(f"it has {len(encoded)} bytes, too few to be a chunk")
        # Blosc trusts its header, which only fits if nobody else wrote this chunk.
        decoded, _, taken = encoded[4:HEADER_BYTES].view("<u4").tolist()
        if decoded != nbytes or taken != len(encoded):
            raise ValueError(f"it holds {decoded} bytes in {taken}, not {nbytes} in {len(encoded)}")
        rows = out if out is not None and self.takes(out, dtype, shape) else np.empty(shape, stored)
        blosc.decompress(encoded, rows)
        return rows

    def takes(self, out: NDArray[Any], dtype: str, shape: tuple[int, ...]) -> bool:
        """Return whether the rows of a chunk can go to an array as they are stored."""
        return out.shape == shape and out.dtype == self.stored(dtype) and out.flags.c_contiguous

    def stored(self, dtype: str) -> np.dtype:
        """Return the dtype of what is compressed of rows of a dtype."""
        return np.dtype(dtype if self.decimal is None else self.decimal.dtype)


def is_plain(header: NDArray[np.uint8], nbytes: int) -> bool:
    """Return whether the header of a Blosc buffer says that so many bytes follow as they are."""
    version, _, flags, _ = header[:4].tolist()
    decoded, _, taken = header[4:].view("<u4").tolist()
    return version == _VERSION and bool(flags & _COPIED) and decoded == nbytes == taken - HEADER_BYTES


def _documents(decimal: Decimal) -> list[Document]:
    """Return the codecs that make whole numbers of decimals."""
    maps = {"encode": [["NaN", decimal.missing]], "decode": [[decimal.missing, "NaN"]]}
    return [
        {"name": "scale_offset", "configuration": {"scale": 10**decimal.digits}},
        {"name": "cast_value", "configuration": {"data_type": decimal.dtype, "scalar_map": maps}},
    ]


def _decimal(dtype: str, codecs: Sequence[tuple[str, Mapping[str, Any]]]) -> Decimal | None:
    """Return the decimals of which codecs make whole numbers; None if that is not what they do."""
    if dtype != "float64" or [name for name, _ in codecs] != ["scale_offset", "cast_value"]:
        return None
    scaled, cast = (dict(said) for _, said in codecs)
    scale, kind = scaled.pop("scale", 1), cast.pop("data_type", None)
    if scaled.pop("offset", 0) != 0 or scaled or kind not in ("int32", "int64"):
        return None
    digits = next((d for d in range(MOST_DIGITS + 1) if 10**d == scale), None)
    if digits is None:
        return None
    decimal = Decimal(digits, kind)
    maps = cast.pop("scalar_map", None)
    known = _documents(decimal)[1]["configuration"]["scalar_map"]
    # What rounds or clamps otherwise when it is written is read all the same.
    cast.pop("rounding", None), cast.pop("out_of_range", None)
    if cast or not isinstance(maps, Mapping) or maps.get("decode") != known["decode"]:
        return None
    return decimal
