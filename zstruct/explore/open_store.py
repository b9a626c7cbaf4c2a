"""Open a store as a Dataset: rows are read when used, codes shown as their texts.

Nothing but metadata is read here. It does not know what people do with the Dataset; that is the
accessor's business.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.indexes import PandasIndex

from zstruct.arguments import shown
from zstruct.errors import InputError
from zstruct.explore.arrays import StoredFormulas, StoredRows, StoredTexts, lazy
from zstruct.explore.attributes import flat, of_dataset
from zstruct.explore.chunks import chunked, token_of
from zstruct.keywords import keywords
from zstruct.query import Selection
from zstruct.schema import ATOM, FIELDS, LABELS, STRUCTURE, Field
from zstruct.store.store import Store

__all__ = ["FORMULA", "open"]

Chunks = str | int | Mapping[Any, Any] | None

#: What formulas of zstruct are described as, so that a property of that name is not taken for them.
FORMULA = FIELDS["formula"].description

_OFFSETS = "first row of the structure in arrays over atoms, which has n_atoms rows there"
_STRUCTURE = "row of the structure in its store"


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


def _common_rows(store: Store, columns: Mapping[str, Field]) -> dict[str, int]:
    """Return the rows that chunks of all arrays along a dimension should have."""
    rows: dict[str, int] = {}
    for name, field in columns.items():
        rows[field.level] = max(rows.get(field.level, 1), store.grid(name).shard_rows)
    return rows


def _lasting(path: str) -> str:
    """Return a path that holds when the working directory changes; a URL as it is."""
    return os.path.abspath(path) if os.path.exists(path) else path
