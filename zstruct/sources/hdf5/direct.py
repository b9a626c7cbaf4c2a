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
            rows = self._rows[self._spans[members, 0] + header.row]
            return _values(self._pages, header, int(rows[0, KIND]), rows[:, ADDRESS].copy())

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
    rows = links[: state[ROWS]].tolist()
    found = {_name(pages.data[at : at + n].tobytes()): address for at, n, address in rows}
    return found if len(found) == len(rows) else None


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
    known: dict[bytes, int] = {}
    members: list[list[int]] = []
    which = np.full(n, ODD, dtype=np.int64)
    keys = np.ascontiguousarray(rows[:, NAME:ADDRESS])
    for k, (first, last) in enumerate(spans.tolist()):
        if first != ODD:
            number = known.setdefault(keys[first:last].tobytes(), len(known))
            if number == len(members):
                members.append([])
            members[number].append(k)
            which[k] = number
    alike = [_alike(some, rows[slice(*spans[some[0]])], names, texts, deep) for some in members]
    return Described(alike, which, pages, rows, spans)


def _alike(
    members: Sequence[int], rows: NDArray[np.int64], names: Sequence[str], texts: Sequence[str], deep: bool
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
    return Alike(np.array(members, dtype=np.int64), sets, others)


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
        return np.array([*_texts(pages, places)], dtype=object).reshape(shape)
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


def _texts(pages: Pages, addresses: NDArray[np.int64]) -> Iterator[str]:
    """Yield the texts of any length to which there are references."""
    places = np.empty((len(addresses), 2), dtype=np.int64)
    pages.call(find_texts, addresses, places, state=new_state())
    known: dict[bytes, str] = {}
    for at, n in places.tolist():
        if at == ODD:
            raise LeftError("a text is not where it should be")
        text = bytes(pages.data[at : at + n]).partition(b"\0")[0]
        if text not in known:
            known[text] = text.decode("utf-8", "replace")
        yield known[text]


def use_kernels() -> None:
    """Call all kernels, on nothing."""
    pages, nowhere = Pages(0, memory=b""), np.zeros(0, dtype=np.int64)
    are_groups(pages, nowhere)
    _found_links(pages, 0)
    described(pages, nowhere, False)
    pages.copy(nowhere, np.zeros((0, 1), dtype=np.uint8))
    list(_texts(pages, nowhere))


def _nothing(*_: object) -> int:
    """Stand for kernels where these take longer than the library."""
    return 0
