"""Extended XYZ files: find the frames, cut the file into slices, read a slice.

The file is read through a window that is moved along it and holds whole frames, so memory is
bounded by the size of a slice (or of the largest frame). What is inside a frame is left to
`comment_lines` and `atoms`; Numba is loaded only when a file is scanned or read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.sources.compression import HEAD, compression, decompressed
from zstruct.sources.lines.streams import fill
from zstruct.sources.source import SLICE_BYTES, BadFrame, FileSource, Raw, RawColumn, Slice

if TYPE_CHECKING:
    from zstruct.sources.xyz.comments import Comments

__all__ = ["XYZSource"]

#: Bytes that the window of a scan begins with; small, so that it stays in the processor's cache.
SCAN_BYTES = 4 << 20
#: Bytes behind a slice that are read with it: the first line there closes the last frame.
_BEHIND = 4096
#: Bytes at the beginning in which a file must look like text.
_HEAD_BYTES = 1 << 16
#: A block may take this many times the bytes of its text (plus some); else it is halved.
_GROWTH, _ALLOWANCE = 8, 64 << 20
_BOM = b"\xef\xbb\xbf"
_SPACES = b"\t\n\v\f\r\x1c\x1d\x1e\x1f "  # of kernels
_ANYWHERE = 1 << 62
_UNREAD = (
    "a plain XYZ file with more columns than element and position, which are not read; to have them, say so "
    "in the comment line, as in Properties=species:S:1:pos:R:3:forces:R:3"
)


class XYZSource(FileSource):
    r"""A file of structures in extended or plain XYZ format, perhaps compressed.

    Files compressed by gzip, bzip2 or xz are known by their first bytes and read as a stream.
    Numbers are those that Python's ``float`` would give; Fortran's exponents (``1.0D-5``) are read,
    underscores in numbers are refused. Comment lines follow the rules of ASE, with what the
    specification of libAtoms adds to them: lists of lists, and plain XYZ, whose lines are not
    read beyond the position, and whose comment is kept as the property ``comment``.

    Parameters
    ----------
    path
        The file.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "he.xyz")
    >>> with open(path, "w") as file:
    ...     _ = file.write("1\nProperties=species:S:1:pos:R:3 energy=-77.5\nHe 0 0 0.25\n")
    >>> source = XYZSource(path)
    >>> (block,) = source.read(source.scan()[0])
    >>> block.structure["energy"][0].values, block.atom["positions"][0].values
    (array([-77.5]), array([[0.  , 0.  , 0.25]]))
    """

    runs_in = "threads"
    one_pass = True

    def scan(self) -> list[Slice]:
        """Return slices of about `SLICE_BYTES` cut where good frames begin.

        A compressed file is one slice.

        Raises
        ------
        InputError
            If the file can't be opened, is empty, or is no text.
        """
        size = int(self.fingerprint()["size"])
        compressed = self._compression()
        with self._stream(compressed) as stream:
            head = self._read(stream, _HEAD_BYTES)
        if b"\0" in head:
            raise InputError("is not a text file, and an XYZ file must be one", self.label)
        if len(head) < _HEAD_BYTES and not head.removeprefix(_BOM).strip():
            raise InputError("the file is empty: it has no frames", self.label)
        # What has a word has a frame, if a bad one; and what is no longer than a slice is not cut.
        if compressed or (size <= SLICE_BYTES and head.removeprefix(_BOM).strip(_SPACES)):
            return [Slice(0, size, 0, size)]
        slices: list[Slice] = []
        start = first = n = 0
        with self.content.open() as file:
            for window in _windows(file, SCAN_BYTES, 0, _ANYWHERE, self.label):
                good = np.flatnonzero(window.codes == 0)
                starts, stops = (window.base + window.frames[good][:, [0, 3]]).T
                while True:
                    k = int(np.searchsorted(stops, start + SLICE_BYTES, side="right"))
                    k += k < len(good) and n + int(good[k]) == first  # no slice without a frame
                    if k >= len(good):
                        break
                    cut = int(starts[k])
                    slices.append(Slice(start, cut, first, cut - start))
                    start, first = cut, n + int(good[k])
                n += len(window.codes)
        if n == 0:
            raise InputError("the file is empty: it has no frames", self.label)
        return [*slices, Slice(start, size, first, size - start)]

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the frames of a slice; frames that can't be read are listed in `Raw.bad`.

        Raises
        ------
        InputError
            If the file can't be opened or decompressed, or is shorter than it was.
        """
        compressed = self._compression()
        size = SLICE_BYTES if compressed else min(piece.stop - piece.start, 2 * SLICE_BYTES)
        limit = _ANYWHERE if compressed else piece.stop
        frame = piece.first_frame
        with self._stream(compressed) as stream:
            if not compressed:
                if stream.seek(0, 2) < piece.stop:
                    raise InputError("the file has become shorter since it was scanned", self.label)
                stream.seek(piece.start)
            for window in _windows(stream, size + _BEHIND, piece.start, limit, self.label):
                if len(window.codes) or (window.last and frame == piece.first_frame):
                    yield from _read_window(window, frame)
                    frame += len(window.codes)

    def _compression(self) -> str:
        with self.content.open() as file:
            return compression(self._read(file, HEAD), self.content.name)

    def _stream(self, compressed: str) -> Any:
        return decompressed(self.content) if compressed else self.content.open()

    def _read(self, stream: IO[bytes], size: int) -> bytes:
        buffer = bytearray(size)
        n = fill(stream, memoryview(buffer), self.label)
        return bytes(buffer[:n])


@dataclass(frozen=True)
class _Window:
    """A stretch of a file and the frames found in it.

    Parameters
    ----------
    text
        The bytes and some room behind; valid until the next window is asked for.
    base
        Position of ``text[0]`` in the file.
    frames, codes
        What `zstruct.sources.xyz.kernels.index_frames` found.
    reasons
        A sentence for each frame that is bad, by its place in `frames`.
    last
        Whether no other window follows.
    """

    text: NDArray[np.uint8]
    base: int
    frames: NDArray[np.int64]
    codes: NDArray[np.int64]
    reasons: dict[int, str]
    last: bool


def _windows(stream: IO[bytes], size: int, base: int, limit: int, label: str) -> Iterator[_Window]:
    """Move a window of `size` bytes along a stream, growing it where a frame does not fit.

    Parameters
    ----------
    stream
        Where to read, at its present position.
    size
        Bytes of the window to begin with.
    base
        The present position in the file.
    limit
        Where in the file to stop.
    label
        The source, for messages.
    """
    from zstruct.sources.xyz import kernels

    text = np.empty(size + kernels.PAD, dtype=np.uint8)
    p = n = 0  # where to go on, and the valid bytes
    final = resync = False
    beginning = base == 0
    while True:
        got = 0 if final else fill(stream, memoryview(text.data)[n : len(text) - kernels.PAD], label)
        n += got
        final = final or n < len(text) - kernels.PAD
        text[n] = 10
        if beginning:
            p = len(_BOM) if text[: min(n, len(_BOM))].tobytes() == _BOM else 0
            beginning = False
        found: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        reasons: dict[int, str] = {}
        total = 0
        while True:
            room = min(1 << 16, n // 4 + 2)
            frames = np.empty((room, 5), dtype=np.int64)
            codes = np.empty(room, dtype=np.int64)
            details = np.empty((room, 2), dtype=np.int64)
            count, p, resync = kernels.index_frames.for_work(1e-7 * (n - p))(
                text, p, n, limit - base, final, resync, frames, codes, details
            )
            for k in np.flatnonzero(codes[:count]):
                reasons[total + int(k)] = _index_reason(
                    text[:n], int(codes[k]), int(frames[k, 4]), *details[k].tolist()
                ) + _at_byte(base + int(frames[k, 0]))
            found.append((frames[:count], codes[:count]))
            total += count
            if count < room:
                break
        last = final or p >= limit - base
        yield _Window(
            text,
            base,
            np.concatenate([f for f, _ in found]),
            np.concatenate([c for _, c in found]),
            reasons,
            last,
        )
        if last:
            return
        p = min(p, n)
        if p == 0 and n == len(text) - kernels.PAD:
            text = np.concatenate([text, np.empty_like(text[: n or 1])])
        rest = n - p
        text[:rest] = text[p:n].copy()
        base, p, n = base + p, 0, rest


def _at_byte(place: int) -> str:
    return f" (the frame begins at byte {place})"


def _index_reason(text: NDArray[np.uint8], code: int, count: int, at: int, done: int) -> str:
    from zstruct.sources.xyz import kernels

    line = repr(
        text[at : at + 200].tobytes().partition(b"\n")[0].decode("utf-8", "backslashreplace").strip()[:40]
    )
    lines = f"{done} of {count} atom lines"
    if code == kernels.NOT_A_COUNT:
        return f"expected a line with the number of atoms, found {line}"
    if code == kernels.NO_ATOMS:
        return "the frame has no atoms"
    if code == kernels.NEGATIVE:
        return f"the number of atoms is negative, {count}"
    if code == kernels.ENDS_EARLY:
        return f"the file ends after {lines}"
    if code == kernels.BLANK_INSIDE:
        return f"the atom count {count} does not fit: after {lines} comes an empty line"
    if code == kernels.COUNT_INSIDE:
        return f"the atom count {count} does not fit: after {lines} comes the line {line}"
    return f"the atom count {count} does not fit: after that many lines comes {line}"


def _read_window(window: _Window, first_frame: int) -> Iterator[Raw]:
    """Yield the frames of a window, in one block if that takes ordinary memory."""
    from zstruct.sources.xyz.comment_lines import split_comments

    bad = [BadFrame(first_frame + k, reason) for k, reason in window.reasons.items()]
    good = np.flatnonzero(window.codes == 0)
    index = window.frames[good]
    lines = np.stack([index[:, 1], index[:, 2] - 1], axis=1)
    comments = split_comments(window.text, lines)
    pending = [(index, first_frame + good, comments)]
    while pending:
        index, numbers, comments = pending.pop()
        raw = _read_block(window, index, numbers, comments, bad)
        if raw is not None:
            yield raw
            bad = []
            continue
        half = len(index) // 2
        first = np.arange(len(index)) < half
        pending.append((index[half:], numbers[half:], comments.select(~first)))
        pending.append((index[:half], numbers[:half], comments.select(first)))


def _read_block(
    window: _Window,
    index: NDArray[np.int64],
    numbers: NDArray[np.int64],
    comments: Comments,
    bad: list[BadFrame],
) -> Raw | None:
    """Read some frames of a window; None if that would take too much memory for one block."""
    from zstruct.sources.xyz.atoms import frame_formats, read_atoms, row_bytes
    from zstruct.sources.xyz.bad_frames import Faults
    from zstruct.sources.xyz.comment_lines import find_unclosed
    from zstruct.sources.xyz.geometry import geometry

    faults = Faults(len(index))
    find_unclosed(comments, faults)
    n_atoms = index[:, 4]
    which, formats = frame_formats(comments, n_atoms, index[:, 3] - index[:, 2], faults)
    if len(index) > 1:
        cost = row_bytes(formats) * int(n_atoms.sum()) + 16 * len(comments.names) * len(index)
        if cost > _GROWTH * int((index[:, 3] - index[:, 0]).sum()) + _ALLOWANCE:
            return None
    structure = {name: [column] for name, column in geometry(comments, faults).items()}
    atom = read_atoms(window.text, index[:, [2, 4]], which, formats, faults)
    good = ~faults.mask
    if not good.all():
        structure = {
            name: [_select(column, good) for column in columns] for name, columns in structure.items()
        }
    structure.update(comments.select(good).columns())
    failures = [
        BadFrame(int(numbers[k]), reason + _at_byte(window.base + int(index[k, 0])))
        for k, reason in sorted(faults.reasons.items())
    ]
    bad = sorted([*bad, *failures], key=lambda b: -1 if b.frame is None else b.frame)
    unread = faults.unread[good]
    remarks = {_UNREAD: unread} if unread.any() else {}
    return Raw(numbers[good], n_atoms[good], atom, structure, bad, remarks=remarks)


def _select(column: RawColumn, good: NDArray[np.bool_]) -> RawColumn:
    return RawColumn(column.values[good], None if column.present is None else column.present[good])
