"""The members of a tar archive, one by one, from a stream: POSIX, pax, GNU and older ones.

Python's `tarfile` takes damage and a missing end for the end of an archive. Here both are said: an archive
that is cut off anywhere never passes for a whole one. What members are is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from zstruct.errors import InputError, StoreAccessError
from zstruct.sources.archive.member import DamageError, Member
from zstruct.sources.compression import DAMAGED

__all__ = ["Tar"]

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_NO_NAME = 1 << 20  # bytes that no name takes
_NO_SIZE = 1 << 62  # bytes that no member has
_KEPT = ("path", "size")  # records of pax that are looked at
_SKIPPED = 1 << 20  # bytes that are read at once to get behind them
_FILES = (b"0", b"\0", b"7")
_KINDS = {
    b"1": "a link",
    b"2": "a link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a directory",
    b"6": "a pipe",
    b"D": "a directory",
    b"V": "the name of a volume",
}
_WITHOUT_BYTES = (b"1", b"2", b"3", b"4", b"5", b"6")
_RECORD = re.compile(rb"(\d{1,9}) ([^=\n]+)=")
_SPARSE_KEYS = "GNU.sparse."
_SPARSE = "it is stored with its holes left out (sparse): pack it without --sparse"
_VOLUME = "it goes on from another archive, of several volumes: join them"


class Tar:
    """A tar archive, read from front to back.

    Parameters
    ----------
    stream
        Its bytes, decompressed.
    size
        How many they are, if the stream can seek; None if it can't.
    """

    def __init__(self, stream: IO[bytes], size: int | None = None):
        self._stream, self._size = stream, size
        self._at = 0
        self._damage: DamageError | None = None

    def read(self, n: int) -> bytes:
        """Return the next bytes, fewer at the end only.

        Raises
        ------
        DamageError
            If they can't be decompressed.
        """
        if self._damage is not None:
            raise self._damage
        try:
            data = self._stream.read(n)
            while len(data) < n and (more := self._stream.read(n - len(data))):
                data += more
        except InputError as error:
            self._damage = DamageError(error.reason)
            raise self._damage from error
        except StoreAccessError:
            raise  # of a server, which may answer another time
        except (*DAMAGED, OSError) as error:
            said = getattr(error, "strerror", None) or error
            self._damage = DamageError(f"decompression failed, the archive is damaged or cut off: {said}")
            raise self._damage from error
        self._at += len(data)
        return data

    def members(self) -> Iterator[Member]:
        """Yield the members; `read` gives the bytes of the one yielded last.

        Raises
        ------
        DamageError
            Where the archive can't be read further. Its end is then not where it should be.
        """
        always: dict[str, bytes] = {}
        once: dict[str, bytes] = {}
        long_name: bytes | None = None
        index = 0
        while True:
            start = self._at
            header = self.read(_BLOCK)
            if header == _ZEROS:
                self._check_end(start)
                return
            if len(header) < _BLOCK:
                raise DamageError(
                    self._cut("inside of a header" if header else "without the mark of its end")
                )
            size = _checked(header, start)
            kind = header[156:157]
            if kind in (b"x", b"g", b"X"):
                records = _records(self._small(size), start)
                always.update(records) if kind == b"g" else once.update(records)
                continue
            if kind in (b"L", b"K"):
                text = self._small(size).partition(b"\0")[0]
                long_name = text if kind == b"L" else long_name
                continue
            said = always | once if always else once
            size = _pax_size(said, size, start)
            if size >= _NO_SIZE:
                raise DamageError(_no_size(start))
            name = _name(header, said, long_name)
            fault = ""
            if kind == b"S" or any(key.startswith(_SPARSE_KEYS) for key in said):
                fault = _SPARSE
            elif kind == b"M":
                fault = _VOLUME
            if kind == b"S":
                self._skip_map(header)
            what = "" if fault or kind in _FILES else _KINDS.get(kind, "no file")
            if not what and name.endswith("/"):
                what = "a directory"  # as old archives have them
            size = 0 if kind in _WITHOUT_BYTES else size
            once, long_name = {}, None
            at = self._at
            yield Member(index, name, size, at, what, fault)
            index += 1
            self._skip_to(at + size + -size % _BLOCK, name, at + size)

    def _skip_to(self, place: int, name: str, end: int) -> None:
        """Go behind a member that ends at `end`, to where the next header is."""
        if self._size is not None:
            if self._size < end:
                raise DamageError(self._cut(f"inside of {name}"))
            self._at = min(place, self._size)
            self._stream.seek(self._at)
            return
        while self._at < place:
            if not self.read(min(place - self._at, _SKIPPED)):
                if self._at >= end:
                    return  # the next header is missing, and that is said
                raise DamageError(self._cut(f"inside of {name}"))

    def _small(self, size: int) -> bytes:
        """Return what describes a member, without its padding."""
        if size > _NO_NAME:
            raise DamageError(f"a name or its like takes {size:,} bytes; the archive is damaged")
        padded = size + -size % _BLOCK
        data = self.read(padded)
        if len(data) < padded:
            raise DamageError(self._cut("inside of a header"))
        return data[:size]

    def _skip_map(self, header: bytes) -> None:
        """Go behind the blocks that say where the holes of a sparse member are."""
        more = header[482]
        while more:
            block = self.read(_BLOCK)
            if len(block) < _BLOCK:
                raise DamageError(self._cut("inside of a header"))
            more = block[504]

    def _check_end(self, start: int) -> None:
        """Read what is behind the end, which is how the end of compressed data is reached, too."""
        while block := self.read(_SKIPPED):
            if block.count(0) < len(block):
                raise DamageError(
                    f"there is more behind the mark of its end at byte {start:,}; if these are archives "
                    "joined to one, take them apart"
                )

    @staticmethod
    def _cut(where: str) -> str:
        return f"the archive is cut off: it ends {where}"


def _checked(header: bytes, start: int) -> int:
    """Return the size that a header states, if it is a header.

    Raises
    ------
    DamageError
        If it is none.
    """
    stated = _number(header[148:156])
    total = sum(header) - sum(header[148:156]) + 256
    if stated != total:  # some took bytes for signed numbers
        total -= 256 * sum(byte > 127 for byte in header[:148] + header[156:])
    size = _number(header[124:136])
    if stated != total or size is None or size < 0:
        if start == 0:
            raise DamageError("this is no tar archive, or it is damaged where it begins")
        raise DamageError(f"the archive is damaged: what is at byte {start:,} is no header of a member")
    return size


def _number(field: bytes) -> int | None:
    """Return a number of a header, octal or binary; None if it is none."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") - (field[0] << 8 * (len(field) - 1))
        return value + ((field[0] & 0x7F) << 8 * (len(field) - 1)) if field[0] != 0xFF else -1
    text = field.partition(b"\0")[0].strip(b" ")
    if not text:
        return 0
    return int(text, 8) if re.fullmatch(rb"[0-7]+", text) else None


def _records(data: bytes, start: int) -> dict[str, bytes]:
    """Return the records of a pax header."""
    found = {}
    at = 0
    while at < len(data) and data[at]:
        match = _RECORD.match(data, at)
        length = int(match[1]) if match else 0
        stop = at + length
        if match is None or stop > len(data) or stop <= match.end() or data[stop - 1] != 10:
            raise DamageError(
                f"the archive is damaged: the header at byte {start:,} has records that are none"
            )
        name = match[2].decode("utf-8", "surrogateescape")
        if name in _KEPT or name.startswith(_SPARSE_KEYS):
            found[name] = data[match.end() : stop - 1]
        at = stop
    return found


def _pax_size(said: dict[str, bytes], size: int, start: int) -> int:
    text = said.get("size")
    if text is None:
        return size
    if not re.fullmatch(rb"\d{1,19}", text):
        raise DamageError(_no_size(start))
    return int(text)


def _no_size(start: int) -> str:
    return f"the archive is damaged: the header at byte {start:,} states a size that is none"


def _name(header: bytes, said: dict[str, bytes], long_name: bytes | None) -> str:
    """Return the name of a member: of pax, of GNU, or in the header."""
    name = said.get("GNU.sparse.name", said.get("path", long_name))
    if name is None:
        name = header[:100].partition(b"\0")[0]
        prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
        name = prefix + b"/" + name if prefix else name
    return name.decode("utf-8", "surrogateescape")
