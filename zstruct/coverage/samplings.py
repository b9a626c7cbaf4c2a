"""Samplings: which structures are picked for what each adds to others, as options that check themselves."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import FLAG, OPTIONS, count, require, shown, whole
from zstruct.coverage.farthest import farthest_of
from zstruct.coverage.leverage import leverage_of
from zstruct.coverage.vectors import Vectors, vectors_of
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.keywords import set_fields, takes
from zstruct.store.splits import open_part
from zstruct.store.store import Store
from zstruct.text import counted

__all__ = ["Farthest", "Leverage", "Picks", "Sampling", "farthest", "leverage"]


@dataclass(frozen=True, eq=False)
class Picks:
    """Structures that a sampling picks; printing it gives a summary.

    Parameters
    ----------
    structures
        Which structures of the store, in the order in which they were picked, shape (n,), int64.
    positions
        Where each is in what they were picked from, shape (n,), int64.
    values
        What each was picked for, shape (n,), float64. Of `farthest` the distance from the nearest pick before
        it, which never rises, and is infinite for the first; of `leverage` the leverage score.
    n_structures
        How many they were picked from.
    """

    structures: NDArray[np.int64]
    positions: NDArray[np.int64]
    values: NDArray[np.float64]
    n_structures: int

    def __len__(self) -> int:
        return len(self.structures)

    def __str__(self) -> str:
        line = f"{len(self):,} of {counted(self.n_structures, 'structure')}"
        given = self.values[np.isfinite(self.values)]
        return f"{line}, for {given[0]:.4g} to {given[-1]:.4g}" if len(given) else line

    __repr__ = __str__  # that of a dataclass has pages of numbers


@dataclass(frozen=True, repr=False)
class Sampling(ABC):
    """Which structures are picked for where they lie in the space of stored features.

    Parameters
    ----------
    n
        How many structures to pick.
    features
        Name of stored features. A structure is the mean of those of its atoms, or its own.
    standardise
        Whether each feature has its mean over the store taken off and is divided by its standard deviation,
        so that all count alike; those that are the same everywhere are left out. Otherwise they are taken as
        they are.
    """

    n: int
    features: str
    _: KW_ONLY
    standardise: bool = True

    def __post_init__(self) -> None:
        set_fields(self, n=count("n", self.n, 1))
        if not isinstance(self.features, str):
            raise ArgumentTypeError(f"features is the name of stored features, not {shown(self.features)}")
        require("standardise", FLAG, self.standardise)

    def __repr__(self) -> str:
        said = [str(self.n), _text(self.features)]
        for one in fields(self)[2:]:
            value = getattr(self, one.name)
            if value != one.default:
                said.append(f"{one.name}={_text(value)}")
        return f"{type(self).__name__.lower()}({', '.join(said)})"

    def picks(self, store: str | os.PathLike[str] | Store, rows: NDArray[np.int64] | None = None) -> Picks:
        """Return which structures of a store are picked; reads their features, and what memory that needs.

        Vectors of all structures are kept in memory up to 1 GiB, and else in a temporary file. With a
        `distributed.Client` in use they are made on its cluster.

        Parameters
        ----------
        store
            A store or its path.
        rows
            Those to pick from, shape (n_structures,), in any order; one that is there more than once is
            picked once. None: all.

        Raises
        ------
        InputError
            If the store has no such features, they don't tell structures apart or are missing somewhere, or
            there are fewer structures.
        StaleGroupError
            If features, or a split, were made for other content than the store has now.
        WriteError
            If there is no room for a temporary file.
        """
        store, places = Store.of(store), None
        if rows is None:
            chosen = np.arange(store.n_structures)
        else:
            chosen, places = np.unique(rows, return_index=True)
        left = self._left(store, chosen)
        if left is not None:
            chosen, places = chosen[left], left if places is None else places[left]
        if self.n > len(chosen):
            raise InputError(f"{self!r}: only {counted(len(chosen), 'structure')} to pick from")
        everything = len(chosen) == store.n_structures
        made = vectors_of(store, self.features, None if everything else chosen, standardise=self.standardise)
        with made as vectors:
            picked, values = self._picked(store, vectors, chosen, rows)
        positions = picked if places is None else places[picked]
        return Picks(chosen[picked], positions, values, len(chosen))

    def _left(self, store: Store, chosen: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return which of some structures may be picked; None: all."""
        return None

    @abstractmethod
    def _picked(
        self, store: Store, vectors: Vectors, chosen: NDArray[np.int64], rows: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return which vectors are picked, and for what."""


@dataclass(frozen=True, repr=False)
class Farthest(Sampling):
    """Structures each of which is the farthest from those that were picked before it.

    Parameters
    ----------
    first
        Position of the structure to begin with, in what is picked from. None: the one that is nearest to the
        mean of all, or with `beside` the one that is farthest from those.
    beside
        Structures that count as picked already, and are not picked: a label of the split "default", or the
        name of a split and a label.
    """

    _: KW_ONLY
    first: int | None = None
    beside: str | tuple[str, str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, first=whole("first", self.first, 0))
        require("beside", OPTIONS["split"], self.beside)

    def _left(self, store: Store, chosen: NDArray[np.int64]) -> NDArray[np.int64] | None:
        if self.beside is None:
            return None
        inside = _part(store, self.beside)
        if not inside.any():
            raise InputError(f"{self!r}: there is no structure in that part")
        return np.flatnonzero(~inside[chosen])

    def _picked(
        self, store: Store, vectors: Vectors, chosen: NDArray[np.int64], rows: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        first = None if self.first is None else self._place(chosen, rows)
        if self.beside is None:
            return farthest_of(vectors, self.n, first)
        there = np.flatnonzero(_part(store, self.beside))
        with vectors_of(store, self.features, there, standardise=self.standardise) as beside:
            return farthest_of(vectors, self.n, first, beside)

    def _place(self, chosen: NDArray[np.int64], rows: NDArray[np.int64] | None) -> int:
        """Return the place of the structure to begin with among those that may be picked."""
        at = self.first
        n = len(rows) if rows is not None else int(chosen[-1]) + 1
        assert at is not None
        if at < n:
            row = at if rows is None else int(rows[at])
            place = int(np.searchsorted(chosen, row))
            if place < len(chosen) and chosen[place] == row:
                return place
        raise InputError(f"{self!r}: there is no structure {at} to begin with")


@dataclass(frozen=True, repr=False)
class Leverage(Sampling):
    """Structures with large leverage scores: those that the axes of all features owe most to.

    Parameters
    ----------
    rank
        How many axes count, those along which structures spread most first; one for each independent feature
        at most. None: all.
    seed
        None: those with the largest scores. Otherwise the seed of a random choice, where chances are in
        proportion to scores.
    """

    _: KW_ONLY
    rank: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, rank=whole("rank", self.rank, 1), seed=whole("seed", self.seed, 0))

    def _picked(
        self, store: Store, vectors: Vectors, chosen: NDArray[np.int64], rows: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        return leverage_of(vectors, self.n, self.rank, self.seed)


@takes(Farthest)
def farthest(sampling: Farthest) -> Farthest:
    """Pick structures by farthest-point sampling: each is the farthest from those that were picked before it.

    What it returns says what to do, and is done where structures are selected:
    ``data.select(zstruct.farthest(1000, "cheb"))``, in the order in which they are picked: the first 100 of
    1000 are those of ``farthest(100, "cheb")``. Its method `picks` also says how far each was. It is the same
    on every machine.

    Raises
    ------
    InputError
        If a number makes no sense.
    ArgumentTypeError
        If something is of a type that makes no sense there.

    Examples
    --------
    >>> import tempfile, ase.build, numpy as np, zstruct
    >>> path = tempfile.mkdtemp() + "/water.zarr"
    >>> report = zstruct.build([ase.build.molecule("H2O")] * 5, path, progress=False)
    >>> report = zstruct.features.add(path, "x", np.array([0.0, 0.1, 1.0, 4.0, 4.1]), level="structure")
    >>> zstruct.StructureReader(path).select(zstruct.farthest(3, "x", first=0)).structures
    array([0, 4, 2])
    """
    return sampling


@takes(Leverage)
def leverage(sampling: Leverage) -> Leverage:
    """Pick structures by their leverage scores in the matrix of features (Mahoney and Drineas, 2009).

    What it returns says what to do, and is done where structures are selected:
    ``data.select(zstruct.leverage(1000, "cheb"))``, the largest score first.

    Raises
    ------
    InputError
        If a number makes no sense.
    ArgumentTypeError
        If something is of a type that makes no sense there.

    Examples
    --------
    >>> leverage(100, "cheb", rank=8)
    leverage(100, "cheb", rank=8)
    """
    return sampling


def _part(store: Store, part: str | tuple[str, str]) -> NDArray[np.bool_]:
    name, label = ("default", part) if isinstance(part, str) else part
    return open_part(store, name, label)


def _text(value: Any) -> str:
    """Return a value as it is written in Python, texts in double quotes."""
    if isinstance(value, str):
        return f'"{value}"' if value.isprintable() and not set('"\\') & set(value) else repr(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))})"
    return repr(value)
