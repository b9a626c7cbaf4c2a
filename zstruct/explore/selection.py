"""Cut a ragged Dataset by structures, so that its atoms go with them.

Atoms of structure i are rows ``offsets[i] : offsets[i] + n_atoms[i]`` of the arrays over atoms. Selections
may leave those rows in any order and with gaps, as plain xarray does; `cut` makes them follow the
structures again.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from zstruct.arguments import array_of
from zstruct.errors import InputError
from zstruct.ragged import atom_rows, counts_to_offsets
from zstruct.schema import ATOM, STRUCTURE

__all__ = [
    "cut",
    "of_store",
    "picked",
    "row_blocks",
    "rows_of",
    "segments",
]

Rows = slice | NDArray[np.int64]
Segments = tuple[NDArray[np.int64], NDArray[np.int64]]

_BLOCK_BYTES = 1 << 27  # what a reduction over atoms holds in memory at a time
# In the encoding of a Dataset: which rows over atoms of the store are its own. Xarray keeps encodings
# through all that leaves the atoms as they are.
_ROWS = "atom_rows"
# What a selection makes untrue of the whole store's attributes, and of a variable's.
_STALE = ("species", "digest")
_STALE_OF_VARIABLE = ("actual_range", "digest")


def picked(which: Any, n: int) -> Rows:
    """Return which of `n` structures are meant: a slice if they are consecutive, else indices.

    Parameters
    ----------
    which
        An integer, a slice, integers in any order, or a boolean mask of length `n`.
    n
        Number of structures.

    Raises
    ------
    IndexError
        If there are no such structures.

    Examples
    --------
    >>> picked(-1, 10), picked([2, 3, 4], 10), picked([4, 2], 10)
    (slice(9, 10, None), slice(2, 5, None), array([4, 2]))
    """
    if isinstance(which, slice):
        start, stop, step = which.indices(n)
        if step == 1:
            return slice(start, max(start, stop))
        return np.arange(start, stop, step, dtype=np.int64)
    if isinstance(which, xr.DataArray) and which.dims not in ((STRUCTURE,), ()):
        raise IndexError(f"structures are picked by an array over structures, not over {which.dims}")
    index = array_of("structures to pick", which)
    if index.size == 0 and index.dtype != bool:
        index = index.reshape(-1).astype(np.int64)
    if index.dtype == bool:
        if index.shape != (n,):
            raise IndexError(f"the mask has the shape {index.shape}, but there are {n:,} structures")
        index = np.flatnonzero(index)
    if index.dtype.kind not in "iu" or index.ndim > 1:
        raise IndexError(
            "structures are picked by an integer, a slice, a list of integers or a boolean mask, "
            f"not by {index.dtype} values of shape {index.shape}"
        )
    if index.dtype == np.uint64:
        index = np.minimum(index, np.uint64(2**63 - 1))  # there are fewer structures, and none wraps
    index = np.atleast_1d(index).astype(np.int64)
    outside = (index < -n) | (index >= n)
    if outside.any():
        raise IndexError(f"there is no structure {index[outside][0]}: the Dataset has {n:,}")
    index = np.where(index < 0, index + n, index)
    if len(index) and (np.diff(index) == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return index


def segments(dataset: xr.Dataset) -> Segments:
    """Return the first row and the number of atoms of every structure.

    Raises
    ------
    InputError
        If the Dataset does not say, or says what can't be.
    """
    lost = [name for name in ("offsets", "n_atoms") if name not in dataset.variables]
    if lost:
        raise InputError(
            f"this Dataset has lost {' and '.join(lost)}, so nobody knows which atoms are whose; keep "
            "both where you choose variables, as in ds[['forces', 'offsets', 'n_atoms']]"
        )
    spread = [name for name, v in dataset.variables.items() if {ATOM, STRUCTURE} <= set(v.dims)]
    if spread:
        raise InputError(
            f"{spread[0]} is over atom and structure at once: xarray repeated all atoms for each structure, "
            "as ds.where(mask) does; leave structures out with ds.zs.where(mask) instead"
        )
    first, counts = dataset.variables["offsets"], dataset.variables["n_atoms"]
    if first.dims != (STRUCTURE,) or counts.dims != (STRUCTURE,):
        raise InputError(
            f"offsets and n_atoms should have the dimension structure, not {first.dims} and {counts.dims}; "
            "open the store with zstruct.open, and pick several structures rather than one"
        )
    if first.dtype.kind != "i" or counts.dtype.kind not in "iu":
        raise InputError(
            "offsets and n_atoms are no longer integers; leave out structures with ds.zs.where(mask), "
            "which drops them instead of filling in NaN"
        )
    starts, lengths = first.to_numpy(), counts.to_numpy().astype(np.int64)
    if (starts + lengths > dataset.sizes.get(ATOM, 0)).any():
        raise InputError(
            f"offsets point behind the {dataset.sizes.get(ATOM, 0):,} atoms of this Dataset; "
            "pick structures with ds.zs.isel, not atoms"
        )
    return starts, lengths


def rows_of(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> Rows:
    """Return the rows of segments: a slice if they lie end to end, else indices.

    Examples
    --------
    >>> rows_of(np.array([4, 6]), np.array([2, 3])), rows_of(np.array([6, 4]), np.array([2, 1]))
    (slice(4, 9, None), array([6, 7, 4]))
    """
    if len(starts) == 0:
        return slice(0, 0)
    if np.array_equal(starts[1:], starts[:-1] + counts[:-1]):
        return slice(int(starts[0]), int(starts[-1] + counts[-1]))
    return atom_rows(starts, counts)


def cut(dataset: xr.Dataset, which: Rows, found: Segments | None) -> xr.Dataset:
    """Return the Dataset with only the given structures and their atoms, in that order.

    Parameters
    ----------
    dataset
        Any Dataset over structures.
    which
        Structures, as `picked` returns them.
    found
        First row and number of atoms of every structure; None if there are no atoms.
    """
    n = dataset.sizes[STRUCTURE]
    dims: dict[Hashable, Rows] = {STRUCTURE: which}
    if found is not None:
        starts, counts = found[0][which], found[1][which]
        dims[ATOM] = rows_of(starts, counts)
    result = _take(dataset, dims)
    if found is not None:
        edges = {"offsets": counts_to_offsets(counts)[:-1], "n_atoms": counts}
        for edge, values in edges.items():
            before = dataset.variables[edge]
            result[edge] = xr.Variable((STRUCTURE,), values.astype(before.dtype), before.attrs)
        if "source" in dataset.encoding:
            rows = _within(dataset.encoding.get(_ROWS), dims[ATOM])
            result.encoding = dataset.encoding | {_ROWS: rows}
    if isinstance(which, slice) and which == slice(0, n):
        return result
    for name, variable in result.variables.items():
        if name not in result.indexes and (STRUCTURE in variable.dims or ATOM in variable.dims):
            variable.attrs = _attrs_of_part(dataset.variables[name], dataset, result.sizes[STRUCTURE])
    result.attrs = {key: value for key, value in dataset.attrs.items() if key not in _STALE}
    for key, dim in (("n_structures", STRUCTURE), ("n_atoms", ATOM)):
        if key in result.attrs and dim in result.sizes:
            result.attrs[key] = result.sizes[dim]
    return result


def of_store(dataset: xr.Dataset, values: xr.DataArray) -> xr.DataArray:
    """Return what a store has for all of its atoms, for those that a part of it has.

    Parameters
    ----------
    dataset
        The part, made by `cut` or not.
    values
        Shape (atom, ...), for all atoms of the store.

    Raises
    ------
    InputError
        If the Dataset's atoms were picked by other means.
    """
    rows = dataset.encoding.get(_ROWS, slice(0, values.sizes[ATOM]))
    n_rows = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
    if n_rows != dataset.sizes.get(ATOM):
        raise InputError(
            f"this Dataset has {dataset.sizes.get(ATOM, 0):,} atoms, but {n_rows:,} of the store were "
            "picked; pick structures with ds.zs.isel or ds.zs.where, not atoms"
        )
    name = "values"
    return _take(values.to_dataset(name=name), {ATOM: rows})[name].rename(values.name)


def _within(before: Rows | None, rows: Rows) -> Rows:
    """Return rows of rows."""
    if before is None:
        return rows
    if isinstance(before, slice):
        if isinstance(rows, slice):
            return slice(before.start + rows.start, before.start + rows.stop)
        return rows + before.start
    return before[rows]


def _attrs_of_part(variable: xr.Variable, dataset: xr.Dataset, n: int) -> dict[Hashable, Any]:
    """Return the attributes of a variable of a selection of `n` structures."""
    attrs = {key: value for key, value in variable.attrs.items() if key not in _STALE_OF_VARIABLE}
    if attrs.pop("coverage", None) == dataset.attrs.get("n_structures", -1):
        attrs["coverage"] = n
    return attrs


def _take(dataset: xr.Dataset, dims: dict[Hashable, Rows]) -> xr.Dataset:
    """Index dimensions; rising indices of dask arrays block by block, without a plan of its own."""
    taken: dict[Hashable, xr.Variable] = {}
    for dim, rows in dims.items():
        if isinstance(rows, slice) or len(rows) == 0 or (np.diff(rows) <= 0).any():
            continue
        index: dict[Any, Any] = {}
        for name, variable in dataset.variables.items():
            if variable.dims[:1] == (dim,) and variable.chunks and len(dims.keys() & set(variable.dims)) == 1:
                data = _gather(variable.data, rows, index)
                taken[name] = xr.Variable(variable.dims, data, variable.attrs)
    rest = dataset.drop_vars(list(taken)).isel(dims, missing_dims="ignore")
    if not taken:
        return rest
    whole = rest.assign(taken).set_coords([name for name in dataset.coords if name in taken])
    order = {name: whole.variables[name] for name in dataset.data_vars}
    return whole.drop_vars(list(dataset.data_vars)).assign(order)


def _gather(data: Any, rows: NDArray[np.int64], indices: dict[Any, Any]) -> Any:
    """Return the given rows, in rising order, of a dask array.

    Dask's own indexing takes seconds to plan for millions of rows. Here every block that has some
    of the rows gives them up on its own; `indices` keeps the index for arrays of equal chunks.
    """
    edges = counts_to_offsets(data.chunks[0])
    bounds = np.searchsorted(rows, edges)
    sizes = np.diff(bounds)
    here = np.flatnonzero(sizes)
    if data.chunks[0] not in indices:
        local = rows - np.repeat(edges[here], sizes[here])
        chunks = {ATOM: tuple(sizes[here].tolist())}
        indices[data.chunks[0]] = xr.Variable((ATOM,), local).chunk(chunks).data
    index = indices[data.chunks[0]]
    return data.blocks[here.tolist()].map_blocks(
        _rows_of_block,
        index.reshape(-1, *[1] * (data.ndim - 1)),
        dtype=data.dtype,
        chunks=(index.chunks[0], *data.chunks[1:]),
        meta=np.empty((0,) * data.ndim, data.dtype),
    )


def _rows_of_block(block: NDArray[Any], index: NDArray[np.int64]) -> NDArray[Any]:
    rows: NDArray[Any] = block[index.reshape(-1)]
    return rows


def row_blocks(
    values: xr.Variable, offsets: NDArray[np.int64]
) -> Iterator[tuple[slice, NDArray[Any], NDArray[np.int64]]]:
    """Yield runs of whole structures: which, their rows, and the offsets in these rows.

    Blocks of rows are read once each, a number of dask chunks at a time, so memory stays bounded
    however long the array is.

    Parameters
    ----------
    values
        Rows over atoms, shape (n_atoms, ...), the structures end to end.
    offsets
        Row edges of the structures, shape (n_structures + 1,).
    """
    row_bytes = values.dtype.itemsize * int(np.prod(values.shape[1:], dtype=int))
    carry = np.empty((0, *values.shape[1:]), values.dtype)
    first, n = 0, len(offsets) - 1
    for start, stop in _runs(values, max(1, _BLOCK_BYTES // max(1, row_bytes))):
        rows = values[start:stop].to_numpy()
        if len(carry):
            rows = np.concatenate([carry, rows])
        last = n if stop == len(values) else int(np.searchsorted(offsets, stop, side="right")) - 1
        used = int(offsets[last] - offsets[first])
        if last > first:
            yield slice(first, last), rows[:used], offsets[first : last + 1] - offsets[first]
        carry, first = rows[used:], last


def _runs(values: xr.Variable, n_rows: int) -> Iterator[tuple[int, int]]:
    """Yield row ranges of about `n_rows`, ending where chunks end."""
    if values.chunks is None:
        edges = np.arange(0, len(values), n_rows)
    else:
        edges = counts_to_offsets(values.chunks[0])[:-1]
    start = 0
    for edge in edges[1:].tolist():
        if edge - start >= n_rows:
            yield start, edge
            start = edge
    yield start, len(values)
