"""What users say of the units of labels: of systems, of quantities, of fields, as for `zstruct.build`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from zstruct.arguments import shown
from zstruct.errors import InputError
from zstruct.schema import FIELDS, Field
from zstruct.sources.normalize.unit_systems import QUANTITIES, SYSTEM, UnitChoice
from zstruct.units import factor, is_unit, ratio

__all__ = ["LabelUnits"]


@dataclass(frozen=True)
class LabelUnits:
    """The units of labels, as far as they are not the store's.

    Parameters
    ----------
    choice
        What is said of the fields of the table.
    others
        Units of fields that the table does not know.
    """

    choice: UnitChoice
    others: Mapping[str, str]

    @classmethod
    def given(cls, units: Any, names: Mapping[str, Any] | None = None) -> LabelUnits:
        """Return what a user says.

        Parameters
        ----------
        units
            The name of a system, or units by field and quantity.
        names
            The labels; None: they are not known yet.

        Raises
        ------
        InputError
            If there is no such unit, field or quantity, or no label of a field that a unit is said of.
        """
        if not isinstance(units, Mapping):
            return cls(UnitChoice.of(units), {})
        known = {*FIELDS, *QUANTITIES, SYSTEM}
        others = {
            name: unit
            for name, unit in units.items()
            if name not in known and (names is None or name in names)
        }
        for name, unit in others.items():
            if not isinstance(unit, str) or not is_unit(unit):
                raise InputError(f"units={{{name!r}: {shown(unit)}}}: that is no unit")
        choice = UnitChoice({name: unit for name, unit in units.items() if name not in others})
        for name in choice.named:
            if names is not None and name in FIELDS and name not in names:
                raise InputError(f"units={{{name!r}: {units[name]!r}}}: there is no label {name!r}")
        return cls(choice, others)

    def of(self, row: Field) -> tuple[Field, float, dict[str, Any]]:
        """Return a field in the unit of the store, what values are multiplied with, and what is said of it.

        Raises
        ------
        InputError
            If the unit can't be told, or is one of something else.
        """
        if row.kind != "float":
            return row, 1.0, {}
        if row.name in FIELDS:
            unit = self.choice.unit_of(row.name) if row.unit not in ("", "1") else None
            return row, 1.0 if unit is None else factor(row.name, unit), _said(unit, row.unit)
        unit = self.others.get(row.name)
        if unit is None:
            return row, 1.0, {}
        if row.unit in ("", "1"):
            return replace(row, unit=unit), 1.0, {}
        return row, ratio(unit, row.unit, row.name), _said(unit, row.unit)


def _said(unit: str | None, stored: str) -> dict[str, Any]:
    return {} if unit is None or unit == stored else {"source_units": unit}
