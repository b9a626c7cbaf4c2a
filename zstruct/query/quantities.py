"""The quantities that an expression may name beside the fields of a store: one table.

Each is computed from fields, by a function of arrays. What reads them is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import NUMBERS
from zstruct.geometry.distances import shortest_distances
from zstruct.geometry.volumes import cell_volumes
from zstruct.ragged import segment_reduce
from zstruct.schema import ATOM, FIELDS, STRUCTURE, Level

__all__ = [
    "ELEMENTS",
    "FORMULA",
    "INDEX",
    "QUANTITIES",
    "Quantity",
]

#: Atomic numbers by chemical symbol. X, ASE's dummy atom, is no element here: it hid fields of that name.
ELEMENTS = {symbol: number for symbol, number in NUMBERS.items() if number > 0}

#: The quantities that are not computed by a function of their own.
INDEX, FORMULA = "index", "formula"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that every structure has, or may have.

    Parameters
    ----------
    name
        What it is called.
    unit
        As fields have it.
    description
        What it is, for people.
    needs
        The fields that it is computed from.
    level
        Whether it is computed from rows of atoms or of structures.
    compute
        Called with the rows of these fields; where that is one of atoms, with the edges of the structures
        in its rows, and these. Returns a number for each structure, NaN for a missing one.
    also
        Fields of structures whose rows it is called with, too; None for those that nobody has.
    parts
        Quantities and fields that it is computed from in place of its fields.
    joined
        Makes that of a structure of those of two parts of its atoms; None: nothing does.
    """

    name: str
    unit: str
    description: str
    needs: tuple[str, ...] = ()
    level: Level = STRUCTURE
    compute: Callable[..., NDArray[Any]] | None = None
    also: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    joined: np.ufunc | None = None


def _per_atom(values: NDArray[Any], n_atoms: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(values / np.where(n_atoms > 0, n_atoms, np.nan))


def _volume(cells: NDArray[Any]) -> NDArray[np.float64]:
    found = cell_volumes(cells)
    return np.where(found > 0, found, np.nan)


def _pressure(stresses: NDArray[Any]) -> NDArray[np.float64]:
    return -np.asarray(stresses[:, :3], np.float64).mean(axis=1)


def _largest(stresses: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.abs(np.asarray(stresses, np.float64)).max(axis=1))


def _largest_norm(offsets: NDArray[np.int64], forces: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        squares = np.square(forces, dtype=np.float64)
    sums = squares[:, 0] + squares[:, 1] + squares[:, 2]  # takes half of what `einsum` does
    return np.sqrt(segment_reduce(sums, offsets, "max"))


def _largest_component(offsets: NDArray[np.int64], forces: NDArray[Any]) -> NDArray[np.float64]:
    return segment_reduce(np.abs(np.asarray(forces, np.float64)).max(axis=1), offsets, "max")


def _n_elements(offsets: NDArray[np.int64], numbers: NDArray[Any]) -> NDArray[np.int64]:
    n = len(offsets) - 1
    pairs = np.repeat(np.arange(n) * 256, np.diff(offsets)) + numbers.astype(np.int64)
    pairs.sort()  # where equal ones are counted, `unique` takes several times as long
    new = np.ones(len(pairs), dtype=bool)
    np.not_equal(pairs[1:], pairs[:-1], out=new[1:])
    return np.bincount(pairs[new] // 256, minlength=n)


def _shortest(
    offsets: NDArray[np.int64], positions: NDArray[Any], cells: NDArray[Any] | None, pbc: NDArray[Any] | None
) -> NDArray[np.float64]:
    return shortest_distances(offsets, positions, cells, pbc)


_FORCE, _STRESS = FIELDS["forces"].unit, FIELDS["stress"].unit
_ROWS = (
    Quantity("n_atoms", "1", "number of atoms", ("n_atoms",), compute=lambda counts: counts),
    Quantity("n_elements", "1", "number of different elements", ("numbers",), ATOM, _n_elements),
    Quantity(
        FORMULA, "", "chemical formula; the order in a text does not matter: `formula == 'TiO2'`",
        ("numbers",),
    ),
    Quantity(INDEX, "1", "position of the structure in what is selected from, from 0"),
    Quantity(
        "energy_per_atom", "eV", "energy divided by the number of atoms", ("energy", "n_atoms"),
        compute=_per_atom,
    ),
    Quantity(
        "fmax", _FORCE, "largest norm of the force on any atom", ("forces",), ATOM, _largest_norm,
        joined=np.maximum,
    ),
    Quantity(
        "max_force_component", _FORCE, "largest absolute component of the force on any atom", ("forces",),
        ATOM, _largest_component,
    ),
    Quantity("smax", _STRESS, "largest absolute component of the stress", ("stress",), compute=_largest),
    Quantity(
        "pressure", _STRESS, "minus a third of the trace of the stress", ("stress",), compute=_pressure
    ),
    Quantity("volume", "angstrom3", "volume of the cell; missing without one", ("cell",), compute=_volume),
    Quantity(
        "volume_per_atom", "angstrom3", "volume divided by the number of atoms", ("cell", "n_atoms"),
        compute=_per_atom, parts=("volume", "n_atoms"),
    ),
    Quantity(
        "shortest_distance", "angstrom",
        "shortest distance between two atoms, images included; infinite for one atom alone", ("positions",),
        ATOM, _shortest, also=("cell", "pbc"),
    ),
    Quantity(
        "n_periodic", "1", "number of lattice vectors along which the structure repeats", ("pbc",),
        compute=lambda pbc: pbc.sum(axis=1),
    ),
)  # fmt: skip

#: The quantities by name.
QUANTITIES: dict[str, Quantity] = {row.name: row for row in _ROWS}
