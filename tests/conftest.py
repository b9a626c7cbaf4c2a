"""Fixtures shared by all tests: random structures, their files, small shards."""

import fcntl
import multiprocessing
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from tests.chromium import Browser, executable
from tests.handmade import data, featured, make_store, narrow_chunks, plain, source  # noqa: F401
from tests.kills import spawner  # noqa: F401
from tests.mixed import three  # noqa: F401
from tests.servers import bucket, folder_in_memory, s3_folder, s3_server, served_folder  # noqa: F401
from zstruct.store import chunks

collect_ignore = ["warm.py"]
# Only those that are named before its first process starts are loaded, whoever asks for that.
multiprocessing.set_forkserver_preload(["tests.warm"])


def random_atoms(rng, n_atoms=None, *, labels=True, periodic=None):
    """A structure with decimal coordinates, as text files have them."""
    n = int(rng.integers(1, 9)) if n_atoms is None else n_atoms
    periodic = bool(rng.integers(2)) if periodic is None else periodic
    cell = np.round(np.diag(rng.uniform(4, 9, 3)) + rng.uniform(-0.5, 0.5, (3, 3)), 6)
    atoms = Atoms(
        numbers=rng.choice([1, 6, 8, 22], n),
        positions=np.round(rng.uniform(-2, 10, (n, 3)), 8),
        cell=cell if periodic else None,
        pbc=periodic,
    )
    if labels:
        results = {
            "energy": float(np.round(rng.normal(-50, 9), 6)),
            "forces": np.round(rng.normal(size=(n, 3)), 8),
        }
        if periodic:
            results["stress"] = np.round(rng.normal(size=6), 8)
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def extxyz_text(frames):
    """Extended XYZ as a careful author writes it: shortest text that reads back exactly."""
    lines = []
    for atoms in frames:
        results = {} if atoms.calc is None else atoms.calc.results
        columns = [atoms.positions] + ([results["forces"]] if "forces" in results else [])
        comment = []
        if atoms.cell.any():
            comment.append('Lattice="' + " ".join(map(repr, atoms.cell.array.ravel().tolist())) + '"')
        comment.append("Properties=species:S:1:pos:R:3" + (":forces:R:3" if "forces" in results else ""))
        if "energy" in results:
            comment.append(f"energy={results['energy']!r}")
        if "stress" in results:
            xx, yy, zz, yz, xz, xy = results["stress"].tolist()
            comment.append(f'stress="{xx!r} {xy!r} {xz!r} {xy!r} {yy!r} {yz!r} {xz!r} {yz!r} {zz!r}"')
        comment += [f"{key}={value}" for key, value in atoms.info.items()]
        comment.append('pbc="' + " ".join("T" if p else "F" for p in atoms.pbc) + '"')
        lines += [str(len(atoms)), " ".join(comment)]
        rows = np.hstack(columns).tolist()
        lines += [
            " ".join([symbol, *map(repr, row)])
            for symbol, row in zip(atoms.get_chemical_symbols(), rows, strict=True)
        ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def rng():
    return np.random.default_rng(20261120)


@pytest.fixture
def frames(rng):
    """Thirty structures: periodic and not, with energy, forces and (if periodic) stress."""
    return [random_atoms(rng) for _ in range(30)]


@pytest.fixture
def xyz_file(tmp_path, frames):
    """The thirty structures as extended XYZ."""
    path = tmp_path / "train.xyz"
    path.write_text(extxyz_text(frames))
    return path


def shrink_chunks(patch):
    """Make chunks of few rows and shards of two chunks, so that small stores have many."""
    patch.setattr(chunks, "_CHUNK_ROWS", {"atom": 16, "structure": 4})
    patch.setattr(chunks, "_CHUNKS_PER_SHARD", 2)


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks and shards of few rows, as `shrink_chunks` makes them."""
    shrink_chunks(monkeypatch)


@pytest.fixture
def no_clones(monkeypatch):
    """Have files shared by second names, also where the file system has clones."""

    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "ioctl", refuse)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Chromium."""
    program = executable()
    if program is None:
        pytest.skip("there is no Chromium")
    started = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data sets beside the project; tests that need it skip without."""
    path = Path(__file__).parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("the real data sets are not there")
    return path


def tree_bytes(path):
    """Every file of a store with its bytes."""
    path = Path(path)
    return {str(f.relative_to(path)): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file()}


@pytest.fixture(scope="session")
def local_cluster():
    """A Dask cluster of one worker process on loopback."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, protocol="tcp://", dashboard_address=":0", host="127.0.0.1"
    ) as local:
        yield local


@pytest.fixture
def cluster(local_cluster):
    """An active client of a Dask cluster."""
    import distributed

    with distributed.Client(local_cluster) as client:
        yield client


@pytest.fixture
def second_rename_fails():
    """Interrupt the second of the renames in a block, as a kill between the two would."""

    @contextmanager
    def failing():
        real, calls = os.rename, []

        def rename(a, b):
            calls.append(b)
            if len(calls) == 2:
                raise KeyboardInterrupt
            real(a, b)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "rename", rename)
            yield

    return failing
