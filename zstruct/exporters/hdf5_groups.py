"""HDF5 files of a group that has a group for every structure, written from front to back.

Structures that have the same datasets of the same shapes make one record, whose bytes are the same but for
addresses and values. Where all structures are is known at the end: then the group that has them is written,
and what the file begins with. What the datasets are is not known here.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.exporters.blocks import ranges_of
from zstruct.exporters.hdf5_index import LEAF_K, NODE_K, numbered_group
from zstruct.exporters.hdf5_layout import NOWHERE, Form, Record, group_header, record_of
from zstruct.exporters.limits import same
from zstruct.ragged import counts_to_offsets
from zstruct.sources.hdf5.file import h5py

__all__ = ["ZEROS", "GroupsFile", "Part", "Texts"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAD = 96  # bytes of what the file begins with
_AT_ONCE = 16 << 20  # bytes of records that are made at a time
_SHORTEST = 8  # bytes of texts


#: Of texts in HDF5.
ZEROS = same(
    "texts with a zero character",
    lambda entry: any("\0" in text for text in entry.texts),
    "some of its texts have a zero character, where texts of HDF5 end",
)


@dataclass(frozen=True)
class Part:
    """A dataset that some structures of a block have.

    Parameters
    ----------
    path
        Where it is in the group of a structure.
    values
        Rows of numbers; or texts of a fixed length, where there are `codes`.
    here
        Which structures have it, shape (n,).
    of_atoms
        Whether there is a row for each atom, else for each structure.
    codes
        Which of the texts a row is.
    """

    path: str
    values: NDArray[Any]
    here: NDArray[np.bool_]
    of_atoms: bool = False
    codes: NDArray[np.integer[Any]] | None = None

    def rows(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Return some rows."""
        return self.values[index if self.codes is None else self.codes[index]]


class Texts:
    """Texts as datasets of fixed lengths: a few, powers of two, so that a long one makes no others long.

    Parameters
    ----------
    texts
        The texts; code -1 stands for the last one.
    """

    def __init__(self, texts: Sequence[str]):
        self._texts = [text.encode() for text in texts]
        self._lengths = np.array([max(_SHORTEST, 1 << (len(text) - 1).bit_length()) for text in self._texts])
        self._places = np.zeros(len(self._texts), dtype=np.int64)
        self._tables = {}
        for length in np.unique(self._lengths).tolist():
            members = np.flatnonzero(self._lengths == length).tolist()
            self._places[members] = np.arange(len(members))
            self._tables[length] = np.array([self._texts[k] for k in members], dtype=f"S{length}")

    def parts(
        self,
        path: str,
        codes: NDArray[np.integer[Any]],
        here: NDArray[np.bool_],
        of_atoms: bool = False,
    ) -> list[Part]:
        """Return the datasets of texts by their codes; those of atoms are as long as the longest of all."""
        if of_atoms:
            table = np.array(self._texts, dtype=f"S{self._lengths.max()}")
            return [Part(path, table, here, of_atoms=True, codes=codes)]
        lengths, places = self._lengths[codes], self._places[codes]
        there = np.unique(lengths[here]).tolist()
        return [Part(path, self._tables[n], here & (lengths == n), codes=places) for n in there]


class GroupsFile:
    """Writes an HDF5 file.

    Parameters
    ----------
    path
        Where.
    group
        The name of the group of all structures.
    prefix
        What is before the number of a structure in its name.
    groups
        Groups that are in all structures, be they empty.

    Raises
    ------
    MissingExtraError
        If h5py is not installed, which knows how types are described.
    """

    def __init__(self, path: Path, group: str, prefix: str = "", groups: Sequence[str] = ()):
        self._package = h5py()
        self._group, self._prefix, self._groups = group, prefix, groups
        self._types: dict[np.dtype[Any], bytes] = {}
        self._starts: list[NDArray[np.int64]] = []
        self._file = open(path, "wb")  # noqa: SIM115 (closed by abort)
        self._at = 0
        self._append(bytes(_HEAD))

    def add(self, n_atoms: NDArray[np.int64], parts: Sequence[Part]) -> None:
        """Append structures.

        Parameters
        ----------
        n_atoms
            Atoms of each, shape (n,).
        parts
            Their datasets.
        """
        kinds = np.column_stack([n_atoms, *(part.here for part in parts)])
        _, firsts, which = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
        found = []
        for first in firsts.tolist():
            some = [part for part in parts if part.here[first]]
            forms = {part.path: self._form(part, int(n_atoms[first])) for part in some}
            found.append((record_of(forms, self._groups), some))
        offsets = counts_to_offsets(n_atoms)[:-1]
        sizes = np.array([len(record.data) for record, _ in found])[which]
        for start, stop in ranges_of(sizes, _AT_ONCE):
            starts = counts_to_offsets(sizes[start:stop])
            made = np.empty(int(starts[-1]), np.uint8)
            for kind in np.unique(which[start:stop]).tolist():
                members = np.flatnonzero(which[start:stop] == kind)
                record, some = found[kind]
                rows = _filled(record, some, start + members, self._at + starts[members], offsets, n_atoms)
                for place, row in zip(starts[members].tolist(), rows, strict=True):
                    made[place : place + len(row)] = row
            self._starts.append(self._at + starts[:-1])
            self._append(made.data)

    def end(self) -> None:
        """Write what is known at the end, and close the file."""
        group = numbered_group(self._prefix, np.concatenate(self._starts), self._append)
        root = self._append(group_header({self._group: group})[0])
        sizes = struct.pack("<BBBxBBBxHHI", 0, 0, 0, 0, 8, 8, LEAF_K, NODE_K, 0)
        places = struct.pack("<QQQQ", 0, NOWHERE, self._at, NOWHERE)
        self._file.seek(0)
        self._file.write(_SIGNATURE + sizes + places + struct.pack("<QQ24x", 0, root))
        self._file.close()

    def abort(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def _append(self, data: bytes | memoryview) -> int:
        """Write bytes behind all others; return where they begin."""
        begin = self._at
        self._at += self._file.write(data)
        return begin

    def _form(self, part: Part, n_atoms: int) -> Form:
        """Return what a dataset is in structures of so many atoms."""
        dtype = part.values.dtype
        if dtype not in self._types:
            named = self._package.string_dtype("utf-8", dtype.itemsize) if dtype.kind == "S" else dtype
            # Before the description itself is what says that it is one of a type, and by which version.
            self._types[dtype] = self._package.h5t.py_create(named, logical=True).encode()[2:]
        row = part.values.shape[1:]
        shape = (n_atoms, *row) if part.of_atoms else row
        return Form(self._types[dtype], shape, math.prod(shape) * dtype.itemsize)


def _filled(
    record: Record,
    parts: Sequence[Part],
    members: NDArray[np.int64],
    starts: NDArray[np.int64],
    offsets: NDArray[np.int64],
    n_atoms: NDArray[np.int64],
) -> NDArray[np.uint8]:
    """Return the bytes of structures of one kind, shape (members, size).

    Parameters
    ----------
    record, parts
        What they are made of.
    members
        Which of the block they are.
    starts
        Where each of them begins in the file.
    offsets, n_atoms
        The first atom and the number of atoms of each structure of the block.
    """
    made = np.repeat(record.data[None], len(members), axis=0)
    places = (record.places[:, None] + np.arange(8)).reshape(-1)
    made[:, places] = (starts[:, None] + record.targets).astype("<i8").view(np.uint8)
    atoms = (offsets[members, None] + np.arange(n_atoms[members[0]])).reshape(-1)
    for part in parts:
        values = np.ascontiguousarray(part.rows(atoms if part.of_atoms else members))
        if values.size:
            made[:, record.values[part.path]] = values.reshape(-1).view(np.uint8).reshape(len(members), -1)
    return made
