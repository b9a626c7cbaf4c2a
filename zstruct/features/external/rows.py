"""What rows are of: atoms, structures, or of each structure's own. Decided by how many there are, or refused.

Nothing is guessed where two readings are possible, and nothing is taken for rows of its own that may be rows
of atoms with one lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.features.external.numbers import as_numbers, stored_dtype
from zstruct.features.external.spool import Spool
from zstruct.schema import ATOM, STRUCTURE
from zstruct.store.spec import OWN
from zstruct.text import counted

__all__ = ["Counts", "FeatureLevel", "Rows", "of_pieces", "of_table"]

FeatureLevel = Literal["atom", "structure", "row"]
_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True, eq=False)
class Counts:
    """How many structures a store has, and how many atoms each of them.

    Parameters
    ----------
    n_atoms
        Shape (n,).
    numbers
        Returns the atomic numbers of all atoms.
    """

    n_atoms: NDArray[np.int64]
    numbers: Callable[[], NDArray[np.uint8]]

    @property
    def structures(self) -> int:
        """Number of structures."""
        return len(self.n_atoms)

    @property
    def atoms(self) -> int:
        """Number of atoms."""
        return int(self.n_atoms.sum())


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of features that fit a store.

    Parameters
    ----------
    level
        What they are of.
    dtype
        In which they are stored.
    shape
        How many, and how many features.
    read
        Returns rows from the first to before the second, as they were given.
    counts
        Rows of each structure, if they have rows of their own.
    """

    level: FeatureLevel
    dtype: np.dtype
    shape: tuple[int, int]
    read: Callable[[int, int], NDArray[Any]]
    counts: NDArray[np.int64] | None = None

    def numbers(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows in the dtype in which they are stored, infinite ones too.

        Raises
        ------
        InputError
            If they can't be read, or a number can't be stored so.
        """
        try:
            found = self.read(start, stop)
        except (TypeError, ValueError) as error:
            raise InputError(f"rows {start} to {stop} of the values can't be read: {error}") from error
        return as_numbers(found.reshape(stop - start, self.shape[1]), self.dtype)

    def block(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows as they are stored.

        Raises
        ------
        InputError
            If a number can't be stored so, or is infinite.
        """
        block = self.numbers(start, stop)
        if block.dtype.kind == "f" and np.isinf(block).any():
            row = start + int(np.flatnonzero(np.isinf(block).any(axis=1))[0])
            raise InputError(f"row {row} of the values is infinite; where a value is missing, give NaN")
        return block

    def blocks(self) -> Iterator[NDArray[Any]]:
        """Yield all rows, some at a time."""
        n, width = self.shape
        step = max(1, _BLOCK_BYTES // max(1, width * self.dtype.itemsize))
        for start in range(0, n, step):
            yield self.block(start, min(start + step, n))


def of_table(values: Any, counts: Counts, level: FeatureLevel | None, dtype: str | None) -> Rows:
    """Return the rows of a table: an array, or what has shape and dtype and returns rows when sliced.

    Raises
    ------
    InputError
        If it does not fit.
    """
    if not all(isinstance(size, (int, np.integer)) for size in values.shape):
        raise InputError(
            f"values have the shape {tuple(values.shape)}: how many rows there are is not known before they "
            "are computed; call values.compute_chunk_sizes() first, or values.compute()"
        )
    if hasattr(values, "toarray"):
        raise InputError("values are a sparse matrix: features are stored densely, pass values.toarray()")
    n, rest = int(values.shape[0]), tuple(map(int, values.shape[1:]))
    if 0 in rest:
        raise InputError(f"values have the shape {(n, *rest)}: there are no features in their rows")
    if len(rest) > 1:
        raise InputError(
            f"values have the shape {(n, *rest)}: features are numbers in rows; reshape them to ({n}, "
            f"{int(np.prod(rest))})"
        )
    found: FeatureLevel = _level_of(n, counts, level)
    stored = stored_dtype(np.dtype(values.dtype), dtype)

    def read(start: int, stop: int) -> NDArray[Any]:
        return np.asarray(values[start:stop])

    return Rows(found, stored, (n, rest[0] if rest else 1), read)


def of_pieces(spool: Spool, counts: Counts, level: FeatureLevel | None) -> Rows:
    """Return the rows of arrays that were given one for each structure.

    Raises
    ------
    InputError
        If they do not fit.
    """
    lengths, one_axis = spool.lengths, spool.ndim == 1
    if spool.ndim == 0:
        raise InputError("there are no values")
    same = bool(len(lengths) and (lengths == lengths[0]).all())
    if len(lengths) != counts.structures:
        if one_axis and same:  # rows of a table, one after the other
            return of_table(spool.rows(int(lengths[0])), counts, level, None)
        raise InputError(
            f"there are arrays for {counted(len(lengths), 'structure')}, and the store has "
            f"{counts.structures:,}"
        )
    atoms = bool((lengths == counts.n_atoms).all())
    single = same and lengths[0] == 1
    fits: list[FeatureLevel] = [ATOM] if atoms else []
    if (one_axis and same) or single:
        fits.append(STRUCTURE)
    if one_axis and same and counts.structures == counts.atoms and ATOM not in fits:
        fits.append(ATOM)
    if level is None and len(fits) > 1:
        raise InputError(_which("arrays of this size are rows of atoms as well as of structures"))
    if level is None and not fits:
        raise InputError(
            f"{_unlike(lengths, counts)}: if rows are not atoms but residues, say, pass level='row'"
        )
    chosen: FeatureLevel = fits[0] if level is None else level
    if chosen != OWN and chosen not in fits:
        raise InputError(f"level={chosen!r}: {_unlike(lengths, counts)}")
    width = spool.width
    if (chosen == STRUCTURE and one_axis) or (chosen == ATOM and not atoms):
        width = int(lengths[0])
    table = spool.rows(width)

    def read(start: int, stop: int) -> NDArray[Any]:
        return table[start:stop]

    own = lengths if chosen == OWN else None
    return Rows(chosen, spool.dtype, (len(table), width), read, own)


def _level_of(n: int, counts: Counts, level: FeatureLevel | None) -> FeatureLevel:
    """Return what the rows of a table are of."""
    there = {ATOM: counts.atoms, STRUCTURE: counts.structures}
    if level == OWN:
        raise InputError(
            "level='row' takes one array for each structure, in a list, an iterator or an Awkward array: a "
            "table does not say whose its rows are"
        )
    fits: list[FeatureLevel] = [name for name, rows in there.items() if rows == n]
    has = f"{counted(counts.structures, 'structure')} and {counted(counts.atoms, 'atom')}"
    if level is not None:
        if level not in fits:
            raise InputError(f"level={level!r}: there are {n:,} rows of values, and the store has {has}")
        return level
    if not fits:
        raise InputError(
            f"there are {n:,} rows of values, and the store has {has}: give a row for each of either"
        )
    if len(fits) > 1:
        raise InputError(_which(f"{n:,} rows are as many as there are atoms, and as there are structures"))
    return fits[0]


def _which(why: str) -> str:
    return f"{why}: say which, with level='atom' or level='structure'"


def _unlike(lengths: NDArray[np.int64], counts: Counts) -> str:
    """Return where arrays have not a row for each atom."""
    where = np.flatnonzero(lengths != counts.n_atoms)
    if not len(where):
        return "each array has a row for each atom"
    k = int(where[0])
    return (
        f"the array of structure {k} has {counted(int(lengths[k]), 'row')}, and the structure "
        f"{counted(int(counts.n_atoms[k]), 'atom')}"
    )
