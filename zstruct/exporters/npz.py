"""NumPy's archive, padded or packed: `NPZExporter` and `RaggedNPZExporter`.

The place of every array in the file is known before the first block, since archives are not compressed: rows
go where they belong, and nothing is kept in memory.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from zstruct.exporters.blocks import Block, Contents
from zstruct.exporters.exporter import Exporter
from zstruct.exporters.limits import Limits, same
from zstruct.exporters.named_arrays import Column, columns_of, needs_mask, row_of
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, GEOMETRY
from zstruct.sources.array_files.stored import OWN, PLACE

__all__ = ["NPZExporter", "RaggedNPZExporter"]

_ZERO = (1980, 1, 1, 0, 0, 0)  # of the date of members: the same structures make the same file


class _Archive:
    """An archive of arrays whose shapes are known before.

    Parameters
    ----------
    path
        The file to make.
    """

    def __init__(self, path: Path):
        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115 (closed by close)
        self._entries: dict[str, zipfile.ZipInfo] = {}
        self._places: dict[str, int] = {}
        self._end = 0

    def add(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Reserve the place of an array."""
        header = io.BytesIO()
        described = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(header, described)
        entry = zipfile.ZipInfo(f"{name}.npy", _ZERO)
        entry.create_system = 3
        entry.external_attr = 0o644 << 16
        entry.header_offset = self._end
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        entry.file_size = entry.compress_size = len(header.getvalue()) + size
        entry.CRC = zlib.crc32(header.getvalue())
        local = len(entry.FileHeader(zip64=True))
        self._file.seek(self._end + local)
        self._file.write(header.getvalue())
        self._places[name] = self._end + local + len(header.getvalue())
        self._entries[name] = entry
        self._end = self._places[name] + size

    def append(self, name: str, values: NDArray[Any]) -> None:
        """Add what follows to an array."""
        data = values.reshape(-1).view(np.uint8).data if values.size else b""
        self._file.seek(self._places[name])
        self._file.write(data)
        self._places[name] += len(data)
        self._entries[name].CRC = zlib.crc32(data, self._entries[name].CRC)

    def whole(self, name: str, values: NDArray[Any]) -> None:
        """Add an array that is at hand."""
        self.add(name, values.shape, values.dtype)
        self.append(name, values)

    def finish(self) -> None:
        """Write the headers, and the list of members at the end."""
        for entry in self._entries.values():
            self._file.seek(entry.header_offset)
            self._file.write(entry.FileHeader(zip64=True))
        self._file.seek(0)
        archive = zipfile.ZipFile(self._file, "w")
        archive.filelist += list(self._entries.values())
        archive.start_dir = self._end
        archive.close()
        self._file.close()

    def close(self) -> None:
        """Close the file as it is."""
        self._file.close()


class NPZExporter(Exporter):
    """Writes arrays with a place for each atom of the largest structure, as PhysNet and mmml have them.

    Numbers are ``Z``, positions ``R``, atoms of each structure ``N``, energies ``E``, forces ``F``, charges
    ``Q`` and dipoles ``D``; other fields have the names that their inputs gave them. Places without an atom
    are zero. A missing label is NaN; of other properties, ``has_<name>`` says who has them.
    ``zstruct_fields`` says what each array is, and its unit, so that `zstruct.build` needs no other word.
    """

    limits = Limits(
        (
            same(
                "texts that end with a zero character",
                lambda entry: any(text.endswith("\0") for text in entry.texts),
                "some of its texts end with a zero character, which arrays drop",
            ),
        )
    )
    names: Mapping[str, str] = {
        "numbers": "Z",
        "positions": "R",
        "energy": "E",
        "forces": "F",
        "total_charge": "Q",
        "dipole": "D",
    }
    taken = frozenset({"N", OWN})
    _archive: _Archive

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the file, with a place for every array."""
        self._columns = columns_of(contents, self.names, set(self.taken), self.limits.left_out(contents))
        self._contents = contents
        self._counts: list[NDArray[np.int64]] = []
        self._absent: dict[str, list[NDArray[np.bool_]]] = {}
        self._archive = _Archive(target)
        for column in self._columns.values():
            self._archive.add(column.key, self.shape(column), column.dtype)

    def shape(self, column: Column) -> tuple[int, ...]:
        """Return the shape of the array of all structures."""
        contents = self._contents
        rows = (contents.n_structures, contents.most_atoms) if column.field.level == ATOM else ()
        return (*(rows or (contents.n_structures,)), *column.field.shape)

    def rows(self, column: Column, block: Block) -> NDArray[Any]:
        """Return the rows of a block."""
        values = column.values(block.columns[column.field.name])
        if column.field.level != ATOM:
            return values
        most = self._contents.most_atoms
        if len(values) == len(block) * most:
            return values
        padded = np.zeros((len(block), most, *values.shape[1:]), column.dtype)
        padded[np.arange(most) < block.n_atoms[:, None]] = values
        return padded

    def write(self, block: Block) -> None:
        """Append some structures."""
        done = sum(map(len, self._counts))
        for name, column in self._columns.items():
            self._archive.append(column.key, self.rows(column, block))
            there = block.has(name)
            if not there.all() and needs_mask(column.field):
                before = self._absent.setdefault(name, [np.ones(done, dtype=bool)])
                before.append(there)
            elif name in self._absent:
                self._absent[name].append(there)
        self._counts.append(block.n_atoms)

    def end(self) -> None:
        """Add what is known at the end, and complete the file."""
        counts = np.concatenate([np.zeros(0, np.int64), *self._counts])
        said = self.edges(counts)
        taken = {column.key for column in self._columns.values()} | set(self.taken)
        for name, column in self._columns.items():
            mask = ""
            if name in self._absent:
                mask = f"has_{column.key}"
                while mask in taken:
                    mask += "_"
                taken.add(mask)
                self._archive.whole(mask, np.concatenate(self._absent[name]))
            said.append(row_of(column, PLACE if name in GEOMETRY else column.field.level, mask))
        self._archive.whole(OWN, np.array(said, dtype=np.str_))
        self._archive.finish()

    def edges(self, counts: NDArray[np.int64]) -> list[tuple[str, str, str, str, str]]:
        """Add what says which atoms are whose; return what is said of it."""
        self._archive.whole("N", counts.astype(np.int32))
        return [("N", "n_atoms", PLACE, "", "")]

    def abort(self) -> None:
        """Close the file."""
        if hasattr(self, "_archive"):
            self._archive.close()


class RaggedNPZExporter(NPZExporter):
    """Writes arrays in which the atoms of all structures follow one another.

    Atoms of structure i are rows ``offsets[i]:offsets[i + 1]``. What is missing is said as in `NPZExporter`.
    """

    names: Mapping[str, str] = {}
    taken = frozenset({"offsets", "n_atoms", OWN})

    def shape(self, column: Column) -> tuple[int, ...]:
        """Return the shape of the array of all structures."""
        contents = self._contents
        n = contents.n_atoms if column.field.level == ATOM else contents.n_structures
        return (n, *column.field.shape)

    def rows(self, column: Column, block: Block) -> NDArray[Any]:
        """Return the rows of a block."""
        return column.values(block.columns[column.field.name])

    def edges(self, counts: NDArray[np.int64]) -> list[tuple[str, str, str, str, str]]:
        """Add what says which atoms are whose; return what is said of it."""
        self._archive.whole("offsets", counts_to_offsets(counts))
        self._archive.whole("n_atoms", counts)
        return [("offsets", "offsets", PLACE, "", ""), ("n_atoms", "n_atoms", PLACE, "", "")]
