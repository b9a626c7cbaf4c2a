"""The parse step: one job → one part; the only time the input is parsed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zstruct.building.filters import Filters
from zstruct.building.parts import PartWriter
from zstruct.building.provenance import restore_provenance
from zstruct.compositions import add_formulas
from zstruct.errors import InputError
from zstruct.ragged import Packed, concatenate
from zstruct.schema import FIELDS
from zstruct.sources import BadFrame, Raw, Slice, Source
from zstruct.sources.normalize.comments import take_numbers
from zstruct.sources.normalize.elements import TYPES
from zstruct.sources.normalize.normalize import ReadOptions, normalize
from zstruct.sources.remarks import Remarks

__all__ = ["ParseTask", "parse_job"]

_BLOCK_BYTES = 8 << 20  # smaller blocks (files of one structure) are joined up to this size
_REPORTED = 100  # bad frames of one part that are reported one by one


@dataclass(frozen=True)
class ParseTask:
    """Everything a worker needs to make one part."""

    part: Path
    pieces: list[tuple[Source, Slice]]
    options: ReadOptions
    filters: Filters
    on_error: Literal["raise", "skip"]
    durable: bool
    in_memory: bool


def parse_job(task: ParseTask) -> dict[str, Any]:
    """Read, interpret and filter the frames of a job, write them as a part, return its summary.

    Raises
    ------
    InputError
        For the first bad frame, unless ``on_error="skip"``.
    """
    skipped: list[tuple[str, int | None, str]] = []
    n_skipped = 0
    dropped: Counter[str] = Counter()
    noted: Counter[str] = Counter()
    n_structures = n_atoms = 0
    properties: set[str] = set()
    remarks = Remarks()
    with PartWriter(task.part, durable=task.durable, in_memory=task.in_memory) as part:
        waiting: list[Packed] = []
        for label, packed, bad, notes in _blocks(task, properties, remarks):
            n_skipped += len(bad)
            skipped += [(label, b.frame, b.reason) for b in bad[: _REPORTED - len(skipped)]]
            for note in sorted(notes.keys() & set(task.filters.leave_out)):
                out = np.isin(packed.columns["frame"], notes[note])
                dropped[note] += int(out.sum())
                packed = packed.select(~out)
            kept, filtered = task.filters.apply(packed, label)
            dropped.update(filtered)
            for note, frames in notes.items():
                noted[note] += int(np.isin(kept.columns["frame"], frames).sum())
            if len(kept) == 0:
                continue
            n_structures += len(kept)
            n_atoms += int(kept.n_atoms.sum())
            waiting.append(kept)
            if sum(block.nbytes for block in waiting) >= _BLOCK_BYTES:
                _add(part, waiting)
                waiting = []
        if waiting:
            _add(part, waiting)
        summary = {
            "n_structures": n_structures,
            "n_atoms": n_atoms,
            "dropped": dict(dropped),
            "noted": dict(noted),
            "n_skipped": n_skipped,
            "skipped": skipped,
            "properties": sorted(properties),
            "remarks": remarks.to_dict(),
        }
        part.close(summary)
    return summary


def _add(part: PartWriter, blocks: list[Packed]) -> None:
    """Append blocks to a part as one, with formulas and provenance of their structures."""
    joined = concatenate(blocks)
    restore_provenance(joined)
    add_formulas(joined)
    part.add(joined)


def _blocks(
    task: ParseTask, properties: set[str], remarks: Remarks
) -> Iterator[tuple[str, Packed, list[BadFrame], dict[str, NDArray[np.int64]]]]:
    """Yield interpreted blocks with their source and the frames of every note.

    The names of all properties met, and what else was noticed, are collected on the way.
    """
    for source, piece in task.pieces:
        for raw in _read(source, piece, task.on_error):
            take_numbers(raw, task.options.keys.values())
            properties.update(raw.atom, raw.structure, [] if raw.types is None else [TYPES])
            packed, bad = normalize(raw, task.options, source.label, remarks)
            if bad and task.on_error == "raise":
                first = min(bad, key=lambda b: -1 if b.frame is None else b.frame)
                raise InputError(first.reason, source.label, first.frame)
            for sentence, here in raw.remarks.items():
                remarks.count(sentence, int(np.isin(packed.columns["frame"], raw.frames[here]).sum()))
            packed.add(FIELDS["source"], np.zeros(len(packed), dtype=np.int32))
            packed.categories["source"] = [source.label]
            yield source.label, packed, bad, {note: raw.frames[here] for note, here in raw.notes.items()}


def _read(source: Source, piece: Slice, on_error: Literal["raise", "skip"]) -> Iterator[Raw]:
    """Yield the blocks of a slice; a source raises only where nothing more of it can be read."""
    try:
        yield from source.read(piece)
    except InputError as error:
        if on_error == "raise":
            raise
        nothing = np.zeros(0, dtype=np.int64)
        yield Raw(nothing, nothing, bad=[BadFrame(error.frame, error.reason)])
