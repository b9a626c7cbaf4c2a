"""What ASE reads: its databases, and its trajectories. Structures go through `ase.Atoms`, one at a time."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from zstruct.errors import InputError, MissingExtraError
from zstruct.exporters.blocks import Block, Contents
from zstruct.exporters.exporter import Exporter
from zstruct.exporters.limits import HALF_PROVENANCE, UNITS, Entry, FieldLimit, Limits, is_unicode
from zstruct.schema import ATOM, FIELDS, GEOMETRY
from zstruct.sources.ase.database_units import LEVELS
from zstruct.to_ase import atoms_of, restored

__all__ = ["ASEDatabaseExporter", "ASELMDBExporter", "ASETrajectoryExporter"]

# What ASE's own files keep of atoms, besides their results.
_ARRAYS = ("momenta", "masses", "initial_charges", "initial_magmoms", "tags", "move_mask")
# Results for which its databases have columns.
_RESULTS = ("energy", "free_energy", "forces", "stress", "dipole", "magmom", "magmoms", "charges")
# Its column of tags has so many bits; larger ones are data.
_MOST_TAG = 1 << 31
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def structures(block: Block, contents: Contents) -> Iterator[dict[str, Any]]:
    """Yield the values of each structure by field, as `zstruct.to_ase.atoms_of` takes them.

    Parameters
    ----------
    block
        The structures.
    contents
        What is exported.
    """
    offsets = block.offsets.tolist()
    columns = dict(block.columns)
    for name, texts in contents.categories.items():
        columns[name] = np.array([*texts, ""], dtype=object)[columns[name]]
    present = {name: block.present[name].tolist() for name in block.present}
    fields = [(name, field.kind, field.level == ATOM) for name, field in contents.fields.items()]
    for k in range(len(block)):
        values = {}
        for name, kind, per_atom in fields:
            if name not in present or present[name][k]:
                rows = columns[name]
                value = rows[offsets[k] : offsets[k + 1]] if per_atom else rows[k]
                values[name] = restored(value, kind, per_atom)
        yield values


def _per_atom(contents: Contents) -> set[str]:
    return {name for name, field in contents.fields.items() if field.level == ATOM}


def _own_array(entry: Entry) -> str:
    from ase.calculators.calculator import all_properties

    own = entry.field.level == ATOM and entry.name not in (*GEOMETRY, *_ARRAYS, *all_properties)
    return "trajectories of ASE keep no arrays of one's own" if own else ""


class ASETrajectoryExporter(Exporter):
    """Writes a trajectory, ``.traj``."""

    limits = Limits(
        (HALF_PROVENANCE, FieldLimit("fields of atoms that are not ASE's, of their names", _own_array), UNITS)
    )

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the file."""
        from ase.io.trajectory import TrajectoryWriter

        self._contents, self._lost = contents, self.limits.left_out(contents)
        self._per_atom = _per_atom(contents)
        self._writer = TrajectoryWriter(os.fspath(target), "w")

    def write(self, block: Block) -> None:
        """Append some structures."""
        for values in structures(block, self._contents):
            kept = {name: value for name, value in values.items() if name not in self._lost}
            self._writer.write(atoms_of(kept, self._per_atom, self._contents.originals))

    def end(self) -> None:
        """Close the file."""
        self._writer.close()


class ASEDatabaseExporter(Exporter):
    """Writes an SQLite database, ``.db``: texts, booleans and whole numbers are keys to select by."""

    type = "db"
    limits = Limits((HALF_PROVENANCE,))

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the file, and begin a transaction for all of it.

        Raises
        ------
        MissingExtraError
            If a package is not installed.
        """
        import ase.db

        self._contents, self._lost = contents, self.limits.left_out(contents)
        self._per_atom = _per_atom(contents)
        with self._failing(target):
            self._database = ase.db.connect(os.fspath(target), type=self.type, use_lock_file=False)
            self._database.__enter__()
            self._database.metadata = self._metadata()
        self._target = target

    def _metadata(self) -> dict[str, Any]:
        """Return what is said of the properties that are ours: whether they are per atom, and their units."""
        own = {
            self._contents.originals.get(name, name): field
            for name, field in self._contents.fields.items()
            if name not in GEOMETRY and name not in self._lost
        }
        units = {key: field.unit for key, field in own.items() if field.unit and field.name not in FIELDS}
        return {
            LEVELS: {key: field.level for key, field in own.items()},
            **({"units": units} if units else {}),
        }

    def write(self, block: Block) -> None:
        """Append some structures as rows."""
        originals = self._contents.originals
        for values in structures(block, self._contents):
            data: dict[str, Any] = {}
            keys: dict[str, Any] = {}
            kept: dict[str, Any] = {}
            for name, value in values.items():
                if name in self._lost:
                    continue
                fits = name != "tags" or bool(((value > -_MOST_TAG) & (value < _MOST_TAG)).all())
                if fits and (name in GEOMETRY or name in _ARRAYS or name in _RESULTS):
                    kept[name] = value
                    continue
                key = originals.get(name, name)
                if isinstance(value, np.ndarray) and value.dtype.kind == "U":
                    value = value.tolist()  # arrays of texts can be written, but not be read
                where = keys if isinstance(value, str | bool | int) and _is_key(key, value) else data
                where[key] = value
            atoms = atoms_of(kept, self._per_atom, originals)
            with self._failing(self._target), np.errstate(over="ignore"):  # of norms that ASE keeps beside
                self._database.write(atoms, key_value_pairs=keys, data=data)

    def end(self) -> None:
        """Complete the transaction and close the file."""
        with self._failing(self._target):
            self._database.__exit__(None, None, None)

    def abort(self) -> None:
        """Close the file."""
        self._database.__exit__(InputError, InputError("given up"), None)

    @contextmanager
    def _failing(self, target: Path) -> Iterator[None]:
        """Say what a full disk is in the words of the system."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "full" in str(error) or "I/O" in str(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(target)) from error
            raise


class ASELMDBExporter(ASEDatabaseExporter):
    """Writes an LMDB database, ``.aselmdb``, with ase-db-backends."""

    type = "aselmdb"

    @contextmanager
    def _failing(self, target: Path) -> Iterator[None]:
        try:
            import ase_db_backends  # noqa: F401
            import lmdb
        except ImportError as error:
            raise MissingExtraError(
                "databases of type 'aselmdb' need a package: pip install 'zstruct[aselmdb]'"
            ) from error
        try:
            yield
        except (lmdb.DiskError, lmdb.MapFullError) as error:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(target)) from error


def _is_key(key: str, value: Any) -> bool:
    """Return whether ASE takes a key and its value for one to select by."""
    from ase.db.core import check

    if not _KEY.fullmatch(key) or (key in FIELDS and FIELDS[key].level == ATOM):
        return False
    if isinstance(value, str) and not is_unicode(value):  # SQLite has none, and JSON has
        return False
    try:
        check({key: value})
    except ValueError:
        return False
    return not isinstance(value, int) or abs(value) < 2**53
