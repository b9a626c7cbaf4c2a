"""What users say of what samples have, in small objects that check themselves: edges, cache, forces.

``neighbors=5.0`` is ``neighbors=Edges(5.0)``, and ``cache="shared"`` is ``cache=Cache("shared")``. Whatever
depends on a store is checked where it is known. Nothing is known here of how anything is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from zstruct.arguments import KEPT, count, names, real, require, shown, whole
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.geometry.neighbors import NeighborList
from zstruct.keywords import keywords, set_fields

__all__ = ["CARRIED", "Cache", "Edges", "Forces"]

#: What edges can carry.
CARRIED = ("edge_shift", "edge_vec", "edge_dist")


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
            set_fields(self, cutoff=NeighborList(self.cutoff).cutoff)
        asked = [self.carry] if isinstance(self.carry, str) else names("carry", self.carry)
        if unknown := [name for name in asked if name not in CARRIED]:
            raise InputError(f"edges carry {', '.join(CARRIED)}, not {', '.join(map(shown, unknown))}")
        set_fields(self, carry=tuple(dict.fromkeys(asked)))


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
        set_fields(self, minimum=least, every=count("every", self.every, 1), seed=count("seed", self.seed, 0))
