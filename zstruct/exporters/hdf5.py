"""HDF5 files: a group for each structure, or flat arrays that all structures share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.exporters.blocks import Block, Contents
from zstruct.exporters.exporter import Exporter
from zstruct.exporters.hdf5_groups import ZEROS, GroupsFile, Part, Texts
from zstruct.exporters.limits import NO_UNICODE, Limits
from zstruct.exporters.named_arrays import Column, columns_of, needs_mask, row_of, unit_of
from zstruct.schema import ATOM, GEOMETRY
from zstruct.sources.array_files.stored import OWN, PLACE
from zstruct.sources.hdf5.file import h5py

__all__ = ["FlatHDF5Exporter", "HDF5Exporter"]

_CHUNK_BYTES = 1 << 20
# Files are such that HDF5 1.10 reads them, and whatever came after it.
_VERSION = ("v110", "v110")
_STRUCTURES = "structures"


def _level(name: str, column: Column) -> str:
    return PLACE if name in GEOMETRY else column.field.level


class HDF5Exporter(Exporter):
    """Writes a group for each structure, ``/structures/0`` and so on.

    It has ``positions``, ``species`` (atomic numbers), ``cell``, ``pbc``, ``energy``, ``forces`` and whatever
    else the structure has; what it lacks is not there. An attribute of ``/structures`` says what each name
    is, and its unit. Groups take time to read, and place, some kilobytes each: for many structures, the flat
    layout is better.
    """

    limits = Limits((NO_UNICODE, ZEROS))
    names = {"numbers": "species"}  # noqa: RUF012
    _file: Any = None

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the file.

        Raises
        ------
        MissingExtraError
            If h5py is not installed.
        """
        self._columns = columns_of(contents, self.names, set(), self.limits.left_out(contents))
        self._texts = {
            name: Texts(column.texts.tolist())
            for name, column in self._columns.items()
            if column.texts is not None
        }
        self._target, self._file = target, GroupsFile(target, _STRUCTURES)

    def write(self, block: Block) -> None:
        """Append some structures."""
        parts: list[Part] = []
        for name, column in self._columns.items():
            rows, here, of_atoms = block.columns[name], block.has(name), column.field.level == ATOM
            if name in self._texts:
                parts += self._texts[name].parts(column.key, rows, here, of_atoms)
            else:
                parts.append(Part(column.key, np.ascontiguousarray(rows, column.dtype), here, of_atoms))
        self._file.add(block.n_atoms, parts)

    def end(self) -> None:
        """Say what the datasets are, and close the file."""
        self._file.end()
        rows = [row_of(column, _level(name, column)) for name, column in self._columns.items()]
        with h5py().File(self._target, "r+") as file:
            file[_STRUCTURES].attrs[OWN] = np.array(rows, dtype=object)

    def abort(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.abort()


class FlatHDF5Exporter(Exporter):
    """Writes flat arrays in ``/structures`` and ``/labels``, the atoms of all structures one after the other.

    Atoms of structure i are rows ``s[i]:s[i + 1]`` of ``atomic_numbers``, ``positions`` and all that is per
    atom, s being ``/structures/atomic_numbers_splits``, and ``/labels/forces_splits``, which is the same.
    ``cells``, ``pbc``, ``energy`` and ``stress`` have a row for each structure, and ``stress_mask`` says who
    has one. A missing label is NaN; of other properties, ``has_<name>`` says who has them.
    """

    limits = Limits((NO_UNICODE, ZEROS))
    names = {"numbers": "atomic_numbers", "cell": "cells"}  # noqa: RUF012
    _file: Any = None

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the file, with an empty dataset for every array.

        Raises
        ------
        MissingExtraError
            If h5py is not installed.
        """
        taken = {"atomic_numbers_splits", "forces_splits", "stress_mask", OWN}
        self._columns = columns_of(contents, self.names, taken, self.limits.left_out(contents))
        self._package = h5py()
        self._file = self._package.File(target, "w", libver=_VERSION)
        self._groups = {True: self._file.create_group("structures"), False: self._file.create_group("labels")}
        self._counts: list[NDArray[np.int64]] = []
        self._absent: dict[str, list[NDArray[np.bool_]]] = {}
        self._sets = {}
        for name, column in self._columns.items():
            spec = column.field
            n = contents.n_atoms if spec.level == ATOM else contents.n_structures
            dtype = self._package.string_dtype() if column.texts is not None else column.dtype
            group = self._groups[name in GEOMETRY]
            self._sets[name] = group.create_dataset(column.key, (n, *spec.shape), dtype)
            if unit_of(spec):
                self._sets[name].attrs["units"] = unit_of(spec)
        self._at = dict.fromkeys(self._columns, 0)

    def write(self, block: Block) -> None:
        """Append some structures."""
        done = sum(map(len, self._counts))
        for name, column in self._columns.items():
            rows = column.values(block.columns[name])
            start = self._at[name]
            self._at[name] += len(rows)
            if len(rows):
                data = rows.astype(object) if column.texts is not None else rows
                self._sets[name][start : start + len(rows)] = data
            there = block.has(name)
            if (not there.all() and needs_mask(column.field)) or name in self._absent:
                self._absent.setdefault(name, [np.ones(done, dtype=bool)]).append(there)
        self._counts.append(block.n_atoms)

    def end(self) -> None:
        """Add what is known at the end, and close the file."""
        splits = np.concatenate([[0], *map(np.asarray, self._counts)]).cumsum().astype(np.int64)
        self._groups[True].create_dataset("atomic_numbers_splits", data=splits)
        said = [("atomic_numbers_splits", "offsets", PLACE, "", "")]
        if "forces" in self._columns:
            self._groups[False].create_dataset("forces_splits", data=splits)
        if "stress" in self._columns:
            self._groups[False].create_dataset("stress_mask", data=self._stressed())
        taken = {column.key for column in self._columns.values()} | {"stress_mask"}
        for name, column in self._columns.items():
            mask = ""
            if name in self._absent:
                mask = f"has_{column.key}"
                while mask in taken:
                    mask += "_"
                taken.add(mask)
                self._groups[False].create_dataset(mask, data=np.concatenate(self._absent[name]))
            said.append(row_of(column, _level(name, column), mask))
        self._file.attrs[OWN] = np.array(said, dtype=object)
        self.abort()

    def _stressed(self) -> NDArray[np.bool_]:
        """Return which structures have a stress."""
        n = self._sets["stress"].shape[0]
        there = np.zeros(n, dtype=bool)
        for start in range(0, n, _CHUNK_BYTES):
            there[start : start + _CHUNK_BYTES] = ~np.isnan(
                self._sets["stress"][start : start + _CHUNK_BYTES, 0]
            )
        return there

    def abort(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
