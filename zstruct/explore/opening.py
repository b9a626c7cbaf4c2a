"""Open a store as a lazy Dataset: dask chunks made of whole shards, codes shown as their texts.

Nothing but metadata is read here. It does not know what people do with the Dataset; that is the
accessor's business.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from zstruct.access import refused
from zstruct.errors import CorruptStoreError, InputError
from zstruct.features.groups import open_group
from zstruct.schema import ATOM, STRUCTURE
from zstruct.store import Store

__all__ = ["open", "open_features"]

_LABELS = {
    "xyz": ["x", "y", "z"],
    "xyz_2": ["x", "y", "z"],
    "cell_vector": ["a", "b", "c"],
    "voigt": ["xx", "yy", "zz", "yz", "xz", "xy"],
}
_OFFSETS = "first row of the structure in arrays over atoms, which has n_atoms rows there"
_EDGE = "structure_edge"
_CHUNK_BYTES = 1 << 27  # a dask chunk of wide rows stays below this, if its shards do


def open(
    path: str | os.PathLike[str] | Store, *, storage_options: Mapping[str, Any] | None = None
) -> xr.Dataset:
    """Open a store as an `xarray.Dataset`; arrays are read when they are used.

    Variables are those of the store. Numbers are dask arrays whose chunks are whole shards. Group
    labels (``config_type``, ``head``, ``source`` ...) are text; a missing one is NaN, xarray's own
    mark, so ``isnull()`` finds it and ``groupby`` passes over it. Texts of structures are decoded when used,
    without dask, so that ``groupby`` takes them as they are. Atoms of structure i are the rows
    ``offsets[i] : offsets[i] + n_atoms[i]``; both are variables over structures, so they stay right
    through any selection or sorting of structures. The accessor ``ds.zs`` uses them.

    Attributes are those of the store.

    Parameters
    ----------
    path
        A store: a directory, or any URL that zarr can open.
    storage_options
        Of a URL, for fsspec: keys, endpoints and the like.

    Returns
    -------
    xarray.Dataset
        With dimensions ``structure`` and ``atom`` and those of the fields, and labels for
        ``xyz`` (x, y, z), ``cell_vector`` (a, b, c) and ``voigt`` (xx, yy, zz, yz, xz, xy).

    Raises
    ------
    StoreFormatError
        If there is no zstruct store at `path`, if it is unfinished, or if its version is newer.
    MissingExtraError
        If the URL needs a package that is not installed.
    CorruptStoreError
        If a file of it is missing.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> out = tempfile.mkdtemp() + "/water.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")] * 2, out, progress=False)
    >>> ds = zstruct.open(out)
    >>> dict(ds.sizes)["atom"], ds.n_atoms.values
    (6, array([3, 3], dtype=int32))
    """
    store = Store.of(path, storage_options)
    store.check_complete()
    raw = _raw(store)
    token = _token(store, store.digest)
    rows = _common_rows(store, raw)
    variables = {}
    for name in [*store.fields, *(n for n in raw.variables if n not in store.fields)]:
        lazy = raw.variables[name]
        field = store.fields.get(str(name))
        if field is not None and field.kind == "category":
            lazy = xr.Variable(
                lazy.dims, indexing.LazilyIndexedArray(_Texts(lazy, store, field.name)), lazy.attrs
            )
            if field.level == STRUCTURE:
                variables[name] = lazy
                continue
        else:
            checked = _Checked(lazy, store.path, str(name))
            lazy = xr.Variable(lazy.dims, indexing.LazilyIndexedArray(checked), lazy.attrs)
        variables[name] = _chunked(lazy, store, str(name), rows, token)
    edges = variables.pop("offsets").isel({_EDGE: slice(0, -1)})
    variables["offsets"] = xr.Variable((STRUCTURE,), edges.data, {"long_name": _OFFSETS})
    dims = {dim for variable in variables.values() for dim in variable.dims}
    labels = {dim: texts for dim, texts in _LABELS.items() if dim in dims}
    dataset = xr.Dataset(variables, labels, raw.attrs)
    dataset.encoding |= {"source": _lasting(store.path), "digest": store.digest}
    if store.storage_options:
        dataset.encoding["storage_options"] = store.storage_options
    return dataset


def open_features(dataset: xr.Dataset, name: str) -> xr.DataArray:
    """Return stored features of all atoms of the store that a Dataset came from, lazily.

    Parameters
    ----------
    dataset
        What `open` returned, or a part of it.
    name
        The name that the features were given.

    Returns
    -------
    xarray.DataArray
        Shape (atom, feature), for every atom of the store.

    Raises
    ------
    InputError
        If the Dataset does not know its store, if that was built anew since, or if it has no
        features of that name.
    StaleGroupError
        If they were computed from other content than the store has now.
    """
    path = dataset.encoding.get("source")
    if path is None:
        raise InputError(
            "this Dataset no longer knows its store; take the features from the one that zstruct.open "
            "returned and keep them in it: ds = ds.assign(name=ds.zs.features('name'))"
        )
    store = Store(path, dataset.encoding.get("storage_options"))
    if store.digest != dataset.encoding.get("digest"):
        raise InputError(f"{path} has other content than when it was opened; open it again")
    group = open_group(store, "features", name)
    raw = _raw(store, group=group.path, consolidated=False)
    values = group.array("values")
    lazy = raw.variables["values"]
    lazy = xr.Variable(lazy.dims, indexing.LazilyIndexedArray(_Checked(lazy, path, values)), lazy.attrs)
    long = [field.name for field in store.fields.values() if field.level == ATOM]
    rows: dict[str, int] = {ATOM: max(store.layout(field).shard_rows for field in long)}
    token = _token(store, json.dumps(group.attrs, sort_keys=True))
    chunked = _chunked(lazy, store, values, rows, token)
    names = {"feature": group.feature_names}
    described = {"descriptor": group.manifest, "statistics": group.attrs.get("statistics")}
    return xr.DataArray(chunked, names, name=name, attrs=described)


def _raw(store: Store, **options: Any) -> xr.Dataset:
    """Return what xarray itself makes of a store or a group of it."""
    return xr.open_dataset(
        store.path,
        engine="zarr",
        chunks=None,
        cache=False,
        decode_cf=False,
        storage_options=store.storage_options,
        **options,
    )


def _token(store: Store, content: str) -> str:
    """Return what names the dask arrays of some content of a store."""
    return hashlib.sha256(f"{os.path.abspath(store.path)} {content}".encode()).hexdigest()[:16]


def _common_rows(store: Store, raw: xr.Dataset) -> dict[str, int]:
    """Return the rows that chunks of all arrays along a dimension should have."""
    rows: dict[str, int] = {}
    for name, variable in raw.variables.items():
        if variable.dims:
            dim = str(variable.dims[0])
            rows[dim] = max(rows.get(dim, 1), store.layout(str(name)).shard_rows)
    return rows


def _chunked(lazy: xr.Variable, store: Store, name: str, rows: dict[str, int], token: str) -> xr.Variable:
    """Return a variable as a dask array with chunks of whole shards."""
    if not lazy.dims:
        return lazy
    dim, shard = str(lazy.dims[0]), store.layout(name).shard_rows
    shard_bytes = shard * lazy.dtype.itemsize * int(np.prod(lazy.shape[1:], dtype=int))
    n_shards = max(1, min(-(-rows[dim] // shard), _CHUNK_BYTES // max(1, shard_bytes)))
    return lazy.chunk({dim: n_shards * shard}, name=f"{name}-{token}", lock=False, inline_array=True)


def _lasting(path: str) -> str:
    """Return a path that holds when the working directory changes; a URL as it is."""
    return os.path.abspath(path) if os.path.exists(path) else path


class _Checked(BackendArray):
    """An array of the store; damage is reported with the name of the store and the array."""

    def __init__(self, rows: xr.Variable, path: str, name: str):
        self.shape, self.dtype = rows.shape, rows.dtype
        self._rows, self._path, self._name = rows, path, name

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.BASIC
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._read)

    def _read(self, key: tuple[Any, ...]) -> Any:
        try:
            return self._rows[key].to_numpy()
        except (ValueError, RuntimeError, OSError) as error:
            raise refused(self._path, error) or CorruptStoreError(
                f"{self._path}: {self._name} can't be decoded ({error}); "
                "restore the store from a copy or build it again"
            ) from error


class _Texts(BackendArray):
    """The texts of a category field, decoded from their codes when indexed."""

    def __init__(self, codes: xr.Variable, store: Store, name: str):
        self.shape, self.dtype = codes.shape, np.dtype(object)
        self._codes, self._store, self._name = codes, store, name
        self._table: np.ndarray | None = None

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.BASIC
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._decode)

    def _decode(self, key: tuple[Any, ...]) -> Any:
        if self._table is None:
            texts = [*self._store.categories(self._name), np.nan]  # code -1 finds the last
            self._table = np.array(texts, dtype=object)
        return self._table[self._codes[key].to_numpy()]
