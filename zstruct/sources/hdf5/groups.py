"""Groups of an HDF5 file that have structures each: where they are, and how many structures they have.

What the datasets of a group mean is in `zstruct.sources.hdf5.plan`.
"""

from __future__ import annotations

import os
import string
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zstruct.aliases import by_alias
from zstruct.schema import ATOM, STRUCTURE, Level
from zstruct.sources.array_columns import fits
from zstruct.sources.array_files.names import KNOWN
from zstruct.sources.array_files.stored import OWN, Dialect, own_dialect
from zstruct.sources.hdf5.direct import addresses_of, are_groups
from zstruct.sources.hdf5.file import H5Array, texts_of
from zstruct.sources.hdf5.pages import Pages
from zstruct.sources.hdf5.plan import Group, Item, filled, plan_of
from zstruct.sources.paths import natural

__all__ = [
    "Extent",
    "Leaves",
    "common_levels",
    "extent",
    "extent_of",
    "is_group",
    "leaves",
    "links_of",
    "natural_names",
    "own_table",
    "read_group",
    "shapes_of",
    "size",
]

_FIRST = 8  # groups that are looked at to see what others beside them are


def natural_names(names: Iterable[str]) -> list[str]:
    """Return the names in a group as people count.

    Examples
    --------
    >>> natural_names(["config_10", "config_9"]), natural_names(["x10", "x9", "y"])
    (['config_9', 'config_10'], ['x9', 'x10', 'y'])
    """
    there = list(names)
    same = len(os.path.commonprefix(there).rstrip(string.digits))  # noqa: RUF071 (no paths)
    counts = [name[same:] for name in there]
    joined = "".join(counts)
    if joined.isdecimal() and joined.isascii() and "" not in counts:
        numbers = dict(zip(there, map(int, counts), strict=True))
        return sorted(sorted(there), key=numbers.__getitem__)
    return sorted(there, key=natural)


def links_of(group: Any, pages: Pages | None) -> dict[str, int]:
    """Return where the objects in a group are in the file, by name as people count; -1 if it is not known."""
    known = dict.fromkeys(group, -1) if pages is None else addresses_of(group, pages)
    return {name: known[name] for name in natural_names(known)}


def is_group(names: Container[str], said: Mapping[str, str]) -> bool:
    """Tell whether a group with such names has structures itself."""
    positions = [said["positions"]] if "positions" in said else KNOWN["positions"]
    numbers = [said["numbers"]] if "numbers" in said else KNOWN["numbers"]
    return any(name in names for name in positions) and any(name in names for name in numbers)


def leaves(file: Any, said: Mapping[str, str], pages: Pages | None) -> Leaves:
    """Return all groups that have structures, in the order in which people count.

    Where one of the first groups in another has structures, all in that are taken to have some.

    Parameters
    ----------
    file
        The file of h5py.
    said
        Where what makes a structure is, as the user says it.
    pages
        Its bytes, if they can be looked at.
    """
    if is_group(file, said):
        return Leaves([""], np.array([-1]))
    paths: list[str] = []
    places: list[int] = []
    waiting = [""]
    while waiting:
        path = waiting.pop()
        group = file[path] if path else file
        known = links_of(group, pages)
        names = list(known)
        some = [name for name in names[:_FIRST] if hasattr(group[name], "keys")]
        if any(is_group(group[name], said) for name in some):
            sets = _no_groups(group, [name for name in names if not name.isdecimal()], pages, known)
            inner = [name for name in names if name not in sets]
            paths += [f"{path}/{name}" for name in inner]
            places += [known[name] for name in inner]
        elif some or len(names) > _FIRST:
            waiting += [f"{path}/{name}" for name in reversed(names) if hasattr(group[name], "keys")]
    return Leaves(paths, np.array(places, dtype=np.int64))


def _no_groups(
    group: Any, names: Sequence[str], pages: Pages | None, addresses: Mapping[str, int]
) -> set[str]:
    """Return which names in a group are not those of groups."""
    kinds = np.full(len(names), -1)
    if pages is not None and names:
        kinds = are_groups(pages, np.array([addresses[name] for name in names], dtype=np.int64))
    return {
        name
        for name, kind in zip(names, kinds.tolist(), strict=True)
        if kind == 0 or (kind < 0 and not hasattr(group[name], "keys"))
    }


class Leaves(NamedTuple):
    """Groups that have structures: their paths, and where they are in the file, -1 if that is not known."""

    paths: list[str]
    addresses: NDArray[np.int64]


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
        return extent_of({}, said)
    sets = {name: group[name] for name in _positions(group, said)}
    arrays = {name: H5Array(one) for name, one in sets.items() if hasattr(one, "shape")}
    return extent_of({name: one.shape for name, one in arrays.items() if one.fault is None}, said)


def extent_of(shapes: Mapping[str, tuple[int, ...] | None], said: Mapping[str, str]) -> Extent:
    """Return the extent of a group whose datasets have such shapes."""
    shape = next((shapes[name] for name in _positions(shapes, said)), None)
    if shape is None or len(shape) not in (2, 3):
        return Extent(0, 0, False, known=False)
    if len(shape) == 2:
        return Extent(1, int(shape[0]), True)
    n, atoms = int(shape[0]), int(shape[1])
    return Extent(n, n * atoms, False, known=n == 0 or atoms > 0)  # any number of structures has no atoms


def _positions(names: Iterable[str], said: Mapping[str, str]) -> list[str]:
    there = set(names)
    wanted = [said["positions"]] if "positions" in said else KNOWN["positions"]
    return [name for name in wanted if name in there][:1]


def shapes_of(group: Any) -> dict[str, tuple[int, ...] | None]:
    """Return the shapes of the datasets in a group of h5py."""
    items = {name: group[name] for name in group} if hasattr(group, "keys") else {}
    return {name: item.shape for name, item in items.items() if hasattr(item, "shape")}


def common_levels(
    some: Sequence[Mapping[str, tuple[int, ...] | None]], said: Mapping[str, str]
) -> dict[str, Level]:
    """Return what the rows of labels belong to, as far as groups of several sizes tell.

    Parameters
    ----------
    some
        Shapes of the datasets of each group.
    said
        Where what makes a structure is, as the user says it.
    """
    votes: dict[str, set[Level | None]] = {}
    extents = [extent_of(shapes, said) for shapes in some]
    for shapes, (n, rows, alone, _) in zip(some, extents, strict=True):
        if n == 0:
            continue
        atoms = rows // n
        for name, shape in shapes.items():
            if shape is None or by_alias(name, ATOM) is not None or by_alias(name, STRUCTURE) is not None:
                continue
            shape = (1, *shape) if alone else tuple(shape)
            fitting = fits(shape, n, -1, atoms)
            if fitting[STRUCTURE]:
                votes.setdefault(name, set()).add(ATOM if fitting[ATOM] else STRUCTURE)
    # What has a row for each atom everywhere, and in groups of several sizes, is of atoms; once is enough to
    # tell that it is not.
    sizes = {rows // n for n, rows, *_ in extents if n}
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
    names = [row[0] for row in rows.tolist()] if rows.shape[1:] == (5,) else []
    return own_dialect(rows, names, label)


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
    items = {name: group[name] for name in group}
    sets = {name: H5Array(item) for name, item in items.items() if hasattr(item, "shape")}
    plan = plan_of(sets, [name for name in items if name not in sets], said, known, label)
    found = filled(plan, lambda key: sets[key].whole()[None])
    for key in group.attrs if plan.alone and not known.exact else ():
        if key not in found.labels and key not in sets:
            value = np.asarray(group.attrs[key])
            if value.dtype.kind in "biufSUO" and value.ndim == 0:
                found.labels[key] = Item(STRUCTURE, value.reshape(1), "" if value.dtype.kind == "f" else None)
    return found
