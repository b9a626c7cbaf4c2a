"""XSF files of one structure as nearly all programs write them, read by a kernel, many of them at once.

Of what is not as usual nothing is said here: `zstruct.sources.xsf.source` reads it, and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.sources.compression import DAMAGED, HEAD, compression, decompressed
from zstruct.sources.content import Content
from zstruct.sources.source import Raw, RawColumn
from zstruct.sources.xsf.kernels import (
    AENET,
    ATOMS,
    CELL,
    COLUMNS,
    ENERGY,
    ENERGY_END,
    PAD,
    PERIODIC,
    read_structures,
)
from zstruct.sources.xsf.lines import energy_in, speaks_of_energy

__all__ = ["usual_blocks"]

# Larger files are for the other reader, which does not hold them in memory.
_MOST_BYTES = 4 << 20
# Files that are read at once, and their bytes.
_FILES, _BYTES = 256, 1 << 20
_LINE_BYTES = 8  # of an atom, at least
_SECONDS_PER_BYTE = 1.5e-7  # that the other reader takes
_PBC = np.array([[axes > 0, axes > 1, axes > 2] for axes in range(4)])


def usual_blocks(contents: Sequence[Content]) -> Iterator[tuple[int, Raw | None]]:
    """Yield the structures of files, in their order, in blocks: how many, and the block.

    None is the block of one file that is not as usual.
    """
    texts: list[bytes] = []
    nbytes = 0
    for content in contents:
        text = _text(content)
        if text is not None:
            texts.append(text)
            nbytes += len(text)
        if text is None or nbytes >= _BYTES or len(texts) == _FILES:
            yield from _blocks(texts)
            texts, nbytes = [], 0
        if text is None:
            yield 1, None
    yield from _blocks(texts)


def _blocks(texts: Sequence[bytes]) -> Iterator[tuple[int, Raw | None]]:
    """Yield blocks of as many files as make one."""
    if not texts:
        return
    n = len(texts)
    buffer = b"\n".join([*texts, bytes(PAD)])
    edges = np.cumsum([0, *(len(text) + 1 for text in texts)])
    room = int(edges[-1]) // _LINE_BYTES + n
    found, cells, energies = np.zeros((n, 7), dtype=np.int64), np.zeros((n, 2, 3, 3)), np.zeros(n)
    numbers, rows = np.empty(room, dtype=np.uint8), np.empty((room, 6))
    read = read_structures.for_work(_SECONDS_PER_BYTE * len(buffer), _nothing)
    read(np.frombuffer(buffer, dtype=np.uint8), edges, found, cells, numbers, rows, energies)
    atoms = np.cumsum([0, *found[:, ATOMS]])
    kinds = _kinds(texts, edges, found, energies)
    first = 0
    for kind, run in groupby(kinds):
        stop = first + len(list(run))
        if not kind:
            yield from ((1, None) for _ in range(stop - first))
        else:
            at = slice(int(atoms[first]), int(atoms[stop]))
            here = slice(first, stop)
            yield stop - first, _raw(kind, found[here], cells[here, 0], numbers[at], rows[at], energies[here])
        first = stop


#: What files of a block have in common: number of columns, whether there is an energy, and whether aenet's.
_Kind = tuple[int, bool, bool]


def _kinds(
    texts: Sequence[bytes], edges: NDArray[Any], found: NDArray[Any], energies: NDArray[Any]
) -> list[_Kind | None]:
    """Return what each file has, None for those that are not as usual; energies are read on the way."""
    kinds: list[_Kind | None] = []
    for k, said in enumerate(found.tolist()):
        if not said[ATOMS]:
            kinds.append(None)
        elif said[AENET] or said[ENERGY] < 0:
            kinds.append((said[COLUMNS], bool(said[AENET]), bool(said[AENET])))
        else:
            start = int(edges[k])
            line = texts[k][said[ENERGY] - start : said[ENERGY_END] - start].decode(
                "utf-8", "surrogateescape"
            )
            stated, from_aenet = energy_in(f"#{line[1:].strip()}"), speaks_of_energy(line)
            if isinstance(stated, str) or (stated is None and from_aenet):
                kinds.append(None)
                continue
            energies[k] = 0.0 if stated is None else stated
            kinds.append((said[COLUMNS], stated is not None, from_aenet))
    return kinds


def _raw(
    kind: _Kind,
    found: NDArray[Any],
    cells: NDArray[Any],
    numbers: NDArray[Any],
    rows: NDArray[Any],
    energies: NDArray[Any],
) -> Raw:
    """Return the block of files that have the same."""
    columns, has_energy, from_aenet = kind
    raw = Raw(np.zeros(len(found), dtype=np.int64), found[:, ATOMS].copy())
    raw.atom["numbers"] = [RawColumn(numbers.copy())]
    raw.atom["positions"] = [RawColumn(rows[:, :3].copy())]
    raw.structure["cell"] = [RawColumn(np.where(found[:, CELL, None, None] > 0, cells, 0.0))]
    raw.structure["pbc"] = [RawColumn(_PBC[np.maximum(found[:, PERIODIC], 0)])]
    if columns == 6:
        raw.atom["forces"] = [RawColumn(rows[:, 3:].copy(), unit=None if from_aenet else "")]
    if has_energy:
        raw.structure["energy"] = [RawColumn(energies.copy())]
    return raw


def _text(content: Content) -> bytes | None:
    """Return a small file, decompressed; None if it is large or empty, or if that fails, which others say."""
    try:
        with content.open() as file:
            data = file.read(_MOST_BYTES + 1)
        if compression(data[:HEAD], content.name):
            with decompressed(content) as stream:
                data = stream.read(_MOST_BYTES + 1)
    except (*DAMAGED, OSError, InputError):
        return None
    return data if 0 < len(data) <= _MOST_BYTES else None


def _nothing(*_: object) -> int:
    return 0
