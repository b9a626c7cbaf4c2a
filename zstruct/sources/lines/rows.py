"""Rows of numbers in runs of lines, by what their words are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zstruct.sources.lines import kernels
from zstruct.sources.lines.kernels import ELEMENT, INTEGER, LINES, PLACE, REAL, SKIP, TEXT
from zstruct.sources.lines.windows import Window

__all__ = ["ELEMENT", "INTEGER", "REAL", "SKIP", "TEXT", "coded", "read_rows"]


def read_rows(
    window: Window, runs: NDArray[np.int64], steps: Sequence[tuple[int, int]]
) -> tuple[list[NDArray[np.generic]], NDArray[np.bool_]]:
    """Read all lines of some runs, of which every word is known by its place.

    Parameters
    ----------
    window
        Where they are.
    runs
        Which ones, shape (n,).
    steps
        What the words of a line are, and how many of them there are: `REAL`, `INTEGER`, `ELEMENT` (a
        symbol in any case), `TEXT` and `SKIP`.

    Returns
    -------
    list of array
        For every step but those that are skipped, rows of all lines, shape (rows, words) or, of one word,
        (rows,): float64, int64, uint8, and start and end of texts, with one more dimension.
    array
        Which runs are so indeed, shape (n,); what the others give means nothing.
    """
    lines = np.ascontiguousarray(window.runs[runs, LINES])
    places = np.ascontiguousarray(window.runs[runs, PLACE])
    edges = np.concatenate([[0], np.cumsum(lines)])
    n = int(edges[-1])
    sizes = dict.fromkeys((REAL, INTEGER, ELEMENT, TEXT, SKIP), 0)
    program = []
    for kind, width in steps:
        program.append((kind, width, sizes[kind]))
        sizes[kind] += width * n
    words = sum(width for _, width in steps)
    floats, ints = np.empty(sizes[REAL]), np.empty(sizes[INTEGER], np.int64)
    numbers, spans = np.empty(sizes[ELEMENT], np.uint8), np.empty((sizes[TEXT], 2), np.int64)
    odd = np.zeros(len(runs), dtype=bool)
    kernels.read_rows.for_work(3e-6 * n * words)(
        window.text, places, lines, edges[:-1], np.array(program, dtype=np.int64), floats, ints, numbers,
        spans, np.empty(words + 72, np.int64), odd,
    )  # fmt: skip
    arrays: dict[int, NDArray[np.generic]] = {REAL: floats, INTEGER: ints, ELEMENT: numbers, TEXT: spans}
    found = []
    for kind, width, begin in program:
        if kind != SKIP:
            array = arrays[kind][begin : begin + width * n]
            found.append(array if width == 1 else array.reshape(n, width, *array.shape[1:]))
    return found, ~odd


def coded(window: Window, spans: NDArray[np.int64]) -> tuple[NDArray[np.int32], list[str]]:
    """Return codes for pieces of the text, shape (n, 2), and the strings they stand for."""
    view, codes = window.text.data, dict[bytes, int]()
    numbers = [codes.setdefault(bytes(view[i:j]), len(codes)) for i, j in spans.tolist()]
    texts = [piece.decode("utf-8", "backslashreplace") for piece in codes]
    return np.array(numbers, dtype=np.int32), texts
