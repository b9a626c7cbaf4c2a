"""Where an order of structures is cut into batches: by number, atoms or edges, and by size in buckets.

Numbers in, numbers out: nothing here knows of stores, samplers or torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zstruct.random import shuffled

__all__ = ["alike", "budget", "cut", "in_rows", "sizes_of", "stops_of"]

#: Sizes by structure, and the most that a batch may have of them together.
Budget = tuple[NDArray[Any], int]
#: Returns where the batches of some structures end, but for a last one that would take more.
Stops = Callable[[NDArray[np.int64]], Sequence[int]]

_BUCKETS = 3  # the samplers use other numbers in the place of this in their keys


def cut(chunks: Iterator[NDArray[np.int64]], stops: Stops, drop_last: bool) -> Iterator[NDArray[np.int64]]:
    """Yield the batches of structures that come in pieces."""
    left = np.empty(0, dtype=np.int64)
    for chunk in chunks:
        whole, k = np.concatenate([left, chunk]) if len(left) else chunk, 0
        for stop in stops(whole):
            yield whole[k:stop]
            k = stop
        left = whole[k:]
    if len(left) and not drop_last:
        yield left


def stops_of(
    structures: NDArray[np.int64], size: int | None, budgets: Sequence[Budget] = ()
) -> Sequence[int]:
    """Return where batches end, but for a last one that would take what comes next as well.

    Parameters
    ----------
    structures
        In order, shape (n,).
    size
        Structures in a batch; with budgets the most of them, or None for any number.
    budgets
        What else bounds a batch.

    Examples
    --------
    >>> stops_of(np.arange(4), None, [(np.array([3, 3, 8, 1]), 9)])
    [2]
    """
    n = len(structures)
    if not budgets:
        assert size is not None
        return range(size, n + 1, size)
    # Where a batch ends that begins at each place; past the end: not here.
    stops = np.full(n, n + 1) if size is None else np.arange(size, n + size)
    for sizes, most in budgets:
        total = np.zeros(n + 1, dtype=np.int64)
        np.cumsum(sizes[structures], dtype=np.int64, out=total[1:])
        fits = np.searchsorted(total, total[:-1] + most, side="right") - 1
        fits[fits == n] = n + 1
        np.minimum(stops, fits, out=stops)
    found, k = [], 0
    while k < n and (k := stops.item(k)) <= n:
        found.append(k)
    return found


def alike(
    buckets: Iterator[NDArray[np.int64]],
    n_atoms: NDArray[Any],
    stops: Stops,
    drop_last: bool,
    *key: int,
    begin: int = 0,
    last: int,
) -> Iterator[NDArray[np.int64]]:
    """Yield batches of structures of similar size, of one bucket after the other.

    Parameters
    ----------
    buckets
        Structures in order.
    n_atoms
        Atoms of every structure.
    stops
        Where batches end.
    drop_last
        Whether to leave out those that come last in the order and make no full batch.
    *key
        Chooses the order of the batches of a bucket.
    begin, last
        The number of the first bucket given, and that of the last one of the order.
    """
    for k, structures in enumerate(buckets, begin):
        if drop_last and k >= last:
            # Before they are sorted: else it would always be the largest ones that are left out.
            structures = structures[: max(stops(structures), default=0)]
        structures = structures[np.argsort(n_atoms[structures], kind="stable")]
        ends = list(stops(structures))
        if len(structures) and (not ends or ends[-1] < len(structures)):
            ends.append(len(structures))
        for i in shuffled(len(ends), *key, _BUCKETS, k).tolist():
            yield structures[ends[i - 1] if i else 0 : ends[i]]


def sizes_of(given: ArrayLike, name: str, n: int) -> NDArray[Any]:
    """Return the sizes of structures in the smallest dtype: sorting is linear in those of 16 bits."""
    sizes = np.asarray(given)
    if sizes.shape != (n,) or (n and sizes.dtype.kind not in "iu"):
        raise ValueError(
            f"{name} is a whole number for each of the sampler's {n:,} structures, "
            f"not {sizes.dtype} of shape {sizes.shape}"
        )
    return sizes.astype(np.min_scalar_type(int(sizes.max(initial=0))))


def budget(sizes: NDArray[Any], most: int, what: str) -> Budget:
    """Return a budget, unless a structure passes it alone."""
    if len(sizes) and sizes.max() > most:
        i = int(sizes.argmax())
        raise ValueError(
            f"structure {i} of the dataset has {sizes[i]:,} {what}, more than max_{what}={most}: "
            f"raise max_{what}, or leave out the {np.count_nonzero(sizes > most):,} structures that have more"
        )
    return sizes, min(most, np.iinfo(np.int64).max // 2)  # rows are added to it


def in_rows(chunks: Iterator[NDArray[np.int64]], n: int) -> Iterator[NDArray[np.int64]]:
    """Yield what comes in chunks in arrays of length `n`, the last one perhaps shorter."""
    parts: list[NDArray[np.int64]] = []
    missing = n
    for chunk in chunks:
        while len(chunk) >= missing:
            yield np.concatenate([*parts, chunk[:missing]])
            chunk, parts, missing = chunk[missing:], [], n
        parts.append(chunk)
        missing -= len(chunk)
    if missing < n:
        yield np.concatenate(parts)
