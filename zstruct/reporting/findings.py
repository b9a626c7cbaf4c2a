"""All that is found out for a page, before anything of it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError, StaleGroupError, ZstructError
from zstruct.features.groups import FeatureGroup, open_group
from zstruct.query import StoreTable
from zstruct.query.binding import to_read
from zstruct.query.reading import read_column
from zstruct.reporting.groups import Groups, groups_of
from zstruct.reporting.options import PageOptions
from zstruct.reporting.points import MOST_ATOMS, Column, Points, points_of
from zstruct.reporting.sample import Sample, drawn
from zstruct.reporting.survey import Survey, references_for, survey
from zstruct.schema import STRUCTURE
from zstruct.similarity.duplicates import duplicates
from zstruct.similarity.groups import Duplicates
from zstruct.splits.leaks import Leaks, leaks_among
from zstruct.stats.references import References
from zstruct.stats.scan import Part
from zstruct.store.scattered import read_scattered
from zstruct.store.split_parts import Split
from zstruct.store.splits import open_split
from zstruct.text import written_unit

__all__ = ["Findings", "Outliers", "find"]

_LISTED = 8  # outliers of a kind, and groups of duplicates
_SPLITS = 4  # whose parts are shown beside each other
_FIELDS = 24  # of numbers, that may be along an axis
_NUMBERS = 200_000  # of such fields: ten for a page of 20,000 structures
_SHOWN_OTHERWISE = ("energy", "n_atoms", "offsets")
#: What is known of each structure: how it is called, and whether its axis is logarithmic.
KNOWN = {
    "n_atoms": ("number of atoms", False),
    "energy_per_atom": ("energy per atom (eV)", False),
    "referenced": ("energy per atom less references (eV)", False),
    "fmax": ("largest force (eV/Å)", True),
    "pressure": ("pressure (GPa)", False),
    "volume_per_atom": ("volume per atom (Å³)", False),
    "shortest_distance": ("shortest distance (Å)", False),
}


@dataclass(frozen=True, eq=False)
class Outliers:
    """Structures that are far from the others in something.

    Parameters
    ----------
    title
        What.
    key
        The column that says so.
    places
        Which of the structures, the farthest first.
    """

    title: str
    key: str
    places: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Findings:
    """What a page is written from.

    Parameters
    ----------
    part
        The structures.
    survey
        What one pass over them found.
    references
        What was subtracted from energies.
    groups
        The groups they are in.
    splits
        By name; of those that are up to date.
    stale
        Groups of the store that are not, with the reason.
    duplicates
        None: they were not looked for.
    leaks
        Of each of the splits.
    outliers
        Of each kind.
    sample
        Which structures are in the page.
    points
        These.
    """

    part: Part
    survey: Survey
    references: References | None
    groups: Groups
    splits: Mapping[str, Split]
    stale: Sequence[str]
    duplicates: Duplicates | None
    leaks: Sequence[Leaks]
    outliers: Sequence[Outliers]
    sample: Sample
    points: Points


def find(part: Part, options: PageOptions) -> Findings:
    """Find out what a page shows of structures.

    Parameters
    ----------
    part
        The structures.
    options
        What it shows.

    Raises
    ------
    InputError
        If there is no structure.
    """
    workers, progress = options.workers, options.progress
    if not len(part):
        raise InputError(f"there is nothing to show of {part.store.path}: no structure is chosen")
    store = part.store
    groups = groups_of(part, options.by)
    mapped = _map_of(part, options.features)
    references = references_for(part, options.references, workers)
    seen = survey(part, references, workers, progress)
    splits, stale = _splits_of(part)
    alike, leaks = None, []
    if options.tolerance is not None:
        alike = duplicates(part, options.tolerance, workers=workers, progress=progress)
        leaks = [leaks_among(alike, open_split(store, name), name) for name in splits]
    outliers = _outliers(seen)
    named = [*(one.places for one in outliers), _of_duplicates(part, alike)]
    sample = drawn(groups, seen.n_atoms, np.concatenate(named), options.most, MOST_ATOMS)
    columns = list(_columns(seen, groups, splits, sample.places))
    numbers = sum(column.texts is None for column, _ in columns)
    columns[numbers:numbers] = _fields(part, sample.places)
    if mapped is not None:
        values = read_scattered(mapped.store, mapped.array("values"), part.structures[sample.places])
        for k, name in enumerate(mapped.feature_names):
            columns.insert(k, (Column(f"map-{k}", f"{mapped.name}: {name}"), values[:, k]))
    points = points_of(part, sample.places, columns)
    return Findings(part, seen, references, groups, splits, stale, alike, leaks, outliers, sample, points)


def _map_of(part: Part, asked: str | None) -> FeatureGroup | None:
    """Return the features that are a map: two of each structure.

    Raises
    ------
    InputError
        If those that are asked for are none.
    StaleGroupError
        If they were computed from other content than the store has now.
    """
    if asked is not None:
        group = open_group(part.store, "features", asked)
        if not _is_map(group):
            raise InputError(
                f"the features {asked!r} of {part.store.path} are no map: two numbers of each structure"
            )
        return group
    for name in part.store.again().group_names("features"):
        try:
            group = open_group(part.store, "features", name)
        except ZstructError:  # stale, or of a newer version
            continue
        if _is_map(group):
            return group
    return None


def _is_map(group: FeatureGroup) -> bool:
    return group.level == STRUCTURE and len(group.feature_names) == 2


def _splits_of(part: Part) -> tuple[dict[str, Split], list[str]]:
    """Return splits of the structures, with codes of these only; and what is said of others."""
    found: dict[str, Split] = {}
    stale = []
    for name in part.store.again().group_names("splits"):
        try:
            whole = open_split(part.store, name)
        except StaleGroupError:
            stale.append(f"the split {name} was drawn for other content than the store has now")
            continue
        if len(found) == _SPLITS:
            stale.append(f"the split {name} and those after it are not shown")
            break
        found[name] = Split(whole.labels, whole.codes[part.structures], whole.recipe)
    return found, stale


def _outliers(seen: Survey) -> list[Outliers]:
    found = []
    columns = seen.columns
    if "fmax" in columns:
        found.append(Outliers("Largest forces", "fmax", _farthest(columns["fmax"])))
    if "shortest_distance" in columns:
        found.append(
            Outliers("Shortest distances", "shortest_distance", _farthest(-columns["shortest_distance"]))
        )
    key = "referenced" if "referenced" in columns else "energy_per_atom"
    if key in columns:
        away = np.abs(columns[key] - np.nanmedian(columns[key]))
        found.append(Outliers("Energies farthest from the median", key, _farthest(away)))
    return found


def _farthest(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return where the largest values are, the largest first; of equal ones the first."""
    known = np.flatnonzero(np.isfinite(values))
    if len(known) > _LISTED:
        edge = np.partition(values[known], len(known) - _LISTED)[len(known) - _LISTED]
        known = known[values[known] >= edge]
    return known[np.argsort(-values[known], kind="stable")][:_LISTED].astype(np.int64)


def _of_duplicates(part: Part, found: Duplicates | None) -> NDArray[np.int64]:
    """Return the first two structures of the first groups, as places among the structures."""
    if found is None or not len(found):
        return np.zeros(0, np.int64)
    firsts = found.edges[: min(len(found), _LISTED)]
    which = found.structure[np.stack([firsts, firsts + 1], axis=1).ravel()]
    return np.searchsorted(part.structures, which).astype(np.int64)


def _columns(
    seen: Survey, groups: Groups, splits: Mapping[str, Split], places: NDArray[np.int64]
) -> list[tuple[Column, NDArray[Any]]]:
    """Return what is known of the structures of a page."""
    known = {"n_atoms": seen.n_atoms, **seen.columns}
    found: list[tuple[Column, NDArray[Any]]] = [
        (Column(key, label, log), known[key][places]) for key, (label, log) in KNOWN.items() if key in known
    ]
    if groups.by is not None:
        found.append((Column("group", groups.by, texts=groups.names), groups.codes[places]))
    for name, parts in splits.items():
        texts = [*parts.labels, "none"]
        codes = parts.codes[places].astype(np.int64)
        labels = Column(f"split-{name}", f"split {name}", texts=texts)
        found.append((labels, np.where(codes < 0, len(parts.labels), codes)))
    return found


def _fields(part: Part, places: NDArray[np.int64]) -> list[tuple[Column, NDArray[Any]]]:
    """Return fields with a number in each structure, unless it is the same in all, as far as they are few."""
    store, found = part.store, list[tuple[Column, NDArray[Any]]]()
    table = StoreTable(store, part.structures[places])
    most = min(_FIELDS, _NUMBERS // max(1, len(places)))
    for name, row in store.fields.items():
        if row.dims != (STRUCTURE,) or row.kind in ("category", "bool") or name in _SHOWN_OTHERWISE:
            continue
        if len(found) == most:
            break
        column = read_column(to_read(f"field('{name}')", table), table)
        values = np.where(column.missing, np.nan, column.values.astype(np.float64))
        if len(np.unique(values[np.isfinite(values)])) > 1:
            unit = written_unit(row.unit)
            found.append((Column(f"field-{name}", f"{name} ({unit})" if unit else name), values))
    return found
