"""What the metadata of ASE databases say of their properties: units, and what zstruct wrote there itself.

ASE's rows are in ASE's units by custom only; programs that store others say so beside them:
``_property_unit_dict`` and ``_distance_unit`` (SchNetPack), ``key_descriptions`` (ASE), or ``units``.
Whether an array of as many rows as a structure has atoms is theirs can't be seen of all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zstruct.schema import ATOM, STRUCTURE, Level

__all__ = ["LEVELS", "stated_levels", "stated_units"]

#: Where a database that zstruct has written says of which properties the rows are atoms.
LEVELS = "zstruct_levels"

_TABLES = ("_property_unit_dict", "property_unit_dict", "property_units", "units", "_units")
_LENGTHS = ("distance", "length", "position", "positions")
_NONE = frozenset({"", "1", "-", "_", "none", "unitless", "dimensionless", "n/a"})


def stated_units(metadata: Any) -> dict[str, str]:
    """Return the units that the metadata of a database states, by property.

    Parameters
    ----------
    metadata
        Whatever the database has; anything odd in it states nothing.

    Returns
    -------
    dict
        Units in the words of the metadata. Those of lengths are ``positions`` and ``cell``.

    Examples
    --------
    >>> stated_units({"_property_unit_dict": {"energy": "kcal/mol"}, "_distance_unit": "Bohr"})
    {'energy': 'kcal/mol', 'positions': 'Bohr', 'cell': 'Bohr'}
    """
    if not isinstance(metadata, Mapping):
        return {}
    units: dict[str, str] = {}
    described = metadata.get("key_descriptions")
    if isinstance(described, Mapping):
        for key, words in described.items():
            if isinstance(words, (list, tuple)) and len(words) == 3:
                _note(units, key, words[2])
    for name in _TABLES:
        table = metadata.get(name)
        for key, unit in table.items() if isinstance(table, Mapping) else ():
            _note(units, key, unit)
    for key, unit in metadata.items():
        if match := re.fullmatch(r"_?([A-Za-z][A-Za-z_]*?)_?units?", str(key)):
            _note(units, match[1], unit)
    return units


def stated_levels(metadata: Any) -> dict[str, Level]:
    """Return whether properties are per atom or per structure, where the metadata say it.

    Examples
    --------
    >>> stated_levels({"zstruct_levels": {"site": "atom", "gap": "structure", "odd": 3}})
    {'site': 'atom', 'gap': 'structure'}
    """
    table = metadata.get(LEVELS) if isinstance(metadata, Mapping) else None
    known: dict[str, Level] = {ATOM: ATOM, STRUCTURE: STRUCTURE}
    if not isinstance(table, Mapping):
        return {}
    return {
        str(key): known[level] for key, level in table.items() if isinstance(level, str) and level in known
    }


def _note(units: dict[str, str], key: Any, unit: Any) -> None:
    if isinstance(unit, bool) or not isinstance(unit, (str, int, float)):
        return
    text = str(unit).strip()
    if text.lower() in _NONE:
        return
    for name in ("positions", "cell") if str(key).lower() in _LENGTHS else (str(key),):
        units[name] = text
