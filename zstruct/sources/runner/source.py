"""Read ``input.data`` files of RuNNer and n2p2, whose units stand in no file.

RuNNer's are in bohr and hartree; n2p2 takes any, and its sets are often in angstrom and
electronvolts. So every length and energy is handed over with its unit left open, and the user says.
What the meaning of a property is beyond that is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import NUMBERS, atomic_number
from zstruct.sources.columns import atom_columns, structure_columns
from zstruct.sources.compression import begins, opened, stem
from zstruct.sources.content import Content
from zstruct.sources.source import BadFrame, FileSource, Raw, RawColumn, Slice

__all__ = ["RunnerSource", "is_runner_file"]

_BLOCK_ATOMS = 1 << 18
_BLOCK_FRAMES = 1 << 14
# What follows position and element on a line of an atom, if "begin" says nothing else.
_COLUMNS = (("charges", 1), ("energies", 1), ("forces", 3))
_NAMES = {
    **dict.fromkeys(("charge", "charges", "initial_charge", "initial_charges"), "charges"),
    **dict.fromkeys(("force", "forces"), "forces"),
    **dict.fromkeys(("atom_energy", "atom_energies", "energies"), "energies"),
    **dict.fromkeys(("magmom", "magmoms", "magnetic_moment", "magnetic_moments"), "magmoms"),
}
_OPEN_UNIT = ("positions", "energy", "energies", "forces")
# The format has columns for these whether they are known or not; all zero then.
_PLACEHOLDERS = ("charges", "energies")


def is_runner_file(content: Content) -> bool:
    """Tell whether content called ``*.data`` begins a structure as RuNNer does."""
    if not stem(content.name).lower().endswith(".data"):
        return False
    head = [line.split() for line in begins(content).decode("utf-8-sig", "replace").splitlines()]
    words = [line for line in head if line and not line[0].startswith("#")]
    begun = len(words) > 1 and words[0][0] == "begin"
    return begun and words[1][0] in ("comment", "lattice", "atom", "energy", "charge")


class RunnerSource(FileSource):
    """One ``input.data`` file of RuNNer or n2p2, plain or compressed.

    Properties are ``energy``, ``total_charge``, ``comment``, and per atom ``forces``, ``charges`` and
    ``energies``, or what the line ``begin`` names. Charges and atomic energies that are zero for every
    atom are placeholders of the format, hence missing. The units of lengths and energies are left open.

    Parameters
    ----------
    path
        The file.
    """

    runs_in = "processes"

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the frames of the file in blocks.

        Raises
        ------
        InputError
            If the file can't be opened, is empty or is not text.
        """
        with opened(self.content) as file:
            good: list[_Frame] = []
            bad: list[BadFrame] = []
            n_atoms = found = 0
            for k, frame in enumerate(_frames(file)):
                found = k + 1
                if isinstance(frame, str):
                    bad.append(BadFrame(k, frame))
                else:
                    frame.number = k
                    good.append(frame)
                    n_atoms += len(frame.numbers)
                if n_atoms >= _BLOCK_ATOMS or len(good) >= _BLOCK_FRAMES:
                    yield _raw(good, bad)
                    good, bad, n_atoms = [], [], 0
            if not found:
                bad.append(BadFrame(0, "the file ends before any structure begins (a line 'begin')"))
            if good or bad:
                yield _raw(good, bad)


@dataclass
class _Frame:
    """What is known of one structure."""

    columns: tuple[tuple[str, int], ...]
    number: int = 0
    numbers: list[int] = field(default_factory=list)
    atoms: list[tuple[int, list[str]]] = field(default_factory=list)
    """Line number and words of every atom."""
    table: NDArray[Any] = field(default_factory=lambda: np.empty((0, 3)))
    """Position and properties of every atom, shape (n_atoms, 3 + properties)."""
    lattice: list[list[float]] = field(default_factory=list)
    known: dict[str, float | str] = field(default_factory=dict)

    @cached_property
    def width(self) -> int:
        """Words on the line of an atom."""
        return 5 + sum(width for _, width in self.columns)

    def column(self, name: str) -> NDArray[Any] | None:
        """Return the values of a property; None if the structure has none."""
        at = 3
        for key, width in self.columns:
            if key == name:
                values = self.table[:, at] if width == 1 else self.table[:, at : at + width]
                return None if name in _PLACEHOLDERS and not values.any() else values
            at += width
        return None


class _FaultError(Exception):
    """What is wrong with the structure being read."""


def _frames(lines: Iterator[str]) -> Iterator[_Frame | str]:
    """Yield every structure, or what is wrong with it."""
    frame: _Frame | None = None
    fault = ""
    for at, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "begin":
            if frame is not None or fault:
                yield fault or f"line {at}: another structure begins before this one ends (a line 'end')"
            frame, fault = None, ""
            try:
                frame = _Frame(_columns(words[1:]))
            except _FaultError as error:
                fault = f"line {at}: {error}"
        elif words[0] == "end":
            if frame is not None and not fault:
                try:
                    _complete(frame)
                except _FaultError as error:
                    fault = str(error)
            if frame is not None:
                yield fault or frame
            elif fault:
                yield fault
            frame, fault = None, ""
        elif frame is not None and not fault:
            if words[0] == "atom" and len(words) == frame.width:
                frame.atoms.append((at, words))
                continue
            try:
                _take(frame, words, line)
            except _FaultError as error:
                fault = f"line {at}: {error}"
    if frame is not None or fault:
        yield fault or "the file ends inside of this structure (there is no line 'end')"


def _columns(words: list[str]) -> tuple[tuple[str, int], ...]:
    if not words:
        return _COLUMNS
    if words[0] not in ("position(3)", "positions(3)") or words[1:2] not in (["element"], ["elements"]):
        raise _FaultError("columns of atoms begin with position(3) and element")
    columns = []
    for word in words[2:]:
        match = re.fullmatch(r"([\w-]+?)(?:\((\d{1,4})\))?", word, re.ASCII)
        if match is None or match[2] == "0":
            raise _FaultError(f"{word[:40]!r} is no column of atoms, such as force(3)")
        name = _NAMES.get(match[1], match[1])
        if name in ("numbers", "positions"):
            raise _FaultError(f"a column of atoms can't be called {name}")
        columns.append((name, int(match[2] or 1)))
    if len({name for name, _ in columns}) < len(columns):
        raise _FaultError("a column of atoms is named twice")
    return tuple(columns)


def _take(frame: _Frame, words: list[str], line: str) -> None:
    """Read one line of a structure."""
    key, values = words[0], words[1:]
    if key == "atom":
        n = len(frame.atoms) + 1
        raise _FaultError(f"atom {n} has {len(values)} columns, it should have {frame.width - 1}")
    if key == "lattice":
        if len(values) != 3 or len(frame.lattice) == 3:
            raise _FaultError("the lattice is three lines of three numbers")
        frame.lattice.append(_floats(values))
    elif key in ("energy", "charge"):
        name = "energy" if key == "energy" else "total_charge"
        if len(values) != 1:
            raise _FaultError(f"{key} is followed by {len(values)} words, it should be one number")
        if name in frame.known:
            raise _FaultError(f"{key} is there twice")
        frame.known[name] = _floats(values)[0]
    elif key == "comment":
        text = line.strip()[len("comment") :].strip()
        if text:
            frame.known["comment"] = f"{frame.known['comment']}\n{text}" if "comment" in frame.known else text
    else:
        raise _FaultError(f"{key[:40]!r} is no keyword of this format")


def _floats(words: list[str]) -> list[float]:
    try:
        return [float(word) for word in words]
    except ValueError:
        wrong = next(word for word in words if not _is_number(word))
        raise _FaultError(f"{wrong[:40]!r} is not a number") from None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _complete(frame: _Frame) -> None:
    """Make numbers of the words of a structure that has ended."""
    if not frame.atoms:
        raise _FaultError("the structure has no atoms")
    if len(frame.lattice) not in (0, 3):
        raise _FaultError(f"the lattice has {len(frame.lattice)} vectors, it should have three or none")
    try:
        frame.numbers = [NUMBERS[words[4]] for _, words in frame.atoms]
        if not all(frame.numbers):
            raise ValueError("the dummy atom is no element")
        flat = chain.from_iterable(words[1:4] + words[5:] for _, words in frame.atoms)
        frame.table = np.array(list(map(float, flat))).reshape(len(frame.atoms), -1)
    except (KeyError, ValueError):  # a symbol in other letters, or something wrong: look closer
        frame.numbers = []
        for k, (line, words) in enumerate(frame.atoms, start=1):
            number = atomic_number(words[4])
            if not number:
                wrong = f"{words[4][:40]!r}, which is no chemical element"
                raise _FaultError(f"line {line}: atom {k} is {wrong}") from None
            frame.numbers.append(number)
        frame.table = np.array([_at(line, words[1:4] + words[5:]) for line, words in frame.atoms])
    frame.atoms = []


def _at(line: int, words: list[str]) -> list[float]:
    try:
        return _floats(words)
    except _FaultError as error:
        raise _FaultError(f"line {line}: {error}") from None


def _raw(frames: list[_Frame], bad: list[BadFrame]) -> Raw:
    n_atoms = np.array([len(f.numbers) for f in frames], dtype=np.int64)
    raw = Raw(np.array([f.number for f in frames], dtype=np.int64), n_atoms, bad=bad)
    n = len(frames)
    if not n:
        return raw
    numbers = np.fromiter(chain.from_iterable(f.numbers for f in frames), np.uint8, int(n_atoms.sum()))
    raw.atom["numbers"] = [RawColumn(numbers)]
    raw.atom["positions"] = [RawColumn(np.concatenate([f.table[:, :3] for f in frames]))]
    periodic = np.array([bool(f.lattice) for f in frames])
    raw.structure["pbc"] = [RawColumn(np.repeat(periodic[:, None], 3, axis=1))]
    cells = np.array([f.lattice or np.zeros((3, 3)) for f in frames], dtype=np.float64)
    raw.structure["cell"] = [RawColumn(cells, periodic, unit=""), RawColumn(cells, ~periodic)]
    raw.structure["cell"] = [column for column in raw.structure["cell"] if np.any(column.present)]
    for name in dict.fromkeys(key for frame in frames for key, _ in frame.columns):
        values = [f.column(name) for f in frames]
        here = [i for i, v in enumerate(values) if v is not None]
        if here:
            index = None if len(here) == n else np.array(here, dtype=np.int64)
            raw.atom[name] = atom_columns(name, [values[i] for i in here], index, n_atoms)
    for name in ("energy", "total_charge", "comment"):
        rows = [i for i, f in enumerate(frames) if name in f.known]
        if rows:
            index = None if len(rows) == n else np.array(rows, dtype=np.int64)
            raw.structure[name] = structure_columns(name, [frames[i].known[name] for i in rows], index, n)
    for name in _OPEN_UNIT:
        for column in (*raw.atom.get(name, []), *raw.structure.get(name, [])):
            column.unit = ""
    return raw
