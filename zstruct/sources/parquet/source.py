"""Parquet files: a row for each structure, as zstruct, ColabFit, LeMaterial and many others write them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.sources.array_files.source import BLOCK_BYTES
from zstruct.sources.content import Content
from zstruct.sources.parquet.columns import Columns, columns_of, unseen
from zstruct.sources.parquet.file import batches, opened, pyarrow
from zstruct.sources.parquet.structures import structures_of
from zstruct.sources.source import SLICE_BYTES, FileSource, Raw, Slice

__all__ = ["ParquetSource"]

_GROUPS, _ROWS = 8, 256  # row groups, and rows of each, by which it is told what columns are
_MOST_ROWS = 1 << 16


@keywords()
class ParquetSource(FileSource):
    """Structures in the rows of a Parquet file.

    Atoms are lists in the row of their structure: ``positions`` lists of three numbers, ``numbers`` (or
    ``atomic_numbers``, ``species``, ...) atomic numbers or symbols. Lists may be JSON in texts. Columns that
    have a value for each atom are labels of atoms, all others of structures; lists of several lengths and
    records are kept as JSON. What is null is missing.

    Known are the names of OPTIMADE (``cartesian_site_positions``, ``species_at_sites``, ``lattice_vectors``,
    ``dimension_types``), which LeMaterial's sets have, and the tables of ColabFit: ``atomic_forces`` are
    forces, in the units that ColabFit states (eV, eV/angstrom). Its ``cauchy_stress`` (eV/angstrom^3) keeps
    its name, because nothing says its sign: ``keys={"stress": "cauchy_stress"}`` takes it, if tensile is
    positive. Other units are those that the metadata of columns state (``unit``), as in what zstruct
    writes; where nothing states one, it is asked for.

    Parameters
    ----------
    path
        The file.
    places
        Where what makes a structure is, as the user says it: the column's name by that of `PLACES`.

    Raises
    ------
    InputError
        If the file is damaged, or its columns don't make structures.
    MissingExtraError
        If pyarrow is not installed.
    """

    runs_in: Literal["threads", "processes", "here", "caller"] = "threads"

    def __init__(self, path: str | os.PathLike[str] | Content, *, places: Mapping[str, str] | None = None):
        super().__init__(path)
        self.places = dict(places or {})
        self._known: Columns | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def columns(self, file: Any) -> Columns:
        """Return what the columns are, found out once."""
        with self._lock:
            if self._known is None:
                self._known = columns_of(self._sample(file), self.places, self.label)
            return self._known

    def _sample(self, file: Any) -> Any:
        """Return some rows from all over the file, and more where a column is null in all of these."""
        pa = pyarrow()
        full = [k for k in range(file.num_row_groups) if file.metadata.row_group(k).num_rows]
        at = np.unique(np.linspace(0, max(0, len(full) - 1), min(_GROUPS, len(full))).astype(int))
        parts = [next(batches(file, [full[k]], _ROWS)) for k in at.tolist()]
        sample = pa.Table.from_batches(parts, schema=file.schema_arrow)
        for name in unseen(sample):
            rows = self._first_of(file, name, full)
            if rows is not None:
                sample = pa.concat_tables([sample, pa.Table.from_batches([rows])], promote_options="none")
        return sample

    def _first_of(self, file: Any, name: str, groups: list[int]) -> Any:
        """Return a few rows, the first of which has something in a column; None if there are none."""
        for group in groups:
            if _is_null(file.metadata.row_group(group), name):
                continue
            for batch in batches(file, [group], _ROWS):
                column = batch.column(name)
                if column.null_count < len(column):
                    return batch.slice(int(np.argmax(np.asarray(column.is_valid()))))
        return None

    def scan(self) -> list[Slice]:
        """Return ranges of row groups.

        Raises
        ------
        InputError
            If columns don't make structures, or there are none.
        """
        with opened(self.content) as file:
            if not file.metadata.num_rows:
                raise InputError("there are no structures: the table has no rows", self.label)
            self.columns(file)
            slices: list[Slice] = []
            begin = frame = rows = nbytes = 0
            for k in range(file.num_row_groups):
                group = file.metadata.row_group(k)
                rows += group.num_rows
                nbytes += group.total_byte_size
                if nbytes >= SLICE_BYTES // 2 or k == file.num_row_groups - 1:
                    slices.append(Slice(begin, k + 1, frame, nbytes))
                    begin, frame, rows, nbytes = k + 1, frame + rows, 0, 0
            return slices

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the structures of a slice in blocks."""
        with opened(self.content) as file:
            columns = self.columns(file)
            groups = range(piece.start, piece.stop)
            total = sum(file.metadata.row_group(k).num_rows for k in groups)
            rows = max(1, min(_MOST_ROWS, total * BLOCK_BYTES // max(1, piece.nbytes)))
            frame = piece.first_frame
            for batch in batches(file, groups, rows, columns.names if columns.left else None):
                yield structures_of(batch, columns, frame)
                frame += batch.num_rows


def _is_null(group: Any, name: str) -> bool:
    """Tell whether a row group has nothing at all in a column, as its statistics say."""
    for k in range(group.num_columns):
        column = group.column(k)
        if column.path_in_schema.partition(".")[0] == name:
            known = column.statistics
            if known is None or not known.has_null_count or known.null_count < column.num_values:
                return False
    return True
