"""Groups of structures that are alike, and what is known of their members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.ragged import chosen_rows, counts_to_offsets
from zstruct.store.store import Store
from zstruct.text import counted, csv_text

__all__ = ["Duplicates"]

_SHOWN = 8  # groups that are printed
_ENERGY, _FORCE = 0.001, 0.1  # eV/atom and eV/angstrom that count as the same disagreement
_UNIT = "eV/angstrom"
_OF_MEMBERS = ("store", "structure", "energy_per_atom", "force_difference")


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Result of `zstruct.duplicates`: groups of structures that are alike; printing it gives a summary.

    Those whose energies or forces disagree most come first, where 0.001 eV/atom count as much as
    0.1 eV/angstrom, and the largest ones next. The members of group k are the rows ``edges[k]:edges[k + 1]``
    of `store`, `structure`, `energy_per_atom` and `force_difference`.

    Parameters
    ----------
    stores
        The stores, in the order in which they were given.
    tolerance
        The largest displacement of an atom, in angstrom.
    n_structures
        Structures that were compared.
    not_compared
        Structures that could not be: positions that are not finite, or periods along vectors that are
        missing or not independent.
    edges
        Where the groups begin, and where the last one ends, shape (n_groups + 1,), int64.
    store
        For each member the number of its store in `stores`, shape (n_members,), int64.
    structure
        For each member its number in that store, shape (n_members,), int64; of a group ascending, store
        by store.
    energy_per_atom
        For each member, in eV, shape (n_members,), float64; NaN where it has none.
    force_difference
        For each member, by how much forces on an atom differ at most from those of the first one of its group
        that has some, turned and in the order of that, in eV/angstrom, shape (n_members,), float64; NaN
        without. For the first it is the largest one, at the far end of a chain that from others beside it.
    supercells
        Whether periodic structures were compared with what they are repetitions of.
    undecided
        Pairs of structures in different groups, or in none, that may be alike: the work for a pair is
        bounded, and it was done before that was known.
    """

    stores: Sequence[Store]
    tolerance: float
    n_structures: int
    not_compared: int
    edges: NDArray[np.int64]
    store: NDArray[np.int64]
    structure: NDArray[np.int64]
    energy_per_atom: NDArray[np.float64]
    force_difference: NDArray[np.float64]
    supercells: bool = False
    undecided: int = 0

    def __len__(self) -> int:
        return len(self.edges) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Members of each group, shape (n_groups,)."""
        return np.diff(self.edges)

    @property
    def group(self) -> NDArray[np.int64]:
        """For each member the number of its group, shape (n_members,)."""
        return np.repeat(np.arange(len(self)), self.sizes)

    @cached_property
    def energy_spread(self) -> NDArray[np.float64]:
        """By how much energies per atom of each group differ, in eV, shape (n_groups,); NaN without two."""
        if not len(self):
            return np.zeros(0)
        there = np.isfinite(self.energy_per_atom)
        high = np.maximum.reduceat(np.where(there, self.energy_per_atom, -np.inf), self.edges[:-1])
        low = np.minimum.reduceat(np.where(there, self.energy_per_atom, np.inf), self.edges[:-1])
        several = np.add.reduceat(there.astype(np.int64), self.edges[:-1]) > 1
        return np.where(several, high - low, np.nan)

    @cached_property
    def force_spread(self) -> NDArray[np.float64]:
        """By how much forces of each group differ, in eV/angstrom, shape (n_groups,); NaN without two.

        That is the largest `force_difference`. Where a structure can be brought upon another in several ways,
        as it has a symmetry, it is that of the way by which forces differ least, of up to 200; of fewer
        where atoms are many, as the work for a pair is bounded.
        """
        if not len(self):
            return np.zeros(0)
        return np.fmax.reduceat(self.force_difference, self.edges[:-1])

    @property
    def disagreement(self) -> NDArray[np.float64]:
        """By how much labels of each group disagree: what groups are sorted by, shape (n_groups,).

        The larger one of the spread of energies in 0.001 eV/atom, and that of forces in 0.1 eV/angstrom; zero
        where neither is known.
        """
        of_energies, of_forces = self.energy_spread / _ENERGY, self.force_spread / _FORCE
        return np.fmax(np.fmax(of_energies, of_forces), 0.0)

    def redundant(self, store: int = 0) -> NDArray[np.int64]:
        """Return the structures of a store that are not the first of their group, ascending.

        Parameters
        ----------
        store
            Its number in `stores`.
        """
        first = np.zeros(len(self.store), bool)
        first[self.edges[:-1]] = True
        return np.sort(self.structure[(self.store == store) & ~first])

    def only(self, groups: NDArray[Any]) -> Duplicates:
        """Return some of the groups, in the same order; or in another one.

        Parameters
        ----------
        groups
            Which, shape (n_groups,), bool; or the numbers of groups, in the order in which they are wanted.
        """
        chosen = np.arange(len(self))[groups]
        rows, sizes = chosen_rows(self.edges, chosen)
        members = {name: getattr(self, name)[rows] for name in _OF_MEMBERS}
        return replace(self, edges=counts_to_offsets(sizes), **members)

    def among(self, members: NDArray[np.bool_]) -> Duplicates:
        """Return the groups of some of the members, in the same order; those with two or more of them.

        Parameters
        ----------
        members
            Which, shape (n_members,).
        """
        sizes = np.bincount(self.group[members], minlength=len(self))
        kept = members & np.repeat(sizes > 1, self.sizes)
        of_members = {name: getattr(self, name)[kept] for name in _OF_MEMBERS}
        return replace(self, edges=counts_to_offsets(sizes[sizes > 1]), **of_members)

    def __call__(self, store: Store) -> NDArray[np.int64]:
        """Return a number for each structure of one of the stores, the same for duplicates.

        So this can be what `zstruct.split` takes for `by`.

        Parameters
        ----------
        store
            One of `stores`, as it was when they were compared.

        Raises
        ------
        InputError
            If it is none of them.
        """
        codes = np.arange(store.n_structures) + len(self)
        mine = self._of(store)
        codes[self.structure[mine]] = self.group[mine]
        return codes

    def structures(self, store: Store) -> NDArray[np.int64]:
        """Return which structures of one of the stores are in a group, ascending.

        So this, or some of its groups, can be a part of a split: ``{"twins": found, "others": ...}``.

        Parameters
        ----------
        store
            One of `stores`, as it was when they were compared.

        Raises
        ------
        InputError
            If it is none of them.
        """
        return np.sort(self.structure[self._of(store)])

    def _of(self, store: Store) -> NDArray[np.bool_]:
        """Return which members are of a store, shape (n_members,)."""
        same = [k for k, one in enumerate(self.stores) if one.digest == store.digest]
        if not same:
            raise InputError(f"these duplicates are not of {store.path} as it is now; find them again")
        return self.store == same[0]

    @property
    def within(self) -> str:
        """What was compared, in words: within which tolerance, and whether supercells were."""
        return f"within {self.tolerance:g} angstrom" + (", supercells too" if self.supercells else "")

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """What is known of each member, by name: group, store, structure, labels and how these differ.

        Each has shape (n_members,); `pandas.DataFrame` makes a table of it. The store is its path, and the
        spreads, of energies and of forces, are those of the group.
        """
        paths = np.array([one.path for one in self.stores], dtype=object)
        return {
            "group": self.group,
            "store": paths[self.store],
            "structure": self.structure,
            "energy_per_atom": self.energy_per_atom,
            "energy_spread": np.repeat(self.energy_spread, self.sizes),
            "force_difference": self.force_difference,
            "force_spread": np.repeat(self.force_spread, self.sizes),
        }

    def csv(self) -> str:
        """Return a row for each member as CSV with a header; numbers have all their digits, NaN is empty."""
        return csv_text({name: column.tolist() for name, column in self.columns.items()})

    @property
    def doubts(self) -> list[str]:
        """What is not known, in words, a line each."""
        lines = []
        if self.not_compared:
            lines.append(f"not compared, for there is no saying: {self.not_compared:,}")
        if self.undecided:
            pairs = counted(self.undecided, "pair")
            lines.append(f"not known to be duplicates or not, as it takes long: {pairs}")
        return lines

    def __str__(self) -> str:
        lines = [f"{counted(self.n_structures, 'structure')} compared, {self.within}", *self.doubts]
        if not len(self):
            return "\n".join([*lines, "no duplicates"])
        members = int(self.edges[-1])
        lines.append(
            f"{members:,} of them in {counted(len(self), 'group')} of {int(self.sizes.min()):,} to "
            f"{int(self.sizes.max()):,}; without duplicates {self.n_structures - members + len(self):,}"
        )
        lines += [self._line(k) for k in range(min(len(self), _SHOWN))]
        if len(self) > _SHOWN:
            lines.append(f"  ... and {counted(len(self) - _SHOWN, 'group')} more")
        return "\n".join(lines)

    __repr__ = __str__  # that of a dataclass has pages of numbers

    def _line(self, k: int) -> str:
        """Return what is said of one group."""
        rows = slice(int(self.edges[k]), int(self.edges[k + 1]))
        several = len(self.stores) > 1
        members = [
            f"{self.stores[s].path}: {n}" if several else str(n)
            for s, n in zip(
                self.store[rows][:_SHOWN].tolist(), self.structure[rows][:_SHOWN].tolist(), strict=True
            )
        ]
        more = ", ..." if int(self.sizes[k]) > _SHOWN else ""
        spreads = {"energies": (self.energy_spread[k], "eV/atom"), "forces": (self.force_spread[k], _UNIT)}
        known = [f"{what} differ by {x:.3g} {unit}" for what, (x, unit) in spreads.items() if not np.isnan(x)]
        differ = "".join(f"; {one}" for one in known)
        return f"  {int(self.sizes[k]):,}: {', '.join(members)}{more}{differ}"
