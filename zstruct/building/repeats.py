"""What inputs bring a second time: content that came in before, and structures that are there already.

The hash of all structures of an input, with all that is known of them, says whether the same content came
in before, under whatever name; that of its first ones, whether it is an input that has grown. What is not to
come in again is left out of the parts, which are made anew without it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zstruct.building.filters import Filters
from zstruct.building.parse_stored import take_stored, use_texts
from zstruct.building.part_blocks import PartBlock, StoredEntry
from zstruct.building.parts import PartWriter, read_contents, read_entries, read_summary
from zstruct.errors import InputError
from zstruct.sources import Slice, Source
from zstruct.sources.normalize.normalize import ReadOptions
from zstruct.sources.store.source import StoreSource
from zstruct.text import counted

__all__ = [
    "Entry",
    "Masks",
    "Repeats",
    "continued_masks",
    "entries_of",
    "find_continued",
    "read_inputs",
    "write_without",
]

_HASH_BYTES = 16

#: What one of the parts holds: a block, or what it says of structures that stay in their store.
Entry = PartBlock | StoredEntry
#: Which structures of each entry of each part stay; None: all of them.
Masks = Sequence[Sequence[NDArray[np.bool_] | None]]


@dataclass
class _Read:
    """What is known of an input while its structures go by: how many, and hashes of all and of the first."""

    n: int = 0
    hashed: hashlib.blake2b = field(default_factory=lambda: hashlib.blake2b(digest_size=_HASH_BYTES))
    first: dict[int, str] = field(default_factory=dict)

    def add(self, hashes: NDArray[np.uint64], lengths: Sequence[int]) -> None:
        """Add structures; `lengths` say for how many of the first ones to have the hash, too."""
        rows = np.ascontiguousarray(hashes, dtype="<u8")
        start = 0
        for length in lengths:
            if self.n < length <= self.n + len(rows):
                self.hashed.update(rows[start : length - self.n].tobytes())
                start = length - self.n
                self.first[length] = self.hashed.hexdigest()
        self.hashed.update(rows[start:].tobytes())
        self.n += len(rows)


def read_inputs(parts: Iterable[Path], lengths: Iterable[int] = ()) -> dict[str, tuple[int, dict[int, str]]]:
    """Return how many structures were read of each input, and hashes of the first so many and of all.

    Parameters
    ----------
    parts
        The parts, in order.
    lengths
        How many are the first ones.

    Returns
    -------
    dict of str to tuple
        By label, in the order of the inputs: their number, and hashes by how many they are of.
    """
    found: dict[str, _Read] = {}
    ascending = sorted(set(lengths))
    for part in parts:
        for content in read_contents(part):
            for label, start, stop in _runs(content.labels, content.codes):
                found.setdefault(label, _Read()).add(content.hashes[start:stop], ascending)
    return {label: (one.n, one.first | {one.n: one.hashed.hexdigest()}) for label, one in found.items()}


def _runs(labels: Sequence[str], codes: NDArray[np.int64]) -> Iterator[tuple[str, int, int]]:
    """Yield the labels of structures with the ranges that they are of."""
    edges = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    for start, stop in itertools.pairwise(edges):
        yield labels[int(codes[start])], start, stop


def find_continued(parts: Sequence[Path], known: Mapping[tuple[int, str], str]) -> dict[str, int]:
    """Return how many of the first structures of inputs came in before, by their labels.

    Parameters
    ----------
    parts
        The parts, in order.
    known
        The labels of what came in before, by number of structures and hash.

    Raises
    ------
    InputError
        If all of an input came in before, or comes in twice.
    """
    found: dict[str, int] = {}
    before = dict(known)
    for label, (n, hashes) in read_inputs(parts, (n for n, _ in known)).items():
        there = [k for k, hashed in hashes.items() if (k, hashed) in before]
        if n in there:
            name = before[n, hashes[n]]
            called = "" if name == label else f", as {name}"
            raise InputError(
                f"its content, {counted(n, 'structure')}, came in before{called}; leave it out, or pass "
                "skip_duplicates=True (--skip-duplicates) to have what is new, or repeat=True (--repeat) to "
                "have it twice",
                label,
            )
        if there:
            found[label] = max(there)
        before[n, hashes[n]] = label
    return found


@dataclass(frozen=True)
class Repeats:
    """What was left out because it is there already, and what tells inputs that came in from others.

    Parameters
    ----------
    continued
        How many of the first structures of inputs that have grown came in before, by label.
    n_duplicates
        How many structures are those of others.
    duplicates
        The first hundred of them: input and frame.
    contents
        Of all inputs that were read, how many structures they had, and their hash.
    """

    continued: Mapping[str, int] = field(default_factory=dict)
    n_duplicates: int = 0
    duplicates: Sequence[tuple[str, int]] = ()
    contents: Mapping[str, tuple[int, str]] = field(default_factory=dict)


def entries_of(parts: Iterable[Path]) -> list[list[Entry]]:
    """Return what each part holds."""
    return [read_entries(part) for part in parts]


def continued_masks(parts: Sequence[Path], continued: Mapping[str, int]) -> Masks:
    """Return which structures of the parts are new: not among the first ones of inputs that have grown."""
    seen = dict.fromkeys(continued, 0)
    masks: list[list[NDArray[np.bool_] | None]] = []
    for part in parts:
        pieces = []
        for content in read_contents(part):
            new = np.ones(len(content.codes), dtype=bool)
            for label, start, stop in _runs(content.labels, content.codes):
                if label in seen:
                    new[start : start + max(0, min(stop - start, continued[label] - seen[label]))] = False
                    seen[label] += stop - start
            pieces.append(new)
        fresh = np.concatenate(pieces) if pieces else np.ones(0, dtype=bool)
        mine: list[NDArray[np.bool_] | None] = []
        for entry in read_entries(part):
            ranks = entry.ranks() if isinstance(entry, PartBlock) else None
            mine.append(None if ranks is None else fresh[ranks])
        masks.append(mine)
    return masks


def write_without(
    parts: Sequence[Path],
    masks: Masks,
    folder: Path,
    sources: Sequence[Source],
    options: ReadOptions,
    *,
    in_memory: bool,
) -> list[Path]:
    """Write the parts of which something is left out anew; return all parts.

    Parameters
    ----------
    parts
        The parts, in order.
    masks
        Which structures stay.
    folder
        Where new parts go.
    sources, options
        What they were made of, and what the user said of that.
    in_memory
        As for a `PartWriter`.
    """
    folder.mkdir(exist_ok=True)
    found = []
    entries = entries_of(parts)
    cut = {
        entry.input
        for mine, said in zip(entries, masks, strict=True)
        for entry, mask in zip(mine, said, strict=True)
        if isinstance(entry, StoredEntry) and mask is not None
    }
    for part, mine, said in zip(parts, entries, masks, strict=True):
        stored = any(isinstance(entry, StoredEntry) and entry.input in cut for entry in mine)
        if not stored and all(mask is None or mask.all() for mask in said):
            found.append(part)
            continue
        found.append(folder / part.name)
        with PartWriter(found[-1], durable=False, in_memory=in_memory) as writer:
            for entry, mask in zip(mine, said, strict=True):
                _add(writer, entry, mask, cut, sources, options)
            writer.close(read_summary(part))
    return found


def _add(
    writer: PartWriter,
    entry: Entry,
    mask: NDArray[np.bool_] | None,
    cut: set[int],
    sources: Sequence[Source],
    options: ReadOptions,
) -> None:
    """Write an entry, or those of its structures that stay."""
    if isinstance(entry, PartBlock):
        packed = entry.packed()
        places = None if entry.input is None else entry.places()
        if mask is not None and not mask.all():
            packed = packed.select(mask)
            places = None if places is None else places[mask]
            use_texts(packed)
        if len(packed):
            writer.add(packed, None if places is None or entry.input is None else (entry.input, places))
        return
    if entry.input not in cut:
        writer.add_stored(entry)
        return
    source = sources[entry.input]
    assert isinstance(source, StoreSource)
    rows = entry.rows() if mask is None else entry.rows()[mask]
    if len(rows):
        piece = Slice(0, len(rows), 0, 0)
        take_stored(writer, source.taking(rows), entry.input, piece, options, Filters(), copies=False)
