"""Open what is stored beside the fields of a store, for the structures of a Dataset: features and splits."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from zstruct.explore.arrays import StoredRows, lazy
from zstruct.explore.attributes import flat
from zstruct.explore.chunks import chunked, token_of
from zstruct.explore.origin import rows_of_store, store_of
from zstruct.features.groups import FeatureGroup, open_group
from zstruct.ragged import chosen_rows
from zstruct.schema import ATOM, STRUCTURE
from zstruct.store.spec import OWN
from zstruct.store.splits import open_part, open_split

__all__ = ["in_part", "open_features", "split_labels"]

_KEEP_FEATURES = "take the features from it and keep them: ds = ds.assign(name=ds.zs.features(name))"


def open_features(dataset: xr.Dataset, name: str) -> xr.DataArray:
    """Return stored features of the store that a Dataset came from, lazily.

    Parameters
    ----------
    dataset
        What `open` returned, or a part of it.
    name
        The name that the features were given.

    Returns
    -------
    xarray.DataArray
        Shape (atom, feature), for every atom of the store; of those that were added, also (structure,
        feature) or (row, feature), for the structures of the Dataset.

    Raises
    ------
    InputError
        If the Dataset does not know its store, if that was built anew since, or if it has no
        features of that name.
    StaleGroupError
        If they were computed from other content than the store has now.
    """
    store = store_of(dataset, _KEEP_FEATURES)
    group = open_group(store, "features", name)
    values = group.array("values")
    dim = group.level
    shown = lazy((dim, "feature"), StoredRows(group.store, values), flat(group.store.array_attrs(values)))
    long = [field.name for field in store.fields.values() if field.level == dim]
    rows = {dim: max(store.grid(field).shard_rows for field in long) if long else 1}
    token = token_of(store, json.dumps(group.attrs, sort_keys=True))
    shown = chunked(shown, group.store, values, rows, token)
    names = {"feature": group.feature_names}
    described = {"descriptor": group.manifest, "statistics": group.attrs.get("statistics")}
    if group.is_external and "description" in group.attrs:
        described["description"] = group.attrs["description"]
    found = xr.DataArray(shown, names, name=name, attrs=flat(described))
    return found if dim == ATOM else _of_structures(dataset, group, found)


def _of_structures(dataset: xr.Dataset, group: FeatureGroup, found: xr.DataArray) -> xr.DataArray:
    """Return what a store has for all structures, for those of a Dataset."""
    _, structures = rows_of_store(dataset, _KEEP_FEATURES)
    if group.level == STRUCTURE:
        return found.isel({STRUCTURE: structures}).assign_coords({STRUCTURE: dataset.coords[STRUCTURE]})
    offsets = group.store.read(group.array("offsets"))
    rows, counts = chosen_rows(offsets, structures)
    return found.isel({OWN: rows}).assign_coords({STRUCTURE: (OWN, np.repeat(structures, counts))})


def split_labels(dataset: xr.Dataset, name: str) -> NDArray[np.object_]:
    """Return the part of each structure of a Dataset in a split of its store; NaN for none.

    Parameters
    ----------
    dataset
        What `open` returned, or any selection of its structures.
    name
        The name that the split was given.

    Raises
    ------
    InputError
        If there is no such split, if the Dataset does not know its store or which structures it has,
        or if the store was built anew since.
    StaleGroupError
        If the split was drawn for other content than the store has now.
    """
    store, rows = rows_of_store(dataset)
    parts = open_split(store, name)
    labels = np.array([*parts.labels, np.nan], dtype=object)  # code -1 finds the last
    return labels[parts.codes[rows]]


def in_part(dataset: xr.Dataset, name: str, label: str) -> NDArray[np.bool_]:
    """Return which structures of a Dataset are in a part of a split of its store.

    Raises
    ------
    InputError, StaleGroupError
        As for `split_labels`, and if the split has no such part.
    """
    store, rows = rows_of_store(dataset)
    return open_part(store, name, label)[rows]
