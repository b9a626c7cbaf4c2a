"""A Dataset as a table that conditions are asked of: its variables, as they were selected, sorted or added.

Values of structures are read when they are named, and atoms only of the structures that are asked about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.explore.arguments import check_labels, fields_of, mask_over
from zstruct.explore.attributes import nested, stands_for
from zstruct.explore.open_groups import in_part
from zstruct.explore.origin import rows_of_store
from zstruct.explore.ragged_dataset import RaggedDataset
from zstruct.explore.selection import cut, picked, row_blocks, segments
from zstruct.explore.untouched import Untouched
from zstruct.query import QUANTITIES, Atoms, Choice, Formulas, FreeAtoms, Selection, StoreTable
from zstruct.query.evaluation import chosen
from zstruct.query.index import GROUP
from zstruct.ragged import counts_to_offsets, segment_ranges
from zstruct.schema import ATOM, STRUCTURE, Field, Kind

__all__ = ["DatasetTable", "selected"]

_KEEP_STORE = "sample before you compute what no longer knows it"
_SELECTION = "selection"  # the attribute of a Dataset that says how its structures were chosen

_KINDS: dict[str, Kind] = {
    "f": "float",
    "i": "int",
    "u": "int",
    "b": "bool",
    "O": "category",
    "U": "category",
}

_CODES = "formulas/codes"  # of the store, which are not those of the texts of a variable
_PIECE_ATOMS = 1 << 20  # worked on together


class DatasetTable:
    """The structures of a Dataset.

    Parameters
    ----------
    dataset
        What `zstruct.open` returned, or any part of it.
    """

    name = "this Dataset"
    n_threads = 1  # dask has its own

    def __init__(self, dataset: xr.Dataset):
        self._ds = dataset
        self._untouched = Untouched.of(dataset)
        self._texts: dict[str, tuple[NDArray[np.int64], list[str]]] = {}
        self._given: dict[str, NDArray[np.bool_]] = {}

    def __len__(self) -> int:
        return int(self._ds.sizes.get(STRUCTURE, 0))

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The variables over structures and over atoms that have numbers, booleans or texts."""
        names = [name for name in fields_of(self._ds) if name not in ("offsets", "n_atoms")]
        masks = {f"has_{name}" for name in names}
        found = {}
        for name in names:
            variable = self._ds.variables[name]
            kind = _KINDS.get(variable.dtype.kind)
            if kind is None or (name in masks and variable.dtype == bool):
                continue
            # The dtype decides: attributes stay through comparisons and arithmetic.
            if kind == "float" and variable.attrs.get("kind") == "bool" and variable.dims[0] == STRUCTURE:
                kind = "bool" if stands_for("bool", variable.to_numpy()) else kind
            found[name] = Field(
                name=name,
                dims=tuple(map(str, variable.dims)),
                kind=kind,
                dtype="int32" if kind == "category" else str(variable.dtype),
                unit=str(variable.attrs.get("units", "")),
                description=str(variable.attrs.get("long_name", name)),
                rotates="none",
                shape=variable.shape[1:],
            )
        return found

    def obstacle(self, name: str) -> str | None:
        """Return why a variable is no field: its dimensions are in another order."""
        variable = self._ds.variables.get(name)
        if variable is None or not {STRUCTURE, ATOM} & set(variable.dims[1:]):
            return None
        first = ", ".join(repr(dim) for dim in (STRUCTURE, ATOM) if dim in self._ds.dims)
        return (
            f"{name} of this Dataset has the dimensions ({', '.join(map(str, variable.dims))}), and "
            f"{STRUCTURE if STRUCTURE in variable.dims else ATOM} comes first: ds.transpose({first}, ...)"
        )

    @cached_property
    def _stored(self) -> StoreTable | None:
        """The structures as the store has them, if they are those of a store."""
        return None if self._untouched is None else StoreTable(self._untouched.store)

    @cached_property
    def formulas(self) -> Formulas | None:
        """Those of the store; others are not parsed: counting atoms takes less time."""
        if self._stored is None or self._untouched is None or not self._untouched.has("numbers"):
            return None
        found = self._stored.formulas
        return None if found is None else found._replace(codes=_CODES)

    def known(self, quantity: str) -> str | None:
        """Return what the index of the store has, of variables that are the store's."""
        if self._stored is None or self._untouched is None:
            return None
        row = QUANTITIES[quantity]
        fields = self._untouched.store.fields
        own = self._untouched.has(*row.needs, *(name for name in row.also if name in fields))
        found = self._stored.known(quantity) if own else None
        return None if found in self._ds.variables else found

    def positions(self, structures: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the structures themselves."""
        return structures

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return the rows of a variable of structures ``start:stop``; texts as codes."""
        if self._stored is not None and name.startswith((_CODES, f"{GROUP}/")) and name not in self.fields:
            formulas = self._stored.formulas if name == _CODES else None
            return self._stored.rows(name if formulas is None else formulas.codes, start, stop)
        if name in self.fields and self.fields[name].kind == "category":
            return self._codes(name)[start:stop]
        if name not in self._ds.variables:
            raise InputError(f"this Dataset has lost {name}: keep it where you choose variables")
        return self._ds.variables[name].isel({STRUCTURE: slice(start, stop)}).to_numpy()

    def present(self, name: str, structures: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some structures, ascending, have a variable."""
        if self.fields[name].level == ATOM:
            part = self._part([name, *(x for x in [f"has_{name}"] if x in self._ds.variables)], structures)
            return part.zs.has(name).to_numpy()
        if name not in self._given:
            self._given[name] = self._ds.zs.has(name).to_numpy()
        return self._given[name][structures]

    def texts(self, name: str) -> Sequence[str]:
        """Return the different texts of a variable."""
        self._codes(name)
        return self._texts[name][1]

    def atoms(self, name: str, structures: NDArray[np.int64]) -> Iterator[Atoms]:
        """Yield the rows of a variable of the atoms of some structures, some megabytes at a time."""
        if len(structures) == 0:
            return
        part = self._part([name], structures)
        offsets = counts_to_offsets(part.variables["n_atoms"].to_numpy())
        for which, rows, edges in row_blocks(part.variables[name], offsets):
            for a, b in segment_ranges(edges, _PIECE_ATOMS):
                here = slice(which.start + a, which.start + b)
                yield Atoms(here, edges[a : b + 1] - edges[a], rows[edges[a] : edges[b]])

    def part(self, name: str, label: str) -> NDArray[np.bool_]:
        """Return which of the structures are in a part of a split of the store."""
        return in_part(self._ds, name, label)

    def mask(self, where: Any) -> NDArray[np.bool_]:
        """Return which of the structures pass a test: a function of the Dataset, or booleans."""
        found = mask_over(where, self._ds)
        check_labels(found, self._ds)
        values = np.asarray(found)
        if values.shape != (len(self),):
            raise InputError(
                f"where is a boolean for each of the {len(self):,} structures of this Dataset, not an array "
                f"of shape {values.shape}"
            )
        return values

    def _codes(self, name: str) -> NDArray[np.int64]:
        if name not in self._texts:
            codes, texts = pd.factorize(self._ds.variables[name].to_numpy())
            self._texts[name] = codes.astype(np.int64, copy=False), [str(text) for text in texts]
        return self._texts[name][0]

    def _part(self, names: list[str], structures: NDArray[np.int64]) -> xr.Dataset:
        """Return some variables of some structures, with their atoms."""
        found = segments(self._ds)
        bare = self._ds.drop_vars([x for x in self._ds.variables if x not in (*names, "offsets", "n_atoms")])
        return cut(bare, structures, found)


def selected(ragged: RaggedDataset, selection: Selection) -> xr.Dataset:
    """Return the structures that a selection leaves, with their atoms; an attribute says which it was.

    Raises
    ------
    InputError
        If the Dataset has not what is asked for.
    UnknownNameError
        If there is no such quantity.
    IndexError
        If there are no such positions, or a mask is one of other structures.
    """
    found = ragged.dataset if selection else ragged.cut(slice(0, ragged.n_structures))
    for choice in selection.choices:
        found = _chosen(ragged if found is ragged.dataset else RaggedDataset(found), choice)
    said = [found.attrs.get(_SELECTION), str(selection)]
    text = ", then ".join(one for one in said if one)
    return found.assign_attrs({_SELECTION: text} if text else {})


def _chosen(ragged: RaggedDataset, choice: Choice) -> xr.Dataset:
    """Return the structures that one choice asks for."""
    built = nested(ragged.dataset.attrs.get("atomic_energies", "null"))
    rest = choice.conditions
    found = chosen(rest, DatasetTable(ragged.dataset), FreeAtoms.of_build(built)) if rest else None
    if choice.sample is not None:
        store, rows = rows_of_store(ragged.dataset, _KEEP_STORE)
        among = rows if found is None else rows[found]
        places = choice.sample.picks(store, among).positions
        found = places if found is None else found[places]
    n = ragged.n_structures
    return ragged.cut(slice(0, n) if found is None else picked(found, n))
