"""The structures of a store that are exported, in blocks: which, with which fields, and what stays behind.

Formats are not known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import names
from zstruct.batch.packed import PackedBatch
from zstruct.errors import InputError
from zstruct.exporters.blocks import Block, Contents, ranges_of
from zstruct.loading.dataset_options import Cache
from zstruct.loading.reader import StructureReader
from zstruct.schema import ATOM, GEOMETRY, STRUCTURE, Field, infer
from zstruct.splits import open_split
from zstruct.store.labelled import names_of
from zstruct.store.spec import FORMULA, INDEX, LABELS
from zstruct.store.store import Store
from zstruct.text import nearest
from zstruct.to_ase import original_name

__all__ = [
    "SPLIT",
    "StoredStructures",
    "Structures",
    "block_ranges",
    "check_free",
    "given_structures",
    "groups_beside",
    "wanted_fields",
]

#: Bytes of fields in a block: large enough for threads, small enough that some of them take little memory.
_BLOCK_BYTES = 8 << 20
_KEPT_BYTES = 256 << 20  # of decoded chunks
_SOME = 1 << 16  # structures
#: The field that a split becomes.
SPLIT = "split"


class Structures(Protocol):
    """What is exported, wherever it comes from."""

    def contents(self) -> Contents:
        """Return what all blocks together are."""

    def beside(self) -> dict[str, str]:
        """Return what else is known of the structures, and is not exported: names of it, and why."""

    def __iter__(self) -> Iterator[Block]:
        """Yield the structures in blocks, in order."""


class StoredStructures:
    """The structures of a reader, in its order, in blocks.

    Parameters
    ----------
    reader
        Says which structures.
    fields
        Which fields to read, in the dtypes of the store, besides the geometry; None: all but the formula.
    exclude
        Fields to leave out.
    split
        Name of a split to have as a field.

    Raises
    ------
    InputError
        If there are no such fields or no such split, or if a structure can't do without what is excluded.
    """

    def __init__(
        self,
        reader: StructureReader,
        fields: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        split: str | None = None,
    ):
        store = reader.store
        there = {name: field for name, field in store.fields.items() if name != FORMULA or fields is not None}
        self._fields = wanted_fields(there, fields, exclude, store.path)
        self._split, self._parts = split, None if split is None else open_split(store, split)
        check_free(self._fields, split, store.path)
        dtypes: Any = {name: spec.dtype for name, spec in self._fields.items() if spec.kind != "bool"}
        cache = Cache("memory", bytes=_KEPT_BYTES)
        # NaN in a field that all structures have is a value like any other.
        self._always = {name for name in self._fields if store.coverage(name) == store.n_structures}
        self._rows = reader.structures
        self._reader = StructureReader(store, list(self._fields), dtypes, cache=cache)
        self._n_atoms = self._reader.n_atoms[self._rows]

    def beside(self) -> dict[str, str]:
        """Return the groups of the store, none of which a file has a place for, but one split."""
        return groups_beside(self._reader.store, self._split)

    def contents(self) -> Contents:
        """Return what all blocks together are."""
        categories = {
            name: self._reader.categories(name)
            for name, spec in self._fields.items()
            if spec.kind == "category"
        }
        n_atoms = self._n_atoms
        most = int(n_atoms.max()) if len(n_atoms) else 0
        store = self._reader.store
        originals = {name: original_name(name, store.array_attrs(name)) for name in self._fields}
        fields = dict(self._fields)
        if self._parts is not None:
            fields[SPLIT] = infer(SPLIT, STRUCTURE, "category", ())
            categories[SPLIT] = list(self._parts.labels)
        cells = self._have_cells()
        n, elements = len(n_atoms), self._reader.elements
        return Contents(n, int(n_atoms.sum()), fields, categories, most, originals, cells, elements)

    def _have_cells(self) -> bool:
        """Return whether any structure has a cell."""
        store, rows = self._reader.store, np.sort(self._rows)
        for start in range(0, store.n_structures, _SOME):
            here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + _SOME)] - start
            if len(here) and store.read("cell", start, start + _SOME)[here].any():
                return True
        return False

    def __iter__(self) -> Iterator[Block]:
        for start, stop in block_ranges(self._n_atoms, self._fields.values()):
            yield self._block(self._reader.take(self._rows[start:stop]), start, self._rows[start:stop])

    def _block(self, batch: PackedBatch, first: int, rows: NDArray[np.int64]) -> Block:
        columns = {name: batch.columns[name] for name in self._fields}
        present = {}
        for name, spec in self._fields.items():
            if name in self._always:
                continue
            mask = batch.columns.get(f"has_{name}")
            there = mask
            if there is None:
                there = given_structures(spec, columns[name], batch.offsets)
            if not there.all():
                present[name] = there.astype(bool)
        if self._parts is not None:
            columns[SPLIT] = self._parts.codes[rows].astype(np.int32)
            present[SPLIT] = columns[SPLIT] >= 0
        # Exporters keep these to the end: not as views, which would keep the memory of all columns.
        return Block(batch.n_atoms.copy(), columns, present, first)


def wanted_fields(
    there: Mapping[str, Field], fields: Iterable[str] | None, exclude: Iterable[str], label: str
) -> dict[str, Field]:
    """Return the fields to export; the geometry is always among them.

    Parameters
    ----------
    there
        All that there are.
    fields, exclude
        As for `zstruct.export`.
    label
        What has them, for messages.

    Raises
    ------
    InputError
        If one is not there, or is left out that no structure can do without.
    """
    chosen, left_out = list(there) if fields is None else names("fields", fields), names("exclude", exclude)
    for name in [*GEOMETRY, *chosen, *left_out]:
        if name not in there:
            near = nearest(name, there)
            meant = f"; is it {near}?" if near else ""
            raise InputError(f"{label} has no field {name!r}{meant}; it has {', '.join(there)}")
    for name in GEOMETRY:
        if name in left_out:
            raise InputError(f"exclude=[{name!r}]: a structure can't do without {name}")
    return {name: there[name] for name in dict.fromkeys([*GEOMETRY, *chosen]) if name not in left_out}


def check_free(fields: Iterable[str], split: str | None, label: str) -> None:
    """Refuse to write a split beside a field that is called so.

    Raises
    ------
    InputError
        If there is one.
    """
    if split is not None and SPLIT in fields:
        raise InputError(f"{label} has a field {SPLIT!r} already: give exclude=[{SPLIT!r}], or no with_split")


def groups_beside(store: Store, split: str | None) -> dict[str, str]:
    """Return the groups of a store that are not exported, by kind: their names, and why.

    Parameters
    ----------
    store
        The store.
    split
        The split that is.
    """
    found = {}
    ways = {"splits": "with_split= writes one of them", LABELS: "labels= writes them"}
    written: dict[str, list[str | None]] = {"splits": [split], LABELS: [*names_of(store)]}
    for kind in store.kinds():
        if kind == INDEX:  # says nothing that the fields don't
            continue
        there = [name for name in store.group_names(kind) if name not in written.get(kind, ())]
        why = ways.get(kind, "they stay in the store")
        if there:
            found[kind] = f"{', '.join(there)}: {why}"
    return found


def block_ranges(n_atoms: NDArray[np.int64], fields: Iterable[Field]) -> Iterator[tuple[int, int]]:
    """Yield ranges of structures that make blocks: each is one structure, or some megabytes.

    Parameters
    ----------
    n_atoms
        Atoms of each structure, shape (n,).
    fields
        What there is of them.
    """
    rows = {True: 0, False: 0}
    for field in fields:
        rows[field.level == ATOM] += field.row_bytes
    yield from ranges_of(n_atoms * rows[True] + rows[False], _BLOCK_BYTES)


def given_structures(field: Field, rows: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which structures have a field: any of its values is not missing.

    Parameters
    ----------
    field
        The field.
    rows
        Its rows, those of atoms end to end.
    offsets
        Row edges of the structures, shape (n + 1,).
    """
    there = field.given(rows)
    if field.level != ATOM:
        return there
    counts = np.concatenate([[0], np.cumsum(there)])
    found: NDArray[np.bool_] = counts[offsets[1:]] > counts[offsets[:-1]]
    return found
