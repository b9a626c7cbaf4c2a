"""Write the structures of a Dataset into a store of their own, from the store that they are in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.explore.origin import rows_of_store
from zstruct.explore.ragged_dataset import RaggedDataset
from zstruct.explore.selection import rows_of
from zstruct.ragged import segment_ranges
from zstruct.schema import ATOM, STRUCTURE
from zstruct.store.scattered import read_scattered, read_segments
from zstruct.store.store import Store

if TYPE_CHECKING:
    from zstruct.building.report import BuildReport

__all__ = ["write_store"]

_PIECE_ROWS = 1 << 18  # compared together
_OWN = ("offsets", "n_atoms", "formula", "source", "frame", STRUCTURE)


def write_store(
    ragged: RaggedDataset,
    out: str | os.PathLike[str],
    *,
    encoding: Any = None,
    overwrite: bool = False,
    resume: bool = True,
    workers: Any = None,
    progress: bool = True,
) -> BuildReport:
    """Write the structures of a Dataset into a store of their own.

    Parameters
    ----------
    ragged
        The Dataset.
    out
        The store to make, a local directory.
    encoding, overwrite, resume, workers, progress
        As for `zstruct.build`.

    Returns
    -------
    BuildReport
        Counts, species, coverage of fields.

    Raises
    ------
    InputError
        If the Dataset no longer knows its store or its structures, or has variables that are not the store's.
    StoreExistsError, BuildLockedError
        If the target may not be replaced, or is being built by another process.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> folder = tempfile.mkdtemp()
    >>> molecules = [ase.build.molecule(name) for name in ("H2O", "CO2", "CH4")]
    >>> report = zstruct.build(molecules, f"{folder}/all.zarr", progress=False)
    >>> ds = zstruct.open(f"{folder}/all.zarr")
    >>> ds.zs.select("C").zs.write(f"{folder}/cut.zarr", progress=False).n_structures
    2
    """
    from zstruct.building.build import build
    from zstruct.sources.store.source import StoreSource

    dataset = ragged.dataset
    store, rows = rows_of_store(dataset)
    if not len(rows):
        raise InputError("this Dataset has no structure, and a store has at least one")
    lost = [name for name in ("numbers", "positions") if name not in dataset.variables]
    if lost:
        raise InputError(f"this Dataset has lost {' and '.join(lost)}, without which there is no structure")
    _refuse_others(ragged, store, rows)
    gone = [name for name in store.fields if name not in dataset.variables and name not in _OWN]
    return build(
        StoreSource(store, chosen=rows),
        out,
        exclude=gone,
        encoding=encoding,
        overwrite=overwrite,
        resume=resume,
        workers=workers,
        progress=progress,
    )


def _refuse_others(ragged: RaggedDataset, store: Store, rows: NDArray[np.int64]) -> None:
    """Raise if there is a variable that the store has not, or has with other values."""
    dataset = ragged.dataset
    over = [n for n, v in dataset.variables.items() if {STRUCTURE, ATOM} & set(v.dims) and n not in _OWN]
    added = [str(name) for name in over if name not in store.columns]
    if added:
        raise InputError(
            f"the store {store.path} has no {' and no '.join(added)}, which can't be written: leave them out "
            f"with ds.drop_vars({added})"
        )
    order = np.argsort(rows, kind="stable")
    for name in map(str, over):
        if not _is_same(ragged, store, name, rows, order):
            raise InputError(
                f"{name} is not what the store {store.path} has: what was changed in memory is not written; "
                f"leave it out with ds.drop_vars({name!r}), or build a store of ds.zs.to_ase()"
            )


def _is_same(
    ragged: RaggedDataset, store: Store, name: str, rows: NDArray[np.int64], order: NDArray[np.int64]
) -> bool:
    """Return whether a variable has the values of the store."""
    variable: xr.Variable = ragged.dataset.variables[name]
    field = store.columns[name]
    texts = np.array([*store.categories(name), np.nan], dtype=object) if field.kind == "category" else None
    if variable.dims != field.dims or (texts is None and variable.dtype != field.dtype):
        return False
    if field.level != ATOM:
        values = variable.to_numpy()[order]
        return _equal(values, read_scattered(store, name, rows[order]), texts)
    starts, counts = ragged.segments()
    edges = np.concatenate([[0], np.cumsum(counts[order])])
    first = store.read("offsets")[rows[order]]
    for a, b in segment_ranges(edges, _PIECE_ROWS):
        some = order[a:b]
        values = variable.isel({ATOM: rows_of(starts[some], counts[some])}).to_numpy()
        if not _equal(values, read_segments(store, name, first[a:b], first[a:b] + counts[some]), texts):
            return False
    return True


def _equal(values: NDArray[Any], stored: NDArray[Any], texts: NDArray[Any] | None) -> bool:
    if texts is None:
        return np.array_equal(values, stored, equal_nan=stored.dtype.kind == "f")
    known = texts[stored]
    missing = stored < 0
    given = np.array([isinstance(text, str) for text in values.ravel()]).reshape(values.shape)
    return bool(np.array_equal(given, ~missing) and (values[given] == known[given]).all())
