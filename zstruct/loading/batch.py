"""What one gather brings: structures packed end to end, read as a sequence of samples.

A `PackedBatch` holds NumPy arrays, so it crosses process borders cheaply; its samples are dicts of
tensors that share its memory. It knows nothing of stores or caches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["PackedBatch", "Sample"]


class Sample(dict[str, torch.Tensor]):
    """One structure: a dict of tensors that also knows which structure it is.

    Code that only wants a dict can treat it as one; the collate functions use the rest.

    Parameters
    ----------
    tensors
        Tensors by field name: (n_atoms, ...) per atom, without that axis per structure.
    structure
        Index of the structure in the store, or None where it came from none.
    n_atoms
        Atoms of the structure.
    per_atom
        The names that have a row per atom.
    """

    __slots__ = ("n_atoms", "per_atom", "structure")

    def __init__(
        self,
        tensors: Mapping[str, torch.Tensor] | tuple[()],
        structure: int | None,
        n_atoms: int,
        per_atom: frozenset[str],
    ):
        super().__init__(tensors)
        self.structure, self.n_atoms, self.per_atom = structure, n_atoms, per_atom

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (dict(self), self.structure, self.n_atoms, self.per_atom)


@dataclass(eq=False, slots=True)
class PackedBatch(Sequence[Sample]):
    """Structures packed end to end; also a sequence of their samples.

    Parameters
    ----------
    structures
        Indices of the structures in the store, shape (n,), or None where they came from none.
    offsets
        Row edges of the structures in the per-atom columns, shape (n + 1,).
    n_atoms
        Atoms of each structure, shape (n,).
    batch
        The position in the batch of each atom's structure, shape (offsets[-1],).
    columns
        Rows by name: (offsets[-1], ...) per atom, (n, ...) per structure.
    per_atom
        The names of the per-atom columns.
    """

    structures: NDArray[np.int64] | None
    offsets: NDArray[np.int64]
    n_atoms: NDArray[np.int64]
    batch: NDArray[np.int64]
    columns: dict[str, NDArray]
    per_atom: frozenset[str]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        names = ", ".join(self.columns)
        return f"PackedBatch({len(self):,} structures, {int(self.offsets[-1]):,} atoms: {names})"

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self._sample(i) for i in range(*index.indices(len(self)))]
        i = index + len(self) if index < 0 else index
        if not 0 <= i < len(self):
            raise IndexError(f"sample {index} is out of range: the batch has {len(self)}")
        return self._sample(i)

    def __iter__(self) -> Iterator[Sample]:
        return map(self._sample, range(len(self)))

    def _sample(self, i: int) -> Sample:
        start, stop = int(self.offsets[i]), int(self.offsets[i + 1])
        tensors = {
            # The ellipsis keeps a scalar an array, which from_numpy can share.
            name: torch.from_numpy(column[start:stop] if name in self.per_atom else column[i, ...])
            for name, column in self.columns.items()
        }
        structure = None if self.structures is None else int(self.structures[i])
        return Sample(tensors, structure, stop - start, self.per_atom)
