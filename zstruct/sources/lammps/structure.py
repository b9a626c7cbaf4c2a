"""One frame of a dump, read line by line, and what may be wrong with it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import atomic_number
from zstruct.errors import InputError
from zstruct.sources.lammps.headers import Box, Columns, bounds, box_named, columns_named, placed
from zstruct.sources.lammps.styles import STYLES, Measure
from zstruct.sources.lines.frames import FaultError, Frame, floats, whole
from zstruct.sources.numerals import number

__all__ = ["NOT_SAID", "measured", "read_structure", "style_stated"]

NOT_SAID = "the dump does not say along which vectors the box repeats: taken as periodic along all three"


# Columns that are numbers, or the frame is bad.
_NUMBERS = ("positions", "velocities", "forces", "charges", "masses", "id")


def style_stated(text: str, label: str) -> str | None:
    """Return the style of units with whose statement a text begins; None if it begins otherwise.

    Raises
    ------
    InputError
        If it can't be converted.
    """
    match = re.match(r"\s*ITEM: UNITS[ \t\r]*\n[ \t]*(\S+)", text)
    if match is None:
        return None
    if match[1] not in STYLES:
        raise InputError(f"the file states units of style {match[1][:40]!r}, which can't be converted", label)
    return match[1]


def measured(values: NDArray[Any], measure: Measure | None) -> NDArray[Any]:
    """Return values in the unit of their measure."""
    with np.errstate(all="ignore"):
        return values if measure is None or measure.size == 1.0 else values * measure.size


def read_structure(
    lines: list[str], before: int, number: int, last: bool, measures: Mapping[str, Measure]
) -> Frame:
    """Return the frame of which these are the lines.

    Parameters
    ----------
    lines
        Up to the next frame.
    before
        How many lines of the file are before them.
    number
        Of the frame in the file.
    last
        Whether the file ends with it.
    measures
        How fields are measured.

    Raises
    ------
    FaultError
        With what is wrong.
    """
    rest = [(at, line.split()) for at, line in enumerate(lines, start=before + 1) if line.split()]
    known: dict[str, Any] = {}
    while rest:
        at, words = rest.pop(0)
        try:
            if words[0] != "ITEM:":
                raise FaultError(f"{words[0][:40]!r} stands where an ITEM should begin")
            item = _item(words[1:])
            if item in known:
                raise FaultError(f"ITEM: {item} is there twice")
            n = 1
            if item == "BOX BOUNDS":
                n = 3
            elif item == "ATOMS":
                if "NUMBER OF ATOMS" not in known:
                    raise FaultError("the atoms come before their number")
                n = known["NUMBER OF ATOMS"]
            body = list(itertools.takewhile(lambda row: row[1][0] != "ITEM:", rest[:n]))
            if len(body) < n:
                ends = "the file ends inside of this frame: " if last and len(body) == len(rest) else ""
                raise FaultError(f"{ends}ITEM: {item} has {len(body)} of {n} lines")
            rest = rest[n:]
            known[item] = _value(item, words, body)
        except _LineError as error:
            raise FaultError(str(error)) from None
        except FaultError as error:
            raise FaultError(f"line {at}: {error}") from None
    for item in ("TIMESTEP", "NUMBER OF ATOMS", "BOX BOUNDS", "ATOMS"):
        if item not in known:
            raise FaultError(f"the frame has no ITEM: {item}")
    return _complete(known, number, measures)


class _LineError(Exception):
    """What is wrong, with its line."""


def _item(words: list[str]) -> str:
    for item in ("NUMBER OF ATOMS", "BOX BOUNDS", "ATOMS", "TIMESTEP", "TIME", "UNITS"):
        if words[: len(item.split())] == item.split():
            return item
    raise FaultError(f"there is no ITEM: {' '.join(words)[:40]} in a dump of atoms")


def _value(item: str, head: list[str], body: list[tuple[int, list[str]]]) -> Any:
    """Return what an item says."""
    at, first = body[0] if body else (0, [])
    if item == "ATOMS":
        columns = columns_named(head[2:])
        for k, (line, words) in enumerate(body, start=1):
            if len(words) != columns.width:
                raise _LineError(
                    f"line {line}: atom {k} of {len(body)} has {len(words)} columns, it should have "
                    f"{columns.width}"
                )
        return columns, body
    if item == "BOX BOUNDS":
        box = box_named(head[3:])
        return box, np.array([_numbers(line, words, box.width) for line, words in body])
    if len(first) != 1:
        raise _LineError(f"line {at}: ITEM: {item} is followed by {len(first)} words, it should be one")
    try:
        if item == "TIME":
            return floats(first)[0]
        if item == "UNITS":
            return first[0]
        value = whole(first[0], item.lower())
    except FaultError as error:
        raise _LineError(f"line {at}: {error}") from None
    if item == "NUMBER OF ATOMS" and value < 1:
        raise _LineError(f"line {at}: the frame has no atoms")
    return value


def _numbers(line: int, words: list[str], n: int) -> list[float]:
    if len(words) != n:
        raise _LineError(f"line {line}: the box has {len(words)} numbers, it should have {n}")
    try:
        return floats(words)
    except FaultError as error:
        raise _LineError(f"line {line}: {error}") from None


def _complete(known: Mapping[str, Any], number: int, measures: Mapping[str, Measure]) -> Frame:
    """Make a frame of what the items say."""
    columns: Columns
    columns, body = known["ATOMS"]
    table: dict[str, Any] = {}
    at = 0
    for name, width in columns.steps:
        rows = [(line, words[at : at + width]) for line, words in body]
        at += width
        table[name] = _texts(rows) if name in ("element", "typelabel") else _column(name, rows, columns)
    for name, parts in columns.apart:
        table[name] = np.stack([table.pop(part) for part in parts], axis=1)
    first = body[0][0]
    if "id" in table:
        ids = table["id"]
        if len(set(ids.tolist())) < len(ids):
            raise FaultError(f"line {first}: an id is there twice")
        order = np.argsort(ids, kind="stable")
        table = {name: values[order] for name, values in table.items()}
        if np.array_equal(table["id"], np.arange(1, len(ids) + 1)):
            del table["id"]
    box: Box
    box, rows = known["BOX BOUNDS"]
    origins, cells = bounds(box.kind, rows[None])
    if columns.scaled:
        table["positions"] = placed(table["positions"], origins, cells, np.array([len(body)]))
    types, table = _typed(table)
    structure: dict[str, Any] = {
        "cell": measured(cells[0], measures["cell"]),
        "pbc": np.array(box.periodic or (True, True, True)),
        "timestep": known["TIMESTEP"],
    }
    if "TIME" in known:
        structure["time"] = known["TIME"]
    atom = {name: measured(values, measures.get(name)) for name, values in table.items()}
    units: dict[str, str | None] = {name: measure.unit for name, measure in measures.items()}
    remarks = () if box.periodic else (NOT_SAID,)
    return Frame(number, atom, structure, types=types, units=units, remarks=remarks)


def _typed(table: dict[str, Any]) -> tuple[NDArray[Any] | None, dict[str, Any]]:
    """Return types, if elements are not named, and the table with elements or without types."""
    if "element" in table:
        names = table.pop("element")
        numbers = [atomic_number(name) for name in names.tolist()]
        if all(numbers):
            return None, {"numbers": np.array(numbers), **table}
        return names, table
    if "typelabel" in table:
        return table.pop("typelabel"), table
    return table.pop("type"), table


def _column(name: str, rows: list[tuple[int, list[str]]], columns: Columns) -> NDArray[Any]:
    """Return the values of a column: whole numbers where they should be, else numbers, else texts."""
    needed = name in _NUMBERS or any(name in parts for _, parts in columns.apart)
    if columns.is_whole(name):
        try:
            return np.array([whole(words[0], f"the {name}") for _, words in rows])
        except FaultError as error:
            if name == "id":
                raise FaultError(str(error)) from None
    try:
        values = [[number(word) for word in words] for _, words in rows]
    except ValueError:
        if needed:
            for line, words in rows:
                try:
                    floats(words)
                except FaultError as error:
                    raise FaultError(f"line {line}: {error}") from None
        return _texts(rows)
    if name == "type":
        return _texts(rows)
    return np.array(values if len(rows[0][1]) > 1 else [row[0] for row in values])


def _texts(rows: list[tuple[int, list[str]]]) -> NDArray[Any]:
    return np.array([words[0] for _, words in rows])
