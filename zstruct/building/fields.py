"""The fields that all parts have together: what each becomes, and in what form its numbers are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from zstruct.arguments import shown
from zstruct.building.blocks import Block
from zstruct.building.encoding import Encoding
from zstruct.building.stored_blocks import StoredBlock, StoredInput
from zstruct.errors import InputError
from zstruct.schema import ATOM, Field, merge
from zstruct.store.chunk_codec import ChunkCodec
from zstruct.store.decimals import Decimal, DecimalRange
from zstruct.store.savings import SAMPLE_ROWS, decimal_share
from zstruct.units import ratio

__all__ = ["PlannedField", "categories_of", "merged_fields", "unit_factor", "with_decimal"]


@dataclass(frozen=True)
class PlannedField:
    """A column of the store to be: its stored form, and its name and coverage in the parts.

    With `is_presence` it is the column that says which structures have `original`. With `decimal` its numbers
    are decimals, and as such take that share of their bytes, by the first of them; with `stays_decimal` they
    are stored so in a store among the inputs, and stay so. `codec` and `chunk_rows` are those of an array
    that was there before.
    """

    field: Field
    original: str
    coverage: int
    categories: list[str] | None
    is_presence: bool = False
    decimal: Decimal | None = None
    decimal_share: float = 1.0
    stays_decimal: bool = False
    codec: ChunkCodec | None = None
    chunk_rows: int | None = None


def merged_fields(blocks: Sequence[Block]) -> dict[str, Field]:
    """Return the fields that can hold what all blocks have of each.

    Raises
    ------
    InputError
        If one comes in forms that no single array can hold, or in units that can't be converted.
    """
    merged: dict[str, Field] = {}
    seen_in: dict[str, str] = {}
    for block in blocks:
        for name, field in block.fields.items():
            before = merged.get(name, field)
            if before is field or before == field:
                merged[name] = before
                seen_in.setdefault(name, block.label)
                continue
            try:
                if unit_factor(field, before) is not None:
                    field = replace(field, unit=before.unit)
                merged[name] = merge(before, field)
            except InputError as error:
                raise InputError(f"{error.reason} (first in {seen_in[name]})", block.label) from None
    return merged


def unit_factor(field: Field, target: Field) -> float | None:
    """Return what numbers are multiplied with to be in another field's unit.

    None where units are the same, where one is not stated, and where they are no units of one quantity.
    """
    if field.unit == target.unit or "" in (field.unit, target.unit):
        return None
    try:
        return ratio(field.unit, target.unit, field.name)
    except InputError:
        return None


def with_decimal(
    planned: PlannedField, blocks: Sequence[Block], encoding: Encoding, inputs: Mapping[int, StoredInput]
) -> PlannedField:
    """Return a field with how its numbers are stored as decimals, if they are some and it saves anything.

    Parameters
    ----------
    planned
        The field.
    blocks
        All blocks.
    encoding
        What the user said.
    inputs
        The stores among the inputs, by their place; what is stored as decimals in one of them stays so.
    """
    name = planned.original
    having = [block for block in blocks if name in block.fields]
    stays = any(_was_decimal(block, name, inputs) for block in having)
    found: DecimalRange | None = DecimalRange()
    for block in having:
        if unit_factor(block.fields[name], planned.field) is not None:
            return planned
        here = block.decimals.get(name)
        if here is None and (stays or encoding.decimal) and isinstance(block, StoredBlock):
            here = block.looked_at(name)
        found = None if found is None or here is None else found.joined(here)
        if found is None:
            return planned
    assert found is not None
    first = having[0]
    n = first.n_atoms if planned.field.level == ATOM else first.n_structures
    rows = first.rows(name, 0, min(n, SAMPLE_ROWS)).astype(np.float64, copy=False) + 0.0
    codec = ChunkCodec.chosen("float64", encoding.compression)
    n_rows = sum(block.n_atoms if planned.field.level == ATOM else block.n_structures for block in blocks)
    share = decimal_share(rows, n_rows, codec, found.decimal)
    if share is None and not stays:
        return planned
    share = 1.0 if share is None else share
    return replace(planned, decimal=found.decimal, decimal_share=share, stays_decimal=stays)


def _was_decimal(block: Block, name: str, inputs: Mapping[int, StoredInput]) -> bool:
    """Return whether a field of a block comes from a store that has it as decimals."""
    if isinstance(block, StoredBlock):
        source: StoredInput | None = block.source
    else:
        source = None if block.input is None else inputs[block.input]
    return source is not None and name in source.columns and source.stored_decimal(name) is not None


def categories_of(name: str, blocks: Sequence[Block]) -> list[str]:
    """Return the texts of a category field in the order in which the parts bring them.

    Raises
    ------
    InputError
        If one of them can't be stored.
    """
    texts: dict[str, None] = {}
    for block in blocks:
        if name not in block.fields:
            continue
        if name in block.categories:
            texts.update(dict.fromkeys(block.categories[name]))
        else:  # numbers here, text elsewhere
            n = block.n_atoms if block.fields[name].level == ATOM else block.n_structures
            values = block.rows(name, 0, n)
            values = values[block.fields[name].given(values)]
            texts.update(dict.fromkeys(str(v) for v in np.unique(values).tolist()))
    for text in texts:
        try:
            text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise InputError(
                f"{name} has the text {shown(text)}, with half a character that no file can have; "
                f"mend it, or leave it out: exclude=[{name!r}]"
            ) from None
    return list(texts)
