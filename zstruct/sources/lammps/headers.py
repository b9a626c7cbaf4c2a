"""The lines ``ITEM: ATOMS`` and ``ITEM: BOX BOUNDS`` of a dump: which columns, and which kind of box."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zstruct.schema import GEOMETRY
from zstruct.sources.lines.frames import FaultError

__all__ = ["Box", "Columns", "bounds", "box_named", "columns_named", "placed"]

_AXES = "xyz"
# Vectors by the names of their columns, the best positions first.
_POSITIONS = {"": False, "u": False, "s": True, "su": True}
_VECTORS = {"v": "velocities", "f": "forces"}
_SCALARS = {"q": "charges", "mass": "masses"}
_WHOLE = frozenset(("id", "type", "mol", "proc", "procp1", "ix", "iy", "iz"))


@dataclass(frozen=True)
class Columns:
    """What the columns of atoms are.

    Parameters
    ----------
    steps
        Names, and how many words each has, in the order of the words; "id", "type", "typelabel" and
        "element" among them.
    scaled
        Whether positions are parts of the box.
    apart
        Vectors whose columns are not side by side, and the names of those.
    """

    steps: tuple[tuple[str, int], ...]
    scaled: bool
    apart: tuple[tuple[str, tuple[str, str, str]], ...] = ()

    @property
    def width(self) -> int:
        """Words of a line."""
        return sum(width for _, width in self.steps)

    def is_whole(self, name: str) -> bool:
        """Tell whether LAMMPS writes a column as whole numbers."""
        return name in _WHOLE


def columns_named(words: list[str]) -> Columns:
    """Return the columns that a line ``ITEM: ATOMS`` names.

    Raises
    ------
    FaultError
        If they make no sense, or what a structure needs is missing.
    """
    if not words:
        raise FaultError("the line ITEM: ATOMS names no columns")
    twice = next((word for k, word in enumerate(words) if word in words[:k]), None)
    if twice is not None:
        raise FaultError(f"the column {twice[:40]!r} is there twice")
    kinds = [kind for kind in _POSITIONS if all(axis + kind in words for axis in _AXES)]
    if not kinds:
        raise FaultError("the columns of atoms have no positions (x y z, or those of xu, xs or xsu)")
    if not {"element", "type", "typelabel"} & set(words):
        masses = "masses, but " if "mass" in words else ""
        raise FaultError(
            f"the dump has {masses}neither elements nor types, so the elements are not known; dump them as "
            "a column element or type"
        )
    vectors = {tuple(axis + kinds[0] for axis in _AXES): "positions"}
    for start, name in _VECTORS.items():
        vectors[tuple(start + axis for axis in _AXES)] = name
    steps: list[tuple[str, int]] = []
    apart: list[tuple[str, tuple[str, str, str]]] = []
    k = 0
    while k < len(words):
        vector = vectors.get(tuple(words[k : k + 3]))
        if vector is not None:
            steps.append((vector, 3))
            k += 3
            continue
        steps.append((_named(words[k]), 1))
        k += 1
    there = {name for name, _ in steps}
    for (x, y, z), name in vectors.items():
        if name not in there and {x, y, z} <= set(words):
            apart.append((name, (_named(x), _named(y), _named(z))))
    return Columns(tuple(steps), _POSITIONS[kinds[0]], tuple(apart))


def _named(word: str) -> str:
    name = _SCALARS.get(word, word)
    taken = name in GEOMETRY or name in _VECTORS.values()
    return f"input_{name}" if taken else name


@dataclass(frozen=True)
class Box:
    """The kind of a box.

    Parameters
    ----------
    kind
        "orthogonal", "triclinic" or "general".
    periodic
        Along which vectors it repeats; None if that is not said.
    """

    kind: str
    periodic: tuple[bool, bool, bool] | None

    @property
    def width(self) -> int:
        """Numbers of a line."""
        return {"orthogonal": 2, "triclinic": 3, "general": 4}[self.kind]


def box_named(words: list[str]) -> Box:
    """Return the kind of box that a line ``ITEM: BOX BOUNDS`` names.

    Raises
    ------
    FaultError
        If it is none.
    """
    kind, rest = "orthogonal", words
    if words[:3] == ["xy", "xz", "yz"]:
        kind, rest = "triclinic", words[3:]
    elif words[:2] == ["abc", "origin"]:
        kind, rest = "general", words[2:]
    if not rest:
        return Box(kind, None)
    if len(rest) != 3 or not all(re.fullmatch("[pfsm]{2}", word) for word in rest):
        raise FaultError(f"{' '.join(words)[:40]!r} is no kind of box, such as 'pp pp pp'")
    x, y, z = (word == "pp" for word in rest)
    return Box(kind, (x, y, z))


def bounds(kind: str, rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the origins of boxes, shape (n, 3), and their vectors, shape (n, 3, 3).

    Parameters
    ----------
    kind
        Of all the boxes.
    rows
        Their lines, shape (n, 3, w).
    """
    if kind == "general":
        return np.ascontiguousarray(rows[:, :, 3]), np.ascontiguousarray(rows[:, :, :3])
    with np.errstate(all="ignore"):  # what is not finite is found by whoever checks cells
        return _untilted(kind, rows)


def _untilted(kind: str, rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = rows[:, :, 0], rows[:, :, 1]
    cells = np.zeros((len(rows), 3, 3))
    if kind == "triclinic":  # what stands there encloses the tilted box
        xy, xz, yz = rows[:, 0, 2], rows[:, 1, 2], rows[:, 2, 2]
        zero = np.zeros_like(xy)
        corners = np.stack([zero, xy, xz, xy + xz])
        low = low - np.stack([corners.min(axis=0), np.minimum(zero, yz), zero], axis=1)
        high = high - np.stack([corners.max(axis=0), np.maximum(zero, yz), zero], axis=1)
        cells[:, 1, 0], cells[:, 2, 0], cells[:, 2, 1] = xy, xz, yz
    for k in range(3):
        cells[:, k, k] = high[:, k] - low[:, k]
    return np.ascontiguousarray(low), cells


def placed(
    parts: NDArray[np.float64],
    origins: NDArray[np.float64],
    cells: NDArray[np.float64],
    n_atoms: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return positions, shape (atoms, 3), of atoms given as parts of their boxes."""
    which = np.repeat(np.arange(len(n_atoms)), n_atoms)
    positions = origins[which]
    with np.errstate(all="ignore"):  # what is not finite is found by whoever checks positions
        for k in range(3):
            positions += parts[:, k, None] * cells[which, k]
    return positions
