"""What a build is made of: inputs with fingerprints, and the parse jobs they are cut into.

The manifest is written before the first part and read when an interrupted build is resumed: same
options and inputs, same jobs, so the parts that exist can be used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from zstruct import parallel
from zstruct.errors import ChangedInputError, InputError
from zstruct.sources import Slice, Source
from zstruct.store.workdir import write_json

__all__ = ["Manifest", "ParseJob", "check_unchanged", "fingerprints", "make_manifest"]

_FILES_PER_JOB = 512
_JOB_BYTES = 32 << 20  # of sources that are smaller than a slice
_SCANNED = 64  # files that a task scans
_OF_SLICES = [field.name for field in fields(Slice)]


@dataclass(frozen=True)
class ParseJob:
    """A unit of parsing: consecutive slices, with the index of the source each belongs to."""

    pieces: list[tuple[int, Slice]]

    @property
    def nbytes(self) -> int:
        """Bytes of input."""
        return sum(piece.nbytes for _, piece in self.pieces)


@dataclass(frozen=True)
class Manifest:
    """Inputs, options and jobs of one build.

    Parameters
    ----------
    identity
        Hash of the options that decide what is in the store.
    inputs
        Label and fingerprint of every source, in order.
    jobs
        The parse jobs; part k is what job k makes.
    unreadable
        Inputs that could not even be scanned: source index and reason.
    """

    identity: str
    inputs: list[tuple[str, dict[str, Any] | None]]
    jobs: list[ParseJob]
    unreadable: list[tuple[int, str]]

    @property
    def resumable(self) -> bool:
        """Whether it can be told that the inputs are still the same."""
        return all(fingerprint is not None for _, fingerprint in self.inputs)

    def save(self, path: Path) -> None:
        """Write the manifest, whole or not at all."""
        write_json(
            path,
            {
                "identity": self.identity,
                "inputs": self.inputs,
                "jobs": [[[i, _plain(piece)] for i, piece in job.pieces] for job in self.jobs],
                "unreadable": self.unreadable,
            },
        )

    @classmethod
    def load(cls, path: Path) -> Manifest | None:
        """Read a manifest, or return None if there is none."""
        try:
            entry = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        return cls(
            entry["identity"],
            [(label, fingerprint) for label, fingerprint in entry["inputs"]],
            [ParseJob([(i, Slice(**piece)) for i, piece in job]) for job in entry["jobs"]],
            [(i, reason) for i, reason in entry["unreadable"]],
        )


def fingerprints(
    sources: Sequence[Source], *, skip: bool
) -> tuple[list[tuple[str, dict[str, Any] | None]], list[tuple[int, str]]]:
    """Return label and fingerprint of each source, and those that can't be opened if `skip`."""
    found: list[tuple[str, dict[str, Any] | None]] = []
    unreadable = []
    for i, source in enumerate(sources):
        try:
            found.append((source.label, source.fingerprint()))
        except InputError as error:
            if not skip:
                raise
            found.append((source.label, {}))
            unreadable.append((i, error.reason))
    return found, unreadable


def check_unchanged(
    then: Sequence[tuple[str, dict[str, Any] | None]], now: Sequence[tuple[str, dict[str, Any] | None]]
) -> None:
    """Raise if inputs are not what they were, naming them.

    Raises
    ------
    ChangedInputError
        If an input was changed, added or removed.
    """
    before, after = dict(then), dict(now)
    changed = [label for label in before if label in after and before[label] != after[label]]
    changed += sorted(before.keys() ^ after.keys())
    if not changed:
        return
    names = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
    raise ChangedInputError(
        f"the input changed since the build began: {names}; pass resume=False (--no-resume) to build "
        "anew from what is there now"
    )


def make_manifest(
    sources: Sequence[Source], options: Mapping[str, Any], *, skip: bool, workers: int | None
) -> Manifest:
    """Scan the sources and cut them into jobs.

    Raises
    ------
    InputError
        If an input can't be scanned, unless `skip`.
    """
    inputs, unreadable = fingerprints(sources, skip=skip)
    lost = {i for i, _ in unreadable}
    todo = [i for i in range(len(sources)) if i not in lost]
    slices: dict[int, list[Slice]] = {}
    some = [todo[k : k + _SCANNED] for k in range(0, len(todo), _SCANNED)]
    for k, found in parallel.run(_scan, [[sources[i] for i in these] for these in some], workers=workers):
        for i, scanned in zip(some[k], found, strict=True):
            if not isinstance(scanned, InputError):
                slices[i] = scanned
            elif skip:
                unreadable.append((i, scanned.reason))
            else:
                raise scanned
    jobs: list[ParseJob] = []
    nbytes = 0  # of the last job
    for i in sorted(slices):
        for piece in slices[i]:
            last = jobs[-1] if jobs else None
            if (
                last is not None
                and nbytes + piece.nbytes <= _JOB_BYTES
                and len(last.pieces) < _FILES_PER_JOB
                and sources[last.pieces[0][0]].runs_in == sources[i].runs_in != "caller"
                and last.pieces[-1][0] != i  # slices of one input are as large as they should be
            ):
                last.pieces.append((i, piece))
                nbytes += piece.nbytes
            else:
                jobs.append(ParseJob([(i, piece)]))
                nbytes = piece.nbytes
    return Manifest(identity(options), inputs, jobs, sorted(unreadable))


def _scan(sources: Sequence[Source]) -> list[list[Slice] | InputError]:
    found: list[list[Slice] | InputError] = []
    for source in sources:
        try:
            found.append(source.scan())
        except InputError as error:
            found.append(error)
    return found


def _plain(piece: Slice) -> dict[str, int]:
    return {name: getattr(piece, name) for name in _OF_SLICES}  # asdict takes ten times as long


def identity(options: Mapping[str, Any]) -> str:
    """Return the hash of a build's options."""
    return hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()
