"""Open a store as a Dataset: rows are read when used, codes shown as their texts.

Nothing but metadata is read here. It does not know what people do with the Dataset; that is the
accessor's business.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from xarray.indexes import PandasIndex

from zstruct.arguments import shown
from zstruct.errors import InputError
from zstruct.explore.arrays import StoredFormulas, StoredRows, StoredTexts, lazy
from zstruct.explore.attributes import flat, of_dataset
from zstruct.features.groups import FeatureGroup, open_group
from zstruct.keywords import keywords
from zstruct.query import Selection
from zstruct.ragged import chosen_rows
from zstruct.schema import ATOM, FIELDS, LABELS, STRUCTURE, Field
from zstruct.splits.storage import open_part, open_split
from zstruct.store.spec import OWN
from zstruct.store.store import Store

__all__ = [
    "FORMULA",
    "in_part",
    "open",
    "open_features",
    "open_labels",
    "rows_of_store",
    "store_of",
]

Chunks = str | int | Mapping[Any, Any] | None

#: What formulas of zstruct are described as, so that a property of that name is not taken for them.
FORMULA = FIELDS["formula"].description

_OFFSETS = "first row of the structure in arrays over atoms, which has n_atoms rows there"
_STRUCTURE = "row of the structure in its store"
_KEEP_FEATURES = "take the features from it and keep them: ds = ds.assign(name=ds.zs.features(name))"
_KEEP_SPLIT = "keep the labels in it: ds = ds.assign_coords(split=ds.zs.split())"
_CHUNK_BYTES = 1 << 27  # a dask chunk of wide rows stays below this, if its shards do


@keywords()
def open(
    path: str | os.PathLike[str] | Store,
    chunks: Chunks = ATOM,
    *,
    select: str | Selection | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Open a store as an `xarray.Dataset`; arrays are read when they are used.

    Variables are those of the store. Those over structures are read by xarray itself when they are used,
    and held from then on, as `xarray.open_dataset` does it; those over atoms are dask arrays whose
    chunks are whole shards.

    What says which structure it is, is a coordinate: ``structure`` (its row in the store, an index that
    stays with it through every selection), ``n_atoms``, ``formula``, ``source``, ``frame``, the author's
    group labels (``config_type``, ``head``), and ``has_<field>`` for fields that can't hold a missing value.
    So are the ``numbers`` of atoms: ``ds.forces.groupby("numbers")``, ``ds.forces[ds.numbers == 6]``.
    Coordinates go along through arithmetic and are left as they are by ``where``; they are never dask
    arrays, by which xarray can neither group nor select. Atoms of structure i are
    the rows ``offsets[i] : offsets[i] + n_atoms[i]``, whatever was selected or sorted. The accessor
    ``ds.zs`` uses them.

    Labels are text; a missing one is NaN, xarray's own mark, so ``isnull()`` finds it and ``groupby``
    passes over it. Formulas are those of the store, or computed from the atoms when they are used.

    Attributes are those of the store; what is nested is JSON text, so that any file can carry it.

    Parameters
    ----------
    path
        A store: a directory, or any URL that zarr can open.
    chunks
        Which variables are dask arrays. ``"atom"``: as above. None: none. ``{}``: all, in chunks of whole
        shards. Anything else as in `xarray.Dataset.chunk`: a number of rows, a mapping of dimensions
        to those, or ``"auto"``.
    select
        An expression that holds for the structures to have, as for ``ds.zs.select``: ``"Ti and fmax < 10"``.
        Or a `Selection` of them.
        What it names is read at once.
    storage_options
        Of a URL, for fsspec: keys, endpoints and the like.

    Returns
    -------
    xarray.Dataset
        With dimensions ``structure`` and ``atom`` and those of the fields, and labels for
        ``xyz`` (x, y, z), ``cell_vector`` (a, b, c) and ``voigt`` (xx, yy, zz, yz, xz, xy).

    Raises
    ------
    StoreAccessError
        If it can't be reached: no connection, no permission, no credentials.
    TypeError
        If `path` is not one path, or `chunks` is none of these.
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
    if not isinstance(path, str | os.PathLike | Store):
        raise TypeError(_no_path(path))
    _check_chunks(chunks)
    store = Store.of(path, storage_options)
    store.check_complete()
    columns = store.columns
    labels = _labels_of(columns)
    shown = _Shown(store, token_of(store, store.digest), _common_rows(store, columns), labels, chunks)
    variables = {name: shown.variable(field) for name, field in columns.items()}
    variables["n_atoms"] = shown.held("n_atoms", store.array_attrs("n_atoms"))
    variables["offsets"] = shown.held("offsets", {"long_name": _OFFSETS})
    if "formula" not in variables and "numbers" in variables:
        said = {"long_name": FORMULA, "kind": "category", "rotates": "scalar"}
        variables["formula"] = lazy((STRUCTURE,), StoredFormulas(store), said)
    dims = {dim for variable in variables.values() for dim in variable.dims}
    coords = _numbered(store.n_structures)
    # Texts of any length: those of a fixed one have no place in the Zarr specification yet.
    coords.update({dim: np.array(texts, object) for dim, texts in LABELS.items() if dim in dims})
    coords.update({name: variables.pop(name) for name in labels if name in variables})
    dataset = xr.Dataset(variables, coords, of_dataset(store.attrs))
    dataset.encoding |= {"source": _lasting(store.path), "digest": store.digest}
    if store.storage_options:
        dataset.encoding["storage_options"] = store.storage_options
    whole = _rechunked(dataset, chunks)
    return whole if select is None else whole.zs.select(select)


def _no_path(path: Any) -> str:
    if isinstance(path, list | tuple | set):
        return (
            f"open takes one path, not a {type(path).__name__}; build one store of several with "
            "zstruct.build([a, b], out), or open each and put their tables of structures together: "
            'xarray.concat([x.drop_dims("atom") for x in (a, b)], "structure")'
        )
    if isinstance(path, xr.Dataset):
        return "open takes the path of a store, not a Dataset, which is open already"
    return f"open takes the path of a store, not {path!r}"


def _check_chunks(chunks: Any) -> None:
    known = chunks is None or chunks in (ATOM, "auto") if isinstance(chunks, str | None) else True
    if not known or isinstance(chunks, bool) or not isinstance(chunks, str | int | Mapping | None):
        raise TypeError(
            'chunks is "atom", None, "auto", a number of rows or a mapping of dimensions to such, '
            f"not {chunks!r}"
        )


def _numbered(n: int) -> xr.Coordinates:
    """Return the coordinate ``structure``: an index of rows, which takes no memory."""
    index = PandasIndex(pd.RangeIndex(n, name=STRUCTURE), STRUCTURE)
    variables = index.create_variables()
    variables[STRUCTURE].attrs["long_name"] = _STRUCTURE
    return xr.Coordinates(variables, {STRUCTURE: index})


def _labels_of(columns: Mapping[str, Field]) -> list[str]:
    """Return the variables that say which structure it is, or what is known of it: coordinates."""
    own = ["n_atoms", "offsets", "formula", "source", "frame", "numbers"]
    structures = [field for field in columns.values() if field.dims == (STRUCTURE,)]
    texts = [field.name for field in structures if field.kind == "category"]
    masks = [field.name for field in structures if field.name.startswith("has_")]
    return list(dict.fromkeys([*own, *texts, *masks]))


def _rechunked(dataset: xr.Dataset, chunks: Chunks) -> xr.Dataset:
    """Return the Dataset with the chunks that were asked for; coordinates have none."""
    if chunks is None or chunks == ATOM or chunks == {}:
        return dataset
    bare = dataset.drop_vars(list(dataset.coords))
    if chunks == "auto":  # dask can't tell how large texts are
        bare = bare.drop_vars([name for name, v in bare.variables.items() if v.dtype == object])
    try:
        return dataset.assign(bare.chunk(chunks).data_vars)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"the Dataset can't have chunks={shown(chunks)}: {error}") from error


class _Shown:
    """How arrays of a store are shown."""

    def __init__(
        self, store: Store, token: str, rows: Mapping[str, int], labels: Sequence[str], chunks: Chunks
    ):
        self._store, self._token, self._rows, self._labels = store, token, rows, labels
        self._chunks = chunks

    def variable(self, field: Field) -> xr.Variable:
        """Return a field, or who has it."""
        attrs = flat(self._store.array_attrs(field.name))
        hold = not self._is_chunked(field)
        array: StoredTexts | StoredRows
        if field.kind == "category":
            array = StoredTexts(self._store, field.name, hold=hold)
        else:
            array = StoredRows(self._store, field.name, hold=hold)
        if hold:
            return lazy(field.dims, array, attrs)
        return chunked(lazy(field.dims, array, attrs), self._store, field.name, self._rows, self._token)

    def _is_chunked(self, field: Field) -> bool:
        if self._chunks is None or field.name in self._labels:
            return False
        return field.level == ATOM or self._chunks != ATOM

    def held(self, name: str, attrs: Mapping[str, Any]) -> xr.Variable:
        """Return an array with a row for each structure."""
        array = StoredRows(self._store, name, self._store.n_structures, hold=True)
        return lazy((STRUCTURE,), array, flat(attrs))


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


def open_labels(dataset: xr.Dataset, name: str) -> NDArray[np.object_]:
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
        As for `open_labels`, and if the split has no such part.
    """
    store, rows = rows_of_store(dataset)
    return open_part(store, name, label)[rows]


def rows_of_store(dataset: xr.Dataset, instead: str = _KEEP_SPLIT) -> tuple[Store, NDArray[np.int64]]:
    """Return the store of a Dataset, and which of its structures the Dataset has.

    Parameters
    ----------
    dataset, instead
        As for `store_of`.

    Raises
    ------
    InputError
        If the Dataset does not know it, or if the store has other content by now.
    """
    store = store_of(dataset, instead)
    index = dataset.indexes.get(STRUCTURE)
    if index is None:
        raise InputError(
            f"this Dataset has no coordinate structure, which says what rows of {store.path} it has"
        )
    return store, index.to_numpy()


def store_of(dataset: xr.Dataset, instead: str) -> Store:
    """Return the store that a Dataset came from, as it was.

    Parameters
    ----------
    dataset
        What `open` returned, or a part of it.
    instead
        What to do where it does not know its store, for the message.

    Raises
    ------
    InputError
        If it does not know it, or the store has other content by now.
    """
    path = dataset.encoding.get("source")
    if path is None:
        raise InputError(
            "this Dataset no longer knows its store; go back to the one that zstruct.open returned, "
            f"{instead}"
        )
    store = Store(path, dataset.encoding.get("storage_options"))
    if store.digest != dataset.encoding.get("digest"):
        raise InputError(f"{path} has other content than when it was opened; open it again")
    return store


def token_of(store: Store, content: str) -> str:
    """Return what names the dask arrays of some content of a store, a text that tells it from others."""
    return hashlib.sha256(
        f"{os.path.abspath(store.path)} {content}".encode("utf-8", "surrogateescape")
    ).hexdigest()[:16]


def _common_rows(store: Store, columns: Mapping[str, Field]) -> dict[str, int]:
    """Return the rows that chunks of all arrays along a dimension should have."""
    rows: dict[str, int] = {}
    for name, field in columns.items():
        rows[field.level] = max(rows.get(field.level, 1), store.grid(name).shard_rows)
    return rows


def chunked(shown: xr.Variable, store: Store, name: str, rows: Mapping[str, int], token: str) -> xr.Variable:
    """Return a variable as a dask array with chunks of whole shards.

    Parameters
    ----------
    shown
        The variable.
    store, name
        Where its rows are.
    rows
        Rows that chunks of all arrays along a dimension should have, by dimension.
    token
        As `token_of` returns it.
    """
    dim, shard = str(shown.dims[0]), store.grid(name).shard_rows
    shard_bytes = shard * shown.dtype.itemsize * int(np.prod(shown.shape[1:], dtype=int))
    n_shards = max(1, min(-(-rows[dim] // shard), _CHUNK_BYTES // max(1, shard_bytes)))
    return shown.chunk({dim: n_shards * shard}, name=f"{name}-{token}", lock=False, inline_array=True)


def _lasting(path: str) -> str:
    """Return a path that holds when the working directory changes; a URL as it is."""
    return os.path.abspath(path) if os.path.exists(path) else path
