"""Small blocks of structures as one: what thousands of files of one structure each are read as.

Interpreting a block costs the same for one structure as for thousands. How blocks are read, and what becomes
of them, is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.sources.source import Raw, RawColumn

__all__ = ["can_be_joined", "joined"]


def can_be_joined(raw: Raw) -> bool:
    """Tell whether a block means the same among others: of some, the rest must not be lost sight of.

    Statements of units are properties or not by what all of a block's structures say.
    """
    if raw.bad or raw.notes or raw.remarks or raw.types is not None or not len(raw.n_atoms):
        return False
    return not any("unit" in key.lower() for key in raw.structure)


def joined(blocks: Sequence[Raw]) -> Raw:
    """Return blocks as one, their structures one behind the other.

    Columns of a property that differ in form stay columns of their own, with a mask of who has them.

    Parameters
    ----------
    blocks
        Those that `can_be_joined`; none of them is changed.

    Examples
    --------
    >>> def block(energy):
    ...     return Raw(np.array([0]), np.array([1]), structure={"energy": [RawColumn(np.array([energy]))]})
    >>> joined([block(-1.0), block(-2.0)]).structure["energy"][0].values
    array([-1., -2.])
    """
    n_atoms = np.concatenate([raw.n_atoms for raw in blocks])
    edges = np.cumsum([0, *(len(raw.n_atoms) for raw in blocks)])
    counts = np.diff(edges).tolist()
    rows = np.add.reduceat(n_atoms, edges[:-1]).tolist()
    return Raw(
        np.concatenate([raw.frames for raw in blocks]),
        n_atoms,
        _columns([raw.atom for raw in blocks], rows, counts),
        _columns([raw.structure for raw in blocks], counts, counts),
    )


def _columns(
    tables: Sequence[Mapping[str, list[RawColumn]]], rows: Sequence[int], counts: Sequence[int]
) -> dict[str, list[RawColumn]]:
    """Join the columns of all properties, given by block; with the rows and the structures of each block."""
    # By property and form, the column of each block that has one of that form.
    found: dict[str, dict[Any, dict[int, RawColumn]]] = {}
    for k, table in enumerate(tables):
        for name, columns in table.items():
            forms = found.setdefault(name, {})
            for nth, column in enumerate(columns):
                values = column.values
                form: Any = (values.shape[1:], values.dtype, column.unit, column.fault, column.texts is None)
                if k in forms.setdefault(form, {}):
                    form = (*form, nth)
                forms.setdefault(form, {})[k] = column
    return {
        name: [_column(by_block, rows, counts) for by_block in forms.values()]
        for name, forms in found.items()
    }


def _column(by_block: Mapping[int, RawColumn], rows: Sequence[int], counts: Sequence[int]) -> RawColumn:
    """Join columns of one form, given by block."""
    columns = list(by_block.values())
    first = columns[0]
    texts: dict[str, int] = {}
    values = [
        column.values if column.texts is None else _recoded(column.values, column.texts, texts)
        for column in columns
    ]
    present = None
    if len(columns) < len(rows) or any(column.present is not None for column in columns):
        masks = [np.zeros(n, dtype=bool) for n in counts]
        for k, column in by_block.items():
            masks[k][:] = True if column.present is None else column.present
        present = np.concatenate(masks)
    if len(columns) < len(rows):
        there = dict(zip(by_block, values, strict=True))
        shape, dtype = first.values.shape[1:], values[0].dtype
        values = [there[k] if k in there else np.zeros((n, *shape), dtype) for k, n in enumerate(rows)]
    known = None if first.texts is None else list(texts)
    return RawColumn(np.concatenate(values), present, known, first.fault, first.unit)


def _recoded(codes: NDArray[Any], own: Sequence[str], texts: dict[str, int]) -> NDArray[Any]:
    """Return codes of a column's own texts as codes of the texts of all, which get those that they lack."""
    table = np.array([*(texts.setdefault(text, len(texts)) for text in own), -1], dtype=np.int32)
    known = (codes >= 0) & (codes < len(own))  # rows of structures that lack the property hold anything
    return table[np.where(known, codes, -1)]
