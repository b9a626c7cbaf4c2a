"""Duplicates: small structures a second and core, in random order, one in a hundred of them twice.

Molecules of 18 atoms, crystals of 16, and a trajectory: one molecule that moves by a normal step of 0.05
angstrom from frame to frame, which is the worst for fingerprints. Copies are turned, moved and in another
order, with displacements up to the tolerance. How many of them are found is printed, and what else is. Then
crystals with supercells=True, of which none is one, and molecules with forces.
"""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

import zstruct
from tests.benchmarks.common import machine

_N = 200_000
_COPIES = 100  # one structure of so many is there twice
_TOLERANCE = 0.01


def main(scale: float = 1.0) -> None:
    print(machine())
    zstruct.warmup()
    n = int(_N * scale)
    draw = np.random.default_rng(0)
    molecule = 4 * draw.random((18, 3))
    sets = {
        "molecules, 18 atoms": (_positions(draw, n, 18, 5.0), None),
        "crystals, 16 atoms": (_positions(draw, n, 16, 6.0), 6.0),
        "trajectory, 18 atoms": (molecule + draw.normal(0, 0.05, (n, 18, 3)), None),
        "crystals, supercells": (_positions(draw, n, 16, 6.0), 6.0),
        "molecules, forces": (_positions(draw, n, 18, 5.0), None),
    }
    print(f"{'':22}{'structures':>11}{'copies':>8}{'found':>8}{'other':>7}{'s':>7}{'1/s/core':>10}")
    for name, (positions, size) in sets.items():
        folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
        try:
            print(f"{name:22}" + _row(draw, folder / "a.zarr", positions, size, name))
        finally:
            shutil.rmtree(folder)


def _positions(draw: np.random.Generator, n: int, atoms: int, size: float) -> np.ndarray:
    return size * draw.random((n, atoms, 3))


def _row(draw: np.random.Generator, path: Path, positions: np.ndarray, size: float | None, name: str) -> str:
    n, atoms, _ = positions.shape
    numbers = np.tile(np.sort(draw.choice([1, 6, 8], atoms)), (n, 1))
    cells = None if size is None else np.tile(size * np.eye(3), (n, 1, 1))
    originals = draw.choice(n, n // _COPIES, replace=False)
    turns, _ = np.linalg.qr(draw.normal(size=(len(originals), 3, 3)))
    turns *= np.linalg.det(turns)[:, None, None]
    steps = draw.normal(size=(len(originals), atoms, 3))
    steps *= (
        0.99 * _TOLERANCE * draw.random((len(originals), atoms, 1)) / np.linalg.norm(steps, axis=2)[..., None]
    )
    copies = (positions[originals] + steps) @ turns.transpose(0, 2, 1) + draw.normal(
        0, 9, (len(originals), 1, 3)
    )
    shuffled = draw.permuted(np.tile(np.arange(atoms), (len(originals), 1)), axis=1)
    copies = np.take_along_axis(copies, shuffled[..., None], axis=1)
    everything = np.concatenate([positions, copies])
    elements = np.concatenate([numbers, np.take_along_axis(numbers[originals], shuffled, axis=1)])
    given = {}
    if cells is not None:
        given = {"cell": np.concatenate([cells, cells[originals] @ turns.transpose(0, 2, 1)])}
        given["pbc"] = np.ones((len(everything), 3), bool)
    if "forces" in name:
        given["forces"] = draw.normal(size=everything.shape)
    order = draw.permutation(len(everything))
    source = zstruct.sources.arrays(
        elements[order].ravel(),
        everything[order].reshape(-1, 3),
        atoms * np.arange(len(everything) + 1),
        **{field: _packed(field, values[order]) for field, values in given.items()},
    )
    zstruct.build(source, path, progress=False)
    began, used = time.perf_counter(), time.process_time()
    found = zstruct.duplicates(path, _TOLERANCE, supercells="supercells" in name)
    seconds, used = time.perf_counter() - began, time.process_time() - used
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    codes = found(zstruct.Store(path))
    hits = int((codes[back[originals]] == codes[back[n:]]).sum())
    others = int(found.sizes.sum()) - 2 * hits
    rate = len(everything) / used
    return f"{len(everything):11,}{len(originals):8,}{hits:8,}{others:7,}{seconds:7.2f}{rate:10,.0f}"


def _packed(field: str, values: np.ndarray) -> np.ndarray:
    """Return what has a row for each atom end to end."""
    return values.reshape(-1, 3) if field == "forces" else values
