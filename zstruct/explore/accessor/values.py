"""Methods of ``Dataset.zs`` that compute values of structures from those of their atoms."""

from __future__ import annotations

import xarray as xr

from zstruct.docstrings import documented
from zstruct.explore import quantities
from zstruct.explore.accessor.base import AccessorBase
from zstruct.keywords import keywords

__all__ = ["Values"]


class Values(AccessorBase):
    """Computes values of structures, with the coordinates of these."""

    @keywords()
    @documented(quantities.has)
    def has(self, field: str) -> xr.DataArray:
        """Return which structures have a field; reads it unless all have."""
        return quantities.has(self._ragged, field)

    @keywords()
    @documented(quantities.reduced)
    def reduce(self, values: str | xr.DataArray, how: str) -> xr.DataArray:
        """Reduce values of atoms to one per structure; reads them, in blocks of bounded size."""
        return quantities.reduced(self._ragged, values, how)

    @keywords()
    @documented(quantities.repeated)
    def repeat(self, values: str | xr.DataArray) -> xr.DataArray:
        """Return a value of each structure for each of its atoms; reads it.

        What `reduce` does, the other way round: ``ds.forces.where(ds.zs.repeat(ds.energy < 0))``.
        """
        return quantities.repeated(self._ragged, values)

    @property
    def fmax(self) -> xr.DataArray:
        """Largest norm of the forces in each structure, eV/angstrom; NaN without forces. Reads them."""
        return quantities.fmax(self._ragged)

    @property
    def volume(self) -> xr.DataArray:
        """Volume of each cell in cubic angstrom; NaN where lattice vectors are missing. Reads the cells."""
        return quantities.volume(self._ragged)

    @property
    def energy_per_atom(self) -> xr.DataArray:
        """Energy divided by the number of atoms, eV; NaN without energy."""
        return quantities.energy_per_atom(self._ragged)

    @property
    def volume_per_atom(self) -> xr.DataArray:
        """Volume divided by the number of atoms, cubic angstrom. Reads the cells."""
        return quantities.volume_per_atom(self._ragged)

    @property
    def elements(self) -> list[str]:
        """Chemical symbols in this Dataset, by atomic number; reads `numbers` of a part of a store."""
        return quantities.elements(self._ragged)

    @property
    def composition(self) -> xr.DataArray:
        """Number of atoms of each element, shape (structure, element); reads `numbers`."""
        return quantities.composition(self._ragged)

    @property
    def formula(self) -> xr.DataArray:
        """Hill formula of each structure, as text; of the store, or computed from `numbers`."""
        return quantities.formula(self._ragged)
