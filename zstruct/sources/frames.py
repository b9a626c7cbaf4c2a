"""Some frames of an input: ``train.xyz@0:1000:10``, as ASE writes it, for whatever source reads it.

Frames keep the numbers that they have in the input. What a frame is, is the business of the source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.ragged import chosen_rows, counts_to_offsets
from zstruct.sources.source import BadFrame, Raw, RawColumn, Slice, Source
from zstruct.text import counted

__all__ = ["SlicedSource", "frames_of", "split_name", "take_frames"]

_HOW = "write @3 for one frame, @-1 for the last, or @start:stop or @start:stop:step, as in @0:1000:10"
_MOST = 1 << 62


def split_name(path: str) -> tuple[str, str | None]:
    """Return a path without the frames that are asked for, and these; None if there is no ``@``.

    Examples
    --------
    >>> split_name("a.xyz@-5:"), split_name("a.xyz"), split_name("https://me:word@host/a.xyz")
    (('a.xyz', '-5:'), ('a.xyz', None), ('https://me:word@host/a.xyz', None))
    """
    name, at, frames = path.rpartition("@")
    return (name, frames) if at and name and "/" not in frames else (path, None)


def frames_of(text: str) -> int | slice:
    """Return what stands behind the ``@``.

    Raises
    ------
    InputError
        If it is neither a number nor a slice.

    Examples
    --------
    >>> frames_of("3"), frames_of("-5:"), frames_of("::2")
    (3, slice(-5, None, None), slice(None, None, 2))
    """
    if not re.fullmatch(r"[-+]?\d{1,18}|(?:[-+]?\d{1,18})?(?::(?:[-+]?\d{1,18})?){1,2}", text, re.ASCII):
        raise InputError(f"{'@' + text!r} says no frames; {_HOW}")
    if ":" not in text:
        return int(text)
    parts = [int(part) if part else None for part in text.split(":")]
    if parts[2:] == [0]:
        raise InputError(f"{'@' + text!r} goes nowhere, its step is zero; {_HOW}")
    return slice(*parts)


class SlicedSource:
    """Some frames of what another source reads.

    Where they are counted from the end, or come in reverse, all frames have to be counted first: in the last
    slice of the input, which is the whole of it for formats that are not cut.

    Parameters
    ----------
    source
        Reads the input.
    text
        The frames, as behind an ``@``.
    """

    runs_in: Literal["threads", "processes", "here", "caller"]

    def __init__(self, source: Source, text: str):
        self.source, self.text = source, text
        self.frames = frames_of(text)
        self.label = f"{source.label}@{text}"
        self.runs_in = source.runs_in
        self.content = getattr(source, "content", None)
        self._pieces: list[Slice] | None = None
        self._n: int | None = None

    def __repr__(self) -> str:
        return f"SlicedSource({self.source!r}, {self.text!r})"

    def fingerprint(self) -> dict[str, Any] | None:
        """Return what tells that the input changed."""
        return self.source.fingerprint()

    def scan(self) -> list[Slice]:
        """Return the slices of the input that have such frames; the last one first if they are reversed.

        Raises
        ------
        InputError
            If there are none.
        """
        wanted, pieces = self._wanted(), self._all()
        stops = [piece.first_frame for piece in pieces[1:]] + [_MOST]
        here = [
            piece
            for piece, stop in zip(pieces, stops, strict=True)
            if _overlap(wanted, piece.first_frame, stop)
        ]
        if not here:
            raise self._nothing()
        return here if wanted.step > 0 else here[::-1]

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield those frames of a slice in their order.

        Raises
        ------
        InputError
            If there are none, though they should begin or end here.
        """
        wanted = self._wanted()
        last = max(wanted[0], wanted[-1])
        turned: list[Raw] = []
        seen = piece.first_frame - 1
        failed: BadFrame | None = None
        for raw in self.source.read(piece):
            numbers = [int(raw.frames.max())] if len(raw.frames) else []
            numbers += [bad.frame for bad in raw.bad if bad.frame is not None]
            seen = max([seen, *numbers])
            failed = next((bad for bad in raw.bad if bad.frame == seen), None)
            some = self._some(raw, wanted)
            if wanted.step > 0:
                yield some
            else:
                turned.append(some)
            if seen >= last:
                break
        yield from turned[::-1]
        after = next((p.first_frame for p in self._all() if p.first_frame > piece.first_frame), _MOST)
        if failed is not None and failed.frame not in wanted and seen + 1 < after and last > seen:
            nothing = np.zeros(0, dtype=np.int64)
            yield Raw(nothing, nothing, bad=[failed])  # and what comes behind it can't be read, either
        elif seen < min(wanted[0], wanted[-1]) < after:
            raise self._nothing(seen + 1)

    def _some(self, raw: Raw, wanted: range) -> Raw:
        offset = raw.frames - wanted.start
        here = (
            (offset % wanted.step == 0) & (offset // wanted.step >= 0) & (offset // wanted.step < len(wanted))
        )
        rows = np.flatnonzero(here)
        some = take_frames(raw, rows if wanted.step > 0 else rows[::-1])
        some.bad = [bad for bad in raw.bad if bad.frame is None or bad.frame in wanted]
        return some

    def _wanted(self) -> range:
        """Return the numbers of the frames, up to any; those that count from the end are known then."""
        frames = self.frames
        if isinstance(frames, int):
            if frames >= 0:
                return range(frames, frames + 1)
            n = self._count()
            if n + frames < 0:
                raise self._nothing()
            return range(n + frames, n + frames + 1)
        from_end = (frames.start or 0) < 0 or (frames.stop or 0) < 0 or (frames.step or 1) < 0
        wanted = range(self._count() if from_end else _MOST)[frames]
        if not wanted:
            raise self._nothing()
        return wanted

    def _nothing(self, n: int | None = None) -> InputError:
        if n is None and self._n is None and isinstance(self.frames, slice) and _is_empty(self.frames):
            return InputError(f"{'@' + self.text!r} says no frames at all", self.source.label)
        there = self._count() if n is None else n
        return InputError(
            f"{'@' + self.text!r} says frames that are not there: it has {counted(there, 'frame')}",
            self.source.label,
        )

    def _all(self) -> list[Slice]:
        if self._pieces is None:
            self._pieces = self.source.scan()
        return self._pieces

    def _count(self) -> int:
        """Return how many frames there are, those that can't be read along."""
        if self._n is None:
            piece = self._all()[-1]
            n = piece.first_frame
            for raw in self.source.read(piece):
                n = max(
                    [n, *(raw.frames + 1).tolist(), *(b.frame + 1 for b in raw.bad if b.frame is not None)]
                )
            self._n = n
        return self._n


def _is_empty(frames: slice) -> bool:
    return not range(_MOST)[frames]


def _overlap(wanted: range, start: int, stop: int) -> bool:
    """Return whether some of the frames are among those from `start` to `stop`."""
    up = wanted if wanted.step > 0 else wanted[::-1]
    first = up.start if up.start >= start else up.start + -((up.start - start) // up.step) * up.step
    return first in up and first < stop


def take_frames(raw: Raw, rows: NDArray[np.int64]) -> Raw:
    """Return structures of a block, in the order of their rows; what was bad in it is left out."""
    atoms, n_atoms = chosen_rows(counts_to_offsets(raw.n_atoms), rows)

    def taken(column: RawColumn, which: NDArray[np.int64]) -> RawColumn:
        present = None if column.present is None else column.present[rows]
        return replace(column, values=column.values[which], present=present)

    return Raw(
        raw.frames[rows],
        n_atoms,
        {name: [taken(column, atoms) for column in columns] for name, columns in raw.atom.items()},
        {name: [taken(column, rows) for column in columns] for name, columns in raw.structure.items()},
        types=None if raw.types is None else taken(raw.types, atoms),
        notes={name: mask[rows] for name, mask in raw.notes.items()},
        remarks={name: mask[rows] for name, mask in raw.remarks.items()},
    )
