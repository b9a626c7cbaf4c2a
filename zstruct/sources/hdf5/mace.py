"""The HDF5 files that MACE preprocesses its structures into: a group of datasets for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.schema import ATOM, STRUCTURE
from zstruct.sources.array_files.stored import Header
from zstruct.sources.hdf5.file import H5Array, texts_of
from zstruct.sources.hdf5.groups import Leaves, links_of, natural_names
from zstruct.sources.hdf5.pages import Pages
from zstruct.sources.hdf5.plan import Group, Item, natural_level

__all__ = ["configurations", "configurations_of", "is_mace", "read_configuration"]

_BATCH = "config_batch_"
_PROPERTIES, _WEIGHTS = "properties", "property_weights"
_NOTHING, _DEFAULT = "None", "Default"  # as MACE writes what is not there, and what has no type


def is_mace(file: Any) -> bool:
    """Tell whether a file is one of MACE's."""
    return next(iter(file), "").startswith(_BATCH) and all(name.startswith(_BATCH) for name in file)


def configurations(file: Any, pages: Pages | None) -> Leaves:
    """Return all structures, in MACE's order, and where they are, if bytes can be looked at."""
    paths: list[str] = []
    places: list[int] = []
    for batch in natural_names(file):
        known = links_of(file[batch], pages)
        paths += [f"{batch}/{name}" for name in known]
        places += known.values()
    return Leaves(paths, np.array(places, dtype=np.int64))


def read_configuration(group: Any, label: str) -> Group:
    """Return a structure.

    Raises
    ------
    InputError
        If it lacks what all of them have.
    """
    places = [("", group), *((f"{name}/", group.get(name)) for name in (_PROPERTIES, _WEIGHTS))]
    sets = {
        f"{path}{name}": H5Array(item)
        for path, place in places
        for name in (place if hasattr(place, "keys") else ())
        if hasattr(item := place[name], "shape")
    }
    return configurations_of(sets, lambda key: sets[key].whole()[None], 1, label)


def configurations_of(
    sets: Mapping[str, Header], values: Callable[[str], NDArray[Any]], groups: int, label: str
) -> Group:
    """Return the structures of groups that have the same datasets of the same shapes.

    Parameters
    ----------
    sets
        The datasets by their paths in a group.
    values
        Returns the values of one in all groups, shape (groups, ...).
    groups
        How many groups there are.
    label
        The file, for messages.

    Raises
    ------
    InputError
        If they lack what all of them have.
    """
    for name in ("atomic_numbers", "positions"):
        if name not in sets:
            raise InputError(f"it has no {name}", label)
    numbers, positions = sets["atomic_numbers"], sets["positions"]
    atoms = numbers.shape[0] if len(numbers.shape) == 1 else -1
    if positions.shape != (atoms, 3) or numbers.dtype.kind not in "iu" or positions.dtype.kind not in "iuf":
        raise InputError(
            f"its atomic numbers have the shape {numbers.shape}, and its positions {positions.shape}", label
        )
    read = _Values(sets, values)
    found = Group(groups, atoms, values("atomic_numbers"), values("positions"))
    for name, row, kinds in (("cell", (3, 3), "iuf"), ("pbc", (3,), "biuf")):
        if name in sets and not read.is_nothing(name):
            if sets[name].shape != row or sets[name].dtype.kind not in kinds:
                raise InputError(f"{name} should have the shape {row}, not {sets[name].shape}", label)
            setattr(found, name, values(name))
    for path in sets:
        place, _, name = path.rpartition("/")
        if place != _PROPERTIES:
            continue
        if sets[path].fault is not None or 0 in sets[path].shape:
            found.left.append(name)
            continue
        rows, here = read.stated(path)
        if here is not None and not len(here):
            continue
        level = natural_level(name, (1, *sets[path].shape), rows.dtype.kind, 1, atoms)
        if level == ATOM:
            rows = rows.reshape(-1, *rows.shape[2:])
        found.labels[name] = Item(ATOM if level == ATOM else STRUCTURE, rows, here=here)
        _add_weight(found, read, f"{_WEIGHTS}/{name}", f"config_{name}_weight", here)
    _add_weight(found, read, "weight", "weight", None)
    if "config_type" in sets:
        texts = texts_of(values("config_type").reshape(groups, -1)[:, :1].reshape(-1))
        here = np.flatnonzero((texts != "") & (texts != _NOTHING) & (texts != _DEFAULT))
        if len(here):
            found.labels["config_type"] = Item(STRUCTURE, texts[here], here=here)
    return found


class _Values:
    """Values of datasets of groups, and which of the groups have any."""

    def __init__(self, sets: Mapping[str, Header], values: Callable[[str], NDArray[Any]]):
        self._sets, self._values = sets, values

    def has(self, path: str) -> bool:
        """Tell whether there is one value of each group."""
        return path in self._sets and self._sets[path].shape == () and self._sets[path].fault is None

    def is_nothing(self, path: str) -> bool:
        """Tell whether the groups say that they have nothing there."""
        if not self._is_text(path):
            return False
        _, here = self.stated(path)
        return here is not None and not len(here)

    def _is_text(self, path: str) -> bool:
        return self._sets[path].dtype.kind in "SUO" and self._sets[path].shape == ()

    def stated(self, path: str) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
        """Return the rows of groups that have some, and which these are; None for all."""
        rows = self._values(path)
        if not self._is_text(path):
            return rows, None
        texts = texts_of(rows)
        here = np.flatnonzero(texts != _NOTHING)
        return texts[here], here


def _add_weight(
    found: Group, read: _Values, path: str, name: str, labelled: NDArray[np.int64] | None
) -> None:
    """Add a weight where it is not one; that of a label for structures that have the label."""
    if not read.has(path):
        return
    rows, here = read.stated(path)
    here = np.arange(found.n) if here is None else here
    keep = rows != 1.0
    if labelled is not None:
        keep &= np.isin(here, labelled)
    if keep.any():
        found.labels[name] = Item(STRUCTURE, rows[keep], here=here[keep])
