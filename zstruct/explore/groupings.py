"""Structures of a Dataset in groups by a label, for drawings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.errors import InputError
from zstruct.explore.arguments import check_labels
from zstruct.explore.ragged_dataset import RaggedDataset
from zstruct.reporting.groups import largest
from zstruct.schema import STRUCTURE

__all__ = ["grouped"]


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
