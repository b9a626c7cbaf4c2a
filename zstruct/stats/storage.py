"""Statistics as groups of a store: written with what they were computed from, and read again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.keywords import keywords
from zstruct.stats.scan import Part, check_part
from zstruct.stats.summary import Statistics
from zstruct.store.chunks import choose_grid
from zstruct.store.groups import keep, require_group, understanding
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store

__all__ = ["NOUN", "keep_statistics", "open_statistics"]

_KIND, NOUN = "statistics", "set of statistics"


def keep_statistics(part: Part, found: Statistics, name: str, overwrite: bool) -> None:
    """Write statistics of a part of a store into it, unless these are there."""
    attrs = found.to_dict() | part.attrs
    norms = found.force_norms
    arrays = [
        _array("sizes", "size", found.sizes, "numbers of atoms that occur"),
        _array("size_counts", "size", found.size_counts, "structures with so many atoms"),
        _array("force_bins", "bin", norms.bins, "first 22 bits of the float64 norms of forces"),
        _array("force_bin_counts", "bin", norms.counts, "atoms with such forces"),
    ]
    keep(part.store, _KIND, name, NOUN, attrs, arrays, overwrite)


def _array(path: str, dim: str, values: NDArray[np.int64], text: str) -> tuple[ArraySpec, NDArray[Any]]:
    grid = choose_grid(len(values), 8)
    return ArraySpec(path, (dim,), values.shape, "int64", {"long_name": text}, 0, grid), values


@keywords()
def open_statistics(
    store: str | os.PathLike[str] | Store,
    name: str = "all",
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> Statistics:
    """Return statistics that are kept in a store.

    Parameters
    ----------
    store
        A store or its path.
    name
        The name they were given by `zstruct.statistics`.
    storage_options
        Of a store that is given as a URL, for fsspec: keys, endpoints and the like.

    Raises
    ------
    InputError
        If there are none of this name; names those that there are.
    StaleGroupError
        If they were computed from other content than the store has now, or from a part of a split
        that has been drawn again.
    StoreFormatError
        If they were written by a newer zstruct.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/water.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")] * 4, path, progress=False)
    >>> found = zstruct.statistics(path, name="all")
    >>> zstruct.open_statistics(path).structures
    4
    """
    opened, attrs = require_group(Store.of(store, storage_options), _KIND, name, NOUN, "zstruct.statistics")
    check_part(opened, attrs, f"{NOUN} {name!r}", "zstruct.statistics")
    arrays = ("sizes", "size_counts", "force_bins", "force_bin_counts")
    with understanding(opened, _KIND, name):
        return Statistics.from_dict(attrs, *(opened.read(f"{_KIND}/{name}/{array}") for array in arrays))
