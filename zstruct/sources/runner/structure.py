"""One structure of an ``input.data`` file, read line by line, and what may be wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import atomic_number
from zstruct.sources.lines.frames import FaultError, Frame, floats

__all__ = ["OPEN_UNIT", "PLACEHOLDERS", "STATEMENT", "UNITS", "Columns", "columns_named", "read_structure"]

#: What follows position and element on a line of an atom: names, and how many numbers each has.
Columns = tuple[tuple[str, int], ...]

#: Names whose unit the format leaves open.
OPEN_UNIT = ("positions", "energy", "energies", "forces")
#: The comment with which zstruct states the units of a structure.
STATEMENT = "lengths in angstrom, energies in eV"
#: The units that it states.
UNITS = {"positions": "angstrom", "cell": "angstrom", "energy": "eV", "energies": "eV"}
UNITS["forces"] = "eV/angstrom"
#: The format has columns for these whether they are known or not; all zero then.
PLACEHOLDERS = ("charges", "energies")

# If "begin" says nothing else.
_COLUMNS = (("charges", 1), ("energies", 1), ("forces", 3))
_NAMES = {
    **dict.fromkeys(("charge", "charges", "initial_charge", "initial_charges"), "charges"),
    **dict.fromkeys(("force", "forces"), "forces"),
    **dict.fromkeys(("atom_energy", "atom_energies", "energies"), "energies"),
    **dict.fromkeys(("magmom", "magmoms", "magnetic_moment", "magnetic_moments"), "magmoms"),
}


def columns_named(words: list[str]) -> Columns:
    """Return the columns that a line ``begin`` names.

    Raises
    ------
    FaultError
        If they make no sense.
    """
    if not words:
        return _COLUMNS
    if words[0] not in ("position(3)", "positions(3)") or words[1:2] not in (["element"], ["elements"]):
        raise FaultError("columns of atoms begin with position(3) and element")
    columns = []
    for word in words[2:]:
        match = re.fullmatch(r"([\w-]+?)(?:\((\d{1,4})\))?", word, re.ASCII)
        if match is None or match[2] == "0":
            raise FaultError(f"{word[:40]!r} is no column of atoms, such as force(3)")
        name = _NAMES.get(match[1], match[1])
        if name in ("numbers", "positions"):
            raise FaultError(f"a column of atoms can't be called {name}")
        columns.append((name, int(match[2] or 1)))
    if len({name for name, _ in columns}) < len(columns):
        raise FaultError("a column of atoms is named twice")
    return tuple(columns)


@dataclass
class _Structure:
    """What is known of a structure that has begun."""

    columns: Columns
    atoms: list[tuple[int, list[str]]] = field(default_factory=list)
    """Line number and words of every atom."""
    lattice: list[list[float]] = field(default_factory=list)
    known: dict[str, float | str] = field(default_factory=dict)
    stated: bool = False
    """Whether units are said to be `UNITS`."""

    @property
    def width(self) -> int:
        """Words on the line of an atom."""
        return 5 + sum(width for _, width in self.columns)


def read_structure(lines: list[str], before: int, number: int, last: bool) -> Frame:
    """Return the structure that begins with the first of some lines.

    Parameters
    ----------
    lines
        Up to the next structure.
    before
        How many lines of the file are before them.
    number
        Of the structure in the file.
    last
        Whether the file ends with it.

    Raises
    ------
    FaultError
        With what is wrong.
    """
    fault, ended = "", False
    structure = _Structure(())
    for at, line in enumerate(lines, start=before + 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "end":
            ended = True
            break
        if fault:
            continue
        try:
            if words[0] == "begin":
                structure = _Structure(columns_named(words[1:]))
            elif words[0] == "atom" and len(words) == structure.width:
                structure.atoms.append((at, words))
            else:
                _take(structure, words, line)
        except FaultError as error:
            fault = f"line {at}: {error}"
    if fault:
        raise FaultError(fault)
    if not ended and last:
        raise FaultError("the file ends inside of this structure (there is no line 'end')")
    if not ended:
        here = before + len(lines) + 1
        raise FaultError(f"line {here}: another structure begins before this one ends (a line 'end')")
    return _complete(structure, number)


def _take(structure: _Structure, words: list[str], line: str) -> None:
    """Read one line of a structure."""
    key, values = words[0], words[1:]
    if key == "atom":
        n = len(structure.atoms) + 1
        raise FaultError(f"atom {n} has {len(values)} columns, it should have {structure.width - 1}")
    if key == "lattice":
        if len(values) != 3 or len(structure.lattice) == 3:
            raise FaultError("the lattice is three lines of three numbers")
        structure.lattice.append(floats(values))
    elif key in ("energy", "charge"):
        name = "energy" if key == "energy" else "total_charge"
        if len(values) != 1:
            raise FaultError(f"{key} is followed by {len(values)} words, it should be one number")
        if name in structure.known:
            raise FaultError(f"{key} is there twice")
        structure.known[name] = floats(values)[0]
    elif key == "comment":
        text = line.strip()[len("comment") :].strip()
        if text == STATEMENT:
            structure.stated = True
        elif text:
            known = structure.known.get("comment")
            structure.known["comment"] = text if known is None else f"{known}\n{text}"
    else:
        raise FaultError(f"{key[:40]!r} is no keyword of this format")


def _complete(structure: _Structure, number: int) -> Frame:
    """Make numbers of the words of a structure that has ended."""
    if not structure.atoms:
        raise FaultError("the structure has no atoms")
    if len(structure.lattice) not in (0, 3):
        raise FaultError(f"the lattice has {len(structure.lattice)} vectors, it should have three or none")
    numbers, rows = [], []
    for k, (line, words) in enumerate(structure.atoms, start=1):
        numbers.append(atomic_number(words[4]) or 0)
        if not numbers[-1]:
            raise FaultError(f"line {line}: atom {k} is {words[4][:40]!r}, which is no chemical element")
        try:
            rows.append(floats(words[1:4] + words[5:]))
        except FaultError as error:
            raise FaultError(f"line {line}: {error}") from None
    table = np.array(rows)
    atom: dict[str, NDArray[np.generic]] = {"numbers": np.array(numbers), "positions": table[:, :3]}
    at = 3
    for name, width in structure.columns:
        values = table[:, at] if width == 1 else table[:, at : at + width]
        at += width
        if name not in PLACEHOLDERS or values.any():
            atom[name] = values
    known: dict[str, object] = {"pbc": np.full(3, bool(structure.lattice)), **structure.known}
    units: dict[str, str | None] = dict.fromkeys((*OPEN_UNIT, "cell"), "")
    if structure.stated:
        units |= UNITS
    if structure.lattice:
        known["cell"] = np.array(structure.lattice)
    return Frame(number, atom, known, units=units)
