"""Pieces of a text: as strings, as codes of the strings they stand for, as numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zstruct.sources.xyz import kernels

__all__ = ["decided", "intern", "spell"]


def spell(text: NDArray[np.uint8], start: int, stop: int) -> str:
    """Return a piece of the text as a string; bytes that are not UTF-8 are written as escapes."""
    return text[start:stop].tobytes().decode("utf-8", "backslashreplace")


def intern(text: NDArray[np.uint8], spans: NDArray[np.int64]) -> tuple[NDArray[np.int32], list[str]]:
    """Return codes for pieces of the text and the strings they stand for, by first appearance."""
    codes = np.empty(len(spans), dtype=np.int32)
    room = 1 << 10
    while True:
        table = np.full(2 * room, -1, dtype=np.int32)
        hashes = np.empty(room, dtype=np.uint64)
        places = np.empty((room, 2), dtype=np.int64)
        n = kernels.intern.for_work(1e-5 * len(spans))(text, spans, table, hashes, places, codes)
        if n >= 0:
            view = text.data  # NumPy's slices take longer than the texts themselves
            return codes, [str(view[i:j], "utf-8", "backslashreplace") for i, j in places[:n].tolist()]
        room *= 8


def decided(text: NDArray[np.uint8], start: int, stop: int) -> float:
    """Return a number that the kernels left undecided; Python knows no D for the exponent."""
    return float(text[start:stop].tobytes().lower().replace(b"d", b"e"))
