"""What is computed for a batch: the neighbours and features of its structures, or what was kept of them.

It takes structures as they are stored, and knows nothing of what is stored beside them, nor of edges.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.packed import PackedBatch
from zstruct.errors import InputError
from zstruct.geometry.neighbors import Neighbors, apart, neighbor_list, neighbor_pieces, some, together
from zstruct.geometry.structures import Structures, check_images
from zstruct.loading.derived.memo import Memo
from zstruct.loading.derived.stored_or_computed import Wanted

__all__ = ["GEOMETRY", "Computation", "Lists", "structures_of"]

_FLOAT64 = np.dtype(np.float64)
#: What the kernels take, whether or not a batch shall have it, in the order of `Structures`.
GEOMETRY = {
    "numbers": np.dtype(np.int64),
    "positions": _FLOAT64,
    "cell": _FLOAT64,
    "pbc": np.dtype(np.bool_),
}


class Lists(NamedTuple):
    """The structures of a batch and their neighbours."""

    structures: Structures
    by_cutoff: dict[float, Neighbors]


class Computation:
    """Neighbours and features of the structures of batches.

    Parameters
    ----------
    features
        What features to compute; None: none.
    cutoffs
        Those of the lists that a batch needs whole, in angstrom.
    kept_features, kept_neighbors
        Of how many structures to keep what is computed; True: of all.

    Raises
    ------
    InputError
        If something is to be kept that is not computed.
    """

    def __init__(
        self,
        features: Wanted | None,
        cutoffs: set[float],
        kept_features: bool | int = False,
        kept_neighbors: bool | int = False,
    ):
        self.features = features
        self._cutoffs = cutoffs
        self._kept_features = self._kept_lists = None
        if kept_features:
            if features is None:
                raise InputError(
                    "a cache keeps features that are computed: give features a descriptor or a function"
                )
            self._kept_features = Memo(kept_features)
        if kept_neighbors:
            if not cutoffs:
                raise InputError(
                    "a cache keeps neighbours that are computed: give neighbors a cutoff that is not stored, "
                    "or derivatives a descriptor"
                )
            self._kept_lists = {cutoff: Memo(kept_neighbors) for cutoff in cutoffs}

    @property
    def keeps(self) -> bool:
        """Whether something that is computed is kept, by the numbers of structures."""
        return self._kept_features is not None or self._kept_lists is not None

    def lists(self, gathered: PackedBatch) -> Lists:
        """Return the structures that were gathered, and their neighbours within each cutoff.

        Raises
        ------
        ValueError
            If an atom is too far outside a periodic cell.
        """
        structures = Structures(gathered.offsets, *(gathered.columns[name] for name in GEOMETRY))
        check_images(structures)  # the only thing that a store does not promise
        if self._kept_lists is None:
            return Lists(structures, {cutoff: neighbor_list(structures, cutoff) for cutoff in self._cutoffs})
        remembered = {}
        for cutoff, memo in self._kept_lists.items():

            def find(missing: NDArray[np.int64], cutoff: float = cutoff) -> list[tuple[NDArray[Any], ...]]:
                chosen = some(structures, missing)
                return apart(neighbor_list(chosen, cutoff), chosen.offsets)

            parts = memo.through(structures_of(gathered), find)
            remembered[cutoff] = together(parts, gathered.offsets)
        return Lists(structures, remembered)

    def values(self, gathered: PackedBatch, lists: Lists, dtype: np.dtype) -> NDArray[Any]:
        """Return the features of all atoms, shape (n_atoms, n_features).

        Raises
        ------
        InputError
            If a structure has an element that the descriptor does not know.
        """
        wanted: Any = self.features
        if self._kept_features is None:
            return _values(wanted, lists, dtype)

        def compute(missing: NDArray[np.int64]) -> list[tuple[NDArray[Any], ...]]:
            chosen = some(lists.structures, missing)
            values = _values(wanted, Lists(chosen, {}), dtype)
            return [(part.copy(),) for part in np.split(values, chosen.offsets[1:-1])]

        parts = [part for (part,) in self._kept_features.through(structures_of(gathered), compute)]
        return np.concatenate([np.empty((0, wanted.descriptor.n_features), dtype), *parts])


def structures_of(gathered: PackedBatch) -> NDArray[np.int64]:
    """Return which structures of the store were gathered."""
    assert gathered.structures is not None
    return gathered.structures


def _values(wanted: Wanted, lists: Lists, dtype: np.dtype) -> NDArray[Any]:
    """Return computed features of all atoms."""
    descriptor: Any = wanted.descriptor
    out = np.empty((lists.structures.n_atoms, descriptor.n_features), dtype)
    whole = lists.by_cutoff.get(wanted.cutoff)
    pieces = neighbor_pieces(lists.structures, wanted.cutoff) if whole is None else [whole]
    for piece in pieces:
        out[piece.start : piece.start + len(piece)] = descriptor.values(lists.structures, piece)
    return out
