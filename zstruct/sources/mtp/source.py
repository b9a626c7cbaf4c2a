"""Read the ``.cfg`` files of moment tensor potentials, as MLIP writes them.

What the meaning of a property is beyond its name and unit is not known here.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from zstruct.sources.columns import structure_columns
from zstruct.sources.compression import begins
from zstruct.sources.content import Content
from zstruct.sources.lines.frames import FaultError, Frame
from zstruct.sources.lines.kernels import BLANK, CODE, LINES, OTHER
from zstruct.sources.lines.rows import INTEGER, REAL, SKIP, read_rows
from zstruct.sources.lines.source import LineSource
from zstruct.sources.lines.windows import Keys, Window
from zstruct.sources.mtp.structure import (
    TYPE_MAP,
    Columns,
    columns_named,
    feature_of,
    feature_value,
    read_structure,
)
from zstruct.sources.source import Raw, RawColumn
from zstruct.voigt import VOIGT, VOIGT_OF_FULL

__all__ = ["MTPSource", "is_mtp_file"]

_WORDS = ("BEGIN_CFG", "END_CFG", "Size", "Supercell", "AtomData:", "Energy", "PlusStress:", "Feature")
_KEYS = Keys(_WORDS, alone=_WORDS[:-1])
_BEGIN, _END, _SIZE, _CELL, _ATOMS, _ENERGY, _STRESS, _FEATURE = map(_KEYS.code, _WORDS)
_HEADS = (_SIZE, _CELL, _ATOMS, _ENERGY, _STRESS)
_ORDER = list(range(len(VOIGT)))


def is_mtp_file(content: Content) -> bool:
    """Tell whether content called ``*.cfg`` begins as MLIP's do: others are called so as well."""
    head = begins(content).decode("utf-8-sig", "replace").split()
    return head[:1] == ["BEGIN_CFG"]


class MTPSource(LineSource):
    """One ``.cfg`` file of MLIP, plain or compressed.

    Properties are ``energy`` (eV), the virial (``PlusStress``: minus the stress times the volume, in eV, so
    that it is positive where the structure would expand), per atom ``forces`` (eV/angstrom), ``energies``
    (``site_en``), ``charges``, ``magmoms`` and whatever else is a column, and features under their own names,
    as numbers where they are spelled so. Atoms come in the order of their ids. Types are numbers from 0 on:
    the user says which elements they are. A structure is periodic along the vectors that its
    ``Supercell`` has.

    Parameters
    ----------
    path
        The file.
    """

    keys: ClassVar[Keys] = _KEYS
    begins: ClassVar[str] = "BEGIN_CFG"

    def before(self, lines: list[str]) -> str:
        """Return what is wrong with what precedes all frames."""
        for at, line in enumerate(lines, start=1):
            if line.split():
                return f"line {at}: {line.strip()[:40]!r} stands before the first structure ('BEGIN_CFG')"
        return ""

    def closely(self, lines: list[str], at: int, number: int, last: bool) -> Frame:
        """Return one frame; see `zstruct.sources.lines.source.LineSource`."""
        return read_structure(lines, at, number, last)

    def usual(self, window: Window) -> list[Raw]:
        """Return the usual frames of a window; see `zstruct.sources.lines.source.LineSource`."""
        if not len(window):
            return []
        fine = _plain(window)
        features = _features(window, fine)
        maps = features.pop(TYPE_MAP, {})
        formats = [
            None if columns is None else (columns, maps.get(k, ""))
            for k, columns in enumerate(_formats(window, fine))
        ]
        edges = [0, *(k for k in range(1, len(formats)) if formats[k] != formats[k - 1]), len(formats)]
        blocks = []
        for start, stop in itertools.pairwise(edges):
            format = formats[start]
            frames = start + np.flatnonzero(fine[start:stop])
            if format is not None and len(frames):
                blocks.append(_read(window, frames, *format, features))
        return blocks


def _plain(window: Window) -> NDArray[np.bool_]:
    """Return which frames have lines as usual, shape (n,)."""
    runs, owners, n = window.runs, window.owners, len(window)
    codes, lines = runs[:, CODE], runs[:, LINES]
    inside = owners >= 0
    table = np.zeros((n, len(_WORDS) + 2), dtype=np.int64)
    np.add.at(table, (owners[inside], codes[inside]), 1)
    words = np.flatnonzero(codes != BLANK)
    behind = words[np.searchsorted(words, window.edges[1:]) - 1]  # the last line of each that has words
    fine = (codes[behind] == _END) & np.all(table[:, [_END, _SIZE, _ATOMS]] == 1, axis=1)
    fine &= np.all(table[:, [_CELL, _ENERGY, _STRESS]] <= 1, axis=1)
    fine &= table[:, OTHER] == table[:, list(_HEADS)].sum(axis=1)
    heads = np.flatnonzero(np.isin(codes, _HEADS) & inside)
    follows = np.minimum(heads + 1, len(runs) - 1)
    good = (codes[follows] == OTHER) & (owners[follows] == owners[heads])
    most = np.select([codes[heads] == _ATOMS, codes[heads] == _CELL], [1 << 62, 3], 1)
    fine[owners[heads[~good | (lines[follows] > most)]]] = False
    return fine


def _formats(window: Window, fine: NDArray[np.bool_]) -> list[Columns | None]:
    """Return the columns of atoms of every frame; None if they are no plain ones, or something is wrong."""
    known: dict[bytes, Columns | None] = {}
    found: list[Columns | None] = [None] * len(window)
    owners, codes = window.owners, window.runs[:, CODE]
    inside = (owners >= 0) & fine[owners]
    runs = np.flatnonzero(inside & (codes == _ATOMS))
    for owner, line in zip(owners[runs].tolist(), window.texts(runs), strict=True):
        if line not in known:
            known[line] = _plain_columns(line)
        found[owner] = known[line]
    stresses: dict[bytes, bool] = {}
    runs = np.flatnonzero(inside & (codes == _STRESS))
    for owner, line in zip(owners[runs].tolist(), window.texts(runs), strict=True):
        if line not in stresses:
            stresses[line] = line.decode("utf-8", "backslashreplace").split()[1:] == list(VOIGT)
        if not stresses[line]:
            found[owner] = None
    return found


def _plain_columns(line: bytes) -> Columns | None:
    try:
        columns = columns_named(line.decode("utf-8", "backslashreplace").split()[1:])
    except FaultError:
        return None
    names = [name for name, _ in columns]
    return None if "ghost" in names or "direct" in names else columns


def _read(
    window: Window,
    frames: NDArray[np.int64],
    columns: Columns,
    names: str,
    features: Mapping[str, Mapping[int, str]],
) -> Raw:
    """Return some frames with the same columns and names of types, without those that prove not plain."""
    owners, codes = window.owners, window.runs[:, CODE]
    place = np.full(len(window), -1)
    place[frames] = np.arange(len(frames))
    mine = (owners >= 0) & (place[owners] >= 0)

    def runs_of(code: int) -> NDArray[np.int64]:
        return np.flatnonzero(mine & (codes == code))

    atoms = runs_of(_ATOMS) + 1
    steps = [(INTEGER if name in ("id", "type") else REAL, width) for name, width in columns]
    rows, fine = read_rows(window, atoms, steps)
    n_atoms = window.runs[atoms, LINES]
    values: dict[int, tuple[NDArray[np.int64], NDArray[Any]]] = {}
    for code, kind, width in ((_SIZE, INTEGER, 1), (_ENERGY, REAL, 1), (_STRESS, REAL, 6), (_CELL, REAL, 3)):
        heads = runs_of(code)
        if code != _STRESS:
            _, alone = read_rows(window, heads, [(SKIP, 1)])
            fine[place[owners[heads[~alone]]]] = False
        (found,), good = read_rows(window, heads + 1, [(kind, width)])
        fine[place[owners[heads[~good]]]] = False
        values[code] = place[owners[heads]], found
    for code in (_BEGIN, _END):
        _, alone = read_rows(window, runs_of(code), [(SKIP, 1)])
        fine &= alone
    cells = values[_CELL][1]
    sizes = window.runs[runs_of(_CELL) + 1, LINES]
    fine[np.repeat(values[_CELL][0], sizes)[~np.isfinite(cells).all(axis=1)]] = False
    fine &= values[_SIZE][1] == n_atoms
    table = dict(zip((name for name, _ in columns), rows, strict=True))
    if "id" in table:
        starts = np.repeat(np.cumsum(n_atoms) - n_atoms, n_atoms)
        wrong = table.pop("id") != np.arange(len(starts)) - starts + 1
        fine[np.repeat(np.arange(len(frames)), n_atoms)[wrong]] = False
    types: NDArray[Any] = table.pop("type", np.zeros(int(n_atoms.sum()), np.int64))
    if named := names.split():
        unnamed = (types < 0) | (types >= len(named))
        fine[np.repeat(np.arange(len(frames)), n_atoms)[unnamed]] = False
    kept = np.repeat(fine, n_atoms)

    def of_atoms(rows: NDArray[Any]) -> NDArray[Any]:
        return rows if fine.all() else rows[kept]

    raw = Raw(window.first + frames[fine], n_atoms[fine], first_type=0)
    if not len(raw.frames):
        return raw
    raw.atom["numbers"] = [RawColumn(np.zeros(int(raw.n_atoms.sum()), np.uint8))]
    types = of_atoms(types)
    raw.types = RawColumn(types.astype(np.int32), texts=named) if named else RawColumn(types)
    for name, found in table.items():
        raw.atom[name] = [RawColumn(of_atoms(found))]
    _add_cells(raw, sizes, *values[_CELL], fine)
    _add(raw, "energy", *values[_ENERGY], fine)
    where, found = values[_STRESS]
    _add(raw, "virial", where, found[:, VOIGT_OF_FULL], fine)
    _add_features(raw, features, frames[fine])
    return raw


def _add(raw: Raw, name: str, where: NDArray[np.int64], rows: NDArray[Any], fine: NDArray[np.bool_]) -> None:
    """Add a column of which frames `where` of all that were tried have a row."""
    values = np.zeros((len(fine), *rows.shape[1:]), dtype=rows.dtype)
    values[where] = rows
    present = np.zeros(len(fine), dtype=bool)
    present[where] = True
    values, present = values[fine], present[fine]
    if present.any():
        raw.structure[name] = [RawColumn(values, None if present.all() else present)]


def _add_cells(
    raw: Raw, n: NDArray[np.int64], where: NDArray[np.int64], rows: NDArray[Any], fine: NDArray[np.bool_]
) -> None:
    """Add cells of as many vectors as each has."""
    cells, counts = np.zeros((len(fine), 3, 3)), np.zeros(len(fine), dtype=np.int64)
    counts[where] = n
    edges = np.cumsum(n) - n
    cells[np.repeat(where, n), np.arange(len(rows)) - np.repeat(edges, n)] = rows
    raw.structure["pbc"] = [RawColumn(np.arange(3) < counts[fine, None])]
    has = counts[fine] > 0
    if has.any():
        raw.structure["cell"] = [RawColumn(cells[fine], None if has.all() else has)]


def _features(window: Window, fine: NDArray[np.bool_]) -> dict[str, dict[int, str]]:
    """Return the features by name and frame; frames with one that has no name are not fine."""
    known: dict[bytes, tuple[str, str] | None] = {}
    texts: dict[str, dict[int, str]] = {}
    owners = window.owners
    runs = np.flatnonzero((window.runs[:, CODE] == _FEATURE) & (owners >= 0))
    for owner, text in zip(owners[runs].tolist(), window.texts(runs), strict=True):
        for line in text.removesuffix(b"\n").split(b"\n"):
            if line not in known:
                try:
                    known[line] = feature_of(line.decode("utf-8", "backslashreplace"))
                except FaultError:
                    known[line] = None
            feature = known[line]
            if feature is None:
                fine[owner] = False
                continue
            name, value = feature
            rows = texts.setdefault(name, {})
            rows[owner] = f"{rows[owner]}\n{value}" if owner in rows else value
    return texts


def _add_features(raw: Raw, texts: Mapping[str, Mapping[int, str]], frames: NDArray[np.int64]) -> None:
    """Add features of some frames of a window as numbers or texts."""
    places = {frame: place for place, frame in enumerate(frames.tolist())}
    n = len(places)
    for name, by_frame in texts.items():
        rows = {places[frame]: text for frame, text in by_frame.items() if frame in places}
        if rows:
            index = None if len(rows) == n else np.array(list(rows), dtype=np.int64)
            values = [feature_value(text) for text in rows.values()]
            raw.structure[name] = structure_columns(name, values, index, n)
