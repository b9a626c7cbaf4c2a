"""The parse step: one job → one part; the only time the input is parsed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zstruct.building.filters import Filters
from zstruct.building.parse_stored import Taken, take_stored
from zstruct.building.part_blocks import Content
from zstruct.building.parts import PartWriter
from zstruct.building.provenance import restore_provenance
from zstruct.compositions import add_formulas
from zstruct.errors import InputError
from zstruct.ragged import Packed, concatenate
from zstruct.schema import FIELDS, given_name
from zstruct.sources import BadFrame, Raw, Slice, Source
from zstruct.sources.joined import can_be_joined, joined
from zstruct.sources.normalize.comments import take_numbers
from zstruct.sources.normalize.elements import TYPES
from zstruct.sources.normalize.normalize import ReadOptions, normalize
from zstruct.sources.remarks import Remarks
from zstruct.sources.store.columns import stored_columns
from zstruct.sources.store.source import StoreSource
from zstruct.sources.together import apart, blocks_of, can_be_read_together
from zstruct.store.hashes import structure_hashes

__all__ = ["ParseTask", "parse_job"]

_BLOCK_BYTES = 8 << 20  # smaller blocks (files of one structure) are joined up to this size
_SMALL_BYTES = 1 << 18  # of blocks that are interpreted together
_REPORTED = 100  # bad frames of one part that are reported one by one


@dataclass(frozen=True)
class ParseTask:
    """Everything a worker needs to make one part.

    Parameters
    ----------
    part
        Where it will be.
    pieces
        What is read: sources, their places among the inputs, and slices.
    options, filters, on_error
        What the user said.
    durable, in_memory
        As for a `PartWriter`.
    copies
        Whether structures of stores are copied, too.
    grows
        Whether the first input is a store that is extended: nothing is left out of it.
    """

    part: Path
    pieces: list[tuple[Source, int, Slice]]
    options: ReadOptions
    filters: Filters
    on_error: Literal["raise", "skip"]
    durable: bool
    in_memory: bool
    copies: bool = False
    grows: bool = False


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
    n_structures = n_atoms = n_read = 0
    properties: set[str] = set()
    remarks = Remarks()
    ignored = _Ignored()
    with PartWriter(task.part, durable=task.durable, in_memory=task.in_memory) as part:
        for in_store, pieces in groupby(task.pieces, key=lambda one: isinstance(one[0], StoreSource)):
            if in_store:
                for source, place, piece in pieces:
                    taken = _take(task, part, source, place, piece, properties, remarks)
                    n_structures += taken.n_structures
                    n_atoms += taken.n_atoms
                    dropped.update(taken.dropped)
                continue
            waiting: list[_Block] = []
            nbytes = 0
            here = [(source, piece) for source, _, piece in pieces]
            for block in _blocks(task, here, properties, remarks, ignored):
                n_skipped += len(block.bad)
                skipped += [(block.label, b.frame, b.reason) for b in block.bad[: _REPORTED - len(skipped)]]
                dropped.update(block.dropped)
                noted.update(block.noted)
                if len(block.content.codes):
                    part.add_content(block.content)
                    block.ranks[:] += n_read
                    n_read += len(block.content.codes)
                if len(block.kept) == 0:
                    continue
                n_structures += len(block.kept)
                n_atoms += int(block.kept.n_atoms.sum())
                waiting.append(block)
                nbytes += block.kept.nbytes
                if nbytes >= _BLOCK_BYTES:
                    _add(part, waiting)
                    waiting, nbytes = [], 0
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
            "n_ignored": ignored.n,
            "ignored": ignored.first,
        }
        part.close(summary)
    return summary


def _add(part: PartWriter, blocks: list[_Block]) -> None:
    """Append blocks to a part as one, with formulas and provenance of their structures."""
    joined = concatenate([block.kept for block in blocks])
    restore_provenance(joined)
    add_formulas(joined)
    part.add(joined, ranks=np.concatenate([block.ranks for block in blocks]))


@dataclass(frozen=True, eq=False)
class _Block:
    """Structures of one input or of several small ones, interpreted and filtered."""

    label: str
    """Of the input that `bad` are in."""
    kept: Packed
    bad: list[BadFrame]
    dropped: Mapping[str, int]
    noted: Mapping[str, int]
    content: Content
    """Of all that were read."""
    ranks: NDArray[np.int64]
    """The places of those that are kept among them."""


@dataclass
class _Ignored:
    """What no reader knows: how many, which may be very many, and the first of them."""

    n: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, names: list[str]) -> None:
        self.n += len(names)
        self.first += names[: _REPORTED - len(self.first)]


def _take(
    task: ParseTask,
    part: PartWriter,
    source: Source,
    place: int,
    piece: Slice,
    properties: set[str],
    remarks: Remarks,
) -> Taken:
    """Take structures of a store; the names of its fields, and units that they were in, are collected."""
    assert isinstance(source, StoreSource)
    extended = task.grows and place == 0
    options = ReadOptions() if extended else task.options
    filters = Filters() if extended else task.filters
    for name, column in stored_columns(source.store, options.keys, options.exclude).items():
        if name in FIELDS and column.field.kind == "float":
            remarks.add_units(name, [""] if column.source_units is None else column.source_units.split(", "))
    if not extended:
        for name, column in stored_columns(source.store).items():
            properties.update({name, column.array, given_name(name)})
    return take_stored(part, source, place, piece, options, filters, copies=task.copies)


def _blocks(
    task: ParseTask,
    pieces: list[tuple[Source, Slice]],
    properties: set[str],
    remarks: Remarks,
    ignored: _Ignored,
) -> Iterator[_Block]:
    """Yield interpreted blocks; the names of all properties, and what else was noticed, are collected.

    Small blocks that follow one another are interpreted as one: inputs may be thousands.
    """
    waiting: list[Raw] = []
    nbytes = 0
    for raw in _read_all(pieces, task.on_error):
        ignored.add(raw.ignored)
        size = sum(
            c.values.nbytes for table in (raw.atom, raw.structure) for cs in table.values() for c in cs
        )
        together = (size < _SMALL_BYTES or raw.labels is not None) and can_be_joined(raw)
        if waiting and (not together or nbytes + size > _BLOCK_BYTES):
            yield from _interpreted(task, waiting, properties, remarks)
            waiting, nbytes = [], 0
        if together:
            waiting.append(raw)
            nbytes += size
        else:
            yield from _interpreted(task, [raw], properties, remarks)
    if waiting:
        yield from _interpreted(task, waiting, properties, remarks)


def _interpreted(task: ParseTask, given: list[Raw], properties: set[str], remarks: Remarks) -> list[_Block]:
    """Interpret blocks: as one, or the inputs each alone, to find what is wrong with which."""
    if len(given) > 1 or given[0].labels is not None:
        own = [label for raw in given for label in raw.labels or [raw.label or ""] * len(raw.n_atoms)]
        labels = {label: k for k, label in enumerate(dict.fromkeys(own))}
        codes = np.array([labels[label] for label in own])
        noticed = Remarks()
        try:
            block = _interpret(task, joined(given), list(labels), codes, properties, noticed)
        except InputError:
            block = None
        if block is not None and not block.bad:
            remarks.add(noticed)
            return [block]
    return [
        _interpret(
            task, raw, [raw.label or ""], np.zeros(len(raw.n_atoms), dtype=np.int64), properties, remarks
        )
        for whole in given
        for raw in apart(whole)
    ]


def _interpret(
    task: ParseTask,
    raw: Raw,
    labels: list[str],
    codes: NDArray[np.int64],
    properties: set[str],
    remarks: Remarks,
) -> _Block:
    """Interpret and filter a block, given with the labels of its inputs and which each structure is from."""
    label = labels[0]
    take_numbers(raw, task.options.keys.values())
    properties.update(raw.atom, raw.structure, [] if raw.types is None else [TYPES])
    packed, bad = normalize(raw, task.options, label, remarks)
    if bad and task.on_error == "raise" and len(labels) == 1:
        first = min(bad, key=lambda b: -1 if b.frame is None else b.frame)
        raise InputError(first.reason, label, first.frame)
    for sentence, here in raw.remarks.items():
        remarks.count(sentence, int(np.isin(packed.columns["frame"], raw.frames[here]).sum()))
    ranks, own = np.arange(len(packed)), codes[: len(packed)]
    content = Content(labels, own, structure_hashes(packed, packed.columns.keys() - {"frame"}))
    if len(labels) > 1 and bad:
        return _Block(label, packed, bad, {}, {}, content, ranks)
    packed.add(FIELDS["source"], own.astype(np.int32))
    packed.categories["source"] = labels
    dropped: Counter[str] = Counter()
    notes = {note: raw.frames[here] for note, here in raw.notes.items()}
    for note in sorted(notes.keys() & set(task.filters.leave_out)):
        out = np.isin(packed.columns["frame"], notes[note])
        dropped[note] += int(out.sum())
        packed, ranks = packed.select(~out), ranks[~out]
    frames = packed.columns.get("frame", np.arange(len(packed)))
    keep, filtered = task.filters.passing(packed, label, frames)
    kept, ranks = packed.select(keep), ranks[keep]
    dropped.update(filtered)
    noted = {note: int(np.isin(kept.columns["frame"], frames).sum()) for note, frames in notes.items()}
    if len(labels) > 1 and len(kept) < len(packed):  # labels of what is left
        used, places = np.unique(kept.columns["source"], return_inverse=True)
        kept.columns["source"] = places.astype(np.int32)
        kept.categories["source"] = [labels[k] for k in used.tolist()]
    return _Block(label, kept, bad, dropped, noted, content, ranks)


def _read_all(pieces: list[tuple[Source, Slice]], on_error: Literal["raise", "skip"]) -> Iterator[Raw]:
    """Yield the blocks of all pieces as they are read, with the labels of their sources."""
    for together, run in groupby(pieces, key=lambda one: can_be_read_together(one[0])):
        if together:  # and so each of them has one slice
            found = list(run)
            whole = {id(source): piece for source, piece in found}
            yield from blocks_of(
                [source for source, _ in found],
                lambda source, whole=whole: _read(source, whole[id(source)], on_error),  # type: ignore[misc]
            )
        else:
            for source, piece in run:
                yield from _read(source, piece, on_error)


def _read(source: Source, piece: Slice, on_error: Literal["raise", "skip"]) -> Iterator[Raw]:
    """Yield the blocks of a slice; a source raises only where nothing more of it can be read."""
    try:
        for raw in source.read(piece):
            if raw.labels is None:
                raw.label = raw.label or source.label
            yield raw
    except InputError as error:
        if on_error == "raise":
            raise
        nothing = np.zeros(0, dtype=np.int64)
        yield Raw(nothing, nothing, bad=[BadFrame(error.frame, error.reason)], label=source.label)
