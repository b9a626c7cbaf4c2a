"""Sources that read through ASE: files, databases, and Atoms objects in memory.

ASE holds the GIL and its readers are slow, so files are read in processes, one slice per file, and
databases in slices of rows. Objects are read where they are. How Atoms become columns is the
business of `zstruct.sources.ase.atoms`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import chain
from typing import Any, Literal
from urllib.parse import quote

from zstruct.errors import InputError, MissingExtraError, StoreAccessError
from zstruct.keywords import keywords
from zstruct.sources.ase.atoms import Snapshot, blocks, raw_of
from zstruct.sources.ase.convergence import OUTPUTS, Verdict, note, verdict
from zstruct.sources.ase.corrections import Correction, DistrustError, correct, correction_of
from zstruct.sources.ase.database_units import stated_levels, stated_units
from zstruct.sources.ase.objects import is_structure, snapshots
from zstruct.sources.compression import DAMAGED, begins, decompressed, unpacked
from zstruct.sources.content import Content, as_file
from zstruct.sources.source import BadFrame, FileSource, Raw, Slice

__all__ = ["ASEDatabaseSource", "ASESource", "AtomsSource"]

# Rows of a database per slice, and per query: ASE fetches a query's rows all at once.
_SLICE_ROWS = 1 << 14
_QUERY_ROWS = 1 << 10
_ALL_IDS = 1 << 62
# What of a file's beginning is looked at beside ASE.
_HEAD_BYTES = 1 << 16


@keywords()
class ASESource(FileSource):
    """One file of any format that `ase.io.iread` reads.

    Parameters
    ----------
    path
        The file.
    format
        ASE's name of the format; found out by ASE if not given.
    """

    runs_in = "processes"

    def __init__(self, path: str | os.PathLike[str] | Content, format: str | None = None):
        super().__init__(path)
        self.format = format

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the frames of the file in blocks; a frame that ASE fails at is the last.

        What ASE makes up or overlooks is mended as `zstruct.sources.ase.corrections` says.

        Raises
        ------
        InputError
            If there is no such file, ASE doesn't know its format, or takes it for what it is not.
        """
        with contextlib.ExitStack() as stack:
            try:  # ASE does not know zstd, and unpacks the others without an end
                content = unpacked(self.content, "zstd", "xz", "bzip2")
                path = stack.enter_context(as_file(content))
            except StoreAccessError:
                raise
            except (*DAMAGED, OSError) as error:
                raise InputError(
                    f"decompression failed, the file is damaged or cut off: {error}", self.label
                ) from error
            yield from self._read(path)

    def _read(self, path: str) -> Iterator[Raw]:
        failed: list[BadFrame] = []
        format, head = self._format(path, failed), self._head()
        if format is not None:
            try:
                found = correction_of(format, head)
            except DistrustError as error:
                raise InputError(str(error), self.label) from error
            made = self._corrected(path, format, head, found, failed)
            yield from made if format not in OUTPUTS else self._noted(made, format)
        if failed:
            yield raw_of([], [], failed, {}, check=False)

    def _corrected(
        self, path: str, format: str, head: str, found: Correction, failed: list[BadFrame]
    ) -> Iterator[Raw]:
        for raw in blocks(self._frames(path, format, head, found, failed), 0, check=False):
            correct(raw, format, found)
            yield raw

    def _noted(self, made: Iterator[Raw], format: str) -> Iterator[Raw]:
        """Note what the output says of its structures, which can be told when all have been read."""
        known = Verdict([], True)
        with contextlib.suppress(OSError, *DAMAGED), decompressed(self.content) as file:
            known = verdict(file, format)
        if known.whole and False not in known.converged:
            yield from made
            return
        whole = list(made)
        note(whole, known)
        yield from whole

    def _format(self, path: str, failed: list[BadFrame]) -> str | None:
        """Return ASE's name of the format; None if the file fails before it can be told."""
        if self.format is not None:
            return self.format
        from ase.io.formats import UnknownFileTypeError, filetype, ioformats

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                format = str(filetype(path))
            if format in ioformats:
                return format
            why = f"nothing is called {format!r}"
        except UnknownFileTypeError as error:
            why = _sentence(error)
        except FileNotFoundError as error:
            raise InputError("there is no such file", self.label) from error
        except Exception as error:  # noqa: BLE001 - whatever reading a damaged file raises
            failed.append(BadFrame(0, f"ASE fails to read it: {_sentence(error)}"))
            return None
        raise InputError(
            f"ASE can't tell the format of this file ({why}); name it with reader='ase:FORMAT', or another "
            "reader",
            self.label,
        )

    def _head(self) -> str:
        """Return how the file begins, as text; nothing if it can't be read, which ASE will say."""
        return begins(self.content, _HEAD_BYTES).decode("utf-8", "replace")

    def _frames(
        self, path: str, format: str, head: str, found: Correction, failed: list[BadFrame]
    ) -> Iterator[Any]:
        from ase.io import iread
        from ase.io.formats import UnknownFileTypeError

        frames: Iterator[Any] | None = None
        k = 0
        while True:
            try:
                with warnings.catch_warnings():  # readers warn about what is none of the user's fault
                    warnings.simplefilter("ignore")
                    if frames is None:
                        frames = iread(path, ":", format, do_not_split_by_at_sign=True, **found.options)
                    atoms = next(frames)
                    if found.frame is not None:
                        found.frame(atoms, head)
            except StopIteration:
                break
            except UnknownFileTypeError as error:
                raise InputError(
                    f"ASE can't read this format ({_sentence(error)}); name it with reader='ase:FORMAT'",
                    self.label,
                ) from error
            except FileNotFoundError as error:
                raise InputError("there is no such file", self.label) from error
            except Exception as error:  # noqa: BLE001 - ASE's readers raise whatever their parsing trips over
                failed.append(BadFrame(k, f"ASE fails to read it: {_sentence(error)}"))
                break
            yield atoms
            k += 1
        if k == 0 and not failed:
            raise InputError("ASE finds no structure in this file", self.label)


def _sentence(error: BaseException) -> str:
    """Return an exception as one line of bounded length."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 200 else text[:200] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class ASEDatabaseSource(FileSource):
    """One ASE database: SQLite (.db), JSON (.json), or LMDB (.aselmdb, with ase-db-backends).

    Rows come in the order of their ids; frame 0 is the first of them. Labels are taken from the
    calculator, in ASE's units, and from ``row.data`` and ``row.key_value_pairs``, in the units that the
    metadata of the database state, if they do. The file is only read.

    Parameters
    ----------
    path
        The file.
    """

    runs_in = "processes"

    @property
    def _type(self) -> str:
        suffix = os.path.splitext(self.path)[1].lower()
        return {".json": "json", ".aselmdb": "aselmdb"}.get(suffix, "db")

    def scan(self) -> list[Slice]:
        """Return ranges of row ids, [start, stop), of `_SLICE_ROWS` rows; one for JSON and for no file."""
        size = int(self.fingerprint()["size"])
        if self.content.path is None:
            return [Slice(0, _ALL_IDS, 0, size)]
        ids = self._ids()
        if not ids:
            raise InputError("the database has no rows", self.label)
        step = len(ids) if self._type == "json" else _SLICE_ROWS
        pieces = []
        for first in range(0, len(ids), step):
            last = min(first + step, len(ids))
            share = size * last // len(ids) - size * first // len(ids)
            pieces.append(Slice(ids[first], ids[last - 1] + 1, first, share))
        return pieces

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the rows of a slice in blocks.

        Raises
        ------
        InputError
            If the file is no ASE database.
        MissingExtraError
            If it is an LMDB database and ase-db-backends is not installed.
        """
        if self.content.path is None:
            with as_file(self.content) as path:
                copy = type(self)(path)
                copy.label = self.label
                yield from copy.read(piece)
            return
        ids = self._ids(piece.start, piece.stop)
        if not ids:
            raise InputError("the database has no rows", self.label)
        frame = piece.first_frame
        step = len(ids) if self._type == "json" else _QUERY_ROWS  # a JSON file is read whole every time
        with ExitStack() as stack:
            database = self._connect()
            if self._type == "db":
                stack.enter_context(database)  # else it leaves a connection open for every query
            metadata = self._metadata(database)
            units, levels = stated_units(metadata), stated_levels(metadata)
            for k in range(0, len(ids), max(1, step)):
                block, frames, extra, bad = [], [], [], []
                for row in self._rows(database, ids[k : k + step]):
                    try:
                        block.append(row.toatoms())
                        extra.append({**row.key_value_pairs, **row.data})
                        frames.append(frame)
                    except Exception as error:  # noqa: BLE001 - rows hold whatever somebody wrote
                        del block[len(frames) :], extra[len(frames) :]
                        bad.append(BadFrame(frame, f"ASE can't use row {row.id}: {_sentence(error)}"))
                    frame += 1
                yield raw_of(block, frames, bad, levels, check=False, extra=extra, units=units)

    def _metadata(self, database: Any) -> Any:
        try:
            return getattr(database, "metadata", {})
        except Exception as error:  # whatever it is, it is counted
            raise self._no_database(error) from error

    def _connect(self) -> Any:
        import ase.db

        try:
            if self._type == "aselmdb":
                return ase.db.connect(self.path, type="aselmdb", readonly=True, use_lock_file=False)
            return ase.db.connect(self.path, type=self._type, create_indices=False, use_lock_file=False)
        except ImportError as error:
            raise MissingExtraError(
                f"{self.label}: databases of type {self._type!r} need a package: pip install "
                "'zstruct[aselmdb]'"
            ) from error
        except Exception as error:  # whatever it is, it is counted
            raise self._no_database(error) from error

    def _ids(self, start: int = 0, stop: int = _ALL_IDS) -> list[int]:
        """Return the row ids from `start` to `stop` in order, without reading rows if possible."""
        if self._type == "aselmdb":
            return sorted(i for i in map(int, self._connect().ids) if start <= i < stop)
        try:
            if self._type == "json":
                rows = self._connect().select(sort="id", include_data=False)
                return [row.id for row in rows if start <= row.id < stop]
            # ASE would make tables in a file that has none, so look before it connects.
            uri = f"file:{quote(os.path.abspath(self.path))}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True)) as connection:
                query = "SELECT id FROM systems WHERE id >= ? AND id < ? ORDER BY id"
                return [i for (i,) in connection.execute(query, (start, stop))]
        except Exception as error:  # whatever it is, it is counted
            raise self._no_database(error) from error

    def _rows(self, database: Any, ids: Sequence[int]) -> Iterable[Any]:
        try:
            if self._type == "aselmdb":
                return [database.get(id=i) for i in ids]
            if self._type == "json":
                wanted = set(ids)
                return [row for row in database.select(sort="id") if row.id in wanted]
            return list(database.select(f"id>={ids[0]},id<={ids[-1]}", sort="id"))
        except Exception as error:  # whatever it is, it is counted
            raise self._no_database(error) from error

    def _no_database(self, error: BaseException) -> InputError:
        return InputError(f"can't be read as an ASE database: {_sentence(error)}", self.label)


@keywords()
class AtomsSource:
    """Structures that are already in memory, or come from an iterator.

    Structures and Molecules of pymatgen, Data of torch_geometric and structures of aenet are taken in place
    of Atoms, with their labels under the names that they have there.

    A list is read in place; whatever else iterates has every structure copied as it comes, so
    it may hand out one object again and again, as molecular dynamics does. Labels are the
    results that calculators hold for the structure as it is; nothing is ever calculated.

    Parameters
    ----------
    structures
        An `ase.Atoms`, a list of them, or any iterable.
    label
        What messages and provenance call it.
    first_frame
        The number of its first frame, where it goes on with structures that come elsewhere.
    """

    runs_in: Literal["threads", "processes", "here", "caller"] = "caller"

    def __init__(self, structures: Any, label: str = "atoms", first_frame: int = 0):
        from ase import Atoms

        alone = isinstance(structures, Atoms) or is_structure(type(structures))
        self.structures = [structures] if alone else structures
        self.label, self.first_frame = label, first_frame

    def __repr__(self) -> str:
        return f"AtomsSource({self.label!r})"

    def fingerprint(self) -> None:
        """Return None: objects in memory leave no trace by which to know them again."""

    def scan(self) -> list[Slice]:
        """Return everything as one slice; its length is 0 where it can't be known.

        Raises
        ------
        InputError
            If there are no structures.
        """
        if not isinstance(self.structures, (list, tuple)):
            return [Slice(0, 0, self.first_frame, 0)]
        n = len(self.structures)
        if not n:
            raise InputError("the list of structures is empty", self.label)
        sample = self.structures[:: max(1, n // 100)]
        mean = sum(56 * len(a) + 104 for a in sample if hasattr(a, "arrays")) / len(sample)
        return [Slice(0, n, self.first_frame, int(mean * n))]

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the structures in blocks."""
        from ase import Atoms

        if isinstance(self.structures, (list, tuple)):
            given: Iterable[Any] = self.structures
            if any(map(is_structure, set(map(type, given)))):
                given = chain.from_iterable(map(snapshots, given))
        else:
            copies = (Snapshot(a) if isinstance(a, Atoms) else a for a in self.structures)
            given = chain.from_iterable(map(snapshots, copies))
        yield from blocks(given, piece.first_frame, check=True)
