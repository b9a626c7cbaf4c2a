"""Groups of an HDF5 file that have structures each: one, or several of the same atoms.

A group has positions of shape (atoms, 3) of one structure or (m, atoms, 3) of m of them, atomic numbers of
shape (atoms,) or (m, atoms), and labels: as ANI and SPICE have them by formula, others by structure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zstruct.aliases import by_alias
from zstruct.errors import InputError
from zstruct.schema import ATOM, STRUCTURE, Level
from zstruct.sources.array_columns import LEVELS, fits, level_of
from zstruct.sources.array_files.names import KNOWN, is_plural, place_of, plain_name
from zstruct.sources.array_files.recognition import stated_unit
from zstruct.sources.array_files.stored import OWN, Dialect, own_dialect
from zstruct.sources.hdf5.file import H5Array, text_of, texts_of, unit_of, values_of
from zstruct.sources.paths import natural

__all__ = [
    "Extent",
    "Group",
    "Item",
    "common_levels",
    "extent",
    "is_group",
    "leaves",
    "natural_level",
    "natural_names",
    "own_table",
    "read_group",
    "size",
]

_GEOMETRY = ("positions", "numbers", "cell", "pbc")
# Tables of pairs of atoms in SPICE, of a shape of their own for every molecule.
_PAIRS = ("mayer_indices", "wiberg_lowdin_indices")
_FIRST = 8  # groups that are looked at to see what others beside them are


@dataclass
class Item:
    """Values of one label for the structures of a group."""

    level: Level
    values: NDArray[Any]
    unit: str | None = None


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


def natural_names(group: Any) -> list[str]:
    """Return the names in a group as people count: 2 before 10."""
    names = list(group)
    if all(name.isdecimal() and name.isascii() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names, key=natural)


def is_group(names: Sequence[str], said: Mapping[str, str]) -> bool:
    """Tell whether a group with such names has structures itself."""
    there = set(names)
    positions = [said["positions"]] if "positions" in said else KNOWN["positions"]
    numbers = [said["numbers"]] if "numbers" in said else KNOWN["numbers"]
    return not there.isdisjoint(positions) and not there.isdisjoint(numbers)


def leaves(file: Any, said: Mapping[str, str]) -> list[str]:
    """Return the paths of all groups that have structures, in the order in which people count.

    Where one of the first groups in another has structures, all in that are taken to have some.
    """
    if is_group(list(file), said):
        return [""]
    found: list[str] = []
    waiting = [""]
    while waiting:
        path = waiting.pop()
        group = file[path] if path else file
        names = natural_names(group)
        inner = [f"{path}/{name}" for name in names]
        some = [name for name in inner[:_FIRST] if hasattr(file[name], "keys")]
        if any(is_group(list(file[name]), said) for name in some):
            plain = [name for name in inner if not name.rsplit("/", 1)[-1].isdecimal()]
            no_groups = {name for name in plain if not hasattr(file[name], "keys")}
            found += [name for name in inner if name not in no_groups]
        elif some or len(inner) > _FIRST:
            waiting += [name for name in reversed(inner) if hasattr(file[name], "keys")]
    return found


class Extent(NamedTuple):
    """How many structures a group has, how many atoms in all, and whether it is made for one alone."""

    n: int
    rows: int
    alone: bool
    known: bool = True


def size(group: Any, said: Mapping[str, str]) -> int:
    """Return how many structures a group has; one that can't be read counts as one."""
    found = extent(group, said)
    return found.n if found.known else 1


def extent(group: Any, said: Mapping[str, str]) -> Extent:
    """Return the extent of a group."""
    if not hasattr(group, "keys"):
        return Extent(0, 0, False, known=False)
    names = set(group)
    wanted = [said["positions"]] if "positions" in said else KNOWN["positions"]
    shape = next((group[name].shape for name in wanted if name in names), None)
    if shape is None or len(shape) not in (2, 3):
        return Extent(0, 0, False, known=False)
    alone = len(shape) == 2
    return Extent(1, int(shape[0]), True) if alone else Extent(int(shape[0]), int(shape[0] * shape[1]), False)


def common_levels(some: Sequence[Any], said: Mapping[str, str]) -> dict[str, Level]:
    """Return what the rows of labels belong to, as far as groups of several sizes tell.

    Parameters
    ----------
    some
        Groups of h5py.
    said
        Where what makes a structure is, as the user says it.
    """
    votes: dict[str, set[Level | None]] = {}
    for group in some:
        n, rows, alone, _ = extent(group, said)
        if n == 0:
            continue
        atoms = rows // n
        for name in group:
            item = group[name]
            shape = getattr(item, "shape", None)
            if shape is None or by_alias(name, ATOM) is not None or by_alias(name, STRUCTURE) is not None:
                continue
            shape = (1, *shape) if alone else tuple(shape)
            fitting = fits(shape, n, -1, atoms)
            if fitting[STRUCTURE]:
                votes.setdefault(name, set()).add(ATOM if fitting[ATOM] else STRUCTURE)
    # What has a row for each atom everywhere, and in groups of several sizes, is of atoms; once is enough to
    # tell that it is not.
    sizes = {rows // n for n, rows, *_ in (extent(group, said) for group in some) if n}
    levels: dict[str, Level] = {}
    for name, seen in votes.items():
        if STRUCTURE in seen:
            levels[name] = STRUCTURE
        elif len(sizes) > 1:
            levels[name] = ATOM
    return levels


def own_table(file: Any, label: str) -> Dialect | None:
    """Return what zstruct says of the datasets in the groups that it has written, or None."""
    group = file.get("structures")
    if group is None or OWN not in group.attrs:
        return None
    rows = texts_of(group.attrs[OWN])
    return own_dialect(rows, [row[0] for row in rows.tolist()], label)


def read_group(group: Any, said: Mapping[str, str], known: Dialect, label: str) -> Group:
    """Return the structures of a group.

    Parameters
    ----------
    group
        The group of h5py.
    said
        Where what makes a structure is, as the user says it.
    known
        What is known of the labels of all groups.
    label
        The file, for messages.

    Raises
    ------
    InputError
        If its arrays don't make structures.
    """
    sets = {name: item for name in group if hasattr(item := group[name], "shape")}
    where = {**known.places, **said}
    there = {
        name: None if known.exact and name not in where else place_of(name, sets, where, label)
        for name in _GEOMETRY
    }
    for name in ("positions", "numbers"):
        if there[name] is None:
            raise InputError(f"it has no {name}", label)
    positions = values_of(sets[there["positions"] or ""])
    alone = positions.ndim == 2
    if positions.dtype.kind not in "iuf" or positions.ndim not in (2, 3) or positions.shape[-1] != 3:
        raise InputError(
            "positions should be numbers of shape (atoms, 3) or (structures, atoms, 3), not "
            f"{positions.dtype.name} of shape {positions.shape}",
            label,
        )
    positions = positions[None] if alone else positions
    n, atoms = positions.shape[:2]
    numbers = _numbers(values_of(sets[there["numbers"] or ""]), n, atoms, label)
    found = Group(n, atoms, numbers, positions)
    found.units["positions"] = _unit(there["positions"] or "", sets, known)
    for name, row in (("cell", (3, 3)), ("pbc", (3,))):
        key = there[name]
        if key is not None:
            values = values_of(sets[key])
            if values.shape not in ((n, *row), row) and not (name == "pbc" and values.shape == ()):
                raise InputError(f"{name} should have the shape {row}, not {values.shape}", label)
            setattr(found, name, np.broadcast_to(values, (n, *row)))
            found.units[name] = _unit(key, sets, known)
    used = set(there.values())
    found.left += [name for name in group if name not in sets]
    rest = [name for name in sets if name not in used]
    for key in rest:
        _add(found, key, sets[key], rest, alone, known, label)
    for key in group.attrs if alone and not known.exact else ():
        if key not in found.labels and key not in sets:
            value = np.asarray(group.attrs[key])
            if value.dtype.kind in "biufSUO" and value.ndim == 0:
                found.labels[key] = Item(STRUCTURE, value.reshape(1), "" if value.dtype.kind == "f" else None)
    return found


def _unit(key: str, sets: Mapping[str, Any], known: Dialect) -> str | None:
    return known.units[key] if key in known.units else unit_of(sets[key])


def _numbers(values: NDArray[Any], n: int, atoms: int, label: str) -> NDArray[Any]:
    """Return atomic numbers or symbols of all structures of a group."""
    if values.shape not in ((atoms,), (n, atoms), (atoms, 1)):
        raise InputError(
            f"there are positions of {atoms} atoms, and the numbers have the shape {values.shape}", label
        )
    rows = values.reshape(-1) if values.shape == (atoms, 1) else values
    if rows.dtype.kind == "O":
        rows = np.array([text_of(one) for one in rows.reshape(-1)]).reshape(rows.shape)
    elif rows.dtype.kind == "S":
        rows = np.char.decode(rows, "utf-8", "replace")
    return np.broadcast_to(rows, (n, atoms))


def _add(
    found: Group, key: str, dataset: Any, rest: Sequence[str], alone: bool, known: Dialect, label: str
) -> None:
    """Add a label to those of a group, or its name to what is left out."""
    array = H5Array(dataset)
    shape = array.shape
    n, atoms = found.n, found.atoms
    if array.fault is not None or key in _PAIRS:
        found.left.append(key)
        return
    if key == "smiles" and not alone:
        found.labels[key] = Item(STRUCTURE, np.repeat(_joined(values_of(dataset)), n))
        return
    row = shape if alone else shape[1:]
    level = known.levels.get(key)
    if level is None:
        level = natural_level(key, (1, *shape) if alone else shape, array.dtype.kind, n, atoms)
    if level is None or 0 in row or (level == STRUCTURE and not alone and shape[:1] != (n,)):
        if not alone and shape in ((), (1,)):  # one value for all structures of the group
            found.labels[key] = Item(STRUCTURE, np.repeat(values_of(dataset).reshape(1), n), array.unit)
            return
        if any(by_alias(key, one) is not None for one in LEVELS):
            raise InputError(f"{key} has the shape {shape}, for {n} structures of {atoms} atoms", label)
        found.left.append(key)
        return
    values = values_of(dataset)
    values = values[None] if alone else values
    if level == ATOM and values.shape[:2] != (n, atoms):
        found.left.append(key)
        return
    name, sign = known.names.get(key, ""), 1.0
    if not name:
        name, sign = plain_name(key, level, rest)
    unit = stated_unit(array, key, name, level, known)
    if level == ATOM:
        values = values.reshape(n * atoms, *values.shape[2:])
    found.labels[name] = Item(level, sign * values if sign != 1.0 else values, unit)


def natural_level(key: str, shape: tuple[int, ...], kind: str, n: int, atoms: int) -> Level | None:
    """Return what the rows of a label belong to, by its name and the shape that it has in one group."""
    fitting = fits(shape, n, -1, atoms)
    if is_plural(key) and fitting[STRUCTURE]:
        return STRUCTURE
    return level_of(key, shape, kind, fitting, atoms)


def _joined(values: NDArray[Any]) -> str:
    """Return a text that may be an array of its characters."""
    return "".join(text_of(one) for one in values.reshape(-1))
