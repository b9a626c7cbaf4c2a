"""Rows of the arrays of a set, some structures at a time: of ``*.npy``, or of ``*.raw``, which is text."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.sources.deepmd.system import Label, label_of, sizes
from zstruct.sources.lines.tables import NumberTable

__all__ = ["ArrayRows", "Rows", "TextRows"]


class Rows(Protocol):
    """Rows of the arrays of structures."""

    labels: dict[str, Label]
    """What the arrays are, by the names of their files."""
    n: int | None
    """How many structures there are, if that is known."""
    numbers: int
    """How many numbers a structure has."""

    def skip_to(self, start: int) -> None:
        """Go to a structure."""

    def take(self, n: int) -> dict[str, NDArray[Any]]:
        """Return the rows of the next structures, as many or, at the end, fewer."""


@dataclass(frozen=True)
class _Array:
    """An array in a file of its own; one that has another order than C's is in memory."""

    path: str
    name: str
    label: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    begin: int
    whole: NDArray[Any] | None

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def row(self) -> int:
        """Numbers of a row."""
        return int(np.prod(self.shape[1:], dtype=int))

    def rows(self, start: int, n: int) -> NDArray[Any]:
        """Return some rows; a memory map would end the process if the file became shorter."""
        if self.whole is not None:
            rows = np.ascontiguousarray(self.whole[start : start + n])
        else:
            place = self.begin + start * self.row * self.dtype.itemsize
            try:
                rows = np.fromfile(self.path, self.dtype, n * self.row, offset=place)
            except OSError as error:
                raise InputError(f"{self.name} can't be read: {error.strerror}", self.label) from error
            if len(rows) != n * self.row:
                raise InputError(f"{self.name} became shorter while it was read", self.label)
        return rows.reshape(n, *self.shape[1:]).astype(self.dtype.newbyteorder("="), copy=False)


class ArrayRows:
    """Rows of the arrays of a set.

    Parameters
    ----------
    folder
        The set.
    label
        The system, for messages.
    n_atoms
        Atoms, or places for atoms, of each structure.
    known
        Arrays whose form is known.

    Raises
    ------
    InputError
        If arrays are damaged, or do not fit together.
    """

    def __init__(self, folder: str, label: str, n_atoms: int, known: Mapping[str, Label]):
        self._folder, self._label = os.path.basename(folder), label
        self._arrays: dict[str, _Array] = {}
        self.labels: dict[str, Label] = {}
        wanted = sizes(known, n_atoms)
        paths = sorted(glob.glob(os.path.join(glob.escape(folder), "*.npy")))
        for path in paths:
            name = os.path.basename(path).removesuffix(".npy")
            if name == "box" and "box" not in known:
                continue  # nothing is periodic
            array = self._open(path)
            self.labels[name] = known.get(name) or label_of(name, array.shape[1:], n_atoms)
            size = int(np.prod(array.shape[1:], dtype=int))
            if name in wanted and size != wanted[name]:
                raise InputError(
                    f"{self._named(name)} has the shape {array.shape}; for the {n_atoms} atoms of type.raw a "
                    f"row should have {wanted[name]} numbers",
                    label,
                )
            self._arrays[name] = array
        for name in ("coord", "box"):
            if name in known and name not in self._arrays:
                more = ", and no file nopbc says that nothing is periodic" if name == "box" else ""
                raise InputError(f"there is no {self._named(name)}{more}", label)
        self.n: int | None = len(self._arrays["coord"])
        for name, array in self._arrays.items():
            if len(array) != self.n:
                raise InputError(
                    f"{self._named(name)} has {len(array)} structures, and coord.npy has {self.n}", label
                )
        self.numbers = sum(array.row for array in self._arrays.values())
        self.row_bytes = sum(array.row * array.dtype.itemsize for array in self._arrays.values())
        self._at = 0

    def __enter__(self) -> ArrayRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._arrays = {}

    def skip_to(self, start: int) -> None:
        """Go to a structure."""
        self._at = start

    def take(self, n: int) -> dict[str, NDArray[Any]]:
        """Return the rows of the next structures."""
        start, self._at = self._at, self._at + n
        return {name: array.rows(start, min(n, len(array) - start)) for name, array in self._arrays.items()}

    def _named(self, name: str) -> str:
        return f"{self._folder}/{name}.npy"

    def _open(self, path: str) -> _Array:
        """Return an array, whose rows are read when they are asked for."""
        name = self._named(os.path.basename(path).removesuffix(".npy"))
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # a header is a piece of Python, and may be damaged in any way
            raise InputError(f"{name} is damaged, or no array of numbers: {error}", self._label) from error
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiub" or not found.ndim:
            raise InputError(f"{name} is no array with a row for each structure", self._label)
        extra = os.path.getsize(path) - getattr(found, "offset", 0) - found.nbytes
        if isinstance(found, np.memmap) and extra:
            raise InputError(f"{name} is damaged: it has {extra} bytes behind its numbers", self._label)
        begin = int(found.offset) if isinstance(found, np.memmap) and found.flags.c_contiguous else None
        whole = np.array(found) if begin is None else None
        return _Array(path, name, self._label, found.shape, found.dtype, begin or 0, whole)


class TextRows:
    """Rows of the files of a directory, a line for each structure.

    Parameters
    ----------
    folder
        The directory.
    label
        The system, for messages.
    n_atoms
        Atoms of each structure.
    known
        Arrays whose form is known.

    Raises
    ------
    InputError
        If a file is missing.
    """

    _NO_ROWS = ("type", "type_map", "bonds", "formal_charges")

    def __init__(self, folder: str, label: str, n_atoms: int, known: Mapping[str, Label]):
        self._label = label
        self._tables: dict[str, NumberTable] = {}
        self.labels: dict[str, Label] = {}
        self.n: int | None = None
        self.numbers = 0
        wanted = sizes(known, n_atoms)
        self._stack = ExitStack()
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.raw"))):
            name = os.path.basename(path).removesuffix(".raw")
            if name in self._NO_ROWS or (name == "box" and "box" not in known):
                continue
            try:
                file = self._stack.enter_context(open(path, "rb"))  # noqa: SIM115 (closed by the stack)
                width = wanted.get(name) or len(file.readline().split())
                file.seek(0)
            except OSError as error:
                raise InputError(f"{name}.raw can't be read: {error.strerror}", label) from error
            if not width:
                raise InputError(f"{name}.raw begins with an empty line", label)
            self._tables[name] = NumberTable(file, f"{name}.raw", label, width)
            self.numbers += width
            self.labels[name] = known.get(name) or label_of(name, (width,), n_atoms)
        if "box" in known and "box" not in self._tables:
            self._stack.close()
            raise InputError("there is no box.raw, and no file nopbc says that nothing is periodic", label)

    def __enter__(self) -> TextRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def skip_to(self, start: int) -> None:
        """Go to a structure: only the first can be gone to."""

    def take(self, n: int) -> dict[str, NDArray[Any]]:
        """Return the rows of the next structures."""
        table = {name: numbers.take(n) for name, numbers in self._tables.items()}
        for name, rows in table.items():
            if len(rows) != len(table["coord"]):
                fewer, more = sorted((name, "coord"), key=lambda key: len(table[key]))
                raise InputError(f"{fewer}.raw ends before {more}.raw does", self._label)
        return table
