"""The axes along which vectors spread, out of core: of their squares about the origin or about the mean.

The eigenvectors of the sum of all outer products are the right singular vectors of the matrix of all
vectors. That sum is small, and each vector is looked at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.coverage.vectors import Vectors

__all__ = ["Spectrum", "blocks_of", "spectrum_of"]

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
        return np.einsum("ij,ij->i", *[self.along(block) / np.sqrt(self.squares)] * 2)


def spectrum_of(vectors: Vectors, *, centred: bool) -> Spectrum:
    """Return the axes of vectors, without those along which there is nothing but rounding.

    Parameters
    ----------
    vectors
        The vectors.
    centred
        Whether their mean is taken off first.
    """
    width = vectors.shape[1]
    mean = np.zeros(width)
    if centred:
        for _, block in blocks_of(vectors):
            mean += block.sum(axis=0)
        mean /= len(vectors)

    def outer(cut: tuple[int, int]) -> NDArray[np.float64]:
        block = vectors.block(*cut) - mean
        return block.T @ block

    whole, cuts = np.zeros((width, width)), list(vectors.blocks())
    waiting: dict[int, NDArray[np.float64]] = {}
    n = 0
    for k, found in parallel.run(outer, cuts, runs_in="here"):
        waiting[k] = found
        while n in waiting:  # in their order, so that rounding is the same each time
            whole += waiting.pop(n)
            n += 1
    squares, axes = np.linalg.eigh(whole)
    squares, axes = squares[::-1], axes[:, ::-1]
    kept = squares > _NOISE * width * squares[0]
    squares, axes = squares[kept], axes[:, kept]
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(axes.shape[1])])
    return Spectrum(mean, axes, squares, float(np.trace(whole)))


def blocks_of(vectors: Vectors) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield the vectors in blocks, each with the number of its first."""
    for start, stop in vectors.blocks():
        yield start, vectors.block(start, stop)
