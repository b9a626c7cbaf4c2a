"""Read an LMDB file: its keys and the value of a key, without the LMDB library.

That library trusts a file: one that is cut off kills the process that reads it, one with bad page numbers
may do anything. Here every page number and every length is checked. Nothing is written, and files are those
of 64-bit little-endian machines; the layout is that of version 1 (``mdb.c`` of OpenLDAP).
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator

__all__ = ["LMDBPages", "PagesError"]

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_HEAD = 16  # bytes that a page begins with
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4  # kinds of pages
_BIG, _OTHER = 1, 6  # a value on pages of its own; one that is a table or a list
_DEEPEST = 64
_NONE = (1 << 64) - 1


class PagesError(Exception):
    """What is wrong with a file, as a sentence."""


class LMDBPages:
    """The newest state of an LMDB file, mapped into memory; also a context manager.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    PagesError
        If it is no LMDB file, or is shorter than it says.
    OSError
        If it can't be opened.
    """

    def __init__(self, path: str):
        with open(path, "rb") as file:
            self._size = os.fstat(file.fileno()).st_size
            if self._size < 2 * _HEAD + 136:
                raise PagesError("the file is too short for an LMDB")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            self._page, self._root, self.n_entries, last = self._meta()
            if (last + 1) * self._page > self._size:
                raise PagesError(
                    f"the file has {self._size} bytes of the {(last + 1) * self._page} that it says: it is "
                    "cut off, or still being copied"
                )
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> LMDBPages:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back."""
        self._map.close()

    def _meta(self) -> tuple[int, int, int, int]:
        """Return page size, root, number of entries and last page of the newer of two states."""
        states = []
        found = struct.unpack_from("<I", self._map, _HEAD)[0]
        page = struct.unpack_from("<I", self._map, _HEAD + 24)[0]
        if found != _MAGIC or page < 512 or page > 1 << 16 or page & (page - 1):
            raise PagesError("this is no LMDB file of a 64-bit machine")
        for at in (0, page):
            if at + _HEAD + 136 > self._size:
                continue
            magic, version = struct.unpack_from("<II", self._map, at + _HEAD)
            if magic != _MAGIC:
                continue
            if version != _VERSION:
                raise PagesError(f"this is an LMDB file of version {version}, and {_VERSION} is read")
            entries, root, last, number = struct.unpack_from("<QQQQ", self._map, at + _HEAD + 104)
            states.append((number, root, entries, last))
        _, root, entries, last = max(states)
        return page, root, entries, last

    def _at(self, number: int, pages: int = 1) -> int:
        start = number * self._page
        if number < 2 or start + pages * self._page > self._size:
            raise PagesError(f"page {number} is not in the file")
        return start

    def _nodes(self, start: int) -> tuple[int, list[int]]:
        """Return the kind of a page, and where its nodes begin in the file."""
        flags, lower = struct.unpack_from("<HH", self._map, start + 10)
        n = (lower - _HEAD) // 2
        if not 0 <= n <= (self._page - _HEAD) // 2 or flags & 0x60:
            raise PagesError(f"page {start // self._page} is damaged")
        offsets = struct.unpack_from(f"<{n}H", self._map, start + _HEAD)
        if any(offset < _HEAD or offset + 8 > self._page for offset in offsets):
            raise PagesError(f"page {start // self._page} is damaged")
        return flags & 7, [start + offset for offset in offsets]

    def _key(self, node: int, page: int) -> bytes:
        (size,) = struct.unpack_from("<H", self._map, node + 6)
        if node + 8 + size > page + self._page:
            raise PagesError(f"page {page // self._page} is damaged")
        return self._map[node + 8 : node + 8 + size]

    def _child(self, node: int) -> int:
        low, high, top = struct.unpack_from("<HHH", self._map, node)
        return int(low | high << 16 | top << 32)

    def __iter__(self) -> Iterator[bytes]:
        """Yield all keys in their order; `PagesError` says which page is damaged."""
        if self._root == _NONE:
            return
        waiting = [(self._root, 0)]
        seen = 0
        while waiting:
            number, depth = waiting.pop()
            page = self._at(number)
            kind, nodes = self._nodes(page)
            seen += 1
            if depth > _DEEPEST or seen * self._page > self._size:
                raise PagesError("its pages go round in circles")
            if kind == _BRANCH:
                waiting += [(self._child(node), depth + 1) for node in reversed(nodes)]
            elif kind == _LEAF:
                for node in nodes:
                    yield self._key(node, page)
            else:
                raise PagesError(f"page {number} is damaged")

    def __contains__(self, key: bytes) -> bool:
        return self._find(key) is not None

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key; None if there is no such key.

        Raises
        ------
        PagesError
            If a page on the way is damaged.
        """
        found = self._find(key)
        return None if found is None else self._value(*found)

    def _find(self, key: bytes) -> tuple[int, int] | None:
        """Return where the node of a key begins, and the page that it is on."""
        number = self._root
        if number == _NONE:
            return None
        for _ in range(_DEEPEST):
            page = self._at(number)
            kind, nodes = self._nodes(page)
            if kind not in (_BRANCH, _LEAF) or not nodes:
                raise PagesError(f"page {number} is damaged")
            low, high = (1 if kind == _BRANCH else 0), len(nodes)  # the first key of a branch is empty
            while low < high:
                middle = (low + high) // 2
                if self._key(nodes[middle], page) <= key:
                    low = middle + 1
                else:
                    high = middle
            if kind == _BRANCH:
                number = self._child(nodes[low - 1])
            elif low == 0 or self._key(nodes[low - 1], page) != key:
                return None
            else:
                return nodes[low - 1], page
        raise PagesError("its pages go round in circles")

    def _value(self, node: int, page: int) -> bytes:
        low, high, flags, key = struct.unpack_from("<HHHH", self._map, node)
        size = low | high << 16
        start, end = node + 8 + key, page + self._page
        if flags & _OTHER:
            raise PagesError("a value in it is a table of its own, as ASE writes none")
        if flags & _BIG:
            if start + 8 > end:
                raise PagesError(f"page {page // self._page} is damaged")
            (number,) = struct.unpack_from("<Q", self._map, start)
            pages = -(-(size + _HEAD) // self._page)
            first = self._at(number, pages)
            if not struct.unpack_from("<H", self._map, first + 10)[0] & _OVERFLOW:
                raise PagesError(f"page {number} is damaged")
            start, end = first + _HEAD, first + pages * self._page
        if start + size > end:
            raise PagesError(f"page {page // self._page} is damaged")
        return self._map[start : start + size]
