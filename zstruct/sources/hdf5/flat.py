"""HDF5 files of flat arrays: those of structures and labels with splits, zstruct's own, and any by names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from zstruct.errors import InputError
from zstruct.sources.array_files.names import KNOWN, said_where
from zstruct.sources.array_files.stored import OWN, Dialect, StoredArray, own_dialect
from zstruct.sources.hdf5.file import texts_of

__all__ = ["datasets", "dialect", "is_flat", "shown"]

_SPLITS = "atomic_numbers_splits"
_MOST = 10_000  # datasets of a file that is flat
_GROUPS = ("structures", "labels")


def is_flat(file: Any, said: Mapping[str, str]) -> bool:
    """Tell whether the structures of a file are rows of datasets that all of them share."""
    if said:
        return any(hasattr(file.get(key), "shape") for key in said.values())
    if OWN in file.attrs:
        return True
    places = [file, *(file[name] for name in _GROUPS if hasattr(file.get(name), "keys"))]
    for group in places:
        if _SPLITS in group:
            return True
        there = [[name for name in KNOWN[place] if name in group] for place in ("positions", "numbers")]
        if all(there):
            return all(hasattr(group[name], "shape") for names in there for name in names)
    return False


def datasets(file: Any, label: str) -> dict[str, Any]:
    """Return all datasets of a flat file by their names, or by their paths where names repeat.

    Raises
    ------
    InputError
        If there are too many for a flat file.
    """
    found: dict[str, Any] = {}
    waiting = [file]
    while waiting:
        group = waiting.pop()
        for name in group:
            item = group.get(name)
            if hasattr(item, "shape"):
                found[item.name.strip("/")] = item
            elif hasattr(item, "keys"):
                waiting.append(item)
        if len(found) > _MOST:
            raise InputError(
                f"there are more than {_MOST:,} datasets: these are no arrays that structures share", label
            )
    short: dict[str, list[str]] = {}
    for path in sorted(found):
        short.setdefault(path.rsplit("/", 1)[-1], []).append(path)
    return {
        (name if len(paths) == 1 else path): found[path] for name, paths in short.items() for path in paths
    }


def shown(file: Any) -> str:
    """Return what a file has, for messages."""
    return said_where(file)


def dialect(file: Any, arrays: Mapping[str, StoredArray], label: str) -> Dialect:
    """Return what is known of the datasets of a flat file.

    Raises
    ------
    InputError
        If forces are cut into structures otherwise than atomic numbers.
    """
    if OWN in file.attrs:
        return own_dialect(texts_of(file.attrs[OWN]), arrays, label)
    if _SPLITS not in arrays:
        return Dialect()
    hidden = {_SPLITS, "forces_splits", "stress_mask"} & set(arrays)
    if "forces_splits" in arrays:
        ours, theirs = (arrays[key].rows(0, arrays[key].shape[0]) for key in (_SPLITS, "forces_splits"))
        if not np.array_equal(ours, theirs):
            raise InputError("forces_splits and atomic_numbers_splits do not agree", label)
    units = {
        key: None for key in ("energy", "forces", "stress") if key in arrays and arrays[key].unit is None
    }
    masks = {"stress": "stress_mask"} if {"stress", "stress_mask"} <= set(arrays) else {}
    return Dialect({"offsets": _SPLITS}, units=dict(units), masks=masks, hidden=frozenset(hidden - {_SPLITS}))
