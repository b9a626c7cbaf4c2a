"""A Dataset as what is exported: its structures in its order, with the values that it has, block by block.

Formats are not known here; who writes them takes the blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS
from zstruct.explore.arguments import fields_of
from zstruct.explore.dataset_table import DatasetTable
from zstruct.explore.open_groups import split_labels
from zstruct.explore.open_store import FORMULA
from zstruct.explore.origin import store_of
from zstruct.explore.presence import always_given, mask_of
from zstruct.explore.ragged_dataset import RaggedDataset
from zstruct.explore.selection import cut
from zstruct.exporters.blocks import Block, Contents
from zstruct.exporters.structures import (
    SPLIT,
    block_ranges,
    check_free,
    given_structures,
    groups_beside,
    wanted_fields,
)
from zstruct.ragged import counts_to_offsets
from zstruct.schema import FIELDS, STRUCTURE, Field, infer
from zstruct.store.store import Store
from zstruct.to_ase import original_name

__all__ = ["DatasetStructures"]

_LABEL = "this Dataset"


class DatasetStructures:
    """The structures of a Dataset, in its order, in blocks.

    Parameters
    ----------
    ragged
        The Dataset.
    fields
        Which variables to export besides the geometry; None: all that a store has, and all that were added as
        variables over structures or atoms.
    exclude
        Variables to leave out.
    split
        Name of a split of the store to have as a field.

    Raises
    ------
    InputError
        If there are no such variables or no such split, or if a structure can't do without what is excluded.
    """

    def __init__(
        self, ragged: RaggedDataset, fields: Iterable[str] | None, exclude: Iterable[str], split: str | None
    ):
        self._ragged, self._ds = ragged, ragged.dataset
        there = DatasetTable(self._ds).fields
        if self._store is not None:  # files of parts have their columns in one order
            order = list(self._store.fields)
            there = dict(
                sorted(
                    there.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)
                )
            )
        if fields is None:
            there = {name: field for name, field in there.items() if self._is_content(name)}
        self._fields = {
            name: self._described(field)
            for name, field in wanted_fields(there, fields, exclude, _LABEL).items()
        }
        check_free(self._fields, split, _LABEL)
        self._split = split
        self._codes: dict[str, NDArray[np.int32]] = {}
        self._texts: dict[str, list[str]] = {}
        for name, field in self._fields.items():
            if field.kind == "category":
                self._texts[name] = self._all_texts(name)
        if split is not None:
            codes, texts = pd.factorize(split_labels(self._ds, split))
            self._codes[SPLIT], self._texts[SPLIT] = codes.astype(np.int32), list(map(str, texts))

    def _is_content(self, name: str) -> bool:
        """Return whether a variable is exported unasked: coordinates only if they are fields of the store."""
        attrs = self._ds.variables[name].attrs
        known = name in self._ds.data_vars or name == "numbers" or "kind" in attrs
        return known and attrs.get("long_name") != FORMULA

    def _described(self, field: Field) -> Field:
        """Return a field with what the table of fields says of it, where it still is that."""
        known = FIELDS.get(field.name)
        if known is not None and (known.dims, known.kind) == (field.dims, field.kind):
            return replace(known, dtype=field.dtype, unit=field.unit)
        return replace(field, rotates=str(self._ds.variables[field.name].attrs.get("rotates", "none")))  # type: ignore[arg-type]

    def _all_texts(self, name: str) -> list[str]:
        """Return the different texts of a variable, in the order of their first use."""
        found: dict[str, None] = {}
        for block in self._parts([name]):
            values = pd.unique(block.variables[name].to_numpy().reshape(-1))
            found |= dict.fromkeys(str(text) for text in values if not pd.isna(text))
        return list(found)

    @property
    def _store(self) -> Store | None:
        """The store, if the Dataset still knows it."""
        if "source" not in self._ds.encoding:
            return None
        return store_of(self._ds, "export that")

    def beside(self) -> dict[str, str]:
        """Return the groups of the store, and variables that are over neither structures nor atoms."""
        usable = fields_of(self._ds)
        others = [str(name) for name in self._ds.data_vars if str(name) not in usable]
        found = dict.fromkeys(others, "it has no row for each structure or atom")
        return found | (groups_beside(self._store, self._split) if self._store is not None else {})

    def contents(self) -> Contents:
        """Return what all blocks together are."""
        counts = self._ragged.segments()[1]
        fields = dict(self._fields)
        if self._split is not None:
            fields[SPLIT] = infer(SPLIT, STRUCTURE, "category", ())
        variables = self._ds.variables
        originals = {name: original_name(name, variables[name].attrs) for name in self._fields}
        most = int(counts.max()) if len(counts) else 0
        cells = bool(variables["cell"].to_numpy().any())
        n = len(counts)
        return Contents(n, int(counts.sum()), fields, self._texts, most, originals, cells, self._elements())

    def _elements(self) -> list[int]:
        """Return the atomic numbers of the store, and of these structures, should they have others."""
        found = set(np.unique(self._ragged.numbers().to_numpy()).tolist())
        species: Sequence[str] = (self._store.attrs.get("species") or ()) if self._store is not None else ()
        return sorted(found | {SYMBOLS.index(symbol) for symbol in species})

    def _parts(
        self, names: Iterable[str], ranges: Iterable[tuple[int, int]] | None = None
    ) -> Iterator[xr.Dataset]:
        """Yield some variables of the structures in memory, range by range."""
        wanted = {*names, "offsets", "n_atoms"}
        wanted |= {mask for name in names if (mask := f"has_{name}") in self._ds.variables}
        found = self._ragged.segments()
        bare = self._ds.drop_vars([name for name in self._ds.variables if name not in wanted])
        fields = [self._fields[name] for name in names]
        for start, stop in block_ranges(found[1], fields) if ranges is None else ranges:
            yield cut(bare, slice(start, stop), found).load()

    def __iter__(self) -> Iterator[Block]:
        ranges = list(block_ranges(self._ragged.segments()[1], self._fields.values()))
        for (start, stop), part in zip(ranges, self._parts(self._fields, ranges), strict=True):
            yield self._block(part, start, stop)

    def _block(self, part: xr.Dataset, start: int, stop: int) -> Block:
        n_atoms = part.variables["n_atoms"].to_numpy().astype(np.int64)
        offsets = counts_to_offsets(n_atoms)
        columns: dict[str, NDArray[Any]] = {}
        present: dict[str, NDArray[np.bool_]] = {}
        for name, field in self._fields.items():
            variable = part.variables[name]
            columns[name] = rows = self._rows(name, field, variable.to_numpy())
            mask = mask_of(name, part)
            if mask is not None:
                there = mask.to_numpy()
            elif always_given(self._ds.variables[name], self._ds):
                continue
            else:
                there = given_structures(field, rows, offsets)
            if not there.all():
                present[name] = there
        if self._split is not None:
            columns[SPLIT] = self._codes[SPLIT][start:stop]
            present[SPLIT] = columns[SPLIT] >= 0
        return Block(n_atoms, columns, present, start)

    def _rows(self, name: str, field: Field, values: NDArray[Any]) -> NDArray[Any]:
        """Return values as rows of a field: texts as codes."""
        if field.kind != "category":
            return np.ascontiguousarray(values, dtype=field.dtype)
        index = pd.Index(self._texts[name], dtype=object)
        codes = index.get_indexer(pd.Index(values.reshape(-1).astype(object)))
        return codes.astype(np.int32).reshape(values.shape)
