"""Bytes of HDF5 files: objects, and groups of a few small datasets.

HDF5's library makes every dataset for itself, which takes some ten microseconds, be it of a single number,
and h5py as many more. Here a group is laid out once for many structures, and what differs is filled in. The
layout is that of the HDF5 File Format Specification, version 3; what is chosen of it is what HDF5 1.8 reads,
and all that came after it. What is in the groups is not known here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOWHERE", "Form", "Record", "group_header", "message", "object_header", "record_of"]

#: The address that is none.
NOWHERE = 0xFFFFFFFFFFFFFFFF
# Kinds of messages.
_SPACE, _LINKS, _TYPE, _FILL, _LINK, _LAYOUT, _GROUP = 0x01, 0x02, 0x03, 0x05, 0x06, 0x08, 0x0A
_UTF8, _TWO_BYTES = 0x10, 0x01  # of links: what letters their names have, and what the lengths of names are
# Of fill values: when there is room for values, and what is in it.
_EARLY, _LATE, _IF_SET, _DEFAULT = 1, 2, 2, 1
_WITHIN = 8192  # bytes of values that are part of their dataset's header: one piece of the file, not two


def message(kind: int, body: bytes) -> bytes:
    """Return a message of an object, filled up to a multiple of eight bytes."""
    body += bytes(-len(body) % 8)
    return struct.pack("<HHI", kind, len(body), 0) + body


def object_header(messages: Sequence[bytes]) -> bytes:
    """Return an object that is made of messages."""
    body = b"".join(messages)
    return struct.pack("<HHIII", 1, len(messages), 1, len(body), 0) + body


def group_header(links: Mapping[str, int]) -> tuple[bytes, list[int]]:
    """Return a group with links to addresses, and where in its bytes these are."""
    made = [message(_LINKS, struct.pack("<BBQQ", 0, 0, NOWHERE, NOWHERE)), message(_GROUP, bytes(2))]
    places = []
    at = len(object_header(made))
    for name, address in links.items():
        key = name.encode()
        head = struct.pack("<BBBH", 1, _UTF8 | _TWO_BYTES, 1, len(key)) + key
        made.append(message(_LINK, head + struct.pack("<Q", address)))
        places.append(at + 8 + len(head))
        at += len(made[-1])
    return object_header(made), places


@dataclass(frozen=True)
class Form:
    """A dataset before its values.

    Parameters
    ----------
    type
        Its datatype, as HDF5 describes it.
    shape
        Its shape.
    nbytes
        Of its values.
    """

    type: bytes
    shape: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True)
class Record:
    """A group with all that is in it, at the beginning of a file.

    Parameters
    ----------
    data
        Its bytes, shape (size,), a multiple of eight; values are zeros.
    places
        Where addresses are, of eight bytes each, shape (n,).
    targets
        These addresses, shape (n,).
    values
        Where the values of datasets are, by their paths.
    """

    data: NDArray[np.uint8]
    places: NDArray[np.int64]
    targets: NDArray[np.int64]
    values: Mapping[str, slice]


def record_of(forms: Mapping[str, Form], groups: Sequence[str] = ()) -> Record:
    """Return the group that has datasets at some paths, and some groups, be they empty."""
    tree: dict[str, Any] = {name: {} for name in groups}
    for path, form in forms.items():
        *within, name = path.split("/")
        place = tree
        for group in within:
            place = place.setdefault(group, {})
        place[name] = (path, form)
    found = _Growing()
    found.add_group(tree)
    data = np.frombuffer(bytes(found.data), np.uint8)
    return Record(data, np.array(found.places), np.array(found.targets), found.values)


@dataclass
class _Growing:
    """A record that is being made."""

    data: bytearray = field(default_factory=bytearray)
    places: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    values: dict[str, slice] = field(default_factory=dict)

    def add_group(self, tree: Mapping[str, Any]) -> None:
        """Add a group, and behind it what is in it."""
        header, places = group_header(dict.fromkeys(tree, 0))
        begin = len(self.data)
        self.data += header
        for place, item in zip(places, tree.values(), strict=True):
            self._point(begin + place)
            if isinstance(item, dict):
                self.add_group(item)
            else:
                self._add_dataset(*item)

    def _point(self, place: int) -> None:
        """Have what comes next as the target of an address."""
        self.places.append(place)
        self.targets.append(len(self.data))

    def _add_dataset(self, path: str, form: Form) -> None:
        within = form.nbytes <= _WITHIN
        axes = len(form.shape)
        head = [
            message(_SPACE, struct.pack(f"<BBHI{axes}Q", 1, axes, 0, 0, *form.shape)),
            message(_TYPE, form.type),
            message(_FILL, struct.pack("<BBBBI", 2, _EARLY if within else _LATE, _IF_SET, _DEFAULT, 0)),
        ]
        begin = len(self.data)
        place = begin + len(object_header(head)) + 8
        if within:
            self.data += object_header(
                [*head, message(_LAYOUT, struct.pack("<BBH", 3, 0, form.nbytes) + bytes(form.nbytes))]
            )
            self.values[path] = slice(place + 4, place + 4 + form.nbytes)
            return
        self.data += object_header([*head, message(_LAYOUT, struct.pack("<BBQQ", 3, 1, 0, form.nbytes))])
        self._point(place + 2)
        self.values[path] = slice(len(self.data), len(self.data) + form.nbytes)
        self.data += bytes(form.nbytes + -form.nbytes % 8)
