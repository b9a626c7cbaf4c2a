"""The unit of a column: what the input states, what the user says, and whether they agree.

What is stated is converted, or refused with the words of the input. Fields that are not in the table
keep their numbers, and the unit as it is stated.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.schema import FIELDS, Field
from zstruct.sources.normalize.checks import Bad
from zstruct.sources.normalize.unit_systems import UnitChoice
from zstruct.units import factor

__all__ = ["column_unit"]


def column_unit(
    spec: Field, stated: str | None, choice: UnitChoice, here: NDArray[np.bool_], bad: Bad
) -> tuple[Field, str, float]:
    """Return the unit of a column, and what its values are multiplied with.

    Parameters
    ----------
    spec
        The field.
    stated
        The unit that the input states; None if it states none, empty if that leaves it open.
    choice
        What the user says of units.
    here
        Structures that have the values, shape (n,).
    bad
        Where they are noted if the unit can't be told.

    Returns
    -------
    Field
        As given, with the unit that the input states if the table has none for it.
    str
        The unit; empty for the store's, of which nobody spoke.
    float
        What makes it the store's.
    """
    name = spec.name
    if spec.kind != "float" or name not in FIELDS or spec.unit in ("", "1"):
        own = spec.kind != "category" and (name not in FIELDS or (spec.kind == "float" and spec.unit == ""))
        return (replace(spec, unit=stated) if own and stated else spec), "", 1.0
    try:
        said = choice.unit_of(name)
    except InputError as error:
        bad.add(here, error.reason)
        return spec, "", 1.0
    if said is not None and stated is not None and choice.missing_for(name):
        said = None  # the user speaks of energies alone, say, and the input of forces
    if not stated:
        if said is None and stated is not None:
            systems = ", or for all with units='ase' or units='atomic'"
            if name == "forces":  # alone, they may be in hartree/angstrom
                systems = ", or with units='ase' if all is in eV and angstrom"
            bad.add(
                here,
                f"the input does not say the unit of {name}, and there are several; {_how(name)}{systems}",
            )
        return spec, said or "", 1.0 if said is None else factor(name, said)
    try:
        size = factor(name, stated)
    except InputError as error:
        if said is not None:
            return spec, said, factor(name, said)
        why = error.reason.removeprefix(f"units={{{name!r}: {stated!r}}}: ")
        bad.add(here, f"the input states {stated!r} as the unit of {name}: {why}; {_how(name)}")
        return spec, stated, 1.0
    if said is not None and not math.isclose(factor(name, said), size, rel_tol=1e-6):
        bad.add(
            here,
            f"the input states {stated!r} as the unit of {name}, but units= says {said!r}; leave it out of "
            "units=, build from inputs that differ one by one, or leave the property that says so out with "
            "exclude=[...]",
        )
    return spec, stated, size


def _how(name: str) -> str:
    return f"say it with units={{{name!r}: ...}}, for instance {FIELDS[name].unit!r} or what the program uses"
