"""What users name structures and fields by: positions, labels, masks, mappings; and what of it can't be.

Here arguments become what `selecting` takes, or a sentence. It does not touch atoms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from zstruct.arguments import array_of
from zstruct.errors import InputError
from zstruct.schema import ATOM, STRUCTURE

__all__ = ["check_labels", "fields_of", "labelled", "mask_over", "the_structures"]


def fields_of(dataset: xr.Dataset) -> list[str]:
    """Return the names of all that has a row for each structure or atom: variables, then coordinates."""
    names = [*dataset.data_vars, *(name for name in dataset.coords if name not in dataset.indexes)]
    return [str(name) for name in names if dataset.variables[name].dims[:1] in ((STRUCTURE,), (ATOM,))]


def the_structures(given: Any, method: str) -> Any:
    """Return the structures that an argument names, which may be a mapping as xarray takes it."""
    if isinstance(given, Mapping):
        if set(given) != {STRUCTURE}:
            others = ", ".join(repr(key) for key in given if key != STRUCTURE) or "nothing"
            raise IndexError(
                f"ds.zs.{method} selects structures, {{'structure': ...}}, not {others}; "
                f"ds.{method} of xarray selects along other dimensions"
            )
        return given[STRUCTURE]
    return given


def mask_over(mask: Any, dataset: xr.Dataset) -> Any:
    """Return what `where` was given as a boolean mask.

    Raises
    ------
    IndexError
        If it has no booleans.
    """
    try:
        made = mask(dataset) if callable(mask) else mask
    except Exception as error:
        reason = f"the function that was given as a mask raised {type(error).__name__}: {error}"
        if isinstance(error, AttributeError):
            reason += "; here it is a function of the Dataset, in datasets and readers of the zstruct.Store"
        raise InputError(reason) from error
    values = made if isinstance(made, xr.DataArray) else array_of("a mask", made)
    if values.dtype != bool:
        raise IndexError(f"where takes a boolean mask, not {values.dtype}; isel takes integers")
    return values


def check_labels(given: Any, dataset: xr.Dataset) -> None:
    """Raise if values over structures are those of other structures, or in another order.

    Raises
    ------
    IndexError
        Say, for the mask of a Dataset that was sorted since.
    """
    if not (isinstance(given, xr.DataArray) and given.dims[:1] == (STRUCTURE,)):
        return
    theirs, ours = given.indexes.get(STRUCTURE), dataset.indexes.get(STRUCTURE)
    if given.dtype.kind in "iu" or theirs is None or ours is None or len(theirs) != len(ours):
        return  # integers pick; and who sees the lengths says so
    if not theirs.equals(ours):
        raise IndexError(
            "these values are of other structures, or in another order: their coordinate structure is not "
            "that of this Dataset; make them of it, or pick by label with ds.zs.sel(structure=...)"
        )


def labelled(labels: Any, dataset: xr.Dataset) -> Any:
    """Return the positions of structures with some labels.

    Raises
    ------
    KeyError
        If there is no such label.
    InputError
        If the structures have no labels, or one of them twice.
    """
    index = dataset.indexes.get(STRUCTURE)
    if index is None:
        raise InputError("this Dataset has no coordinate structure, so there are no labels; use ds.zs.isel")
    if not index.is_unique:
        raise InputError(
            "the coordinate structure has a label twice, so labels are ambiguous; use ds.zs.isel"
        )
    if isinstance(labels, slice):
        return np.arange(len(index))[index.slice_indexer(labels.start, labels.stop, labels.step)]
    wanted = np.asarray(labels)
    if wanted.size == 0:
        return []
    if wanted.dtype == bool or wanted.ndim > 1:
        raise KeyError(
            f"sel takes labels, not {wanted.dtype} values of shape {wanted.shape}; isel takes masks"
        )
    found = index.get_indexer(np.atleast_1d(wanted))
    if (found < 0).any():
        raise KeyError(
            f"there is no structure labelled {np.atleast_1d(wanted)[found < 0][0]} in this Dataset"
        )
    return found
