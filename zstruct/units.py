"""Conversion of units at import: what one unit of the input is in the store's units.

The store has one unit system, ASE's: eV, angstrom, e, amu. Unit names come from the user
(``units={"energy": "kcal/mol"}``) or from the input; values are those of `ase.units` (CODATA 2014).
Which unit a field has, given what somebody said, is the business of `zstruct.sources.normalize.unit_systems`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from zstruct.errors import InputError
from zstruct.schema import FIELDS, Field

__all__ = ["QUANTITIES", "Conversion", "factor", "is_unit", "ratio"]

#: Units that others are made of, with a field that has just this one, and as the field table writes it.
QUANTITIES = {"energy": ("energy", "eV"), "length": ("positions", "angstrom")}
#: Units of what batches have of pairs of atoms, beside fields.
_OF_PAIRS = {"edge_vec": "angstrom", "edge_dist": "angstrom", "deriv_values": "angstrom-1"}

# Powers of (energy, length, charge, time, mass, magnetic moment) beside each unit's name in `ase.units`.
_ENERGY, _LENGTH, _CHARGE, _TIME, _MASS, _MAGNETIC = (tuple(int(i == k) for i in range(6)) for k in range(6))
_PRESSURE = (1, -3, 0, 0, 0, 0)
_DIPOLE = (0, 1, 1, 0, 0, 0)
_NONE = (0, 0, 0, 0, 0, 0)
_UNITS: dict[str, tuple[str, float, tuple[int, ...]]] = {
    "ev": ("eV", 1.0, _ENERGY),
    "mev": ("eV", 1e-3, _ENERGY),
    "electronvolt": ("eV", 1.0, _ENERGY),
    "hartree": ("Hartree", 1.0, _ENERGY),
    "ha": ("Hartree", 1.0, _ENERGY),
    "eh": ("Hartree", 1.0, _ENERGY),
    "mhartree": ("Hartree", 1e-3, _ENERGY),
    "mha": ("Hartree", 1e-3, _ENERGY),
    "rydberg": ("Rydberg", 1.0, _ENERGY),
    "ry": ("Rydberg", 1.0, _ENERGY),
    "kcal": ("kcal", 1.0, _ENERGY),
    "kj": ("kJ", 1.0, _ENERGY),
    "j": ("J", 1.0, _ENERGY),
    "mol": ("mol", 1.0, _NONE),
    "angstrom": ("Ang", 1.0, _LENGTH),
    "angstroms": ("Ang", 1.0, _LENGTH),
    "ang": ("Ang", 1.0, _LENGTH),
    "a": ("Ang", 1.0, _LENGTH),
    "å": ("Ang", 1.0, _LENGTH),
    "bohr": ("Bohr", 1.0, _LENGTH),
    "a0": ("Bohr", 1.0, _LENGTH),
    "nm": ("nm", 1.0, _LENGTH),
    "pm": ("Ang", 1e-2, _LENGTH),
    "e": ("_e", 0.0, _CHARGE),
    "debye": ("Debye", 1.0, _DIPOLE),
    "d": ("Debye", 1.0, _DIPOLE),
    "gpa": ("GPa", 1.0, _PRESSURE),
    "kbar": ("bar", 1e3, _PRESSURE),
    "bar": ("bar", 1.0, _PRESSURE),
    "atm": ("bar", 1.01325, _PRESSURE),
    "MPa": ("GPa", 1e-3, _PRESSURE),
    "pa": ("Pascal", 1.0, _PRESSURE),
    "fs": ("fs", 1.0, _TIME),
    "ps": ("fs", 1e3, _TIME),
    "aut": ("AUT", 1.0, _TIME),
    "ase_time": ("_one", 1.0, _TIME),
    "amu": ("_amu", 0.0, _MASS),
    "dalton": ("_amu", 0.0, _MASS),
    "me": ("_me", 0.0, _MASS),
    "mu_b": ("_mu_B", 0.0, _MAGNETIC),
    "1": ("_one", 0.0, _NONE),
}


def _value(text: str) -> tuple[float, tuple[int, ...]]:
    """Return the size in ASE units and the dimensions of a unit such as ``kcal/mol/A``."""
    from ase import units as ase_units

    total, powers, sign = 1.0, list(_NONE), 1
    tokens = re.findall(r"[/*\s]+|[^/*\s]+", text.strip().replace("**", "^"))
    for token in tokens:
        if re.fullmatch(r"[/*\s]+", token):
            sign = -1 if "/" in token else 1
            continue
        match = re.fullmatch(r"(1|[^\d^+-]+?0?)(?:\^?([+-]?\d+))?", token)
        # Capitals are free, but mega-electronvolts must not pass for milli-electronvolts.
        name = match.group(1) if match else ""
        entry = None if name == "MeV" else _UNITS.get(name) or _UNITS.get(name.lower())
        if match is None or entry is None:
            known = ", ".join(sorted(_UNITS, key=str.lower))
            raise InputError(f"the unit {token!r} in {text!r} is not known; known are {known}")
        name, scale, dims = entry
        if name == "_me":
            unit = float(ase_units._me / ase_units._amu)
        elif dims == _TIME:  # the store's velocities are in angstrom per femtosecond
            unit = (1.0 if name == "_one" else float(getattr(ase_units, name))) / float(ase_units.fs)
            unit *= scale
        else:  # units of the store itself (e, amu, mu_B) are one by definition
            unit = 1.0 if name.startswith("_") else scale * float(getattr(ase_units, name))
        power = sign * int(match.group(2) or 1)
        total *= unit**power
        powers = [p + power * d for p, d in zip(powers, dims, strict=True)]
    return total, tuple(powers)


def is_unit(text: str) -> bool:
    """Tell whether a text is made of known units.

    Examples
    --------
    >>> is_unit("kcal/mol"), is_unit("unit cell"), is_unit("")
    (True, False, False)
    """
    try:
        _value(text)
    except InputError:
        return False
    return bool(text.strip())


def ratio(unit: str, target: str, what: str) -> float:
    """Return what values in `unit` are multiplied with to be in `target`.

    Parameters
    ----------
    unit, target
        Products, quotients and powers of known units: ``"kcal/mol/A"``, ``"Ha Bohr^-1"``.
    what
        What has the unit, for messages.

    Raises
    ------
    InputError
        If a unit is unknown, or the two are units of different things.

    Examples
    --------
    >>> ratio("nm", "angstrom", "length")
    10.0
    """
    if re.search(r"\b(kcal|kj|j)\b", unit.lower()) and "mol" not in unit.lower():
        raise InputError(f"{unit!r} is a unit of laboratory amounts; write {unit}/mol")
    size, dims = _value(unit)
    wanted_size, wanted = _value(target)
    if dims != wanted:
        raise InputError(f"{unit!r} is no unit of {what}, which is stored in {target!r}")
    return size / wanted_size


def factor(field: str, unit: str) -> float:
    """Return what values of `field` given in `unit` are multiplied with.

    Parameters
    ----------
    field
        A field of the table that has a unit.
    unit
        As for `ratio`.

    Raises
    ------
    InputError
        If the field has no unit, or the unit is unknown or of the wrong dimension.

    Examples
    --------
    >>> factor("energy", "meV")
    0.001
    """
    spec = FIELDS.get(field)
    if spec is None or spec.unit in ("", "1") or not isinstance(unit, str):
        raise InputError(
            f"units={{{field!r}: {unit!r}}}: units can be given as text for the fields "
            + ", ".join(sorted(n for n, f in FIELDS.items() if f.unit not in ("", "1")))
        )
    if field == "momenta":
        raise InputError("momenta are taken in ASE's units; convert them beforehand")
    try:
        return ratio(unit, spec.unit, field)
    except InputError as error:
        raise InputError(f"units={{{field!r}: {unit!r}}}: {error.reason}") from None


@dataclass(frozen=True)
class Conversion:
    """From the units of the field table to others; all that is made of a unit changes with it.

    Parameters
    ----------
    bases
        What values are multiplied with for each unit, as the field table writes it, that is another one.
    own
        The same for fields that have a unit of their own.

    Examples
    --------
    >>> conversion = Conversion.to({"energy": "meV", "length": "nm", "stress": "eV/A^3"})
    >>> [round(conversion.scale(name, FIELDS.get(name))) for name in ("energy", "forces", "stress")]
    [1000, 10000, 1]
    """

    bases: Mapping[str, float]
    own: Mapping[str, float]

    @classmethod
    def to(cls, units: Mapping[str, str]) -> Conversion:
        """Return the conversion to units of ``"energy"``, of ``"length"`` and of fields by their names.

        Raises
        ------
        InputError
            If a unit is unknown or of the wrong dimension, or a field has none.
        """
        scales = {n: 1.0 / factor(QUANTITIES.get(n, (n,))[0], unit) for n, unit in units.items()}
        bases = {QUANTITIES[name][1]: scale for name, scale in scales.items() if name in QUANTITIES}
        return cls(bases, {name: scale for name, scale in scales.items() if name not in QUANTITIES})

    def scale(self, name: str, field: Field | None) -> float:
        """Return what values are multiplied with; one if nobody knows their unit.

        Parameters
        ----------
        name
            A field, or what batches have of pairs.
        field
            The field, if it is one that is known.
        """
        if name in self.own:
            return self.own[name]
        unit, scale = _OF_PAIRS.get(name, "") if field is None else field.unit, 1.0
        for base, power in re.findall(r"([A-Za-z_]+)(-?[\d.]*)", unit):
            scale *= self.bases.get(base, 1.0) ** float(power or 1)
        return scale
