"""A bzip2 file of which several threads decompress the blocks: it packs well, and unpacks slowly.

Blocks of up to 900 kB follow each other bit by bit, each behind the same 48 bits. Each is decompressed as a
file of its own, with its checksum. Wherever anything is not as it should be, the file is decompressed from
its beginning in the ordinary way, which says what is wrong.
"""

from __future__ import annotations

import bz2
import io
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO

from zstruct.errors import StoreAccessError
from zstruct.sources.compression import DAMAGED, decompressed, most_in
from zstruct.sources.content import Content

__all__ = ["BlockStream"]

_BLOCK, _END = 0x314159265359, 0x177245385090
_MAGIC_BITS, _CRC_BITS = 48, 32
_PIECE = 1 << 20
_LARGEST = 2 << 20  # bytes that no block takes
_MOST_THREADS = 6  # each may hold what is in a block, of bombs nearly 50 MB
_SIX, _FOUR = (1 << _MAGIC_BITS) - 1, (1 << _CRC_BITS) - 1


class BlockStream(io.RawIOBase):
    """What is in a bzip2 file, to be read once from front to back.

    Parameters
    ----------
    content
        The file.
    n_threads
        How many decompress it, at most.
    """

    def __init__(self, content: Content, n_threads: int):
        self._content, self._n_threads = content, min(n_threads, _MOST_THREADS)
        self._pool = ThreadPoolExecutor(self._n_threads, "zstruct-bzip2")
        self._blocks: Iterator[bytes] | None = self._decompressed()
        self._ready = memoryview(b"")
        self._n, self._most = 0, most_in(content)  # bytes that were read, and may be
        self._plain: Any = None

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; return how much there was."""
        while not self._ready and self._plain is None:
            try:
                block = next(self._blocks, None) if self._blocks is not None else None
            except StoreAccessError:
                raise
            except (_OddError, *DAMAGED, OSError, ValueError):
                self._begin_again()
                break
            if block is None:
                return 0
            self._ready = memoryview(block)
            if self._n + len(block) > self._most:
                self._begin_again()
        if self._plain is not None:
            return int(self._plain.readinto(buffer))
        n = min(len(buffer), len(self._ready))
        buffer[:n] = self._ready[:n]
        self._ready = self._ready[n:]
        self._n += n
        return n

    def _begin_again(self) -> None:
        """Go on in the ordinary way, behind what was read already."""
        self._plain = decompressed(self._content)
        left = self._n
        while left:
            left -= len(self._plain.read(min(left, _PIECE)))

    def close(self) -> None:
        """Close the file as well, and end the threads."""
        if not self.closed:
            self._blocks = None
            self._pool.shutdown(cancel_futures=True)
            if self._plain is not None:
                self._plain.close()
        super().close()

    def _decompressed(self) -> Iterator[bytes]:
        """Yield what is in the blocks; some are decompressed ahead."""
        waiting: deque[Future[bytes]] = deque()
        with self._content.open() as file:
            for packed in _packed_blocks(file):
                waiting.append(self._pool.submit(_unpacked, packed))
                if len(waiting) > self._n_threads:
                    yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class _OddError(Exception):
    """Something is not as it should be."""


def _unpacked(packed: bytes) -> bytes:
    machine = bz2.BZ2Decompressor()
    data = machine.decompress(packed)
    if not machine.eof:
        raise _OddError
    return data


def _packed_blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield each block as a file of its own.

    Raises
    ------
    _OddError
        If the file is damaged, cut off, or has anything else in it.
    """
    bits = _Bits(file)
    while bits.more(4 + _MAGIC_BITS // 8 + _CRC_BITS // 8):
        header = bits.take(32)
        if header >> 8 != int.from_bytes(b"BZh", "big") or not 0x31 <= header & 0xFF <= 0x39:
            raise _OddError
        combined = 0
        while bits.take(_MAGIC_BITS) == _BLOCK:
            size = bits.next_magic()
            block = bits.take(size)
            crc = block >> (size - _CRC_BITS)
            combined = (combined << 1 & _FOUR | combined >> 31) ^ crc
            begun = (header << _MAGIC_BITS | _BLOCK) << size | block
            alone = (begun << _MAGIC_BITS | _END) << _CRC_BITS | crc
            n = 32 + _MAGIC_BITS + size + _MAGIC_BITS + _CRC_BITS
            yield (alone << -n % 8).to_bytes((n + 7) // 8, "big")
        if bits.last != _END or bits.take(_CRC_BITS) != combined:
            raise _OddError
        bits.align()
    if bits.left:
        raise _OddError


class _Bits:
    """A file, bit by bit.

    Parameters
    ----------
    file
        The file, at its beginning.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._data = b""
        self._at = 0  # bits of the data that are behind us
        self.last = 0
        """What was taken last."""

    @property
    def left(self) -> int:
        """Bytes that are at hand."""
        return len(self._data) - self._at // 8

    def more(self, n: int) -> bool:
        """Return whether there are so many bytes."""
        while self.left < n:
            piece = self._file.read(_PIECE)
            if not piece:
                return False
            self._data, self._at = self._data[self._at // 8 :] + piece, self._at % 8
        return True

    def take(self, n: int) -> int:
        """Return the next bits as an integer."""
        if not self.more((n + 14) // 8) and self.left * 8 - self._at % 8 < n:
            raise _OddError
        first, stop = self._at, self._at + n
        whole = int.from_bytes(self._data[first // 8 : (stop + 7) // 8], "big")
        self.last = whole >> -stop % 8 & (1 << n) - 1
        self._at = stop
        return self.last

    def align(self) -> None:
        """Go on to where a byte begins."""
        self._at += -self._at % 8

    def next_magic(self) -> int:
        """Return how many bits there are in front of the next block, or the end."""
        searched = 0  # bytes, from the present one on
        while True:
            found = [place for magic in (_BLOCK, _END) for place in self._places(magic, searched)]
            if found:
                return min(found)
            searched = max(0, self.left - 16)
            if searched > _LARGEST or not self.more(self.left + 1):
                raise _OddError

    def _places(self, magic: int, searched: int) -> Iterator[int]:
        """Yield for each shift the first place of a magic number, in bits from the present one."""
        least = self._at + _CRC_BITS
        for shift in range(8):
            # Five whole bytes of it, behind some bits.
            middle = (magic >> shift & 0xFFFFFFFFFF).to_bytes(5, "big")
            at = self._data.find(middle, self._at // 8 + searched)
            while at >= 0:
                stop = 8 * (at + 5) + shift
                start = stop - _MAGIC_BITS
                if start >= least and stop <= 8 * len(self._data):
                    first = int.from_bytes(self._data[start // 8 : (stop + 7) // 8], "big")
                    if first >> -stop % 8 & _SIX == magic:
                        yield start - self._at
                        break
                at = self._data.find(middle, at + 1)
