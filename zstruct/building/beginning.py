"""A store whose first structures are the first ones of a new store, too: their shards are not written again.

An append begins with all of the version before, a drop with what stands before the first structure that goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from zstruct.building.blocks import Block
from zstruct.building.fields import PlannedField
from zstruct.building.stored_blocks import StoredBlock, StoredInput
from zstruct.paths_and_urls import is_url
from zstruct.schema import ATOM, Level
from zstruct.store.shared_shards import SharedShard, shared_shards
from zstruct.store.spec import ArraySpec

__all__ = ["Beginning"]

_LOOKED_ROWS = 1 << 20


@dataclass(frozen=True, eq=False)
class Beginning:
    """What a new store begins with.

    Parameters
    ----------
    source
        The store that has it.
    n_structures
        How many of its first structures are the first ones of the new store.
    """

    source: StoredInput
    n_structures: int

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> Self | None:
        """Return what the structures of some blocks begin with, in their order; None if it is no store's."""
        first, n = blocks[0], 0
        for block in blocks:
            if not isinstance(block, StoredBlock) or not isinstance(first, StoredBlock):
                break
            if block.source is not first.source:
                break
            same = block.n_structures
            if block.chosen is not None:
                moved = block.chosen != np.arange(n, n + len(block.chosen))
                same = int(np.argmax(moved)) if moved.any() else same
            n += same
            if same < block.n_structures:
                break
        return cls(first.source, n) if n and isinstance(first, StoredBlock) else None

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the store, so that what that says of its arrays is right."""
        return self.n_structures == self.source.store.n_structures

    def n_rows(self, level: Level) -> int:
        """Return how many rows of an array are the first ones of the new array."""
        if level != ATOM:
            return self.n_structures
        return self.source.store.n_atoms if self.is_whole else int(self.source.offsets[self.n_structures])

    def shared(self, planned: PlannedField, spec: ArraySpec, *, anywhere: bool) -> list[SharedShard]:
        """Return the first shards of a field that are as they are in the store.

        Parameters
        ----------
        planned, spec
            The field, and its array in the new store.
        anywhere
            As for `shared_shards`.
        """
        store, column = self.source.store, self.source.columns.get(planned.original)
        array = None if column is None else column.presence if planned.is_presence else column.array
        if column is None or array is None:
            return []
        if is_url(store.path) and array != planned.field.name:  # which files there become
            return []
        n_rows = self.n_rows(planned.field.level)
        if not planned.is_presence:
            here, there = planned.field, column.field
            if (here.kind, here.unit) != (there.kind, there.unit) or column.floats:
                return []
            if planned.categories is not None:
                n_rows = self._rows_of_texts(planned, array, n_rows)
            elif not self._is_known(planned, array):
                return []
        return shared_shards(store, array, spec, n_rows, anywhere=anywhere)

    def _is_known(self, planned: PlannedField, array: str) -> bool:
        """Return whether the store says of rows what is to be said of them; else it has to be found out."""
        store, name = self.source.store, planned.original
        if name == "numbers":
            return "species" in store.attrs
        if planned.field.kind == "bool":
            return True
        return "actual_range" in store.array_attrs(array) or store.coverage(array) == 0

    def _rows_of_texts(self, planned: PlannedField, array: str, n_rows: int) -> int:
        """Return how many of the first rows of a category have codes that stand for the same texts here."""
        there, here = self.source.texts(planned.original), planned.categories
        assert here is not None
        if here[: len(there)] == there:
            return n_rows
        pairs = enumerate(zip(there, here, strict=False))
        same = next((k for k, (a, b) in pairs if a != b), min(len(there), len(here)))
        for start in range(0, n_rows, _LOOKED_ROWS):
            codes = self.source.store.read(array, start, min(start + _LOOKED_ROWS, n_rows))
            others = (codes.reshape(len(codes), -1) >= same).any(axis=1)
            if others.any():
                return start + int(np.argmax(others))
        return n_rows
