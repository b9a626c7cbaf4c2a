"""Rows of a table as structures, a batch at a time.

Which column is what is not known here: see `zstruct.sources.parquet.columns`.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM
from zstruct.sources.array_columns import rows_of_atoms
from zstruct.sources.array_files.geometry import fill_elements, periodicity
from zstruct.sources.array_files.names import said_where
from zstruct.sources.array_files.table import Label
from zstruct.sources.columns import structure_columns
from zstruct.sources.parquet.columns import Columns
from zstruct.sources.parquet.file import pyarrow
from zstruct.sources.parquet.lists import Cells, ColumnError, cells_of, depth_of, parsed
from zstruct.sources.source import BadFrame, Raw, RawColumn

__all__ = ["structures_of"]


def structures_of(batch: Any, columns: Columns, first: int) -> Raw:
    """Return the structures in the rows of a batch.

    Parameters
    ----------
    batch
        The rows, as a record batch of Arrow.
    columns
        What its columns are.
    first
        The number of the first row in the file.
    """
    bad = _bad(batch, columns)
    good = np.setdiff1d(np.arange(batch.num_rows), np.array([*bad], dtype=np.int64))
    failures = [BadFrame(first + k, reason) for k, reason in sorted(bad.items())]
    if not len(good):
        return Raw(np.zeros(0, np.int64), np.zeros(0, np.int64), bad=failures)
    if bad:
        batch = batch.take(pyarrow().array(good))
    positions, numbers = (_sites(batch, columns, place) for place in ("positions", "numbers"))
    raw = Raw(first + good, positions.counts, bad=failures)
    known = numbers.values
    if numbers.texts is not None:
        known = np.array(numbers.texts, dtype=object)[numbers.values]
    raw.atom["numbers"] = rows_of_atoms("numbers", known, counts_to_offsets(raw.n_atoms))
    fill_elements(raw, {})
    raw.atom["positions"] = [RawColumn(positions.values, unit=columns.units.get("positions"))]
    _add_periodicity(raw, batch, columns)
    for key, label in columns.labels.items():
        _add(raw, key, label, batch.column(key), key in columns.ragged)
    if columns.left:
        sentence = f"left out: {said_where(columns.left)}, of bytes, which are neither numbers nor texts"
        raw.remarks[sentence] = np.ones(len(good), dtype=bool)
    return raw


def _bad(batch: Any, columns: Columns) -> dict[int, str]:
    """Return the rows that are no structures, and why."""
    try:
        return _faults(batch, columns)
    except ColumnError as error:  # of one row, or of all
        if batch.num_rows == 1:
            return {0: str(error)}
    alone = {k: _bad(batch.slice(k, 1), columns) for k in range(batch.num_rows)}
    return {k: found[0] for k, found in alone.items() if found}


def _faults(batch: Any, columns: Columns) -> dict[int, str]:
    """Return the rows whose atoms are not as they should be, and why.

    Raises
    ------
    ColumnError
        If positions or numbers are something else.
    """
    positions, numbers = (_sites(batch, columns, place) for place in ("positions", "numbers"))
    n_atoms, n_numbers = positions.counts, numbers.counts
    said = n_atoms
    if (key := columns.places.get("n_atoms")) is not None:
        column = batch.column(key)
        said = np.where(column.is_valid(), column.fill_null(0), n_atoms)
    holes = {"positions": positions.rows_with_holes(), "numbers": numbers.rows_with_holes()}
    odd = (n_atoms != n_numbers) | (said != n_atoms) | ~positions.present | ~numbers.present
    bad: dict[int, str] = {}
    for k in np.flatnonzero(odd | holes["positions"] | holes["numbers"]).tolist():
        gone = [name for name, at in (("positions", positions), ("numbers", numbers)) if not at.present[k]]
        null = [name for name, here in holes.items() if here[k]]
        if gone:
            bad[k] = f"it has no {gone[0]}"
        elif null:
            bad[k] = f"one of its {null[0]} is null"
        elif n_atoms[k] != n_numbers[k]:
            bad[k] = f"it has positions of {n_atoms[k]} atoms, and {n_numbers[k]} atomic numbers"
        else:
            bad[k] = f"it is said to have {said[k]} atoms, and has {n_atoms[k]}"
    return bad


def _sites(batch: Any, columns: Columns, place: str) -> Cells:
    """Return positions, or numbers, which are lists.

    Raises
    ------
    ColumnError
        If they are something else.
    """
    key = columns.places[place]
    cells = cells_of(parsed(batch.column(key)))
    wanted = "lists of three numbers" if place == "positions" else "numbers or symbols"
    if cells is None or cells.lengths is None:
        raise ColumnError(f"{key}, the {place}, should be {wanted}, one for each atom")
    kinds = "iuf" if cells.texts is None else "i" if place == "numbers" else ""
    shape = (3,) if place == "positions" else ()
    if cells.values.size and (cells.values.shape[1:] != shape or cells.values.dtype.kind not in kinds):
        kind = "texts" if cells.texts is not None else cells.values.dtype.name
        of = f" of shape {cells.values.shape[1:]}" if cells.values.ndim > 1 else ""
        raise ColumnError(f"{key}, the {place}, should be {wanted}, one for each atom, and are {kind}{of}")
    if not cells.values.size:
        cells.values = np.zeros((0, *shape))
        cells.texts = None
    return cells


def _add_periodicity(raw: Raw, batch: Any, columns: Columns) -> None:
    """Add cells and pbc; where they are null, there are none."""
    n = len(raw.n_atoms)
    cell = pbc = said = None
    faults: dict[str, NDArray[np.bool_]] = {}
    if "cell" in columns.places:
        cell = _filled(_tried(batch.column(columns.places["cell"])), "cell", (3, 3), n, faults)
    if "pbc" in columns.places:
        cells = _tried(batch.column(columns.places["pbc"]))
        if cells is not None and cells.lengths is None and cells.values.dtype.kind in "biu":
            pbc, said = cells.values, cells.present
        else:
            pbc = _filled(cells, "pbc", (3,), n, faults)
            said = np.zeros(n, dtype=bool) if cells is None else cells.present
    periodicity(raw, cell, pbc, columns.units.get("cell"), said)
    for sentence, here in faults.items():
        name = sentence.partition(" ")[0]
        raw.structure[name].append(RawColumn(raw.structure[name][0].values, here, fault=sentence))


def _tried(array: Any) -> Cells | None:
    """Return what is in a column that may be text; None if that is in no shape for an array."""
    try:
        return cells_of(parsed(array))
    except ColumnError:
        return None


def _filled(
    cells: Cells | None, name: str, row: tuple[int, ...], n: int, faults: dict[str, NDArray[np.bool_]]
) -> NDArray[Any]:
    """Return values of a shape for all structures, zeros for those that have none."""
    made = np.zeros((n, *row))
    wanted = " x ".join(map(str, row))
    everyone = np.ones(n, dtype=bool)
    if cells is None or cells.lengths is None or cells.texts is not None:
        faults[f"{name} should be {wanted} values"] = everyone if cells is None else cells.present
        return made
    here = cells.present & (cells.lengths > 0)
    right = here & (cells.lengths == row[0])
    wrong = here & ~right
    if cells.values.size and cells.values.shape[1:] != row[1:]:
        right, wrong = np.zeros(n, dtype=bool), here
    wrong |= cells.rows_with_holes()
    if wrong.any():
        faults[f"{name} should be {wanted} values"] = wrong
    if right.any():
        made[right] = cells.chosen(right).reshape(-1, *row)
    return made


def _add(raw: Raw, key: str, label: Label, array: Any, is_ragged: bool) -> None:
    """Add a label to a block."""
    n = len(raw.n_atoms)
    columns = raw.atom if label.level == ATOM else raw.structure
    out = f"leave it out with exclude=[{key!r}]"
    faults: dict[str, NDArray[np.bool_]] = {}
    try:
        array = parsed(array) if label.level == ATOM else array
    except ColumnError as error:
        faults[f"{key} is text, and no JSON: {error}; {out}"] = np.asarray(array.is_valid())
        array = pyarrow().nulls(n)
    cells = None if is_ragged else cells_of(array)
    if cells is None and label.level == ATOM and not faults:
        array, odd = _alike(array)
        faults[f"{key} has not as many values for each atom as elsewhere; {out}"] = odd
        cells = cells_of(array)
    if label.level != ATOM and (cells is None or _differs(cells)):
        _add_records(raw, key, label, array)
        return
    made = None
    if cells is not None and cells.present.any():
        made, more = (_of_atoms if label.level == ATOM else _of_structures)(key, cells, raw.n_atoms)
        faults |= more
    if made is not None and made.texts is None:
        made.values, sentence = _signed(key, made.values, label.sign)
        made.unit = label.unit
        if sentence:
            faults[sentence] = np.ones(n, dtype=bool) if made.present is None else made.present
            made = None
    found = [] if made is None else [made]
    found += [RawColumn(np.zeros(n), here, fault=sentence) for sentence, here in faults.items()]
    if found:
        columns[label.name] = found


def _alike(array: Any) -> tuple[Any, NDArray[np.bool_]]:
    """Return a column of lists without the rows whose inner lists are not as most, and which these are."""
    shapes: list[tuple[int, ...] | None] = []
    for k in range(len(array)):
        one = cells_of(array.slice(k, 1))
        shapes.append(None if one is None else one.values.shape[1:] if one.values.size else ())
    known = Counter(shape for shape in shapes if shape)
    usual = known.most_common(1)[0][0] if known else ()
    odd = np.array([shape is None or shape not in ((), usual) for shape in shapes])
    return array.take(pyarrow().array(np.arange(len(odd)), mask=odd)), odd


def _differs(cells: Cells) -> bool:
    """Tell whether the lists in a column of structures are of several lengths, or of texts."""
    if cells.lengths is None:
        return False
    lengths = cells.lengths[cells.present]
    return cells.texts is not None or (bool(len(lengths)) and lengths.min() != lengths.max())


def _signed(key: str, values: NDArray[Any], sign: float) -> tuple[NDArray[Any], str]:
    """Return values with their sign, as a store can have them, and what is wrong with them."""
    if values.dtype == np.uint64:
        if values.size and values.max() >= 2**63:
            return values, f"{key} has {values.max()}, which is too large for int64"
        values = values.astype(np.int64)
    return (sign * values if sign != 1.0 else values), ""


def _of_atoms(
    key: str, cells: Cells, n_atoms: NDArray[np.int64]
) -> tuple[RawColumn | None, dict[str, NDArray[np.bool_]]]:
    """Return the column of a label of atoms, and structures in which it is none."""
    faults: dict[str, NDArray[np.bool_]] = {}
    out = f"leave it out with exclude=[{key!r}]"
    if cells.lengths is None:
        return None, {f"{key} should have a value for each atom, and has one alone; {out}": cells.present}
    fits = cells.present & (cells.lengths == n_atoms)
    for k in np.flatnonzero(cells.present & ~fits).tolist():
        here = np.arange(len(fits)) == k
        faults[
            f"{key} should have a value for each of {n_atoms[k]} atoms, and has {cells.lengths[k]}; {out}"
        ] = here
    holes = fits & cells.rows_with_holes()
    if holes.any() and cells.texts is None:
        faults[f"{key} is null for some atoms of it; {out}"] = holes
        fits &= ~holes
    if not fits.any():
        return None, faults
    chosen = cells.chosen(fits)
    if fits.all() and len(chosen) == int(n_atoms.sum()):
        return RawColumn(chosen, texts=cells.texts), faults
    values = np.zeros((int(n_atoms.sum()), *chosen.shape[1:]), chosen.dtype)
    values[np.repeat(fits, n_atoms)] = chosen
    return RawColumn(values, fits, cells.texts), faults


def _of_structures(
    key: str, cells: Cells, n_atoms: NDArray[np.int64]
) -> tuple[RawColumn | None, dict[str, NDArray[np.bool_]]]:
    """Return the column of a label of structures, and structures in which it is none."""
    n = len(n_atoms)
    present = None if cells.present.all() else cells.present
    if cells.lengths is None:
        return RawColumn(cells.values, present, cells.texts), {}
    holes = cells.rows_with_holes()
    faults = {f"{key} has nulls; leave it out with exclude=[{key!r}]": holes} if holes.any() else {}
    here = cells.present & ~holes
    if not here.any() or not cells.values.size:
        return None, faults
    rows = cells.chosen(here).reshape(int(here.sum()), -1, *cells.values.shape[1:])
    if here.all():
        return RawColumn(rows, texts=cells.texts), faults
    values = np.zeros((n, *rows.shape[1:]), rows.dtype)
    values[here] = rows
    return RawColumn(values, here, cells.texts), faults


def _add_records(raw: Raw, key: str, label: Label, array: Any) -> None:
    """Add what is in no shape for an array, as JSON."""
    here = np.asarray(array.is_valid())
    values = [one for one in array.to_pylist() if one is not None]
    if depth_of(array.type) or pyarrow().types.is_nested(array.type):
        values = [json.dumps(one, default=str) for one in values]
    if values:
        raw.structure[label.name] = structure_columns(key, values, np.flatnonzero(here), len(here))
