"""Packed memmap directories: a file without a header for each array, the atoms of all structures in a row."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.sources.array_files.names import said_where
from zstruct.sources.array_files.source import ArrayFileSource
from zstruct.sources.array_files.stored import Dialect, StoredArray, shown
from zstruct.sources.content import Content, FileContent
from zstruct.sources.source import Raw, Slice

__all__ = ["PackedMemmapSource"]

# File, dtype, and the shape of a row; True where rows are those of atoms.
_FILES: dict[str, tuple[str, tuple[int, ...], bool]] = {
    "Z_pack.int32": ("<i4", (), True),
    "R_pack.f32": ("<f4", (3,), True),
    "F_pack.f32": ("<f4", (3,), True),
    "E.f64": ("<f8", (), False),
    "Qtot.f64": ("<f8", (), False),
}
_TABLES = ("offsets.npy", "n_atoms.npy")
_NEEDED = ("offsets.npy", "Z_pack.int32", "R_pack.f32")


@dataclass(frozen=True)
class _Array:
    """An array that is a file of its own."""

    path: str
    label: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    begin: int = 0
    in_order: bool = False
    unit: None = None
    fault: None = None

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Return some rows."""
        row = math.prod(self.shape[1:])
        try:
            values = np.fromfile(
                self.path,
                self.dtype,
                (stop - start) * row,
                offset=self.begin + start * row * self.dtype.itemsize,
            )
        except OSError as error:
            raise InputError(f"{os.path.basename(self.path)} can't be read: {error}", self.label) from error
        if len(values) != (stop - start) * row:
            raise InputError(f"{os.path.basename(self.path)} became shorter while it was read", self.label)
        return values.reshape(stop - start, *self.shape[1:])


@keywords()
class PackedMemmapSource(ArrayFileSource):
    """Structures in a packed memmap directory, as mmml makes and trains from it.

    It has ``offsets.npy`` (row edges of structures), ``Z_pack.int32`` and ``R_pack.f32`` (angstrom), and what
    else there is of ``F_pack.f32``, ``E.f64`` and ``Qtot.f64``. Units are in no file: some are in kcal/mol,
    others in eV. Say ``units={"energy": "kcal/mol", "length": "angstrom"}`` or ``units="ase"``. Nothing is
    periodic. Other files of the directory are left out, and the report says so.

    Parameters
    ----------
    path
        The directory.

    Raises
    ------
    InputError
        If a file is missing, or has not the size that the offsets ask for.
    """

    def __init__(self, path: str | os.PathLike[str] | Content):
        super().__init__(path)

    def fingerprint(self) -> dict[str, Any]:
        """Return size and modification time of all files."""
        size, times = 0, {}
        for name in (*_TABLES, *_FILES):
            if os.path.isfile(os.path.join(self.path, name)):
                said = FileContent(os.path.join(self.path, name)).fingerprint()
                size += said["size"]
                times[name] = said["mtime_ns"]
        return {"size": size, "mtime_ns": times}

    @contextmanager
    def arrays(self) -> Iterator[Mapping[str, StoredArray]]:
        """Have the arrays of the directory by their files."""
        offsets = self._table("offsets.npy")
        if offsets is None:
            raise InputError("there is no offsets.npy in this directory", self.label)
        if len(offsets.shape) != 1 or offsets.shape[0] == 0 or offsets.dtype.kind not in "iu":
            raise InputError(
                "offsets.npy should be whole numbers in one row, and one of them at least, not "
                f"{shown(offsets)}",
                self.label,
            )
        atoms, n = int(offsets.rows(offsets.shape[0] - 1, offsets.shape[0])[0]), offsets.shape[0] - 1
        found: dict[str, StoredArray] = {"offsets.npy": offsets}
        counts = self._table("n_atoms.npy")
        if counts is not None:
            found["n_atoms.npy"] = counts
        for name, (dtype, row, of_atoms) in _FILES.items():
            path = self._path(name)
            if path is None:
                if name in _NEEDED:
                    raise InputError(f"there is no {name} in this directory", self.label)
                continue
            shape = (atoms if of_atoms else n, *row)
            size, wanted = os.path.getsize(path), np.dtype(dtype).itemsize * math.prod(shape)
            if size != wanted:
                what = f"offsets end at {atoms:,} atoms" if of_atoms else f"there are {n:,} structures"
                raise InputError(f"{name} has {size:,} bytes, and {what}, which takes {wanted:,}", self.label)
            found[name] = _Array(path, self.label, shape, np.dtype(dtype))
        yield found

    def _path(self, name: str) -> str | None:
        """Return where a file of the directory is, or None if it is not there."""
        path = os.path.join(self.path, name)
        if not os.path.lexists(path):
            return None
        if not os.path.isfile(path):  # nothing is read from a pipe, and no link to nowhere is passed over
            raise InputError(f"{name} is no file, or a link to none", self.label)
        return path

    def _table(self, name: str) -> _Array | None:
        """Return an array that has a header, or None if it is not there."""
        path = self._path(name)
        if path is None:
            return None
        try:
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # a header is a piece of Python, and may be damaged in any way
            raise InputError(f"{name} is damaged: {error or type(error).__name__}", self.label) from error
        if not isinstance(values, np.memmap):
            raise InputError(f"{name} is no array", self.label)
        return _Array(path, self.label, values.shape, values.dtype, int(values.offset))

    def dialect(self, arrays: Mapping[str, StoredArray]) -> Dialect:
        """Return what the files are."""
        places = {"offsets": "offsets.npy", "numbers": "Z_pack.int32", "positions": "R_pack.f32"}
        if "n_atoms.npy" in arrays:
            places["n_atoms"] = "n_atoms.npy"
        names = {"F_pack.f32": "forces", "E.f64": "energy", "Qtot.f64": "total_charge"}
        return Dialect(places, names)

    def scan(self) -> list[Slice]:
        """Return ranges of structures.

        Raises
        ------
        InputError
            If a file is missing or has not the size that it should have.
        """
        if not os.path.isdir(self.path):
            raise InputError("a packed memmap is a directory, and this is none", self.label)
        return super().scan()

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the structures of a slice in blocks."""
        others = [
            name for name in os.listdir(self.path) if name not in (*_TABLES, *_FILES) and name[0] != "."
        ]
        for raw in super().read(piece):
            if others:
                sentence = f"left out: {said_where(others)}, which packed memmap directories don't have"
                raw.remarks[sentence] = np.ones(len(raw.frames), dtype=bool)
            yield raw
