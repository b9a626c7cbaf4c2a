"""Read ASE's databases, row by row, without writing to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from zstruct.errors import InputError
from zstruct.sources.ase.atoms import raw_of
from zstruct.sources.ase.database_units import stated_levels, stated_units
from zstruct.sources.ase.rows import DatabaseError, Rows, rows_of, sentence
from zstruct.sources.content import as_file
from zstruct.sources.source import BadFrame, FileSource, Raw, Slice

__all__ = ["ASEDatabaseSource"]

# Rows of a database per slice, and per query: ASE fetches a query's rows all at once.
_SLICE_ROWS = 1 << 14
_QUERY_ROWS = 1 << 10
_ALL_IDS = 1 << 62


class ASEDatabaseSource(FileSource):
    """One ASE database: SQLite (.db), JSON (.json), or LMDB (.aselmdb), as OMat24 and OMol25 are.

    Rows come in the order of their ids; frame 0 is the first of them. Labels are taken from the
    calculator, in ASE's units, and from ``row.data`` and ``row.key_value_pairs``, in the units that the
    metadata of the database state, if they do. The file is only read, LMDB without its library: one that is
    cut off or damaged is a bad input, and never the end of the process.

    Parameters
    ----------
    path
        The file.
    """

    runs_in = "processes"

    def scan(self) -> list[Slice]:
        """Return ranges of row ids, [start, stop), of `_SLICE_ROWS` rows; one for JSON and for no file."""
        size = int(self.fingerprint()["size"])
        if self.content.path is None:
            return [Slice(0, _ALL_IDS, 0, size)]
        with self._rows() as rows:
            ids, in_parts = rows.ids().tolist(), rows.in_parts
        if not ids:
            raise InputError("the database has no rows", self.label)
        step = _SLICE_ROWS if in_parts else len(ids)
        pieces = []
        for first in range(0, len(ids), step):
            last = min(first + step, len(ids))
            share = size * last // len(ids) - size * first // len(ids)
            pieces.append(Slice(ids[first], ids[last - 1] + 1, first, share))
        return pieces

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the rows of a slice in blocks; rows that can't be used are listed in `Raw.bad`.

        Raises
        ------
        InputError
            If the file is no ASE database, or is damaged.
        """
        if self.content.path is None:
            with as_file(self.content) as path:
                copy = type(self)(path)
                copy.label = self.label
                yield from copy.read(piece)
            return
        with self._rows() as rows:
            ids = rows.ids(piece.start, piece.stop).tolist()
            if not ids:
                raise InputError("the database has no rows", self.label)
            metadata = rows.metadata()
            units, levels = stated_units(metadata), stated_levels(metadata)
            frame = piece.first_frame
            step = _QUERY_ROWS if rows.in_parts else len(ids)  # a JSON file is read whole every time
            for k in range(0, len(ids), step):
                block, frames, extra, bad = [], [], [], []
                for row in rows.rows(ids[k : k + step]):
                    try:
                        if isinstance(row, str):
                            raise _RowError(row)
                        block.append(row.toatoms())
                        extra.append({**row.key_value_pairs, **row.data})
                        frames.append(frame)
                    except _RowError as error:
                        bad.append(BadFrame(frame, str(error)))
                    except Exception as error:  # noqa: BLE001 - rows hold whatever somebody wrote
                        del block[len(frames) :], extra[len(frames) :]
                        bad.append(BadFrame(frame, f"ASE can't use row {row.id}: {sentence(error)}"))
                    frame += 1
                yield raw_of(block, frames, bad, levels, check=False, extra=extra, units=units)

    @contextmanager
    def _rows(self) -> Iterator[Rows]:
        """Open the database; whatever is wrong with it is an `InputError`."""
        try:
            with closing(rows_of(self.path)) as rows:
                yield rows
        except DatabaseError as error:
            raise InputError(str(error), self.label) from error


class _RowError(Exception):
    """Why a row can't be read."""
