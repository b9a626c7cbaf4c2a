"""Indexes of large groups of HDF5 files: a heap of names, and a tree of nodes in which links are sorted.

Names are numbers with something before them. All is written from front to back, some nodes at a time.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from zstruct.exporters.hdf5_layout import NOWHERE, message, object_header

__all__ = ["LEAF_K", "NODE_K", "numbered_group"]

#: Half of the most entries of a node: of those that have links, and of those that have nodes.
LEAF_K, NODE_K = 32, 32
_TABLE = 0x11  # the message of a group that its links are in a table
_NO_HOLE = 1  # in a heap
_NAMES = 1 << 16  # that are written at a time

_LEAF = np.dtype(
    [
        ("sign", "S4"),
        ("version", "<u2"),
        ("n", "<u2"),
        ("links", [("name", "<u8"), ("address", "<u8"), ("rest", "V24")], (2 * LEAF_K,)),
    ]
)
_NODE = np.dtype(
    [
        ("sign", "S4"),
        ("type", "u1"),
        ("level", "u1"),
        ("n", "<u2"),
        ("left", "<u8"),
        ("right", "<u8"),
        ("before", "<u8"),
        ("children", [("address", "<u8"), ("last", "<u8")], (2 * NODE_K,)),
    ]
)


def numbered_group(prefix: str, addresses: NDArray[np.int64], write: Callable[[bytes], int]) -> int:
    """Write a group of links that are called by a prefix and their number, from 0 on; return where it is.

    Parameters
    ----------
    prefix
        What is before the number.
    addresses
        What links lead to, shape (n,), n > 0.
    write
        Appends bytes to the file, a multiple of eight of them, and returns where they begin.
    """
    n = len(addresses)
    width = len(f"{prefix}{n - 1}".encode()) // 8 * 8 + 8  # with a zero at the end
    heap = _heap(prefix, n, width, write)
    order = _by_digits(n)
    names = 8 + width * order
    children = _leaves(names, addresses[order], write)
    lasts = names[np.minimum(np.arange(2 * LEAF_K - 1, n + 2 * LEAF_K - 1, 2 * LEAF_K), n - 1)]
    level = 0
    while level == 0 or len(children) > 1:
        children, lasts = _nodes(level, children, lasts, write)
        level += 1
    return write(object_header([message(_TABLE, struct.pack("<QQ", int(children[0]), heap))]))


def _by_digits(n: int) -> NDArray[np.int64]:
    """Return the numbers below n in the order of their digits: 0, 1, 10, 11, 2."""
    numbers = np.arange(n)
    digits = np.ones(n, dtype=np.int64)
    for k in range(1, len(str(n))):
        digits[10**k :] += 1
    return np.lexsort((digits, numbers * 10 ** (digits[-1] - digits)))


def _heap(prefix: str, n: int, width: int, write: Callable[[bytes], int]) -> int:
    """Write an empty name, which is before all others, and n of so many bytes; return where the heap is."""
    begin = write(bytes(8))
    for first in range(0, n, _NAMES):
        names = [f"{prefix}{k}".encode() for k in range(first, min(first + _NAMES, n))]
        write(np.array(names, dtype=f"S{width}").tobytes())
    return write(struct.pack("<4sIQQQ", b"HEAP", 0, 8 + n * width, _NO_HOLE, begin))


def _leaves(
    names: NDArray[np.int64], addresses: NDArray[np.int64], write: Callable[[bytes], int]
) -> NDArray[np.int64]:
    """Write the nodes that have links; return where they are."""
    places = []
    for first in range(0, len(names), _NAMES):
        some = names[first : first + _NAMES]
        counts = _counts(len(some), 2 * LEAF_K)
        made = np.zeros(len(counts), _LEAF)
        made["sign"], made["version"], made["n"] = b"SNOD", 1, counts
        made["links"]["name"] = _rows(some, 2 * LEAF_K)
        made["links"]["address"] = _rows(addresses[first : first + _NAMES], 2 * LEAF_K)
        places.append(write(made.tobytes()) + _LEAF.itemsize * np.arange(len(made)))
    return np.concatenate(places)


def _nodes(
    level: int, children: NDArray[np.int64], lasts: NDArray[np.int64], write: Callable[[bytes], int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Write the nodes above others, whose last names are known; return where they are, and theirs."""
    counts = _counts(len(children), 2 * NODE_K)
    ends = np.cumsum(counts)
    made = np.zeros(len(counts), _NODE)
    made["sign"], made["level"], made["n"] = b"TREE", level, counts
    made["before"][1:] = lasts[ends[:-1] - 1]
    made["children"]["address"] = _rows(children, 2 * NODE_K)
    made["children"]["last"] = _rows(lasts, 2 * NODE_K)
    made["left"] = made["right"] = NOWHERE
    places = write(b"") + _NODE.itemsize * np.arange(len(made))
    made["left"][1:], made["right"][:-1] = places[:-1], places[1:]
    write(made.tobytes())
    return places, lasts[ends - 1]


def _counts(n: int, most: int) -> NDArray[np.int64]:
    """Return how many entries nodes have, of which all but the last one are full."""
    counts = np.full(-(-n // most), most)
    counts[-1] = n - most * (len(counts) - 1)
    return counts


def _rows(values: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return values as rows of nodes, with zeros at the end of the last one."""
    return np.pad(values, (0, -len(values) % most)).reshape(-1, most)
