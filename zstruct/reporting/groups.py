"""Groups of structures for drawings: the largest ones, and the rest together; which label makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.errors import InputError, UnknownNameError
from zstruct.query import StoreTable
from zstruct.schema import STRUCTURE
from zstruct.stats.scan import Part
from zstruct.store.scattered import read_scattered
from zstruct.text import counted

__all__ = ["Groups", "groups_of", "largest"]

_MOST = 12  # groups that are told apart in a drawing
_USUAL = ("config_type", "head")
_FEW, _MANY = 2, 50  # labels that are taken if nobody says which


def largest(
    codes: NDArray[np.int64], texts: Sequence[str], most: int = _MOST
) -> tuple[NDArray[np.int64], list[str]]:
    """Return codes and names of the largest groups, the largest first, and of the smaller ones together.

    Parameters
    ----------
    codes
        The place of its label in `texts` for each structure; negative for those that have none, which are a
        group called "none".
    texts
        The labels.
    most
        How many groups there are at most.

    Examples
    --------
    >>> largest(np.array([0, 1, 1, -1, 2]), ["a", "b", "c"], 3)
    (array([1, 0, 0, 2, 2]), ['b', 'a', '2 other groups'])
    """
    codes = np.where(codes < 0, len(texts), codes)
    sizes = np.bincount(codes, minlength=len(texts) + 1)
    names = [*texts, "none"]
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 0]
    rank = np.empty(len(sizes), np.int64)
    rank[order] = np.arange(len(order))
    if len(order) <= most:
        return rank[codes], [names[k] for k in order]
    kept = most - 1
    others = counted(len(order) - kept, "other group")
    return np.minimum(rank[codes], kept), [*(names[k] for k in order[:kept]), others]


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups that structures of a store are in.

    Parameters
    ----------
    by
        The label that makes them; None: all structures are one group.
    codes
        The place of its group in `names` for each structure, shape (n,).
    names
        What the groups are called, the largest first.
    """

    by: str | None
    codes: NDArray[np.int64]
    names: Sequence[str]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Structures of each group, shape (n_groups,)."""
        return np.bincount(self.codes, minlength=len(self.names))


def groups_of(part: Part, by: str | None) -> Groups:
    """Return the groups of structures by a label that is asked for, or by the one that says most.

    Parameters
    ----------
    part
        The structures.
    by
        A field of texts. By default the author's group label, else another field with a few different texts.

    Raises
    ------
    UnknownNameError
        If the store has no such field.
    InputError
        If it has no texts.
    """
    store = part.store
    there = {name: row for name, row in store.fields.items() if row.dims == (STRUCTURE,)}
    texts = [name for name, row in there.items() if row.kind == "category"]
    if by is None:
        by = _usual(part, texts)
        if by is None:
            return Groups(None, np.zeros(len(part), np.int64), ["all structures"])
    elif not isinstance(by, str) or by not in there:
        raise UnknownNameError(
            f"{store.path} has no field {shown(by)} of structures; it has {', '.join(there)}"
        )
    elif by not in texts:
        raise InputError(
            f"{by} has numbers, and groups are made by texts: {', '.join(texts) or 'there are none'}"
        )
    codes = read_codes(part, by)
    return Groups(by, *largest(codes, StoreTable(store).texts(by)))


def read_codes(part: Part, name: str) -> NDArray[np.int64]:
    """Return the codes of the texts of a field, shape (n,)."""
    rows: NDArray[Any] = (
        part.store.read(name) if part.rows is None else read_scattered(part.store, name, part.rows)
    )
    return rows.astype(np.int64)


def _usual(part: Part, texts: Sequence[str]) -> str | None:
    """Return the label that says most: the author's, else one of few different texts; formulas last."""
    last = [name for name in ("source", "formula") if name in texts]
    order = [
        *(name for name in _USUAL if name in texts),
        *(x for x in texts if x not in (*_USUAL, *last)),
        *last,
    ]
    for name in order:
        n = len(np.unique(read_codes(part, name)))
        if n >= _FEW and (n <= _MANY or name in _USUAL):
            return name
    return None
