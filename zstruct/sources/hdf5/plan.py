"""What the datasets of a group are, told by names and shapes, and the structures that their values make.

A group has positions of shape (atoms, 3) of one structure or (m, atoms, 3) of m of them, atomic numbers of
shape (atoms,) or (m, atoms), and labels: as ANI and SPICE have them by formula, others by structure. Groups
in which names, shapes and dtypes are the same have the same plan, and their values are read together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zstruct.aliases import by_alias
from zstruct.errors import InputError
from zstruct.schema import ATOM, STRUCTURE, Level
from zstruct.sources.array_columns import LEVELS, fits, level_of
from zstruct.sources.array_files.names import is_plural, place_of, plain_name
from zstruct.sources.array_files.recognition import stated_unit
from zstruct.sources.array_files.stored import Dialect, Header
from zstruct.sources.hdf5.file import text_of

__all__ = ["Group", "Item", "Plan", "filled", "natural_level", "plan_of"]

_GEOMETRY = ("positions", "numbers", "cell", "pbc")
# Tables of pairs of atoms in SPICE, of a shape of their own for every molecule.
_PAIRS = ("mayer_indices", "wiberg_lowdin_indices")


@dataclass
class Item:
    """Values of one label for the structures of a group.

    Parameters
    ----------
    level
        What its rows belong to.
    values
        The rows, those of one structure after those of another.
    unit
        As in `RawColumn`.
    here
        Which structures of the group have it; None for all.
    """

    level: Level
    values: NDArray[Any]
    unit: str | None = None
    here: NDArray[np.int64] | None = None


@dataclass
class Group:
    """Structures of the same number of atoms.

    Parameters
    ----------
    n, atoms
        How many, and of how many atoms each.
    numbers, positions
        Shapes (n, atoms) and (n, atoms, 3).
    units
        Of positions and cell, as the file states them.
    labels
        By name.
    cell, pbc
        Shapes (n, 3, 3) and (n, 3).
    left
        What is in no shape for a label.
    places
        Which structures of a block they are, shape (n,); None if they follow those of the group before.
    """

    n: int
    atoms: int
    numbers: NDArray[Any]
    positions: NDArray[Any]
    units: dict[str, str | None] = field(default_factory=dict)
    labels: dict[str, Item] = field(default_factory=dict)
    cell: NDArray[Any] | None = None
    pbc: NDArray[Any] | None = None
    left: list[str] = field(default_factory=list)
    places: NDArray[np.int64] | None = None


class _Label(NamedTuple):
    """A label of the structures of a group."""

    key: str
    name: str
    level: Level
    unit: str | None
    sign: float = 1.0
    #: How its values become rows: as they are, one for all structures, characters of one text for all.
    how: str = "rows"


@dataclass(frozen=True)
class Plan:
    """What the datasets of a group are.

    Parameters
    ----------
    n, atoms
        How many structures it has, and of how many atoms each.
    alone
        Whether it is made for one structure alone.
    places
        The datasets of positions, numbers, cell and pbc.
    units
        Of positions and cell.
    labels
        Those of its structures.
    left
        What is in no shape for a label.
    """

    n: int
    atoms: int
    alone: bool
    places: dict[str, str]
    units: dict[str, str | None]
    labels: list[_Label]
    left: list[str]


def plan_of(
    sets: Mapping[str, Header], others: Sequence[str], said: Mapping[str, str], known: Dialect, label: str
) -> Plan:
    """Return what the datasets of a group are.

    Parameters
    ----------
    sets
        The datasets by name.
    others
        The names of what is in the group and is no dataset.
    said
        Where what makes a structure is, as the user says it.
    known
        What is known of the labels of all groups.
    label
        The file, for messages.

    Raises
    ------
    InputError
        If they don't make structures.
    """
    where = {**known.places, **said}
    there = {
        name: None if known.exact and name not in where else place_of(name, sets, where, label)
        for name in _GEOMETRY
    }
    for name in ("positions", "numbers"):
        if there[name] is None:
            raise InputError(f"it has no {name}", label)
    positions = sets[there["positions"] or ""]
    shape = positions.shape
    if positions.dtype.kind not in "iuf" or len(shape) not in (2, 3) or shape[-1] != 3:
        raise InputError(
            "positions should be numbers of shape (atoms, 3) or (structures, atoms, 3), not "
            f"{positions.dtype.name} of shape {shape}",
            label,
        )
    alone = len(shape) == 2
    n, atoms = (1, shape[0]) if alone else shape[:2]
    if n > 1 and atoms == 0:
        raise InputError(f"it has {n:,} structures without any atoms", label)
    numbers = sets[there["numbers"] or ""]
    if numbers.shape not in ((atoms,), (n, atoms), (atoms, 1)):
        raise InputError(
            f"there are positions of {atoms} atoms, and the numbers have the shape {numbers.shape}", label
        )
    if numbers.fault is not None:
        raise InputError(f"numbers: {numbers.fault}", label)
    places = {name: key for name, key in there.items() if key is not None}
    units = {"positions": _unit(places["positions"], sets, known)}
    for name, row, kinds in (("cell", (3, 3), "iuf"), ("pbc", (3,), "biuf")):
        if name in places:
            array = sets[places[name]]
            shape = array.shape
            if array.fault is not None or array.dtype.kind not in kinds:
                raise InputError(f"{name} should be numbers, not {array.dtype.name}", label)
            if shape not in ((n, *row), row) and not (name == "pbc" and shape == ()):
                raise InputError(f"{name} should have the shape {row}, not {shape}", label)
            units[name] = _unit(places[name], sets, known)
    used = set(places.values())
    rest = [name for name in sets if name not in used]
    plan = Plan(n, atoms, alone, places, units, [], list(others))
    for key in rest:
        found = _label(plan, key, sets[key], rest, known, label)
        if found is None:
            plan.left.append(key)
        else:
            plan.labels.append(found)
    return plan


def _unit(key: str, sets: Mapping[str, Header], known: Dialect) -> str | None:
    return known.units[key] if key in known.units else sets[key].unit


def _label(
    plan: Plan, key: str, array: Header, rest: Sequence[str], known: Dialect, label: str
) -> _Label | None:
    """Return the label that a dataset is, None if it is none."""
    shape, n, atoms, alone = array.shape, plan.n, plan.atoms, plan.alone
    if array.fault is not None or key in _PAIRS:
        return None
    if key == "smiles" and not alone:
        return _Label(key, key, STRUCTURE, None, how="joined")
    row, whole = (shape, (1, *shape)) if alone else (shape[1:], shape)
    level = known.levels.get(key)
    if level is None:
        level = natural_level(key, whole, array.dtype.kind, n, atoms)
    if level is None or 0 in row or (level == STRUCTURE and not alone and shape[:1] != (n,)):
        if not alone and shape in ((), (1,)):  # one value for all structures of the group
            return _Label(key, key, STRUCTURE, array.unit, how="shared")
        if any(by_alias(key, one) is not None for one in LEVELS):
            raise InputError(f"{key} has the shape {shape}, for {n} structures of {atoms} atoms", label)
        return None
    if level == ATOM and whole[:2] != (n, atoms):
        return None
    name, sign = known.names.get(key, ""), 1.0
    if not name:
        name, sign = plain_name(key, level, rest)
    return _Label(key, name, level, stated_unit(array, key, name, level, known), sign)


def natural_level(key: str, shape: tuple[int, ...], kind: str, n: int, atoms: int) -> Level | None:
    """Return what the rows of a label belong to, by its name and the shape that it has in one group."""
    fitting = fits(shape, n, -1, atoms)
    if is_plural(key) and fitting[STRUCTURE]:
        return STRUCTURE
    return level_of(key, shape, kind, fitting, atoms)


def filled(plan: Plan, values: Callable[[str], NDArray[Any]], groups: int = 1) -> Group:
    """Return the structures of groups of the same plan.

    Parameters
    ----------
    plan
        Theirs.
    values
        Returns the values of a dataset in all groups, shape (groups, ...).
    groups
        How many groups there are.
    """
    n, atoms = plan.n, plan.atoms
    positions = values(plan.places["positions"]).reshape(groups * n, atoms, 3)
    numbers = _numbers(values(plan.places["numbers"]))
    each = n if numbers.shape[1:] == (n, atoms) else 1
    numbers = np.broadcast_to(numbers.reshape(groups, each, atoms), (groups, n, atoms))
    found = Group(groups * n, atoms, numbers.reshape(groups * n, atoms), positions, dict(plan.units))
    for name, row in (("cell", (3, 3)), ("pbc", (3,))):
        if name in plan.places:
            rows = values(plan.places[name])
            missing = [1] * (len(row) + 2 - rows.ndim)
            rows = np.broadcast_to(rows.reshape(groups, *missing, *rows.shape[1:]), (groups, n, *row))
            setattr(found, name, rows.reshape(groups * n, *row))
    for key, name, level, unit, sign, how in plan.labels:
        rows = values(key)
        if how == "joined":
            rows = np.array([_joined(one) for one in rows.reshape(groups, -1)], dtype=object).repeat(n)
        elif how == "shared":
            rows = rows.reshape(groups).repeat(n)
        elif level == ATOM:
            rows = rows.reshape(groups * n * atoms, *rows.shape[2 if plan.alone else 3 :])
        elif not plan.alone:
            rows = rows.reshape(groups * n, *rows.shape[2:])
        found.labels[name] = Item(level, sign * rows if sign != 1.0 else rows, unit)
    found.left = list(plan.left)
    return found


def _numbers(values: NDArray[Any]) -> NDArray[Any]:
    """Return atomic numbers, or symbols as texts."""
    if values.dtype.kind == "O":
        return np.array([text_of(one) for one in values.reshape(-1)], dtype=str).reshape(values.shape)
    return np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values


def _joined(values: NDArray[Any]) -> str:
    """Return a text that may be an array of its characters."""
    return "".join(text_of(one) for one in values)
