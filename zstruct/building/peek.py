"""Look into inputs without building: the first structures of each, as a build would take them.

What is read is read and understood by the same code as in a build. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from itertools import islice
from typing import Any

import numpy as np

from zstruct.arguments import whole
from zstruct.building.input_options import InputOptions
from zstruct.building.peek_report import PeekedField, PeekedInput, PeekReport
from zstruct.building.plan import check_named
from zstruct.elements import formula
from zstruct.errors import InputError, ZstructError
from zstruct.keywords import takes
from zstruct.ragged import Packed
from zstruct.schema import GEOMETRY, RESERVED
from zstruct.sources import Raw, Slice, Source
from zstruct.sources.frames import SlicedSource
from zstruct.sources.inputs import expand
from zstruct.sources.normalize.comments import take_numbers
from zstruct.sources.normalize.elements import TYPES
from zstruct.sources.normalize.normalize import ReadOptions, normalize, properties_of
from zstruct.sources.registry import reader_name
from zstruct.sources.remarks import Remarks
from zstruct.sources.source import NOTES
from zstruct.text import counted

__all__ = ["PeekRequest", "peek"]

_WHOLE_BYTES = 4 << 20  # what is no larger is read to its end, to count its frames
_OWN = {*GEOMETRY, *RESERVED, "frame", "source"}


@dataclass(frozen=True)
class PeekRequest(InputOptions):
    """Inputs to look into, and how they would be read.

    Parameters
    ----------
    paths
        As `zstruct.build` takes them. Of an iterator, what is looked at is gone.
    limit
        How many inputs to look into; of the others there is the number.
    """

    paths: Any
    _: KW_ONLY
    limit: int = 10

    def __post_init__(self) -> None:
        whole("limit", self.limit, 1)
        super().__post_init__()


@takes(PeekRequest)
def peek(request: PeekRequest) -> PeekReport:
    """Show what a build would make of inputs, without building: the first structures of each.

    An input that can't be read, among others, is reported.

    Returns
    -------
    PeekReport
        By input: its reader, how many frames it has, the fields with their units, what would not be taken
        for a label and why, and the first structure.

    Raises
    ------
    InputError
        If an option can't be used, or nothing of what is given is an input.
    """
    sources, ignored, lost = _expanded(request)
    reading = request.to_read()
    properties: set[str] = set()
    looked = [_look(source, reading, properties) for source in sources[: max(0, request.limit - len(lost))]]
    remarks: list[str] = []
    try:
        if len(looked) == len(sources):
            check_named(reading, properties)
    except InputError as error:
        remarks.append(f"in what was looked at: {error.reason}")
    return PeekReport((*looked, *lost), len(sources) + len(lost), tuple(ignored), tuple(remarks))


def _expanded(request: PeekRequest) -> tuple[list[Source], list[str], list[PeekedInput]]:
    """Return the sources, what is left out, and what of a list is no input."""
    options = request.to_open()
    try:
        return *expand(request.paths, request.reader, options), []
    except InputError:
        if not isinstance(request.paths, (list, tuple)) or len(request.paths) < 2:
            raise
    sources: list[Source] = []
    ignored: list[str] = []
    lost: list[PeekedInput] = []
    for item in request.paths:
        try:
            found, left = expand([item], request.reader, options)
        except InputError as error:
            lost.append(PeekedInput(error.source or str(item), problem=error.reason))
        else:
            sources += found
            ignored += left
    return sources, ignored, lost


def _look(source: Source, options: ReadOptions, properties: set[str]) -> PeekedInput:
    """Return what the first block of an input shows; add the names of its properties to all."""
    inner = source.source if isinstance(source, SlicedSource) else source
    said: dict[str, Any] = {"label": source.label, "reader": reader_name(inner)}
    try:
        size = (source.fingerprint() or {}).get("size")
        said["nbytes"] = None if size is None else int(size)
        pieces = source.scan()
        blocks = source.read(pieces[0])
        raw = _some(blocks)
        if raw is None:
            return PeekedInput(**said, problem="there is no structure in it")
        said |= _counted(source, pieces, raw, blocks, said["nbytes"])
        take_numbers(raw, options.keys.values())
        here = {*raw.atom, *raw.structure, *([] if raw.types is None else [TYPES])}
        properties |= here
        said["properties"] = tuple(sorted(here - _OWN))
        return PeekedInput(**said, **_understood(raw, options, source.label))
    except ZstructError as error:
        return PeekedInput(**said, problem=getattr(error, "reason", str(error)))


def _some(blocks: Iterator[Raw]) -> Raw | None:
    """Return the first block that has frames, with what was bad before it."""
    raw = None
    for raw in islice(blocks, 100):
        if len(raw.frames):
            break
    return raw


def _counted(
    source: Source, pieces: list[Slice], raw: Raw, blocks: Iterator[Raw], nbytes: int | None
) -> dict[str, Any]:
    """Return how many frames there are, and whether these are all."""
    n, complete = len(raw.frames) + len(raw.bad), False
    if len(pieces) == 1 and nbytes is not None and nbytes <= _WHOLE_BYTES:
        for more in blocks:
            n += len(more.frames) + len(more.bad)
        complete = True
    elif len(pieces) > 1 and not isinstance(source, SlicedSource):
        n = max(n, pieces[-1].first_frame + 1)
    elif source.runs_in in ("here", "caller") and pieces[-1].stop:  # their slices say what there is in memory
        n, complete = pieces[-1].stop, True
    return {"n_frames": n, "exact": complete}


def _understood(raw: Raw, options: ReadOptions, label: str) -> dict[str, Any]:
    """Return what a build would make of a block."""
    remarks = Remarks()
    names = properties_of(raw, options)
    packed, bad = normalize(raw, options, label, remarks)
    found: dict[str, Any] = {"n_bad": len(bad), "problem": bad[0].reason if bad else ""}
    if len(packed):
        found["fields"] = tuple(
            PeekedField(
                name,
                tuple(names.get(name, ())),
                spec.unit,
                remarks.source_units(name, spec.unit) or "",
                spec.level,
                tuple(spec.shape),
                float(packed.has(name).mean()),
            )
            for name, spec in packed.fields.items()
            if name not in RESERVED
        )
        found["first"] = _first(packed)
    said = [sentence for sentence, here in raw.remarks.items() if here.any()]
    said += [
        f"{note}: {counted(int(here.sum()), 'structure')} of those looked at ({NOTES[note]})"
        for note, here in raw.notes.items()
        if here.any()
    ]
    found["remarks"] = (*remarks.told(), *said)
    return found


def _first(packed: Packed) -> str:
    """Return the first structure in words."""
    n = int(packed.n_atoms[0])
    said = [formula(packed.columns["numbers"][:n])]
    cell, pbc = packed.columns["cell"][0], packed.columns["pbc"][0]
    if cell.any():
        lengths = " ".join(f"{x:.4g}" for x in np.linalg.norm(cell, axis=1))
        said.append(f"cell of {lengths} angstrom, periodic in {int(pbc.sum())} directions")
    else:
        said.append("no cell")
    for name, spec in packed.fields.items():
        if spec.level == "structure" and spec.kind == "float" and not spec.shape and packed.has(name)[0]:
            value = float(packed.columns[name][0])
            if not np.isnan(value):
                said.append(f"{name} {value:.6g} {'' if spec.unit == '1' else spec.unit}".rstrip())
    return ", ".join(said)
