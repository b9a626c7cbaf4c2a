"""The other ways to keep structures for training: a writer and a reader for each.

Every reader gives the same tensors, in the way that is fastest for it. Batches are joined with
NumPy, not torch, whose thread pool slows small copies down. Readers pickle as their path, so that
DataLoader workers open files of their own.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from tests.benchmarks.workloads import FIELDS, Structures, Tensors, joined
from zstruct.ragged import atom_rows


def single(positions: NDArray, forces: NDArray, numbers: NDArray, energy: float) -> Tensors:
    """Return one structure as tensors."""
    return {
        "positions": torch.from_numpy(positions),
        "forces": torch.from_numpy(forces),
        "numbers": torch.from_numpy(numbers.astype(np.int64)),
        "energy": torch.tensor(energy, dtype=torch.float64),
    }


class Peer:
    """A file in some format, opened for reading.

    Parameters
    ----------
    path
        A file or folder that `write` made.
    """

    name: ClassVar[str]
    requires: ClassVar[str]  # the module it needs
    slow: ClassVar[bool] = False  # too slow for whole epochs
    lists: ClassVar[bool] = False  # wants indices as a list, not as an array
    most: ClassVar[int | None] = None  # structures to write, where writing is slow

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        return type(self), (self.path,)

    @classmethod
    def installed(cls) -> bool:
        """Return whether the module it needs is there."""
        return importlib.util.find_spec(cls.requires) is not None

    @classmethod
    def write(cls, path: Path, structures: Structures) -> None:
        """Write structures to a new file or folder."""
        raise NotImplementedError

    def batch(self, indices: Any) -> Tensors:
        """Return some structures, atoms end to end."""
        raise NotImplementedError

    def one(self, index: int) -> Tensors:
        """Return one structure."""
        raise NotImplementedError


class Atompack(Peer):
    """One record per molecule in a memory map, read by several threads (Rust)."""

    name = "atompack"
    requires = "atompack"
    lists = True
    compression: ClassVar[str] = "none"

    def __init__(self, path: Path):
        import atompack

        super().__init__(path)
        self._database = atompack.Database.open(str(path))

    @classmethod
    def write(cls, path: Path, structures: Structures) -> None:
        import atompack

        s, database = structures, atompack.Database(str(path), compression=cls.compression, overwrite=True)
        for begin in range(0, len(s), 10_000):
            molecules = []
            for i in range(begin, min(begin + 10_000, len(s))):
                rows = slice(s.offsets[i], s.offsets[i + 1])
                more: dict[str, Any] = {}
                if s.cell is not None and s.pbc is not None:
                    more = {"cell": s.cell[i], "pbc": tuple(s.pbc[i].tolist())}
                molecules.append(
                    atompack.Molecule.from_arrays(
                        s.positions[rows],
                        s.numbers[rows],
                        energy=float(s.energy[i]),
                        forces=s.forces[rows],
                        **more,
                    )
                )
            database.add_molecules(molecules)
        database.flush()

    def batch(self, indices: list[int]) -> Tensors:
        flat = self._database.get_molecules_flat(indices)
        columns = (flat[name] for name in ("positions", "forces", "atomic_numbers", "energy"))
        return joined(flat["n_atoms"], *columns)

    def one(self, index: int) -> Tensors:
        found = self._database.get_molecule(index)
        return single(found.positions, found.forces, found.atomic_numbers, found.energy)


class AtompackLz4(Atompack):
    """The same, compressed."""

    name = "atompack lz4"
    compression = "lz4"


class Lmdb(Peer):
    """One packed record per structure: energy, positions, forces, numbers."""

    name = "lmdb"
    requires = "lmdb"

    def __init__(self, path: Path):
        import lmdb

        super().__init__(path)
        self._environment = lmdb.open(str(path), readonly=True, lock=False, subdir=False)
        self._transaction = self._environment.begin(buffers=True)
        self._cursor = self._transaction.cursor()

    @classmethod
    def write(cls, path: Path, structures: Structures) -> None:
        import lmdb

        s = structures
        with lmdb.open(str(path), map_size=1 << 36, subdir=False, sync=False) as environment:
            for begin in range(0, len(s), 10_000):
                with environment.begin(write=True) as transaction:
                    for i in range(begin, min(begin + 10_000, len(s))):
                        rows = slice(s.offsets[i], s.offsets[i + 1])
                        parts = (s.energy[i], s.positions[rows], s.forces[rows], s.numbers[rows])
                        record = b"".join(part.tobytes() for part in parts)
                        transaction.put(i.to_bytes(8, "big"), record, append=True)
            environment.sync(True)

    def batch(self, indices: NDArray[np.int64]) -> Tensors:
        keys = np.asarray(indices).astype(">i8").tobytes()
        asked = [keys[k : k + 8] for k in range(0, len(keys), 8)]
        records = [record for _, record in self._cursor.getmulti(asked)]
        counts = [(len(record) - 8) // 25 for record in records]
        pairs = list(zip(records, counts, strict=True))
        # Joined into a bytearray, which tensors may share: bytes can't be written to.
        energy = bytearray().join([r[:8] for r in records])
        positions = bytearray().join([r[8 : 8 + 12 * n] for r, n in pairs])
        forces = bytearray().join([r[8 + 12 * n : 8 + 24 * n] for r, n in pairs])
        numbers = bytearray().join([r[8 + 24 * n :] for r, n in pairs])
        return joined(
            np.array(counts),
            np.frombuffer(positions, np.float32).reshape(-1, 3),
            np.frombuffer(forces, np.float32).reshape(-1, 3),
            np.frombuffer(numbers, np.uint8),
            np.frombuffer(energy, np.float64),
        )

    def one(self, index: int) -> Tensors:
        record = bytearray(self._transaction.get(index.to_bytes(8, "big")))
        n = (len(record) - 8) // 25
        floats = np.frombuffer(record, np.float32, 6 * n, 8).reshape(2, n, 3)
        numbers = np.frombuffer(record, np.uint8, n, 8 + 24 * n)
        return single(floats[0], floats[1], numbers, np.frombuffer(record, np.float64, 1)[0])


class _Flat(Peer):
    """Flat columns with offsets: what memory maps, HDF5 and Zarr have in common."""

    columns: dict[str, Any]

    def _open(self, columns: dict[str, Any]) -> None:
        self.offsets = np.asarray(columns["offsets"][:])
        self.columns = {name: columns[name] for name in FIELDS}

    def one(self, index: int) -> Tensors:
        rows = slice(self.offsets[index], self.offsets[index + 1])
        positions, forces, numbers, energy = (self.columns[name] for name in FIELDS)
        return single(np.array(positions[rows]), np.array(forces[rows]), numbers[rows], float(energy[index]))


class Memmap(_Flat):
    """Flat columns in memory maps, a batch by one ``take`` from each."""

    name = "np.memmap"
    requires = "numpy"

    def __init__(self, path: Path):
        super().__init__(path)
        self._open({file.stem: np.load(file, mmap_mode="r") for file in path.glob("*.npy")})
        self.columns = {name: column.view(np.ndarray) for name, column in self.columns.items()}

    @classmethod
    def write(cls, path: Path, structures: Structures) -> None:
        path.mkdir()
        for name, column in vars(structures).items():
            if column is not None:
                np.save(path / f"{name}.npy", column)

    def batch(self, indices: NDArray[np.int64]) -> Tensors:
        indices = np.asarray(indices)
        starts = self.offsets[indices]
        counts = self.offsets[indices + 1] - starts
        rows = atom_rows(starts, counts)
        taken = [self.columns[name].take(rows, axis=0) for name in ("positions", "forces", "numbers")]
        return joined(counts, *taken, self.columns["energy"].take(indices))


class Hdf5(_Flat):
    """Flat datasets with offsets in one HDF5 file, a slice for each structure."""

    name = "h5py"
    requires = "h5py"
    slow = True
    filters: ClassVar[dict[str, Any]] = {}

    def __init__(self, path: Path):
        import h5py

        super().__init__(path)
        self._open(h5py.File(path, "r"))

    @classmethod
    def write(cls, path: Path, structures: Structures) -> None:
        import h5py

        with h5py.File(path, "w") as file:
            for name, column in vars(structures).items():
                if column is not None:
                    file.create_dataset(name, data=column, **cls.filters)

    def batch(self, indices: NDArray[np.int64]) -> Tensors:
        order = np.asarray(indices)
        starts, stops = self.offsets[order].tolist(), self.offsets[order + 1].tolist()
        spans = [slice(a, b) for a, b in zip(starts, stops, strict=True)]
        parts = [
            np.concatenate([self.columns[name][span] for span in spans])
            for name in ("positions", "forces", "numbers")
        ]
        energy = np.array([self.columns["energy"][i] for i in order.tolist()])
        return joined(self.offsets[order + 1] - self.offsets[order], *parts, energy)


class Hdf5Gzip(Hdf5):
    """The same, compressed as h5py does it when asked for gzip."""

    name = "h5py gzip"
    filters: ClassVar[dict[str, Any]] = {"compression": "gzip"}


class Hdf5GzipShuffle(Hdf5):
    """The same, bytes shuffled before."""

    name = "h5py gzip + shuffle"
    filters: ClassVar[dict[str, Any]] = {"compression": "gzip", "shuffle": True}


class ZarrOindex(_Flat):
    """A zstruct store read by zarr alone, a batch by ``oindex``; it writes nothing itself."""

    name = "zarr oindex"
    requires = "zarr"
    slow = True

    def __init__(self, path: Path):
        import zarr

        super().__init__(path)
        group = zarr.open_group(path, mode="r")
        self._open({name: group[name] for name in ("offsets", *FIELDS)})

    def batch(self, indices: NDArray[np.int64]) -> Tensors:
        order = np.asarray(indices)
        counts = self.offsets[order + 1] - self.offsets[order]
        rows = atom_rows(self.offsets[order], counts)
        taken = [self.columns[name].oindex[rows] for name in ("positions", "forces", "numbers")]
        return joined(counts, *taken, self.columns["energy"].oindex[order])


class AseSqlite(Peer):
    """ASE's database, a row for each structure."""

    name = "ASE sqlite"
    requires = "ase"
    slow = True
    most = 2_000

    def __init__(self, path: Path):
        import ase.db

        super().__init__(path)
        self._database = ase.db.connect(path, type="db")

    @classmethod
    def write(cls, path: Path, structures: Structures) -> None:
        import ase.db

        with ase.db.connect(path, type="db") as database:
            for atoms in structures.atoms(cls.most):
                database.write(atoms)

    def batch(self, indices: Sequence[int]) -> Tensors:
        rows = [self._database.get(id=int(i) + 1) for i in indices]
        return joined(
            np.array([row.natoms for row in rows]),
            np.concatenate([row.positions for row in rows]).astype(np.float32),
            np.concatenate([row.forces for row in rows]).astype(np.float32),
            np.concatenate([row.numbers for row in rows]),
            np.array([row.energy for row in rows]),
        )

    def one(self, index: int) -> Tensors:
        row = self._database.get(id=index + 1)
        return single(
            row.positions.astype(np.float32), row.forces.astype(np.float32), row.numbers, row.energy
        )


#: Read and compared.
READERS: tuple[type[Peer], ...] = (Atompack, AtompackLz4, Memmap, Lmdb, Hdf5, ZarrOindex, AseSqlite)
#: Written to compare sizes.
WRITERS: tuple[type[Peer], ...] = (Atompack, AtompackLz4, Memmap, Lmdb, Hdf5, Hdf5Gzip, Hdf5GzipShuffle)
