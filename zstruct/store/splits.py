"""Splits in a store: the groups ``splits/<name>``, written and read again."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError, StoreExistsError
from zstruct.keywords import keywords
from zstruct.schema import STRUCTURE
from zstruct.store.chunks import choose_grid
from zstruct.store.groups import keep, require_group
from zstruct.store.spec import ArraySpec
from zstruct.store.split_parts import Split
from zstruct.store.store import Store

__all__ = ["check_folds", "keep_split", "open_part", "open_split"]


_KIND = "splits"


def check_folds(
    opened: Store, rows: NDArray[np.int64], made: Sequence[Split], name: str, overwrite: bool
) -> None:
    """Refuse to write folds, before any is written, where those of another call would be among them."""
    there = opened.again().group_names(_KIND)
    more = [x for x in there if re.fullmatch(re.escape(name) + r"-\d+", x) and _fold_of(x) >= len(made)]
    if more:
        raise StoreExistsError(
            f"{opened.path} has {', '.join(more)}, of more folds than {len(made)}, and they would stay "
            "there: choose another name"
        )
    for fold, parts in enumerate(made):
        if f"{name}-{fold}" in there and not overwrite:
            kept = opened.read(f"{_KIND}/{name}-{fold}/codes")
            if not np.array_equal(kept, _codes(opened, rows, parts)):
                raise StoreExistsError(
                    f"{opened.path} has another split '{name}-{fold}' already; pass overwrite=True to "
                    "replace it, or another name"
                )


def _fold_of(name: str) -> int:
    return int(name.rpartition("-")[2])


@keywords()
def open_split(
    store: str | os.PathLike[str] | Store,
    name: str = "default",
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> Split:
    """Return a split that is kept in a store.

    Parameters
    ----------
    store
        A store or its path.
    name
        The name it was given by `split`.
    storage_options
        Of a store that is given as a URL, for fsspec: keys, endpoints and the like.

    Returns
    -------
    Split
        Its indices are those of structures of the store.

    Raises
    ------
    InputError
        If there is no such split; names those that there are.
    StaleGroupError
        If it was drawn for other content than the store has now.
    StoreFormatError
        If it was written by a newer zstruct.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/water.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")] * 4, path, progress=False)
    >>> parts = zstruct.split(path, {"train": [0, 3], "val": [1]}, name="mine")
    >>> zstruct.open_split(path, "mine")["train"]
    array([0, 3])
    """
    opened, attrs = require_group(Store.of(store, storage_options), _KIND, name, "split", "zstruct.split")
    return Split(tuple(attrs["labels"]), opened.read(f"{_KIND}/{name}/codes"), attrs["recipe"])


def open_part(store: Store, name: str, label: str) -> NDArray[np.bool_]:
    """Return which structures of a store are in a part of a split that is kept in it, shape (n,).

    Raises
    ------
    InputError
        If there is no such split, or it has no such part.
    StaleGroupError, StoreFormatError
        As for `open_split`.
    """
    try:
        found = open_split(store, name)
        if label not in found.labels:
            raise InputError(
                f"the split {name!r} of {store.path} has no part {label!r}; it has {', '.join(found.labels)}"
            )
    except InputError as error:
        if re.search("[<>=]", label):
            raise InputError(f"{error}; an expression is given as select={label!r}") from None
        raise
    inside: NDArray[np.bool_] = found.codes == found.labels.index(label)
    return inside


def keep_split(opened: Store, rows: NDArray[np.int64], parts: Split, name: str, overwrite: bool) -> None:
    """Write a split into its store, unless it is there."""
    codes = _codes(opened, rows, parts)
    grid = choose_grid(len(codes), 1, STRUCTURE)
    said = {"long_name": "place of the structure's part in labels, -1 for none"}
    spec = ArraySpec("codes", (STRUCTURE,), codes.shape, "int8", said, -1, grid)
    attrs = {"labels": list(parts.labels), "recipe": parts.recipe}
    keep(opened, _KIND, name, "split", attrs, [(spec, codes)], overwrite)


def _codes(opened: Store, rows: NDArray[np.int64], parts: Split) -> NDArray[np.int8]:
    """Return the code of every structure of a store, of which some were split."""
    codes = np.full(opened.n_structures, -1, dtype=np.int8)
    codes[rows] = parts.codes
    return codes
