"""Read ``input.data`` files of RuNNer and n2p2, whose units stand in no file.

RuNNer's are in bohr and hartree; n2p2 takes any, and its sets are often in angstrom and
electronvolts. So every length and energy is handed over with its unit left open, and the user says.
What the meaning of a property is beyond that is not known here.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import counts_to_offsets
from zstruct.sources.compression import begins, stem
from zstruct.sources.content import Content
from zstruct.sources.lines.frames import FaultError, Frame
from zstruct.sources.lines.kernels import BLANK, CODE, LINES, OTHER
from zstruct.sources.lines.rows import ELEMENT, REAL, SKIP, read_rows
from zstruct.sources.lines.source import LineSource
from zstruct.sources.lines.windows import Keys, Window
from zstruct.sources.runner.structure import (
    OPEN_UNIT,
    PLACEHOLDERS,
    STATEMENT,
    UNITS,
    Columns,
    columns_named,
    read_structure,
)
from zstruct.sources.source import Raw, RawColumn

__all__ = ["RunnerSource", "is_runner_file"]

_WORDS = ("begin", "end", "atom", "lattice", "energy", "charge", "comment")
_KEYS = Keys(_WORDS, alone=("begin", "end"), ignored="#")
_BEGIN, _END, _ATOM, _LATTICE, _ENERGY, _CHARGE, _COMMENT = map(_KEYS.code, _WORDS)


def is_runner_file(content: Content) -> bool:
    """Tell whether content called ``*.data`` begins a structure as RuNNer does."""
    if not stem(content.name).lower().endswith(".data"):
        return False
    head = [line.split() for line in begins(content).decode("utf-8-sig", "replace").splitlines()]
    words = [line for line in head if line and not line[0].startswith("#")]
    begun = len(words) > 1 and words[0][0] == "begin"
    return begun and words[1][0] in ("comment", "lattice", "atom", "energy", "charge")


class RunnerSource(LineSource):
    """One ``input.data`` file of RuNNer or n2p2, plain or compressed.

    Properties are ``energy``, ``total_charge``, ``comment``, and per atom ``forces``, ``charges`` and
    ``energies``, or what the line ``begin`` names. Charges and atomic energies that are zero for every
    atom are placeholders of the format, hence missing. The units of lengths and energies are left open.

    Parameters
    ----------
    path
        The file.
    """

    keys: ClassVar[Keys] = _KEYS
    begins: ClassVar[str] = "begin"

    def closely(self, lines: list[str], at: int, number: int, last: bool) -> Frame:
        """Return one frame; see `zstruct.sources.lines.source.LineSource`."""
        return read_structure(lines, at, number, last)

    def usual(self, window: Window) -> list[Raw]:
        """Return the usual frames of a window; see `zstruct.sources.lines.source.LineSource`."""
        if not len(window):
            return []
        fine = _plain(window)
        formats = _formats(window)
        fine &= np.array([columns is not None for columns in formats])
        edges = [0, *(k for k in range(1, len(formats)) if formats[k] != formats[k - 1]), len(formats)]
        blocks = []
        for start, stop in itertools.pairwise(edges):
            columns = formats[start]
            frames = start + np.flatnonzero(fine[start:stop])
            if columns is not None and len(frames):
                blocks.append(_read(window, frames, columns))
        return blocks


def _plain(window: Window) -> NDArray[np.bool_]:
    """Return which frames have lines as usual, shape (n,): nothing twice, and nothing behind ``end``."""
    runs, owners, n = window.runs, window.owners, len(window)
    inside = owners >= 0
    table = np.zeros((n, len(_WORDS) + 2), dtype=np.int64)
    np.add.at(table, (owners[inside], runs[inside, CODE]), runs[inside, LINES])
    pieces = np.zeros_like(table)
    np.add.at(pieces, (owners[inside], runs[inside, CODE]), 1)
    words = np.flatnonzero(runs[:, CODE] != BLANK)
    behind = words[np.searchsorted(words, window.edges[1:]) - 1]  # the last line of each that has words
    fine = (runs[behind, CODE] == _END) & (table[:, _END] == 1) & (table[:, OTHER] == 0)
    fine &= (table[:, _ENERGY] <= 1) & (table[:, _CHARGE] <= 1) & (pieces[:, _ATOM] == 1)
    lattice = table[:, _LATTICE]
    once: NDArray[np.bool_] = (lattice == 0) | ((lattice == 3) & (pieces[:, _LATTICE] == 1))
    return fine & once


def _formats(window: Window) -> list[Columns | None]:
    """Return the columns of atoms of every frame; None if something is wrong with their line."""
    known: dict[bytes, Columns | None] = {}
    found = []
    for line in window.texts(window.edges[:-1]):
        if line not in known:
            try:
                known[line] = columns_named(line.decode("utf-8", "backslashreplace").split()[1:])
            except FaultError:
                known[line] = None
        found.append(known[line])
    return found


def _read(window: Window, frames: NDArray[np.int64], columns: Columns) -> Raw:
    """Return some frames with the same columns, without those that turn out not to be plain."""
    owners, codes = window.owners, window.runs[:, CODE]
    place = np.full(len(window), -1)
    place[frames] = np.arange(len(frames))
    inside = (owners >= 0) & (place[owners] >= 0)

    def runs_of(code: int) -> NDArray[np.int64]:
        return np.flatnonzero(inside & (codes == code))

    atoms = runs_of(_ATOM)
    steps = [(SKIP, 1), (REAL, 3), (ELEMENT, 1), *((REAL, width) for _, width in columns)]
    (positions, numbers, *others), fine = read_rows(window, atoms, steps)
    values = {}
    for code, width in ((_LATTICE, 3), (_ENERGY, 1), (_CHARGE, 1)):
        runs = runs_of(code)
        (rows,), good = read_rows(window, runs, [(SKIP, 1), (REAL, width)])
        fine[place[owners[runs[~good]]]] = False
        values[code] = place[owners[runs]], rows
    n_atoms = window.runs[atoms, LINES]
    kept = np.repeat(fine, n_atoms)
    whole = bool(fine.all())

    def of_atoms(rows: NDArray[np.generic]) -> NDArray[np.generic]:
        return rows if whole else rows[kept]

    raw = Raw(window.first + frames[fine], n_atoms[fine])
    if not len(raw.frames):
        return raw
    raw.atom["numbers"] = [RawColumn(of_atoms(numbers))]
    raw.atom["positions"] = [RawColumn(of_atoms(positions), unit="")]
    offsets = counts_to_offsets(raw.n_atoms)
    for (name, _), rows in zip(columns, others, strict=True):
        rows, present = of_atoms(rows), None
        if name in PLACEHOLDERS:
            given = np.logical_or.reduceat(rows.reshape(len(rows), -1).any(axis=1), offsets[:-1])
            if not given.any():
                continue
            present = None if given.all() else given
        raw.atom[name] = [RawColumn(rows, present, unit="" if name in OPEN_UNIT else None)]
    _add_cells(raw, *values[_LATTICE], fine)
    for code, name in ((_ENERGY, "energy"), (_CHARGE, "total_charge")):
        where, rows = values[code]
        _add(raw, name, where, rows, fine, "" if name in OPEN_UNIT else None)
    stated = _add_comments(raw, window, runs_of(_COMMENT), place[owners], fine)
    for name, unit in UNITS.items():
        for table in (raw.atom, raw.structure):
            if stated.any() and name in table:
                table[name] = _stated(table[name][0], unit, stated)
    return raw


def _stated(column: RawColumn, unit: str, stated: NDArray[np.bool_]) -> list[RawColumn]:
    """Return a column as that of structures which state its unit, and that of the others."""
    here = np.ones(len(stated), dtype=bool) if column.present is None else column.present
    if not (here & ~stated).any():
        return [replace(column, unit=unit)]
    parts = [replace(column, present=here & stated, unit=unit), replace(column, present=here & ~stated)]
    return [part for part in parts if part.present is not None and part.present.any()]


def _add(
    raw: Raw,
    name: str,
    where: NDArray[np.int64],
    rows: NDArray[np.generic],
    fine: NDArray[np.bool_],
    unit: str | None,
    texts: list[str] | None = None,
) -> None:
    """Add a column of which frames `where` of all that were tried have a row."""
    if not len(where):
        return
    values = np.zeros((len(fine), *rows.shape[1:]), dtype=rows.dtype)
    values[where] = rows
    present = np.zeros(len(fine), dtype=bool)
    present[where] = True
    values, present = values[fine], present[fine]
    if present.any():
        raw.structure[name] = [RawColumn(values, None if present.all() else present, texts, unit=unit)]


def _add_cells(
    raw: Raw, where: NDArray[np.int64], rows: NDArray[np.generic], fine: NDArray[np.bool_]
) -> None:
    cells, periodic = np.zeros((len(fine), 3, 3)), np.zeros(len(fine), dtype=bool)
    cells[where] = rows.reshape(-1, 3, 3)
    periodic[where] = True
    cells, periodic = cells[fine], periodic[fine]
    raw.structure["pbc"] = [RawColumn(np.repeat(periodic[:, None], 3, axis=1))]
    if periodic.any():
        raw.structure["cell"] = [RawColumn(cells, None if periodic.all() else periodic, unit="")]


def _add_comments(
    raw: Raw, window: Window, runs: NDArray[np.int64], places: NDArray[np.int64], fine: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Add the comments of frames, several lines as one text; return which frames state their units."""
    texts: dict[int, str] = {}
    stated = np.zeros(len(fine), dtype=bool)
    for owner, lines in zip(places[runs].tolist(), window.texts(runs), strict=True):
        for line in lines.decode("utf-8", "backslashreplace").split("\n"):
            text = line.strip()[len("comment") :].strip()
            if text == STATEMENT:
                stated[owner] = True
            elif text:
                texts[owner] = f"{texts[owner]}\n{text}" if owner in texts else text
    codes: dict[str, int] = {}
    rows = np.array([codes.setdefault(text, len(codes)) for text in texts.values()], dtype=np.int32)
    _add(raw, "comment", np.array(list(texts), dtype=np.int64), rows, fine, None, list(codes))
    return stated[fine]
