"""Cell and periodicity of extended XYZ, from the keys Lattice and pbc."""

from __future__ import annotations

import numpy as np

from zstruct.sources.source import RawColumn
from zstruct.sources.xyz import kernels
from zstruct.sources.xyz.bad_frames import Faults
from zstruct.sources.xyz.comments import NUMERIC, TWICE, Comments
from zstruct.sources.xyz.texts import spell

__all__ = ["geometry"]

_THREE = "one or three of T and F"
_MATRIX = 3 << kernels.ROWS | 3
_TRUTHS = {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}


def geometry(comments: Comments, faults: Faults) -> dict[str, RawColumn]:
    """Return the columns ``cell`` and ``pbc``; what can't be one makes its frame bad.

    A Lattice of zeros is none. Without a pbc, a structure repeats along every vector of its Lattice
    that is not zero.
    """
    table: dict[str, RawColumn] = {}
    cell = np.zeros((comments.n, 3, 3))
    in_cell = np.zeros(comments.n, dtype=bool)
    where = comments.values_of("Lattice")
    if where.stop > where.start:
        rows = np.arange(where.start, where.stop)
        flags = np.left_shift(1, comments.kinds[rows].astype(np.int64))
        lengths = comments.lengths[rows]
        good = (flags & NUMERIC > 0) & ((lengths == 9) | (lengths == _MATRIX)) & ~comments.doubled[rows]
        for row in rows[~good].tolist():
            faults.add(int(comments.frame[row]), _not_special(comments, row, "Lattice", "nine numbers"))
        for length in (9, _MATRIX):
            some = rows[good & (lengths == length)]
            if len(some):
                kinds = int(np.bitwise_or.reduce(flags[good & (lengths == length)]))
                values = comments.numeric_rows(some, length, kinds).reshape(-1, 3, 3)
                # Vectors are the columns of a matrix, as libAtoms' own parser has it.
                cell[comments.frame[some]] = values.transpose(0, 2, 1) if length == _MATRIX else values
                in_cell[comments.frame[some]] = True
        if in_cell.any():
            table["cell"] = RawColumn(cell, None if in_cell.all() else in_cell)
    where = comments.values_of("pbc")
    rows = np.arange(where.start, where.stop)
    rows = rows[comments.kinds[rows] != kernels.V_EMPTY]
    silent = len(rows) < comments.n
    pbc = (cell != 0).any(axis=2) if silent and in_cell.any() else np.zeros((comments.n, 3), dtype=bool)
    kind, length = comments.kinds[rows], comments.lengths[rows]
    good = np.isin(kind, (kernels.V_BOOL, kernels.V_INT, kernels.V_J_INTS)) & np.isin(length, (0, 1, 3))
    good &= ~comments.doubled[rows]
    for row in rows[~good].tolist():
        truths = _truths(spell(comments.text, *comments.spans[row]))
        if truths is None or comments.doubled[row]:
            faults.add(
                int(comments.frame[row]), _not_special(comments, row, "pbc", "one or three of T and F")
            )
        else:
            pbc[comments.frame[row]] = truths
    three, one = rows[good & (length == 3)], rows[good & (length < 3)]
    pbc[comments.frame[three]] = comments.elements(three, 3) != 0
    pbc[comments.frame[one]] = comments.elements(one, 1) != 0
    known = in_cell.copy()
    known[comments.frame[rows]] = True
    if known.any():
        table["pbc"] = RawColumn(pbc, None if known.all() else known)
    return table


def _not_special(comments: Comments, row: int, name: str, wanted: str) -> str:
    if comments.doubled[row]:
        return TWICE.format(name)
    return f"{name} must be {wanted}, not {spell(comments.text, *comments.spans[row])[:80]!r}"


def _truths(written: str) -> list[bool] | None:
    """Return what a pbc in an unusual spelling (``t t f``, ``TTF``) says of each vector."""
    words = written.lower().replace(",", " ").split()
    if len(words) == 1 and len(words[0]) == 3:
        words = list(words[0])
    truths = [_TRUTHS[word] for word in words if word in _TRUTHS]
    return truths * (3 // len(truths)) if len(truths) == len(words) and len(truths) in (1, 3) else None
