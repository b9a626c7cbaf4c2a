"""Labelling a store by a vectorised Lennard-Jones potential, against computing the same labels and no more.

Structures of 8 to 16 atoms, all pairs of each by NumPy: energies, forces and virials in double precision.
Computing means the same batches of the same reader and the same function, whose results are dropped. Storing
is what `zstruct.label` takes, which ends when the labels are on the disk, and what `zstruct.labels.add` takes
for the same arrays in memory. The page cache is warm.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np

import zstruct
from tests.benchmarks.common import alternate, machine, median, show
from tests.benchmarks.findings import Finding, conclude
from zstruct.loading import Cache
from zstruct.ragged import atom_rows, counts_to_offsets, segment_ranges

_STRUCTURES = 1_000_000
_REPEATS = 3
_MOST = 1.3  # times computing, that computing and storing may take
_MAX_ATOMS = 1 << 14
_FIELDS = ("numbers", "positions", "cell", "pbc")


def main(scale: float = 1.0) -> None:
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        path = folder / "s.zarr"
        zstruct.build(_source(int(_STRUCTURES * scale)), path, progress=False)
        _compare(path)
    finally:
        shutil.rmtree(folder)


def _source(n: int) -> zstruct.sources.Source:
    draw = np.random.default_rng(0)
    counts = draw.integers(8, 17, n)
    atoms = int(counts.sum())
    return zstruct.sources.arrays(
        positions=draw.uniform(0, 6, (atoms, 3)),
        numbers=draw.choice([1, 6, 7, 8], atoms).astype(np.uint8),
        n_atoms=counts,
    )


def lennard_jones(batch):
    """Return energies, forces and virials of packed structures: all pairs of each, both ways."""
    positions, offsets = batch.columns["positions"], batch.offsets
    counts = np.diff(offsets)
    centres = np.repeat(np.arange(len(positions)), np.repeat(counts, counts))
    others = atom_rows(np.repeat(offsets[:-1], counts), np.repeat(counts, counts))
    apart = centres != others
    centres, others = centres[apart], others[apart]
    vectors = positions[others] - positions[centres]
    squares = np.maximum(np.einsum("ij,ij->i", vectors, vectors), 0.5)
    inverse = 1.0 / squares
    sixth = inverse**3
    pulls = (24.0 * (sixth - 2.0 * sixth**2) * inverse)[:, None] * vectors
    pairs = counts_to_offsets(np.repeat(counts - 1, counts))[:-1]
    energies = np.add.reduceat(2.0 * (sixth**2 - sixth), pairs)
    forces = np.add.reduceat(pulls, pairs)
    virials = np.add.reduceat(-0.5 * vectors[:, :, None] * pulls[:, None, :], pairs)
    starts = offsets[:-1]
    return {
        "energy": np.add.reduceat(energies, starts),
        "forces": forces,
        "virial": np.add.reduceat(virials, starts),
    }


def _compare(path: Path) -> None:
    reader = zstruct.StructureReader(path, _FIELDS, "float64", cache=Cache("memory", bytes=64 << 20))
    edges = counts_to_offsets(reader.n_atoms)

    def compute():
        return [
            lennard_jones(reader.take(np.arange(first, last)))
            for first, last in segment_ranges(edges, _MAX_ATOMS)
        ]

    def drop():
        for first, last in segment_ranges(edges, _MAX_ATOMS):
            lennard_jones(reader.take(np.arange(first, last)))

    def label():
        zstruct.label(path, lennard_jones, "lj", max_atoms=_MAX_ATOMS, overwrite=True, progress=False)

    kept = compute()
    arrays = {name: np.concatenate([one[name] for one in kept]) for name in kept[0]}

    def add():
        arrays["energy"][0] += 1e-9  # or it would be there already
        zstruct.labels.add(path, "added", **arrays, overwrite=True)

    label()
    sides = {"compute": drop, "zstruct.label": label, "zstruct.labels.add": add}
    found = {side: median(seconds) for side, seconds in alternate(sides, _REPEATS).items()}
    n, computing = len(edges) - 1, found["compute"]
    rows = [
        [side, f"{seconds:.2f}", f"{n / seconds:,.0f}", f"{seconds / computing:.2f}"]
        for side, seconds in found.items()
    ]
    title = f"{n:,} structures, {int(edges[-1]):,} atoms"
    show(title, rows, ["", "seconds", "structures/s", "times computing"])
    seconds = found["zstruct.label"]
    ours, theirs = f"{seconds:.2f} s", f"computing: {computing:.2f} s"
    conclude([Finding("zstruct.label", title, ours, theirs, computing / seconds, 1 / _MOST, peer=False)])
