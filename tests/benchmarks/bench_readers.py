"""Readers of formats of potentials and of LAMMPS against ASE and dpdata, MB per CPU-second.

What is timed is reading alone: into columns here, into objects there. DeePMD's arrays are built into a store,
beside reading the files, hashing them by SHA-256 and compressing them, and nothing else.
"""

import shutil
import tempfile
import warnings
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numcodecs
import numpy as np

import zstruct
from tests.benchmarks.common import costs, machine, show
from zstruct.sources import DeePMDSource, LAMMPSDumpSource, MTPSource, RunnerSource

_ATOMS = 50
_SHARE = 20  # the others read one structure of so many
_LABELS = ("energy", "forces", "stress")


def main(scale: float = 1.0) -> None:
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        n = max(_SHARE, int(10_000 * scale))
        rows = [row for make in (_runner, _mtp, _dump, _raw) for row in make(folder, n)]
        header = ["", "", "MB per CPU-second", "zstruct is faster by"]
        show(f"{n:,} structures of {_ATOMS} atoms", rows, header)
        _arrays(folder, 10 * n)
    finally:
        shutil.rmtree(folder)


def _store(folder: Path, n: int) -> Path:
    """Return a store of crystals of one composition, drawn at random."""
    path = folder / f"{n}.zarr"
    if not path.exists():
        rng = np.random.default_rng(0)
        arrays = {
            "positions": rng.uniform(0, 9, (n, _ATOMS, 3)).round(8),
            "forces": rng.normal(size=(n, _ATOMS, 3)).round(8),
            "energy": rng.normal(size=n).round(8),
            "stress": rng.normal(size=(n, 6)).round(8),
            "numbers": np.repeat([8, 22], _ATOMS // 2),
            "cell": 9 * np.eye(3),
            "pbc": True,
        }
        zstruct.build(zstruct.sources.ArraySource(arrays), path, progress=False)
    return path


def _exported(folder: Path, n: int, format: str, name: str) -> Path:
    store, path = _store(folder, n), folder / name
    if not path.exists():
        zstruct.export(store, path, format, fields=_LABELS, progress=False)
    return path


#: What a side does, and how many bytes it reads.
_Side = tuple[Callable[[], object], int]


def _compared(name: str, ours: _Side, others: dict[str, _Side], folder: Path) -> list[list[str]]:
    """Return rows of a table, one for each side."""
    sides = {"zstruct": ours, **others}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = costs({side: lambda _, run=run: run() for side, (run, _) in sides.items()}, folder)
    speeds = {side: nbytes / found[side].cpu / 1e6 for side, (_, nbytes) in sides.items()}
    return [
        [name, side, f"{speed:.1f}", f"{speeds['zstruct'] / speed:.1f}"] for side, speed in speeds.items()
    ]


def _read(source: zstruct.sources.FileSource) -> int:
    return sum(len(raw.frames) for piece in source.scan() for raw in source.read(piece))


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]))


def _runner(folder: Path, n: int) -> list[list[str]]:
    import ase.io

    path, some = _exported(folder, n, "runner", "input.data"), folder / "some"
    if not some.exists():
        some.mkdir()
    few = _exported(folder, n // _SHARE, "runner", "some/input.data")
    peers = {"ASE": (lambda: ase.io.read(few, ":", format="runnerdata"), _size(few))}
    return _compared("input.data", (lambda: _read(RunnerSource(path)), _size(path)), peers, folder)


def _mtp(folder: Path, n: int) -> list[list[str]]:
    path = _exported(folder, n, "mtp-cfg", "train.cfg")
    return _compared(".cfg of MLIP", (lambda: _read(MTPSource(path)), _size(path)), {}, folder)


def _dump(folder: Path, n: int) -> list[list[str]]:
    import ase.io
    import dpdata

    path, few = folder / "all.dump", folder / "some.dump"
    rng = np.random.default_rng(0)
    box = "ITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\nITEM: ATOMS id type x y z fx fy fz\n"
    with open(path, "w") as whole, open(few, "w") as some:
        for k in range(n):
            values = np.column_stack([rng.uniform(0, 9, (_ATOMS, 3)), rng.normal(size=(_ATOMS, 3))])
            rows = [
                f"{i + 1} {i % 2 + 1} " + " ".join(f"{v:g}" for v in values[i])
                for i in rng.permutation(_ATOMS)
            ]
            text = f"ITEM: TIMESTEP\n{k}\nITEM: NUMBER OF ATOMS\n{_ATOMS}\n{box}" + "\n".join(rows) + "\n"
            whole.write(text)
            if k % _SHARE == 0:
                some.write(text)
    peers = {
        "ASE": (lambda: ase.io.read(few, ":", format="lammps-dump-text"), _size(few)),
        "dpdata": (lambda: dpdata.System(str(few), fmt="lammps/dump"), _size(few)),
    }
    return _compared("LAMMPS dump", (lambda: _read(LAMMPSDumpSource(path)), _size(path)), peers, folder)


def _raw(folder: Path, n: int) -> list[list[str]]:
    import dpdata

    system = next(_exported(folder, n, "deepmd-npy", "systems").iterdir())
    path = folder / "raw"
    dpdata.LabeledSystem(str(system), fmt="deepmd/npy").to("deepmd/raw", str(path))
    peers = {"dpdata": (lambda: dpdata.LabeledSystem(str(path), fmt="deepmd/raw"), _size(path))}
    return _compared("DeePMD raw", (lambda: _read(DeePMDSource(path)), _size(path)), peers, folder)


def _arrays(folder: Path, n: int) -> None:
    """Compare building from single-precision arrays with what no builder can do without."""
    system = folder / "single" / "set.000"
    system.mkdir(parents=True)
    rng = np.random.default_rng(0)
    arrays = {"coord": rng.normal(size=(n, 3 * _ATOMS)), "force": rng.normal(size=(n, 3 * _ATOMS))}
    for name, values in {**arrays, "energy": rng.normal(size=n)}.items():
        np.save(system / name, values.astype(np.float32))
    (system.parent / "nopbc").touch()
    (system.parent / "type.raw").write_text("0 1 " * (_ATOMS // 2))
    (system.parent / "type_map.raw").write_text("O Ti")
    codec = numcodecs.Blosc("lz4", shuffle=numcodecs.Blosc.SHUFFLE)

    def floor(_: Path) -> None:
        for file in system.iterdir():
            data = file.read_bytes()
            sha256(data).digest()
            for start in range(0, len(data), 1 << 20):
                codec.encode(data[start : start + (1 << 20)])

    def build(out: Path) -> None:
        zstruct.build(system.parent, out, encoding="float32", progress=False)

    found = costs({"reading, hashing, compressing": floor, "zstruct.build": build}, folder)
    size, least = _size(system), found["reading, hashing, compressing"]
    rows = [
        [name, f"{size / cost.wall / 1e6:.0f}", f"{size / cost.cpu / 1e6:.0f}", f"{least.cpu / cost.cpu:.2f}"]
        for name, cost in found.items()
    ]
    title = f"DeePMD npy: {n:,} structures of {_ATOMS} atoms in single precision, {size / 1e6:.0f} MB"
    show(title, rows, ["", "MB/s", "MB per CPU-second", "of the floor"])
