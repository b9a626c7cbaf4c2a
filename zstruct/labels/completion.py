"""Labels that some structures lack, put to those that are there: of structures that came later, say.

What is there stays as it is; only structures without any label, for which no reason is known, are labelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.labels.label_tasks import joined_field
from zstruct.labels.writer import Failures, LabelColumn
from zstruct.schema import ATOM, Field
from zstruct.store.labels import Labels

__all__ = ["completed", "unlabelled"]


def unlabelled(labels: Labels, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those of some structures that have no label, and no reason why not; reads what has to be read.

    Parameters
    ----------
    labels
        The labels that are there.
    chosen
        Structures, ascending.
    """
    n = labels.store.n_structures
    if any(labels.coverage(name) == n for name in labels.fields):
        return chosen[:0]
    known = labels.failure_codes() >= 0
    for name in labels.fields:
        known |= labels.present(name)
    return chosen[~known[chosen]]


def completed(
    labels: Labels,
    new: NDArray[np.int64],
    columns: Sequence[LabelColumn],
    failures: Failures | None,
    offsets: NDArray[np.int64],
) -> tuple[list[LabelColumn], Failures | None]:
    """Return labels that are there with those of other structures put to them.

    Parameters
    ----------
    labels
        Those that are there.
    new
        The structures that got labels, ascending.
    columns, failures
        Their labels, in rows of all structures, and why some have none.
    offsets
        Row edges of the structures, shape (n_structures + 1,).

    Raises
    ------
    InputError
        If a label comes in shapes that no array can hold.
    """
    mine = np.zeros(len(offsets) - 1, dtype=bool)
    mine[new] = True
    made = {column.field.name: column for column in columns}
    found = []
    for name in sorted({*labels.fields, *made}):
        there, here = labels.fields.get(name), made.get(name)
        row: Any = there if here is None else here.field if there is None else joined_field(there, here.field)
        rows = np.repeat(mine, np.diff(offsets)) if row.level == ATOM else mine
        read = partial(_Both(row, labels if there is not None else None, here, rows).read)
        present = None
        if row.presence() is not None:
            old = np.zeros(len(mine), dtype=bool) if there is None else labels.present(name)
            of_new = mine.copy()
            if here is None:
                of_new[:] = False
            elif here.present is not None:
                of_new &= here.present
            present = np.where(mine, of_new, old)
        said = {} if there is None else labels.store.array_attrs(labels.array(name))
        attrs = {"source_units": said["source_units"]} if "source_units" in said else {}
        found.append(LabelColumn(row, read, present, attrs))
    return found, _joined(labels, mine, failures)


@dataclass(frozen=True, eq=False)
class _Both:
    """The rows of a field, of which some are new."""

    field: Field
    labels: Labels | None
    made: LabelColumn | None
    new: NDArray[np.bool_]

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows."""
        row, new = self.field, self.new[start:stop]
        out = np.full((stop - start, *row.shape), row.missing, row.dtype)
        if self.labels is not None and not new.all():
            out[~new] = self.labels.read(row.name, start, stop)[~new]
        if self.made is not None and new.any():
            out[new] = self.made.read(start, stop)[new]
        return out


def _joined(labels: Labels, mine: NDArray[np.bool_], failures: Failures | None) -> Failures | None:
    """Return the reasons of both."""
    if failures is None and not labels.has_failures:
        return None
    texts = {text: k for k, text in enumerate(labels.failure_texts())}
    codes = labels.failure_codes()
    codes[mine] = -1
    if failures is not None:
        own = np.array([*(texts.setdefault(text, len(texts)) for text in failures.texts), -1], np.int32)
        codes[mine] = own[failures.codes[mine]]
    return Failures(codes, list(texts))
