"""Data frames of pacemaker: a pickle with `ase.Atoms`, energies and forces, read without executing it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError, StoreAccessError
from zstruct.keywords import keywords
from zstruct.sources.array_columns import name_elements
from zstruct.sources.columns import atom_columns, structure_columns
from zstruct.sources.compression import DAMAGED, decompressed
from zstruct.sources.content import Content
from zstruct.sources.pacemaker.frame import KNOWN, columns_of
from zstruct.sources.pickles import Record, loads, shown
from zstruct.sources.source import BadFrame, FileSource, Raw, RawColumn, Slice

__all__ = ["PacemakerSource"]

_ATOMS = "ase_atoms"
_BLOCK = 5000  # structures
_INDEX = "__index_level_0__"


@keywords()
class PacemakerSource(FileSource):
    """Structures in a data frame of pacemaker, ``.pckl.gzip``: a pickle, read with ``allow_pickle=True``.

    Nothing in it is executed: of the classes that it names (data frames, `ase.Atoms`, arrays) records are
    made by this package itself, and any other name ends the build. ``ase_atoms`` has the structures,
    ``energy`` and ``forces`` their labels in eV and angstrom; other columns are properties. Calculators and
    constraints of Atoms are left out, which the report says. The whole file is read into memory.

    Parameters
    ----------
    path
        The file.
    allow_pickle
        Whether it may be read.

    Raises
    ------
    InputError
        If pickles are not allowed, or this one is damaged or names anything else.
    """

    def __init__(self, path: str | os.PathLike[str] | Content, *, allow_pickle: bool = False):
        super().__init__(path)
        self.allow_pickle = allow_pickle

    def scan(self) -> list[Slice]:
        """Return the whole file as one slice.

        Raises
        ------
        InputError
            If pickles are not allowed.
        """
        self._check()
        return super().scan()

    def _check(self) -> None:
        if not self.allow_pickle:
            raise InputError(
                "this is a pickle, which in other hands can run any program; give allow_pickle=True to read "
                "it: only data frames, Atoms and arrays are made of it, anything else ends the build",
                self.label,
            )

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the structures in blocks."""
        self._check()
        try:
            with decompressed(self.content) as stream:
                data = stream.read()
        except StoreAccessError:
            raise  # of a server, which says what it is
        except (*DAMAGED, OSError) as error:
            raise InputError(f"the file is damaged or cut off: {error}", self.label) from error
        columns = columns_of(loads(data, KNOWN, self.label), self.label)
        del data
        if _ATOMS not in columns:
            raise InputError(
                f"the data frame has no column {_ATOMS!r}; it has {', '.join(columns) or 'none'}", self.label
            )
        atoms = columns.pop(_ATOMS)
        for first in range(0, len(atoms), _BLOCK):
            rows = slice(first, first + _BLOCK)
            yield _block(first, atoms[rows], {key: values[rows] for key, values in columns.items()})


def _block(first: int, atoms: list[Any], columns: dict[str, list[Any]]) -> Raw:
    """Return some rows of the data frame."""
    geometries: list[dict[str, Any]] = []
    bad, kept = [], []
    for k, record in enumerate(atoms):
        try:
            geometries.append(_geometry(record))
            kept.append(k)
        except Exception as error:  # noqa: BLE001 - whatever a damaged or malicious one raises
            bad.append(BadFrame(first + k, f"{_ATOMS} is no structure: {shown(error)}"))
    n_atoms = np.array([len(one["positions"]) for one in geometries], dtype=np.int64)
    raw = Raw(first + np.array(kept, dtype=np.int64), n_atoms, bad=bad)
    if not kept:
        return raw
    raw.atom["numbers"] = [RawColumn(np.concatenate([one["numbers"] for one in geometries]))]
    name_elements(raw)
    raw.atom["positions"] = [RawColumn(np.concatenate([one["positions"] for one in geometries]))]
    raw.structure["cell"] = [RawColumn(np.array([one["cell"] for one in geometries]))]
    raw.structure["pbc"] = [RawColumn(np.array([one["pbc"] for one in geometries]))]
    for name, sentence in (
        ("calculator", "calculators of ase_atoms are left out"),
        ("constraints", "constraints of ase_atoms are left out"),
    ):
        here = np.array([one[name] for one in geometries])
        if here.any():
            raw.remarks[sentence] = here
    own = {key for one in geometries for key in (*one["arrays"], *one["info"])} - columns.keys()
    for key in sorted(own):
        values = [one["arrays"].get(key, one["info"].get(key)) for one in geometries]
        _add(raw, key, values, per_atom=any(key in one["arrays"] for one in geometries))
    for key, column in columns.items():
        if key != _INDEX:
            _add(raw, key, [column[k] for k in kept])
    return raw


def _geometry(record: Any) -> dict[str, Any]:
    """Return what Atoms have, of the record that stands for them."""
    if not isinstance(record, Record) or type(record).__name__ != "Atoms":
        raise TypeError(f"there is a {type(record).__name__} where Atoms should be")
    arrays = dict(record.get("arrays") or {})
    numbers = np.asarray(arrays.pop("numbers"))
    positions = np.asarray(arrays.pop("positions"), dtype=np.float64)
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or positions.shape != (len(numbers), 3):
        raise ValueError(f"its numbers have the shape {numbers.shape}, and its positions {positions.shape}")
    cell = record.get("_cellobj", record.get("_cell"))
    if isinstance(cell, Record):
        cell = cell.get("array", cell.arguments[0] if cell.arguments else None)
    pbc = record.get("_pbc")
    pbc = pbc.arguments[0] if isinstance(pbc, Record) else pbc
    return {
        "numbers": numbers,
        "positions": positions,
        "cell": np.zeros((3, 3)) if cell is None else np.asarray(cell, dtype=np.float64).reshape(3, 3),
        "pbc": np.zeros(3, bool) if pbc is None else np.asarray(pbc).astype(bool).reshape(3),
        "arrays": {key: value for key, value in arrays.items() if isinstance(value, np.ndarray)},
        "info": {key: value for key, value in (record.get("info") or {}).items() if isinstance(key, str)},
        "calculator": record.get("_calc", record.get("calc")) is not None,
        "constraints": bool(record.get("_constraints", record.get("constraints"))),
    }


def _add(raw: Raw, key: str, values: list[Any], per_atom: bool | None = None) -> None:
    """Add a property to a block, of atoms if all values have a row for each."""
    there = [k for k, value in enumerate(values) if not _is_nothing(value)]
    objects = [k for k in there if isinstance(values[k], (Record, set, frozenset))]
    if objects:
        here = np.zeros(len(values), dtype=bool)
        here[objects] = True
        raw.remarks[f"left out: {key}, which holds objects"] = here
        there = [k for k in there if k not in set(objects)]
    if not there:
        return
    given, index = [values[k] for k in there], np.array(there, dtype=np.int64)
    if per_atom is None:
        per_atom = all(
            isinstance(value, (list, np.ndarray)) and len(value) == raw.n_atoms[k]
            for k, value in zip(there, given, strict=True)
        ) and not _is_vector(given)
    if per_atom:
        arrays: list[NDArray[Any]] = [np.asarray(value) for value in given]
        raw.atom[key] = atom_columns(key, arrays, index, raw.n_atoms)
    else:
        raw.structure[key] = structure_columns(key, given, index, len(values))


def _is_vector(values: list[Any]) -> bool:
    """Tell whether all values are rows of one length, which need not be that of the atoms."""
    return {np.shape(value) for value in values} <= {(3,), (6,), (9,)}


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))
