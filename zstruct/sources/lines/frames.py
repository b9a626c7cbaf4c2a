"""Frames that are read one by one, and how they join the blocks of those that are read together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.sources.columns import atom_columns, by_key, structure_columns
from zstruct.sources.numerals import number
from zstruct.sources.source import Raw, RawColumn

__all__ = ["FaultError", "Frame", "floats", "joined", "part", "whole"]


class FaultError(Exception):
    """What is wrong with the structure being read."""


def floats(words: Sequence[str]) -> list[float]:
    """Return the numbers that words spell.

    Raises
    ------
    FaultError
        If one of them is none.
    """
    values = []
    for word in words:
        try:
            values.append(number(word))
        except ValueError:
            raise FaultError(f"{word[:40]!r} is not a number") from None
    return values


def whole(word: str, what: str) -> int:
    """Return the whole number that a word spells.

    Raises
    ------
    FaultError
        If it is none that 64 bits hold.
    """
    if re.fullmatch(r"[-+]?\d{1,30}", word, re.ASCII) is None or not -(2**63) <= int(word) < 2**63:
        raise FaultError(f"{what} is {word[:40]!r}, it should be a whole number")
    return int(word)


@dataclass
class Frame:
    """One structure.

    Parameters
    ----------
    number
        Of the frame in the input.
    atom, structure
        Values by the input's names; ``numbers`` may be missing where there are types.
    types
        What the input calls its atoms, where it names no elements.
    units
        The unit that the input states, by name; empty where it leaves that open.
    remarks
        What the user should be told.
    first_type
        The number of the first type, where types are numbers.
    notes
        What is to be noted of it, by the words of `zstruct.sources.source.NOTES`.
    """

    number: int
    atom: dict[str, NDArray[Any]]
    structure: dict[str, Any]
    types: NDArray[Any] | None = None
    units: dict[str, str | None] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    first_type: int = 1
    notes: tuple[str, ...] = ()


def joined(frames: Sequence[Frame]) -> Raw:
    """Return the block of some frames, all of which have types or none."""
    n_atoms = np.array([len(frame.atom["positions"]) for frame in frames], dtype=np.int64)
    raw = Raw(np.array([frame.number for frame in frames], dtype=np.int64), n_atoms)
    for name, (values, index) in by_key([frame.atom for frame in frames]).items():
        columns = atom_columns(name, values, index, n_atoms)
        raw.atom[name] = [c for column in columns for c in _of_units(column, name, frames)]
    if frames[0].types is not None:
        raw.atom["numbers"] = [RawColumn(np.zeros(int(n_atoms.sum()), np.uint8))]
        raw.types = atom_columns("type", [frame.types for frame in frames], None, n_atoms)[0]
        raw.first_type = frames[0].first_type
    else:
        numbers = raw.atom["numbers"][0]
        raw.atom["numbers"] = [RawColumn(numbers.values.astype(np.uint8))]
    for name, (values, index) in by_key([frame.structure for frame in frames]).items():
        columns = structure_columns(name, values, index, len(frames))
        raw.structure[name] = [c for column in columns for c in _of_units(column, name, frames)]
    for sentence in dict.fromkeys(remark for frame in frames for remark in frame.remarks):
        raw.remarks[sentence] = np.array([sentence in frame.remarks for frame in frames])
    for word in dict.fromkeys(note for frame in frames for note in frame.notes):
        raw.notes[word] = np.array([word in frame.notes for frame in frames])
    return raw


def _of_units(column: RawColumn, name: str, frames: Sequence[Frame]) -> list[RawColumn]:
    """Return a column as one for each of the units that frames state."""
    units = [frame.units.get(name) for frame in frames]
    kinds = list(dict.fromkeys(units))
    if len(kinds) == 1:
        return [replace(column, unit=kinds[0])]
    here = np.ones(len(frames), dtype=bool) if column.present is None else column.present
    masks = [here & np.array([unit == kind for unit in units]) for kind in kinds]
    return [
        replace(column, present=mask, unit=kind)
        for kind, mask in zip(kinds, masks, strict=True)
        if mask.any()
    ]


def part(raw: Raw, start: int, stop: int) -> Raw:
    """Return some adjacent frames of a block, without those that are bad; views of its columns."""
    if start == 0 and stop == len(raw.n_atoms):
        return replace(raw, bad=[])
    edges = np.concatenate([[0], np.cumsum(raw.n_atoms)])
    few, rows = slice(start, stop), slice(int(edges[start]), int(edges[stop]))

    def cut(column: RawColumn, where: slice) -> RawColumn:
        present = None if column.present is None else column.present[few]
        return replace(column, values=column.values[where], present=present)

    def columns(table: dict[str, list[RawColumn]], where: slice) -> dict[str, list[RawColumn]]:
        made = {name: [cut(column, where) for column in found] for name, found in table.items()}
        kept = {
            name: [c for c in found if c.present is None or c.present.any()] for name, found in made.items()
        }
        return {name: found for name, found in kept.items() if found}

    return Raw(
        raw.frames[few],
        raw.n_atoms[few],
        columns(raw.atom, rows),
        columns(raw.structure, few),
        types=None if raw.types is None else cut(raw.types, rows),
        first_type=raw.first_type,
        notes={name: mask[few] for name, mask in raw.notes.items()},
        remarks={sentence: mask[few] for sentence, mask in raw.remarks.items()},
    )
