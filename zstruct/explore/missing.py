"""Which rows of a variable are given: NaN, in text too, means that they are not.

Beside integers and booleans, which have no NaN, is a mask, ``has_<field>``.
"""

from __future__ import annotations

import xarray as xr

from zstruct.schema import STRUCTURE

__all__ = ["always_given", "given", "mask_of"]


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
