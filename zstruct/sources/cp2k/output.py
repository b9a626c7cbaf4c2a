"""Structures in the output of CP2K, line by line.

A structure is a table of coordinates, and what is said of it up to the next table: energy, forces, stress.
Versions differ in how they mark these; units are stated beside each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.sources.lines.frames import FaultError, Frame, floats, whole
from zstruct.sources.outputs import CUT, Found, OutputError
from zstruct.voigt import full_to_voigt

__all__ = ["END", "cp2k_structures"]

#: In every output of a run that ended by itself.
END = b"PROGRAM ENDED AT"

_ENERGY = re.compile(r"ENERGY\| Total FORCE_EVAL .*energy\s*[\[(]([\w.]+)[\])]:?\s+(\S+)\s*$")
_UNITS = {
    "a.u.": "Ha",
    "hartree": "Ha",
    "hartree/bohr": "Ha/bohr",
    "angstrom": "angstrom",
    "bohr": "bohr",
    "gpa": "GPa",
    "kbar": "kbar",
    "bar": "bar",
    "pa": "Pa",
    "atm": "atm",
}
_ROUNDED = (
    "CP2K prints cells with three decimals: NAME-1.cell, or the input, has more if that matters (for stress)"
)
_PERIODIC = (
    "the output does not say along which vectors the cell repeats; all three are taken, CP2K's default"
)
_NO_POSITIONS = (
    "the output has energies and no coordinates: CP2K prints these with PRINT_LEVEL MEDIUM; of a run that "
    "moves atoms, give the trajectory, NAME-pos-1.xyz"
)
_TRAJECTORY = (
    "this output (of a run of type {run}) has {n} energies, and positions of {m} structures: where atoms "
    "move, the trajectory NAME-pos-1.xyz has all of them; give that, with forces and cells beside it"
)


@dataclass
class _Geometry:
    """A structure that is being read."""

    numbers: NDArray[np.uint8]
    positions: NDArray[np.float64]
    unit: str
    cell: NDArray[np.float64] | None
    periodic: str
    rounded: bool
    forces: NDArray[np.float64] | None = None
    energies: int = 0
    structure: dict[str, Any] = field(default_factory=dict)
    units: dict[str, str | None] = field(default_factory=dict)
    unconverged: bool = False
    fault: str = ""


def cp2k_structures(lines: Iterable[str]) -> list[Found]:
    """Return the structures of an output of CP2K that have an energy.

    Parameters
    ----------
    lines
        Of the file.

    Returns
    -------
    list
        Structures as frames, and in place of those that can't be used why that is.

    Raises
    ------
    OutputError
        If atoms move, and the output has their positions in part only.
    """
    reading = _Reading(lines)
    reading.read()
    if reading.n_energies and not reading.n_geometries:
        raise OutputError(_NO_POSITIONS)
    if reading.n_energies > reading.n_geometries:
        numbers = {"n": reading.n_energies, "m": reading.n_geometries}
        raise OutputError(_TRAJECTORY.format(run=reading.run, **numbers))
    return reading.found


class _Reading:
    """The state of reading."""

    def __init__(self, lines: Iterable[str]):
        self.lines = iter(lines)
        self.run = "unknown"
        self.vectors: dict[str, list[float]] = {}
        self.periodic = ""
        self.rounded = False
        self.known: dict[str, float] = {}
        self.geometry: _Geometry | None = None
        self.found: list[Found] = []
        self.n_energies = self.n_geometries = 0
        self.failed = False  # the electrons of the energy to come

    def read(self) -> None:
        """Read all lines."""
        for line in self.lines:
            act = next((act for mark, act in _ACTS if mark in line), None)
            if act is None:
                continue
            try:
                act(self, line)
            except FaultError as error:
                if self.geometry is not None:
                    self.geometry.fault = self.geometry.fault or str(error)
        self._close()

    def _close(self) -> None:
        given, self.geometry = self.geometry, None
        if given is None or not given.energies:
            return  # of a run that ended before it had an energy
        self.n_geometries += 1
        if given.fault:
            self.found.append(given.fault)
            return
        atom: dict[str, NDArray[Any]] = {"numbers": given.numbers, "positions": given.positions}
        if given.forces is not None:
            atom["forces"] = given.forces
        structure = {**self.known, **given.structure}
        remarks: tuple[str, ...] = ()
        units: dict[str, str | None] = {"positions": given.unit, **given.units}
        structure["pbc"] = np.zeros(3, dtype=bool)
        if given.cell is not None:
            units["cell"] = "angstrom"
            remarks = (_ROUNDED,) * given.rounded + (_PERIODIC,) * (not given.periodic)
            structure["cell"] = given.cell
            structure["pbc"] = np.array([axis in (given.periodic or "XYZ") for axis in "XYZ"])
        notes = ("unconverged",) if given.unconverged else ()
        self.found.append(Frame(-1, atom, structure, units=units, remarks=remarks, notes=notes))

    def _start(self, line: str) -> None:
        self._close()
        self.vectors, self.periodic, self.known, self.failed = {}, "", {}, False

    def _run(self, line: str) -> None:
        self.run = line.split()[-1]

    def _vector(self, line: str) -> None:
        match = re.match(r"\s*CELL\| Vector ([abc]) \[angstrom\]:(.*?)(?:\|[abc]\||$)", line)
        if match is not None:
            words = match[2].split()
            self.rounded = all(len(word.partition(".")[2]) <= 3 for word in words)
            self.vectors[match[1]] = (floats(words) + 3 * [np.nan])[:3]  # which the structure is refused for

    def _periodicity(self, line: str) -> None:
        if re.match(r"\s*(CELL|POISSON)\| Periodicity\s+(\w+)\s*$", line):
            self.periodic = line.split()[-1].upper()
            if self.geometry is not None and not self.geometry.periodic:
                self.geometry.periodic = self.periodic

    def _setting(self, line: str) -> None:
        words = line.split()
        name = {"Charge": "total_charge", "Multiplicity": "spin_multiplicity"}.get(words[1])
        if name is not None and len(words) == 3:
            self.known[name] = floats(words[2:])[0]

    def _coordinates(self, line: str) -> None:
        self._close()
        unit = _UNITS.get(line.split()[-1].lower(), line.split()[-1])
        numbers: list[int] = []
        rows: list[list[float]] = []
        fault = ""
        if not any(row.split()[:3] == ["Atom", "Kind", "Element"] for row in islice(self.lines, 4)):
            fault = "its table of coordinates is not that of QUICKSTEP, and is not read"
        for row in self.lines:
            words = row.split()
            if not words:
                if rows or fault:
                    break
                continue
            try:
                number, row_values = _atom(words, len(rows) + 1)
            except FaultError as error:
                fault = fault or str(error)
                number, row_values = 0, [0.0, 0.0, 0.0]
            numbers.append(number)
            rows.append(row_values)
        cell = np.array([self.vectors[a] for a in "abc"]) if len(self.vectors) == 3 else None
        self.geometry = _Geometry(
            np.array(numbers, dtype=np.uint8),
            np.array(rows).reshape(-1, 3),
            unit,
            cell,
            self.periodic,
            self.rounded,
            fault=fault,
        )

    def _electrons(self, line: str) -> None:
        self.failed = self.failed or "NOT converged" in line

    def _energy(self, line: str) -> None:
        match = _ENERGY.search(line)
        if match is None:
            return
        self.n_energies += 1
        if self.geometry is None:
            return
        self.geometry.energies += 1
        self.geometry.structure["energy"] = floats([match[2]])[0]
        self.geometry.units["energy"] = _UNITS.get(match[1].lower(), match[1])
        self.geometry.unconverged, self.failed = self.failed, False

    def _forces(self, line: str) -> None:
        unit = line.rpartition("[")[2].partition("]")[0]
        prefix = "FORCES|" if "FORCES|" in line else ""
        rows: list[list[str]] = []
        for row in self.lines:
            if "SUM OF ATOMIC FORCES" in row or re.match(r"\s*FORCES\| (Sum|Total)", row):
                break
            if not row.endswith("\n"):
                raise FaultError(CUT)
            words = row.removeprefix(" ").removeprefix(prefix).split()
            if words and words[0].isdecimal():
                rows.append(words)
            elif rows and (not words or (prefix and prefix not in row)):
                break
        else:
            raise FaultError(CUT)
        if self.geometry is None or self.geometry.energies > 1:
            return
        n = len(self.geometry.numbers)
        width = (1, 4) if prefix else (3, 6)
        if len(rows) != n or any(len(words) < width[1] for words in rows):
            raise FaultError(f"there are forces of {len(rows)} atoms, and {n} atoms")
        if [words[0] for words in rows] != [str(k) for k in range(1, n + 1)]:
            raise FaultError("the forces are not those of all atoms in their order")
        self.geometry.forces = np.array([floats(words[width[0] : width[1]]) for words in rows])
        self.geometry.units["forces"] = "Ha/bohr" if unit == "a.u." else _UNITS.get(unit.lower(), unit)

    def _stress(self, line: str) -> None:
        if self.geometry is None or self.geometry.energies > 1 or "EIGENV" in line:
            return
        unit = line.rpartition("[")[2].partition("]")[0]
        rows = {}
        for row in islice(self.lines, 8):
            words = row.replace("STRESS|", " ").split()
            if len(words) == 4 and words[0] in "xyzXYZ" and row.endswith("\n"):
                rows[words[0].lower()] = floats(words[1:])
            if len(rows) == 3:
                break
        if len(rows) < 3:
            raise FaultError(CUT)
        pressure = np.array([rows[axis] for axis in "xyz"])
        self.geometry.structure["stress"] = -full_to_voigt(pressure)
        self.geometry.units["stress"] = _UNITS.get(unit.lower(), unit)


def _atom(words: list[str], k: int) -> tuple[int, list[float]]:
    """Return the atomic number and the position in a row of the table of coordinates."""
    if len(words) < 8 or words[0] != str(k):
        raise FaultError(f"row {k} of the coordinates is {' '.join(words)[:60]!r}: {CUT}")
    number = whole(words[3], "the atomic number")
    *position, charge = floats(words[4:8])
    if not 0 < number < 119 or charge == 0.0:
        raise FaultError(f"atom {k - 1} ({words[2]}) is a ghost: it has basis functions, and no nucleus")
    return number, position


_ACTS: tuple[tuple[str, Callable[[_Reading, str], None]], ...] = (
    ("PROGRAM STARTED AT", _Reading._start),
    ("GLOBAL| Run type", _Reading._run),
    ("CELL| Vector", _Reading._vector),
    ("| Periodicity", _Reading._periodicity),
    ("DFT| Charge", _Reading._setting),
    ("DFT| Multiplicity", _Reading._setting),
    ("ATOMIC COORDINATES IN", _Reading._coordinates),
    ("SCF run ", _Reading._electrons),
    ("ENERGY| Total FORCE_EVAL", _Reading._energy),
    ("ATOMIC FORCES in [", _Reading._forces),
    ("FORCES| Atomic forces [", _Reading._forces),
    ("STRESS TENSOR [", _Reading._stress),
    ("STRESS| Analytical stress tensor [", _Reading._stress),
    ("STRESS| Numerical stress tensor [", _Reading._stress),
)
