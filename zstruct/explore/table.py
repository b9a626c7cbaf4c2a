"""Tables for pandas: a row for each structure, whatever the number of its atoms; or one for each atom."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from zstruct.arguments import check, names
from zstruct.errors import InputError, UnknownNameError
from zstruct.explore import quantities
from zstruct.explore.arguments import fields_of
from zstruct.explore.attributes import stands_for
from zstruct.explore.presence import mask_of
from zstruct.explore.ragged_dataset import RaggedDataset
from zstruct.explore.selection import rows_of
from zstruct.ragged import counts_to_offsets
from zstruct.schema import ATOM, STRUCTURE

__all__ = ["to_table"]

_COMPUTED: dict[str, Callable[[RaggedDataset], xr.DataArray]] = {
    "fmax": quantities.fmax,
    "energy_per_atom": quantities.energy_per_atom,
    "volume": quantities.volume,
    "volume_per_atom": quantities.volume_per_atom,
}


def to_table(
    ragged: RaggedDataset,
    fields: Sequence[str] | None = None,
    *,
    atoms: bool = False,
    fmax: bool = False,
    composition: bool = False,
) -> pd.DataFrame:
    """Return fields of structures as columns, or of atoms.

    Parameters
    ----------
    ragged
        The structures.
    fields
        Fields and coordinates over structures, and ``fmax``, ``energy_per_atom``, ``volume`` and
        ``volume_per_atom``. Those of several components, as ``stress``, get a
        column for each (``stress_xx``). By default all with one value a structure, and ``formula``; in a
        table of atoms, all fields over atoms. It may have fields over structures, too, which are repeated.
    atoms
        Whether to have a row for each atom, and as index the structure and the number of the atom in it.
    fmax
        Whether to add the largest force of each structure, which reads all forces.
    composition
        Whether to add the number of atoms of each element, as ``n_H``, ``n_O``, which reads all atomic
        numbers.

    Returns
    -------
    pandas.DataFrame
        With the coordinate ``structure`` as index, or ``structure`` and ``atom``. Texts are categories.
        Integers and booleans that some structures lack have pandas' own missing value, and stay exact.

    Raises
    ------
    KeyError
        If there is no such field.
    TypeError
        If `fields` is a text.
    ValueError
        If a field is over atoms, in a table of structures.
    InputError
        If the Dataset has lost `offsets` or `n_atoms`.
    """
    check(atoms=atoms, fmax=fmax, composition=composition)
    if atoms:
        if fmax or composition:
            raise InputError("fmax and composition are columns of structures: leave them out, or atoms=True")
        return _of_atoms(ragged, fields)
    table = _fields_as_columns(ragged, fields)
    if fmax:
        table["fmax"] = quantities.fmax(ragged).to_numpy()
    if composition:
        symbols, counts = ragged.composition()
        for symbol, column in zip(symbols, counts.T, strict=True):
            table[f"n_{symbol}"] = column
    return table


def _fields_as_columns(ragged: RaggedDataset, fields: Sequence[str] | None) -> pd.DataFrame:
    dataset = ragged.dataset
    usable = fields_of(dataset)
    chosen = _chosen(usable, fields, lambda: _scalars(dataset, usable), _COMPUTED)
    columns: dict[str, Any] = {}
    for name in chosen:
        if name not in usable:
            columns[name] = _COMPUTED[name](ragged).to_numpy()
            continue
        variable = dataset.variables[name]
        if variable.dims[:1] != (STRUCTURE,):
            raise ValueError(
                f'{name} has a value for each atom; reduce it first, as in ds.zs.reduce({name!r}, "mean"), '
                "or have a row for each atom, with atoms=True"
            )
        mask = mask_of(name, dataset)
        absent = None if mask is None else ~mask.to_numpy()
        for column, values in _components(name, dataset):
            columns[column] = _column(values, absent, variable.attrs.get("kind"))
    return pd.DataFrame(columns, index=_labels(dataset))


def _chosen(
    usable: Sequence[str],
    fields: Sequence[str] | None,
    default: Callable[[], list[str]],
    computed: Collection[str] = (),
) -> list[str]:
    """Return the fields that are asked for, all of which are there."""
    chosen = default() if fields is None else list(names("fields", fields))
    unknown = [name for name in chosen if name not in usable and name not in computed]
    if unknown:
        raise UnknownNameError(f"this Dataset has no field {unknown[0]!r}; it has {', '.join(usable)}")
    return chosen


def _labels(dataset: xr.Dataset) -> pd.Index:
    index = dataset.indexes.get(STRUCTURE)
    return pd.RangeIndex(dataset.sizes.get(STRUCTURE, 0), name=STRUCTURE) if index is None else index


def _of_atoms(ragged: RaggedDataset, fields: Sequence[str] | None) -> pd.DataFrame:
    """Return a table with a row for each atom, in the order of the structures."""
    dataset, usable = ragged.dataset, fields_of(ragged.dataset)
    over_atoms = [name for name in usable if dataset.variables[name].dims[0] == ATOM]
    chosen = _chosen(usable, fields, lambda: sorted(over_atoms, key=lambda name: name != "numbers"))
    starts, counts = ragged.segments()
    rows, owners = rows_of(starts, counts), np.repeat(np.arange(len(counts)), counts)
    masks = {name: mask for name in chosen if (mask := mask_of(name, dataset)) is not None}
    # Read together: what dask makes of one file it makes once.
    data = dataset[[name for name in chosen if name not in dataset.indexes]]
    part = data.drop_vars([name for name in data.coords if name not in (*chosen, *dataset.indexes)])
    part = part.isel({ATOM: rows}, missing_dims="ignore").compute()
    columns: dict[str, Any] = {}
    for name in chosen:
        each = None if dataset.variables[name].dims[0] == ATOM else owners
        absent = None if name not in masks else ~masks[name].to_numpy()[owners]
        for column, values in _components(name, part):
            kind = dataset.variables[name].attrs.get("kind")
            columns[column] = _column(values if each is None else values[each], absent, kind)
    first = counts_to_offsets(counts)[:-1]
    labels = [_labels(dataset)[owners], np.arange(len(owners)) - np.repeat(first, counts)]
    return pd.DataFrame(columns, index=pd.MultiIndex.from_arrays(labels, names=(STRUCTURE, ATOM)))


def _scalars(dataset: xr.Dataset, usable: Sequence[str]) -> list[str]:
    """Return what has one value a structure: coordinates first, as they say which one it is."""
    found = [name for name in usable if dataset.variables[name].dims == (STRUCTURE,)]
    masks = {name for name in found if "presence_of" in dataset.variables[name].attrs}
    found = [name for name in found if name != "offsets" and name not in masks]
    return sorted(found, key=lambda name: name not in dataset.coords)


def _components(name: str, dataset: xr.Dataset) -> Iterator[tuple[str, np.ndarray]]:
    values = dataset.variables[name].to_numpy()
    if values.ndim == 1:
        yield name, values
        return
    labels = [
        dataset.indexes[dim].astype(str) if dim in dataset.indexes else map(str, range(dataset.sizes[dim]))
        for dim in dataset.variables[name].dims[1:]
    ]
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    for k, words in enumerate(product(*labels)):
        yield "_".join([name, *words]), flat[:, k]


def _column(values: np.ndarray, absent: np.ndarray | None, kind: Any) -> Any:
    if values.dtype == object:
        return pd.Categorical(values)
    if absent is not None:
        return (pd.arrays.BooleanArray if values.dtype == bool else pd.arrays.IntegerArray)(values, absent)
    if stands_for(kind, values):
        missing = np.isnan(values)
        whole = np.where(missing, 0, values)
        if kind == "bool":
            return pd.arrays.BooleanArray(whole.astype(bool), missing)
        return pd.arrays.IntegerArray(whole.astype(np.int64), missing)
    return values
