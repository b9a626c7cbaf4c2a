"""Groups of an HDF5 file that are read without its library, many at once; others are left to it.

Groups in which names, shapes, dtypes and units are the same are read together: each of their datasets is one
array of all these groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import by_appearance
from zstruct.sources.hdf5.dataset_kernels import (
    ADDRESS,
    BOOL,
    COLUMNS,
    DIMS,
    FLOAT,
    GROUP,
    INT,
    KIND,
    LETTERS,
    NAME,
    ODD,
    SIZE,
    TEXT,
    UINT,
    UNIT,
    find_texts,
)
from zstruct.sources.hdf5.file import h5py
from zstruct.sources.hdf5.group_kernels import describe, tell_groups
from zstruct.sources.hdf5.link_kernels import LINK, PLACES, find_links
from zstruct.sources.hdf5.object_kernels import DONE, FILLED, PARENT, ROWS, WORDS
from zstruct.sources.hdf5.pages import Pages, new_state

__all__ = [
    "Alike", "Described", "LeftError", "Values", "addresses_of", "are_groups", "described", "use_kernels",
]  # fmt: skip

#: Returns the values of a dataset in all groups of some that are alike, shape (groups, ...).
Values = Callable[[str], NDArray[Any]]

_BY_LIBRARY = 5e-4  # seconds that the library takes for a group
_BYTES_EACH = 2000  # of a file for each group, if there are many
_MOST_WORDS = 1000
_HEAP_EACH = 256  # bytes of all names together for each, if they are near one another
_NO_LINK = 0  # of HDF5: what is a hard link
_DTYPES = {INT: "<i", UINT: "<u", FLOAT: "<f", LETTERS: "S"}


class LeftError(Exception):
    """Values are left to the library: they are not as they should be, or it alone knows what they are."""


@dataclass(frozen=True)
class _Header:
    """What is known of a dataset before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    unit: str | None
    row: int
    fault: str | None = None


@dataclass(frozen=True)
class Alike:
    """Groups that have the same datasets.

    Parameters
    ----------
    members
        Which of the groups they are.
    sets
        Their datasets, by name, or by path in the group.
    others
        Names of groups in them.
    """

    members: NDArray[np.int64]
    sets: Mapping[str, _Header]
    others: Sequence[str]


@dataclass(frozen=True)
class Described:
    """What is in groups, as far as it is read without the library.

    Parameters
    ----------
    alike
        Groups that have the same datasets.
    which
        The number of these for each group, shape (n,); -1 if it is left to the library.
    """

    alike: Sequence[Alike]
    which: NDArray[np.int64]

    _pages: Pages
    _rows: NDArray[np.int64]
    _spans: NDArray[np.int64]

    def values(self, alike: Alike, members: NDArray[np.int64]) -> Values:
        """Return what reads the datasets of some groups of those that are alike.

        It raises LeftError for values that are left to the library.
        """

        def read(name: str) -> NDArray[Any]:
            header = alike.sets[name]
            rows = self._spans[members, 0] + header.row
            return _values(self._pages, header, int(self._rows[rows[0], KIND]), self._rows[rows, ADDRESS])

        return read


def addresses_of(group: Any, pages: Pages) -> dict[str, int]:
    """Return where the objects in a group of h5py are in the file, -1 for links to elsewhere."""
    found = _found_links(pages, int(h5py().h5o.get_info(group.id).addr))
    if found is not None:
        return found
    found = {}

    def see(name: bytes, link: Any) -> None:
        found[_name(name)] = int(link.u) if link.type == _NO_LINK else ODD

    group.id.links.iterate(see, info=True)
    return found


def _found_links(pages: Pages, group: int) -> dict[str, int] | None:
    """Return where the objects in a group are by name, None if that is left to the library."""
    kernel = find_links.for_work(len(pages.data) / _BYTES_EACH * _BY_LIBRARY / 100, _nothing)
    places, links, state = np.zeros(PLACES, dtype=np.int64), np.zeros((256, LINK), np.int64), new_state()
    try:
        while not pages.call(kernel, group, places, links, state=state):
            links = np.concatenate([links, np.zeros_like(links)])
    except (OSError, MemoryError):
        return None
    if state[DONE] != 1:
        return None
    starts, lengths, addresses = links[: state[ROWS]].T
    found = dict(zip(_names(pages, starts, starts + lengths), addresses.tolist(), strict=True))
    return found if len(found) == len(addresses) else None


def _names(pages: Pages, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Iterator[str]:
    """Yield the names at places in the file, which are loaded."""
    first, last = (int(starts.min()), int(stops.max())) if len(starts) else (0, 0)
    if last - first <= _HEAP_EACH * len(starts):
        heap = pages.data[first:last].tobytes()
        for at, end in zip((starts - first).tolist(), (stops - first).tolist(), strict=True):
            yield _name(heap[at:end])
        return
    for at, end in zip(starts.tolist(), stops.tolist(), strict=True):
        yield _name(pages.data[at:end].tobytes())


def _name(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def are_groups(pages: Pages, addresses: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which objects are groups: 1, 0 for others, -1 where only the library can tell."""
    found = np.full(len(addresses), ODD)
    kernel = tell_groups.for_work(_BY_LIBRARY / 5 * len(addresses), _nothing)
    pages.call(kernel, addresses, found, state=new_state())
    return found


def described(pages: Pages, addresses: NDArray[np.int64], deep: bool) -> Described:
    """Return what is in groups.

    Parameters
    ----------
    pages
        The bytes of the file.
    addresses
        Where the groups are.
    deep
        Whether they have groups that have datasets.

    Raises
    ------
    OSError
        If the file can't be read.
    MemoryError
        If the groups are too far from one another.
    """
    n = len(addresses)
    spans = np.full((n, 2), ODD, dtype=np.int64)
    rows = np.zeros((16 * n + 256, COLUMNS), dtype=np.int64)
    words, state = np.zeros((_MOST_WORDS, WORDS), dtype=np.int64), new_state()
    kernel = describe.for_work(_BY_LIBRARY * n, _nothing)
    while not pages.call(kernel, addresses, deep, spans, rows, words, state=state):
        rows = np.concatenate([rows, np.zeros_like(rows)])
    rows = rows[: state[ROWS]]
    texts = [_word(pages, *word) for word in words[: state[FILLED]].tolist()]
    parents = words[:, PARENT].tolist()
    names = [f"{texts[parents[k]]}/{text}" if parents[k] >= 0 else text for k, text in enumerate(texts)]
    which, first = _told_apart(rows[:, NAME:ADDRESS], spans)
    members = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which + 1))[:-1])[1:]
    alike = [
        _alike(some, rows[slice(*spans[k])], names, texts, deep)
        for some, k in zip(members, first.tolist(), strict=True)
    ]
    return Described(alike, which, pages, rows, spans)


def _told_apart(
    rows: NDArray[np.int64], spans: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return numbers of groups, the same where rows are the same, as they first come, and the first of each.

    Parameters
    ----------
    rows, spans
        The rows, and which are those of each group, shape (n, 2); negative for groups that have no number.
    """
    which = np.full(len(spans), ODD, dtype=np.int64)
    known = np.flatnonzero(spans[:, 0] != ODD)
    lengths = spans[known, 1] - spans[known, 0]
    keys, firsts, n = np.empty(len(known), dtype=np.int64), [], 0
    for length in np.unique(lengths).tolist():
        mine = np.flatnonzero(lengths == length)
        table = rows[spans[known[mine], :1] + np.arange(length)].reshape(len(mine), -1)
        first, codes = _distinct(table)
        keys[mine] = n + codes
        firsts.append(mine[first])
        n += len(first)
    if not firsts:
        return which, known
    first = np.concatenate(firsts)
    order, which[known] = by_appearance(first, keys)
    return which, known[first[order]]


def _distinct(table: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where distinct rows are first, and which of these each row is."""
    factors = np.random.default_rng(0).integers(0, 2**63, table.shape[1]) | 1
    _, first, codes = np.unique(table @ factors, return_index=True, return_inverse=True)
    if not np.array_equal(table, table[first][codes]):  # two rows with one sum
        _, first, codes = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return first, codes.reshape(-1)


def _alike(
    members: NDArray[np.int64],
    rows: NDArray[np.int64],
    names: Sequence[str],
    texts: Sequence[str],
    deep: bool,
) -> Alike:
    """Return groups by the rows of the first one, with names in the order that the library has."""
    sets, others = {}, []
    table = rows.tolist()
    for k in sorted(range(len(table)), key=lambda k: names[table[k][NAME]]):
        row = table[k]
        name = names[row[NAME]]
        if row[KIND] == GROUP:
            if not deep:
                others.append(name)
            continue
        shape = tuple(row[DIMS + 1 : DIMS + 1 + row[DIMS]])
        unit = (texts[row[UNIT]] or None) if row[UNIT] >= 0 else None
        sets[name] = _Header(shape, _dtype(row[KIND], row[SIZE]), unit, k)
    return Alike(members, sets, others)


def _dtype(kind: int, size: int) -> np.dtype[Any]:
    if kind == TEXT:
        return np.dtype(object)
    return np.dtype(bool) if kind == BOOL else np.dtype(f"{_DTYPES[kind]}{size}")


def _word(pages: Pages, at: int, n: int, parent: int) -> str:
    """Return a name or a unit, as the library has it."""
    is_name = parent >= ODD
    return bytes(pages.data[at : at + n]).decode("utf-8", "surrogateescape" if is_name else "replace")


def _values(pages: Pages, header: _Header, kind: int, addresses: NDArray[np.int64]) -> NDArray[Any]:
    """Return the values of a dataset of some groups."""
    shape, each = (len(addresses), *header.shape), int(np.prod(header.shape, dtype=np.int64))
    if kind == TEXT:
        places = (addresses[:, None] + 16 * np.arange(each)).reshape(-1)
        return _texts(pages, places).reshape(shape)
    dtype = header.dtype
    raw = np.empty((len(addresses), each * dtype.itemsize), dtype=np.uint8)
    if raw.size:
        pages.copy(addresses, raw)
    if kind == BOOL and raw.size and raw.max() > 1:
        raise LeftError("some are neither True nor False")
    if kind == LETTERS:
        there = raw.reshape(-1, dtype.itemsize) != 0
        if (there[:, 1:] & ~there[:, :-1]).any():
            raise LeftError("something follows the end of a text")
    return raw.view(dtype).reshape(shape) if raw.size else np.empty(shape, dtype)


def _texts(pages: Pages, addresses: NDArray[np.int64]) -> NDArray[Any]:
    """Return the texts of any length to which there are references, each different one decoded once."""
    places = np.empty((len(addresses), 2), dtype=np.int64)
    pages.call(find_texts, addresses, places, state=new_state())
    starts, lengths = places.T
    if (starts == ODD).any():
        raise LeftError("a text is not where it should be")
    found = np.full(len(places), "", dtype=object)
    for n in np.unique(lengths[lengths > 0]).tolist():
        here = np.flatnonzero(lengths == n)
        raw = np.empty((len(here), n), dtype=np.uint8)
        pages.copy(starts[here], raw)
        distinct, codes = np.unique(raw.view(f"S{n}").reshape(-1), return_inverse=True)
        texts = [one.partition(b"\0")[0].decode("utf-8", "replace") for one in distinct.tolist()]
        found[here] = np.array(texts, dtype=object)[codes]
    return found


def use_kernels() -> None:
    """Call all kernels, on nothing."""
    pages, nowhere = Pages(0, memory=b""), np.zeros(0, dtype=np.int64)
    are_groups(pages, nowhere)
    _found_links(pages, 0)
    described(pages, nowhere, False)
    pages.copy(nowhere, np.zeros((0, 1), dtype=np.uint8))
    _texts(pages, nowhere)


def _nothing(*_: object) -> int:
    """Stand for kernels where these take longer than the library."""
    return 0
