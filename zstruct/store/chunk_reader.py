"""Read rows of an array straight from its shard files.

Reading through zarr costs milliseconds per access and an event loop; this reads the bytes of a chunk, checks
its checksum and has Blosc decode it. It knows the profile that `write_shard` writes, on local files.

No file stays open between two reads, so there is nothing that a forked child could inherit broken. Files are
read, not memory-mapped: one that is cut short under a map kills the process.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.precision import copied
from zstruct.store.checksums import CRC_BYTES, check, checked, seal_of
from zstruct.store.chunk_codec import HEADER_BYTES, is_plain
from zstruct.store.files import ABSENT, shard_name
from zstruct.store.spec import ArraySpec

__all__ = ["ChunkReader"]

_OF_CHUNK = "its checksum"
_CUT = "its shard is cut short"


class ChunkReader:
    """Reads chunks of one array. Many threads may read at once.

    Parameters
    ----------
    path
        The store.
    spec
        The array, as `Store.profile` returns it.
    checksums
        Returns those that its shards should have, or None if the store does not say; asked once.
    """

    def __init__(self, path: str, spec: ArraySpec, checksums: Callable[[], NDArray[np.uint32] | None]):
        self.path, self.spec = path, spec
        self._ask = checksums
        self._files: dict[int, str] = {}
        self._indices: dict[int, NDArray[np.uint64]] = {}
        self._checksums: NDArray[np.uint32] | None = None
        self._asked = False

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_files": {}, "_indices": {}, "_checksums": None, "_asked": False}

    def chunks(self, start: int, stop: int) -> range:
        """Return the chunks that have rows ``start:stop``."""
        rows = self.spec.grid.chunk_rows
        return range(start // rows, -(-stop // rows)) if stop > start else range(0)

    def rows(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """Decode rows ``start:stop``; the arguments and errors are those of `copy`."""
        for _, chunks in itertools.groupby(self.chunks(start, stop), lambda chunk: chunk // self._per_shard):
            first, *others = chunks
            with self._opened(first) as file:
                for chunk in (first, *others):
                    self._decode(file, chunk, start, stop, out, private=True)

    def copy(self, chunk: int, start: int, stop: int, out: NDArray[Any], *, private: bool = True) -> None:
        """Decode those of the rows ``start:stop`` that are in a chunk to their places.

        Parameters
        ----------
        chunk
            Number of the chunk.
        start, stop
            Rows of the array.
        out
            Where they go, cast to its dtype, shape (stop - start, ...), C-contiguous.
        private
            Whether nobody else reads or writes there meanwhile; else what is written is right at once.

        Raises
        ------
        ValueError, RuntimeError, OSError
            If a checksum, the chunk or its file does not fit.
        FloatingPointError
            If a number becomes infinite by the cast.
        """
        with self._opened(chunk) as file:
            self._decode(file, chunk, start, stop, out, private=private)

    def _decode(
        self,
        file: int,
        chunk: int,
        start: int,
        stop: int,
        out: NDArray[Any],
        *,
        private: bool,
    ) -> None:
        spec, rows = self.spec, self.spec.grid.chunk_rows
        first, last = max(start, chunk * rows), min(stop, (chunk + 1) * rows)
        shape = (rows, *spec.shape[1:])
        here = out[first - start : last - start]
        decimal = spec.codec.decimal
        place = here if private and decimal is None else None
        position, nbytes = self._span(file, chunk)
        if (
            place is not None
            and nbytes == HEADER_BYTES + place.nbytes + CRC_BYTES
            and spec.codec.takes(place, spec.dtype, shape)
            and _read_there(file, position, place)
        ):
            return
        encoded = _read(file, position, nbytes, _OF_CHUNK)
        whole = spec.codec.decompress(encoded, spec.dtype, shape, place)
        if whole is here:
            return
        stored = whole[first - chunk * rows : last - chunk * rows]
        if decimal is None:
            copied(stored, here)
        else:
            decimal.restore(stored, here)

    def encoded(self, chunk: int) -> NDArray[np.uint8]:
        """Return the bytes of a chunk as they were compressed, their checksum verified.

        Raises
        ------
        ValueError, OSError
            If a checksum or the file does not fit.
        """
        with self._opened(chunk) as file:
            return _read(file, *self._span(file, chunk), _OF_CHUNK)

    @property
    def _per_shard(self) -> int:
        return self.spec.grid.shard_rows // self.spec.grid.chunk_rows

    @contextmanager
    def _opened(self, chunk: int) -> Iterator[int]:
        """Open the file of the shard that has a chunk; its index is known then."""
        shard = chunk // self._per_shard
        file = self._files.get(shard)
        if file is None:
            name = shard_name(self.spec.path, shard, len(self.spec.shape))
            file = self._files[shard] = os.path.join(self.path, name)
        fd = os.open(file, os.O_RDONLY)
        try:
            if shard not in self._indices:
                if not self._asked:
                    self._checksums, self._asked = self._ask(), True
                expected = None if self._checksums is None else int(self._checksums[shard])
                self._indices[shard] = _index(fd, shard, self._per_shard, expected)
            yield fd
        finally:
            os.close(fd)

    def _span(self, fd: int, chunk: int) -> tuple[int, int]:
        """Return where a chunk of an open shard is, and its bytes."""
        shard, inside = divmod(chunk, self._per_shard)
        position, nbytes = map(int, self._indices[shard][inside])
        if position == nbytes == ABSENT:
            raise ValueError("it is missing from its shard")
        # Not by its index alone: that may be from before the file was cut.
        if position + nbytes > os.fstat(fd).st_size:
            raise ValueError(f"its shard {shard} is cut short")
        return position, nbytes


def _index(fd: int, shard: int, n_chunks: int, checksum: int | None) -> NDArray[np.uint64]:
    """Return position and length of every chunk of a shard, shape (n_chunks, 2).

    The checksum is what the store says that the shard has, if it does: another shard has another.
    """
    nbytes = n_chunks * 16 + CRC_BYTES
    size = os.fstat(fd).st_size
    if size < nbytes:
        raise ValueError(_CUT)
    table = _read(fd, size - nbytes, nbytes, "the checksum of its shard's index")
    index = table.view("<u8").reshape(n_chunks, 2)
    if checksum is not None and seal_of(fd, index) != checksum:
        raise ValueError(f"its shard {shard} is not the one that was built")
    return index


def _read_there(fd: int, position: int, rows: NDArray[Any]) -> bool:
    """Read a chunk straight to where its rows go, checked; return whether they are stored as they are."""
    header, sum_ = np.empty(HEADER_BYTES, np.uint8), np.empty(CRC_BYTES, np.uint8)
    parts = header, rows.reshape(-1).view(np.uint8), sum_
    if os.preadv(fd, [part.data for part in parts], position) < sum(map(len, parts)):
        raise ValueError(_CUT)
    check(parts, _OF_CHUNK)
    return is_plain(header, rows.nbytes)


def _read(fd: int, position: int, nbytes: int, what: str) -> NDArray[np.uint8]:
    """Return bytes of a file without the checksum at their end, which must be theirs."""
    if nbytes < CRC_BYTES:
        raise ValueError(f"it has {nbytes} bytes, too few to be a chunk")
    data = os.pread(fd, nbytes, position)
    if len(data) < nbytes:
        raise ValueError(_CUT)
    return checked(data, what)
