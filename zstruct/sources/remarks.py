"""What was noticed while inputs were read, and is to be told: units they were in, remarks.

Every worker keeps its own remarks, which travel as JSON with the part that it makes and are put together at
the end. Nothing here decides anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Remarks"]


@dataclass
class Remarks:
    """What was noticed in some inputs.

    Parameters
    ----------
    units
        By field, the units that its values were in, ``""`` for the store's where nothing was said.
    counts
        Structures by what was done with them.

    Examples
    --------
    >>> remarks = Remarks()
    >>> remarks.add_units("energy", ["hartree"])
    >>> remarks.add_units("energy", [""])
    >>> remarks.source_units("energy", "eV")
    'eV, hartree'
    """

    units: dict[str, set[str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def count(self, what: str, n: int) -> None:
        """Add to the number of structures of which something is to be told."""
        if n:
            self.counts[what] += n

    def add_units(self, name: str, units: Iterable[str]) -> None:
        """Add units that a field came in."""
        self.units.setdefault(name, set()).update(units)

    def add(self, other: Remarks) -> None:
        """Add what was noticed elsewhere."""
        for name, units in other.units.items():
            self.add_units(name, units)
        self.counts.update(other.counts)

    def source_units(self, name: str, stored: str) -> str | None:
        """Return the units that a field came in, separated by commas; None if nobody said any.

        Parameters
        ----------
        name
            The field.
        stored
            Its unit in the store, which it came in where nothing was said.
        """
        found = self.units.get(name, set())
        return ", ".join(sorted({unit or stored for unit in found})) if found - {""} else None

    def told(self) -> dict[str, int]:
        """Return how many structures each sentence is about, for the user."""
        return dict(sorted(self.counts.items()))

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "units": {name: sorted(units) for name, units in sorted(self.units.items())},
            "counts": dict(sorted(self.counts.items())),
        }

    @classmethod
    def of(cls, entries: Iterable[Mapping[str, Any]]) -> Remarks:
        """Return the remarks that `to_dict` made `entries` of, as one."""
        remarks = cls()
        for entry in entries:
            for name, units in entry["units"].items():
                remarks.add_units(name, units)
            remarks.counts.update(entry["counts"])
        return remarks
