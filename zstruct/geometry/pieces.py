"""Work through the neighbours of packed structures piece by piece, by threads, in bounded memory.

Pieces are independent of one another, so threads take different ones and results don't depend on
how many there are. This module knows what a descriptor does with a piece, and nothing of stores.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from zstruct.errors import InputError
from zstruct.geometry.neighbors import PAIRS, Neighbors, neighbor_pieces
from zstruct.geometry.structures import Structures
from zstruct.parallel import cpu_count

__all__ = ["in_threads", "numbered_from", "pieces_of", "shares_of", "visit"]

S = TypeVar("S")
T = TypeVar("T")

_SHARE = 512  # atoms that are worth another thread
_SHARES_PER_THREAD = 4  # so that no thread waits long for the last


def visit(
    function: Callable[[int, Structures, Neighbors], T],
    structures: Structures,
    cutoff: float,
    start: int = 0,
    stop: int | None = None,
    n_threads: int | None = None,
    pairs: int = PAIRS,
) -> list[T]:
    """Call a function on the neighbours of the atoms in rows ``start:stop``, piece by piece.

    Parameters
    ----------
    function
        Called as ``function(row, part, neighbors)``: `part` are some of the structures, `row` is
        that of its first atom, and `neighbors` those of some of its atoms.
    structures
        The packed structures.
    cutoff
        Of the neighbours, in angstrom.
    start, stop
        Rows of the atoms.
    n_threads
        At most so many; by default one per processor.
    pairs
        A piece has about so many.

    Returns
    -------
    list
        What the function returned, in the order of rows.

    Raises
    ------
    InputError, ValueError
        What the function or the neighbour list raised; "structure 3" in it is number 3 of
        `structures`, whatever part the function got.
    """
    end = structures.n_atoms if stop is None else stop

    def share(rows: tuple[int, int]) -> list[T]:
        first = int(np.searchsorted(structures.offsets, rows[0], side="right")) - 1
        last = int(np.searchsorted(structures.offsets, rows[1], side="left"))
        part, row = structures.part(first, last), int(structures.offsets[first])
        with numbered_from(first):
            pieces = neighbor_pieces(part, cutoff, pairs, rows[0] - row, rows[1] - row)
            return [function(row, part, piece) for piece in pieces]

    shares = in_threads(share, shares_of(structures, start, end, n_threads), n_threads)
    return [made for some in shares for made in some]


def shares_of(structures: Structures, start: int, stop: int, n_threads: int | None) -> list[tuple[int, int]]:
    """Return the first and last rows of shares of the atoms in rows ``start:stop``, one after the other."""
    threads = _threads(n_threads)
    shares = min(threads * _SHARES_PER_THREAD, (stop - start) // _SHARE) if threads > 1 else 1
    if shares <= 1:
        return [(start, stop)]
    cuts = np.linspace(start, stop, shares + 1).astype(np.int64)
    inner = structures.offsets[np.searchsorted(structures.offsets, cuts[1:-1], side="right") - 1]
    # At the edge of a structure, unless it is so large that threads should share it.
    near = cuts[1:-1] - inner < (stop - start) / shares / 2
    cuts[1:-1] = np.where(near, np.maximum(inner, start), cuts[1:-1])
    return list(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True))


def in_threads(function: Callable[[S], T], tasks: list[S], n_threads: int | None = None) -> list[T]:
    """Return what a function returns for each task, in their order; at most `n_threads` threads call it."""
    threads = min(_threads(n_threads), len(tasks))
    if threads <= 1:
        return [function(task) for task in tasks]
    with ThreadPoolExecutor(threads, thread_name_prefix="zstruct") as pool:
        return list(pool.map(function, tasks))


def _threads(n_threads: int | None) -> int:
    if n_threads is not None and n_threads < 1:
        raise ValueError(f"n_threads is at least 1, or None for one per processor, not {n_threads}")
    return cpu_count() if n_threads is None else n_threads


def pieces_of(whole: Neighbors) -> Iterator[Neighbors]:
    """Yield the pieces of a list of all neighbours."""
    at = 0
    while at < len(whole):
        low = int(whole.offsets[at])
        end = max(at + 1, int(np.searchsorted(whole.offsets, low + PAIRS, side="right")) - 1)
        rows = slice(low, int(whole.offsets[end]))
        yield Neighbors(
            whole.start + at,
            whole.offsets[at : end + 1] - low,
            whole.indices[rows],
            whole.shifts[rows],
            whole.vectors[rows],
            whole.distances[rows],
        )
        at = end


@contextmanager
def numbered_from(first: int) -> Iterator[None]:
    """Let errors that say "structure 3" count from another number than zero."""

    def renumbered(text: str) -> str:
        return re.sub(r"\bstructure (\d+)\b", lambda found: f"structure {int(found[1]) + first}", text)

    try:
        yield
    except InputError as error:
        raise InputError(renumbered(error.reason), error.source, error.frame) from None
    except ValueError as error:
        text = renumbered(str(error))
        if text == str(error):
            raise
        raise ValueError(text) from error
