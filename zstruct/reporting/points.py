"""The structures that are in a page: what is known of each, and its atoms, as bytes that a browser maps.

Positions are 16-bit numbers within the box of their structure, so that an atom takes seven bytes, and
thirteen with its force. That is for looking: a box of 60 angstrom is told to a thousandth of one.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.compositions import compositions, distinct_compositions
from zstruct.ragged import counts_to_offsets, segment_reduce
from zstruct.stats.scan import Part
from zstruct.store.scattered import read_scattered, read_segments
from zstruct.to_ase import element_look

__all__ = ["MOST_ATOMS", "Column", "Points", "points_of"]

#: Atoms that a page has at most: 1,200,000 of seven bytes are 11.2 million letters.
MOST_ATOMS = 1_200_000
_WITH_FORCES = 600_000  # atoms whose forces are in the page, too
_LEVELS = 65_535


@dataclass(frozen=True)
class Column:
    """A number or a label of each structure, to be drawn and chosen by.

    Parameters
    ----------
    key
        Its name.
    label
        What it is, with its unit.
    log
        Whether equal ratios should be equal lengths.
    texts
        What codes stand for, of a label; None: it is a number.
    """

    key: str
    label: str
    log: bool = False
    texts: Sequence[str] | None = None


@dataclass(frozen=True, eq=False)
class Points:
    """What a page has of its structures.

    Parameters
    ----------
    about
        What JSON can hold: columns, elements, texts.
    arrays
        By name, little-endian.
    """

    about: dict[str, Any]
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def encoded(self) -> dict[str, str]:
        """Return the arrays in base 64."""
        return {
            name: base64.b64encode(
                np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
            ).decode()
            for name, array in self.arrays.items()
        }


def points_of(
    part: Part, places: NDArray[np.int64], columns: Sequence[tuple[Column, NDArray[Any]]]
) -> Points:
    """Return structures for a page.

    Parameters
    ----------
    part
        All structures.
    places
        Which of them, ascending, shape (n,).
    columns
        What is known of these, each with its values, shape (n,); codes of a label, or numbers.
    """
    store, rows = part.store, part.structures[places]
    starts = read_scattered(store, "offsets", rows)
    counts = read_scattered(store, "n_atoms", rows).astype(np.int64)
    offsets = counts_to_offsets(counts)
    numbers = read_segments(store, "numbers", starts, starts + counts)
    positions = np.asarray(read_segments(store, "positions", starts, starts + counts), np.float64)
    texts, codes = distinct_compositions(*compositions(numbers, offsets))
    boxes, levels = _boxed(positions, offsets)
    arrays: dict[str, NDArray[Any]] = {
        "structure": rows.astype(np.uint32),
        "offsets": offsets.astype(np.uint32),
        "numbers": numbers.astype(np.uint8),
        "formula": np.asarray(codes).astype(np.uint32),
        "boxes": boxes,
        "positions": levels,
    }
    if "cell" in store.fields:
        cells = np.nan_to_num(np.asarray(read_scattered(store, "cell", rows), np.float32))
        if cells.any():
            arrays["cells"] = cells.reshape(-1, 9)
    if "pbc" in store.fields:
        bits = read_scattered(store, "pbc", rows) @ np.array([1, 2, 4])
        arrays["periodic"] = bits.astype(np.uint8)
    if "forces" in store.fields and len(numbers) <= _WITH_FORCES:
        forces = np.asarray(read_segments(store, "forces", starts, starts + counts), np.float64)
        arrays["force_scales"], arrays["forces"] = _scaled(forces, offsets)
    with np.errstate(over="ignore"):  # what float32 can't hold is infinite, and no point
        for k, (column, values) in enumerate(columns):
            arrays[f"column-{k}"] = values.astype(np.float32 if column.texts is None else np.uint16)
    about = {
        "n": len(rows),
        "columns": [
            {
                "key": one.key,
                "label": one.label,
                "log": one.log,
                "texts": None if one.texts is None else list(one.texts),
            }
            for one, _ in columns
        ],
        "formulas": list(map(str, texts)),
        "elements": {str(z): element_look(int(z)) for z in np.unique(numbers)},
    }
    return Points(about, arrays)


def _boxed(
    positions: NDArray[np.float64], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Return corner and edge of the box of each structure, shape (n, 4), and where its atoms are in it."""
    counts = np.diff(offsets)
    finite = np.where(np.isfinite(positions), positions, 0.0)
    low = np.nan_to_num(segment_reduce(finite, offsets, "min"))
    edge = np.nan_to_num(segment_reduce(finite, offsets, "max") - low).max(axis=1, initial=0.0)
    edge = np.where(edge > 0, edge, 1.0)
    inside = (finite - np.repeat(low, counts, axis=0)) / np.repeat(edge, counts)[:, None]
    boxes = np.concatenate([low, edge[:, None]], axis=1).astype(np.float32)
    return boxes, np.rint(inside * _LEVELS).astype(np.uint16)


def _scaled(
    forces: NDArray[np.float64], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Return the largest component of the forces of each structure, NaN without any, and parts of it."""
    known = np.nan_to_num(forces)
    scales = segment_reduce(np.abs(known).max(axis=1, initial=0.0), offsets, "max")
    there = segment_reduce(np.isfinite(forces).all(axis=1).astype(np.int64), offsets, "sum") == np.diff(
        offsets
    )
    unit = np.repeat(np.where(scales > 0, scales, 1.0), np.diff(offsets))[:, None]
    return np.where(there, scales, np.nan).astype(np.float32), np.rint(known / unit * 32_767).astype(np.int16)
