"""A Dataset of structures whose atoms lie end to end: which are whose, and arrays over structures.

`ds.zs` asks it, and so do the quantities that are computed of a Dataset. It knows no store.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.errors import UnknownNameError
from zstruct.explore.arguments import fields_of
from zstruct.explore.composition import composition
from zstruct.explore.selection import Rows, Segments, cut, rows_of, segments
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, STRUCTURE

__all__ = ["RaggedDataset"]


class RaggedDataset:
    """A Dataset, and which atoms are whose.

    Parameters
    ----------
    dataset
        What `zstruct.open` returned, or any part of it.
    """

    def __init__(self, dataset: xr.Dataset):
        self.dataset = dataset
        self._found: tuple[Any, Any, Segments] | None = None

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return int(self.dataset.sizes.get(STRUCTURE, 0))

    def variable(self, name: str) -> xr.Variable:
        """Return a variable over structures or atoms by name.

        Raises
        ------
        UnknownNameError
            If there is none of that name.
        """
        usable = fields_of(self.dataset)
        if not isinstance(name, str) or name not in usable:
            raise UnknownNameError(f"this Dataset has no field {shown(name)}; it has {', '.join(usable)}")
        return self.dataset.variables[name]

    def values(self, given: str | xr.DataArray) -> xr.DataArray:
        """Return values that are given as such, or by the name of a variable.

        Raises
        ------
        UnknownNameError
            If there is none of that name.
        """
        if not isinstance(given, str):
            return given
        self.variable(given)
        return self.dataset[given]

    def array(
        self,
        values: Any,
        name: str,
        attrs: dict[str, Any],
        dims: tuple[Hashable, ...] = (),
        coords: Mapping[Any, Any] | None = None,
    ) -> xr.DataArray:
        """Return values of structures, with the coordinates of these.

        Parameters
        ----------
        values
            Shape (structures, ...).
        name, attrs
            Of the array.
        dims, coords
            Its dimensions after ``structure``, and their labels.
        """
        known = self.dataset.coords
        of_structures = [key for key in known if known[key].dims == (STRUCTURE,)]
        array = xr.DataArray(values, coords, (STRUCTURE, *dims), name, attrs)
        return array.assign_coords(
            {key: known[key].variable for key in of_structures if key not in (name, "offsets")}
        )

    def counts(self) -> xr.Variable:
        """Return the atoms to divide by, NaN for none."""
        counts = self.variable("n_atoms")
        return counts.where(counts > 0)

    def segments(self) -> Segments:
        """Return first rows and numbers of atoms, read once as long as they are the same arrays.

        Raises
        ------
        InputError
            If the Dataset does not say, or says what can't be.
        """
        variables = self.dataset.variables
        if "offsets" not in variables or "n_atoms" not in variables:
            return segments(self.dataset)  # which says what is wrong
        now = variables["offsets"]._data, variables["n_atoms"]._data
        if self._found is None or self._found[0] is not now[0] or self._found[1] is not now[1]:
            self._found = *now, segments(self.dataset)
        return self._found[2]

    def cut(self, which: Rows) -> xr.Dataset:
        """Return the Dataset with only the given structures and their atoms, in that order."""
        return cut(self.dataset, which, self.segments() if ATOM in self.dataset.dims else None)

    def numbers(self) -> xr.Variable:
        """Return the atomic numbers of the structures, end to end."""
        return self.variable("numbers").isel({ATOM: rows_of(*self.segments())})

    def composition(self) -> tuple[list[str], NDArray[np.int32]]:
        """Return elements and how many atoms of each every structure has, (structures, elements)."""
        return composition(self.numbers(), counts_to_offsets(self.segments()[1]))
