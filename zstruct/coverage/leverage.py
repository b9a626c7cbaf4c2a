"""Choose vectors by their leverage: how much each has of the axes along which all of them spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zstruct.coverage.spectrum import blocks_of, spectrum_of
from zstruct.coverage.vectors import Vectors
from zstruct.errors import InputError
from zstruct.random import uniform
from zstruct.text import counted

__all__ = ["leverage_of"]


def leverage_of(
    vectors: Vectors, n: int, rank: int | None = None, seed: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Choose vectors by their leverage scores (Mahoney and Drineas, 2009).

    Parameters
    ----------
    vectors
        The vectors.
    n
        How many to choose, no more than there are.
    rank
        How many axes count, those with the largest spread first. None: all.
    seed
        None: those with the largest scores. Otherwise that of a random choice without repetition, where
        chances are in proportion to scores.

    Returns
    -------
    picked
        Which vectors, in the order in which they were chosen, shape (n,). Of equal scores, the first.
    scores
        Their leverage scores, shape (n,): from 0 to 1, and their sum over all vectors is the rank.

    Raises
    ------
    InputError
        If there are fewer axes.
    """
    spectrum = spectrum_of(vectors, centred=False)
    if rank is not None:
        if rank > spectrum.rank:
            raise InputError(
                f"rank is at most {spectrum.rank}: the {counted(len(vectors), 'structure')} have no more "
                f"independent features, not {rank}"
            )
        spectrum = spectrum.first(rank)
    scores = np.empty(len(vectors))
    for start, block in blocks_of(vectors):
        scores[start : start + len(block)] = spectrum.leverage(block)
    if seed is None:
        order = np.argsort(-scores, kind="stable")
    else:
        # The first of clocks that ring at rates in proportion to scores (Efraimidis, Spirakis, 2006).
        luck = -np.log1p(-uniform(np.arange(len(vectors)), seed))
        with np.errstate(divide="ignore"):
            order = np.argsort(luck / np.maximum(scores, np.finfo(float).tiny), kind="stable")
    picked = order[:n].astype(np.int64)
    return picked, scores[picked]
