"""Make the store of version 0.1 that later versions have to read, train from and verify.

    python tests/data/make_store_0_1.py

was run once, with zstruct 0.1.0, and wrote ``store-0.1.zip``: a store of format 1.0 with every kind
of field and of group. `structures` says what is in it, for the tests that read it.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct

HERE = Path(__file__).resolve().parent


def structures():
    """Return 12 structures: periodic or not, and some of them without what others have."""
    rng = np.random.default_rng(1)
    frames = []
    for k in range(12):
        n = int(rng.integers(1, 7))
        periodic = k % 3 == 0
        atoms = Atoms(
            numbers=rng.choice([1, 8, 22], n),
            positions=np.round(rng.uniform(0, 6, (n, 3)), 8),
            cell=np.round(np.diag(rng.uniform(5, 8, 3)), 6) if periodic else None,
            pbc=periodic,
        )
        atoms.info["config_type"] = ("bulk", "cluster", "melt")[k % 3]
        atoms.info["serial"] = k
        if k % 2:  # integers, booleans and texts that some structures lack
            atoms.info["charge_state"] = k - 6
            atoms.info["converged"] = k % 4 == 1
            atoms.info["note"] = f"note {k}"
            atoms.arrays["site"] = np.arange(n) % 3
        results = {"energy": float(np.round(rng.normal(-50, 9), 6))}
        if k % 4:
            results["forces"] = np.round(rng.normal(size=(n, 3)), 8)
        if periodic:
            results["stress"] = np.round(rng.normal(size=6), 8)
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    return frames


def main():
    """Write the store, as one zip file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "store-0.1.zarr")
        zstruct.build(structures(), path, progress=False)
        chebyshev = zstruct.features.Chebyshev(
            ["H", "O", "Ti"], rad_order=3, rad_cutoff=4.0, ang_order=2, ang_cutoff=3.0
        )
        zstruct.featurize(path, chebyshev, name="cheb", derivatives=True, progress=False)
        zstruct.featurize(path, zstruct.features.NeighborList(4.0), name="near", progress=False)
        zstruct.split(path, (0.5, 0.25, 0.25), seed=3, name="default")
        zstruct.fit_references(path, ridge=1e-3, name="default")
        zstruct.statistics(path, name="all")
        shutil.make_archive(str(HERE / "store-0.1"), "zip", folder, path.name)


if __name__ == "__main__":
    main()
