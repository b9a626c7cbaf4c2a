"""The arrays of a file as structures: which rows of which array belong to which of them.

Arrays are packed, the atoms of all structures one after the other, or a grid with a place for each atom of
each structure, of which some may be empty (padding). Rows are read a block at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.aliases import by_alias
from zstruct.errors import InputError
from zstruct.ragged import counts_to_offsets, segment_ranges
from zstruct.schema import ATOM, FIELDS, GEOMETRY, STRUCTURE, Level
from zstruct.sources.array_columns import fits, level_of, name_elements, rows_of_atoms, rows_of_structures
from zstruct.sources.array_files.names import KNOWN, is_plural, place_of, plain_name, said_where
from zstruct.sources.array_files.stored import Dialect, StoredArray, shown, whole_numbers
from zstruct.sources.source import Raw, RawColumn

__all__ = ["Label", "Table", "fill_elements", "periodicity", "stated_unit", "table_of"]

NO_PBC = (
    "there is a cell, and nothing says whether the structure repeats along its vectors; say where that is "
    "with keys={'pbc': ...}, or leave the cell out with exclude=['cell']"
)
# Units that nobody doubts: there is one in use.
_CERTAIN = ("e", "amu", "mu_B", "1", "")


@dataclass(frozen=True)
class Label:
    """A label of the structures of a file.

    Parameters
    ----------
    name
        What it is called from here on.
    level
        What its rows belong to.
    unit
        As in `RawColumn`.
    sign
        What its values are multiplied with.
    mask
        The array that says which structures have it.
    fault
        A sentence if its values can't be stored.
    """

    name: str
    level: Level
    unit: str | None
    sign: float = 1.0
    mask: str | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Table:
    """What the arrays of a file are.

    Parameters
    ----------
    n
        How many structures there are.
    places
        The arrays of numbers, positions, cell and pbc, as far as each structure has rows there.
    offsets
        Row edges of structures, where arrays are packed.
    width
        Places for atoms in each structure, where arrays are a grid.
    counts
        Atoms of each structure of a grid, where that is said.
    shared
        The same, and what is the same for all structures: numbers, cell, pbc.
    units
        Those of positions and cell, as in `RawColumn`.
    labels
        By the array's name.
    left
        Arrays that have a row neither for each atom nor for each structure.
    row_bytes
        Bytes of all arrays for an atom, and for a structure, in the precision in which they are worked on.
    in_order
        Whether rows can only be read from the first to the last.
    """

    n: int
    places: dict[str, str]
    offsets: NDArray[np.int64] | None = None
    width: int | None = None
    counts: NDArray[np.int64] | None = None
    shared: dict[str, NDArray[Any]] = field(default_factory=dict)
    units: dict[str, str | None] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    row_bytes: tuple[int, int] = (0, 0)
    in_order: bool = False

    def nbytes(self, first: int, last: int) -> int:
        """Return the bytes of some structures."""
        atoms, structures = self.row_bytes
        if self.offsets is not None:
            rows = int(self.offsets[last] - self.offsets[first])
        else:
            rows = (last - first) * (self.width or 0)
        return rows * atoms + (last - first) * structures

    def ranges(self, start: int, stop: int, nbytes: int) -> Iterator[tuple[int, int]]:
        """Yield ranges of structures of about so many bytes."""
        if stop <= start:
            return
        total = max(1, self.nbytes(start, stop))
        if self.offsets is None:
            each = max(1, (stop - start) * nbytes // total)
            for first in range(start, stop, each):
                yield first, min(first + each, stop)
            return
        edges = self.offsets[start : stop + 1] + np.arange(stop - start + 1)  # empty structures count, too
        for first, last in segment_ranges(edges, max(1, int(edges[-1] - edges[0]) * nbytes // total)):
            yield start + first, start + last

    def block(self, arrays: Mapping[str, StoredArray], first: int, last: int) -> Raw:
        """Return some structures.

        Parameters
        ----------
        arrays
            The arrays of the file.
        first, last
            Which structures.
        """
        m = last - first
        faults: dict[str, NDArray[np.bool_]] = {}
        if self.offsets is not None:
            edges = self.offsets[first : last + 1]
            start, stop, counts = int(edges[0]), int(edges[-1]), np.diff(edges)
            rows: Callable[[StoredArray], NDArray[Any]] = lambda array: array.rows(start, stop)  # noqa: E731
            numbers = rows(arrays[self.places["numbers"]])
        else:
            numbers, there, counts = self._grid(arrays, first, last, faults)
            rows = _of_grid(first, last, self.width or 0, there)
        raw = Raw(np.arange(first, last), counts)
        offsets = counts_to_offsets(counts)
        raw.atom["numbers"] = rows_of_atoms("numbers", numbers, offsets)
        fill_elements(raw, faults)
        positions = rows(arrays[self.places["positions"]])
        raw.atom["positions"] = [RawColumn(positions, unit=self.units.get("positions"))]
        cell, pbc = (self._of_all(name, arrays, first, last) for name in ("cell", "pbc"))
        periodicity(raw, cell, pbc, self.units.get("cell"))
        for key, label in self.labels.items():
            self._add(raw, key, label, arrays, (first, last), rows)
        if self.left:
            sentence = (
                f"left out: {said_where(self.left)}, with a row neither for each atom nor for each structure"
            )
            raw.remarks[sentence] = np.ones(m, dtype=bool)
        return raw

    def _grid(
        self, arrays: Mapping[str, StoredArray], first: int, last: int, faults: dict[str, NDArray[np.bool_]]
    ) -> tuple[NDArray[Any], NDArray[np.int64] | None, NDArray[np.int64]]:
        """Return atomic numbers of a block of a grid, which places have an atom, and how many."""
        m, width = last - first, self.width or 0
        z = self.shared.get("numbers")
        known = arrays[self.places["numbers"]].rows(first, last) if z is None else z
        z = np.broadcast_to(known, (m, width))
        full = z != 0 if z.dtype.kind in "iuf" else _texts(z)
        counts = full.sum(axis=1, dtype=np.int64)
        if self.counts is not None:
            said = self.counts[first:last]
            full = np.arange(width) < said[:, None]
            here = (z != 0 if z.dtype.kind in "iuf" else _texts(z)) != full
            wrong = here.any(axis=1)
            if wrong.any():
                i = int(np.argmax(wrong))
                faults[f"it is said to have {said[i]} atoms, and has {counts[i]} atomic numbers"] = wrong
            counts = said
        if full.all():
            return z.reshape(-1), None, counts
        there = np.flatnonzero(full.reshape(-1))
        return z.reshape(-1)[there], there, counts

    def _of_all(
        self, name: str, arrays: Mapping[str, StoredArray], first: int, last: int
    ) -> NDArray[Any] | None:
        if name in self.shared:
            return np.broadcast_to(self.shared[name], (last - first, *self.shared[name].shape))
        return arrays[self.places[name]].rows(first, last) if name in self.places else None

    def _add(
        self,
        raw: Raw,
        key: str,
        label: Label,
        arrays: Mapping[str, StoredArray],
        where: tuple[int, int],
        rows: Callable[[StoredArray], NDArray[Any]],
    ) -> None:
        """Add a label to a block."""
        columns = raw.atom if label.level == ATOM else raw.structure
        if label.fault is not None:
            raw.structure[label.name] = [RawColumn(np.zeros(len(raw.n_atoms)), fault=label.fault)]
            return
        values = rows(arrays[key]) if label.level == ATOM else arrays[key].rows(*where)
        present = None if label.mask is None else arrays[label.mask].rows(*where).astype(bool).reshape(-1)
        if values.dtype == np.uint64:
            if values.size and values.max() >= 2**63:
                reason = f"{label.name} has {values.max()}, which is too large for int64"
                raw.structure[label.name] = [RawColumn(np.zeros(len(raw.n_atoms)), fault=reason)]
                return
            values = values.astype(np.int64)
        if label.sign != 1.0:
            values = label.sign * values
        if label.level == ATOM:
            made = rows_of_atoms(label.name, values, counts_to_offsets(raw.n_atoms))
            for column in made:
                column.present = present if column.present is None else column.present
        else:
            made = rows_of_structures(label.name, values, present)
        for column in made:
            column.unit = label.unit if column.texts is None else None
        if made:
            columns[label.name] = made


def _texts(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which texts are not empty."""
    there: NDArray[np.bool_] = (
        values.astype(bool) if values.dtype.kind == "O" else values != values.dtype.type()
    )
    return there


def _of_grid(
    first: int, last: int, width: int, there: NDArray[np.int64] | None
) -> Callable[[StoredArray], NDArray[Any]]:
    """Return what reads the rows of the atoms of a block out of a grid."""

    def rows(array: StoredArray) -> NDArray[Any]:
        values = array.rows(first, last)
        values = values.reshape((last - first) * width, *values.shape[2:])
        return values if there is None else values.take(there, axis=0)

    return rows


def fill_elements(raw: Raw, faults: Mapping[str, NDArray[np.bool_]]) -> None:
    """Have atomic numbers as sources give them; structures with a fault are bad.

    Parameters
    ----------
    raw
        A block that has nothing but numbers yet.
    faults
        Which structures have what fault, shape (n,).
    """
    column = raw.atom["numbers"][0]
    if column.values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = column.values.astype(np.int64)
        whole[whole != column.values] = -1
        column.values = whole
    name_elements(raw)
    for sentence, here in faults.items():
        raw.atom["numbers"].append(RawColumn(raw.atom["numbers"][0].values, here, fault=sentence))


def periodicity(
    raw: Raw, cell: NDArray[Any] | None, pbc: NDArray[Any] | None, unit: str | None = None
) -> None:
    """Add cells, and whether structures repeat along them, to a block.

    Parameters
    ----------
    raw
        The block.
    cell
        Lattice vectors, shape (n, 3, 3); None if there are none.
    pbc
        Shape (n, 3), (n,) or (n, 1); None if it is not said.
    unit
        That the file states for cells.
    """
    m = len(raw.n_atoms)
    if cell is not None:
        fault = NO_PBC if pbc is None and np.any(cell) else None
        raw.structure["cell"] = [RawColumn(np.asarray(cell, dtype=np.float64), fault=fault, unit=unit)]
    if pbc is not None:
        flags = pbc.astype(bool)
        odd = flags != pbc
        flags = np.broadcast_to(flags.reshape(m, -1), (m, 3))
        wrong = odd.reshape(m, -1).any(axis=1)
        raw.structure["pbc"] = [RawColumn(flags)]
        if wrong.any():
            raw.structure["pbc"].append(RawColumn(flags, wrong, fault="pbc is neither True nor False"))


def stated_unit(array: StoredArray, key: str, name: str, level: Level, dialect: Dialect) -> str | None:
    """Return the unit of a label, as `RawColumn` has it."""
    if array.dtype.kind != "f":
        return None
    if key in dialect.units:
        return dialect.units[key]
    if array.unit is not None:
        return array.unit
    spec = by_alias(name, level)
    certain = spec is not None and spec.unit in _CERTAIN
    return None if certain or dialect.exact else ""


def table_of(
    arrays: Mapping[str, StoredArray], said: Mapping[str, str], dialect: Dialect, label: str
) -> Table:
    """Return what the arrays of a file are.

    Parameters
    ----------
    arrays
        The arrays by name.
    said
        Where what makes a structure is, as the user says it.
    dialect
        What the format says.
    label
        The file, for messages.

    Raises
    ------
    InputError
        If there are no positions or atomic numbers, or if arrays don't fit together.
    """
    names = [name for name in arrays if name not in dialect.hidden]
    known = {**dialect.places, **said}
    there = {
        name: None if dialect.exact and name not in known else place_of(name, names, known, label)
        for name in KNOWN
    }
    for name in ("positions", "numbers"):
        if there[name] is None:
            raise InputError(
                f"no array is known as the {name}; say which it is, keys={{{name!r}: ...}}: there are "
                f"{said_where(arrays)}",
                label,
            )
        array = arrays[there[name] or ""]
        if array.fault is not None:
            raise InputError(f"{name}: {array.fault}", label)
    positions = arrays[there["positions"] or ""]
    shape = tuple(positions.shape)
    if positions.dtype.kind not in "iuf" or len(shape) not in (2, 3) or shape[-1] != 3:
        raise InputError(
            "positions should be numbers of shape (atoms, 3) or (structures, atoms, 3), not "
            f"{shown(positions)}",
            label,
        )
    made = _packed if len(shape) == 2 else _gridded
    n, atoms, options = made(arrays, there, said, label)
    places = {name: key for name in ("positions", "numbers") if (key := there[name]) is not None}
    shared: dict[str, NDArray[Any]] = options.pop("shared", {})
    if "numbers" in shared:
        del places["numbers"]
    for name, row in (("cell", (3, 3)), ("pbc", (3,))):
        key = there[name]
        if key is None:
            continue
        _place_periodicity(name, row, key, arrays[key], n, (places, shared), label)
    used = {
        key
        for name, key in there.items()
        if key is not None and (name in GEOMETRY or name in options["used"])
    }
    units = {
        name: dialect.units.get(key, arrays[key].unit)
        for name in ("positions", "cell")
        if (key := there[name]) is not None
    }
    width = options.get("width")
    labels: dict[str, Label] = {}
    left = []
    rest = [key for key in names if key not in used]
    for key in rest:
        array = arrays[key]
        name = dialect.names.get(key, key)
        level, unfit = _level(key, name, array, dialect, (n, atoms, width))
        if level is None or 0 in array.shape[1:]:
            left.append(key)
            continue
        sign = 1.0
        if name == key and not dialect.exact:
            name, sign = plain_name(key, level, [dialect.names.get(other, other) for other in rest])
        fault = array.fault or unfit
        fault = None if fault is None else f"{key}: {fault}; leave it out with exclude=[{key!r}]"
        unit = stated_unit(array, key, name, level, dialect)
        labels[key] = Label(name, level, unit, sign, dialect.masks.get(key), fault)
    reading = [arrays[key] for key in (*places.values(), *labels)]
    sizes = {ATOM: 0, STRUCTURE: 0}
    for key in (*places.values(), *labels):
        level = (
            labels[key].level
            if key in labels
            else ATOM
            if key in (there["positions"], there["numbers"])
            else STRUCTURE
        )
        skipped = 2 if level == ATOM and width is not None else 1
        each = 8 if arrays[key].dtype.kind in "fO" else min(8, arrays[key].dtype.itemsize)
        sizes[level] += each * int(np.prod(arrays[key].shape[skipped:], dtype=int))
    del options["used"]
    return Table(
        n,
        places,
        shared=shared,
        units=units,
        labels=labels,
        left=tuple(left),
        row_bytes=(sizes[ATOM], sizes[STRUCTURE]),
        in_order=any(array.in_order for array in reading),
        **options,
    )


def _level(
    key: str, name: str, array: StoredArray, dialect: Dialect, sizes: tuple[int, int, int | None]
) -> tuple[Level | None, str | None]:
    """Return what the rows of an array belong to, and a sentence if that can't be."""
    n, atoms, width = sizes
    shape = tuple(array.shape)
    fitting = fits(shape, n, atoms, width)
    level = dialect.levels.get(key)
    if level is None:
        if is_plural(name) and fitting[STRUCTURE]:
            return STRUCTURE, None
        level = level_of(name, shape, array.dtype.kind, fitting, width)
        known = [one for one in (ATOM, STRUCTURE) if by_alias(name, one) is not None]
        if level is not None or not any(fitting.values()) or not known:
            return level, None
        level = known[0]
    elif fitting[level]:
        return level, None
    return level, f"it should have a row for each {level}, and has the shape {shape}"


def _packed(
    arrays: Mapping[str, StoredArray], there: Mapping[str, str | None], said: Mapping[str, str], label: str
) -> tuple[int, int, dict[str, Any]]:
    """Return structures, atoms and row edges where the atoms of all follow one another."""
    key = there["positions"] or ""
    atoms = int(arrays[key].shape[0])
    numbers = arrays[there["numbers"] or ""]
    if tuple(numbers.shape) not in ((atoms,), (atoms, 1)):
        raise InputError(
            f"there are positions of {atoms:,} atoms, and the numbers have the shape {tuple(numbers.shape)}",
            label,
        )
    edges = counts = None
    if there["offsets"] is not None:
        edges = whole_numbers("offsets", arrays[there["offsets"]], label)
        _check_edges(edges, label)
    if there["n_atoms"] is not None and (edges is None or "n_atoms" in said):
        counts = whole_numbers("n_atoms", arrays[there["n_atoms"]], label)
    elif there["n_atoms"] is not None and edges is not None:
        array = arrays[there["n_atoms"]]
        if tuple(array.shape) in ((len(edges) - 1,), (len(edges) - 1, 1)) and array.dtype.kind in "iu":
            counts = whole_numbers("n_atoms", array, label)
    used = {"offsets"} | ({"n_atoms"} if counts is not None else set())
    if counts is not None:
        if (counts < 0).any():
            i = int(np.argmax(counts < 0))
            raise InputError(f"n_atoms is {counts[i]}", label, i)
        if edges is not None and not np.array_equal(np.diff(edges), counts):
            raise InputError("offsets and n_atoms do not agree", label)
        edges = counts_to_offsets(counts)
    if edges is None:
        raise InputError(
            f"there are positions of {atoms:,} atoms one after the other, and nothing says which are whose; "
            "say where that is with keys={'offsets': ...} or keys={'n_atoms': ...}",
            label,
        )
    if edges[-1] != atoms:
        what = "n_atoms add up to" if there["offsets"] is None else "offsets end at"
        raise InputError(f"{what} {edges[-1]:,}, and there are positions of {atoms:,} atoms", label)
    return len(edges) - 1, atoms, {"offsets": edges, "used": used}


def _check_edges(edges: NDArray[np.int64], label: str) -> None:
    if len(edges) == 0 or edges[0] != 0:
        raise InputError(f"offsets begin at {edges[0] if len(edges) else 'nothing'}, not at 0", label)
    if (np.diff(edges) < 0).any():
        i = int(np.argmax(np.diff(edges) < 0))
        raise InputError(f"offsets go back from {edges[i]} to {edges[i + 1]}", label, i)


def _gridded(
    arrays: Mapping[str, StoredArray], there: Mapping[str, str | None], said: Mapping[str, str], label: str
) -> tuple[int, int, dict[str, Any]]:
    """Return structures, atoms and the width of a grid of atoms."""
    n, width = map(int, arrays[there["positions"] or ""].shape[:2])
    numbers = arrays[there["numbers"] or ""]
    options: dict[str, Any] = {"width": width, "used": set()}
    if tuple(numbers.shape) == (width,):
        options["shared"] = {"numbers": numbers.rows(0, width)}
    elif tuple(numbers.shape) != (n, width):
        raise InputError(
            f"positions are of {n:,} structures with {width:,} places for atoms, and the numbers have the "
            f"shape {tuple(numbers.shape)}",
            label,
        )
    key = there["n_atoms"]
    if key is not None and (tuple(arrays[key].shape) in ((n,), (n, 1)) or "n_atoms" in said):
        counts = whole_numbers("n_atoms", arrays[key], label)
        if len(counts) != n:
            raise InputError(f"there are {n:,} structures, and n_atoms of {len(counts):,}", label)
        wrong = (counts < 0) | (counts > width)
        if wrong.any():
            i = int(np.argmax(wrong))
            raise InputError(f"n_atoms is {counts[i]}, and there are places for {width} atoms", label, i)
        options["counts"] = counts
        options["used"] = {"n_atoms"}
    return n, n * width, options


def _place_periodicity(
    name: str,
    row: tuple[int, ...],
    key: str,
    array: StoredArray,
    n: int,
    where: tuple[dict[str, str], dict[str, NDArray[Any]]],
    label: str,
) -> None:
    """Find out whether cells, or pbc, are those of all structures or one for all."""
    places, shared = where
    shape = tuple(array.shape)
    kinds = "iuf" if name == "cell" else "biu"
    each = [(n, *row)] + ([(n,), (n, 1)] if name == "pbc" else [])
    alike = [row] + ([()] if name == "pbc" else [])
    if array.fault is not None or array.dtype.kind not in kinds or shape not in (*each, *alike):
        wanted = FIELDS[name].kind
        raise InputError(
            f"{name} should be {wanted} values of shape {(n, *row)} or {row}, not {shown(array)}", label
        )
    if shape in each:
        places[name] = key
    else:
        shared[name] = np.array(array.rows(0, 3))
