"""One pass over the atoms of structures: a few numbers of each structure, and of each element its forces.

In memory are about 40 bytes for each structure.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from zstruct.compositions import compositions
from zstruct.elements import NUMBERS
from zstruct.errors import InputError, ZstructError
from zstruct.geometry.distances import shortest_distances
from zstruct.geometry.volumes import cell_volumes
from zstruct.moments import Moments
from zstruct.ragged import segment_reduce
from zstruct.stats.histogram import Magnitudes
from zstruct.stats.reference_fit import fit_references
from zstruct.stats.references import References, chosen_references
from zstruct.stats.scan import Part, Stretch, scan
from zstruct.store.datasets import Dataset

if TYPE_CHECKING:
    from zstruct.parallel import Client

__all__ = ["GPA", "Survey", "references_for", "survey"]

#: How many GPa are 1 eV/Å³ (CODATA 2018, exact).
GPA = 160.2176634


@dataclass(frozen=True, eq=False)
class Survey:
    """What one pass found.

    Parameters
    ----------
    n_atoms
        Atoms of each structure, shape (n,), int64.
    columns
        By name, of each structure, shape (n,), NaN where it is missing: ``energy_per_atom`` and
        ``referenced`` in eV, float64; ``fmax`` in eV/Å, ``pressure`` in GPa, ``volume_per_atom`` in Å³ and
        ``shortest_distance`` in Å, float32. Those that no structure has are left out.
    with_element
        Structures that have each element, by atomic number, shape (256,), int64.
    atoms_of
        Atoms of each element, by atomic number, shape (256,), int64.
    forces
        The distribution of the norms of forces, by atomic number.
    stress
        Of the components xx yy zz yz xz xy, in eV/Å³.
    """

    n_atoms: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]
    with_element: NDArray[np.int64]
    atoms_of: NDArray[np.int64]
    forces: Mapping[int, Magnitudes]
    stress: tuple[Moments, ...]

    def __len__(self) -> int:
        return len(self.n_atoms)


def survey(part: Part, references: References | None, workers: int | Client | None, progress: bool) -> Survey:
    """Go once over structures.

    Parameters
    ----------
    part
        The structures.
    references
        What to subtract from energies.
    workers, progress
        As for `scan`.
    """
    fields = [f for f in ("numbers", "positions", "forces", "stress", "cell") if f in part.store.fields]
    look = partial(_look, references=references)
    found = scan(look, part, fields, workers=workers, progress=progress and "structures")
    forces: dict[int, Magnitudes] = {}
    stress: tuple[Moments, ...] = (Moments(),) * 6
    for one in found:
        for number, norms in one.forces.items():
            forces[number] = forces[number].merge(norms) if number in forces else norms
        stress = tuple(a.merge(b) for a, b in zip(stress, one.stress, strict=True))
    names = found[0].columns if found else ()
    columns = {name: np.concatenate([one.columns[name] for one in found]) for name in names}
    zeros = np.zeros(256, np.int64)
    return Survey(
        np.concatenate([one.n_atoms for one in found]) if found else np.zeros(0, np.int64),
        {name: column for name, column in columns.items() if np.isfinite(column).any()},
        sum((one.with_element for one in found), zeros),
        sum((one.atoms_of for one in found), zeros),
        {number: forces[number] for number in sorted(forces)},
        stress,
    )


def _look(stretch: Stretch, references: References | None) -> Survey:
    """Return what there is to know of a range of structures."""
    n_atoms, offsets, numbers = stretch.n_atoms, stretch.offsets, stretch.read("numbers")
    columns: dict[str, NDArray[Any]] = {}
    if stretch.has("energy"):
        energies = np.asarray(stretch.read("energy"), np.float64)
        columns["energy_per_atom"] = energies / n_atoms
        if references is not None:
            columns["referenced"] = references.subtract(numbers, offsets, energies) / n_atoms
    forces: dict[int, Magnitudes] = {}
    if stretch.has("forces"):
        squares = np.square(np.asarray(stretch.read("forces"), np.float64)).sum(axis=1)
        columns["fmax"] = np.sqrt(segment_reduce(squares, offsets, "max")).astype(np.float32)
        norms = np.sqrt(squares)
        forces = {int(z): Magnitudes.of(norms[numbers == z]) for z in np.unique(numbers)}
    stress = np.full((1, 6), np.nan)
    if stretch.has("stress"):
        stress = np.asarray(stretch.read("stress"), np.float64)
        columns["pressure"] = (-GPA * stress[:, :3].mean(axis=1)).astype(np.float32)
    cells, pbc = (stretch.read(name) if stretch.has(name) else None for name in ("cell", "pbc"))
    if cells is not None:
        volumes = cell_volumes(cells)
        columns["volume_per_atom"] = (np.where(volumes > 0, volumes, np.nan) / n_atoms).astype(np.float32)
    distances = shortest_distances(offsets, stretch.read("positions"), cells, pbc)
    columns["shortest_distance"] = np.where(np.isfinite(distances), distances, np.nan).astype(np.float32)
    with_element = np.zeros(256, np.int64)
    elements, counts = compositions(numbers, offsets)
    with_element[elements] = (counts > 0).sum(axis=0)
    return Survey(
        n_atoms,
        columns,
        with_element,
        np.bincount(numbers, minlength=256).astype(np.int64),
        {z: norms for z, norms in forces.items() if norms.count},
        tuple(Moments.of(stress[:, k]) for k in range(6)),
    )


def references_for(
    part: Part, asked: bool | str | Mapping[str, float] | None, workers: int | Client | None
) -> References | None:
    """Return the references that somebody asks for; else those of the store, else some that are fitted.

    Parameters
    ----------
    part
        The structures.
    asked
        As for `zstruct.statistics`; None: whatever there is. False: none.
    workers
        As for `zstruct.fit_references`.

    Raises
    ------
    InputError, StaleGroupError
        If there are no such references.
    """
    if asked is not None:
        return chosen_references(part.store, asked)
    if "energy" not in part.store.fields:
        return None
    try:
        kept = chosen_references(part.store, True)
    except ZstructError:  # there are none, or they are stale
        kept = None
    if kept is not None and {NUMBERS[symbol] for symbol in kept} >= _elements(part):
        return kept
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they are not determined is said on the page
        try:
            return fit_references(cast(Dataset, part), workers=workers)  # anything with its structures
        except InputError:  # no structure has an energy
            return None


def _elements(part: Part) -> set[int]:
    return {NUMBERS[symbol] for symbol in part.store.attrs.get("species", {})}
