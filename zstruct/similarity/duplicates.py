"""Find duplicates within stores and between them, and say what they are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.arguments import check
from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.parallel import WORKERS
from zstruct.progress import Runner
from zstruct.similarity.chosen import Chosen
from zstruct.similarity.fingerprints import fingerprints
from zstruct.similarity.search import find_duplicates
from zstruct.store.store import Store
from zstruct.text import counted, csv_text

if TYPE_CHECKING:
    from zstruct.parallel import Client

__all__ = ["TOLERANCE", "Duplicates", "duplicates"]

#: The largest displacement of an atom, in angstrom, if none is said.
TOLERANCE = 0.01
_LEAST = 1e-6  # angstrom; what is nearer is at one place, for all that rounding leaves of it
_MOST = 0.5  # angstrom; farther away than that, it is often another atom that is nearest
_SHOWN = 8  # groups that are printed


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Result of `zstruct.duplicates`: groups of structures that are alike; printing it gives a summary.

    Those whose energies disagree most come first, the largest ones next. The members of group k are the
    rows ``edges[k]:edges[k + 1]`` of `store`, `structure` and `energy_per_atom`.

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
    """

    stores: Sequence[Store]
    tolerance: float
    n_structures: int
    not_compared: int
    edges: NDArray[np.int64]
    store: NDArray[np.int64]
    structure: NDArray[np.int64]
    energy_per_atom: NDArray[np.float64]

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

    def only(self, groups: NDArray[np.bool_]) -> Duplicates:
        """Return some of the groups, in the same order.

        Parameters
        ----------
        groups
            Which, shape (n_groups,).
        """
        rows = np.repeat(groups, self.sizes)
        edges = np.concatenate([[0], np.cumsum(self.sizes[groups])]).astype(np.int64)
        members = {name: getattr(self, name)[rows] for name in ("store", "structure", "energy_per_atom")}
        return replace(self, edges=edges, **members)

    def among(self, members: NDArray[np.bool_]) -> Duplicates:
        """Return the groups of some of the members, in the same order; those with two or more of them.

        Parameters
        ----------
        members
            Which, shape (n_members,).
        """
        sizes = np.bincount(self.group[members], minlength=len(self))
        kept = members & np.repeat(sizes > 1, self.sizes)
        edges = np.concatenate([[0], np.cumsum(sizes[sizes > 1])]).astype(np.int64)
        of_members = {name: getattr(self, name)[kept] for name in ("store", "structure", "energy_per_atom")}
        return replace(self, edges=edges, **of_members)

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
    def columns(self) -> dict[str, NDArray[Any]]:
        """What is known of each member, by name: group, store, structure, energy_per_atom, energy_spread.

        Each has shape (n_members,); `pandas.DataFrame` makes a table of it. The store is its path, and the
        spread that of the group.
        """
        paths = np.array([one.path for one in self.stores], dtype=object)
        return {
            "group": self.group,
            "store": paths[self.store],
            "structure": self.structure,
            "energy_per_atom": self.energy_per_atom,
            "energy_spread": np.repeat(self.energy_spread, self.sizes),
        }

    def csv(self) -> str:
        """Return a row for each member as CSV with a header; numbers have all their digits, NaN is empty."""
        return csv_text({name: column.tolist() for name, column in self.columns.items()})

    def __str__(self) -> str:
        within = f"within {self.tolerance:g} angstrom"
        lines = [f"{counted(self.n_structures, 'structure')} compared, {within}"]
        if self.not_compared:
            lines.append(f"not compared, for there is no saying: {self.not_compared:,}")
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
        spread = self.energy_spread[k]
        differ = "" if np.isnan(spread) else f"; energies differ by {spread:.3g} eV/atom"
        return f"  {int(self.sizes[k]):,}: {', '.join(members)}{more}{differ}"


@keywords(WORKERS)
def duplicates(
    stores: Any,
    tolerance: float = TOLERANCE,
    *,
    workers: int | Client | None = None,
    progress: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Duplicates:
    """Find structures that are alike, within stores and between them.

    Two structures are duplicates if a rotation and a translation bring the atoms of one upon atoms of the
    same elements of the other, one upon one, so that none is farther away than the tolerance. The order of
    atoms does not matter, and neither does which periodic image of an atom is meant, or by which vectors a
    lattice is given, whose shortest vectors have to agree within the tolerance, too; a structure and its
    supercell are two. Mirror images differ. Groups are what hangs together: in a trajectory of small steps
    the first and the last structure may be in one group, so their sizes are said.

    Pairs that are reported are duplicates. None is missed as long as the tolerance is less than a twelfth
    of the distance between any two atoms of the same element. In memory are about 150 bytes for each
    structure.

    Parameters
    ----------
    stores
        A store or its path; a dataset, also one that is a part of a store; or several of them.
    tolerance
        The largest displacement of an atom, in angstrom, up to 0.5. Less than 1e-6 counts as that.
    workers
        Number of threads, by default one per processor. Or a `distributed.Client` to run on, by default
        the active one.
    progress
        Whether to show a progress bar.
    storage_options
        Of stores that are given as URLs, for fsspec: keys, endpoints and the like.

    Raises
    ------
    InputError
        If something is no store, or the tolerance can't be one.
    StoreFormatError
        If there is no finished store.
    ChangedInputError
        If a store was replaced meanwhile.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/molecules.zarr"
    >>> molecules = [ase.build.molecule(name) for name in ("H2O", "CH4", "H2O")]
    >>> molecules[2].rotate(40, (1, 2, 3))
    >>> report = zstruct.build(molecules, path, progress=False)
    >>> found = zstruct.duplicates(path)
    >>> found.sizes, found.structure
    (array([2]), array([0, 2]))
    """
    check(tolerance=tolerance, progress=progress)
    largest = max(float(tolerance), _LEAST)
    if largest > _MOST:
        raise InputError(f"tolerance is a length of 0 to {_MOST} angstrom, not {largest:g}")
    several = isinstance(stores, Sequence) and not isinstance(stores, str | os.PathLike)
    parts = [Chosen.of(one, storage_options) for one in (stores if several else [stores])]
    if not parts:
        raise InputError("there are no stores to look at")
    runner = Runner(parallel.chosen_workers(workers), progress, unit=" structures")
    try:
        prints = fingerprints(parts, runner)
        roots = find_duplicates(parts, prints, largest, runner)
    finally:
        runner.close()
    return _described(parts, largest, roots, int((~prints.usable).sum()))


def _described(
    parts: Sequence[Chosen], tolerance: float, roots: NDArray[np.int64], not_compared: int
) -> Duplicates:
    """Return what there is to know of groups, in the order in which they are looked at."""
    n = len(roots)
    members = np.flatnonzero(np.bincount(roots, minlength=n)[roots] > 1)
    members = members[np.argsort(roots[members], kind="stable")]
    edges = np.append(np.flatnonzero(np.diff(roots[members], prepend=-1)), len(members)).astype(np.int64)
    begins = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    store = np.searchsorted(begins, members, side="right") - 1
    structure, energy = np.empty(len(members), np.int64), np.full(len(members), np.nan)
    for k, part in enumerate(parts):
        mine = np.flatnonzero(store == k)
        structure[mine] = part.numbered(members[mine] - begins[k])
        order = mine[np.argsort(structure[mine], kind="stable")]
        chosen = structure[order]
        counts = part.offsets[chosen + 1] - part.offsets[chosen]
        energy[order] = part.column("energy", chosen) / counts
    stores = [part.store for part in parts]
    plain = Duplicates(stores, tolerance, n - not_compared, not_compared, edges, store, structure, energy)
    spread = np.nan_to_num(plain.energy_spread, nan=-1.0)
    order = np.lexsort((-plain.sizes, -spread))
    sizes = plain.sizes[order]
    rows = np.concatenate([np.arange(edges[k], edges[k + 1]) for k in order]) if len(order) else members[:0]
    return Duplicates(
        stores,
        tolerance,
        n - not_compared,
        not_compared,
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        store[rows],
        structure[rows],
        energy[rows],
    )
