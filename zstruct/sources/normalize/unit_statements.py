"""Units that structures state among their properties: ``energy-unit=hartree`` in a comment line.

The comments of i-PI, ``positions{atomic_unit} cell{angstrom}``, are understood as well.

They are found here, and made the unit of the columns that they speak of, as a source does that knows units
from elsewhere (`RawColumn.unit`). Each structure speaks for itself. Whether a unit is one, and whether
it goes with what the user says, is judged where columns are converted.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from zstruct.aliases import by_alias
from zstruct.errors import InputError
from zstruct.schema import FIELDS
from zstruct.sources.normalize.unit_systems import QUANTITIES, SYSTEM, UnitChoice, quantities_of, system_named
from zstruct.sources.source import Raw, RawColumn
from zstruct.units import factor, is_unit, ratio

__all__ = ["Statements"]

_COMMENT = "comment"
_SAME = 1e-9  # two units whose ratio is one but for this are the same
_WORDS = {
    "distance": "length",
    "position": "positions",
    "coord": "positions",
    "coords": "positions",
    "coordinate": "positions",
    "coordinates": "positions",
    "lattice": "cell",
    "velocity": "velocities",
    "pressure": "stress",
    "stresses": "stress",
    "dipoles": "dipole",
}


@cache
def _subject(key: str) -> str | None:
    """Return what a property called like this states the unit of: a word, ``"system"``, or None.

    Examples
    --------
    >>> _subject("energy-unit"), _subject("units"), _subject("unit_cell"), _subject("community")
    ('energy', 'system', None, None)
    """
    name = re.sub(r"[\s.:-]+", "_", key.strip())
    if re.fullmatch(r"units?|unit_?system|units_?system", name, re.IGNORECASE):
        return SYSTEM
    match = re.fullmatch(r"(?:(.+?)_units?|units?_of_(.+)|units_(.+))", name, re.IGNORECASE)
    match = match or re.fullmatch(r"(.*[a-z])Units?()()", name)
    return None if match is None else next(word for word in match.groups() if word).lower()


def _target(subject: str, renamed: Mapping[str, str]) -> str | None:
    """Return the quantity or field that a word means, or None."""
    for key, name in renamed.items():
        if key.lower() == subject and name in FIELDS:
            return name
    subject = _WORDS.get(subject, subject)
    if subject in QUANTITIES or subject == SYSTEM:
        return subject
    for level in ("atom", "structure"):
        if (spec := by_alias(subject, level)) is not None and spec.unit not in ("", "1"):
            return spec.name
    return None


@dataclass(frozen=True)
class _Regime:
    """The structures of a block that state the same: unit by quantity or field."""

    where: NDArray[np.bool_]
    stated: dict[str, str]

    def unit_of(self, name: str) -> str | None:
        """Return the unit of a field, None if nothing is stated, empty if what is leaves it open."""
        spec = FIELDS[name]
        if name in self.stated:
            return self._of_system(name, self.stated[name])
        quantities = [q for q in quantities_of(spec) if q in self.stated]
        odd = [self.stated[q] for q in quantities if not _fits(q, self.stated[q])]
        if odd:
            return odd[0]
        choice = UnitChoice({q: self.stated[q] for q in (*quantities, SYSTEM) if q in self.stated})
        unit = choice.unit_of(name)
        if unit is not None and choice.missing_for(name) and abs(factor(name, unit) - 1) > _SAME:
            return ""
        return unit

    @staticmethod
    def _of_system(name: str, text: str) -> str:
        system = system_named(text)
        return text if system is None else UnitChoice({SYSTEM: system}).unit_of(name) or text


class Statements:
    """What the structures of one block state about units.

    Parameters
    ----------
    raw
        The block.
    renamed
        The field by input property, where the user says so.
    exclude
        Properties to leave out; what they state is not heard.
    label
        The source, for messages.

    Raises
    ------
    InputError
        If the input states units of which it can't be told what has them, or two for one thing.
    """

    def __init__(self, raw: Raw, renamed: Mapping[str, str], exclude: Collection[str], label: str):
        self.consumed: set[str] = set()
        """Properties that are statements, and need no column."""
        self._n, self._label = len(raw.n_atoms), label
        self._fields = _fields_of(raw, renamed)
        columns: dict[str, tuple[str, RawColumn]] = {}
        for key, given in raw.structure.items():
            subject = _subject(key)
            if subject is None or key in exclude or key in renamed or not _is_text(given):
                continue
            target = _target(subject, renamed)
            if target is not None and self._means_units(key, target, given[0].texts or []):
                columns[key] = target, given[0]
        if _COMMENT not in exclude and _COMMENT not in renamed and _is_text(raw.structure.get(_COMMENT, [])):
            columns |= _in_comments(raw.structure[_COMMENT][0])
        self._regimes = self._parted(columns) if columns else []

    def applied(self, name: str, columns: list[RawColumn]) -> list[RawColumn]:
        """Return the columns of a field with the units that are stated, parted where these differ."""
        spec = FIELDS.get(name)
        if not self._regimes or spec is None or spec.unit in ("", "1"):
            return columns
        units: dict[str | None, NDArray[np.bool_]] = {}
        for regime in self._regimes:
            try:
                unit = regime.unit_of(name)
            except InputError as error:
                raise InputError(f"{error.reason} (the input states {regime.stated})", self._label) from None
            units[unit] = units.get(unit, np.zeros(self._n, dtype=bool)) | regime.where
        parted = []
        for column in columns:
            here = np.ones(self._n, dtype=bool) if column.present is None else column.present
            if column.unit is not None or column.fault is not None:
                parted.append(column)
                continue
            for unit, where in units.items():
                mine = here & where
                if mine.any():
                    parted.append(replace(column, present=None if mine.all() else mine, unit=unit))
        return parted

    def _means_units(self, key: str, target: str, texts: list[str]) -> bool:
        """Tell whether texts are statements; note that they need no column, if all of them are units."""
        if target == SYSTEM:
            foreign = [text for text in texts if system_named(text) is None and _is_foreign(text)]
            if foreign:
                raise InputError(
                    f"the input says {key}={foreign[0]}, and it can't be told of what; say "
                    f"units={{'energy': ..., 'length': ...}} and exclude=[{key!r}]",
                    self._label,
                )
            if not all(map(system_named, texts)):
                return False
        used = any(target in (SYSTEM, name, *quantities_of(FIELDS[name])) for name in self._fields)
        if used and all(_fits(target, text) for text in texts):
            self.consumed.add(key)
        return True

    def _parted(self, columns: Mapping[str, tuple[str, RawColumn]]) -> list[_Regime]:
        codes = np.full((self._n, len(columns)), -1, dtype=np.int64)
        for k, (_, column) in enumerate(columns.values()):
            here = np.ones(self._n, dtype=bool) if column.present is None else column.present
            codes[here, k] = column.values[here]
        kinds, which = np.unique(codes, axis=0, return_inverse=True)
        regimes = []
        for k, kind in enumerate(kinds.tolist()):
            stated: dict[str, str] = {}
            said_by: dict[str, str] = {}
            for code, (key, (target, column)) in zip(kind, columns.items(), strict=True):
                if code < 0 or column.texts is None:
                    continue
                text = column.texts[code]
                if stated.setdefault(target, text) != text:
                    raise InputError(
                        f"the input says both {said_by[target]}={stated[target]} and {key}={text}; leave one "
                        f"out with exclude=[{key!r}]",
                        self._label,
                    )
                said_by.setdefault(target, key)
            regimes.append(_Regime(which.reshape(-1) == k, stated))
        return regimes


def _fields_of(raw: Raw, renamed: Mapping[str, str]) -> set[str]:
    """Return the fields that the properties of a block are, or may be."""
    known = {renamed[key] for key in (*raw.atom, *raw.structure) if key in renamed}
    known |= {spec.name for key in raw.atom if (spec := by_alias(key, "atom")) is not None}
    known |= {spec.name for key in raw.structure if (spec := by_alias(key, "structure")) is not None}
    return known & set(FIELDS)


def _in_comments(column: RawColumn) -> dict[str, tuple[str, RawColumn]]:
    """Return what comments state as ``name{unit}`` or ``name_unit=...``: of what, and the units."""
    texts: dict[str, dict[int, str]] = {}
    for code, comment in enumerate(column.texts or []):
        for name, unit in _stated_in(comment):
            texts.setdefault(name, {})[code] = unit
    found = {}
    for name, by_code in texts.items():
        target = _target(name.lower(), {})
        if target is None or target == SYSTEM:
            continue
        units = list(dict.fromkeys(by_code.values()))
        codes = np.full(len(column.texts or []), -1, dtype=np.int32)
        codes[list(by_code)] = [units.index(unit) for unit in by_code.values()]
        here = column.values >= 0 if column.present is None else column.present & (column.values >= 0)
        rows = np.where(here, codes[column.values], -1)
        found[f"{name} in the comment"] = target, RawColumn(rows, rows >= 0, units)
    return found


def _stated_in(comment: str) -> list[tuple[str, str]]:
    """Return names and units that a comment states.

    Examples
    --------
    >>> _stated_in("Step: 3 positions{atomic_unit}"), _stated_in('E=-1.5 energy_unit="Ha", free {text}')
    ([('positions', 'atomic_unit')], [('energy', 'Ha')])
    """
    found: list[tuple[str, str]] = []
    if "{" in comment:
        found += re.findall(r"(\w+)\{([^{}\s]+)\}", comment)
    if "unit" in comment.lower():
        pairs = re.findall(r"([\w.-]*unit[\w.-]*)\s*[=:]\s*[\"']?([^\s\"',;]+)", comment, re.IGNORECASE)
        found += [(subject, unit) for key, unit in pairs if (subject := _subject(key)) not in (None, SYSTEM)]
    return found


def _is_text(columns: list[RawColumn]) -> bool:
    return len(columns) == 1 and columns[0].texts is not None and columns[0].values.ndim == 1


def _fits(target: str, text: str) -> bool:
    """Tell whether a text is a unit that a field or quantity can have."""
    try:
        UnitChoice({target: text})
    except InputError:
        return False
    return True


def _is_foreign(text: str) -> bool:
    """Tell whether a text names units, and others than the store's."""
    words = [word for word in re.split(r"[,;\s]+", text) if word]
    if not words or not all(is_unit(word) for word in words):
        return False
    own = (*QUANTITIES.values(), "eV/angstrom", "eV/angstrom^3", "1", "e*angstrom", "mu_B")
    return not all(any(_equal(word, unit) for unit in own) for word in words)


def _equal(a: str, b: str) -> bool:
    try:
        return abs(ratio(a, b, "") - 1) < _SAME
    except InputError:
        return False
