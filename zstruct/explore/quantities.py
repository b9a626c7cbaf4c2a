"""Quantities of structures that a Dataset doesn't have as such: computed of its variables, read as needed.

Each is an array with a name, a unit, and the coordinates of the structures. `StructureAccessor` has a method
or a property for each, which says the unit and what is missing where.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from zstruct.explore import composition as compositions
from zstruct.explore.attributes import nested
from zstruct.explore.open_store import FORMULA
from zstruct.explore.presence import structures_with
from zstruct.explore.ragged_dataset import RaggedDataset
from zstruct.explore.reductions import check_reducible, reduced_rows, repeated_rows, volumes
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
    "repeated",
    "volume",
    "volume_per_atom",
]


def has(ragged: RaggedDataset, field: str) -> xr.DataArray:
    """Return which structures have a field; reads it unless all have.

    Parameters
    ----------
    ragged
        The structures.
    field
        Name of a variable over structures or atoms.

    Returns
    -------
    xarray.DataArray
        Booleans, shape (structure,). A structure without atoms has no fields over atoms,
        except those that all structures have.

    Raises
    ------
    KeyError
        If there is no such field.
    """
    ragged.variable(field)
    values = structures_with(field, ragged.dataset, ragged.segments)
    return ragged.array(values, f"has_{field}", {"long_name": f"whether the structure has {field}"})


def reduced(ragged: RaggedDataset, values: str | xr.DataArray, how: str) -> xr.DataArray:
    """Return values of atoms reduced to one for each structure, in blocks of bounded size.

    Parameters
    ----------
    ragged
        The structures.
    values
        A field by name, or any array whose first dimension is the ``atom`` of this Dataset.
    how
        ``"sum"``, ``"mean"``, ``"max"`` or ``"min"``. Over no atoms, the sum is zero and the
        others are NaN.

    Returns
    -------
    xarray.DataArray
        Shape (structure, ...), in the unit of the values. NaN among them gives NaN.

    Raises
    ------
    KeyError
        If there is no field of that name.
    ValueError
        If the values are not numbers over the atoms, or `how` is none of the four.
    """
    of_atoms = ragged.values(values)
    check_reducible(of_atoms, ragged.dataset)
    attrs = {"long_name": f"{how} of {of_atoms.attrs.get('long_name', of_atoms.name)} in the structure"}
    if "units" in of_atoms.attrs:
        attrs["units"] = of_atoms.attrs["units"]
    coords = {dim: of_atoms.coords[dim] for dim in of_atoms.dims[1:] if dim in of_atoms.coords}
    name = "values" if of_atoms.name is None else of_atoms.name
    rows = reduced_rows(of_atoms.variable, *ragged.segments(), how)
    return ragged.array(rows, f"{name}_{how}", attrs, of_atoms.dims[1:], coords)


def repeated(ragged: RaggedDataset, values: str | xr.DataArray) -> xr.DataArray:
    """Return a value of each structure for each of its atoms.

    Parameters
    ----------
    ragged
        The structures.
    values
        A field or coordinate by name, or any array whose first dimension is ``structure``.

    Returns
    -------
    xarray.DataArray
        Shape (atom, ...). Atoms that are no structure's, as plain selections leave them, have NaN,
        False, or None among texts.

    Raises
    ------
    KeyError
        If there is no field of that name.
    ValueError
        If the values are not over the structures, or integers while some atoms are no structure's.
    """
    return repeated_rows(ragged.values(values), ragged.dataset, *ragged.segments())


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
