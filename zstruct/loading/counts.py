"""How many atoms and edges structures have, and how many features an atom has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError

if TYPE_CHECKING:
    from zstruct.loading.derived.extras import Extras

__all__ = ["edge_offsets", "lengths", "n_features"]


def lengths(offsets: NDArray[np.int64], rows: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Return the lengths of some rows, or of all, shape (n,).

    Examples
    --------
    >>> lengths(np.array([0, 3, 5]), None), lengths(np.array([0, 3, 5]), np.array([1]))
    (array([3, 2]), array([2]))
    """
    return np.diff(offsets) if rows is None else offsets[rows + 1] - offsets[rows]


def edge_offsets(extras: Extras | None) -> NDArray[np.int64]:
    """Return the row edges of structures in stored edges.

    Raises
    ------
    InputError
        If none are stored.
    """
    offsets = None if extras is None else extras.edge_offsets
    if offsets is None:
        raise InputError(
            "the number of edges is known of those that are stored: run zstruct.featurize with a "
            "NeighborList, and give the dataset its name or cutoff as neighbors"
        )
    return offsets


def n_features(extras: Extras | None, structures: Any) -> int:
    """Return how many features an atom has.

    Parameters
    ----------
    extras
        What there is beside fields.
    structures
        A reader; the first of its structures is read if nothing else tells.

    Raises
    ------
    InputError
        If there are no features, or no structure that could tell, or if they have no axis.
    """
    if extras is not None and extras.n_features is not None:
        return extras.n_features
    if len(structures) == 0:
        raise InputError("there is no structure whose features could tell")
    features = structures[0].get("features")
    if features is None:
        raise InputError("there are no features: give features= a name, a descriptor or a function")
    if not features.shape:
        raise InputError("features are one number for each structure: atoms have none")
    return int(features.shape[-1])
