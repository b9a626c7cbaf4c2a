"""Hashes of structures, 128 bits each: whether two are the same can be told without looking at both again.

A hash is the sum of those of fields, each of the rows that a structure has of it, as doubles; zero has no
sign and there is one NaN. The order of fields makes no difference, nor do fields that are missing. Where
structures are is not known here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import Packed, segment_ranges
from zstruct.schema import ATOM, FIELDS, Field
from zstruct.store import kernels

__all__ = ["IDENTITY", "structure_hashes"]

#: What makes a structure, whatever its labels are.
IDENTITY = ("numbers", "positions", "cell", "pbc")
_NUMPY = 4e-8  # seconds that NumPy takes for a word, about
_PIECE = 1 << 14  # words that are made and hashed together: they stay in the processor's cache


def structure_hashes(packed: Packed, names: Iterable[str]) -> NDArray[np.uint64]:
    """Return the hash of each structure of a block, shape (n, 2).

    Parameters
    ----------
    packed
        The structures.
    names
        The fields to look at, those of them that there are.

    Examples
    --------
    >>> from zstruct.schema import FIELDS
    >>> block = Packed(np.array([1, 1, 1]))
    >>> block.add(FIELDS["positions"], np.array([[0.0, 0, 1], [-0.0, 0, 1], [0, 1, 0]]))
    >>> hashes = structure_hashes(block, ["positions"])
    >>> bool((hashes[0] == hashes[1]).all()), bool((hashes[0] == hashes[2]).all())
    (True, False)
    """
    found = np.zeros((len(packed), 2), dtype=np.uint64)
    each, offsets = np.arange(len(packed) + 1), packed.offsets
    for name in names:
        if name not in packed.columns:
            continue
        seed, rows = _seed(packed.fields[name]), packed.columns[name]
        width = rows.size // max(1, len(rows))
        edges = (offsets if packed.fields[name].level == ATOM else each) * width
        run = kernels.hash_rows.for_work(_NUMPY * rows.size, _hashed)
        mask, table = packed.present.get(name), _table(packed, name)
        hashes = found if mask is None else np.zeros_like(found)
        flat = rows.reshape(-1)
        for first, last in segment_ranges(edges, _PIECE):
            some = edges[first : last + 1]
            words = _words(flat[some[0] : some[-1]], table)
            run(words, some - some[0], seed, hashes[first:last])
        if mask is not None:
            found[mask] += hashes[mask]
    return found


def _seed(field: Field) -> np.uint64:
    """Return where the keys of a field begin: fields have the units of the table, others their own."""
    what = field.name if field.name in FIELDS else f"{field.name} {field.unit}"
    return np.uint64(int.from_bytes(_of_text(what), "little"))


def _of_text(text: str) -> bytes:
    """Return the hash of a text, 8 bytes; what a file has that is no UTF-8 is in it as surrogates."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _table(packed: Packed, name: str) -> NDArray[np.uint64] | None:
    """Return the words of the texts of a category, that of no text last; None for other columns."""
    if name not in packed.categories:
        return None
    texts = map(_of_text, packed.categories[name])
    return np.frombuffer(b"".join([*texts, bytes(8)]), dtype="<u8").astype(np.uint64, copy=False)


def _words(rows: NDArray[Any], table: NDArray[np.uint64] | None) -> NDArray[np.uint64]:
    """Return numbers as words, or codes as those of their texts."""
    if table is not None:
        return table[rows]
    values = rows.astype(np.float64)
    values += 0.0  # no -0.0
    unknown = np.isnan(values)
    if unknown.any():
        values[unknown] = np.nan
    return values.view(np.uint64)


def _hashed(
    words: NDArray[np.uint64], edges: NDArray[np.int64], seed: np.uint64, out: NDArray[np.uint64]
) -> None:
    """Do what the kernel does, as NumPy does it."""
    counts = np.diff(edges)
    place = np.arange(1, len(words) + 1) - np.repeat(edges[:-1], counts)
    with np.errstate(over="ignore"):
        key = seed + place.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = words + key
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        y = words ^ ((key << np.uint64(32)) | (key >> np.uint64(32)))
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            y = (y ^ (y >> np.uint64(33))) * np.uint64(factor)
        full = counts > 0
        if full.any():
            out[full, 0] += np.add.reduceat(x ^ (x >> np.uint64(31)), edges[:-1][full])
            out[full, 1] += np.add.reduceat(y ^ (y >> np.uint64(33)), edges[:-1][full])
