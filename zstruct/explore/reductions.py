"""From values of atoms to one for each structure, and back to atoms: read in blocks of bounded size."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from zstruct.explore.arguments import check_labels
from zstruct.explore.selection import row_blocks, rows_of
from zstruct.geometry.volumes import cell_volumes
from zstruct.ragged import counts_to_offsets, segment_reduce
from zstruct.schema import ATOM, STRUCTURE

__all__ = ["check_reducible", "reduced_rows", "repeated_rows", "volumes"]


def check_reducible(values: xr.DataArray, dataset: xr.Dataset) -> None:
    """Raise unless values are numbers over the atoms of a Dataset.

    Raises
    ------
    ValueError
        If they are not.
    """
    if values.dims[:1] != (ATOM,) or values.sizes[ATOM] != dataset.sizes.get(ATOM):
        raise ValueError(
            f"reduce takes values over the {dataset.sizes.get(ATOM, 0):,} atoms of this Dataset, "
            f"but these have the dimensions {dict(values.sizes)}"
        )
    if values.dtype.kind not in "fiub":
        raise ValueError(f"reduce takes numbers; {values.name} holds {values.dtype} values")


def reduced_rows(
    values: xr.Variable, starts: NDArray[np.int64], counts: NDArray[np.int64], how: str
) -> NDArray[Any]:
    """Return values of atoms reduced to one for each structure, shape (structures, ...).

    Parameters
    ----------
    values
        Shape (atoms, ...).
    starts, counts
        First row and number of atoms of each structure.
    how
        As for `zstruct.ragged.segment_reduce`.
    """
    packed, offsets = values.isel({ATOM: rows_of(starts, counts)}), counts_to_offsets(counts)
    parts = [segment_reduce(rows, edges, how) for _, rows, edges in row_blocks(packed, offsets)]
    if not parts:
        return segment_reduce(np.empty((0, *values.shape[1:]), values.dtype), offsets, how)
    return np.concatenate(parts)


def repeated_rows(
    values: xr.DataArray, dataset: xr.Dataset, starts: NDArray[np.int64], counts: NDArray[np.int64]
) -> xr.DataArray:
    """Return the value of each structure of a Dataset for each of its atoms, shape (atoms, ...).

    Raises
    ------
    ValueError
        If the values are not over the structures, or integers while some atoms are no structure's.
    """
    n_structures = dataset.sizes.get(STRUCTURE, 0)
    if values.dims[:1] != (STRUCTURE,) or values.sizes[STRUCTURE] != n_structures:
        raise ValueError(
            f"repeat takes values over the {n_structures:,} structures of this Dataset, "
            f"but these have the dimensions {dict(values.sizes)}"
        )
    check_labels(values, dataset)
    made = np.repeat(values.to_numpy(), counts, axis=0)
    rows, n_rows = rows_of(starts, counts), dataset.sizes[ATOM]
    if rows != slice(0, n_rows) if isinstance(rows, slice) else True:
        if made.dtype.kind in "iu" and len(made) < n_rows:
            raise ValueError(
                f"some of the {n_rows:,} atoms belong to no structure here, and integers can't say so: "
                "cut the Dataset with ds.zs.isel(slice(None)) first"
            )
        missing = np.nan if made.dtype.kind == "f" else None if made.dtype == object else 0
        whole = np.full((n_rows, *made.shape[1:]), missing, made.dtype)
        whole[rows] = made
        made = whole
    coords = {dim: values.coords[dim] for dim in values.dims[1:] if dim in values.coords}
    return xr.DataArray(made, coords, (ATOM, *values.dims[1:]), values.name, values.attrs)


def volumes(cells: xr.Variable) -> NDArray[np.float64]:
    """Return the volume of each cell, NaN where lattice vectors are missing, shape (structures,)."""
    edges = np.arange(len(cells) + 1)
    parts = [cell_volumes(rows) for _, rows, _ in row_blocks(cells, edges)]
    found = np.concatenate(parts) if parts else np.zeros(0)
    return np.where(found > 0, found, np.nan)
