"""What a system of DeePMD-kit is: its types, its sets, and which array is what.

Arrays are known by the names of their files. Where they are read, as arrays or as text, is not known here.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.schema import ATOM, STRUCTURE, Level
from zstruct.sources.paths import natural

__all__ = ["LABELS", "Label", "System", "label_of", "sizes", "system_of"]


@dataclass(frozen=True)
class Label:
    """What an array is.

    Parameters
    ----------
    name
        The property.
    level
        What its rows belong to; None if that can't be told.
    shape
        Of a row.
    unit
        As in `zstruct.sources.source.RawColumn`.
    """

    name: str
    level: Level | None
    shape: tuple[int, ...]
    unit: str | None = None


#: Labels whose form is known, by the names of their files. DeePMD-kit has eV, angstrom and nothing else.
LABELS = {
    "energy": Label("energy", STRUCTURE, ()),
    "force": Label("forces", ATOM, (3,)),
    "virial": Label("virial", STRUCTURE, (3, 3)),
}
# Others that are known, if they have the size that they should have.
_LIKELY = {
    "atom_ener": Label("energies", ATOM, ()),
    "spin": Label("spin", ATOM, (3,)),
    "force_mag": Label("force_mag", ATOM, (3,)),
    "polarizability": Label("polarizability", STRUCTURE, (3, 3)),
    "dipole": Label("dipole", STRUCTURE, (3,), unit=""),
}


@dataclass(frozen=True)
class System:
    """A system.

    Parameters
    ----------
    types
        Of every atom, numbers from 0 on, shape (atoms,).
    names
        What the types are called; None if that is not said.
    periodic
        Whether structures repeat along all vectors of their boxes, or along none.
    sets
        Directories of arrays, in the order in which people count; none where numbers are text.
    """

    types: NDArray[np.int64]
    names: tuple[str, ...] | None
    periodic: bool
    sets: tuple[str, ...]


def system_of(folder: str, label: str) -> System:
    """Return what a directory says of a system.

    Raises
    ------
    InputError
        If it is none, or its types make no sense.
    """
    words = _words(os.path.join(folder, "type.raw"), label)
    if words is None:
        raise InputError("this is no system of DeePMD-kit: it has no type.raw", label)
    if not words:
        raise InputError("type.raw is empty: the system has no atoms", label)
    try:
        types = np.array([int(float(word)) if "." in word else int(word) for word in words], dtype=np.int64)
    except (ValueError, OverflowError):
        raise InputError("type.raw should have whole numbers, and has something else", label) from None
    if (types < 0).any():
        raise InputError(f"type.raw has the type {types.min()}; types are numbers from 0 on", label)
    names = _words(os.path.join(folder, "type_map.raw"), label)
    if names and types.max() >= len(names):
        raise InputError(f"type.raw has the type {types.max()}, and type_map.raw names {len(names)}", label)
    periodic = not os.path.exists(os.path.join(folder, "nopbc"))
    sets = [path for path in glob.glob(os.path.join(glob.escape(folder), "set.*")) if os.path.isdir(path)]
    if not sets and not os.path.exists(os.path.join(folder, "coord.raw")):
        raise InputError("there are no sets (set.000/coord.npy) here, and no coord.raw", label)
    return System(types, tuple(names) if names else None, periodic, tuple(sorted(sets, key=natural)))


def _words(path: str, label: str) -> list[str] | None:
    """Return the words of a small file, None if it is not there."""
    try:
        with open(path, encoding="utf-8", errors="backslashreplace") as file:
            return file.read().split()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{os.path.basename(path)} can't be read: {error.strerror}", label) from error


def label_of(name: str, shape: tuple[int, ...], n_atoms: int) -> Label:
    """Return what an array is, by its name, or else by what a row of it holds.

    Parameters
    ----------
    name
        Of its file.
    shape
        Of a row.
    n_atoms
        Atoms, or places for atoms, of each structure.
    """
    size = int(np.prod(shape, dtype=int))
    likely = {key: label for key, label in _LIKELY.items() if key == name}
    if sizes(likely, n_atoms).get(name) == size:
        return likely[name]
    each, rest = divmod(size, n_atoms)
    of_atoms = rest == 0 and each > 0
    if name.startswith("atom") and of_atoms:
        return Label(name, ATOM, (each,) if each > 1 else ())
    if len(shape) > 1 and shape[0] == n_atoms:
        return Label(name, ATOM, shape[1:])
    if of_atoms and size > 1 and name != "fparam":
        return Label(name, None, shape)
    return Label(name, STRUCTURE, () if size == 1 else shape)


def sizes(names: Mapping[str, Label], n_atoms: int) -> dict[str, int]:
    """Return how many numbers a row of each known label has."""
    return {
        name: int(np.prod(label.shape, dtype=int)) * (n_atoms if label.level == ATOM else 1)
        for name, label in names.items()
    }
