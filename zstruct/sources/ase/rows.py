"""Rows of ASE's databases: SQLite and JSON through ASE, LMDB page by page.

A row is ASE's, or the sentence that says why it can't be used. What rows hold is not known here.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any, Protocol
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import ZstructError
from zstruct.sources.ase.lmdb_pages import LMDBPages, PagesError

__all__ = ["DatabaseError", "Rows", "rows_of", "sentence"]

_ALL_IDS = 1 << 62
_LARGEST_ROW = 1 << 30  # bytes of JSON
_FEW = 1 << 16  # ids that are looked for one by one, not all keys gone through


class DatabaseError(Exception):
    """Why a file can't be read as a database, as a sentence."""


class Rows(Protocol):
    """The rows of one database; closed by ``close``."""

    in_parts: bool
    """Whether some rows are read without reading all."""

    def metadata(self) -> Any:
        """Return what the database says of itself."""

    def ids(self, start: int = 0, stop: int = _ALL_IDS) -> NDArray[np.int64]:
        """Return the row ids from `start` to `stop` in order."""

    def rows(self, ids: Sequence[int]) -> Iterator[Any]:
        """Yield the rows of some ids, in their order, or what is wrong with one."""

    def close(self) -> None:
        """Give back what is open."""


def rows_of(path: str) -> Rows:
    """Return the rows of a database, by its name.

    Raises
    ------
    DatabaseError
        If it is none.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".aselmdb":
        return _LMDBRows(path)
    return _ASERows(path, "json" if suffix == ".json" else "db")


def sentence(error: BaseException) -> str:
    """Return an exception as one line of bounded length."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 200 else text[:200] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class _ASERows:
    """Rows of an SQLite or a JSON database."""

    def __init__(self, path: str, kind: str):
        self._path, self.in_parts = path, kind == "db"
        self.ids(stop=0)  # before ASE connects: it would make tables in a file that has none
        self._stack = ExitStack()
        try:
            self._database = self._connect(kind)
            if self.in_parts:
                self._stack.enter_context(self._database)  # else it leaves a connection open for every query
        except Exception as error:  # whatever it is, it is counted
            raise _refusal(error) from error

    def _connect(self, kind: str) -> Any:
        import ase.db

        return ase.db.connect(self._path, type=kind, create_indices=False, use_lock_file=False)

    def metadata(self) -> Any:
        try:
            return getattr(self._database, "metadata", {})
        except Exception as error:  # whatever it is, it is counted
            raise _refusal(error) from error

    def ids(self, start: int = 0, stop: int = _ALL_IDS) -> NDArray[np.int64]:
        try:
            if not self.in_parts:
                rows = self._connect("json").select(sort="id", include_data=False)
                return np.array([row.id for row in rows if start <= row.id < stop], dtype=np.int64)
            uri = f"file:{quote(os.path.abspath(self._path))}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True)) as connection:
                query = "SELECT id FROM systems WHERE id >= ? AND id < ? ORDER BY id"
                found = connection.execute(query, (start, stop))
                return np.fromiter((i for (i,) in found), dtype=np.int64)
        except Exception as error:  # whatever it is, it is counted
            raise _refusal(error) from error

    def rows(self, ids: Sequence[int]) -> Iterator[Any]:
        try:
            if self.in_parts:
                found = list(self._database.select(f"id>={ids[0]},id<={ids[-1]}", sort="id"))
            else:
                wanted = set(ids)
                found = [row for row in self._database.select(sort="id") if row.id in wanted]
        except Exception as error:  # whatever it is, it is counted
            raise _refusal(error) from error
        yield from found

    def close(self) -> None:
        self._stack.close()


class _LMDBRows:
    """Rows of an LMDB database, as of OMat24 and OMol25, each a compressed JSON text."""

    in_parts = True

    def __init__(self, path: str):
        try:
            self._pages = LMDBPages(path)
        except PagesError as error:
            raise DatabaseError(f"can't be read as an ASE database: {error}") from error
        except OSError as error:
            raise DatabaseError(f"can't be opened: {error.strerror}") from error

    def metadata(self) -> Any:
        try:
            return self._decoded(b"metadata") or {}
        except (PagesError, ValueError) as error:
            raise DatabaseError(f"can't be read as an ASE database: its metadata: {error}") from error

    def ids(self, start: int = 0, stop: int = _ALL_IDS) -> NDArray[np.int64]:
        try:
            if stop - start <= _FEW:
                return np.array([i for i in range(start, stop) if b"%d" % i in self._pages], dtype=np.int64)
            keys = (int(key) for key in self._pages if key.isdigit() and len(key) < 19)
            ids = np.sort(np.fromiter(keys, dtype=np.int64))
        except PagesError as error:
            raise DatabaseError(f"can't be read as an ASE database: {error}") from error
        return ids[np.searchsorted(ids, start) : np.searchsorted(ids, stop)]

    def rows(self, ids: Sequence[int]) -> Iterator[Any]:
        for i in ids:
            try:
                yield self._row(i)
            except PagesError as error:
                raise DatabaseError(f"can't be read as an ASE database: row {i}: {error}") from error
            except Exception as error:  # noqa: BLE001 - rows hold whatever somebody wrote
                yield f"row {i} can't be read: {sentence(error)}"

    def _row(self, i: int) -> Any:
        from ase.calculators.calculator import all_properties
        from ase.db.row import AtomsRow

        entry = self._decoded(b"%d" % i)
        if not isinstance(entry, dict):
            raise ValueError("it is no table of names and values")
        arrays = {key: np.asarray(entry[key]) for key in all_properties if isinstance(entry.get(key), list)}
        return AtomsRow({**entry, **arrays, "id": i})

    def _decoded(self, key: bytes) -> Any:
        from ase.io.jsonio import decode

        packed = self._pages.get(key)
        if packed is None:
            return None
        machine = zlib.decompressobj()
        try:
            text = machine.decompress(packed, _LARGEST_ROW)
        except zlib.error as error:
            raise ValueError(f"its compression is damaged ({error})") from error
        if not machine.eof:
            raise ValueError("it unpacks to more than 1 GiB" if machine.unconsumed_tail else "it is cut off")
        return decode(text.decode())

    def close(self) -> None:
        self._pages.close()


def _refusal(error: BaseException) -> Exception:
    if isinstance(error, (DatabaseError, ZstructError)):
        return error
    return DatabaseError(f"can't be read as an ASE database: {sentence(error)}")
