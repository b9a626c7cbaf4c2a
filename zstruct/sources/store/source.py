"""Structures of a store, as an input of a build."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.ragged import Packed
from zstruct.schema import ATOM, given_name
from zstruct.sources.content import Content, content_of
from zstruct.sources.frames import frames_of
from zstruct.sources.source import SLICE_BYTES, Raw, RawColumn, Slice
from zstruct.sources.store.columns import stored_columns
from zstruct.sources.store.reading import read_packed
from zstruct.store.labelled import labelled
from zstruct.store.store import Store
from zstruct.text import counted

__all__ = ["StoreSource"]

_SLICE_BYTES = 1 << 28  # of rows as they are in memory; a build takes them block by block


@keywords()
class StoreSource:
    """Structures of a zstruct store: a directory, a ``.zip`` file of one, a URL, or a store that is open.

    A build takes them as they are stored, block by block, with where they first came from. What is missing
    stays missing, names that inputs had come back, and decimals stay decimals. Of a store that is open with
    other labels, these are taken.

    Parameters
    ----------
    store
        A path or URL, or an open store.
    storage_options
        Of a URL, for fsspec.
    chosen
        Positions of structures in the store, shape (n,), in any order and as often as they are there; by
        default all.
    label
        What messages call it; by default its path.

    Raises
    ------
    StoreFormatError, CorruptStoreError, StoreAccessError
        If it is no finished store, or can't be read.
    """

    runs_in: Literal["threads", "processes", "here", "caller"] = "threads"

    def __init__(
        self,
        store: str | os.PathLike[str] | Content | Store,
        storage_options: Mapping[str, Any] | None = None,
        chosen: NDArray[np.int64] | None = None,
        label: str | None = None,
    ):
        if isinstance(store, Store):
            path, known, storage_options = store.path, store.path, store.storage_options
        else:
            self.content = content_of(store, storage_options)
            path, known = self.content.path or str(getattr(self.content, "url", "")), self.content.label
        self.label: str = known if label is None else label
        if os.path.exists(path):
            path = os.path.abspath(path)  # a worker may be elsewhere
        #: The store.
        self.store = labelled(Store(path, storage_options), getattr(store, "labels", None))
        #: Which of its structures; None: all.
        self.chosen = chosen
        #: The frames that were asked for behind an ``@``.
        self.text = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.label!r}: {counted(len(self), 'structure')})"

    def __len__(self) -> int:
        return self.store.n_structures if self.chosen is None else len(self.chosen)

    def taking(self, chosen: NDArray[np.int64] | None) -> StoreSource:
        """Return the source of some structures of the same store, given by their positions in it."""
        source = StoreSource.__new__(StoreSource)
        source.__dict__ = {**self.__dict__, "chosen": chosen}
        return source

    def frames(self, text: str) -> StoreSource:
        """Return the source of those of its structures that stand behind an ``@``.

        Raises
        ------
        InputError
            If there are none.
        """
        frames, n = frames_of(text), len(self)
        if isinstance(frames, int):
            frames = slice(frames, frames + 1 or None) if -n <= frames < n else slice(0, 0)
        places = np.arange(n)[frames]
        if not len(places):
            raise InputError(
                f"{'@' + text!r} says structures that are not there: it has {counted(n, 'structure')}",
                self.label,
            )
        source = self.taking(places if self.chosen is None else self.chosen[places])
        source.label, source.text = f"{self.label}@{text}", text
        return source

    def fingerprint(self) -> dict[str, Any]:
        """Return the digests of the store, and of which structures these are."""
        store = self.store.again()
        attrs = store.attrs
        chosen = None
        if self.chosen is not None:
            chosen = hashlib.sha256(np.ascontiguousarray(self.chosen, "<i8").tobytes()).hexdigest()
        said = {"digest": attrs["digest"], "metadata": attrs.get("metadata_digest"), "chosen": chosen}
        return said | ({"labels": list(store.contents)} if store.contents else {})

    def scan(self) -> list[Slice]:
        """Return ranges of structures.

        Raises
        ------
        InputError
            If there are no structures.
        """
        n = len(self)
        if n == 0:
            raise InputError("no structure is chosen", self.label)
        each = self._row_bytes()
        step = max(1, _SLICE_BYTES // each)
        return [Slice(k, min(k + step, n), k, each * min(step, n - k)) for k in range(0, n, step)]

    def _row_bytes(self) -> int:
        """Return the bytes of a structure in memory, on average."""
        store = self.store
        return max(1, sum(store.nbytes(name) for name in store.columns) // store.n_structures)

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the structures of a slice in blocks, as any input would have them."""
        step = max(1, SLICE_BYTES // self._row_bytes())
        columns = stored_columns(self.store)
        for start in range(piece.start, piece.stop, step):
            stop = min(start + step, piece.stop)
            rows = np.arange(start, stop) if self.chosen is None else self.chosen[start:stop]
            order = np.argsort(rows, kind="stable")
            packed = read_packed(self.store, columns, rows[order])
            back = np.argsort(order, kind="stable").tolist()
            yield _raw(packed.select(back), np.arange(start, stop))


def _raw(packed: Packed, frames: NDArray[np.int64]) -> Raw:
    """Return a block as a reader of files has it."""
    raw = Raw(frames, packed.n_atoms)
    for name, values in packed.columns.items():
        if name in ("source", "frame", "formula"):
            continue
        field = packed.fields[name]
        wide = values.dtype.kind == "f" and values.dtype != np.float64
        column = RawColumn(
            values.astype(np.float64) if wide else values,
            packed.present.get(name),
            packed.categories.get(name),
            unit=field.unit or None,
        )
        (raw.atom if field.level == ATOM else raw.structure)[given_name(name)] = [column]
    return raw
