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
from zstruct.sources.hdf5.groups import Group, Item
from zstruct.sources.source import BadFrame, Raw, RawColumn

__all__ = ["joined"]


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
        The groups, in order.
    first
        The number of the first structure; those of `bad` are among those that follow.
    bad
        Structures that can't be read, by number, and why.
    """
    sizes = np.array([group.n for group in groups], dtype=np.int64)
    counts = np.repeat(np.array([group.atoms for group in groups], dtype=np.int64), sizes)
    n = int(sizes.sum())
    frames = np.setdiff1d(np.arange(first, first + n + len(bad)), np.array(sorted(bad), dtype=np.int64))
    raw = Raw(frames, counts, bad=[BadFrame(frame, reason) for frame, reason in sorted(bad.items())])
    if n == 0:
        return raw
    offsets = counts_to_offsets(counts)
    numbers = [group.numbers.reshape(-1) for group in groups]
    texts = {rows.dtype.kind in "SUO" for rows in numbers}
    if texts == {True, False}:
        numbers = [rows.astype(str) for rows in numbers]
    raw.atom["numbers"] = rows_of_atoms("numbers", np.concatenate(numbers), offsets)
    fill_elements(raw, {})
    starts = counts_to_offsets(sizes)
    raw.atom["positions"] = _by_unit(
        [(k, group.positions.reshape(-1, 3), group.units.get("positions")) for k, group in enumerate(groups)],
        starts,
        offsets,
    )
    _add_periodicity(raw, groups, starts)
    kinds: dict[_Kind, list[tuple[int, NDArray[Any]]]] = {}
    for k, group in enumerate(groups):
        for name, item in group.labels.items():
            kinds.setdefault(_kind_of(name, item), []).append((k, item.values))
    for kind, parts in kinds.items():
        columns = raw.atom if kind.level == ATOM else raw.structure
        columns.setdefault(kind.name, []).extend(_columns(kind, parts, starts, offsets))
    left: dict[str, NDArray[np.bool_]] = {}
    for k, group in enumerate(groups):
        for key in group.left:
            left.setdefault(key, np.zeros(n, dtype=bool))[starts[k] : starts[k + 1]] = True
    if left:
        sentence = f"left out: {said_where(left)}, in no shape for a label of atoms or structures"
        raw.remarks[sentence] = np.any(list(left.values()), axis=0)
    return raw


def _kind_of(name: str, item: Item) -> _Kind:
    kind: str = item.values.dtype.kind
    kind = "text" if kind in "SUO" else "number" if kind in "iu" else kind
    return _Kind(item.level, name, kind, item.values.shape[1:], item.unit)


def _columns(
    kind: _Kind, parts: list[tuple[int, NDArray[Any]]], starts: NDArray[np.int64], offsets: NDArray[np.int64]
) -> list[RawColumn]:
    """Return the columns of one label of some groups."""
    n = len(offsets) - 1
    here = np.zeros(n, dtype=bool)
    for k, _ in parts:
        here[starts[k] : starts[k + 1]] = True
    if kind.kind == "text":
        return _texts(kind, parts, starts, offsets, here)
    edges = offsets if kind.level == ATOM else np.arange(n + 1)
    if here.all():
        values = np.concatenate([rows for _, rows in parts])
    else:
        dtype = np.result_type(*{rows.dtype for _, rows in parts})
        values = np.zeros((int(edges[-1]), *kind.shape), dtype)
        for k, rows in parts:
            values[edges[starts[k]] : edges[starts[k + 1]]] = rows
    if values.dtype == np.uint64:
        if values.size and values.max() >= 2**63:
            fault = f"{kind.name} has {values.max()}, which is too large for int64"
            return [RawColumn(np.zeros(int(edges[-1])), here, fault=fault)]
        values = values.astype(np.int64)
    return [RawColumn(values, None if here.all() else here, unit=kind.unit)]


def _texts(
    kind: _Kind,
    parts: list[tuple[int, NDArray[Any]]],
    starts: NDArray[np.int64],
    offsets: NDArray[np.int64],
    here: NDArray[np.bool_],
) -> list[RawColumn]:
    said = [text_of(one) for _, rows in parts for one in rows.reshape(-1)]
    if kind.level != ATOM:
        return structure_columns(kind.name, said, np.flatnonzero(here), len(here))
    codes: dict[str, int] = {}
    flat = np.array([codes.setdefault(text, len(codes)) for text in said], dtype=np.int32)
    values = np.zeros(int(offsets[-1]), dtype=np.int32)
    values[np.repeat(here, np.diff(offsets))] = flat
    return [RawColumn(values, here, list(codes))]


def _by_unit(
    parts: list[tuple[int, NDArray[Any], str | None]], starts: NDArray[np.int64], offsets: NDArray[np.int64]
) -> list[RawColumn]:
    """Return the columns of what all groups have, one for each unit that they state."""
    units = list(dict.fromkeys(unit for _, _, unit in parts))
    values = np.concatenate([rows for _, rows, _ in parts])
    if len(units) == 1:
        return [RawColumn(values, unit=units[0])]
    columns = []
    for unit in units:
        here = np.zeros(len(offsets) - 1, dtype=bool)
        for k, _, stated in parts:
            here[starts[k] : starts[k + 1]] |= stated == unit
        columns.append(RawColumn(values, here, unit=unit))
    return columns


def _add_periodicity(raw: Raw, groups: Sequence[Group], starts: NDArray[np.int64]) -> None:
    """Add cells and pbc; a group without them has none."""
    n = len(raw.n_atoms)
    if not any(group.cell is not None or group.pbc is not None for group in groups):
        return
    cell, pbc, said = np.zeros((n, 3, 3)), np.zeros((n, 3), dtype=bool), np.zeros(n, dtype=bool)
    odd = np.zeros(n, dtype=bool)
    for k, group in enumerate(groups):
        rows = slice(starts[k], starts[k + 1])
        if group.cell is not None:
            cell[rows] = group.cell
        if group.pbc is not None:
            pbc[rows], said[rows] = group.pbc.astype(bool), True
            odd[rows] = (pbc[rows] != group.pbc).any(axis=1)
    units = {group.units.get("cell") for group in groups if group.cell is not None}
    unit = units.pop() if len(units) == 1 else None
    silent = ~said & cell.any(axis=(1, 2))
    periodicity(raw, cell, None if silent.any() else pbc, unit)
    if silent.any():
        (column,) = raw.structure["cell"]
        raw.structure["cell"] = [
            RawColumn(cell, silent, fault=column.fault),
            RawColumn(cell, ~silent, unit=unit),
        ]
        raw.structure["pbc"] = [RawColumn(pbc)]
    if odd.any():
        raw.structure["pbc"].append(RawColumn(pbc, odd, fault="pbc is neither True nor False"))
    if units:
        raw.structure["cell"].append(
            RawColumn(cell, np.ones(n, dtype=bool), fault="cells of one file are in several units")
        )
