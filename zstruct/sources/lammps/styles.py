"""LAMMPS's styles of units: in which unit a dump has what, once it says its style.

The units are those of the page on the command ``units`` of LAMMPS's manual. What the store has no names
for (styles of macroscopic bodies) is a factor instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from zstruct.schema import FIELDS

__all__ = ["OPEN", "STYLES", "Measure", "measures"]

# CODATA 2014, as `zstruct.units` has it.
_CHARGE, _AMU, _BOHR = 1.6021766208e-19, 1.660539040e-27, 0.52917721067
_NEWTON = 1e-10 / _CHARGE  # in eV/angstrom


@dataclass(frozen=True)
class Measure:
    """How a field is measured.

    Parameters
    ----------
    unit
        Its unit; empty where that is left open.
    size
        What values are multiplied with to be in that unit.
    """

    unit: str
    size: float = 1.0


#: The fields that have units, and nothing said of them.
OPEN = {name: Measure("") for name in ("positions", "cell", "velocities", "forces", "charges", "masses")}


def _words(length: str, velocity: str, force: str, mass: str = "amu") -> dict[str, Measure]:
    units = {"positions": length, "cell": length, "velocities": velocity, "forces": force}
    return {name: Measure(unit) for name, unit in (units | {"masses": mass, "charges": "e"}).items()}


def _sizes(length: float, velocity: float, force: float, mass: float, charge: float) -> dict[str, Measure]:
    sizes = {"positions": length, "cell": length, "velocities": velocity, "forces": force}
    sizes |= {"masses": mass, "charges": charge}
    return {name: Measure(_written(FIELDS[name].unit), size) for name, size in sizes.items()}


def _written(unit: str) -> str:
    """Return a unit of the field table with a slash."""
    return "/".join(part.removesuffix("-1") for part in unit.split())


#: How fields are measured, by style; "lj" has no units.
STYLES = {
    "real": _words("angstrom", "angstrom/fs", "kcal/mol/angstrom"),
    "metal": _words("angstrom", "angstrom/ps", "eV/angstrom"),
    "electron": _words("bohr", "angstrom/fs", "hartree/bohr")
    | {"velocities": Measure("angstrom/fs", _BOHR / 1.03275)},  # its own atomic unit of time
    "si": _sizes(1e10, 1e-5, _NEWTON, 1 / _AMU, 1 / _CHARGE),
    "cgs": _sizes(1e8, 1e-7, 1e-5 * _NEWTON, 1e-3 / _AMU, 3.3356409519815204e-10 / _CHARGE),
    "micro": _sizes(1e4, 1e-5, 1e-9 * _NEWTON, 1e-15 / _AMU, 1e-12 / _CHARGE),
    "nano": _sizes(10.0, 1e-5, 1e-12 * _NEWTON, 1e-21 / _AMU, 1.0),
}


def measures(style: str | None) -> dict[str, Measure]:
    """Return how fields are measured in a style; open if none is stated."""
    return OPEN if style is None else STYLES[style]
