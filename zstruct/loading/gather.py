"""Gather structures from decoded blocks: any list of them, all fields, one call without the GIL.

The kernel copies rows between addresses: it knows neither dtypes nor fields, only row sizes, so it
is compiled once for every store. Bounds are the caller's: indices are checked once, before. This
module knows nothing of torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from zstruct.loading.blocks import BlockCache, Table
from zstruct.ragged import atom_rows, counts_to_offsets
from zstruct.schema import ATOM

__all__ = ["Gather", "given", "kept_dtype", "spread"]

# What happens to a value on its way.
_COPY, _FROM_UINT8, _FROM_INT32 = range(3)
_OPERATIONS = {np.dtype(np.uint8): _FROM_UINT8, np.dtype(np.int32): _FROM_INT32}
_INT64 = np.dtype(np.int64)
_NOTHING = np.empty(0)


def kept_dtype(stored: np.dtype, wanted: np.dtype) -> np.dtype:
    """Return the dtype in which blocks should keep a field that batches want in another.

    Small integers stay small in memory and are widened by the gather; everything else is
    converted when it is decoded, once.

    Examples
    --------
    >>> kept_dtype(np.dtype("uint8"), np.dtype("int64")), kept_dtype(np.dtype("f8"), np.dtype("f4"))
    (dtype('uint8'), dtype('float32'))
    """
    return stored if wanted == _INT64 and stored in _OPERATIONS else wanted


class Gather:
    """Copies structures out of a cache; what it can know beforehand, it works out once.

    Parameters
    ----------
    cache
        The blocks to read; may keep fields in `kept_dtype` of what is wanted.
    dtypes
        The fields wanted, all those of the cache, and the dtype of each.
    """

    def __init__(self, cache: BlockCache, dtypes: Mapping[str, np.dtype]):
        self.cache, self.dtypes = cache, dict(dtypes)
        self._steps = {
            level: np.array(
                [
                    (
                        _COPY if dtypes[name] == kept else _OPERATIONS[kept],
                        dtypes[name].itemsize * math.prod(shape),
                    )
                    for name, kept, shape in zip(table.names, table.dtypes, table.shapes, strict=True)
                ],
                dtype=np.int64,
            )
            for level, table in cache.tables.items()
        }

    def __call__(self, structures: NDArray[np.int64]) -> tuple[NDArray[np.int64], dict[str, NDArray]]:
        """Return the rows of some structures, packed.

        Parameters
        ----------
        structures
            Structures of the store in the order wanted, shape (n,), each in
            ``range(n_structures)``; repeats are fine.

        Returns
        -------
        offsets
            Row edges of the structures in the per-atom columns, shape (n + 1,).
        columns
            By field: (offsets[-1], ...) per atom, (n, ...) per structure; new and contiguous.
        """
        structures = np.array(structures, dtype=np.int64)  # kernels are compiled for writable arrays
        starts = self.cache.offsets[structures]
        counts = self.cache.offsets[structures + 1] - starts
        offsets = counts_to_offsets(counts)
        columns = dict.fromkeys(self.dtypes, _NOTHING)
        for level, table in self.cache.tables.items():
            if level == ATOM:
                self._rows(table, starts, counts, offsets, columns)
            else:
                edges = np.arange(len(structures) + 1)
                self._rows(table, structures, np.ones(len(structures), np.int64), edges, columns)
        return offsets, columns

    def _rows(
        self,
        table: Table,
        starts: NDArray[np.int64],
        counts: NDArray[np.int64],
        edges: NDArray[np.int64],
        columns: dict[str, NDArray],
    ) -> None:
        """Fill in the columns of one dimension."""
        level, n_rows = table.level, int(edges[-1])
        outs = np.empty(len(table.names), dtype=np.int64)
        for f, (name, shape) in enumerate(zip(table.names, table.shapes, strict=True)):
            columns[name] = out = np.empty((n_rows, *shape), self.dtypes[name])
            outs[f] = out.ctypes.data
        steps, block_rows = self._steps[level], table.block_rows
        if self.cache.complete(level):
            resident = self.cache.hold(level, None)
            _copy_rows(resident.addresses[level], block_rows, steps, outs, starts, counts, edges)
            return
        for group, blocks in _groups(self.cache, table, starts, counts):
            resident = self.cache.hold(level, blocks)
            # The kernel holds no reference: `resident` must outlive the call.
            _copy_rows(
                resident.addresses[level], block_rows, steps, outs, starts[group], counts[group],
                edges[:-1][group],
            )  # fmt: skip


def _groups(
    cache: BlockCache, table: Table, starts: NDArray[np.int64], counts: NDArray[np.int64]
) -> list[tuple[Any, NDArray[np.int64]]]:
    """Cut a request into groups whose blocks fit into the budget together, with those blocks.

    Usually one group. Where the budget is small, each group takes what lies in neighbouring
    blocks, so that no block is decoded twice for one request.
    """
    first = starts // table.block_rows
    last = np.maximum(starts + counts - 1, starts) // table.block_rows
    first, last = np.minimum(first, table.n_blocks - 1), np.minimum(last, table.n_blocks - 1)
    needed = _span(first, last)
    if table.nbytes(needed) <= cache.cache_bytes:
        return [(slice(None), needed)]
    # Half of the budget, for the blocks of the other dimension want to stay as well.
    together = max(1, cache.cache_bytes // (2 * table.row_bytes * table.block_rows))
    group = np.searchsorted(needed, first) // together
    members = [np.flatnonzero(group == g) for g in np.unique(group)]
    return [(those, _span(first[those], last[those])) for those in members]


def _span(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sorted blocks from `first` to `last` of any structure, each once."""
    return np.unique(atom_rows(first, last - first + 1))


def spread(column: NDArray, offsets: NDArray[np.int64], n_rows: int) -> NDArray:
    """Return packed rows as (structures, `n_rows`, ...), zero where a structure has fewer.

    Parameters
    ----------
    column
        Contiguous, shape (offsets[-1], ...).
    offsets
        Row edges of the structures, none longer than `n_rows`.
    n_rows
        Rows for each structure.

    Examples
    --------
    >>> spread(np.array([1.0, 2.0, 3.0]), np.array([0, 1, 3]), 2)
    array([[1., 0.],
           [2., 3.]])
    """
    n = len(offsets) - 1
    out = np.zeros((n, n_rows, *column.shape[1:]), column.dtype)
    row_bytes = column.itemsize * math.prod(column.shape[1:])
    source, target = np.array([[column.ctypes.data]]), np.array([out.ctypes.data])
    step, targets = np.array([[_COPY, row_bytes]]), np.arange(n) * n_rows
    starts = np.array(offsets[:-1], dtype=np.int64)
    _copy_rows(source, max(1, len(column)), step, target, starts, np.diff(offsets), targets)
    return out


def given(column: NDArray, offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each structure whether it has the field: not all of its values are missing.

    Missing is NaN in floats and a negative code in integers, which hold categories.

    Parameters
    ----------
    column
        Contiguous, shape (offsets[-1], ...).
    offsets
        Row edges of the structures.

    Examples
    --------
    >>> given(np.array([1.0, np.nan, np.nan]), np.array([0, 2, 3]))
    array([ True, False])
    """
    out = np.zeros(len(offsets) - 1, dtype=np.bool_)
    flat = column.reshape(-1)
    edges = offsets * (flat.size // max(1, len(column)))
    (_any_number if flat.dtype.kind == "f" else _any_code)(flat, edges, out)
    return out


@intrinsic
def _move(typingctx: Any, target: Any, source: Any, nbytes: Any) -> Any:
    """Copy bytes between two addresses."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = context.get_value_type(types.voidptr)
        to, of = builder.inttoptr(args[0], pointer), builder.inttoptr(args[1], pointer)
        cgutils.raw_memcpy(builder, to, of, args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


def _pointer_to(kind: Any) -> Any:
    @intrinsic
    def pointer(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), codegen

    return pointer


_at_uint8, _at_int32, _at_int64 = map(_pointer_to, (types.uint8, types.int32, types.int64))


@njit(nogil=True, cache=True)
def _copy_rows(  # type: ignore[no-untyped-def]
    addresses, block_rows, steps, outs, starts, counts, targets
):
    """Copy rows ``starts[i] : starts[i] + counts[i]`` of every field to rows from ``targets[i]`` on.

    ``addresses[f, b]`` is where block b of field f lies, ``outs[f]`` where its rows go; ``steps[f]``
    is what happens to its values on the way, and the bytes of one of its rows over there.
    """
    for f in range(addresses.shape[0]):
        operation, row_bytes = steps[f, 0], steps[f, 1]
        values = row_bytes // 8
        for i in range(len(starts)):
            left, to = counts[i], outs[f] + targets[i] * row_bytes
            block = starts[i] // block_rows
            inside = starts[i] - block * block_rows
            while left > 0:
                rows = min(left, block_rows - inside)
                if operation == _COPY:
                    _move(to, addresses[f, block] + inside * row_bytes, rows * row_bytes)
                elif operation == _FROM_UINT8:
                    n = rows * values
                    bytes_ = carray(_at_uint8(addresses[f, block] + inside * values), n)
                    wide = carray(_at_int64(to), n)
                    for k in range(n):
                        wide[k] = bytes_[k]
                else:
                    n = rows * values
                    words = carray(_at_int32(addresses[f, block] + inside * values * 4), n)
                    wide = carray(_at_int64(to), n)
                    for k in range(n):
                        wide[k] = words[k]
                to += rows * row_bytes
                left -= rows
                block += 1
                inside = 0


@njit(nogil=True, cache=True)
def _any_number(values, edges, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        for k in range(edges[i], edges[i + 1]):
            if values[k] == values[k]:
                out[i] = True
                break


@njit(nogil=True, cache=True)
def _any_code(values, edges, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        for k in range(edges[i], edges[i + 1]):
            if values[k] >= 0:
                out[i] = True
                break
