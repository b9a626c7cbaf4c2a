"""Labels beside a store's own as variables: for the structures of a Dataset, and their atoms."""

from __future__ import annotations

import numpy as np
import xarray as xr

from zstruct.explore.arrays import StoredRows, StoredTexts, lazy
from zstruct.explore.attributes import flat
from zstruct.explore.chunks import chunked, token_of
from zstruct.explore.origin import rows_of_store
from zstruct.explore.selection import of_store
from zstruct.schema import ATOM, LABELS, STRUCTURE
from zstruct.store.labels import Labels, open_labels
from zstruct.store.spec import FAILURE

__all__ = ["open_label_variables"]


def open_label_variables(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """Return labels of the structures of a Dataset, and of their atoms, lazily.

    Parameters
    ----------
    dataset
        What `open` returned, or any selection of its structures.
    name
        The name that the labels were given.

    Raises
    ------
    InputError
        If there are no such labels, if the Dataset does not know its store, its structures or its atoms, or
        if the store was built anew since.
    StaleGroupError
        If they were made for other content than the store has now.
    """
    store, structures = rows_of_store(
        dataset, "take the labels from it and keep them: ds = ds.assign(name=ds.zs.labels(name).energy)"
    )
    labels = open_labels(store, name)
    shards: dict[str, int] = {
        ATOM: max(
            (store.grid(n).shard_rows for n, row in store.fields.items() if row.level == ATOM), default=1
        )
    }
    found = {}
    for column in labels.columns.values():
        path = labels.array(column.name)
        attrs = flat(labels.store.array_attrs(path))
        rows = StoredRows(labels.store, path, hold=column.level != ATOM)
        variable = lazy(column.dims, rows, attrs)
        if column.level == ATOM:
            token = token_of(store, labels.digest)
            whole = xr.DataArray(chunked(variable, labels.store, path, shards, token), name=column.name)
            found[column.name] = of_store(dataset, whole).variable
        else:
            found[column.name] = _picked(variable, structures)
    if labels.has_failures:
        texts = StoredTexts(labels.store, FAILURE, hold=True, group=labels.path)
        said = flat(labels.store.array_attrs(f"{labels.path}/{FAILURE}"))
        found[FAILURE] = _picked(lazy((STRUCTURE,), texts, said), structures)
    dims = {dim for variable in found.values() for dim in variable.dims}
    coords = {
        n: c
        for n, c in dataset.coords.items()
        if set(c.dims) <= dims and (STRUCTURE in c.dims or ATOM in c.dims)
    }
    coords |= {dim: (dim, np.array(texts, object)) for dim, texts in LABELS.items() if dim in dims}
    return xr.Dataset(found, coords, _attrs(labels))


def _picked(variable: xr.Variable, structures: np.ndarray) -> xr.Variable:
    """Return rows of structures; all of them as they are."""
    if len(structures) == variable.sizes[STRUCTURE] and np.array_equal(
        structures, np.arange(len(structures))
    ):
        return variable
    return variable.isel({STRUCTURE: structures})


def _attrs(labels: Labels) -> dict[str, object]:
    said = {"labels": labels.name, "manifest": labels.manifest}
    if labels.description is not None:
        said["description"] = labels.description
    return flat(said)
