"""Find duplicates within stores and between them, and say what they are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.arguments import check
from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.parallel import WORKERS
from zstruct.progress import Runner
from zstruct.ragged import counts_to_offsets
from zstruct.similarity.chosen import Chosen
from zstruct.similarity.fingerprints import Fingerprints, fingerprints
from zstruct.similarity.forces import force_differences
from zstruct.similarity.groups import Duplicates
from zstruct.similarity.search import Found, find_duplicates

if TYPE_CHECKING:
    from zstruct.parallel import Client

__all__ = ["TOLERANCE", "alike", "duplicates"]

#: The largest displacement of an atom, in angstrom, if none is said.
TOLERANCE = 0.01
_LEAST = 1e-6  # angstrom; what is nearer is at one place, for all that rounding leaves of it
_MOST = 0.5  # angstrom; farther away than that, it is often another atom that is nearest
_ROUNDING = 1e-9  # angstrom
# Tolerances by which translations may displace atoms: where each is displaced by a tolerance, two differ by
# up to twice as much. By few of them, too, as a structure may be an exact repetition of one that is almost
# a repetition itself.
_DISPLACED = (0.1, 2.0)


@keywords(WORKERS)
def duplicates(
    stores: Any,
    tolerance: float = TOLERANCE,
    *,
    supercells: bool = False,
    workers: int | Client | None = None,
    progress: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Duplicates:
    """Find structures that are alike, within stores and between them.

    Two structures are duplicates if a rotation and a translation bring the atoms of one upon atoms of the
    same elements of the other, one upon one, so that none is farther away than the tolerance. The order of
    atoms does not matter, and neither does which periodic image of an atom is meant, or by which vectors a
    lattice is given, whose shortest vectors have to agree within the tolerance, too; a structure and its
    supercell are two, unless supercells are asked for. Mirror images differ. Groups are what hangs together:
    in a trajectory of small steps the first and the last structure may be in one group, so their sizes are
    said.

    Pairs that are reported are duplicates. None is missed as long as the tolerance is less than a twelfth
    of the distance between any two atoms of the same element; but with supercells one may be that almost,
    within four tolerances, repeats a smaller cell than what it has in common with the other. The work for a
    pair is bounded, too, to a few seconds: how many were left is counted. In memory are
    about 150 bytes for each structure.

    Parameters
    ----------
    stores
        A store or its path; a dataset, also one that is a part of a store; or several of them.
    tolerance
        The largest displacement of an atom, in angstrom, up to 0.5. Less than 1e-6 counts as that.
    supercells
        Whether a periodic structure and its supercells, by any matrix of integers, are duplicates, too, and
        so two supercells of one cell. Crystals without an end are then compared: each atom with all that
        come upon it. The vectors that have to agree are those of the smallest cell that they repeat.
    workers
        Number of threads, by default one per processor. Or a `distributed.Client` to run on, by default
        the active one.
    progress
        Whether to show a progress bar.
    storage_options
        Of stores that are given as URLs, for fsspec: keys, endpoints and the like.

    Raises
    ------
    InputError
        If something is no store, or the tolerance can't be one.
    StoreFormatError
        If there is no finished store.
    ChangedInputError
        If a store was replaced meanwhile.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/molecules.zarr"
    >>> molecules = [ase.build.molecule(name) for name in ("H2O", "CH4", "H2O")]
    >>> molecules[2].rotate(40, (1, 2, 3))
    >>> report = zstruct.build(molecules, path, progress=False)
    >>> found = zstruct.duplicates(path)
    >>> found.sizes, found.structure
    (array([2]), array([0, 2]))
    """
    check(tolerance=tolerance, supercells=supercells, progress=progress)
    largest = max(float(tolerance), _LEAST)
    if largest > _MOST:
        raise InputError(f"tolerance is a length of 0 to {_MOST} angstrom, not {largest:g}")
    several = isinstance(stores, Sequence) and not isinstance(stores, str | os.PathLike)
    parts = [Chosen.of(one, storage_options) for one in (stores if several else [stores])]
    if not parts:
        raise InputError("there are no stores to look at")
    runner = Runner(parallel.chosen_workers(workers), progress, unit=" structures")
    limits = [largest * times + _ROUNDING for times in _DISPLACED] if supercells else []
    try:
        prints = fingerprints(parts, runner, limits)
        found = find_duplicates(parts, prints, largest, runner)
        forces = force_differences(parts, prints, found, largest, runner)
    finally:
        runner.close()
    return _described(parts, largest, prints, found, forces, supercells)


def alike(chosen: Chosen) -> NDArray[np.int64]:
    """Return a number for each structure, shape (n,), the same for duplicates; labels are not looked at."""
    runner = Runner(parallel.chosen_workers(None), False, unit=" structures")
    try:
        return find_duplicates([chosen], fingerprints([chosen], runner), TOLERANCE, runner).groups
    finally:
        runner.close()


def _described(
    parts: Sequence[Chosen],
    tolerance: float,
    prints: Fingerprints,
    found: Found,
    forces: NDArray[np.float64],
    supercells: bool,
) -> Duplicates:
    """Return what there is to know of groups, in the order in which they are looked at."""
    roots, n = found.groups, len(found.groups)
    not_compared = int((~prints.usable[:n]).sum())
    members = np.flatnonzero(np.bincount(roots, minlength=n)[roots] > 1)
    members = members[np.argsort(roots[members], kind="stable")]
    edges = np.append(np.flatnonzero(np.diff(roots[members], prepend=-1)), len(members)).astype(np.int64)
    begins = counts_to_offsets([len(part) for part in parts])
    store = np.searchsorted(begins, members, side="right") - 1
    structure, energy = np.empty(len(members), np.int64), np.full(len(members), np.nan)
    for k, part in enumerate(parts):
        mine = np.flatnonzero(store == k)
        structure[mine] = part.numbered(members[mine] - begins[k])
        order = mine[np.argsort(structure[mine], kind="stable")]
        chosen = structure[order]
        counts = part.offsets[chosen + 1] - part.offsets[chosen]
        energy[order] = part.column("energy", chosen) / counts
    stores = [part.store for part in parts]
    plain = Duplicates(
        stores,
        tolerance,
        n - not_compared,
        not_compared,
        edges,
        store,
        structure,
        energy,
        forces[members],
        bool(supercells),
        found.undecided,
    )
    return plain.only(np.lexsort((-plain.sizes, -plain.disagreement)))
