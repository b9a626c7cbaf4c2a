r"""Structures as lines of text: what is written of each, and of each of its atoms, in a format's order.

A text format says of what items a structure is made; a kernel writes all structures of a block in one go,
with the exact digits of `zstruct.exporters.kernels.numerals`. What the items mean is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Item", "Lines", "written"]

_TRUTHS = (b"F", b"T")


@dataclass(frozen=True)
class Item:
    """Something that is written once for each structure, or once for each atom.

    Parameters
    ----------
    before
        Text that comes first.
    rows
        Values, a row for each structure or each atom, shape (n, ...): numbers, which are written so that they
        read back exactly, booleans, or codes of `texts`. None: only the texts are written.
    after
        Text that comes last.
    present
        Which structures have it, shape (n_structures,); None: all.
    texts
        What integers stand for, or False and True; by default F and T.
    separator
        One character between the values of a row.
    """

    before: bytes = b""
    rows: NDArray[Any] | None = None
    after: bytes = b""
    present: NDArray[np.bool_] | None = None
    texts: Sequence[bytes] | None = None
    separator: bytes = b" "


@dataclass(frozen=True)
class Lines:
    """The text of some structures.

    Parameters
    ----------
    text
        The bytes.
    ends
        Where in them each structure ends, shape (n,).
    """

    text: NDArray[np.uint8]
    ends: NDArray[np.int64]


def written(
    n_atoms: NDArray[np.int64],
    head: Sequence[Item] = (),
    atoms: Sequence[Item] = (),
    tail: Sequence[Item] = (),
) -> Lines:
    r"""Return structures as text: of each the head, the lines of its atoms, the tail.

    Parameters
    ----------
    n_atoms
        Atoms of each structure, shape (n,).
    head, tail
        Items of structures.
    atoms
        Items of atoms, whose rows are those of all structures end to end.

    Examples
    --------
    >>> symbols = Item(rows=np.array([8, 1, 1, 2]), texts=[b"", b"H", b"He"] + 5 * [b""] + [b"O"])
    >>> x = Item(b" ", np.array([[0.1], [1e-5], [-2.0], [1 / 3]]), b"\n")
    >>> lines = written(np.array([3, 1]), [Item(rows=np.array([3, 1]), after=b"\n\n")], [symbols, x])
    >>> print(lines.text.tobytes().decode())
    3
    <BLANKLINE>
    O 0.1
    H 1e-05
    H -2.0
    1
    <BLANKLINE>
    He 0.3333333333333333
    <BLANKLINE>
    >>> lines.ends
    array([24, 49])
    """
    from zstruct.exporters.kernels import lines as kernels

    texts = _Texts(kernels.PAD)
    table = np.zeros((len(head) + len(atoms) + len(tail), 8), np.int64)
    floats: list[NDArray[np.float64]] = []
    ints: list[NDArray[np.int64]] = []
    masks: list[NDArray[np.bool_]] = []
    sizes = {"floats": 0, "ints": 0, "masks": 0}
    room, work = 0, 0
    for k, item in enumerate([*head, *atoms, *tail]):
        of_atom = len(head) <= k < len(head) + len(atoms)
        count = int(n_atoms.sum()) if of_atom else len(n_atoms)
        room += count * (len(item.before) + len(item.after))
        table[k, 4], table[k, 5] = texts.add([item.before]), texts.add([item.after])
        table[k, 6] = ord(item.separator)
        table[k, 3] = -1
        if item.present is not None:
            table[k, 3] = sizes["masks"]
            masks.append(np.asarray(item.present, bool))
            sizes["masks"] += len(n_atoms)
        if item.rows is None:
            continue
        rows = item.rows.reshape(count, math.prod(item.rows.shape[1:]))
        kind = rows.dtype.kind
        spelled = item.texts if item.texts is not None else _TRUTHS if kind == "b" else None
        table[k, 1] = rows.shape[1]
        work += rows.size
        if kind == "f":
            table[k, 0] = kernels.SINGLE if rows.dtype.itemsize == 4 else kernels.DOUBLE
            table[k, 2] = sizes["floats"]
            with np.errstate(invalid="ignore"):  # a NaN of other bits than most
                floats.append(rows.astype(np.float64).ravel())
            sizes["floats"] += rows.size
            room += rows.size * (kernels.LONGEST + 1)
            continue
        table[k, 0], table[k, 2] = kernels.WHOLE, sizes["ints"]
        whole = rows.astype(np.int64).ravel()
        if spelled is not None:
            if item.present is not None:  # what the others have for it is written nowhere
                there = np.repeat(item.present, n_atoms) if of_atom else item.present
                whole = np.where(np.repeat(there, rows.shape[1]), whole, 0)
            table[k, 0], table[k, 7] = kernels.TEXT, texts.add(spelled)
            room += int(np.array([*map(len, spelled), 0])[whole].sum()) + rows.size
        else:
            room += rows.size * 21
        ints.append(whole)
        sizes["ints"] += rows.size
    buffer = np.empty(room + kernels.PAD, np.uint8)
    ends = np.zeros(len(n_atoms), np.int64)
    edges = np.array([len(head), len(head) + len(atoms)])
    blob, spans = texts.arrays()
    write = kernels.write_lines.for_work(3e-5 * work)
    n = write(
        buffer, np.ascontiguousarray(n_atoms, np.int64), edges, table, _joined(floats, np.float64),
        _joined(ints, np.int64), _joined(masks, np.bool_), blob, spans, ends,
    )  # fmt: skip
    return Lines(buffer[:n], ends)


class _Texts:
    """Texts that are put into one array, and where each of them is.

    Parameters
    ----------
    pad
        Bytes to have behind the last one.
    """

    def __init__(self, pad: int):
        self._pad, self._all = pad, list[bytes]()

    def add(self, texts: Sequence[bytes]) -> int:
        """Add texts; return the number of the first of them."""
        self._all += texts
        return len(self._all) - len(texts)

    def arrays(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the bytes, and start and end of each text, shape (n, 2)."""
        ends = np.cumsum([0, *map(len, self._all)])
        blob = np.frombuffer(b"".join([*self._all, bytes(self._pad)]), np.uint8).copy()
        return blob, np.stack([ends[:-1], ends[1:]], axis=1).astype(np.int64)


def _joined(arrays: Sequence[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *arrays])
