"""The HDF5 files that MACE preprocesses its structures into: a group of datasets for each of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from zstruct.errors import InputError
from zstruct.schema import ATOM, STRUCTURE
from zstruct.sources.hdf5.file import text_of, values_of
from zstruct.sources.hdf5.groups import Group, Item, natural_level, natural_names

__all__ = ["configurations", "is_mace", "read_configuration"]

_BATCH, _ONE = "config_batch_", "config_"
_NOTHING = "None"  # as MACE writes what is not there


def is_mace(file: Any) -> bool:
    """Tell whether a file is one of MACE's."""
    names = list(file)
    return bool(names) and all(name.startswith(_BATCH) for name in names)


def configurations(file: Any) -> list[str]:
    """Return the paths of all structures, in MACE's order.

    Where it made their number even by a copy of the last one, and says so, the copy is left out.
    """
    paths = [f"{batch}/{one}" for batch in natural_names(file) for one in natural_names(file[batch])]
    return paths


def read_configuration(group: Any, label: str) -> Group:
    """Return a structure.

    Raises
    ------
    InputError
        If it lacks what all of them have.
    """
    for name in ("atomic_numbers", "positions"):
        if name not in group:
            raise InputError(f"it has no {name}", label)
    numbers, positions = values_of(group["atomic_numbers"]), values_of(group["positions"])
    atoms = len(numbers) if numbers.ndim == 1 else -1
    if positions.shape != (atoms, 3) or numbers.dtype.kind not in "iu":
        raise InputError(
            f"its atomic numbers have the shape {numbers.shape}, and its positions {positions.shape}", label
        )
    found = Group(1, atoms, numbers[None], positions[None])
    for name, row in (("cell", (3, 3)), ("pbc", (3,))):
        values = _value(group, name)
        if values is not None:
            if values.shape != row:
                raise InputError(f"{name} should have the shape {row}, not {values.shape}", label)
            setattr(found, name, values[None])
    weights = group.get("property_weights", {})
    properties = group.get("properties", {})
    for name in properties:
        values = _value(properties, name)
        if values is None:
            continue
        level = natural_level(name, (1, *values.shape), values.dtype.kind, 1, atoms)
        rows = values if level == ATOM else values[None]
        found.labels[name] = Item(ATOM if level == ATOM else STRUCTURE, rows)
        weight = _value(weights, name) if name in weights else None
        if weight is not None and weight.shape == () and weight != 1.0:
            found.labels[f"config_{name}_weight"] = Item(STRUCTURE, weight.reshape(1))
    weight = _value(group, "weight")
    if weight is not None and weight.shape == () and weight != 1.0:
        found.labels["weight"] = Item(STRUCTURE, weight.reshape(1))
    config_type = text_of(group["config_type"][()]) if "config_type" in group else ""
    if config_type and config_type not in (_NOTHING, "Default"):
        found.labels["config_type"] = Item(STRUCTURE, np.array([config_type], dtype=object))
    return found


def _value(group: Any, name: str) -> Any:
    """Return values, or None where MACE says that there are none."""
    if name not in group:
        return None
    values = values_of(group[name])
    if values.dtype.kind in "SUO" and values.shape == ():
        text = text_of(values.reshape(-1)[0])
        return None if text == _NOTHING else np.array(text, dtype=object)
    return values
