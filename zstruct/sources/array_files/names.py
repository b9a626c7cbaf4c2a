"""Which array of a file is which: by what the user says, or by the names that everybody uses.

Names of labels are left to `zstruct.sources.normalize`, but for what formats of arrays alone have: plurals,
and gradients, which are forces but for their sign.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zstruct.errors import InputError
from zstruct.schema import ATOM, STRUCTURE, Level

__all__ = ["KNOWN", "is_plural", "place_of", "plain_name", "said_where"]

#: Names of what makes a structure, as files have them.
KNOWN: dict[str, tuple[str, ...]] = {
    "positions": ("positions", "pos", "coordinates", "coords", "coord", "R", "conformations"),
    "numbers": (
        "numbers", "atomic_numbers", "species", "nuclear_charges", "Z", "z", "elements", "symbols",
    ),
    "cell": ("cell", "cells", "lattice", "Lattice"),
    "pbc": ("pbc", "pbcs"),
    "n_atoms": ("n_atoms", "natoms", "num_atoms", "N"),
    "offsets": ("offsets", "atomic_numbers_splits"),
}  # fmt: skip

_PLAIN: dict[Level, dict[str, str]] = {
    ATOM: {},
    STRUCTURE: {
        "energies": "energy",
        "dft_total_energy": "energy",
        "dipoles": "dipole",
        "stresses": "stress",
    },
}
_GRADIENTS = ("gradient", "gradients")


def place_of(name: str, there: Iterable[str], said: Mapping[str, str], label: str) -> str | None:
    """Return which array is a part of what makes a structure, or None.

    Parameters
    ----------
    name
        The part, one of `KNOWN`.
    there
        Names of arrays.
    said
        Where they are, as the user or the format says it.
    label
        The file, for messages.

    Raises
    ------
    InputError
        If the array is not there, or if it can't be told which it is.
    """
    known = list(there)
    if name in said:
        if said[name] not in known:
            raise InputError(
                f"keys={{{name!r}: {said[name]!r}}}: there is no such array; there are {said_where(known)}",
                label,
            )
        return said[name]
    taken = set(said.values())
    found = [key for key in KNOWN[name] if key in known and key not in taken]
    if len(found) > 1:
        raise InputError(
            f"{' and '.join(map(repr, found))} could both be the {name}; say which, "
            f"keys={{{name!r}: {found[0]!r}}}",
            label,
        )
    return found[0] if found else None


def said_where(names: Iterable[str]) -> str:
    """Return names for a message, not all if they are many."""
    known = sorted(names)
    rest = f" and {len(known) - 20} more" if len(known) > 20 else ""
    return (", ".join(known[:20]) or "none at all") + rest


def is_plural(key: str) -> bool:
    """Tell whether a name is that of a label of all structures: ``energies`` need not be those of atoms."""
    return key.casefold() in _PLAIN[STRUCTURE]


def plain_name(key: str, level: Level, there: Iterable[str]) -> tuple[str, float]:
    """Return what a label is called, and what its values are multiplied with.

    Parameters
    ----------
    key
        Its name in the file.
    level
        What its rows belong to.
    there
        All names, one of which may be the plain one.

    Examples
    --------
    >>> plain_name("energies", "structure", ["energies"]), plain_name("dft_total_gradient", "atom", [])
    (('energy', 1.0), ('forces', -1.0))
    """
    others = {name.casefold() for name in there if name != key}
    folded = key.casefold()
    if level == ATOM and folded.endswith(_GRADIENTS):
        alike = [name for name in others if name.endswith((*_GRADIENTS, "forces", "force"))]
        if not alike:
            return "forces", -1.0
        stem = next(folded.removesuffix(end) for end in _GRADIENTS[::-1] if folded.endswith(end))
        return f"{key[: len(stem)]}forces", -1.0
    plain = _PLAIN[level].get(folded, key)
    return (key if plain.casefold() in others else plain), 1.0
