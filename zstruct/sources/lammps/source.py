"""Read dumps of LAMMPS, as text: ``dump atom`` and ``dump custom``.

What the meaning of a property is beyond its name and unit is not known here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.sources.compression import begins
from zstruct.sources.content import Content
from zstruct.sources.lammps.headers import Box, Columns, bounds, box_named, columns_named, placed
from zstruct.sources.lammps.structure import NOT_SAID, measured, read_structure, style_stated
from zstruct.sources.lammps.styles import Measure, measures
from zstruct.sources.lines.frames import FaultError, Frame
from zstruct.sources.lines.kernels import CODE, LINES, OTHER
from zstruct.sources.lines.rows import ELEMENT, INTEGER, REAL, TEXT, coded, read_rows
from zstruct.sources.lines.source import LineSource
from zstruct.sources.lines.windows import Keys, Window
from zstruct.sources.source import Raw, RawColumn, Slice

__all__ = ["LAMMPSDumpSource", "is_lammps_dump"]

_ITEMS = ("TIMESTEP", "NUMBER OF ATOMS", "BOX BOUNDS", "ATOMS", "TIME", "UNITS")
_WORDS = tuple(f"ITEM: {item}" for item in _ITEMS)
_KEYS = Keys(_WORDS, alone=_WORDS)
_STEP, _COUNT, _BOX, _ATOMS, _TIME, _UNITS = map(_KEYS.code, _WORDS)
_KINDS = {"element": ELEMENT, "typelabel": TEXT}


def is_lammps_dump(content: Content) -> bool:
    """Tell whether content begins as a dump of LAMMPS does."""
    head = begins(content, 256).decode("utf-8-sig", "replace").lstrip()
    return head.startswith(("ITEM: TIMESTEP", "ITEM: UNITS", "ITEM: TIME\n", "ITEM: TIME\r"))


class LAMMPSDumpSource(LineSource):
    """One dump of LAMMPS, as text, plain or compressed.

    Boxes of all kinds are read (orthogonal, triclinic, general triclinic), and positions of all kinds:
    ``x y z`` where they are there, else unwrapped (``xu``), scaled (``xs``) or both (``xsu``). Atoms come
    in the order of their ids. ``forces``, ``velocities``, ``charges`` (``q``) and ``masses`` are taken for
    what they are, other columns are properties of their own names, as are ``timestep`` and ``time``. Elements
    are those of the column ``element``; without one, the user says which elements the types are. Units are
    those of the style that the dump states at its beginning (``ITEM: UNITS``), else they are left open.

    Parameters
    ----------
    path
        The file.
    """

    keys: ClassVar[Keys] = _KEYS
    begins: ClassVar[str] = "ITEM: TIMESTEP"
    _style: str | None = None

    def starts(self, runs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the runs with which frames begin: a time step, or the time or the units before it."""
        codes, lines = runs[:, CODE], runs[:, LINES]
        found = np.flatnonzero(codes == _STEP)
        for code in (_TIME, _UNITS):
            ahead = np.maximum(found - 2, 0)
            here = (
                (found >= 2) & (codes[ahead] == code) & (codes[ahead + 1] == OTHER) & (lines[ahead + 1] == 1)
            )
            found = np.where(here, ahead, found)
        return found

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the frames of a slice; frames that can't be read are listed in `Raw.bad`.

        Raises
        ------
        InputError
            If the file can't be opened or decompressed, is empty or no text, is shorter than it was, or is in
            units that can't be converted or change.
        """
        self._style = style_stated(begins(self.content).decode("utf-8", "replace"), self.label)
        yield from super().read(piece)

    def before(self, lines: list[str]) -> str:
        """Return what is wrong with what precedes all frames."""
        for at, line in enumerate(lines, start=1):
            if line.split():
                return f"line {at}: {line.strip()[:40]!r} stands before the first frame ('ITEM: TIMESTEP')"
        return ""

    def closely(self, lines: list[str], at: int, number: int, last: bool) -> Frame:
        """Return one frame; see `zstruct.sources.lines.source.LineSource`."""
        return read_structure(lines, at, number, last, measures(self._style))

    def usual(self, window: Window) -> list[Raw]:
        """Return the usual frames of a window; see `zstruct.sources.lines.source.LineSource`."""
        if not len(window):
            return []
        fine = _plain(window)
        formats = _formats(window, fine)
        edges = [0, *(k for k in range(1, len(formats)) if formats[k] != formats[k - 1]), len(formats)]
        blocks = []
        for start, stop in itertools.pairwise(edges):
            format = formats[start]
            frames = start + np.flatnonzero(fine[start:stop])
            if format is not None and len(frames):
                blocks.append(_read(window, frames, *format, measures(self._style)))
        return blocks

    def check(self, window: Window) -> None:
        """Refuse a change of units."""
        for run in np.flatnonzero(window.runs[:, CODE] == _UNITS).tolist():
            place = window.place(run)
            style = style_stated(window.piece(place, place + 200).decode("utf-8", "replace"), self.label)
            if style != self._style:
                raise InputError(
                    f"the dump states units of style {self._style or 'none'!r} first and of style {style!r} "
                    "further on; take it apart",
                    self.label,
                )


def _plain(window: Window) -> NDArray[np.bool_]:
    """Return which frames have lines as usual, shape (n,)."""
    runs, owners, n = window.runs, window.owners, len(window)
    codes, lines = runs[:, CODE], runs[:, LINES]
    inside = owners >= 0
    table = np.zeros((n, len(_WORDS) + 2), dtype=np.int64)
    np.add.at(table, (owners[inside], codes[inside]), 1)
    fine = np.all(table[:, [_STEP, _COUNT, _BOX, _ATOMS]] == 1, axis=1)
    fine &= np.all(table[:, [_TIME, _UNITS]] <= 1, axis=1)
    fine &= table[:, OTHER] == table[:, 2:].sum(axis=1)
    heads = np.flatnonzero((codes >= 2) & inside)
    follows = np.minimum(heads + 1, len(runs) - 1)
    good = (codes[follows] == OTHER) & (owners[follows] == owners[heads])
    wanted = np.select([codes[heads] == _ATOMS, codes[heads] == _BOX], [lines[follows], 3], 1)
    fine[owners[heads[~good | (lines[follows] != wanted)]]] = False
    # The number of atoms is said before they come.
    place = np.zeros((n, len(_WORDS) + 2), dtype=np.int64)
    place[owners[inside], codes[inside]] = np.flatnonzero(inside)
    return fine & (place[:, _COUNT] < place[:, _ATOMS])


def _formats(window: Window, fine: NDArray[np.bool_]) -> list[tuple[Columns, Box] | None]:
    """Return the columns and the kind of box of every frame; None if something is wrong with them."""
    known: dict[bytes, Any] = {}
    found: dict[int, list[Any]] = {_ATOMS: [None] * len(window), _BOX: [None] * len(window)}
    owners, codes = window.owners, window.runs[:, CODE]
    for code, parse, skipped in ((_ATOMS, columns_named, 2), (_BOX, box_named, 3)):
        runs = np.flatnonzero((codes == code) & (owners >= 0))
        for owner, line in zip(owners[runs].tolist(), window.texts(runs), strict=True):
            if line not in known:
                try:
                    known[line] = parse(line.decode("utf-8", "backslashreplace").split()[skipped:])
                except FaultError:
                    known[line] = None
            found[code][owner] = known[line]
    pairs = zip(found[_ATOMS], found[_BOX], fine.tolist(), strict=True)
    return [(columns, box) if good and columns and box else None for columns, box, good in pairs]


def _read(
    window: Window, frames: NDArray[np.int64], columns: Columns, box: Box, measures: Mapping[str, Measure]
) -> Raw:
    """Return some frames of one format, without those that turn out not to be plain."""
    owners, codes = window.owners, window.runs[:, CODE]
    place = np.full(len(window), -1)
    place[frames] = np.arange(len(frames))
    mine = (owners >= 0) & (place[owners] >= 0)

    def runs_of(code: int) -> NDArray[np.int64]:
        return np.flatnonzero(mine & (codes == code)) + 1

    atoms = runs_of(_ATOMS)
    steps = [(_kind(name, columns), width) for name, width in columns.steps]
    rows, fine = read_rows(window, atoms, steps)
    n_atoms = window.runs[atoms, LINES]
    values: dict[int, NDArray[Any]] = {}
    for code, kind, width in (
        (_STEP, INTEGER, 1),
        (_COUNT, INTEGER, 1),
        (_BOX, REAL, box.width),
        (_TIME, REAL, 1),
    ):
        runs = runs_of(code)
        (values[code],), good = read_rows(window, runs, [(kind, width)])
        fine[place[owners[runs[~good]]]] = False
    fine &= values[_COUNT] == n_atoms
    timed = np.zeros(len(frames), dtype=bool)
    timed[place[owners[runs_of(_TIME)]]] = True
    times = np.zeros(len(frames))
    times[timed] = values[_TIME]
    table: dict[str, Any] = dict(zip((name for name, _ in columns.steps), rows, strict=True))
    for name, parts in columns.apart:
        table[name] = np.stack([table.pop(part) for part in parts], axis=1)
    numbered = None
    if "id" in table:
        order, numbered = _ordered(table["id"], n_atoms, fine)
        if order is not None:
            table = {name: found[order] for name, found in table.items()}
    if not fine.any():
        empty = np.zeros(0, dtype=np.int64)
        return Raw(empty, empty)
    if not fine.all():
        kept = np.repeat(fine, n_atoms)
        table = {name: found[kept] for name, found in table.items()}
        numbered = None if numbered is None else numbered[fine]
    raw = Raw(window.first + frames[fine], n_atoms[fine])
    origins, cells = bounds(box.kind, values[_BOX].reshape(-1, 3, box.width)[fine])
    if columns.scaled:
        table["positions"] = placed(table["positions"], origins, cells, raw.n_atoms)
    _add_types(raw, table, window)
    if numbered is not None:
        ids = table.pop("id")
        if not numbered.all():
            raw.atom["id"] = [RawColumn(ids, ~numbered if numbered.any() else None)]
    for name, found in table.items():
        measure = measures.get(name)
        raw.atom[name] = [RawColumn(measured(found, measure), unit=None if measure is None else measure.unit)]
    cell = measures["cell"]
    raw.structure["cell"] = [RawColumn(measured(cells, cell), unit=cell.unit)]
    pbc = np.array(box.periodic or (True, True, True))
    raw.structure["pbc"] = [RawColumn(np.tile(pbc, (len(raw.frames), 1)))]
    raw.structure["timestep"] = [RawColumn(values[_STEP][fine])]
    if timed[fine].any():
        raw.structure["time"] = [RawColumn(times[fine], None if timed[fine].all() else timed[fine])]
    if box.periodic is None:
        raw.remarks[NOT_SAID] = np.ones(len(raw.frames), dtype=bool)
    return raw


def _kind(name: str, columns: Columns) -> int:
    return _KINDS.get(name, INTEGER if columns.is_whole(name) else REAL)


def _ordered(
    ids: NDArray[np.int64], n_atoms: NDArray[np.int64], fine: NDArray[np.bool_]
) -> tuple[NDArray[np.int64] | None, NDArray[np.bool_]]:
    """Return the order of atoms by their ids, None if they are in it, and which frames number them from 1 on.

    Frames with an id that is there twice are not fine.
    """
    starts = np.cumsum(n_atoms) - n_atoms
    owner = np.repeat(np.arange(len(n_atoms)), n_atoms)
    behind = ids - 1 + starts[owner]
    if np.array_equal(behind, np.arange(len(ids))):
        return None, np.ones(len(n_atoms), dtype=bool)
    inside = (ids >= 1) & (ids <= n_atoms[owner])
    order = np.full(len(ids), -1)
    order[behind[inside]] = np.flatnonzero(inside)
    numbered = np.logical_and.reduceat(order >= 0, starts)
    if not numbered.all():
        other = np.lexsort((ids, owner))
        here = ~numbered[owner]
        order[here] = other[here]
        same = np.flatnonzero((np.diff(ids[order]) == 0) & (np.diff(owner) == 0))
        fine[owner[same]] = False
    return order, numbered


def _add_types(raw: Raw, table: dict[str, Any], window: Window) -> None:
    """Add elements, or types in place of them."""
    if "element" in table:
        raw.atom["numbers"] = [RawColumn(table.pop("element"))]
        if "typelabel" in table:
            codes, texts = coded(window, table.pop("typelabel"))
            raw.atom["typelabel"] = [RawColumn(codes, texts=texts)]
        return
    raw.atom["numbers"] = [RawColumn(np.zeros(int(raw.n_atoms.sum()), np.uint8))]
    if "typelabel" in table:
        codes, texts = coded(window, table.pop("typelabel"))
        raw.types = RawColumn(codes, texts=texts)
        return
    raw.types = RawColumn(table.pop("type"))
