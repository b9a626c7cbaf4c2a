"""Files in every format: how each is written, and who else reads or writes it."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import zstruct
from tests.benchmarks import run_files
from tests.benchmarks.workloads import molecules

_ATOMS = 50  # of crystals, which are all of one composition
_LABELS = ("energy", "forces")


@dataclass(frozen=True)
class FormatFile:
    """A format of arrays.

    Parameters
    ----------
    name
        What to call it.
    n
        Structures to write.
    write
        Writes so many structures into a folder; returns the path.
    options
        Of the build.
    """

    name: str
    n: int
    write: Callable[[int, Path], Path]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TextFile:
    """A format of text.

    Parameters
    ----------
    name
        What to call it.
    write
        Writes so many structures into a new folder; returns the path.
    peers
        What else reads it, by name.
    n, share
        Structures to write; others read one of so many.
    options
        Of the source.
    asked
        How many times as fast as others it is to be; None where nobody has asked.
    """

    name: str
    write: Callable[[int, Path], Path]
    peers: Mapping[str, Callable[[Path], object]] = field(default_factory=dict)
    n: int = 10_000
    share: int = 20
    options: Mapping[str, Any] = field(default_factory=dict)
    asked: float | None = 10.0


@dataclass(frozen=True)
class OutFile:
    """A format that is written.

    Parameters
    ----------
    name, format, target
        What to call it, what `zstruct.export` calls it, and what the file is called.
    store
        Makes a store of so many structures in a folder; returns its path.
    fields
        What is written beside the geometry.
    peers
        What makes writers of some `ase.Atoms` to a path.
    n, share
        Structures to write; others write one of so many.
    asked
        How many times as fast as others it is to be; None where nobody has asked.
    """

    name: str
    format: str
    target: str
    store: Callable[[int, Path], Path]
    fields: tuple[str, ...] = _LABELS
    peers: Mapping[str, Callable[[list[Any]], Callable[[Path], object]]] = field(default_factory=dict)
    n: int = 400_000
    share: int = 20
    asked: float | None = 10.0


def size_of(path: Path) -> float:
    """Return the MB of a file, or of all in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def sample_path(path: Path) -> Path:
    """Return the path that others are given: of systems in a folder, the first."""
    return next(path.iterdir()) if path.is_dir() and not (path / "type.raw").exists() else path


def _crystals(n: int) -> zstruct.sources.Source:
    """Return crystals of one composition, drawn at random, of eight decimals as text has them."""
    rng = np.random.default_rng(0)
    return zstruct.sources.arrays(
        positions=rng.uniform(0, 9, (n, _ATOMS, 3)).round(8),
        forces=rng.normal(size=(n, _ATOMS, 3)).round(8),
        energy=rng.normal(size=n).round(8),
        stress=rng.normal(size=(n, 6)).round(8),
        numbers=np.repeat([8, 22], _ATOMS // 2),
        cell=9 * np.eye(3),
        pbc=True,
    )


def _exported(
    format: str, name: str, source: Callable[[int], Any], *fields: str, encoding: Any = None
) -> Any:
    """Return what writes structures by `zstruct.export`."""

    def write(n: int, folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        store = folder / "store.zarr"
        zstruct.build(source(n), store, encoding=encoding, progress=False)
        zstruct.export(store, folder / name, format, fields=fields, progress=False)
        shutil.rmtree(store)
        return folder / name

    return write


def _molecules(format: str, name: str) -> Callable[[int, Path], Path]:
    return _exported(format, name, lambda n: molecules(n).source(), *_LABELS, encoding="float32")


def _by_formula(n: int, folder: Path) -> Path:
    """Write groups of a thousand conformations each, as ANI and SPICE have them."""
    import h5py

    rng = np.random.default_rng(0)
    each = 1000
    with h5py.File(folder / "ani.h5", "w") as file:
        for k in range(max(1, n // each)):
            group, atoms = file.create_group(f"molecule {k}"), 5 + k % 25
            group["species"] = rng.choice(np.array([1, 6, 7, 8]), atoms)
            for name, shape in (("coordinates", (atoms, 3)), ("forces", (atoms, 3)), ("energies", ())):
                group[name] = rng.normal(size=(each, *shape)).astype(np.float32)
    return folder / "ani.h5"


def _deepmd_npy(n: int, folder: Path) -> Path:
    """Write a system in single precision."""
    system = folder / "system"
    (system / "set.000").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, width in (("coord", 3 * _ATOMS), ("force", 3 * _ATOMS), ("energy", 1)):
        np.save(system / "set.000" / name, rng.normal(size=(n, width)).astype(np.float32))
    (system / "nopbc").touch()
    (system / "type.raw").write_text("0 1 " * (_ATOMS // 2))
    (system / "type_map.raw").write_text("O Ti")
    return system


_ASE = {"units": "ase"}
BINARY = (
    FormatFile("NPZ, padded", 400_000, _molecules("npz", "a.npz")),
    FormatFile("NPZ, packed", 400_000, _molecules("npz-ragged", "a.npz")),
    FormatFile("HDF5, flat", 400_000, _molecules("hdf5-flat", "a.h5")),
    FormatFile("HDF5, groups by formula", 400_000, _by_formula, _ASE),
    FormatFile("HDF5, a group each", 100_000, _molecules("hdf5", "a.h5")),
    FormatFile("HDF5 of MACE", 100_000, _molecules("mace-hdf5", "a.h5")),
    FormatFile("packed memmap", 400_000, _molecules("packed-memmap", "a"), _ASE),
    FormatFile("Parquet", 400_000, _molecules("parquet", "a.parquet")),
    FormatFile("DeePMD npy", 200_000, _deepmd_npy),
)


def _dump(n: int, folder: Path) -> Path:
    """Write a dump as LAMMPS does, in six digits and in no order."""
    rng = np.random.default_rng(0)
    box = "ITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\nITEM: ATOMS id type x y z fx fy fz\n"
    folder.mkdir()
    with open(folder / "a.dump", "w") as file:
        for k in range(n):
            values = np.column_stack([rng.uniform(0, 9, (_ATOMS, 3)), rng.normal(size=(_ATOMS, 3))])
            rows = [
                f"{i + 1} {i % 2 + 1} " + " ".join(f"{v:g}" for v in values[i])
                for i in rng.permutation(_ATOMS)
            ]
            text = "\n".join(rows)
            file.write(f"ITEM: TIMESTEP\n{k}\nITEM: NUMBER OF ATOMS\n{_ATOMS}\n{box}{text}\n")
    return folder / "a.dump"


def _raw(n: int, folder: Path) -> Path:
    """Write a system as text, as dpdata does."""
    import dpdata

    systems = _exported("deepmd-npy", "systems", _crystals, *_LABELS, "stress")(n, folder)
    dpdata.LabeledSystem(str(next(systems.iterdir())), fmt="deepmd/npy").to("deepmd/raw", str(folder / "raw"))
    shutil.rmtree(systems)
    return folder / "raw"


def _by_dpdata(format: str, labeled: bool = True) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        import dpdata

        return (dpdata.LabeledSystem if labeled else dpdata.System)(str(path), fmt=format)

    return read


def _by_ase(format: str) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        import ase.io

        return ase.io.read(path, ":", format=format)

    return read


TEXT = (
    TextFile(
        "RuNNer and n2p2, input.data",
        _exported("runner", "input.data", _crystals, *_LABELS),
        {"ASE": _by_ase("runnerdata"), "dpdata": _by_dpdata("n2p2")},
    ),
    TextFile("MTP, .cfg", _exported("mtp-cfg", "train.cfg", _crystals, *_LABELS, "stress")),
    TextFile(
        "LAMMPS dump",
        _dump,
        {"ASE": _by_ase("lammps-dump-text"), "dpdata": _by_dpdata("lammps/dump", labeled=False)},
    ),
    TextFile("DeePMD raw", _raw, {"dpdata": _by_dpdata("deepmd/raw")}),
    TextFile("XSF", _exported("xsf", "a.xsf", _crystals, *_LABELS), {"ASE": _by_ase("xsf")}),
    TextFile("extended XYZ", _exported("xyz", "a.xyz", _crystals, *_LABELS), {"ASE": _by_ase("extxyz")}),
    TextFile(
        "VASP, OUTCAR",
        run_files.outcar,
        {"ASE": _by_ase("vasp-out"), "dpdata": _by_dpdata("vasp/outcar")},
        n=2_000,
    ),
    TextFile(
        "VASP, vasprun.xml",
        run_files.vasprun,
        {"ASE": _by_ase("vasp-xml"), "dpdata": _by_dpdata("vasp/xml")},
        n=2_000,
    ),
    TextFile("CP2K, -pos and -frc", run_files.cp2k_pair),
    TextFile("CP2K, output", run_files.cp2k_output, n=2_000),
    TextFile("JSON of pymatgen", run_files.pymatgen_json, n=2_000),
    TextFile("pacemaker", run_files.pacemaker, n=2_000, options={"allow_pickle": True}),
    TextFile("ASE trajectory", _molecules("traj", "a.traj"), {"ASE": _by_ase("traj")}, n=20_000, asked=None),
    TextFile("ASE database", _molecules("ase-db", "a.db"), {"ASE": _by_ase("db")}, n=4_000, asked=None),
    TextFile("ASE database, LMDB", _molecules("aselmdb", "a.aselmdb"), n=4_000, asked=None),
)


def _store_of(source: Callable[[int], Any], encoding: Any = None) -> Callable[[int, Path], Path]:
    """Return what makes a store."""

    def make(n: int, folder: Path) -> Path:
        zstruct.build(source(n), folder / "store.zarr", encoding=encoding, progress=False)
        return folder / "store.zarr"

    return make


_of_molecules = _store_of(lambda n: molecules(n).source(), "float32")
_of_crystals = _store_of(_crystals)
BINARY_OUT = (
    OutFile("NPZ, padded", "npz", "a.npz", _of_molecules),
    OutFile("NPZ, packed", "npz-ragged", "a.npz", _of_molecules),
    OutFile("HDF5, flat", "hdf5-flat", "a.h5", _of_molecules),
    OutFile("HDF5, a group each", "hdf5", "a.h5", _of_molecules, n=20_000),
    OutFile("HDF5 of MACE", "mace-hdf5", "a.h5", _of_molecules, n=20_000),
    OutFile("packed memmap", "packed-memmap", "a", _of_molecules),
    OutFile("Parquet", "parquet", "a.parquet", _of_molecules),
    OutFile("DeePMD npy", "deepmd-npy", "a", _of_crystals, n=100_000),
)


def _ase_writer(format: str) -> Callable[[list[Any]], Callable[[Path], object]]:
    def of(some: list[Any]) -> Callable[[Path], object]:
        import ase.io

        return lambda out: ase.io.write(out, some, format=format)

    return of


def _dpdata_writer(format: str) -> Callable[[list[Any]], Callable[[Path], object]]:
    def of(some: list[Any]) -> Callable[[Path], object]:
        import dpdata

        system = dpdata.LabeledSystem()
        for atoms in some:
            system.append(dpdata.LabeledSystem(atoms, fmt="ase/structure"))
        return lambda out: system.to(format, str(out))

    return of


TEXT_OUT = (
    OutFile(
        "extended XYZ",
        "xyz",
        "a.xyz",
        _of_crystals,
        (*_LABELS, "stress"),
        {"ASE": _ase_writer("extxyz")},
        10_000,
    ),
    OutFile(
        "RuNNer and n2p2, input.data",
        "runner",
        "input.data",
        _of_crystals,
        peers={"ASE": _ase_writer("runnerdata"), "dpdata": _dpdata_writer("n2p2")},
        n=10_000,
    ),
    OutFile("XSF", "xsf", "a.xsf", _of_crystals, ("forces",), {"ASE": _ase_writer("xsf")}, 10_000),
    OutFile("MTP, .cfg", "mtp-cfg", "train.cfg", _of_crystals, (*_LABELS, "stress"), n=10_000),
    OutFile(
        "ASE trajectory",
        "traj",
        "a.traj",
        _of_crystals,
        peers={"ASE": _ase_writer("traj")},
        n=4_000,
        asked=None,
    ),
    OutFile(
        "ASE database",
        "ase-db",
        "a.db",
        _of_crystals,
        peers={"ASE": _ase_writer("db")},
        n=1_000,
        asked=None,
    ),
    OutFile("ASE database, LMDB", "aselmdb", "a.aselmdb", _of_crystals, n=1_000, asked=None),
)
