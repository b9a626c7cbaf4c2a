"""Read rows of a store's own arrays straight from their shard files.

Reading through zarr costs milliseconds per access and an event loop; this reads the bytes of a
chunk, checks its checksum and has Blosc decode it to where the rows are wanted. It knows the one
profile that `zstruct.store.store` writes, on local files (`zstruct.store.store.Store.profile` tells which
arrays have it), and nothing of blocks, batches or torch.

No file stays open between two reads, so there is nothing that a forked child could inherit
broken. Files are read, not memory-mapped: one that is cut short under a map kills the process.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from zstruct.errors import CorruptStoreError, InputError
from zstruct.paths_and_urls import refused
from zstruct.precision import copied, too_large
from zstruct.schema import ATOM
from zstruct.store.checksums import CRC_BYTES, checked, seal_of
from zstruct.store.files import ABSENT, shard_path
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store
from zstruct.store.view import StoreView

__all__ = ["ArrayReader"]

_OFFSETS = "offsets"
_HEADER_BYTES = 16  # of a Blosc buffer: versions and flags, then its three sizes


class ArrayReader:
    """Reads rows of one array; straight from the shards if it can, else through `Store.read`.

    Many threads may read at once, and it pickles.

    Parameters
    ----------
    store
        The store, or a view of it.
    name
        The array.
    """

    def __init__(self, store: Store | StoreView, name: str):
        self.store, self.name = store, name
        self._spec: ArraySpec | None = store.profile(name)
        self._indices: dict[int, NDArray[np.uint64]] = {}
        self._checksums: NDArray[np.uint32] | None = None
        self._asked = False  # for the checksums

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_indices": {}, "_checksums": None, "_asked": False}

    @property
    def direct(self) -> bool:
        """Whether the shards are read without zarr."""
        return self._spec is not None

    @property
    def path(self) -> str | None:
        """Where the array is in its store, if its shards are read without zarr."""
        return None if self._spec is None else self._spec.path

    def read_into(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """Decode rows ``start:stop`` into an array, cast to its dtype as by `numpy.ndarray.astype`.

        Parameters
        ----------
        start, stop
            Rows, in the range of the array.
        out
            Where they go, shape (stop - start, ...), C-contiguous.

        Raises
        ------
        CorruptStoreError
            If a checksum, a chunk or a file does not fit; names the array and the chunk.
        InputError
            If a number would become infinite by the cast; names the structure.
        """
        if self._spec is None:
            self._copy(start, self.store.read(self.name, start, stop), out)
            return
        rows = self._spec.grid.chunk_rows
        for chunk in range(start // rows, -(-stop // rows)):
            first, last = max(start, chunk * rows), min(stop, (chunk + 1) * rows)
            try:
                whole = self._decode(self._spec, chunk)
            except (ValueError, RuntimeError, OSError) as error:
                reason = refused(self.store.path, error)
                raise reason or CorruptStoreError(
                    f"{self.store.path}: chunk {chunk} (rows {chunk * rows}:{(chunk + 1) * rows}) of "
                    f"{self._spec.path} can't be decoded ({error}); "
                    "restore the store from a copy or build it again"
                ) from error
            self._copy(first, whole[first - chunk * rows : last - chunk * rows], out[first - start :])

    def _copy(self, start: int, values: NDArray[Any], out: NDArray[Any]) -> None:
        """Copy rows from `start` on to the beginning of an array."""
        try:
            copied(values, out[: len(values)])
        except FloatingPointError:
            row, sentence = too_large(self.name, values)
            row += start
            if self.store.columns[self.name].level == ATOM:
                offsets = self.store.read(_OFFSETS, 0, self.store.n_structures + 1)
                row = int(np.searchsorted(offsets, row, side="right")) - 1
            raise InputError(f"{self.store.path}, structure {row}: {sentence}") from None

    def _decode(self, spec: ArraySpec, chunk: int) -> NDArray[Any]:
        """Return the rows of a chunk."""
        encoded = self._encoded(spec, chunk)
        shape, stored = (spec.grid.chunk_rows, *spec.shape[1:]), np.dtype(spec.dtype)
        nbytes = stored.itemsize * math.prod(shape)
        # Blosc trusts its header, which only fits if nobody else wrote this chunk.
        decoded, _, taken = encoded[4:_HEADER_BYTES].view("<u4").tolist()
        if decoded != nbytes or taken != len(encoded):
            raise ValueError(f"it holds {decoded} bytes in {taken}, not {nbytes} in {len(encoded)}")
        # Never to where others may read: decoders use the memory that they write to as scratch, and two
        # processes that decode the same block into a shared arena would spoil it for each other.
        whole = np.empty(shape, stored)
        blosc.decompress(encoded, whole)
        return whole

    def _encoded(self, spec: ArraySpec, chunk: int) -> NDArray[np.uint8]:
        """Return the bytes of a chunk as Blosc made them, their checksum verified."""
        per_shard = spec.grid.shard_rows // spec.grid.chunk_rows
        shard, inside = divmod(chunk, per_shard)
        fd = os.open(shard_path(self.store.path, spec.path, shard, len(spec.shape)), os.O_RDONLY)
        try:
            index = self._indices.get(shard)
            if index is None:
                if not self._asked:
                    self._checksums, self._asked = self.store.checksums(self.name), True
                expected = None if self._checksums is None else int(self._checksums[shard])
                index = self._indices[shard] = _index(fd, per_shard, expected)
            position, nbytes = map(int, index[inside])
            if position == nbytes == ABSENT:
                raise ValueError("it is missing from its shard")
            # Not by its index alone: that may be from before the file was cut.
            if position + nbytes > os.fstat(fd).st_size:
                raise ValueError(f"its shard {shard} is cut short")
            return _read(fd, position, nbytes, "its checksum")
        finally:
            os.close(fd)


def _index(fd: int, n_chunks: int, checksum: int | None) -> NDArray[np.uint64]:
    """Return position and length of every chunk of a shard, shape (n_chunks, 2).

    The checksum is what the store says that the index has, if it does: another shard has another.
    """
    nbytes = n_chunks * 16 + CRC_BYTES
    size = os.fstat(fd).st_size
    if size < nbytes:
        raise ValueError("its shard is cut short")
    table = _read(fd, size - nbytes, nbytes, "the checksum of its shard's index")
    index = table.view("<u8").reshape(n_chunks, 2)
    if checksum is not None and seal_of(fd, index) != checksum:
        raise ValueError("its shard is not the one that was built")
    return index


def _read(fd: int, position: int, nbytes: int, what: str) -> NDArray[np.uint8]:
    """Return bytes of a file without the checksum at their end, which must be theirs."""
    if nbytes < CRC_BYTES + _HEADER_BYTES:
        raise ValueError(f"it has {nbytes} bytes, too few to be a chunk")
    data = os.pread(fd, nbytes, position)
    if len(data) < nbytes:
        raise ValueError("its shard is cut short")
    return checked(data, what)
