"""Atom lines of extended XYZ: from the Properties of frames to columns per atom.

Frames may differ in their format; each distinct format is turned into steps once, and one call of
a kernel follows them for all frames, writing every property to its own contiguous rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import counts_to_offsets
from zstruct.sources.source import RawColumn
from zstruct.sources.xyz import kernels
from zstruct.sources.xyz.bad_frames import Faults
from zstruct.sources.xyz.comments import RESERVED, TWICE, Comments
from zstruct.sources.xyz.texts import decided, intern

__all__ = ["LineFormat", "frame_formats", "read_atoms", "row_bytes"]

_PLAIN = "species:S:1:pos:R:3"
_TYPES = {"R": kernels.REAL, "I": kernels.INT, "L": kernels.BOOL, "S": kernels.TEXT}
_BYTES = {kernels.REAL: 8, kernels.INT: 8, kernels.BOOL: 1, kernels.TEXT: 20}
_MOST_COLUMNS = 1 << 20
_SLACK = 1 << 16  # below this a line is left to say itself what it lacks

#: Name in the block, what its tokens are, how many there are.
Step = tuple[str, int, int]


@dataclass(frozen=True)
class LineFormat:
    """What the tokens of an atom line are, in order; or what is wrong with the Properties.

    In a plain XYZ file a line may go on behind them, unread.
    """

    steps: tuple[Step, ...] = ()
    fault: str | None = None
    goes_on: bool = False

    @property
    def width(self) -> int:
        """Tokens of a line."""
        return sum(width for _, _, width in self.steps)

    def has(self, what: int) -> bool:
        """Whether the format has a step of this type."""
        return any(kind == what for _, kind, _ in self.steps)


def parse_properties(properties: str) -> LineFormat:
    """Return the format that a Properties value describes.

    Examples
    --------
    >>> parse_properties("species:S:1:pos:R:3").width
    4
    >>> parse_properties("species:S:1:pos:R").fault
    "Properties must be triplets NAME:TYPE:COLUMNS, not 'species:S:1:pos:R'"
    """
    fields = [field.strip() for field in properties.split(":")]
    triplets = list(zip(fields[::3], fields[1::3], fields[2::3], strict=False))
    if len(fields) % 3 or not all(name for name, _, _ in triplets):
        return LineFormat(fault=f"Properties must be triplets NAME:TYPE:COLUMNS, not {properties[:200]!r}")
    steps: list[Step] = []
    for name, type_, count in triplets:
        letter = type_.upper()
        if letter not in _TYPES:
            return LineFormat(fault=f"Properties gives {name!r} the type {type_!r}; types are R, I, S and L")
        if not (
            count.isascii() and count.isdigit() and 0 < int(count[:9]) <= _MOST_COLUMNS and len(count) < 9
        ):
            return LineFormat(
                fault=f"Properties gives {name!r} {count!r} columns; it must be a number above 0"
            )
        step = _step(name, letter, int(count))
        if isinstance(step, str):
            return LineFormat(fault=step)
        steps.append(step)
    format = LineFormat(tuple(steps))
    if format.width > _MOST_COLUMNS:
        return LineFormat(fault=f"Properties gives {format.width} columns, more than any file has")
    seen = set()
    for name, kind, _ in steps:
        if (name, kind == kernels.NUMBER) in seen:
            return LineFormat(fault=f"Properties gives {name!r} twice")
        seen.add((name, kind == kernels.NUMBER))
    kinds = [kind for _, kind, _ in steps]
    if kernels.SPECIES not in kinds and kernels.NUMBER not in kinds:
        return LineFormat(fault="Properties has neither species nor Z, so the elements are not known")
    if "positions" not in (name for name, _, _ in steps):
        return LineFormat(fault="Properties has no pos, so the positions are not known")
    return format


def _step(name: str, letter: str, count: int) -> Step | str:
    """Return the step for one property, or a sentence why there is none."""
    lower = name.lower()
    if lower in ("species", "symbols"):
        if letter not in "SI" or count != 1:
            return f"Properties must give {name} as {name}:S:1, not {name}:{letter}:{count}"
        return "numbers", kernels.SPECIES, 1
    if name == "Z" or lower in ("numbers", "atomic_numbers"):
        if letter != "I" or count != 1:
            return f"Properties must give {name} as {name}:I:1, not {name}:{letter}:{count}"
        return "numbers", kernels.NUMBER, 1
    if lower in ("pos", "positions"):
        if letter != "R" or count != 3:
            return f"Properties must give {name} as {name}:R:3, not {name}:{letter}:{count}"
        return "positions", kernels.REAL, 3
    return f"input_{name}" if name in RESERVED else name, _TYPES[letter], count


def frame_formats(
    comments: Comments, n_atoms: NDArray[np.int64], n_bytes: NDArray[np.int64], faults: Faults
) -> tuple[NDArray[np.int64], list[LineFormat]]:
    """Return the format of each frame, shape (n,), and the distinct formats.

    Parameters
    ----------
    comments
        Keys and values of the frames.
    n_atoms, n_bytes
        Atom lines of each frame and the bytes they have, shape (n,).
    faults
        Frames whose format is wrong, or can't fit into their lines, are added.
    """
    where = comments.values_of("Properties")
    codes, texts = intern(comments.text, comments.spans[where])
    formats = [parse_properties(text) for text in texts]
    frames = comments.frame[where]
    which = np.full(comments.n, len(formats), dtype=np.int64)
    which[frames] = codes
    if len(frames) < comments.n:
        formats.append(replace(parse_properties(_PLAIN), goes_on=True))
    wrong = np.array([format.fault is not None for format in formats], dtype=bool)
    for frame in np.flatnonzero(wrong[which]).tolist():
        faults.add(frame, formats[which[frame]].fault or "")
    for frame in frames[comments.doubled[where]].tolist():
        faults.add(frame, TWICE.format("Properties"))
    # A value takes two bytes at least; so a false number of columns never takes much memory.
    widths = np.array([format.width for format in formats], dtype=np.int64)[which]
    for frame in np.flatnonzero(2 * widths * n_atoms > n_bytes + _SLACK).tolist():
        faults.add(frame, f"the atom lines are too short for the {widths[frame]} values of their Properties")
    used = np.bincount(which[~faults.mask], minlength=len(formats)) > 0
    return which, [format if use else LineFormat() for format, use in zip(formats, used, strict=True)]


def row_bytes(formats: list[LineFormat]) -> int:
    """Return the bytes that one atom takes in a block of these formats."""
    steps = {step for format in formats for step in format.steps}
    return sum(width * _BYTES.get(kind, 1) for _, kind, width in steps)


def read_atoms(
    text: NDArray[np.uint8],
    frames: NDArray[np.int64],
    which: NDArray[np.int64],
    formats: list[LineFormat],
    faults: Faults,
) -> dict[str, list[RawColumn]]:
    """Return the per-atom columns of the frames that are good.

    Parameters
    ----------
    text
        The bytes.
    frames
        Position of the first atom line, and number of atoms of each frame, shape (n, 2).
    which
        Format of each frame, shape (n,).
    formats
        The distinct formats.
    faults
        Frames that are bad already; frames with a faulty atom line are added.
    """
    frames = np.where(faults.mask[:, None], 0, frames)
    offsets = counts_to_offsets(frames[:, 1])
    n_rows = int(offsets[-1])
    sizes = dict.fromkeys((kernels.REAL, kernels.INT, kernels.BOOL, kernels.TEXT), 0)
    begins: dict[Step, int] = {}
    users: dict[Step, list[int]] = {}
    program: list[tuple[int, int, int]] = []
    edges = [0]
    for number, format in enumerate(formats):
        for step in format.steps:
            _, kind, width = step
            users.setdefault(step, []).append(number)
            if step not in begins:
                begins[step] = sizes.get(kind, 0)
                if kind in sizes:
                    sizes[kind] += width * n_rows
            program.append((kind, width, begins[step]))
        edges.append(len(program))
    mixed = len(formats) > 1
    numbers, others = np.zeros(n_rows, np.uint8), np.zeros(n_rows, np.uint8)
    floats = np.full(sizes[kernels.REAL], np.nan) if mixed else np.empty(sizes[kernels.REAL])
    ints = np.zeros(sizes[kernels.INT], np.int64)
    bools = np.zeros(sizes[kernels.BOOL], np.uint8)
    spans = np.zeros((sizes[kernels.TEXT], 2), np.int64)
    found = np.zeros((len(frames), 4), np.int64)
    pending = np.empty((1 << 12, 3), np.int64)
    steps = np.array(program, dtype=np.int64).reshape(-1, 3)
    step_edges = np.array(edges, dtype=np.int64)
    widths = np.array([-format.width if format.goes_on else format.width for format in formats])
    tokens = np.empty(int(np.abs(widths).max(initial=0)) + 72, dtype=np.int64)
    read = kernels.read_atoms.for_work(2e-5 * float(frames[:, 1] @ np.abs(widths[which])))
    done = 0
    while done < len(frames):
        begin = done
        done, left = read(
            text, begin, frames, offsets, which, step_edges, widths, steps, numbers, others, floats,
            ints, bools, spans, found, pending, tokens,
        )  # fmt: skip
        for place, start, stop in pending[:left].tolist():
            floats[place] = decided(text, start, stop)
        if done == begin:
            pending = np.empty((8 * len(pending), 3), np.int64)
    faults.unread |= (found[:, 0] == kernels.FINE) & (found[:, 3] > 0)
    _explain(text, found, frames[:, 1], which, formats, faults)
    numbers = _elements(numbers, others, offsets, which, formats, faults)

    good = ~faults.mask
    kept = None if good.all() else np.repeat(good, frames[:, 1])
    counts = frames[good, 1]
    table = {"numbers": [RawColumn(numbers if kept is None else numbers[kept])]}
    arrays = {kernels.REAL: floats, kernels.INT: ints, kernels.BOOL: bools.view(bool), kernels.TEXT: spans}
    for step, begin in begins.items():
        name, kind, width = step
        if kind not in arrays:
            continue
        array = arrays[kind]
        values = array[begin : begin + width * n_rows].reshape(n_rows, width, *array.shape[1:])
        values = values if kept is None else values[kept]
        values = values[:, 0] if width == 1 else values
        has = np.zeros(len(formats), dtype=bool)
        has[users[step]] = True
        present = None if has.all() else has[which[good]]
        if present is not None and present.all():
            present = None
        elif present is not None and not present.any():
            continue
        column = RawColumn(values, present)
        if kind == kernels.TEXT:
            column = _texts(text, values, present, counts)
        table.setdefault(name, []).append(column)
    table.setdefault("positions", [RawColumn(np.empty((0, 3)))])  # where no frame is good
    return table


def _texts(
    text: NDArray[np.uint8],
    spans: NDArray[np.int64],
    present: NDArray[np.bool_] | None,
    counts: NDArray[np.int64],
) -> RawColumn:
    """Return codes for the spans of a property; -1 where it is absent."""
    here = np.ones(len(spans), dtype=bool) if present is None else np.repeat(present, counts)
    codes, texts = intern(text, np.ascontiguousarray(spans[here]).reshape(-1, 2))
    values = np.full(spans.shape[:-1], -1, dtype=np.int32)
    values[here] = codes.reshape(-1, *values.shape[1:])
    return RawColumn(values, present, texts)


def _elements(
    numbers: NDArray[np.uint8],
    others: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    which: NDArray[np.int64],
    formats: list[LineFormat],
    faults: Faults,
) -> NDArray[np.uint8]:
    """Return atomic numbers from species and Z, which must agree where both are given."""
    by_number = np.array([format.has(kernels.NUMBER) for format in formats], dtype=bool)
    if not by_number.any():
        return numbers
    both = by_number & np.array([format.has(kernels.SPECIES) for format in formats], dtype=bool)
    counts = np.diff(offsets)
    for row in np.flatnonzero((numbers != others) & np.repeat(both[which], counts)).tolist():
        frame = int(np.searchsorted(offsets, row, side="right")) - 1
        if frame not in faults.reasons:
            atom = row - int(offsets[frame]) + 1
            faults.add(
                frame, f"atom {atom}: species says atomic number {numbers[row]}, but Z is {others[row]}"
            )
    return np.where(np.repeat(by_number[which], counts), others, numbers)


def _explain(
    text: NDArray[np.uint8],
    found: NDArray[np.int64],
    n_atoms: NDArray[np.int64],
    which: NDArray[np.int64],
    formats: list[LineFormat],
    faults: Faults,
) -> None:
    """Put the faults of atom lines into words."""
    steps = [step for format in formats for step in format.steps]
    for frame in np.flatnonzero(found[:, 0]).tolist():
        code, atom, at, step = found[frame].tolist()
        before = text[max(0, at - (1 << 20)) : at].tobytes()
        line_start = at - len(before) + before.rfind(b"\n") + 1
        line = text[line_start : line_start + (1 << 16)].tobytes().partition(b"\n")[0]
        width = formats[which[frame]].width
        token = line[at - line_start :].split(None, 1)[:1]
        word = repr((token[0] if token else b"").decode("utf-8", "backslashreplace")[:40])
        name = steps[step][0]
        reason = {
            kernels.TOO_FEW: f"{len(line.split())} values instead of {width}",
            kernels.TOO_MANY: f"{len(line.split())} values instead of {width}",
            kernels.NOT_A_NUMBER: f"{word} in {name!r} is not a number",
            kernels.NOT_AN_INTEGER: f"{word} in {name!r} is not an integer of 64 bits",
            kernels.NOT_A_BOOL: f"{word} in {name!r} is not T or F",
            kernels.NO_ELEMENT: f"{word} is not a chemical symbol",
            kernels.NO_ATOMIC_NUMBER: f"{word} is not an atomic number",
        }[code]
        faults.add(frame, f"atom line {atom + 1} of {n_atoms[frame]}: {reason}")
