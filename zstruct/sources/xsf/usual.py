"""XSF files of one structure as nearly all programs write them, read by a kernel.

Of what is not as usual nothing is said here: `zstruct.sources.xsf.source` reads it, and says what is wrong.
"""

from __future__ import annotations

import numpy as np

from zstruct.sources.compression import DAMAGED, HEAD, compression, decompressed
from zstruct.sources.content import Content
from zstruct.sources.source import Raw, RawColumn
from zstruct.sources.xsf.kernels import (
    ATOMS,
    CELL,
    COLUMNS,
    ENERGY,
    ENERGY_END,
    PAD,
    PERIODIC,
    read_structure,
)
from zstruct.sources.xsf.lines import energy_in, speaks_of_energy

__all__ = ["usual_structure"]

# Larger files are for the other reader, which does not hold them in memory.
_MOST_BYTES = 4 << 20
_LINE_BYTES = 8  # of an atom, at least
_SECONDS_PER_BYTE = 1.5e-7  # that the other reader takes
_END = b"\n" + bytes(PAD)
_PBC = {axes: np.array([[axes > 0, axes > 1, axes > 2]]) for axes in range(-1, 4)}


def usual_structure(content: Content) -> Raw | None:
    """Return the structure in a file; None if it is not as usual.

    Raises
    ------
    InputError
        If the file can't be opened.
    """
    data = _text(content)
    if data is None:
        return None
    n = len(data) // _LINE_BYTES + 1
    found, cell = np.empty(6, dtype=np.int64), np.empty((2, 3, 3))
    numbers, rows = np.empty(n, dtype=np.uint8), np.empty((n, 6))
    read = read_structure.for_work(_SECONDS_PER_BYTE * len(data), _nothing)
    if not read(np.frombuffer(data + _END, dtype=np.uint8), len(data) + 1, found, cell, numbers, rows):
        return None
    said = found.tolist()
    n = said[ATOMS]
    energy, from_aenet = None, False
    if said[ENERGY] >= 0:
        line = data[said[ENERGY] : said[ENERGY_END]].decode("utf-8", "surrogateescape")
        stated, from_aenet = energy_in(f"#{line[1:].strip()}"), speaks_of_energy(line)
        if isinstance(stated, str) or (stated is None and from_aenet):
            return None
        energy = stated
    raw = Raw(np.zeros(1, dtype=np.int64), np.array([n]))
    raw.atom["numbers"] = [RawColumn(numbers[:n].copy())]
    raw.atom["positions"] = [RawColumn(rows[:n, :3].copy())]
    raw.structure["cell"] = [RawColumn(cell[:1] if said[CELL] else np.zeros((1, 3, 3)))]
    raw.structure["pbc"] = [RawColumn(_PBC[said[PERIODIC]].copy())]
    if said[COLUMNS] == 6:
        raw.atom["forces"] = [RawColumn(rows[:n, 3:].copy(), unit=None if from_aenet else "")]
    if energy is not None:
        raw.structure["energy"] = [RawColumn(np.array([energy]))]
    return raw


def _text(content: Content) -> bytes | None:
    """Return a small file, decompressed; None if it is large, or if that fails, which is said elsewhere."""
    with content.open() as file:
        data = file.read(_MOST_BYTES + 1)
    if compression(data[:HEAD], content.name):
        try:
            with decompressed(content) as stream:
                data = stream.read(_MOST_BYTES + 1)
        except (*DAMAGED, OSError):
            return None
    return data if 0 < len(data) <= _MOST_BYTES else None


def _nothing(*_: object) -> bool:
    return False
