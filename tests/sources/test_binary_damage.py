"""Damaged binary files of every kind: what is read, or a sentence that names the file; nothing else happens.

Each kind of file is written, has one to three accidents, is read and made fields of. No other exception than
`InputError` comes out, no file takes seconds, none takes memory that it has no bytes for.
"""

import gzip
import random
import resource
import signal
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from tests.sources.archive.make import PACKED, tar_of, zip_of
from zstruct.errors import InputError
from zstruct.sources import expand
from zstruct.sources.normalize.normalize import ReadOptions, normalize
from zstruct.sources.options import SourceOptions

# Not in the middle of things that others begin with, so that they are often hit: sizes, shapes, lengths.
ODD = [
    b"\0", b"\xff" * 4, b"\xff" * 8, b"\0" * 8, b"\x80", b"\x01\0\0\0", b"\0\0\0\x80", b"\0\0\0\0\0\0\0\x80",
    b"(1, 3)", b"'<f4'", b"'|O'", b"1e999", b"nan", b"PK\x03\x04", b"\x93NUMPY", b"\x89HDF", b"TREE", b"SNOD",
    b"OHDR", b"- of Ulm", b"SQLite", b"ustar", b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"BZh9", b"cos\nsystem\n",
]  # fmt: skip
_SECONDS, _BYTES = 20, 3 << 30


@dataclass(frozen=True)
class Kind:
    """A kind of file: what writes it into a folder, how it is read, whether checksums are all over it."""

    write: Callable[[Path], Path]
    options: Mapping[str, Any] = field(default_factory=dict)
    units: Any = field(default_factory=dict)
    is_sealed: bool = False
    needs: str | None = None


def molecules(n: int = 7) -> list[Atoms]:
    rng = np.random.default_rng(0)
    frames = []
    for k in range(n):
        atoms = Atoms(rng.choice([1, 6, 8], 1 + k % 3), rng.normal(size=(1 + k % 3, 3)).round(3))
        if k % 2:
            atoms.set_cell(np.eye(3) * 9)
            atoms.pbc = True
        atoms.calc = SinglePointCalculator(atoms, energy=float(k), forces=rng.normal(size=(len(atoms), 3)))
        atoms.info["config_type"] = f"c{k % 2}"
        frames.append(atoms)
    return frames


def exported(format: str, name: str, *fields: str, **options: Any) -> Callable[[Path], Path]:
    """Return what writes structures as `zstruct.export` does."""

    def write(folder: Path) -> Path:
        store = folder.parent / f"{folder.name}.zarr"
        if not store.exists():
            zstruct.build(molecules(), store, progress=False)
        zstruct.export(store, folder / name, format, fields=fields or None, progress=False, **options)
        return folder / name

    return write


def compressed_npz(folder: Path) -> Path:
    path = exported("npz", "b.npz")(folder)
    arrays = dict(np.load(path))
    path.unlink()
    np.savez_compressed(folder / "a.npz", **arrays)
    return folder / "a.npz"


def by_formula(folder: Path) -> Path:
    """Write groups as SPICE has them."""
    import h5py

    rng = np.random.default_rng(0)
    with h5py.File(folder / "a.h5", "w") as file:
        for k in range(4):
            group = file.create_group(f"m{k}")
            group["atomic_numbers"] = rng.integers(1, 9, 2 + k).astype(np.int16)
            group["smiles"] = [f"C{k}"]
            for name, shape in (("conformations", (3, 2 + k, 3)), ("dft_total_energy", (3,))):
                group[name] = rng.normal(size=shape).astype(np.float32)
                group[name].attrs["units"] = "bohr" if name == "conformations" else "hartree"
    return folder / "a.h5"


def compressed_hdf5(folder: Path) -> Path:
    import h5py

    rng = np.random.default_rng(0)
    with h5py.File(folder / "a.h5", "w", libver="latest") as file:
        for k in range(4):
            for name, rows in (("positions", rng.normal(size=(3, 3))), ("species", np.array([8, 1, 1]))):
                options = {"compression": "gzip", "fletcher32": True, "shuffle": True}
                file.create_dataset(f"{k}/{name}", data=rows, **options)
    return folder / "a.h5"


def data_frame(folder: Path) -> Path:
    frames = molecules()
    table = pd.DataFrame(
        {
            "ase_atoms": [Atoms(one.numbers, one.positions) for one in frames],
            "energy": [float(k) for k in range(len(frames))],
            "forces": [one.get_forces() for one in frames],
        }
    )
    table.to_pickle(folder / "a.pckl.gzip", compression=None)
    path = folder / "a.pckl.gzip"
    path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    return path


def plain_data_frame(folder: Path) -> Path:
    path = data_frame(folder)
    (folder / "a.pckl").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
    return folder / "a.pckl"


def archive(kind: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        members = []
        for k, format in enumerate(("xyz", "npz", "traj", "xyz")):
            path = exported(format, f"{k}.{format}")(folder)
            members.append((path.name, path.read_bytes()))
            path.unlink()
        path = folder / f"a{kind}"
        path.write_bytes(zip_of(members) if kind == ".zip" else PACKED[kind](tar_of(members)))
        return path

    return write


_ASE = {"units": "ase"}
KINDS = {
    "NPZ, padded": Kind(exported("npz", "a.npz"), is_sealed=True),
    "NPZ, packed": Kind(exported("npz-ragged", "a.npz"), is_sealed=True),
    "NPZ, compressed": Kind(compressed_npz, is_sealed=True),
    "HDF5, flat": Kind(exported("hdf5-flat", "a.h5"), needs="h5py"),
    "HDF5, a group each": Kind(exported("hdf5", "a.h5"), needs="h5py"),
    "HDF5 of MACE": Kind(exported("mace-hdf5", "a.h5"), needs="h5py"),
    "HDF5, groups by formula": Kind(by_formula, needs="h5py"),
    "HDF5, compressed": Kind(compressed_hdf5, needs="h5py"),
    "DeePMD npy": Kind(exported("deepmd-npy", "a")),
    "packed memmap": Kind(exported("packed-memmap", "a", "energy", "forces"), **_ASE),
    "pacemaker": Kind(data_frame, {"allow_pickle": True}, is_sealed=True),
    "pacemaker, not compressed": Kind(plain_data_frame, {"allow_pickle": True}),
    "ASE trajectory": Kind(exported("traj", "a.traj")),
    "ASE database": Kind(exported("ase-db", "a.db")),
    "ASE database, LMDB": Kind(exported("aselmdb", "a.aselmdb"), needs="ase_db_backends"),
    **{f"archive, {kind}": Kind(archive(kind)) for kind in (*PACKED, ".zip")},
}


def accident(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes of a file after an accident: at its beginning or its end more often than elsewhere."""
    if not data:
        return rng.choice(ODD)
    at = rng.randrange(len(data))
    if rng.random() < 0.5:
        at = rng.randrange(min(len(data), 512))
        at = at if rng.random() < 0.6 else len(data) - 1 - at
    length = rng.choice([1, 1, 2, 8, 64, 512])
    kind = rng.randrange(7)
    if kind < 2:
        return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
    if kind == 2:
        return data[:at] + data[at + length :]
    if kind == 3:
        return data[:at]
    if kind == 4:
        piece = rng.choice(ODD)
        return data[:at] + piece + data[at + len(piece) :]
    if kind == 5:
        return data[:at] + rng.choice(ODD) + data[at:]
    return data[:at] + rng.randbytes(length) + data[at + length :]


def read(path: Path, kind: Kind) -> list[Any]:
    """Return what all frames are, as fields."""
    sources, _ = expand(str(path), options=SourceOptions(**kind.options))
    done = []
    for source in sources:
        for piece in source.scan():
            for raw in source.read(piece):
                packed, bad = normalize(raw, ReadOptions(units=kind.units), source.label)
                done.append((packed, bad))
    return done


def shown(done: list[Any]) -> str:
    return repr(
        [
            (
                packed.n_atoms.tolist(),
                {name: column.tolist() for name, column in sorted(packed.columns.items())},
                {name: mask.tolist() for name, mask in sorted(packed.present.items())},
                packed.categories,
                [one.frame for one in bad],
            )
            for packed, bad in done
        ]
    )


@contextmanager
def bounded():
    """Have no more memory, and no more time."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _BYTES, before[1]))

    def late(*_: Any) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("name", KINDS)
def test_accidents(tmp_path: Path, name: str, long_run: bool) -> None:
    kind = KINDS[name]
    if kind.needs:
        pytest.importorskip(kind.needs)
    folder = tmp_path / "whole"
    folder.mkdir()
    path = kind.write(folder)
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    whole = [file.read_bytes() for file in files]
    intact = shown(read(path, kind))
    assert "InputError" not in intact
    rng = random.Random(name)
    n = 3000 if long_run else 12
    refusals, n_bad, slowest = [], 0, 0.0
    with warnings.catch_warnings(), bounded():
        warnings.simplefilter("error")
        for turn in range(n):
            k = rng.randrange(len(files))
            data = whole[k]
            for _ in range(rng.choice([1, 1, 2, 3])):
                data = accident(data, rng)
            files[k].write_bytes(data)
            began = time.perf_counter()
            try:
                done = read(path, kind)
                n_bad += any(bad for _, bad in done)
                found = shown(done)
            except InputError as error:
                refusals.append(str(error))
            except BaseException as error:
                raise AssertionError(f"accident {turn} of {name!r}: {error!r}") from error
            else:
                assert found == intact or not kind.is_sealed, turn
            slowest = max(slowest, time.perf_counter() - began)
            files[k].write_bytes(whole[k])
    assert refusals or n_bad
    assert [refusal for refusal in refusals if str(path) not in refusal] == []
    assert slowest < _SECONDS / 4
    assert shown(read(path, kind)) == intact
