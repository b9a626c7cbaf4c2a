"""Are rows those of the store, in its order? What values carry of whose they are is compared with the store.

Most values carry nothing. Tables of pandas and arrays of xarray have labels, by which a sorted or shuffled
one is known; files may have atomic numbers or sizes of structures beside the features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.features.external.rows import Counts
from zstruct.ragged import counts_to_offsets
from zstruct.schema import STRUCTURE

__all__ = ["WHOSE", "check_labels", "check_whose"]

#: Names under which files may say whose rows are: atomic numbers, and atoms of each structure.
WHOSE = dict.fromkeys(("numbers", "atomic_numbers", "Z", "z"), "numbers") | {"n_atoms": "n_atoms"}


def check_labels(values: Any) -> None:
    """Refuse a table whose labels are the numbers of its rows in another order.

    Parameters
    ----------
    values
        A table or column of pandas, an array of xarray, or anything else, which has no labels.

    Raises
    ------
    InputError
        If rows are not in order.
    """
    labels = getattr(values, "index", None)
    how = "sort it first (sort_index()), or drop the labels (reset_index(drop=True)) if they mean nothing"
    if hasattr(values, "coords"):
        labels = values.coords[STRUCTURE].values if STRUCTURE in getattr(values, "coords", ()) else None
        how = f"sort it first (sortby({STRUCTURE!r})), or give its values if the labels mean nothing"
    if labels is None or callable(labels):
        return
    found = np.asarray(labels)
    if found.ndim != 1 or found.dtype.kind not in "iu" or not len(found):
        return
    straight = np.arange(len(found))
    if np.array_equal(found, straight) or not np.array_equal(np.sort(found), straight):
        return
    k = int(np.flatnonzero(found != straight)[0])
    raise InputError(
        f"rows of the values are labelled in another order than the store's ({int(found[k])} is where {k} "
        f"should be), and go with the store by their place: {how}"
    )


def check_whose(name: str, found: NDArray[Any], counts: Counts, what: str) -> None:
    """Refuse features that are, as their file says, those of other structures, or in another order.

    Parameters
    ----------
    name
        What the file calls the array, one of `WHOSE`.
    found
        The array: atomic numbers of all atoms, or with zeros where rows of structures are filled up; or the
        sizes of structures. One of any other shape says nothing.
    counts
        Of the store.
    what
        The file, for messages.

    Raises
    ------
    InputError
        If they differ from those of the store.
    """
    if found.dtype.kind not in "iu":
        return
    if WHOSE[name] == "n_atoms":
        if found.shape != counts.n_atoms.shape:
            return
        wrong = np.flatnonzero(found != counts.n_atoms)
        where = "structure {}".format(*wrong[:1].tolist() or [0])
    else:
        padded = found.ndim == 2 and len(found) == counts.structures
        flat = found[found != 0] if padded else found
        if flat.ndim != 1 or (len(flat) != counts.atoms and not padded):
            return
        if padded and not np.array_equal((found != 0).sum(axis=1), counts.n_atoms):
            wrong = np.flatnonzero((found != 0).sum(axis=1) != counts.n_atoms)
            where = f"structure {wrong[0]}"
        else:
            wrong = np.flatnonzero(flat != counts.numbers())
            edges = counts_to_offsets(counts.n_atoms)
            where = f"structure {int(np.searchsorted(edges, wrong[0], 'right')) - 1}" if len(wrong) else ""
    if len(wrong):
        raise InputError(
            f"{what} has {name!r} beside the features, and they differ from the store's at {where}: these "
            "are features of other structures, or in another order"
        )
