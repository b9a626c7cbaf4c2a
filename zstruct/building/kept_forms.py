"""Arrays of a store that is extended keep the form that they have: dtype, chunks, codec.

What is added has to fit in. What does not is found out and named here, before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from zstruct.building.blocks import Block
from zstruct.building.encoding import Encoding
from zstruct.building.fields import PlannedField, unit_factor
from zstruct.building.stored_blocks import StoredBlock
from zstruct.errors import InputError
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, Level
from zstruct.store.chunk_codec import ChunkCodec
from zstruct.store.chunks import ChunkGrid, choose_grid
from zstruct.store.decimals import Decimal

__all__ = ["keep_form", "kept_chunk_rows"]

_PIECE_ROWS = 1 << 18
_WORDS = {"int": "whole numbers", "bool": "true or false", "float": "numbers", "category": "texts"}
_HOW = "pass reencode=True (--reencode) to have it written anew, or leave it out with exclude=[{!r}]"


def kept_chunk_rows(grid: ChunkGrid, n_rows: int, row_bytes: int, level: Level) -> int | None:
    """Return the rows of a chunk of an array that is extended; None: those that a build would choose.

    Parameters
    ----------
    grid
        The chunks and shards that it has.
    n_rows
        How many rows it has.
    row_bytes, level
        Of a row, as for `choose_grid`.

    Examples
    --------
    >>> kept_chunk_rows(ChunkGrid(500, 500), 500, 24, "atom") is None
    True
    >>> kept_chunk_rows(ChunkGrid(100, 500), 500, 24, "atom")
    100
    """
    return None if grid == choose_grid(n_rows, row_bytes, level) else grid.chunk_rows


def keep_form(
    planned: PlannedField, base: StoredBlock, added: Sequence[Block], encoding: Encoding
) -> PlannedField:
    """Return a field in the form that its array has in the store that is extended.

    Parameters
    ----------
    planned
        The field, as a build would store it.
    base
        The store.
    added
        The blocks of what is added.
    encoding
        How a build would store it.

    Raises
    ------
    InputError
        If what is added does not fit; names the field, the input and the frame.
    """
    name = planned.original
    column = base.source.columns.get(name)
    array = None if column is None else column.presence if planned.is_presence else column.array
    spec = None if array is None else base.source.store.form(array)
    if column is None or spec is None:
        return planned
    field = planned.field if planned.is_presence else replace(planned.field, dtype=column.field.dtype)
    chunk_rows = kept_chunk_rows(spec.grid, spec.shape[0], field.row_bytes, field.level)
    kept = replace(planned, field=field, chunk_rows=chunk_rows)
    if planned.is_presence:
        return replace(kept, codec=spec.codec)
    if planned.field.kind != column.field.kind:
        _refuse_kind(planned, column.field.kind, base, added)
    decimal = spec.codec.decimal
    if decimal is None:
        n = spec.shape[0] + sum(b.n_atoms if field.level == ATOM else b.n_structures for b in added)
        usual = spec.codec == ChunkCodec.chosen(spec.dtype, encoding.compression)
        if usual and chunk_rows is None and choose_grid(n, field.row_bytes, field.level) != spec.grid:
            return kept  # all of it is written anyway, as a build would write it
        return replace(kept, codec=spec.codec)
    for block in added:
        if name in block.fields:
            _check_decimal(planned, decimal, base, block)
    return replace(kept, codec=spec.codec, decimal=decimal, stays_decimal=True)


def _refuse_kind(planned: PlannedField, kind: str, base: StoredBlock, added: Sequence[Block]) -> NoReturn:
    """Refuse a field that is of another kind in what is added."""
    name = planned.original
    odd = next(block for block in added if name in block.fields and block.fields[name].kind != kind)
    there = odd.fields[name].kind
    _refuse(
        f"{name} has {_WORDS[there]} here and {_WORDS[kind]} in {base.label}; {_HOW.format(name)}",
        odd,
        int(np.argmax(odd.present(name))),
    )


def _check_decimal(planned: PlannedField, decimal: Decimal, base: StoredBlock, block: Block) -> None:
    """Raise if a block has a number that is not stored exactly."""
    name = planned.original
    known = block.decimals.get(name)
    if known is not None and unit_factor(block.fields[name], planned.field) is None:
        fits = known.digits <= decimal.digits
        if fits and known.largest * 10 ** (decimal.digits - known.digits) <= decimal.most:
            return
    for start, rows in _pieces(block, planned):
        with np.errstate(over="ignore", invalid="ignore"):
            whole = np.rint(rows * decimal.power)
            fit = np.isnan(rows) | ((whole / decimal.power == rows) & (np.abs(whole) <= decimal.most))
        if fit.all():
            continue
        row, value = start + int(np.argmin(fit.reshape(len(fit), -1).all(axis=1))), float(rows[~fit].flat[0])
        if planned.field.level == ATOM:
            row = int(np.searchsorted(counts_to_offsets(block.counts()), row, side="right")) - 1
        _refuse(
            f"{name} is {value!r}, and {base.label} stores it as decimals of {decimal.digits} digits in "
            f"{decimal.dtype}, which have no such number; {_HOW.format(name)}",
            block,
            row,
        )


def _pieces(block: Block, planned: PlannedField) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield the rows of a field of a block, some at a time, in the unit of the store."""
    name = planned.original
    factor = unit_factor(block.fields[name], planned.field)
    n = block.n_atoms if planned.field.level == ATOM else block.n_structures
    for start in range(0, n, _PIECE_ROWS):
        rows = block.rows(name, start, min(start + _PIECE_ROWS, n)).astype(np.float64)
        yield start, rows if factor is None else rows * factor


def _refuse(reason: str, block: Block, structure: int) -> NoReturn:
    """Raise, as a structure of a block can't be taken."""
    code = int(block.rows("source", structure, structure + 1)[0])
    label = block.categories["source"][code] if code >= 0 else block.label
    raise InputError(reason, label, int(block.rows("frame", structure, structure + 1)[0]))
