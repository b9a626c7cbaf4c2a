"""From `ase.Atoms` objects to `Raw` blocks.

Everything that reads through ASE ends here: a list of structures becomes packed columns, with
the results of calculators taken only where they belong to the structure as it is. A block is
worked on property by property, not atom by atom. This module opens no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.aliases import by_alias
from zstruct.schema import ATOM, STRUCTURE, Level, resolve_name
from zstruct.sources.columns import Values, atom_columns, by_key, structure_columns
from zstruct.sources.normalize.elements import unknown_elements
from zstruct.sources.source import BadFrame, Raw, RawColumn

__all__ = ["Snapshot", "Unusable", "blocks", "raw_of"]

# A block ends at so many atoms or structures: small enough for the processor's cache.
_BLOCK_ATOMS = 1 << 16
_BLOCK_FRAMES = 1 << 9
# The first block is small, and later ones grow at most so fast: the sizes to come are unknown.
_FIRST_BLOCK, _GROWTH = 64, 8
# Changes below this (angstrom) are none, as in ASE's own check.
_UNMOVED = 1e-15
_MISMATCH = (
    "the results of its calculator belong to another geometry (positions, elements, cell or pbc have changed "
    "since, or the calculator is shared with another structure); attach the labels of each structure with "
    "ase.calculators.singlepoint.SinglePointCalculator, or remove them with atoms.calc = None"
)


class Snapshot:
    """What `raw_of` needs of an Atoms object, copied: iterators may hand out one object again and again."""

    __slots__ = ("arrays", "calc", "cell", "constraints", "info", "pbc")

    def __init__(self, atoms: Any):
        self.arrays = {key: array.copy() for key, array in atoms.arrays.items()}
        self.info = dict(atoms.info)
        self.cell = atoms.cell.copy()
        self.pbc = atoms.pbc.copy()
        self.constraints = atoms.constraints
        self.calc = None if atoms.calc is None else _Results(atoms)

    def __len__(self) -> int:
        return len(self.arrays["numbers"])


class Unusable:
    """What is given as a structure and can't be used, and why."""

    def __init__(self, reason: str):
        self.reason = reason


class _Results:
    """The results of a calculator at one moment, and the atoms that they belong to if it says."""

    def __init__(self, atoms: Any):
        from ase.calculators.singlepoint import SinglePointCalculator

        calc = atoms.calc
        single = isinstance(calc, SinglePointCalculator)
        self.atoms = calc.atoms if single else None
        current = calc.results if single else _current(atoms)
        self.fault = _MISMATCH if current is None else None
        items = (current or {}).items()
        self.results = {key: v.copy() if isinstance(v, np.ndarray) else v for key, v in items}


def blocks(frames: Iterable[Any], first: int, *, check: bool) -> Iterator[Raw]:
    """Yield an iterable of Atoms as blocks of bounded size.

    Parameters
    ----------
    frames
        `ase.Atoms` (or `Snapshot`) objects; anything else is a bad frame.
    first
        Number of the first frame.
    check
        Whether the results of calculators might belong to another geometry.
    """
    levels: dict[str, Level] = {}
    stream = iter(frames)
    size = _FIRST_BLOCK
    while block := list(islice(stream, size)):
        raw = _checked(block, first, levels, check)
        yield raw
        first += len(block)
        mean = max(1, int(raw.n_atoms.sum())) / len(block)
        size = max(1, min(_BLOCK_FRAMES, int(_BLOCK_ATOMS / mean), _GROWTH * size))


def _checked(block: list[Any], first: int, levels: dict[str, Level], check: bool) -> Raw:
    """Pack what is Atoms in a list of anything."""
    from ase import Atoms

    kinds = (Atoms, Snapshot)
    numbers = list(range(first, first + len(block)))
    if all(issubclass(t, kinds) for t in set(map(type, block))):
        return raw_of(block, numbers, [], levels, check=check)
    other = {k: _wrong(x) for k, x in zip(numbers, block, strict=True) if not isinstance(x, kinds)}
    bad = [BadFrame(k, reason) for k, reason in other.items()]
    block = [x for x in block if isinstance(x, kinds)]
    return raw_of(block, [k for k in numbers if k not in other], bad, levels, check=check)


def _wrong(given: Any) -> str:
    if isinstance(given, Unusable):
        return given.reason
    return f"this is a {type(given).__name__}, not an ase.Atoms object"


def raw_of(
    block: Sequence[Any],
    frames: Sequence[int],
    bad: list[BadFrame],
    levels: dict[str, Level],
    *,
    check: bool,
    extra: Sequence[Mapping[str, Any]] = (),
    units: Mapping[str, str] | None = None,
) -> Raw:
    """Return a list of Atoms as one block.

    Parameters
    ----------
    block
        `ase.Atoms` or `Snapshot` objects.
    frames
        Their frame numbers.
    bad
        Bad frames met on the way.
    levels
        For properties that ASE does not define, whether they are per atom: decided where one is
        first met (see `_level`), and written down here for the blocks that follow.
    check
        Whether the results of calculators might belong to another geometry.
    extra
        More properties of each structure, per atom or per structure.
    units
        The units of these, and of positions and cell, where they are stated.
    """
    arrays = [atoms.arrays for atoms in block]
    results, faults = _results(block)
    per_atom = by_key(arrays)
    if block and not faults:
        numbers, positions = per_atom.pop("numbers")[0], per_atom.pop("positions")[0]
        n_atoms = np.fromiter(map(len, numbers), dtype=np.int64, count=len(block))
        z, xyz = np.concatenate(numbers), np.concatenate(positions)
        cells = np.concatenate([atoms.cell.array for atoms in block]).reshape(-1, 3, 3)
        pbc = np.concatenate([atoms.pbc for atoms in block]).reshape(-1, 3)
        faults = unknown_elements(z, n_atoms)
        if check and not faults and not _same_geometry(block, z, xyz, cells, pbc):
            faults = _moved(block)
    if faults:
        good = [i for i in range(len(block)) if i not in faults]
        bad = sorted([*bad, *(BadFrame(frames[i], faults[i]) for i in faults)], key=_by_frame)
        block, frames = [block[i] for i in good], [frames[i] for i in good]
        more = [extra[i] for i in good] if extra else ()
        return raw_of(block, frames, bad, levels, check=check, extra=more, units=units)
    raw = Raw(np.array(frames, dtype=np.int64), np.zeros(0, dtype=np.int64), bad=bad)
    if not block:
        return raw
    raw.n_atoms = n_atoms
    raw.atom["numbers"] = [RawColumn(z.astype(np.uint8))]
    stated = units or {}
    raw.atom["positions"] = [RawColumn(xyz.astype(np.float64, copy=False), unit=stated.get("positions"))]
    raw.structure = {"cell": [RawColumn(cells, unit=stated.get("cell"))], "pbc": [RawColumn(pbc)]}
    for key, (values, index) in per_atom.items():
        _add(raw, ATOM, key, values, index)
    _add_constraints(raw, block)
    if any(infos := [atoms.info for atoms in block]):
        for key, (values, index) in by_key(infos).items():
            _add(raw, STRUCTURE, str(key), values, index)
    for rows in (results, extra):
        if any(rows):
            for key, (values, index) in by_key(rows).items():
                if key not in levels:
                    levels[key] = _level(key, values, n_atoms if index is None else n_atoms[index])
                _add(raw, levels[key], key, values, index, stated.get(key) if rows is extra else None)
    return raw


def _by_frame(bad: BadFrame) -> int:
    return -1 if bad.frame is None else bad.frame


def _add(
    raw: Raw,
    level: Level,
    key: str,
    values: list[Any],
    index: NDArray[np.int64] | None,
    unit: str | None = None,
) -> None:
    """Add a property; one that two places bring (info and calculator) gets two columns."""
    name = resolve_name(key) if key in ("numbers", "positions", "cell", "pbc") else key
    if level == ATOM:
        columns, table = atom_columns(key, values, index, raw.n_atoms), raw.atom
    else:
        columns, table = structure_columns(key, values, index, len(raw.n_atoms)), raw.structure
    for column in columns:
        column.unit = unit
    table.setdefault(name, []).extend(columns)


def _level(key: str, values: list[Any], n_atoms: NDArray[np.int64]) -> Level:
    """Decide whether a property is per atom.

    ASE's own table of outputs comes first, then the names of the field table. For other names
    the first axis must be as long as every structure has atoms. Where all structures have the
    same 1, 3, 6 or 9 atoms, that length says nothing and is taken for a vector's or tensor's.
    """
    from ase.outputs import all_outputs

    if key in all_outputs:
        return ATOM if all_outputs[key].shapespec[:1] == ("natoms",) else STRUCTURE
    levels: tuple[Level, Level] = (ATOM, STRUCTURE)
    known = [level for level in levels if by_alias(key, level) is not None]
    if len(known) == 1:
        return known[0]
    lengths = [len(v) if isinstance(v, (list, tuple)) or np.ndim(v) else -1 for v in _sized(values)]
    if not np.array_equal(lengths, n_atoms):
        return STRUCTURE
    return STRUCTURE if set(lengths) <= {1} or set(lengths) in ({3}, {6}, {9}) else ATOM


def _sized(values: list[Any]) -> list[Any]:
    return [v if isinstance(v, (list, tuple, np.ndarray)) else 0 for v in values]


def _results(block: Sequence[Any]) -> tuple[list[Mapping[str, Any]], dict[int, str]]:
    """Return the current results of every calculator, and faults of calculators that moved on."""
    from ase.calculators.singlepoint import SinglePointCalculator

    calcs = [atoms.calc for atoms in block]
    types = set(map(type, calcs))
    if all(issubclass(t, SinglePointCalculator) for t in types):
        return [calc.results for calc in calcs], {}
    rows: list[Mapping[str, Any]] = []
    faults: dict[int, str] = {}
    for i, (atoms, calc) in enumerate(zip(block, calcs, strict=True)):
        if calc is None:
            rows.append({})
        elif isinstance(calc, (SinglePointCalculator, _Results)):
            rows.append(calc.results)
            if isinstance(calc, _Results) and calc.fault:
                faults[i] = calc.fault
        else:
            current = _current(atoms)
            rows.append(current or {})
            if current is None:
                faults[i] = _MISMATCH
    return rows, faults


def _current(atoms: Any) -> Mapping[str, Any] | None:
    """Return what a live calculator has computed for these very atoms; it computes nothing.

    Empty if it has not computed anything yet, None if that was for something else.
    """
    calc = atoms.calc
    results = getattr(calc, "results", None)
    if not results:
        return {}
    if hasattr(calc, "check_state"):
        return None if calc.check_state(atoms) else results
    if hasattr(calc, "calculation_required"):
        return None if calc.calculation_required(atoms, list(results)) else results
    return results


def _same_geometry(
    block: Sequence[Any], z: NDArray[Any], xyz: NDArray[Any], cells: NDArray[Any], pbc: NDArray[Any]
) -> bool:
    """Tell, for the whole block at once, whether results belong to the structures as they are."""
    references: list[Any] = [getattr(atoms.calc, "atoms", None) for atoms in block]
    if type(None) in set(map(type, references)):
        references = [_reference(atoms) for atoms in block]
    arrays = [atoms.arrays for atoms in references]
    return (
        _equal([a["positions"] for a in arrays], xyz)
        and _equal([a["numbers"] for a in arrays], z)
        and _equal([atoms.cell.array for atoms in references], cells)
        and _equal([atoms.pbc for atoms in references], pbc)
    )


def _reference(atoms: Any) -> Any:
    """Return the atoms that results belong to: the copy that single-point calculators keep."""
    then = getattr(atoms.calc, "atoms", None)
    return atoms if then is None else then


def _equal(pieces: Sequence[NDArray[Any]], whole: NDArray[Any]) -> bool:
    return np.array_equal(np.concatenate(pieces).ravel(), whole.ravel())


def _moved(block: Sequence[Any]) -> dict[int, str]:
    from ase.calculators.singlepoint import SinglePointCalculator

    kinds = (SinglePointCalculator, _Results)
    checked = [i for i, atoms in enumerate(block) if isinstance(atoms.calc, kinds)]
    return {i: _MISMATCH for i in checked if not _unmoved(block[i], _reference(block[i]))}


def _unmoved(now: Any, then: Any) -> bool:
    a, b = now.arrays, then.arrays
    return (
        np.array_equal(a["numbers"], b["numbers"])
        and np.array_equal(now.pbc, then.pbc)
        and np.allclose(a["positions"], b["positions"], rtol=0, atol=_UNMOVED, equal_nan=True)
        and np.allclose(now.cell.array, then.cell.array, rtol=0, atol=_UNMOVED, equal_nan=True)
    )


def _add_constraints(raw: Raw, block: Sequence[Any]) -> None:
    """Add which atoms may move, as ASE's extended XYZ does: True is free, per axis if need be."""
    masks: dict[int, NDArray[np.bool_]] = {}
    for i, constraints in enumerate([atoms.constraints for atoms in block]):
        if constraints and not (mask := _move_mask(block[i])).all():
            masks[i] = mask
    if masks:
        index = None if len(masks) == len(block) else np.array(list(masks))
        values: Values = list(masks.values()), index
        _add(raw, ATOM, "move_mask", *values)


def _move_mask(atoms: Any) -> NDArray[np.bool_]:
    from ase.constraints import FixAtoms, FixCartesian

    axes = any(isinstance(c, FixCartesian) for c in atoms.constraints)
    mask = np.ones((len(atoms), 3) if axes else len(atoms), dtype=bool)
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms):
            mask[constraint.index] = False
        elif isinstance(constraint, FixCartesian):
            mask[constraint.index] &= ~np.asarray(constraint.mask, dtype=bool)
    return mask
