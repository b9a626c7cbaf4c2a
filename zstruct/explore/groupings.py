"""Structures of a Dataset in groups by a label, for drawings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.errors import InputError
from zstruct.explore.arguments import check_labels
from zstruct.explore.ragged_dataset import RaggedDataset
from zstruct.schema import STRUCTURE
from zstruct.text import counted

__all__ = ["grouped"]

_MOST = 12  # groups that are told apart in a drawing


def grouped(ragged: RaggedDataset, by: str | xr.DataArray) -> tuple[NDArray[np.int64], list[str]]:
    """Return which group each structure is in, and the names of the groups, the largest first.

    Parameters
    ----------
    ragged
        The structures.
    by
        A variable over structures that has labels, or such an array, as ``ds.zs.split()`` returns.

    Raises
    ------
    KeyError
        If there is no such variable.
    InputError
        If it is no label of the structures.
    """
    labels = ragged.values(by)
    if not isinstance(labels, xr.DataArray) or labels.dims != (STRUCTURE,):
        raise InputError(
            f"by is a label of each structure, by name or as an array over them, not {shown(by)}"
        )
    check_labels(labels, ragged.dataset)
    if labels.sizes[STRUCTURE] != ragged.n_structures or labels.dtype.kind == "f":
        raise InputError(
            f"{labels.name} is no label of the {ragged.n_structures:,} structures, but "
            f"{labels.sizes[STRUCTURE]:,} {labels.dtype} values; make labels of numbers with pandas.cut"
        )
    codes, texts = pd.factorize(labels.to_numpy())
    return largest(codes.astype(np.int64), [str(text) for text in texts])


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
