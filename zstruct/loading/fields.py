"""Which fields samples have, as which dtypes and under which names.

Users say it in few words; here it is checked against what the store has. This module knows
nothing of how anything is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zstruct.arguments import names, shown
from zstruct.batch.packed import ATOMS, OWN
from zstruct.errors import ArgumentTypeError, UnknownNameError
from zstruct.precision import default_dtype
from zstruct.store.store import Store

__all__ = [
    "PRESETS",
    "check_names",
    "chosen_dtypes",
    "chosen_fields",
    "dtype_of_features",
    "mask_name",
    "named",
    "texts_of",
]

#: Fields by what they are for, of which a store may lack some.
PRESETS = {"energies": ("numbers", "energy")}

_FLOATS: dict[str, np.dtype] = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}
_INTEGERS = {
    name: np.dtype(name) for name in ("uint8", "int8", "int16", "int32", "int64")
}  # torch has no others
_DESCRIBING = ("formula", "source", "frame")


def named(fields: Any) -> tuple[Any, ...] | str | None:
    """Return the fields that users ask for as a tuple of names and ``...``, a preset or None as it is.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if fields is None or (isinstance(fields, str) and fields in PRESETS):
        return fields
    if fields is ...:
        return (...,)
    if isinstance(fields, str):
        presets = ", ".join(map(repr, PRESETS))
        raise ArgumentTypeError(f"fields is a list of names or {presets}: write fields=[{shown(fields)}]")
    if not isinstance(fields, list | tuple):
        return tuple(names("fields", fields))
    # Comparing with == would ask arrays for each of their numbers.
    others = iter(names("fields", [name for name in fields if name is not ...]))
    return tuple(... if name is ... else next(others) for name in fields)


def chosen_fields(store: Store, fields: tuple[Any, ...] | str | None) -> tuple[list[str], bool]:
    """Return the names of the fields to load, and whether `ase.Atoms` come along, of what `named` returned.

    By default these are all but the formula and the provenance.

    Raises
    ------
    UnknownNameError
        If the store has no such field.
    """
    usual = [name for name in store.fields if name not in _DESCRIBING]
    if fields is None:
        return usual, False
    if isinstance(fields, str):
        return [name for name in PRESETS[fields] if name in store.fields], False
    asked = [name for one in fields for name in (usual if one is ... else [one])]
    chosen = [name for name in dict.fromkeys(asked) if name != ATOMS or ATOMS in store.fields]
    for name in chosen:
        if name not in store.fields:
            raise UnknownNameError(
                f"the store {store.path} has no field {name!r}; it has {', '.join(store.fields)}"
            )
    return chosen, ATOMS in asked


def texts_of(store: Store, field: str) -> list[str]:
    """Return the texts that the codes of a category field stand for.

    Raises
    ------
    UnknownNameError
        If the store has no such category field.
    """
    found = [name for name, row in store.fields.items() if row.kind == "category"]
    if not isinstance(field, str) or field not in found:
        raise UnknownNameError(
            f"{field!r} is no category field of {store.path}; those are {', '.join(found) or 'none'}"
        )
    return store.categories(field)


def chosen_dtypes(
    store: Store,
    names: Sequence[str],
    dtype: Any,
    extras: Sequence[str] = (),
    whole: Mapping[str, np.dtype] | None = None,
) -> tuple[dict[str, np.dtype], dict[str, np.dtype], frozenset[str]]:
    """Return the dtype of every field in a batch, and of what comes beside them.

    That is `extras`, which are floats, and `whole`, with the dtypes in which they are stored, which are not.

    Last come the fields that are in double precision because nobody said otherwise.
    """
    several = isinstance(dtype, Mapping)
    said = None if dtype is None or several else _float("dtype", dtype)
    asked = dict(dtype) if several else {}
    chosen: dict[str, np.dtype] = {}
    wide: set[str] = set()
    for name in names:
        field = store.fields[name]
        stored = np.dtype(field.dtype)
        if stored.kind == "f":
            # Integers with gaps are stored as float64: float32 would not hold all of them.
            plain = (said or default_dtype(field)) if field.kind == "float" else np.dtype(np.float64)
            if name not in asked and said is None and field.kind == "float" and plain == np.float64:
                wide.add(name)
            chosen[name] = _float(name, asked.pop(name)) if name in asked else plain
        elif field.kind == "bool":
            chosen[name] = np.dtype(np.bool_)
        else:
            chosen[name] = _integer(name, asked.pop(name, "int64"), stored)
    beside = {n: _float(n, asked.pop(n)) if n in asked else said or np.dtype(np.float32) for n in extras}
    for name, stored in (whole or {}).items():
        boolean = stored.kind == "b"
        beside[name] = stored if boolean else _integer(name, asked.pop(name, "int64"), stored)
    if asked:
        numbers = [name for name in names if store.fields[name].kind != "bool"]
        raise UnknownNameError(
            f"dtype names {', '.join(map(str, asked))}; only loaded fields of numbers have one: "
            f"{', '.join([*numbers, *extras])}"
        )
    return chosen, beside, frozenset(wide)


def dtype_of_features(dtype: Any) -> np.dtype:
    """Return the dtype of ``features`` that `dtype`, of a dataset, asks for."""
    asked = dtype.get("features") if isinstance(dtype, Mapping) else dtype
    return np.dtype(np.float32) if asked is None else _float("dtype", asked)


def _float(name: str, choice: Any) -> np.dtype:
    """Return a floating-point dtype that may be said in torch's words or NumPy's."""
    found = _FLOATS.get(_said(choice))
    if found is None:
        raise TypeError(f"{name} is float32 or float64, of torch or NumPy, not {choice!r}")
    return found


def _integer(name: str, choice: Any, stored: np.dtype) -> np.dtype:
    """Return a dtype of whole numbers that holds all that are stored, said in torch's words or NumPy's."""
    holding = {said: kind for said, kind in _INTEGERS.items() if np.can_cast(stored, kind)}
    found = holding.get(_said(choice))
    if found is None:
        raise TypeError(
            f"{name} is stored as {stored} and comes as {' or '.join(holding)}, of torch or NumPy, "
            f"not {choice!r}"
        )
    return found


def _said(choice: Any) -> str:
    """Return the name of a dtype."""
    if isinstance(choice, type) and issubclass(choice, np.generic):
        return choice.__name__
    return str(choice).removeprefix("torch.")


def mask_name(field: str) -> str:
    """Return the name of the tensor that says which structures have a field."""
    return f"has_{field}"


def check_names(names: Sequence[str]) -> None:
    """Raise if tensors of a batch would share a name."""
    for name in names:
        if name in OWN or names.count(name) > 1:
            raise ValueError(
                f"the store's field {name!r} has a name that batches use themselves; "
                "choose the fields to load without it (fields=...)"
            )
