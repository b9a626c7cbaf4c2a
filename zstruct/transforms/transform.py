"""What a transform is, and how functions become one: of whole batches, or of one sample after the other.

A transform changes a packed batch; one structure is a batch of one.
"""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import names, shown, whole
from zstruct.batch.pack import pack
from zstruct.batch.packed import PackedBatch, Sample
from zstruct.errors import ArgumentTypeError
from zstruct.keywords import keywords
from zstruct.schema import FIELDS, Field
from zstruct.transforms.random_streams import random_keys, stream
from zstruct.transforms.subset import indices, on_some, probability

__all__ = ["OnBatch", "OnSample", "Transform", "column_of", "flat", "indices"]


class Transform(ABC):
    """Changes structures; the base of all transforms.

    A subclass defines `on_batch`. It may change arrays in place there and return the same batch:
    a gather's memory is new. Called like a function, a transform leaves what it is given alone.

    A subclass that defines ``__call__`` instead is given one finished sample after the other, as by
    `OnSample`: what it returns is the sample. If it takes an ``epoch``, it is given that, too.

    Examples
    --------
    >>> class Shift(Transform):
    ...     def on_batch(self, batch, epoch=0):
    ...         batch.columns["positions"] += 1.0
    ...         return batch
    >>> Shift()({"numbers": np.array([1]), "positions": np.zeros((1, 3))})["positions"]
    array([[1., 1., 1.]])
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__call__" not in cls.__dict__ or "on_batch" in cls.__dict__:
            return
        if cls.on_batch not in (Transform.on_batch, _on_samples):
            raise TypeError(
                f"{cls.__name__} defines __call__, but batches would go through the on_batch of its base "
                "class: define on_batch"
            )
        cls.on_batch = _on_samples  # type: ignore[method-assign] # not abstract any more
        cls._waits = _waiting  # type: ignore[method-assign]

    # What names mean; `bound` adds what a store says about its own.
    _fields: Mapping[str, Field] = FIELDS
    # Where among others: two transforms with one seed draw different numbers.
    _place: tuple[int, ...] = ()
    # Whether what becomes of a structure depends on nothing but itself and its number in its store; said by
    # a class of itself, and not of what is made of it.
    _alone = False

    @abstractmethod
    def on_batch(self, batch: PackedBatch, epoch: int = 0) -> PackedBatch:
        """Change a batch, in place or not, and return it.

        Parameters
        ----------
        batch
            Structures, whose arrays may be changed.
        epoch
            The epoch; random transforms draw anew in each.
        """

    def __call__(self, data: Any, epoch: int = 0) -> Any:
        """Return a changed copy.

        Parameters
        ----------
        data
            A `PackedBatch`, a `Sample`, or a mapping of the tensors or arrays of one structure.
            Gradients do not pass through.
        epoch
            As for `on_batch`.

        Returns
        -------
        PackedBatch, Sample or dict
            Of the same kind, with tensors where there were some.
        """
        if isinstance(data, PackedBatch):
            return self.on_batch(_copied(data), epoch)
        batch = self.on_batch(pack([data]), epoch)
        if isinstance(data, Sample):
            return batch[0]
        if any(hasattr(value, "detach") for value in data.values()):
            return dict(batch[0])
        return {
            name: column if name in batch.per_atom else column[0, ...]
            for name, column in batch.columns.items()
        }

    def bound(self, fields: Mapping[str, Field], extras: Collection[str] = ()) -> Self:
        """Return the transform for batches of a store.

        Parameters
        ----------
        fields
            The fields that batches will have, with what the store says about them.
        extras
            What they will have beside fields: ``features``, ``edge_vec``, ``deriv_values`` ...

        Raises
        ------
        ValueError
            If these can't be transformed.
        """
        bound = copy.copy(self)
        bound.__dict__["_fields"] = {**FIELDS, **fields}
        bound._check(fields, extras)
        return bound

    def _check(self, fields: Mapping[str, Field], extras: Collection[str]) -> None:  # noqa: B027 (optional)
        """Raise if batches of these fields can't be transformed."""

    def _waits(self, computes: bool) -> bool:
        """Return whether this has to see batches as they are in the end, and what comes after it, too.

        Others see what was gathered: features and edges that are computed are those of what they leave.
        """
        return False

    def does_as(self, other: Transform) -> bool:
        """Return whether structures may be changed together, this being for some and `other` for others."""
        mine, theirs = ({**vars(one), "_fields": None} for one in (self, other))
        return type(self) is type(other) and "_alone" in vars(type(self)) and self._alone and mine == theirs

    def _placed(self, place: tuple[int, ...]) -> Self:
        """Return the transform at a place among others."""
        placed = copy.copy(self)
        placed.__dict__["_place"] = place
        return placed

    def _stream(self, seed: int, epoch: int, what: str = "") -> np.uint64:
        """Return the random stream of this transform in an epoch."""
        return stream(seed, epoch, type(self).__name__, what, *self._place)


def column_of(transform: Transform, batch: PackedBatch, name: str) -> NDArray[Any]:
    """Return a column that a transform can't do without.

    Raises
    ------
    ValueError
        If the batch does not have it.
    """
    if name not in batch.columns:
        there = ", ".join(batch.columns) or "no fields"
        raise ValueError(f"{type(transform).__name__} needs {name}, but there are only {there}")
    return batch.columns[name]


def flat(columns: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """Return the values of a column in one row, as kernels take them to change them in place."""
    column = columns[name]
    if not column.flags.carray:  # what a function of the user's left, strided or read-only
        columns[name] = column = np.array(column, order="C")
    return column.reshape(-1)


def _copied(batch: PackedBatch) -> PackedBatch:
    pairs = tuple(
        replace(p, index=p.index.copy(), columns={n: c.copy() for n, c in p.columns.items()})
        for p in batch.pairs
    )
    ragged = tuple(replace(rows, values=rows.values.copy()) for rows in batch.ragged)
    return replace(batch, columns={n: c.copy() for n, c in batch.columns.items()}, pairs=pairs, ragged=ragged)


def _on_samples(self: Transform, batch: PackedBatch, epoch: int = 0) -> PackedBatch:
    """Call the transform with one sample after the other; see `Transform.on_batch`."""
    function: Callable[..., Any] = self
    if "epoch" in inspect.signature(self).parameters:
        function = partial(self, epoch=epoch)
    return OnSample(function).on_batch(batch)


def _waiting(self: Transform, computes: bool) -> bool:
    return True  # samples are finished


@keywords()
@dataclass(frozen=True, eq=False)
class OnBatch(Transform):
    """A function of packed batches as a transform: the fast way for one's own.

    Parameters
    ----------
    function
        Takes a `PackedBatch`, whose arrays it may change, and returns one. With a `seed`, it also
        takes the `random_keys` of the structures.
    seed
        Chooses these keys, for functions that draw random numbers.
    p
        The probability that a structure is given to the function; see `RandomApply`.

    Examples
    --------
    >>> def shrink(batch):
    ...     batch.columns["positions"] *= 0.5
    ...     return batch
    >>> OnBatch(shrink)({"positions": np.ones((1, 3))})["positions"]
    array([[0.5, 0.5, 0.5]])
    """

    function: Callable[..., PackedBatch]
    seed: int | None = None
    p: float = 1.0

    def __post_init__(self) -> None:
        _check_function(self, self.function)
        object.__setattr__(self, "seed", whole("seed", self.seed))
        object.__setattr__(self, "p", probability(self.p))

    def on_batch(self, batch: PackedBatch, epoch: int = 0) -> PackedBatch:
        """Call the function; see `Transform.on_batch`.

        Raises
        ------
        TypeError
            If it returns no batch.
        """
        stream = self._stream(self.seed or 0, epoch, "p")
        return on_some(batch, self.p, stream, lambda part: self._change(part, epoch))

    def _change(self, batch: PackedBatch, epoch: int) -> PackedBatch:
        if self.seed is None:
            changed = self.function(batch)
        else:
            keys = random_keys(batch, int(self._stream(self.seed, 0)), epoch)
            changed = self.function(batch, keys)
        if not isinstance(changed, PackedBatch):
            raise TypeError(f"the function of OnBatch must return a PackedBatch, not {changed!r}")
        return changed


@keywords()
@dataclass(frozen=True, eq=False)
class OnSample(Transform):
    """A function of samples as a transform: torch's convention, one structure at a time.

    This takes some 30 microseconds a structure beside the function's own time; `OnBatch` does not.

    Parameters
    ----------
    function
        Takes a `Sample`, whose tensors it may change, and returns a mapping of tensors or arrays
        with as many atoms. New names are per structure, unless the field table knows better or
        `per_atom` says so. With a `seed`, it also takes a ``numpy.random.Generator``.
    per_atom
        New names that have a row per atom.
    seed
        Chooses the generators, one for each structure in each epoch.
    p
        The probability that a structure is given to the function; see `RandomApply`.

    Examples
    --------
    >>> import torch
    >>> count = OnSample(lambda sample: {**sample, "hydrogens": (sample["numbers"] == 1).sum()})
    >>> count({"numbers": torch.tensor([8, 1, 1])})["hydrogens"]
    tensor(2)
    """

    function: Callable[..., Mapping[str, Any]]
    per_atom: tuple[str, ...] = ()
    seed: int | None = None
    p: float = 1.0

    def __post_init__(self) -> None:
        _check_function(self, self.function)
        per_atom = (self.per_atom,) if isinstance(self.per_atom, str) else self.per_atom
        object.__setattr__(self, "per_atom", tuple(names("per_atom", per_atom)))
        object.__setattr__(self, "seed", whole("seed", self.seed))
        object.__setattr__(self, "p", probability(self.p))

    _waits = _waiting

    def on_batch(self, batch: PackedBatch, epoch: int = 0) -> PackedBatch:
        """Call the function for each structure and join the results; see `Transform.on_batch`.

        Raises
        ------
        TypeError
            If it returns no mapping, or one of what no tensor can hold.
        ValueError
            If its results differ in their names or shapes, or have other numbers of atoms.
        """
        if len(batch) == 0:
            return batch
        stream = self._stream(self.seed or 0, epoch, "p")
        return on_some(batch, self.p, stream, lambda part: self._change(part, epoch))

    def _change(self, batch: PackedBatch, epoch: int) -> PackedBatch:
        given: list[tuple[Any, ...]] = [()] * len(batch)
        if self.seed is not None:
            keys = random_keys(batch, int(self._stream(self.seed, 0)), epoch)
            given = [(np.random.default_rng(key),) for key in keys]
        return pack([self._sample(sample, more) for sample, more in zip(batch, given, strict=True)])

    def _sample(self, sample: Sample, more: tuple[Any, ...]) -> Sample:
        # What the sample is, before the function may change it.
        structure, n_atoms, wide, ragged = sample.structure, sample.n_atoms, sample.wide, sample.ragged
        origin = sample.origin
        changed = self.function(sample, *more)
        if not isinstance(changed, Mapping):
            raise TypeError(f"a transform of samples must return a mapping of tensors, not {changed!r}")
        rows = {name for name in (*sample.per_atom, *self.per_atom) if name in changed}
        if isinstance(changed, Sample):
            rows |= changed.per_atom
        pairs = {
            name: tuple(column for column in carried if column in changed)
            for name, carried in sample.per_pair.items()
            if name in changed
        }
        rest = ragged & changed.keys()
        return Sample(changed, structure, n_atoms, frozenset(rows), pairs, wide, rest, origin)


def _check_function(transform: Transform, function: Any) -> None:
    if not callable(function):
        raise ArgumentTypeError(f"{type(transform).__name__} takes a function, not {shown(function)}")
