"""The axes along which vectors spread, out of core: of their squares about the origin or about the mean.

The eigenvectors of the sum of all outer products are the right singular vectors of the matrix of all
vectors. That sum is small, and each vector is looked at once. Where it is not small, a few axes are found
without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.coverage.vectors import Vectors

__all__ = ["Spectrum", "blocks_of", "first_axes", "mean_of", "spectrum_of"]

_WIDE = 4096  # features up to which the products of all of them with all are added up
_MORE, _ROUNDS = 16, 6  # axes that are looked for beside those that are wanted, and how often
_NOISE = 1e-13  # of the largest eigenvalue, for each feature: what rounding leaves where there is nothing


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The axes of vectors, the one with the largest spread first.

    Parameters
    ----------
    mean
        What was taken off of the vectors, shape (width,).
    axes
        One axis in each column, of length 1, shape (width, rank); the largest component of each is positive.
    squares
        The sum of the squares of all vectors along each, shape (rank,).
    total
        The sum of the squares of all vectors.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    squares: NDArray[np.float64]
    total: float

    @property
    def rank(self) -> int:
        """How many axes there are along which vectors differ by more than rounding."""
        return len(self.squares)

    def first(self, n: int) -> Spectrum:
        """Return the first axes."""
        return Spectrum(self.mean, self.axes[:, :n], self.squares[:n], self.total)

    def along(self, block: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where some vectors lie along the axes, shape (n, rank)."""
        return (block - self.mean) @ self.axes

    def leverage(self, block: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the squares of some vectors along the axes, each as a part of those of all, shape (n,)."""
        parts = self.along(block) / np.sqrt(self.squares)
        found: NDArray[np.float64] = np.einsum("ij,ij->i", parts, parts)
        return found


def spectrum_of(vectors: Vectors, *, centred: bool) -> Spectrum:
    """Return the axes of vectors, without those along which there is nothing but rounding.

    Parameters
    ----------
    vectors
        The vectors.
    centred
        Whether their mean is taken off first.
    """
    mean = mean_of(vectors) if centred else np.zeros(vectors.shape[1])

    def outer(cut: tuple[int, int]) -> NDArray[np.float64]:
        block = vectors.block(*cut) - mean
        return block.T @ block

    whole = _summed(vectors, outer)
    squares, axes = np.linalg.eigh(whole)
    return _spectrum(mean, squares, axes, float(np.trace(whole)))


def first_axes(vectors: Vectors, n: int) -> Spectrum:
    """Return the axes along which vectors spread most about their mean.

    Of very many features, random directions are turned towards these axes, round by round (Halko, Martinsson
    and Tropp, 2011): what is found is a little less exact, and takes much less memory.

    Parameters
    ----------
    vectors
        The vectors.
    n
        How many axes are wanted; there may be fewer.
    """
    width = vectors.shape[1]
    if width <= max(_WIDE, n + _MORE):
        return spectrum_of(vectors, centred=True).first(n)
    mean = mean_of(vectors)
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(width, n + _MORE)))[0]

    def turned(cut: tuple[int, int]) -> NDArray[np.float64]:
        block = vectors.block(*cut) - mean
        return np.concatenate([block.T @ (block @ axes), [np.full(axes.shape[1], np.vdot(block, block))]])

    for _ in range(_ROUNDS):
        found = _summed(vectors, turned)
        last, axes = axes, np.linalg.qr(found[:-1])[0]
    squares, turn = np.linalg.eigh(last.T @ found[:-1])
    return _spectrum(mean, squares, last @ turn, float(found[-1, 0])).first(n)


def mean_of(vectors: Vectors) -> NDArray[np.float64]:
    """Return the mean of vectors, shape (width,)."""
    total = np.zeros(vectors.shape[1])
    for _, block in blocks_of(vectors):
        total += block.sum(axis=0)
    return total / len(vectors)


def _summed(
    vectors: Vectors, function: Callable[[tuple[int, int]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return the sum of what a function makes of each block, by threads."""
    waiting: dict[int, NDArray[np.float64]] = {}
    total: NDArray[np.float64] | None = None
    n = 0
    for k, found in parallel.run(function, list(vectors.blocks()), runs_in="here"):
        waiting[k] = found
        while n in waiting:  # in their order, so that rounding is the same each time
            first = waiting.pop(n)
            total = first if total is None else total + first
            n += 1
    assert total is not None, "there are vectors"
    return total


def _spectrum(
    mean: NDArray[np.float64], squares: NDArray[np.float64], axes: NDArray[np.float64], total: float
) -> Spectrum:
    """Return axes in their order, without those that are rounding, each in its direction."""
    squares, axes = squares[::-1], axes[:, ::-1]
    kept = squares > _NOISE * len(axes) * squares[0]
    squares, axes = squares[kept], axes[:, kept]
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(axes.shape[1])])
    return Spectrum(mean, axes, squares, total)


def blocks_of(vectors: Vectors) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield the vectors in blocks, each with the number of its first."""
    for start, stop in vectors.blocks():
        yield start, vectors.block(start, stop)
