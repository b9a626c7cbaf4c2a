"""Compute the statistics of some structures of a store, range by range, and merge them.

What is computed of a range is here; how a number of ranges become one is in the objects themselves.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.arguments import check
from zstruct.elements import SYMBOLS
from zstruct.geometry.distances import shortest_distances
from zstruct.keywords import keywords
from zstruct.moments import Moments
from zstruct.parallel import WORKERS
from zstruct.query import Selection
from zstruct.stats.histogram import Magnitudes, check_fractions, collected
from zstruct.stats.kernels import summarize_forces
from zstruct.stats.references import References, chosen_references
from zstruct.stats.scan import Part, Stretch, scan
from zstruct.stats.storage import NOUN, keep_statistics
from zstruct.stats.summary import Species, Statistics
from zstruct.store.datasets import Dataset
from zstruct.store.groups import check_place
from zstruct.store.store import Store

if TYPE_CHECKING:
    from zstruct.parallel import Client

__all__ = ["QUANTILES", "statistics"]

QUANTILES = (0.5, 0.9, 0.99, 0.999)


@keywords(WORKERS)
def statistics(
    store: str | os.PathLike[str] | Store | Dataset,
    split: str | tuple[str, str] | None = None,
    *,
    select: str | Selection | None = None,
    labels: str | None = None,
    references: bool | str | Mapping[str, float] | None = None,
    quantiles: Sequence[float] = QUANTILES,
    name: str | None = None,
    overwrite: bool = False,
    workers: int | Client | None = None,
    progress: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Statistics:
    """Return counts, means, spreads and ranges of the structures of a store and their labels.

    Missing values are left out, and counted. Memory stays bounded: a shard of atoms is looked at at a
    time by each worker. The formulas are on the page on statistics.

    Parameters
    ----------
    store
        A store or its path; or a dataset, also one that is a part of a store. Structures that a
        dataset has more than once count once.
    split
        The part of a store: a label of the split "default", or the name of a split and a label. By
        default all of it.
    select
        An expression that holds for the structures to take, as on the page on selecting:
        ``"Ti and fmax < 10"``; or a `Selection` of them.
    labels
        Name of labels in the store to take in place of its own; see `zstruct.label`.
    references
        Reference energies to subtract for `Statistics.referenced_energy_per_atom`: energies in eV by
        chemical symbol, the name they are kept under, or True for those of "default".
    quantiles
        Which quantiles of the norms of forces to find, as fractions. They are exact, at the cost of
        reading forces twice.
    name
        Where to keep the statistics in the store: ``statistics/<name>``. By default they are only
        returned.
    overwrite
        Whether other statistics of this name may be replaced.
    workers
        Number of threads, by default one per processor. Or a `distributed.Client` to run on, by default
        the active one.
    progress
        Whether to show a progress bar.
    storage_options
        Of a store that is given as a URL, for fsspec: keys, endpoints and the like.

    Raises
    ------
    InputError
        If an argument can't be used, or an element has no reference energy.
    StoreExistsError
        If the store has other statistics of this name and `overwrite` was not given.
    StaleGroupError, StoreFormatError, BuildLockedError, ChangedInputError
        As for `zstruct.split`.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/molecules.zarr"
    >>> molecules = [ase.build.molecule(name) for name in ("H2O", "CH4")]
    >>> report = zstruct.build(molecules, path, progress=False)
    >>> found = zstruct.statistics(path)
    >>> found.atoms.mean, round(found.distance.min, 4), found.species["H"].atoms, found.missing["energy"]
    (4.0, 0.9686, 6, 2)
    """
    check(overwrite=overwrite, progress=progress)
    workers = parallel.chosen_workers(workers)
    check_place(store, name, NOUN)
    part = Part.of(store, split, storage_options, select, labels)
    check_fractions(quantiles)
    chosen = chosen_references(part.store, references)
    there = [f for f in ("numbers", "positions", "forces", "energy", "stress") if f in part.store.fields]
    look = partial(_summarize, references=chosen)
    total = Statistics.empty(chosen)
    for one in scan(look, part, there, progress=progress and "statistics", workers=workers):
        total = total.merge(one)
    if total.force_norms.count and len(quantiles):
        table = total.force_norms.wanted(quantiles)
        bins = np.flatnonzero(table)  # few: the table itself is large to send to a cluster
        look_again = partial(_norms_in, bins=bins, n_bins=len(table))
        parts = scan(look_again, part, ["forces"], progress=progress and "quantiles", workers=workers)
        values, where = np.unique(np.concatenate([v for v, _ in parts]), return_inverse=True)
        times = np.zeros(len(values), np.int64)
        np.add.at(times, where, np.concatenate([t for _, t in parts]))
        total = total.with_norms(total.force_norms.with_quantiles(quantiles, values, times))
    if name is not None:
        keep_statistics(part, total, name, overwrite)
    return total


def _summarize(stretch: Stretch, references: References | None) -> Statistics:
    """Return the statistics of a range of structures, without quantiles."""
    n_atoms, offsets, numbers = stretch.n_atoms, stretch.offsets, stretch.read("numbers")
    sizes, size_counts = np.unique(n_atoms, return_counts=True)
    energies = stretch.read("energy") if stretch.has("energy") else np.full(len(n_atoms), np.nan)
    referenced = Moments()
    if references is not None:
        referenced = Moments.of(references.subtract(numbers, offsets, energies) / n_atoms)
    stress = stretch.read("stress") if stretch.has("stress") else np.full((len(n_atoms), 6), np.nan)
    stress = np.where(np.isnan(stress).any(axis=1, keepdims=True), np.nan, stress)
    cells, pbc = (stretch.read(k) if stretch.has(k) else None for k in ("cell", "pbc"))
    distances = shortest_distances(offsets, stretch.read("positions"), cells, pbc)
    distance = Moments.of(distances[np.isfinite(distances)])
    n_forces, forces, force_norm, magnitudes, species = _of_forces(stretch, numbers, offsets)
    n, energy = len(n_atoms), Moments.of(energies)
    return Statistics(
        structures=n,
        atoms=Moments.of(n_atoms),
        sizes=sizes.astype(np.int64),
        size_counts=size_counts.astype(np.int64),
        energy=energy,
        energy_per_atom=Moments.of(energies / n_atoms),
        references=references,
        referenced_energy_per_atom=referenced,
        forces=forces,
        force_norm=force_norm,
        force_norms=magnitudes,
        stress=tuple(Moments.of(stress[:, k]) for k in range(6)),
        species=species,
        distance=distance,
        missing={
            "energy": n - energy.count,
            "forces": n - n_forces,
            "stress": int(np.isnan(stress[:, 0]).sum()),
            "distance": n - distance.count,
        },
    )


def _of_forces(
    stretch: Stretch, numbers: NDArray[Any], offsets: NDArray[np.int64]
) -> tuple[int, Moments, Moments, Magnitudes, dict[str, Species]]:
    """Return how many structures have forces; moments of components and norms, their bins; species."""
    there = np.bincount(numbers, minlength=256)
    counts, squares = np.zeros(256, np.int64), np.zeros(256)
    n, forces, force_norm, magnitudes = 0, Moments(), Moments(), Magnitudes()
    if stretch.has("forces"):
        norms, found = np.empty(len(numbers)), np.empty(4)
        rows = np.ascontiguousarray(stretch.read("forces"), np.float64)
        codes = np.ascontiguousarray(numbers, np.uint8)
        kernel = summarize_forces.for_work(2e-5 * len(rows))  # seconds of Python, by measurement
        n = int(kernel(offsets, codes, rows, norms, found, counts, squares))
        if n:
            forces = Moments(3 * int(counts.sum()), *found.tolist())
            force_norm, magnitudes = Moments.of(norms), Magnitudes.of(norms)
    species = {
        SYMBOLS[z]: Species(int(there[z]), int(counts[z]), float(squares[z])) for z in np.flatnonzero(there)
    }
    return n, forces, force_norm, magnitudes, species


def _norms_in(
    stretch: Stretch, bins: NDArray[np.int64], n_bins: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the norms of forces in some bins, and how often each occurs."""
    table = np.zeros(n_bins, dtype=bool)
    table[bins] = True
    forces = np.asarray(stretch.read("forces"), np.float64)
    lost = np.isnan(forces).any(axis=1)
    if lost.any():  # in one atom is in all of the structure, as in the first pass
        gone = np.logical_or.reduceat(lost, stretch.offsets[:-1])
        forces = forces[~np.repeat(gone, stretch.n_atoms)]
    squares = forces[:, 0] ** 2  # summed in the order of the kernel, or bins would differ
    squares += forces[:, 1] ** 2
    squares += forces[:, 2] ** 2
    return collected(np.sqrt(squares), table)
