"""Quantities of structures that a Dataset doesn't have as such: computed of its variables, read as needed.

Each is an array over structures with a name, a unit, and the coordinates of the structures. What they are,
and what they raise, says `zstruct.explore.StructureAccessor`, which has a method or a property for each.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from zstruct.explore import composition as compositions
from zstruct.explore.attributes import nested
from zstruct.explore.open_store import FORMULA
from zstruct.explore.presence import structures_with
from zstruct.explore.ragged_dataset import RaggedDataset
from zstruct.explore.reductions import check_reducible, reduced_rows, volumes
from zstruct.explore.selection import rows_of
from zstruct.schema import ATOM, STRUCTURE

__all__ = [
    "composition",
    "elements",
    "energy_per_atom",
    "fmax",
    "formula",
    "has",
    "reduced",
    "volume",
    "volume_per_atom",
]


def has(ragged: RaggedDataset, field: str) -> xr.DataArray:
    """Return which structures have a field; reads it unless all have."""
    ragged.variable(field)
    values = structures_with(field, ragged.dataset, ragged.segments)
    return ragged.array(values, f"has_{field}", {"long_name": f"whether the structure has {field}"})


def reduced(ragged: RaggedDataset, given: str | xr.DataArray, how: str) -> xr.DataArray:
    """Return values of atoms reduced to one for each structure, in blocks of bounded size."""
    values = ragged.values(given)
    check_reducible(values, ragged.dataset)
    attrs = {"long_name": f"{how} of {values.attrs.get('long_name', values.name)} in the structure"}
    if "units" in values.attrs:
        attrs["units"] = values.attrs["units"]
    coords = {dim: values.coords[dim] for dim in values.dims[1:] if dim in values.coords}
    name = "values" if values.name is None else values.name
    rows = reduced_rows(values.variable, *ragged.segments(), how)
    return ragged.array(rows, f"{name}_{how}", attrs, values.dims[1:], coords)


def fmax(ragged: RaggedDataset) -> xr.DataArray:
    """Return the largest norm of the forces in each structure."""
    forces = ragged.values("forces")
    squares = reduced(ragged, (forces**2).sum("xyz", skipna=False), "max")
    attrs = {"long_name": "largest force", "units": forces.attrs.get("units", "eV angstrom-1")}
    return ragged.array(np.sqrt(squares.to_numpy()), "fmax", attrs)


def volume(ragged: RaggedDataset) -> xr.DataArray:
    """Return the volume of each cell."""
    attrs = {"long_name": "volume of the cell", "units": "angstrom3"}
    return ragged.array(volumes(ragged.variable("cell")), "volume", attrs)


def energy_per_atom(ragged: RaggedDataset) -> xr.DataArray:
    """Return the energy divided by the number of atoms, lazily."""
    energy = ragged.values("energy")
    attrs = {"long_name": "energy per atom", "units": energy.attrs.get("units", "eV")}
    return ragged.array((energy.variable / ragged.counts()).data, "energy_per_atom", attrs)


def volume_per_atom(ragged: RaggedDataset) -> xr.DataArray:
    """Return the volume of each cell divided by the number of atoms."""
    attrs = {"long_name": "volume per atom", "units": "angstrom3"}
    values = volumes(ragged.variable("cell")) / ragged.counts().to_numpy()
    return ragged.array(values, "volume_per_atom", attrs)


def elements(ragged: RaggedDataset) -> list[str]:
    """Return the chemical symbols that occur; those of a whole store are in its attributes."""
    dataset, (starts, counts) = ragged.dataset, ragged.segments()
    whole = dataset.attrs.get("n_atoms") == int(counts.sum()) == dataset.sizes.get(ATOM)
    if whole and "species" in dataset.attrs and rows_of(starts, counts) == slice(0, dataset.sizes[ATOM]):
        return list(nested(dataset.attrs["species"]))
    return compositions.elements(ragged.numbers())


def composition(ragged: RaggedDataset) -> xr.DataArray:
    """Return the number of atoms of each element."""
    symbols, counts = ragged.composition()
    attrs = {"long_name": "number of atoms"}
    return ragged.array(counts, "composition", attrs, ("element",), {"element": symbols})


def formula(ragged: RaggedDataset) -> xr.DataArray:
    """Return the Hill formula of each structure: that of the store, or computed."""
    known = ragged.dataset.variables.get("formula")
    if known is not None and known.attrs.get("long_name") == FORMULA and known.dims == (STRUCTURE,):
        return ragged.dataset["formula"]
    values = compositions.formulas(*ragged.composition())
    return ragged.array(values, "formula", {"long_name": FORMULA})
