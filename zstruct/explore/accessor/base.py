"""What all parts of the accessor ``Dataset.zs`` have: the Dataset, and how its atoms belong to structures."""

from __future__ import annotations

import xarray as xr

from zstruct.explore.ragged_dataset import RaggedDataset
from zstruct.schema import ATOM

__all__ = ["AccessorBase"]


class AccessorBase:
    """Holds the Dataset of an accessor."""

    def __init__(self, dataset: xr.Dataset):
        self._ds = dataset
        self._ragged = RaggedDataset(dataset)

    @property
    def n_structures(self) -> int:
        """Number of structures in this Dataset."""
        return self._ragged.n_structures

    @property
    def n_atoms(self) -> int:
        """Number of atoms of the structures in this Dataset; reads `n_atoms`."""
        if ATOM not in self._ds.dims and "n_atoms" in self._ds.variables:
            return int(self._ds.variables["n_atoms"].to_numpy().sum())
        return int(self._ragged.segments()[1].sum())
