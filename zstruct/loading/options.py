"""What users say of loading, in small objects that check themselves; a number or a word is the short form.

``neighbors=5.0`` is ``neighbors=Edges(5.0)``, ``cache="shared"`` is ``cache=Cache("shared")``, and
``loader(64, shuffle=True)`` is ``loader(Batches(64), Shuffle())``. Whatever depends on a store is checked
where it is known. Nothing is known here of how anything is read or ordered.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from zstruct.arguments import KEPT, check, count, names, real, require, shown, whole
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.geometry.neighbors import NeighborList
from zstruct.keywords import as_options, keywords

__all__ = [
    "CARRIED",
    "MOVED",
    "Batches",
    "Cache",
    "Edges",
    "Even",
    "Forces",
    "Ranks",
    "Shuffle",
    "Threads",
    "check_ranks",
    "check_size",
]

#: What ranks do where their shares differ.
Even = Literal["pad", "drop"] | None

#: What edges can carry.
CARRIED = ("edge_shift", "edge_vec", "edge_dist")

#: What to write in place of keywords that there were once.
MOVED = {
    "bucket_size": "Batches(size, bucket=...)",
    "cache_bytes": "cache=Cache(bytes=...)",
    "cache_features": "cache=Cache(features=...)",
    "cache_neighbors": "cache=Cache(neighbors=...)",
    "collate_fn": "layout=...",
    "edges": "neighbors=Edges(cutoff, carry=...)",
    "energy_reference": "references=...",
    "features_only": "fields='energies'",
    "featurizer": "features=function",
    "force_fraction": ".with_forces(fraction=...)",
    "force_min_structures": ".with_forces(fraction, minimum=...)",
    "force_resample_epochs": ".with_forces(fraction, every=...)",
    "force_sampling": ".with_forces(fraction, sampling=...)",
    "force_seed": ".with_forces(fraction, seed=...)",
    "max_energy": ".select(max_energy=...)",
    "max_force": ".select(max_force=...)",
    "max_force_component": ".select(max_force_component=...)",
    "observation_model": ".loss(predictions, batch, observation_model=...)",
    "prefetch": "threads=Threads(ahead=...)",
    "return_atoms": "fields=[..., 'atoms']",
    "where": ".select(where=...)",
}


def _set(options: Any, **values: Any) -> None:
    """Put what was checked into options that are frozen."""
    for name, value in values.items():
        object.__setattr__(options, name, value)


@keywords()
@dataclass(frozen=True)
class Edges:
    """Edges between atoms that are near each other.

    Parameters
    ----------
    cutoff
        In angstrom: a stored list of neighbours if there is one with this cutoff, else a list
        computed for each batch, which is the same. Or the name of a stored list.
    carry
        What edges carry: ``edge_shift`` (E, 3), cell vectors to add to the neighbour's position, as
        floating-point numbers; ``edge_vec`` (E, 3), from centre to neighbour, and ``edge_dist`` (E,), both
        in angstrom.

    Raises
    ------
    InputError
        If the cutoff is not above zero, or if edges can't carry something.
    ArgumentTypeError
        If something is of a type that makes no sense there.

    Examples
    --------
    >>> Edges(5.0, carry=["edge_vec", "edge_dist"])
    Edges(cutoff=5.0, carry=('edge_vec', 'edge_dist'))
    """

    cutoff: float | str
    carry: Iterable[str] | str = CARRIED[:1]

    def __post_init__(self) -> None:
        if not isinstance(self.cutoff, str):
            _set(self, cutoff=NeighborList(self.cutoff).cutoff)
        asked = [self.carry] if isinstance(self.carry, str) else names("carry", self.carry)
        if unknown := [name for name in asked if name not in CARRIED]:
            raise InputError(f"edges carry {', '.join(CARRIED)}, not {', '.join(map(shown, unknown))}")
        _set(self, carry=tuple(dict.fromkeys(asked)))


@keywords()
@dataclass(frozen=True)
class Cache:
    """Where what is read or computed is kept, and how much of it.

    Parameters
    ----------
    where
        Where decoded fields are kept.

        * ``"memory"``: in the memory of this process; forked workers share what was there before.
        * ``"shared"``: once for all processes of the node that read this store with these fields
          and dtypes, in shared memory (``/dev/shm``) if there is room and else in the directory
          for temporary files. The last process to leave removes it.
        * a directory: as ``"shared"``, but there, say on a fast local disk.
        * None: only what the last request needed is kept.
        * ``"auto"``: in memory if all of it is small (up to 64 MiB) or does not fit into
          `bytes`, shared if it fits and takes at most half of what is free in shared memory.
    bytes
        Of decoded fields to keep in each process; by default half of the memory that is available. Where
        not everything fits, the blocks used last are kept. A single read keeps all it needs for as long
        as it takes. A shared cache holds everything, so it refuses a smaller number.
    features, neighbors
        Of how many structures to keep the features (of a descriptor or a function) and neighbours that
        are computed; True for all. Worth its memory where they do not change and were not stored, which
        is faster still. Every worker process keeps its own.

    Raises
    ------
    InputError
        If a number makes no sense.
    ArgumentTypeError
        If something is of a type that makes no sense there.

    Examples
    --------
    >>> Cache("memory", bytes=8e9)
    Cache(where='memory', bytes=8000000000.0, features=False, neighbors=False)
    """

    where: str | os.PathLike[str] | None = "auto"
    _: KW_ONLY
    bytes: float | None = None
    features: bool | int = False
    neighbors: bool | int = False

    def __post_init__(self) -> None:
        if not (self.where is None or isinstance(self.where, str | os.PathLike)):
            raise ArgumentTypeError(
                f"cache is 'auto', 'memory', 'shared', None or an existing directory, not {shown(self.where)}"
            )
        room = real("bytes of a cache", self.bytes)
        if room is not None and room < 0:
            raise InputError(f"bytes of a cache must not be negative, but are {self.bytes}")
        require("features of a cache", KEPT, self.features)
        require("neighbors of a cache", KEPT, self.neighbors)


@keywords()
@dataclass(frozen=True)
class Forces:
    """On how many forces to train: a part of the structures that have them, others in later epochs.

    Parameters
    ----------
    fraction
        The part of the structures with forces whose forces are used, from 0.0, none, to 1.0.
    sampling
        ``"random"``: other structures every `every` epochs. ``"fixed"``: always the same.
    every
        Epochs before others are drawn.
    minimum
        The least number of structures whose forces are used, whatever the fraction. By default one,
        unless the fraction is 0.0.
    seed
        Chooses which structures these are.

    Raises
    ------
    InputError
        If a value makes no sense.
    ArgumentTypeError
        If something is of a type that makes no sense there.
    """

    fraction: float
    _: KW_ONLY
    sampling: Literal["random", "fixed"] = "random"
    every: int = 1
    minimum: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.fraction is None:
            raise ArgumentTypeError("fraction is a number, not None")
        if not 0 <= real("fraction", self.fraction) <= 1:
            raise InputError(f"fraction is at least 0 and at most 1, not {self.fraction!r}")
        if not isinstance(self.sampling, str) or self.sampling not in ("random", "fixed"):
            raise InputError(f"sampling is 'random' or 'fixed', not {shown(self.sampling)}")
        least = int(self.fraction > 0) if self.minimum is None else whole("minimum", self.minimum, 0)
        _set(self, minimum=least, every=count("every", self.every, 1), seed=count("seed", self.seed, 0))


@keywords()
@dataclass(frozen=True)
class Batches:
    """How an order of structures is cut into batches.

    Parameters
    ----------
    size
        Structures in a batch, or, with `max_atoms` or `max_edges`, the most of them; None: any number.
    max_atoms, max_edges
        The most atoms and edges in a batch: it ends where the next structure would not fit. Edges are
        counted for a stored list of neighbours only.
    bucket
        Puts structures of similar size together, for padded batches that are full: the order is taken
        in buckets of so many structures, each sorted by size, cut into batches, and these shuffled. A
        multiple of `size`; 32 times is a good choice: more waste less, fewer mix sizes sooner.
    drop_last
        Whether to leave out a last batch that is smaller.

    Raises
    ------
    InputError
        If a number makes no sense, or if nothing says how large batches are.
    ArgumentTypeError
        If something is of a type that makes no sense there.

    Examples
    --------
    >>> Batches(64, max_atoms=4000, bucket=2048)
    Batches(size=64, max_atoms=4000, max_edges=None, bucket=2048, drop_last=False)
    """

    size: int | None = None
    _: KW_ONLY
    max_atoms: int | None = None
    max_edges: int | None = None
    bucket: int | None = None
    drop_last: bool = False

    def __post_init__(self) -> None:
        check(drop_last=self.drop_last)
        _set(
            self,
            size=whole("the size of a batch", self.size),
            max_atoms=whole("max_atoms", self.max_atoms),
            max_edges=whole("max_edges", self.max_edges),
            bucket=whole("bucket", self.bucket),
            drop_last=bool(self.drop_last),
        )
        check_size(self.size, self.bucket, self.bounded)

    @property
    def bounded(self) -> bool:
        """Whether something but the number of structures bounds a batch."""
        return self.max_atoms is not None or self.max_edges is not None


@keywords()
@dataclass(frozen=True, eq=False)
class Shuffle:
    """A random order of structures, another one in every epoch.

    Parameters
    ----------
    how
        ``"full"``: all structures in random order. ``"block"``: blocks of consecutive structures in
        random order, shuffled inside a window of several blocks, for data that don't fit into the cache.
        ``"auto"`` chooses between the two from the sizes, and the loader's repr says which.
    seed
        Chooses the orders. By default a loader draws it from its ``generator``; on several ranks without
        one it is 0, so that they agree.
    weights
        Of the structures, shape (n,): as many as there are will be drawn in an epoch, with replacement,
        with probabilities in proportion to these. ``loader.sampler.update(weights)`` brings others for the
        next epoch. For other numbers, or no replacement, give a `zstruct.loading.order.WeightedSampler` as
        ``sampler``.

    Raises
    ------
    InputError
        If something makes no sense.
    ArgumentTypeError
        If a seed is no number.

    Examples
    --------
    >>> Shuffle("block", seed=1)
    Shuffle(how='block', seed=1, weights=None)
    """

    how: Literal["auto", "full", "block"] = "auto"
    _: KW_ONLY
    seed: int | None = None
    weights: ArrayLike | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.how, str) or self.how not in ("auto", "full", "block"):
            raise InputError(f"shuffle is True, False, 'full' or 'block', not {shown(self.how)}")
        if self.weights is not None and self.how != "auto":
            raise InputError(f"weights draw in random order: they can't be combined with {self.how!r}")
        _set(self, seed=whole("seed", self.seed))

    @classmethod
    def asked(cls, given: bool | str | Shuffle) -> Shuffle | None:
        """Return what a short form stands for; None: no shuffle."""
        if isinstance(given, Shuffle | str | Mapping):
            return as_options(cls, given)
        if not isinstance(given, int | np.bool_) or given not in (True, False):
            raise InputError(f"shuffle is True, False, 'full' or 'block', not {shown(given)}")
        return cls() if given else None


@keywords()
@dataclass(frozen=True)
class Ranks:
    """The processes that share the structures of an epoch, and which of them this is.

    Parameters
    ----------
    rank, world_size
        This process and how many there are: each loads its own share of the structures, or, where batches
        are cut by size, of the batches. By default those of ``torch.distributed``, where that is
        initialized.
    even
        What to do where shares differ by one structure or batch: ``"pad"`` repeats some, ``"drop"`` leaves
        some out, so that all ranks have the same number of batches; None, nothing.

    Raises
    ------
    InputError
        If a number makes no sense, or if only one of them is given.
    ArgumentTypeError
        If one is no number.

    Examples
    --------
    >>> Ranks(0, 4, even="drop")
    Ranks(rank=0, world_size=4, even='drop')
    """

    rank: int | None = None
    world_size: int | None = None
    even: Even = None

    def __post_init__(self) -> None:
        _set(self, rank=whole("rank", self.rank), world_size=whole("world_size", self.world_size))
        if (self.rank is None) != (self.world_size is None):
            raise InputError("rank and world_size go together: give both, or neither")
        check_ranks(self.rank or 0, 1 if self.world_size is None else self.world_size, self.even)

    @classmethod
    def asked(cls, given: Any) -> Ranks:
        """Return what a short form stands for: a pair, or None for those of torch."""
        if isinstance(given, tuple) and len(given) == 2:
            return cls(*given)
        if given is not None and not isinstance(given, cls | Mapping):
            raise ArgumentTypeError(f"ranks are Ranks(rank, world_size), or these two, not {shown(given)}")
        return as_options(cls, given)


_MOST = 1 << 12  # of threads or batches ahead: more would be a slip of the pen


@keywords()
@dataclass(frozen=True)
class Threads:
    """Threads that make batches ahead of the loop that uses them.

    Parameters
    ----------
    number
        How many; 0: batches are made when they are asked for. By default 2, or 1 on two cores, if batches
        take more than 0.1 ms. Only without worker processes.
    ahead
        Batches that they make ahead, by default 4.

    Raises
    ------
    InputError
        If a number makes no sense.
    ArgumentTypeError
        If one is no number.
    """

    number: int | None = None
    ahead: int | None = None

    def __post_init__(self) -> None:
        _set(
            self,
            number=whole("threads", self.number, 0, _MOST),
            ahead=whole("batches ahead", self.ahead, 1, _MOST),
        )


def check_size(batch_size: int | None, bucket_size: int | None, bounded: bool) -> None:
    """Raise if so many structures make no batch or no bucket; `bounded` says whether there is a budget."""
    if batch_size is None and not bounded:
        raise InputError("nothing says how large batches are: give a number of structures, atoms or edges")
    if batch_size is not None and batch_size < 1:
        raise InputError(f"a batch is a number of structures, at least 1, not {batch_size}")
    if bucket_size is not None and bucket_size < 1:
        raise InputError(f"a bucket is a number of structures, at least 1, not {bucket_size}")
    if bucket_size is not None and batch_size is not None and not bounded and bucket_size % batch_size:
        raise InputError(
            f"a bucket is a number of structures, a multiple of the {batch_size} of a batch such as "
            f"{32 * batch_size}, not {bucket_size}"
        )


def check_ranks(rank: int, world_size: int, even: Any) -> None:
    """Raise if there is no such rank, or no such way to make shares even."""
    if world_size < 1:
        raise InputError(f"world_size is a whole number from 1, not {world_size}")
    if not 0 <= rank < world_size:
        raise InputError(f"rank must be in range({world_size}), the world_size, but is {rank}")
    if not (even is None or (isinstance(even, str) and even in ("pad", "drop"))):
        raise InputError(f"even is 'pad', 'drop' or None, not {shown(even)}")
