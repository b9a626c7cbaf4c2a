"""Building stores: extended XYZ against ase.io, objects against stacking them, memory, start-up."""

import shutil
import tempfile
import textwrap
from pathlib import Path

import numpy as np

import zstruct
from tests.benchmarks.common import alternate, fresh, machine, median, show, write_molecules


def main(scale: float = 1.0) -> None:
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        _text(folder, int(100_000 * scale))
        _objects(folder, int(100_000 * scale))
        _memory(folder, scale)
        _small(folder)
    finally:
        shutil.rmtree(folder)


def _text(folder: Path, n_frames: int) -> None:
    import ase.io

    path = folder / "molecules.xyz"
    size = write_molecules(path, n_frames, 20, 30)
    part = folder / "part.xyz"  # ASE gets a tenth: its speed does not depend on the number of frames
    write_molecules(part, n_frames // 10, 20, 30)
    out = folder / "molecules.zarr"
    zstruct.build(part, out, progress=False)
    seconds = alternate(
        {
            "ase.io.iread (parse only)": lambda: [None for _ in ase.io.iread(part)],
            "zstruct.build": lambda: zstruct.build(path, out, overwrite=True, progress=False),
        }
    )
    ase_rate = n_frames / 10 / median(seconds["ase.io.iread (parse only)"])
    rate = n_frames / median(seconds["zstruct.build"])
    rows = [
        ["ase.io.iread, one core", f"{ase_rate:,.0f}", f"{ase_rate * size / n_frames / 1e6:.1f}", "1"],
        ["zstruct.build", f"{rate:,.0f}", f"{rate * size / n_frames / 1e6:.0f}", f"{rate / ase_rate:.1f}"],
    ]
    title = f"extended XYZ, {n_frames:,} frames of 20-30 atoms with forces, {size / 1e6:.0f} MB"
    show(title, rows, ["", "frames/s", "MB/s of text", "ratio"])


def _objects(folder: Path, n_frames: int) -> None:
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    rng = np.random.default_rng(0)
    frames = []
    for _ in range(n_frames):
        atoms = Atoms(numbers=rng.integers(1, 9, 20), positions=rng.normal(0, 4, (20, 3)))
        atoms.calc = SinglePointCalculator(atoms, energy=rng.normal(), forces=rng.normal(size=(20, 3)))
        frames.append(atoms)
    out = folder / "objects.zarr"

    def stack() -> list[np.ndarray]:
        columns: list[list] = [[] for _ in range(6)]
        for atoms in frames:
            for column, value in zip(
                columns,
                (
                    atoms.get_atomic_numbers(),
                    atoms.get_positions(),
                    atoms.get_cell().array,
                    atoms.get_pbc(),
                    atoms.get_potential_energy(),
                    atoms.get_forces(),
                ),
                strict=True,
            ):
                column.append(value)
        return [
            np.concatenate(c) if np.ndim(c[0]) and k in (0, 1, 5) else np.array(c)
            for k, c in enumerate(columns)
        ]

    def stack_attributes() -> list[np.ndarray]:
        numbers = np.concatenate([a.arrays["numbers"] for a in frames])
        positions = np.concatenate([a.arrays["positions"] for a in frames])
        cells = np.array([a.cell.array for a in frames])
        pbc = np.array([a.pbc for a in frames])
        energies = np.array([a.calc.results["energy"] for a in frames])
        forces = np.concatenate([a.calc.results["forces"] for a in frames])
        return [numbers, positions, cells, pbc, energies, forces]

    seconds = alternate(
        {
            "loop and stack, ASE's getters": stack,
            "loop and stack, bare attributes": stack_attributes,
            "zstruct.build": lambda: zstruct.build(frames, out, overwrite=True, progress=False),
        }
    )
    base = median(seconds["loop and stack, ASE's getters"])
    rows = [[name, f"{median(s):.2f}", f"{median(s) / base:.2f}"] for name, s in seconds.items()]
    show(f"{n_frames:,} ase.Atoms of 20 atoms with energy and forces", rows, ["", "s", "ratio"])


def _memory(folder: Path, scale: float) -> None:
    rows = []
    for n_frames in (int(100_000 * scale), int(600_000 * scale)):
        path = folder / "large.xyz"
        size = write_molecules(path, n_frames, 20, 30)
        _, peak = fresh(
            "import sys, zstruct; zstruct.build(sys.argv[1], sys.argv[2], overwrite=True, progress=False)",
            path,
            folder / "large.zarr",
        )
        rows.append([f"{size / 1e9:.2f} GB", f"{peak:,.0f}"])
        path.unlink()
    show("peak memory of a build", rows, ["input", "MiB"])


def _small(folder: Path) -> None:
    path = folder / "small.xyz"
    write_molecules(path, 500, 5, 20)
    code = """
        import sys, time
        import zstruct
        began = time.perf_counter()
        zstruct.build(sys.argv[1], sys.argv[2], overwrite=True, progress=False)
        print(time.perf_counter() - began)
    """
    cache = f"import os; os.environ['NUMBA_CACHE_DIR'] = {str(folder / 'numba-cache')!r}\n"
    rows = []
    for name, runs in (("first run ever (no kernel is kept)", 1), ("later runs", 5)):
        out = folder / "small.zarr"
        seconds = [float(fresh(cache + textwrap.dedent(code), path, out)[0]) for _ in range(runs)]
        rows.append([name, f"{median(seconds):.2f}"])
    show("500 molecules, fresh process, after `import zstruct`", rows, ["", "s"])
