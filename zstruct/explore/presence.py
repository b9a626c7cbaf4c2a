"""Which structures of a Dataset have a field."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from zstruct.explore.reductions import reduced_rows
from zstruct.explore.selection import Segments
from zstruct.schema import ATOM, FIELDS, STRUCTURE

__all__ = ["always_given", "given", "mask_of", "structures_with"]


def structures_with(field: str, dataset: xr.Dataset, segments: Callable[[], Segments]) -> NDArray[np.bool_]:
    """Return which structures have a field, shape (structures,); reads it unless all have.

    Parameters
    ----------
    field
        Name of a variable of the Dataset, over structures or atoms.
    dataset
        The Dataset.
    segments
        Returns first rows and numbers of atoms; only called if they are needed.
    """
    variable, mask = dataset.variables[field], mask_of(field, dataset)
    if mask is not None:
        return mask.to_numpy()
    if always_given(variable, dataset):
        return np.ones(dataset.sizes.get(STRUCTURE, 0), dtype=bool)
    if variable.dims[0] == STRUCTURE:
        return given(variable).to_numpy()
    starts, counts = segments()
    if field in FIELDS or variable.attrs.get("kind") != "float":
        # The build sees to it that all atoms of a structure have the field, or none.
        values = counts > 0
        first = variable.isel({ATOM: starts[values], **dict.fromkeys(variable.dims[1:], 0)})
        values[values] = given(first).to_numpy()
        return values
    return reduced_rows(given(variable), starts, counts, "max").astype(bool) & (counts > 0)


def mask_of(name: str, dataset: xr.Dataset) -> xr.Variable | None:
    """Return who has a field whose own values can't say so, or None if they can, or all have it."""
    mask = dataset.variables.get(f"has_{name}")
    if mask is None or mask.dtype != bool or mask.dims != (STRUCTURE,):
        return None
    return mask


def always_given(variable: xr.Variable, dataset: xr.Dataset) -> bool:
    """Return whether attributes or the dtype say that no structure lacks the variable.

    NaN in a field that all structures have is a value like any other.
    """
    if variable.dtype.kind not in "fO":
        return True
    coverage = variable.attrs.get("coverage")
    return coverage is not None and coverage == dataset.attrs.get("n_structures")


def given(variable: xr.Variable) -> xr.Variable:
    """Return whether any value of a row is given, shape (n_rows,), lazily if the variable is."""
    found: xr.Variable = variable.notnull().any(variable.dims[1:])
    return found
