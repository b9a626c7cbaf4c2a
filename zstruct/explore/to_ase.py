"""From a Dataset in memory to `ase.Atoms`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from zstruct.explore.arguments import fields_of
from zstruct.explore.open_store import FORMULA
from zstruct.explore.presence import always_given, given, mask_of
from zstruct.explore.selection import segments
from zstruct.ragged import counts_to_offsets, segment_reduce
from zstruct.schema import ATOM
from zstruct.to_ase import atoms_of, original_name, restored

__all__ = ["to_atoms"]


def to_atoms(dataset: xr.Dataset) -> list[Any]:
    """Return every structure of a Dataset in memory, whose atoms follow its structures.

    Parameters
    ----------
    dataset
        With `numbers`, `positions`, `offsets` and `n_atoms`, and anything else over structures or
        atoms.

    Returns
    -------
    list of ase.Atoms
        Results of calculations in a `SinglePointCalculator`, the rest in ``arrays`` and ``info``.
    """
    starts, counts = segments(dataset)
    readers = {
        name: _reader(name, dataset, starts, counts)
        for name in fields_of(dataset)
        if name in dataset.data_vars or _is_of_input(name, dataset)
    }
    per_atom = {name for name in readers if dataset.variables[name].dims[0] == ATOM}
    originals = {name: original_name(name, dataset.variables[name].attrs) for name in readers}
    return [
        atoms_of({name: read(i) for name, read in readers.items()}, per_atom, originals)
        for i in range(len(counts))
    ]


def _is_of_input(name: str, dataset: xr.Dataset) -> bool:
    """Return whether a coordinate is what the input said of the structure."""
    attrs = dataset.variables[name].attrs
    return name == "numbers" or (
        name not in ("offsets", "n_atoms")
        and "kind" in attrs
        and attrs.get("long_name") != FORMULA
        and "presence_of" not in attrs
    )


def _reader(
    name: str, dataset: xr.Dataset, starts: NDArray[np.int64], counts: NDArray[np.int64]
) -> Callable[[int], Any]:
    """Return a function that gives the value of structure i, or None where it is missing."""
    variable, mask = dataset.variables[name], mask_of(name, dataset)
    values = variable.to_numpy()
    if values.dtype.kind == "T":  # as what xarray wrote comes back
        values = values.astype(object)
    kind = variable.attrs.get("kind") or ("category" if values.dtype.kind in "OU" else "")
    per_atom = variable.dims[0] == ATOM
    if mask is not None:
        present = mask.to_numpy()
    elif always_given(variable, dataset):
        present = np.ones(len(counts), dtype=bool)
    elif per_atom:
        offsets = counts_to_offsets(counts)
        present = (segment_reduce(given(variable).to_numpy(), offsets, "sum") > 0) & (counts > 0)
    else:
        present = given(variable).to_numpy()

    def read(i: int) -> Any:
        if not present[i]:
            return None
        value = values[starts[i] : starts[i] + counts[i]] if per_atom else values[i]
        return restored(value, kind, per_atom)

    return read
