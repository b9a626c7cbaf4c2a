"""What one gather brings: structures packed end to end, read as a sequence of samples.

A `PackedBatch` holds NumPy arrays, so it crosses process borders cheaply; its samples are dicts of
tensors that share its memory. Pairs of atoms come along as `Pairs`. Torch is only loaded for samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from zstruct.batch.tensors import converter, scalar

if TYPE_CHECKING:
    from zstruct.batch.origin import Origin
    from zstruct.batch.tensors import Tensor

__all__ = ["ATOMS", "NO_PAIRS", "Interest", "PackedBatch", "Pairs", "Ragged", "Sample"]

#: For each kind of pairs, the name of its index and the names of what each pair carries.
PerPair = Mapping[str, tuple[str, ...]]
#: Where there are none.
NO_PAIRS: PerPair = {}
#: The name of what is no tensor: the structure as `ase.Atoms`, where that was asked for.
ATOMS = "atoms"
_NONE: frozenset[str] = frozenset()
_REMEMBERED = 32  # batches: more than threads make ahead


class Sample(dict[str, "Tensor"]):
    """One structure: a dict of tensors that also knows which structure it is.

    Code that only wants a dict can treat it as one; the collate functions use the rest. The number of
    atoms, ``sample.n_atoms``, is ``sample["n_atoms"]`` as well, a tensor made when it is asked for and
    not among the keys.

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
    per_pair
        The names that index atoms, (2, n_pairs), and for each of them those that have a row per pair.
    wide
        As for `PackedBatch`.
    ragged
        The names that have rows of the structure's own.
    origin
        Where it comes from, where that is known; it is not pickled.
    """

    __slots__ = ("n_atoms", "origin", "per_atom", "per_pair", "ragged", "structure", "wide")

    def __init__(
        self,
        tensors: Mapping[str, Tensor] | tuple[()],
        structure: int | None,
        n_atoms: int,
        per_atom: frozenset[str],
        per_pair: PerPair = NO_PAIRS,
        wide: frozenset[str] = _NONE,
        ragged: frozenset[str] = _NONE,
        origin: Origin | None = None,
    ):
        super().__init__(tensors)
        self.structure, self.n_atoms, self.per_atom, self.per_pair = structure, n_atoms, per_atom, per_pair
        self.wide, self.ragged, self.origin = wide, ragged, origin

    def __missing__(self, name: str) -> Tensor:
        if name != "n_atoms":
            raise KeyError(name)
        return scalar(self.n_atoms)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        known = (self.structure, self.n_atoms, self.per_atom, self.per_pair, self.wide, self.ragged)
        return type(self), (dict(self), *known)

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> Sample:
        """Return the same structure with other tensors of the same names."""
        known = (self.structure, self.n_atoms, self.per_atom, self.per_pair, self.wide, self.ragged)
        return Sample(tensors, *known, self.origin)


@dataclass(frozen=True, eq=False, slots=True)
class Pairs:
    """Pairs of atoms of structures packed end to end.

    Parameters
    ----------
    name
        Of the index in a batch, such as ``edge_index``.
    offsets
        Edges of the structures' pairs, shape (n + 1,).
    index
        Rows of centre and neighbour in the batch, shape (2, offsets[-1]), int64.
    columns
        What each pair carries, by name, (offsets[-1], ...).
    """

    name: str
    offsets: NDArray[np.int64]
    index: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False, slots=True)
class Ragged:
    """Rows that each structure has some of its own of, neither for each atom nor one: residues, say.

    Parameters
    ----------
    name
        Of the rows in a batch.
    offsets
        Edges of the structures' rows, shape (n + 1,).
    values
        The rows, (offsets[-1], ...).
    """

    name: str
    offsets: NDArray[np.int64]
    values: NDArray[Any]


class Interest:
    """Whether batches are asked for the structures of their atoms; who makes batches looks here.

    Attributes
    ----------
    left
        Batches that are still worth numbering; every question renews it.
    """

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = 0


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
    columns
        Rows by name: (offsets[-1], ...) per atom, (n, ...) per structure.
    per_atom
        The names of the per-atom columns.
    pairs
        Pairs of atoms, if any were asked for.
    wide
        The names of columns that are in double precision although nobody asked for it: layouts of
        libraries that know single precision only may give them in that.
    atoms
        The structures as `ase.Atoms`, if they were asked for.
    interest
        Is told when `batch` is asked for.
    ragged
        What has rows of each structure's own, if anything was asked for that has.
    origin
        Where the structures come from, where that is known; it is not pickled.
    """

    structures: NDArray[np.int64] | None
    offsets: NDArray[np.int64]
    n_atoms: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]
    per_atom: frozenset[str]
    pairs: tuple[Pairs, ...] = field(default=())
    wide: frozenset[str] = _NONE
    atoms: tuple[Any, ...] = ()
    interest: Interest | None = None
    ragged: tuple[Ragged, ...] = ()
    origin: Origin | None = None
    _batch: NDArray[np.int64] | None = field(default=None, init=False)

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        return None, {one.name: getattr(self, one.name) for one in fields(self)} | {"origin": None}

    @property
    def batch(self) -> NDArray[np.int64]:
        """The position in the batch of each atom's structure, shape (offsets[-1],).

        It is made when it is first asked for, or before, if it was asked for lately.
        """
        if self.interest is not None:
            self.interest.left = _REMEMBERED
        if self._batch is None:
            self._batch = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        return self._batch

    def numbered(self, batch: NDArray[np.int64]) -> PackedBatch:
        """Return this one, which need not make its `batch` any more."""
        self._batch = batch
        return self

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        pairs = [name for p in self.pairs for name in (p.name, *p.columns)]
        names = ", ".join([*self.columns, *(rows.name for rows in self.ragged), *pairs])
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
        tensor = converter(as_numpy=False)
        start, stop = int(self.offsets[i]), int(self.offsets[i + 1])
        tensors: dict[str, Any] = {
            # The ellipsis keeps a scalar an array, which from_numpy can share.
            name: tensor(column[start:stop] if name in self.per_atom else column[i, ...])
            for name, column in self.columns.items()
        }
        structure = None if self.structures is None else int(self.structures[i])
        if self.atoms:
            tensors[ATOMS] = self.atoms[i]
        for rows in self.ragged:
            first, last = rows.offsets[i : i + 2].tolist()
            tensors[rows.name] = tensor(rows.values[first:last])
        ragged = frozenset(rows.name for rows in self.ragged) if self.ragged else _NONE
        if not self.pairs:
            return Sample(
                tensors, structure, stop - start, self.per_atom, NO_PAIRS, self.wide, ragged, self.origin
            )
        for pairs in self.pairs:
            first, last = pairs.offsets[i : i + 2].tolist()
            tensors[pairs.name] = tensor(pairs.index[:, first:last] - start)
            for name, column in pairs.columns.items():
                tensors[name] = tensor(column[first:last])
        per_pair = {pairs.name: tuple(pairs.columns) for pairs in self.pairs}
        return Sample(
            tensors, structure, stop - start, self.per_atom, per_pair, self.wide, ragged, self.origin
        )


#: Names that batches give to tensors of their own.
OWN = ("structure", "n_atoms", "batch", "ptr", "mask")
