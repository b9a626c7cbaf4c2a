"""What users say of batches and their order, in small objects that check themselves.

``loader(64, shuffle=True)`` is ``loader(Batches(64), Shuffle())``, and ``ranks=(0, 4)`` is
``ranks=Ranks(0, 4)``. Whatever depends on a dataset is checked where it is known. Nothing is known here of
how structures are ordered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from zstruct.arguments import check, shown, whole
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.keywords import as_options, keywords, set_fields

__all__ = ["Batches", "Even", "Ranks", "Shuffle", "Threads", "check_ranks", "check_size"]

#: What ranks do where their shares differ.
Even = Literal["pad", "drop"] | None

_MOST = 1 << 12  # of threads or batches ahead: more would be a slip of the pen


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
        set_fields(
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
        set_fields(self, seed=whole("seed", self.seed))

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
        set_fields(self, rank=whole("rank", self.rank), world_size=whole("world_size", self.world_size))
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
        set_fields(
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
