"""Labels of some structures, spread over all that there are, beside those that others have already.

What is there stays as it is; only structures without any label, for which no reason is known, are labelled:
those that came later, say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zstruct.labels.label_tasks import joined_field
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, Field
from zstruct.store.history import log
from zstruct.store.label_writer import Failures, KeptLabels, LabelColumn
from zstruct.store.labels import Labels
from zstruct.store.store import Store

__all__ = ["completed", "kept_structures", "unlabelled"]


def kept_structures(store: Store, digest: str) -> int | None:
    """Return how many structures a store had when it had a digest, if they are its first ones; else None.

    Parameters
    ----------
    store
        The store.
    digest
        The digest that it had.
    """
    return log(store).grew_from(digest)


def unlabelled(labels: Labels, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those of some structures that have no label, and no reason why not; reads what has to be read.

    Parameters
    ----------
    labels
        The labels that are there.
    chosen
        Structures, ascending.
    """
    n = labels.n_structures
    there, new = np.split(chosen, [int(np.searchsorted(chosen, n))])
    if any(labels.coverage(name) == n for name in labels.fields):
        return new
    known = labels.failure_codes() >= 0
    for name in labels.fields:
        known |= labels.present(name)
    return np.concatenate([there[~known[there]], new])


def completed(
    labels: Labels | None,
    new: NDArray[np.int64],
    columns: Sequence[LabelColumn],
    failures: Failures | None,
    offsets: NDArray[np.int64],
) -> tuple[list[LabelColumn], Failures | None]:
    """Return labels of some structures with those that others have; what nobody has is missing.

    Parameters
    ----------
    labels
        Those of others, if there are any.
    new
        The structures that got labels, ascending.
    columns, failures
        Their labels, in rows of these structures only, and why some have none.
    offsets
        Row edges of all structures, shape (n_structures + 1,).

    Raises
    ------
    InputError
        If a label comes in shapes that no array can hold.
    """
    n = len(offsets) - 1
    mine = np.zeros(n, dtype=bool)
    mine[new] = True
    rows = {True: _Rows.of(mine, offsets), False: _Rows.of(mine, np.arange(n + 1))}
    first = int(new.min(initial=n))  # what stands before it stays as it is
    made = {column.field.name: column for column in columns}
    found = []
    for name in sorted({*made, *(() if labels is None else labels.fields)}):
        there, here = None if labels is None else labels.fields.get(name), made.get(name)
        row: Any = there if here is None else here.field if there is None else joined_field(there, here.field)
        old = labels if there is not None else None
        both = _Both(row, old, here, rows[row.level == ATOM], mine)
        present = None if row.presence() is None else both.present()
        said = {} if old is None else old.store.array_attrs(old.array(name))
        attrs = {"source_units": said["source_units"]} if "source_units" in said else {}
        kept = None
        if old is not None:
            n_kept = min(first, old.n_structures)
            n_rows, is_all = int(both.rows.offsets[n_kept]), n_kept == old.n_structures
            kept = KeptLabels(old.store, old.array(name), n_kept, n_rows, is_all)
        found.append(LabelColumn(row, both.read, present, attrs, kept))
    return found, _joined(labels, mine, failures)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Which rows are those of new structures: `mine` of all, whose rows begin and end at `offsets`."""

    mine: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    before: NDArray[np.int64]

    @classmethod
    def of(cls, mine: NDArray[np.bool_], offsets: NDArray[np.int64]) -> Self:
        """Return the rows of these structures."""
        return cls(mine, offsets, counts_to_offsets(np.where(mine, np.diff(offsets), 0)))

    def flags(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return which of some rows are theirs."""
        first = int(np.searchsorted(self.offsets, start, side="right")) - 1
        last = int(np.searchsorted(self.offsets, stop, side="left"))
        edges = np.clip(self.offsets[first : last + 1], start, stop)
        return np.repeat(self.mine[first:last], np.diff(edges))

    def place(self, row: int) -> int:
        """Return how many of theirs come before a row."""
        k = min(int(np.searchsorted(self.offsets, row, side="right")), len(self.mine)) - 1
        return int(self.before[k] + (row - self.offsets[k]) * self.mine[k])


@dataclass(frozen=True, eq=False)
class _Both:
    """A field, of which some structures have new rows."""

    field: Field
    labels: Labels | None
    made: LabelColumn | None
    rows: _Rows
    mine: NDArray[np.bool_]

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows."""
        name, new = self.field.name, self.rows.flags(start, stop)
        out = np.full((stop - start, *self.field.shape), self.field.missing, self.field.dtype)
        if self.labels is not None:
            end = min(stop, int(self.rows.offsets[self.labels.n_structures]))
            old = np.flatnonzero(~new[: max(end - start, 0)])
            if len(old):
                out[old] = self.labels.read(name, start, end)[old]
        if self.made is not None and new.any():
            out[new] = self.made.read(self.rows.place(start), self.rows.place(stop))
        return out

    def present(self) -> NDArray[np.bool_]:
        """Return which structures have it."""
        found = np.zeros(len(self.mine), dtype=bool)
        if self.labels is not None:
            found[: self.labels.n_structures] = self.labels.present(self.field.name)
        new = self.made is not None if self.made is None or self.made.present is None else self.made.present
        found[self.mine] = new
        return found


def _joined(labels: Labels | None, mine: NDArray[np.bool_], failures: Failures | None) -> Failures | None:
    """Return the reasons of both."""
    texts: dict[str, int] = {}
    codes = np.full(len(mine), -1, dtype=np.int32)
    if labels is not None:
        texts = {text: k for k, text in enumerate(labels.failure_texts())}
        codes[: labels.n_structures] = labels.failure_codes()
    if failures is not None:
        own = np.array([*(texts.setdefault(text, len(texts)) for text in failures.texts), -1], np.int32)
        codes[mine] = own[failures.codes]
    return Failures(codes, list(texts)) if texts else None
