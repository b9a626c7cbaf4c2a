"""Groups of structures joined into blocks: their labels differ, and whoever lacks one lacks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, Level
from zstruct.sources.array_columns import rows_of_atoms
from zstruct.sources.array_files.geometry import fill_elements, periodicity
from zstruct.sources.array_files.names import said_where
from zstruct.sources.columns import structure_columns
from zstruct.sources.hdf5.file import text_of
from zstruct.sources.hdf5.plan import Group, Item
from zstruct.sources.source import BadFrame, Raw, RawColumn

__all__ = ["joined"]

_NEITHER = 2  # of what is neither true nor false


@dataclass(frozen=True)
class _Kind:
    """What the labels of groups share that become one column."""

    level: Level
    name: str
    kind: str
    shape: tuple[int, ...]
    unit: str | None


def joined(groups: Sequence[Group], first: int, bad: Mapping[int, str]) -> Raw:
    """Return groups as one block.

    Parameters
    ----------
    groups
        The groups: in order, or all of them with their places among the structures that can be read.
    first
        The number of the first structure; those of `bad` are among those that follow.
    bad
        Structures that can't be read, by number, and why.
    """
    places = _Places(groups)
    n, counts, offsets = len(places.counts), places.counts, places.offsets
    frames = np.setdiff1d(np.arange(first, first + n + len(bad)), np.array(sorted(bad), dtype=np.int64))
    raw = Raw(frames, counts, bad=[BadFrame(frame, reason) for frame, reason in sorted(bad.items())])
    if n == 0:
        return raw
    numbers = [group.numbers.reshape(-1) for group in groups]
    if {rows.dtype.kind in "SUO" for rows in numbers} == {True, False}:
        numbers = [rows.astype(str) for rows in numbers]
    everywhere = list(enumerate(numbers))
    raw.atom["numbers"] = rows_of_atoms("numbers", places.put(everywhere, ATOM), offsets)
    fill_elements(raw, {})
    raw.atom["positions"] = _positions(groups, places)
    _add_periodicity(raw, groups, places)
    kinds: dict[_Kind, list[tuple[int, Item]]] = {}
    for k, group in enumerate(groups):
        for name, item in group.labels.items():
            kinds.setdefault(_kind_of(name, item), []).append((k, item))
    for kind, parts in kinds.items():
        columns = raw.atom if kind.level == ATOM else raw.structure
        columns.setdefault(kind.name, []).extend(_columns(kind, parts, places))
    left: dict[str, NDArray[np.bool_]] = {}
    for k, group in enumerate(groups):
        for key in group.left:
            left.setdefault(key, np.zeros(n, dtype=bool))[places.of(k)] = True
    if left:
        sentence = f"left out: {said_where(left)}, in no shape for a label of atoms or structures"
        raw.remarks[sentence] = np.any(list(left.values()), axis=0)
    return raw


class _Places:
    """Which structures of a block, and which atoms, those of groups are."""

    def __init__(self, groups: Sequence[Group]):
        edges = counts_to_offsets([group.n for group in groups])
        self._in_order = all(group.places is None for group in groups)
        self._of = [
            slice(edges[k], edges[k + 1]) if group.places is None else group.places
            for k, group in enumerate(groups)
        ]
        self._atoms = [group.atoms for group in groups]
        self.counts = np.zeros(edges[-1], dtype=np.int64)
        for where, atoms in zip(self._of, self._atoms, strict=True):
            self.counts[where] = atoms
        self.offsets = counts_to_offsets(self.counts)
        self._rows: dict[int, NDArray[np.int64]] = {}

    def of(self, k: int, here: NDArray[np.int64] | None = None) -> Any:
        """Return the structures of a group, or some of them."""
        where = self._of[k]
        if here is None:
            return where
        return where.start + here if isinstance(where, slice) else where[here]

    def atoms_of(self, k: int) -> Any:
        """Return the atoms of a group."""
        where, atoms = self._of[k], self._atoms[k]
        if isinstance(where, slice):
            return slice(self.offsets[where.start], self.offsets[where.stop])
        if k not in self._rows:
            self._rows[k] = (self.offsets[where][:, None] + np.arange(atoms)).reshape(-1)
        return self._rows[k]

    def put(
        self, parts: Sequence[tuple[int, NDArray[Any]]], level: Level, here: Sequence[Any] | None = None
    ) -> NDArray[Any]:
        """Return rows of groups at their places among those of all; other rows are zero.

        Parameters
        ----------
        parts
            The number of a group, and its rows.
        level
            What they belong to.
        here
            Which structures of each group the rows are of; None for all.
        """
        rows = [values for _, values in parts]
        n = int(self.offsets[-1]) if level == ATOM else len(self.counts)
        if here is None and self._in_order and len(parts) == len(self._of):
            return rows[0] if len(rows) == 1 else np.concatenate(rows)
        dtype = np.result_type(*{values.dtype for values in rows})
        made = np.zeros((n, *rows[0].shape[1:]), dtype)
        for j, (k, values) in enumerate(parts):
            some = None if here is None else here[j]
            made[self.atoms_of(k) if level == ATOM else self.of(k, some)] = values
        return made


def _kind_of(name: str, item: Item) -> _Kind:
    kind: str = item.values.dtype.kind
    kind = "text" if kind in "SUO" else "number" if kind in "iu" else kind
    return _Kind(item.level, name, kind, item.values.shape[1:], item.unit)


def _columns(kind: _Kind, parts: list[tuple[int, Item]], places: _Places) -> list[RawColumn]:
    """Return the columns of one label of some groups."""
    n = len(places.counts)
    present = np.zeros(n, dtype=bool)
    for k, item in parts:
        present[places.of(k, item.here)] = True
    if kind.kind == "text":
        return _texts(kind, parts, places, present)
    some = [item.here for _, item in parts]
    values = places.put(
        [(k, item.values) for k, item in parts],
        kind.level,
        None if all(here is None for here in some) else some,
    )
    if values.dtype == np.uint64:
        if values.size and values.max() >= 2**63:
            fault = f"{kind.name} has {values.max()}, which is too large for int64"
            return [RawColumn(np.zeros(len(values)), present, fault=fault)]
        values = values.astype(np.int64)
    return [RawColumn(values, None if present.all() else present, unit=kind.unit)]


def _texts(
    kind: _Kind, parts: list[tuple[int, Item]], places: _Places, present: NDArray[np.bool_]
) -> list[RawColumn]:
    """Return the columns of texts; several of one structure are a list."""
    n, width = len(present), int(np.prod(kind.shape))
    if kind.level == ATOM and width != 1:
        fault = f"{kind.name} has {width} texts for each atom, and there is a place for one"
        return [RawColumn(np.zeros(n), present, fault=fault)]
    codes: dict[str | tuple[str, ...], int] = {}
    rows = []
    for k, item in parts:
        said: list[Any] = [text_of(one) for one in item.values.reshape(-1)]
        if width != 1:
            said = [tuple(said[i : i + width]) for i in range(0, len(said), width)]
        rows.append((k, np.array([codes.setdefault(one, len(codes)) for one in said], dtype=np.int32)))
    if kind.level == ATOM:
        return [RawColumn(places.put(rows, ATOM), present, [*map(str, codes)])]
    values = places.put(rows, kind.level, [item.here for _, item in parts])
    texts = [one if isinstance(one, str) else list(one) for one in codes]
    here = np.flatnonzero(present)
    return structure_columns(kind.name, [texts[code] for code in values[here].tolist()], here, n)


def _positions(groups: Sequence[Group], places: _Places) -> list[RawColumn]:
    """Return the columns of positions, one for each unit that groups state."""
    values = places.put([(k, group.positions.reshape(-1, 3)) for k, group in enumerate(groups)], ATOM)
    units = {group.units.get("positions"): None for group in groups}
    columns = []
    for unit in units:
        here = np.zeros(len(places.counts), dtype=bool)
        for k, group in enumerate(groups):
            here[places.of(k)] = group.units.get("positions") == unit
        columns.append(RawColumn(values, None if len(units) == 1 else here, unit=unit))
    return columns


def _add_periodicity(raw: Raw, groups: Sequence[Group], places: _Places) -> None:
    """Add cells and pbc; a group without them has none."""
    n = len(raw.n_atoms)
    if not any(group.cell is not None or group.pbc is not None for group in groups):
        return
    cell, pbc, said = np.zeros((n, 3, 3)), np.zeros((n, 3)), np.zeros(n, dtype=bool)
    for k, group in enumerate(groups):
        rows = places.of(k)
        if group.cell is not None:
            cell[rows] = group.cell
        if group.pbc is not None:
            flags = group.pbc.astype(bool)
            pbc[rows], said[rows] = np.where(flags == group.pbc, flags, _NEITHER), True
    units = {group.units.get("cell") for group in groups if group.cell is not None}
    periodicity(raw, cell, pbc, units.pop() if len(units) == 1 else None, said)
    if units:
        raw.structure["cell"].append(
            RawColumn(cell, np.ones(n, dtype=bool), fault="cells of one file are in several units")
        )
