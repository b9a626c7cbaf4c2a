"""A store of a million structures: opening, showing, a mean over all of it, a first batch."""

import shutil
import tempfile
from pathlib import Path

import numpy as np

import zstruct
from tests.benchmarks.common import alternate, machine, median, show
from zstruct.building.encoding import Encoding
from zstruct.building.finalize import edge_arrays
from zstruct.schema import FIELDS
from zstruct.store.chunks import ChunkGrid, choose_grid
from zstruct.store.spec import spec_of
from zstruct.store.write import create, finish, write_array


class _Counts:
    """What `edge_arrays` needs to know."""

    encoding = Encoding()

    def __init__(self, counts: np.ndarray):
        self.counts = counts
        self.offsets = np.concatenate([[0], np.cumsum(counts)])

    def edge(self, name: str, row_bytes: int, rows: int) -> ChunkGrid:
        return choose_grid(rows, row_bytes)


def synthetic(path: Path, n_structures: int, atoms: tuple[int, int] = (15, 25), seed: int = 0) -> None:
    """Write a store of structures of so many atoms, by default 15 to 25, with random contents."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(*atoms, n_structures, endpoint=True)
    n_atoms = int(counts.sum())
    numbers = rng.choice(np.array([1, 6, 7, 8], dtype=np.uint8), n_atoms)
    values = {
        "numbers": numbers,
        "positions": rng.normal(0, 4, (n_atoms, 3)),
        "forces": rng.normal(0, 1, (n_atoms, 3)),
        "energy": rng.normal(-100, 3, n_structures) * counts,
        "cell": np.zeros((n_structures, 3, 3)),
        "pbc": np.zeros((n_structures, 3), dtype=bool),
    }
    coverage = {"coverage": n_structures}
    specs = [spec_of(FIELDS[n], n, len(v), coverage) for n, v in values.items()]
    edges = edge_arrays(_Counts(counts))  # type: ignore[arg-type]
    create(path, specs + [spec for spec, _ in edges], {"n_structures": n_structures, "n_atoms": n_atoms})
    for spec in specs:
        write_array(path, spec, values[spec.path])
    for spec, rows in edges:
        write_array(path, spec, rows)
    found = np.bincount(numbers)
    species = {s: int(found[z]) for s, z in (("H", 1), ("C", 6), ("N", 7), ("O", 8))}
    build = {"options": {}, "dropped": {}, "n_skipped": 0, "skipped": []}
    finish(path, {"species": species, "digest": "", "build": build}, {})


def main(scale: float = 1.0) -> None:
    print(machine())
    n = int(1_000_000 * scale)
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        path = folder / "million.zarr"
        synthetic(path, n)
        dataset = zstruct.open(path)  # the first call imports dask.array
        seconds = alternate(
            {
                "zstruct.open": lambda: zstruct.open(path),
                "repr": lambda: repr(dataset),
                "`repr` in Jupyter": lambda: dataset._repr_html_(),
                "(ds.energy / ds.n_atoms).mean()": lambda: (dataset.energy / dataset.n_atoms).mean(),
                "ds.energy[ds.energy < -2000]": lambda: dataset.energy[dataset.energy < -2000],
                'ds.energy.groupby("n_atoms").mean()': lambda: dataset.energy.groupby("n_atoms").mean(),
                "ds.zs.where(ds.energy < -2000)": lambda: dataset.zs.where(dataset.energy < -2000),
                "ds.zs.to_dataframe()": lambda: dataset.zs.to_dataframe(),
                "ds.zs.isel(structure=slice(1000)).load()": lambda: dataset.zs.isel(
                    structure=slice(1000)
                ).load(),
                "ds.zs.to_ase(n // 2)": lambda: dataset.zs.to_ase(n // 2),
                "zstruct.ZarrStructureDataset(path)": lambda: zstruct.ZarrStructureDataset(path),
            }
        )
        rows = [
            [name if "`" in name else f"`{name}`", f"{1e3 * median(s):,.1f}"] for name, s in seconds.items()
        ]
        show(f"{n:,} structures of 15-25 atoms", rows, ["", "ms"])
    finally:
        shutil.rmtree(folder)
