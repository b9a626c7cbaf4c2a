"""The tasks of `label`: labels of some structures, kept in a part until the group is made of all parts.

A part that is whole is not made again. Nobody waits until it is on the disk: what a power failure leaves of
it does not have its checksum. What makes labels is not known here, nor how a group becomes visible.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.building.parts import PartWriter
from zstruct.errors import InputError
from zstruct.labels.calls import Asked, Call
from zstruct.labels.outcome import Outcome
from zstruct.loading.reader import StructureReader
from zstruct.ragged import Packed, atom_rows, counts_to_offsets, segment_ranges
from zstruct.schema import ATOM, Field
from zstruct.store.checksums import crc
from zstruct.store.label_writer import FAILURE_FIELD
from zstruct.store.spec import FAILURE
from zstruct.store.workdir import read_json

__all__ = ["Job", "PartTask", "do_part", "forget_damaged", "joined_field", "part_tasks"]

_PARTS = 256  # at least so many of a function's batches: a kill costs no more than one of them
_PART_ATOMS = 1 << 18  # at most in a part
_SMALL_PARTS, _PART_STRUCTURES = 4096, 64  # of a calculator
_NOTHING = "all that came back is missing (NaN)"


@dataclass(frozen=True, eq=False)
class Job:
    """What is labelled, by what, and where it is kept until it is whole.

    Parameters
    ----------
    work
        The working directory.
    reader
        Has all structures of the store as batches.
    call
        What is asked.
    max_atoms
        Of a batch.
    """

    work: Path
    reader: StructureReader
    call: Call
    max_atoms: int


@dataclass(frozen=True, eq=False)
class PartTask:
    """Labels of some structures of the store, ascending, which have these numbers of atoms."""

    job: Job
    number: int
    structures: NDArray[np.int64]
    n_atoms: NDArray[np.int64]

    @property
    def marker(self) -> Path:
        """The file that says that it is done."""
        return self.job.work / "parts" / f"{self.number}.json"

    @property
    def file(self) -> Path:
        """The part."""
        return self.job.work / "parts" / f"{self.number}.part"

    @property
    def nbytes(self) -> int:
        """By how much it moves the bar: structures that are labelled."""
        return len(self.structures)

    def asked(self) -> list[Asked]:
        """Return the structures that labels are asked for, as batches."""
        ranges = segment_ranges(counts_to_offsets(self.n_atoms), self.job.max_atoms)
        return [Asked(self.job.reader, self.structures[a:b]) for a, b in ranges]


def part_tasks(job: Job, structures: NDArray[np.int64], n_atoms: NDArray[np.int64]) -> list[PartTask]:
    """Return the parts of a job.

    Parameters
    ----------
    job
        The job.
    structures
        Those that are labelled, ascending, shape (n,).
    n_atoms
        Of each, shape (n,).
    """
    weights = np.ones_like(n_atoms) if job.call.factory else n_atoms
    edges = counts_to_offsets(weights)
    if job.call.factory:  # structures are labelled each for itself
        most = max(1, min(_PART_STRUCTURES, len(structures) // _SMALL_PARTS))
    else:
        most = max(job.max_atoms, min(_PART_ATOMS, int(edges[-1]) // _PARTS))
    return [
        PartTask(job, k, structures[a:b], n_atoms[a:b])
        for k, (a, b) in enumerate(segment_ranges(edges, most))
    ]


def forget_damaged(tasks: Iterable[PartTask]) -> None:
    """Have parts made again of which a power failure, say, has left something else than was written."""
    for task in tasks:
        with contextlib.suppress(ValueError):  # of a marker
            said = read_json(task.marker)
            if said is None or (task.file.exists() and _checksum(task.file) == said.get("checksum")):
                continue
        task.marker.unlink()


def _checksum(file: Path) -> str:
    return crc(file.read_bytes()).hex()


def do_part(task: PartTask) -> dict[str, Any]:
    """Label the structures of a part; return how many have labels, and the checksum of the part.

    Raises
    ------
    InputError
        If what came back can't be labels.
    """
    made = _Part(task)
    for asked in task.asked():
        for those, outcome in asked.outcomes(task.job.call):
            made.add(np.searchsorted(task.structures, those.structures), outcome)
    labelled, packed = made.packed()
    with PartWriter(task.file, durable=False, decimals=False) as part:
        part.add(packed)
        part.close({})
    return {"labelled": labelled, "checksum": _checksum(task.file)}


class _Part:
    """Labels of the structures of a part, of which batches come one after the other."""

    def __init__(self, task: PartTask):
        self._n_atoms = task.n_atoms
        self._offsets = counts_to_offsets(task.n_atoms)
        self._fields: dict[str, Field] = {}
        self._rows: dict[str, NDArray[Any]] = {}
        self._present: dict[str, NDArray[np.bool_]] = {}
        self._codes = np.full(len(task.n_atoms), -1, dtype=np.int32)
        self._texts: dict[str, int] = {}

    def add(self, places: NDArray[np.int64], outcome: Outcome) -> None:
        """Add the labels of the structures at some places, ascending."""
        for name, (row, rows) in outcome.columns.items():
            self._make_room(name, row)
            into: Any = places
            if row.level == ATOM:
                into = atom_rows(self._offsets[places], self._n_atoms[places])
            if len(into) and int(into[-1]) - int(into[0]) == len(into) - 1:
                into = slice(int(into[0]), int(into[-1]) + 1)  # usual, and faster
            self._rows[name][into] = rows
            self._present[name][places] = outcome.present[name]
        for k, reason in outcome.reasons.items():
            self._codes[places[k]] = self._texts.setdefault(reason, len(self._texts))

    def _make_room(self, name: str, row: Field) -> None:
        there = self._fields.get(name)
        if there is None:
            n = int(self._offsets[-1]) if row.level == ATOM else len(self._n_atoms)
            self._fields[name] = row
            self._rows[name] = np.full((n, *row.shape), row.missing, row.dtype)
            self._present[name] = np.zeros(len(self._n_atoms), dtype=bool)
            return
        joined = joined_field(there, row)
        if joined.dtype != there.dtype:
            self._rows[name] = self._rows[name].astype(joined.dtype)
        self._fields[name] = joined

    def packed(self) -> tuple[int, Packed]:
        """Return of how many structures there are labels, and all of it; the others have a reason."""
        packed = Packed(self._n_atoms)
        labelled = np.zeros(len(packed), dtype=bool)
        for name, row in self._fields.items():
            packed.add(row, self._rows[name], self._present[name])
            labelled |= self._present[name]
        nothing = ~labelled & (self._codes < 0)
        if nothing.any():
            self._codes[nothing] = self._texts.setdefault(_NOTHING, len(self._texts))
        failed = self._codes >= 0
        if failed.any():
            packed.add(FAILURE_FIELD, self._codes, failed)
            packed.categories[FAILURE] = list(self._texts)
        return int(labelled.sum()), packed


def joined_field(one: Field, other: Field) -> Field:
    """Return the field that holds the rows of both, which are of the same label.

    Raises
    ------
    InputError
        If none can.
    """
    if one == other:
        return one
    if (one.level, one.shape, one.kind) != (other.level, other.shape, other.kind):
        raise InputError(
            f"{one.name} comes as {_said(one)} for some structures and as {_said(other)} for others: labels "
            "of one name have one shape"
        )
    wide = np.promote_types(one.dtype, other.dtype)
    return one if np.dtype(one.dtype) == wide else other


def _said(row: Field) -> str:
    each = f" of the shape {row.shape}" if row.shape else ""
    return f"{row.kind}{each} per {row.level}"
