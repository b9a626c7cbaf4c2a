"""Which rows of a variable are given: NaN, in text too, means that they are not."""

from __future__ import annotations

import xarray as xr

__all__ = ["always_given", "given"]


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
