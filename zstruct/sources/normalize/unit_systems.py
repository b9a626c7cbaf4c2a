"""Which unit a field has, given what somebody said of units: of systems, of quantities, of fields.

The user says it once for all inputs (``units="atomic"``, ``units={"length": "bohr"}``), an input may say
it of itself (`zstruct.sources.source.RawColumn`). The unit of a field follows from those that it is
made of, as the field table writes it: forces in eV angstrom-1 are an energy over a length.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zstruct.aliases import by_alias
from zstruct.errors import InputError
from zstruct.schema import FIELDS, Field
from zstruct.units import factor, is_unit, ratio

__all__ = ["QUANTITIES", "SYSTEM", "SYSTEMS", "UnitChoice", "quantities_of", "system_named"]

#: What the units of fields are made of, with the store's unit.
QUANTITIES = {"energy": "eV", "length": "angstrom", "time": "fs", "charge": "e", "mass": "amu"}

#: The word for a whole system of units among quantities and fields.
SYSTEM = "system"

#: Systems by name: units of quantities, and of fields where these do not follow.
SYSTEMS: dict[str, dict[str, str]] = {
    "ase": {"energy": "eV", "length": "angstrom", "time": "ase_time", "charge": "e", "mass": "amu"},
    "atomic": {"energy": "hartree", "length": "bohr", "time": "aut", "charge": "e"},
    # Two of LAMMPS.
    "metal": {"energy": "eV", "length": "angstrom", "time": "ps", "charge": "e", "mass": "amu"}
    | {"stress": "bar"},
    "real": {"energy": "kcal/mol", "length": "angstrom", "time": "fs", "charge": "e", "mass": "amu"}
    | {"stress": "atm"},
}
_NAMES = {"au": "atomic", "a.u.": "atomic", "atomic_unit": "atomic", "atomic_units": "atomic"}
_QUANTITY_OF = {unit: quantity for quantity, unit in QUANTITIES.items()}
# A field whose unit this is, to show how one is given; the first that fits.
_SAMPLES = ("energy", "length", "forces", "stress", "dipole", "velocities", "charge", "mass")


def quantities_of(spec: Field) -> list[str]:
    """Return the quantities that the unit of a field is made of.

    Examples
    --------
    >>> quantities_of(FIELDS["forces"]), quantities_of(FIELDS["magmoms"])
    (['energy', 'length'], [])
    """
    return [q for unit in re.findall(r"[A-Za-z_]+", spec.unit) if (q := _QUANTITY_OF.get(unit)) is not None]


def system_named(text: str) -> str | None:
    """Return the system of units that a text names, or None.

    Examples
    --------
    >>> system_named("Atomic"), system_named("a.u."), system_named("eV")
    ('atomic', 'atomic', None)
    """
    name = text.strip().lower()
    name = _NAMES.get(name, name)
    return name if name in SYSTEMS else None


@dataclass(frozen=True)
class UnitChoice:
    """What one side says about units.

    Parameters
    ----------
    said
        Units by field or quantity (energy, length, time, charge, mass), or a system's name under
        ``"system"``. A unit may be a system's name, too: ``{"forces": "atomic"}``.

    Raises
    ------
    InputError
        If there is no such field, quantity, system or unit.

    Examples
    --------
    >>> UnitChoice({"length": "bohr", "energy": "kcal/mol"}).unit_of("forces")
    'kcal/mol/bohr'
    >>> UnitChoice({"system": "metal", "stress": "GPa"}).unit_of("stress")
    'GPa'
    >>> UnitChoice({"energy": "meV"}).unit_of("positions") is None
    True
    """

    said: Mapping[str, str]
    _units: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        system = self.said.get(SYSTEM)
        units: dict[str, str] = {}
        if system is not None:
            units |= SYSTEMS[_known_system(system)]
        for name, unit in self.said.items():
            if name != SYSTEM:
                units[name] = _checked(name, unit)
        object.__setattr__(self, "_units", units)

    @classmethod
    def of(cls, given: Any) -> UnitChoice:
        """Return what the user means by ``units=``: a system's name, or units by field and quantity.

        Raises
        ------
        InputError
            As for the class, or if it is neither.
        """
        if given is None:
            return cls({})
        if isinstance(given, str):
            return cls({SYSTEM: given})
        if not isinstance(given, Mapping):
            raise InputError(
                f"units is the name of a system ({', '.join(SYSTEMS)}) or a dict of units by field or "
                f"quantity, as in units={{'energy': 'kcal/mol'}}, not {given!r}"
            )
        return cls(dict(given))

    def unit_of(self, name: str) -> str | None:
        """Return the unit of a field, or None if nothing is said that it depends on.

        Raises
        ------
        InputError
            If what is said does not suffice to know it.
        """
        spec = FIELDS[name]
        units = self._units
        if name in units and name not in QUANTITIES:
            return units[name]
        parts = re.findall(r"([A-Za-z_]+)(-?[\d.]*)", spec.unit)
        used = quantities_of(spec)
        if name == "masses" and self._system == "atomic" and "mass" not in units:
            raise InputError(
                "masses beside atomic units may be in amu or in masses of the electron; say which with "
                "units={'system': 'atomic', 'mass': 'amu'} (or 'me')"
            )
        if not any(q in units for q in used):
            return None
        if name == "momenta":
            if self._system == "ase":
                return None
            raise InputError(
                "momenta are taken in ASE's units only; convert them, or leave them out with "
                "exclude=['momenta']"
            )
        if "time" in used and "time" not in units and units["length"] != "angstrom":
            raise InputError(
                f"with lengths in {units['length']}, the unit of {name} can't be told without that of time; "
                f"say it with units={{'time': ...}} or units={{{name!r}: ...}}"
            )
        text = ""
        for unit, power in parts:
            inverse = power.startswith("-")
            power = power.removeprefix("-")
            given = units.get(_QUANTITY_OF.get(unit, ""), unit)
            text += (
                ("/" if inverse else "*" if text else "")
                + given
                + (f"^{power}" if power not in ("", "1") else "")
            )
        return text

    def missing_for(self, name: str) -> list[str]:
        """Return the quantities of which the unit of a field is made and nothing is said."""
        if name in self._units and name not in QUANTITIES:
            return []
        used = set(quantities_of(FIELDS[name])) & {"energy", "length", "time"}
        return [q for q in QUANTITIES if q in used and q not in self._units]

    @property
    def named(self) -> list[str]:
        """The fields and quantities whose units are said one by one."""
        return [name for name in self.said if name != SYSTEM]

    @property
    def _system(self) -> str | None:
        return None if SYSTEM not in self.said else system_named(self.said[SYSTEM])


def _checked(name: Any, unit: Any) -> str:
    """Return the unit of a field or quantity, a system's name replaced by its unit."""
    shown = f"units={{{name!r}: {unit!r}}}"
    if name not in QUANTITIES and name not in FIELDS:
        known = [
            spec.name
            for level in ("atom", "structure")
            if isinstance(name, str) and (spec := by_alias(name, level)) is not None
        ]
        near = known or difflib.get_close_matches(str(name), [*QUANTITIES, *FIELDS], n=1, cutoff=0.7)
        if near:
            raise InputError(f"{shown}: there is no field or quantity {name!r}; is it {near[0]!r}?")
    if isinstance(unit, str) and (system := system_named(unit)) is not None:
        entry = SYSTEMS[system].get(name) or (
            UnitChoice({SYSTEM: system}).unit_of(name) if name in FIELDS else None
        )
        if entry is None:
            raise InputError(f"{shown}: {system!r} units have no unit of {name}")
        return entry
    if name not in QUANTITIES:
        factor(name, unit)
        return str(unit)
    if not isinstance(unit, str):
        raise InputError(f"{shown}: a unit is a text, such as {QUANTITIES[name]!r}")
    try:
        ratio(unit, QUANTITIES[name], name)
    except InputError as error:
        raise InputError(f"{shown}: {error.reason}") from None
    if name != "energy" and re.search(r"[\s*/^]", unit.strip()):
        raise InputError(f"{shown}: give the {name} as one unit, such as {QUANTITIES[name]!r}")
    return unit.strip()


def _known_system(name: Any) -> str:
    """Return the system of this name, or say what the text may have been meant for."""
    known = system_named(name) if isinstance(name, str) else None
    if known is not None:
        return known
    shown = f"there is no system of units {name!r}; there are {', '.join(SYSTEMS)}"
    if not isinstance(name, str):
        raise InputError(shown)
    if name.strip().lower() in ("lj", "reduced"):
        raise InputError(f"{shown}. Reduced units mean nothing without those of the potential: convert them")
    if is_unit(name):
        for field_name in _SAMPLES:
            try:
                _checked(field_name, name)
            except InputError:
                continue
            raise InputError(
                f"units={name!r} is the unit of one thing; say of what: units={{{field_name!r}: {name!r}}}"
            )
    raise InputError(shown)
