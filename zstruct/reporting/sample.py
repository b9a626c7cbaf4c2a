"""Which structures are in a page: a few thousand at random, in proportion to the groups, and those named."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zstruct.reporting.groups import Groups
from zstruct.text import counted

__all__ = ["Sample", "drawn"]

_LEAST = 10  # of each group
_SEED = 20_000


@dataclass(frozen=True, eq=False)
class Sample:
    """Structures that are in a page.

    Parameters
    ----------
    places
        Which of the structures, ascending, shape (n,), int64.
    told
        How they were chosen, for people.
    """

    places: NDArray[np.int64]
    told: str


def drawn(
    groups: Groups, n_atoms: NDArray[np.int64], named: NDArray[np.int64], most: int, most_atoms: int
) -> Sample:
    """Draw structures at random from each group, in proportion to its size, and add those that are named.

    Parameters
    ----------
    groups
        The groups of all structures.
    n_atoms
        Atoms of each structure, shape (n,).
    named
        Structures that have to be there, as the page speaks of them.
    most
        How many structures there may be.
    most_atoms
        How many atoms they may have together; fewer structures are drawn until they have no more. Named ones
        are left out, the last first, where they alone have more, and a structure that alone has more.
    """
    n, fits = len(n_atoms), n_atoms <= most_atoms
    first = np.unique(named, return_index=True)[1]
    named = named[np.sort(first)]
    named = named[fits[named]][:most]
    named = named[np.cumsum(n_atoms[named]) <= most_atoms]
    wanted = min(n, most)
    order = np.random.default_rng(_SEED).permutation(n)  # the same for the same store
    order = order[~np.isin(order, named) & fits[order]]
    while True:
        kept = np.union1d(named, _of_groups(groups.codes[order], order, max(0, wanted - len(named))))
        atoms = int(n_atoms[kept].sum())
        if atoms <= most_atoms or wanted <= len(named):
            break
        wanted = max(len(named), min(wanted - 1, int(wanted * 0.98 * most_atoms / atoms)))
    told = _told(groups, n, len(kept), len(named), atoms > 0.9 * most_atoms)
    large = n - int(fits.sum())
    return Sample(kept, told + (f"; without {large:,} of more than {most_atoms:,} atoms" if large else ""))


def _of_groups(codes: NDArray[np.int64], order: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """Return structures of each group, the first ones in an order that was drawn, with these codes."""
    if wanted >= len(order):
        return order
    sizes = np.bincount(codes)
    least = min(_LEAST, wanted // len(sizes))
    shares = np.minimum(sizes, np.maximum(sizes * wanted // len(order), least))
    while shares.sum() > wanted:
        shares[np.argmax(shares)] -= min(int(shares.sum()) - wanted, int(shares.max()) // 2 + 1)
    by_group = np.argsort(codes, kind="stable")
    begins = np.concatenate([[0], np.cumsum(sizes)])
    firsts = [by_group[a : a + k] for a, k in zip(begins[:-1], shares, strict=True)]
    return order[np.concatenate(firsts)]


def _told(groups: Groups, n: int, kept: int, named: int, full: bool) -> str:
    if kept == n:
        return "the one structure" if n == 1 else f"all {counted(n, 'structure')}"
    told = f"{kept:,} of {counted(n, 'structure')}, drawn at random"
    if groups.by is not None:
        told += f" from each {groups.by} in proportion to its size, at least {_LEAST} of each"
    if named:
        told += f"; among them all {named:,} that are named below"
    return told + ("; not more, as their atoms fill the page" if full else "")
