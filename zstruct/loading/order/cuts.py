"""Where an order of structures is cut into batches: by number, atoms or edges, and by size in buckets.

Numbers in, numbers out: nothing here knows of stores, samplers or torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zstruct.arguments import whole
from zstruct.random import permuted, shuffled

__all__ = ["Batches", "alike", "budget", "check_size", "cut", "in_rows", "order", "sizes_of", "stops_of"]

#: Sizes by structure, and the most that a batch may have of them together.
Budget = tuple[NDArray[Any], int]
#: Returns where the batches of some structures end, but for a last one that would take more.
Stops = Callable[[NDArray[np.int64]], Sequence[int]]

_CHUNK = 1 << 14  # small enough for the second-level cache, large enough that NumPy's overhead is nothing
_BUCKETS = 3  # the samplers use other numbers in the place of this in their keys


def order(n: int, shuffle: bool, seed: int, epoch: int) -> Iterator[NDArray[np.int64]]:
    """Yield ``range(n)``, or a permutation of it, in pieces."""
    for k in range(0, n, _CHUNK):
        places = np.arange(k, min(k + _CHUNK, n), dtype=np.int64)
        yield permuted(places, n, seed, epoch) if shuffle else places


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


def check_size(batch_size: int | None, bucket_size: int | None, bounded: bool) -> None:
    """Raise if so many structures make no batch or no bucket; `bounded` says whether there is a budget."""
    if batch_size is None and not bounded:
        raise ValueError("nothing says how large batches are: give max_atoms, max_edges or batch_size")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size is a number of structures, at least 1, not {batch_size}")
    if bucket_size is not None and bucket_size < 1:
        raise ValueError(f"bucket_size is a number of structures, at least 1, not {bucket_size}")
    if bucket_size is not None and batch_size is not None and not bounded and bucket_size % batch_size:
        raise ValueError(
            f"bucket_size is a number of structures, a multiple of batch_size={batch_size} such as "
            f"{32 * batch_size}, not {bucket_size}"
        )


@dataclass(frozen=True)
class Batches:
    """How all structures come in batches, once; `StructureReader.batches` says what the options mean."""

    batch_size: int = 1
    shuffle: bool = False
    seed: int = 0
    epoch: int = 0
    bucket_size: int | None = None
    max_atoms: int | None = None
    max_edges: int | None = None
    drop_last: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "seed", "epoch", "bucket_size", "max_atoms", "max_edges"):
            object.__setattr__(self, name, whole(name, getattr(self, name)))
        for name in ("batch_size", "seed", "epoch"):
            if getattr(self, name) is None:
                raise TypeError(f"{name} is a whole number, not None")
        for name in ("shuffle", "drop_last"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise TypeError(f"{name} is True or False, not {getattr(self, name)!r}")
        if self.seed < 0 or self.epoch < 0:
            raise ValueError(f"seed and epoch must not be negative, but are {self.seed} and {self.epoch}")
        check_size(self.batch_size, self.bucket_size, self._bounded)

    @property
    def _bounded(self) -> bool:
        return self.max_atoms is not None or self.max_edges is not None

    def of(
        self, n: int, n_atoms: Callable[[], ArrayLike], n_edges: Callable[[], ArrayLike]
    ) -> Iterator[NDArray[np.int64]]:
        """Return batches of ``range(n)``.

        Parameters
        ----------
        n
            Structures.
        n_atoms, n_edges
            Return the atoms and the edges of every structure, where these are asked for.

        Raises
        ------
        ValueError
            If a structure alone has more than `max_atoms` or `max_edges`.
        """
        # As of the torch loader: an order of its own would be another shuffle with the same seed.
        budgets, atoms = [], np.empty(0, np.int64)
        if self.max_atoms is not None or self.bucket_size is not None:
            atoms = sizes_of(n_atoms(), "n_atoms", n)
        if self.max_atoms is not None:
            budgets.append(budget(atoms, self.max_atoms, "atoms"))
        if self.max_edges is not None:
            budgets.append(budget(sizes_of(n_edges(), "n_edges", n), self.max_edges, "edges"))
        most = None if budgets and self.batch_size == 1 else self.batch_size
        stops = partial(stops_of, size=most, budgets=budgets)
        chunks = order(n, self.shuffle, self.seed, self.epoch)
        if self.bucket_size is None:
            return cut(chunks, stops, self.drop_last)
        buckets, last = in_rows(chunks, self.bucket_size), (n - 1) // self.bucket_size
        return alike(buckets, atoms, stops, self.drop_last, self.seed, self.epoch, last=last)
