"""A Parquet table with a row for each structure, in which atoms are lists: for Awkward, pandas, DuckDB.

Columns have the names of fields; unit and meaning of each are in its metadata. What is missing is null.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import MissingExtraError
from zstruct.exporters.blocks import Block, Contents
from zstruct.exporters.exporter import Exporter
from zstruct.exporters.limits import NO_UNICODE, Limits
from zstruct.exporters.named_arrays import unit_of
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, GEOMETRY, Field
from zstruct.sources.array_files.stored import OWN, PLACE

__all__ = ["ParquetExporter"]

_COUNTS = "n_atoms"


class ParquetExporter(Exporter):
    """Writes ``.parquet``, compressed by zstd, a row group for each block.

    Columns are called as the fields of the store, and what is missing is null. Metadata of columns say their
    unit and meaning, and those of the file, ``zstruct_fields``, what `zstruct.build` makes of them.
    """

    limits = Limits((NO_UNICODE,))

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the file.

        Raises
        ------
        MissingExtraError
            If pyarrow is not installed.
        """
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise MissingExtraError("Parquet needs a package: pip install 'zstruct[parquet]'") from error
        left_out = self.limits.left_out(contents)
        self._fields = {name: field for name, field in contents.fields.items() if name not in left_out}
        self._categories = contents.categories
        types = {name: _type(pa, field) for name, field in self._fields.items()}
        entries = [pa.field(_COUNTS, pa.int64(), False, {"description": "number of atoms"})]
        entries += [
            pa.field(name, types[name], metadata={"unit": field.unit, "description": field.description})
            for name, field in self._fields.items()
        ]
        rows = [(name, contents.originals.get(name, name), field) for name, field in self._fields.items()]
        said = [(_COUNTS, _COUNTS, PLACE, "", "")]
        said += [
            (name, name, PLACE, unit_of(field), "")
            if name in GEOMETRY
            else (name, original, field.level, unit_of(field), "")
            for name, original, field in rows
        ]
        self._schema = pa.schema(entries, {OWN: json.dumps(said)})
        texts = [name for name, field in self._fields.items() if field.kind == "category"]
        self._writer = pq.ParquetWriter(
            target,
            self._schema,
            compression="zstd",
            use_dictionary=texts or False,
            write_page_checksum=True,
        )

    def write(self, block: Block) -> None:
        """Append some structures as rows."""
        import pyarrow as pa

        columns = [pa.array(block.n_atoms)]
        for name, field in self._fields.items():
            rows = block.columns[name]
            there = block.present.get(name)
            gone = None if there is None else ~there
            texts = self._categories.get(name)
            lengths = block.n_atoms
            if field.level != ATOM:
                if not field.shape:
                    columns.append(_array(pa, rows, field, texts, gone))
                    continue
                lengths = np.full(len(block), field.shape[0])
                rows = rows.reshape(-1, *field.shape[1:])
            if gone is not None:  # older versions take no missing list that has a length
                rows, lengths = rows[np.repeat(~gone, lengths)], np.where(gone, 0, lengths)
            offsets = pa.array(counts_to_offsets(lengths).astype(np.int32))
            values = _array(pa, rows, field, texts, None)
            columns.append(
                pa.ListArray.from_arrays(offsets, values, mask=None if gone is None else pa.array(gone))
            )
        self._writer.write_table(pa.table(columns, schema=self._schema))

    def end(self) -> None:
        """Complete and close the file."""
        self._writer.close()


def _type(pa: Any, field: Field) -> Any:
    kinds = {"category": pa.string(), "bool": pa.bool_()}
    found = kinds.get(field.kind) or pa.from_numpy_dtype(np.dtype(field.dtype))
    for size in reversed(_inner(field)):
        found = pa.list_(found, size)
    return pa.list_(found) if field.level == ATOM or field.shape else found


def _inner(field: Field) -> tuple[int, ...]:
    """Return the lengths of lists in lists: the outer one, which may be missing, is of any length.

    Lists of a fixed length can be missing as well, but before version 26 pyarrow does not read such.
    """
    return field.shape if field.level == ATOM else field.shape[1:]


def _array(
    pa: Any, rows: NDArray[Any], field: Field, texts: list[str] | None, gone: NDArray[np.bool_] | None
) -> Any:
    """Return rows as an array of Arrow: of numbers, or of lists of a fixed length."""
    flat = rows.reshape(-1)
    if field.kind == "bool":
        flat = flat.astype(bool)
    if texts is not None:
        made = pa.array(texts, pa.string()).take(pa.array(flat, mask=flat < 0))
    else:
        made = pa.array(flat, mask=gone)
    for size in reversed(_inner(field)):
        made = pa.FixedSizeListArray.from_arrays(made, size)
    return made
