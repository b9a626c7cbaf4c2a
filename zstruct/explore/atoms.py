"""From a Dataset in memory to `ase.Atoms`, exactly: the way back from what a build took in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from zstruct.explore.missing import always_given, given
from zstruct.explore.selecting import segments
from zstruct.ragged import counts_to_offsets, segment_reduce
from zstruct.schema import ATOM, STRUCTURE

__all__ = ["to_atoms"]

_GEOMETRY = ("numbers", "positions", "cell", "pbc")
_DTYPES = {"int": np.int64, "bool": np.bool_, "category": np.str_}


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
    from ase import Atoms
    from ase.calculators.calculator import all_properties
    from ase.calculators.singlepoint import SinglePointCalculator

    starts, counts = segments(dataset)
    readers = {
        name: _reader(variable, dataset, starts, counts)
        for name, variable in dataset.data_vars.variables.items()
        if variable.dims[:1] in ((STRUCTURE,), (ATOM,)) and name not in ("offsets", "n_atoms")
    }
    geometry = {name: readers.pop(name) for name in _GEOMETRY if name in readers}
    mask = readers.pop("move_mask", None)
    originals = {name: dataset.variables[name].attrs.get("original_name", name) for name in readers}
    made = []
    for i in range(len(counts)):
        atoms = Atoms(**{name: read(i) for name, read in geometry.items()})
        results = {}
        for name, read in readers.items():
            value = read(i)
            if value is None:
                continue
            if name in all_properties:
                results[name] = value
            elif dataset.variables[name].dims[0] == ATOM:
                atoms.arrays[originals[name]] = value
            else:
                atoms.info[originals[name]] = value
        if mask is not None and (free := mask(i)) is not None:
            atoms.set_constraint(_constraints(free))
        if results:
            atoms.calc = SinglePointCalculator(atoms, **results)
        made.append(atoms)
    return made


def _reader(
    variable: xr.Variable, dataset: xr.Dataset, starts: NDArray[np.int64], counts: NDArray[np.int64]
) -> Callable[[int], Any]:
    """Return a function that gives the value of structure i, or None where it is missing."""
    values = variable.to_numpy()
    dtype = _DTYPES.get(variable.attrs.get("kind") or _kind(values), values.dtype)
    per_atom = variable.dims[0] == ATOM
    if always_given(variable, dataset):
        present = np.ones(len(counts), dtype=bool)
    elif per_atom:
        offsets = counts_to_offsets(counts)
        present = (segment_reduce(given(variable).to_numpy(), offsets, "sum") > 0) & (counts > 0)
    else:
        present = given(variable).to_numpy()

    def read(i: int) -> Any:
        if not present[i]:
            return None
        if per_atom:
            return values[starts[i] : starts[i] + counts[i]].astype(dtype)
        value = values[i]
        if values.ndim > 1:
            return value.astype(dtype)
        return str(value) if dtype is np.str_ else np.asarray(value).astype(dtype).item()

    return read


def _kind(values: NDArray) -> str:
    return {"O": "category", "U": "category"}.get(values.dtype.kind, "")


def _constraints(free: NDArray[np.bool_]) -> list[Any]:
    """Return the constraints that leave only the given atoms, or their axes, free to move."""
    from ase.constraints import FixAtoms, FixCartesian

    if free.ndim == 1:
        return [FixAtoms(np.flatnonzero(~free))]
    fixed, kind = np.unique(~free, axis=0, return_inverse=True)
    return [FixCartesian(np.flatnonzero(kind == k), mask=axes) for k, axes in enumerate(fixed) if axes.any()]
