"""`BatchReader`: what readers of one store and of several have in common: indices, epochs, batches.

It turns any kind of index into positions, and has batches made of those by whoever it is. Nothing is known
here of stores.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import array_of, count
from zstruct.batch.packed import ATOMS, PackedBatch
from zstruct.docstrings import documented
from zstruct.keywords import keywords
from zstruct.layouts.registry import Layout
from zstruct.layouts.vocabulary import Names
from zstruct.loading.indices import is_plain, out_of_range, position_or_positions, positions_of
from zstruct.loading.loader_options import Batches, Shuffle
from zstruct.loading.moved_options import MOVED
from zstruct.loading.numpy_batches import numpy_batches
from zstruct.loading.order.epoch_order import Mixed

__all__ = ["BatchReader"]

_WARM_UP = 1024  # structures at a time


class BatchReader:
    """Structures by position: one, several packed end to end, or all in batches.

    A subclass has a length, makes batches and views, and calls `_in_its_own_epoch`.
    """

    _epoch: Any
    _pipeline: Any

    def __len__(self) -> int:
        raise NotImplementedError

    def _packed(self, positions: NDArray[np.int64]) -> PackedBatch:
        """Return some structures, each in ``range(-len(self), len(self))``."""
        raise NotImplementedError

    def _of_positions(self, asked: Any, positions: NDArray[np.int64]) -> Self:
        """Return a view of some structures; `asked` is the index that says so: a slice, or the positions."""
        raise NotImplementedError

    def _warm(self) -> None:
        """Load kernels and row edges, for worker processes to share."""
        raise NotImplementedError

    @property
    def elements(self) -> list[int]:
        """The atomic numbers that there are, ascending."""
        raise NotImplementedError

    @property
    def varies(self) -> bool:
        """Whether batches depend on the epoch."""
        raise NotImplementedError

    @property
    def mixed(self) -> Mixed | None:
        """The parts that the structures are of; None: they are those of one store."""
        return None

    @property
    def epoch(self) -> int:
        """The epoch that random transforms and the choice of forces belong to."""
        return int(self._epoch)

    @keywords()
    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that random transforms and the choice of forces belong to.

        Loaders have epochs of their own, which their iterations go through.
        """
        self._epoch[...] = count("epoch", epoch, 0, np.iinfo(np.int64).max)

    @keywords()
    def at_epoch(self, epoch: int) -> Self:
        """Return a view that stays in an epoch, whatever epoch this one is in."""
        view = copy.copy(self)
        view._epoch = np.array(epoch)
        return view

    def __getitem__(self, index: Any) -> Any:
        """Return the arrays of one structure, or a view of several.

        Parameters
        ----------
        index
            An integer for a dict of arrays. A slice, or a list or array of integers, or a boolean
            mask, for a reader of these structures in this order, which shares this one's decoded
            blocks.

        Raises
        ------
        IndexError, TypeError
            As for `take`.
        """
        index = self._position_or_view(index)
        if not isinstance(index, int):
            return index
        batch = self._packed(np.array([index]))
        found: dict[str, Any] = {n: c if n in batch.per_atom else c[0, ...] for n, c in batch.columns.items()}
        found["n_atoms"] = batch.n_atoms[0, ...]
        if batch.atoms:
            found[ATOMS] = batch.atoms[0]
        found |= {rows.name: rows.values for rows in batch.ragged}
        for pairs in batch.pairs:
            found |= {pairs.name: pairs.index, **pairs.columns}
        return found

    def _position_or_view(self, index: Any) -> Any:
        """Return an index in range, or, where it says several, a view of those structures."""
        if type(index) is not int:
            found = position_or_positions(index, len(self))
            if isinstance(found, int):
                return found
            return self._of_positions(index if isinstance(index, slice) else found, found)
        n = len(self)
        if not -n <= index < n:
            raise out_of_range(index, n)
        return index

    def take(self, indices: Any) -> PackedBatch:
        """Return several structures, packed end to end, in the order of the indices.

        Parameters
        ----------
        indices
            Integers, negative ones counting from the end and repeats allowed, or a boolean mask.

        Returns
        -------
        PackedBatch
            New memory. Its `columns` are arrays by field, its `offsets` the row edges of the
            structures; `layouts.graph`, `layouts.padded` and the others make batches of it.

        Raises
        ------
        IndexError
            If an index is out of range or a mask is not as long as the dataset.
        TypeError
            If `indices` is anything else.
        """
        array = array_of("a list of indices", indices)
        return self._packed(array if is_plain(array) else positions_of(array, len(self)))

    @keywords(MOVED, batch_size=Batches, shuffle=Shuffle)
    @documented(numpy_batches)
    def batches(
        self,
        batch_size: int | Batches = 1,
        shuffle: bool | str | Shuffle = False,
        *,
        epoch: int = 0,
        layout: Layout | None = None,
        names: Names | None = None,
    ) -> Iterator[Any]:
        """Return all structures once, in batches: those of a loader with the same options."""
        reader: Any = self
        return numpy_batches(reader, batch_size, shuffle, epoch=epoch, layout=layout, names=names)

    @keywords()
    def cache_warmup(self) -> None:
        """Decode everything, and compute what a `Cache` keeps of features and neighbours, now.

        Training then reads memory only; without, the first epoch does it as it goes. Structures that
        the caches have no room for are read for nothing.
        """
        for start in range(0, len(self), _WARM_UP):
            self._packed(np.arange(start, min(start + _WARM_UP, len(self))))

    def close(self) -> None:
        """Let go of what is kept."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _new_epoch(self) -> Any:
        """Return memory for the number of the epoch, 0 at first."""
        return np.zeros((), np.int64)

    def _in_its_own_epoch(self, epoch: int) -> Self:
        self._epoch = self._new_epoch()
        self.set_epoch(epoch)
        return self
