"""Units that an input itself states: converted, or refused with the words of the input.

A column with a stated unit is brought to the store's before anything looks at its values. What the
user says of a field's unit must not contradict the input. Fields that are not in the table keep
their numbers, and the unit as it is stated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.schema import FIELDS, Field
from zstruct.sources.base import RawColumn
from zstruct.sources.checks import Bad
from zstruct.sources.units import factor

__all__ = ["in_store_units"]


def in_store_units(
    spec: Field, column: RawColumn, units: Mapping[str, str], here: NDArray[np.bool_], bad: Bad
) -> tuple[Field, RawColumn]:
    """Return a column in the unit of its field.

    Parameters
    ----------
    spec
        The field.
    column
        Its values as the input has them, with the unit that the input states.
    units
        The user's word by field.
    here
        Structures that have the values, shape (n,).
    bad
        Where they are noted if the unit can't be told.
    """
    if spec.kind != "float":
        return spec, column
    name, said, stated = spec.name, units.get(spec.name), column.unit
    if spec.unit in ("", "1") or name not in FIELDS:
        return (replace(spec, unit=stated) if stated and spec.unit == "" else spec), column
    if stated is None:
        return spec, _scaled(column, 1.0 if said is None else factor(name, said))
    if stated == "":
        if said is None:
            bad.add(
                here, f"the file does not say the unit of {name}, and its format has several; {_how(name)}"
            )
        return spec, _scaled(column, 1.0 if said is None else factor(name, said))
    try:
        size = factor(name, stated)
    except InputError as error:
        if said is not None:
            return spec, _scaled(column, factor(name, said))
        why = error.reason.removeprefix(f"units={{{name!r}: {stated!r}}}: ")
        bad.add(here, f"the input states {stated!r} as the unit of {name}: {why}; {_how(name)}")
        return spec, column
    if said is not None and not math.isclose(factor(name, said), size, rel_tol=1e-6):
        bad.add(
            here,
            f"the input states {stated!r} as the unit of {name}, but units= says {said!r}; leave it out of "
            "units=, or build from inputs that differ one by one",
        )
    return spec, _scaled(column, size)


def _how(name: str) -> str:
    return f"say it with units={{{name!r}: ...}}, for instance {FIELDS[name].unit!r} or what the program uses"


def _scaled(column: RawColumn, size: float) -> RawColumn:
    if size == 1.0:
        return column
    return replace(column, values=column.values * size, unit=None)
