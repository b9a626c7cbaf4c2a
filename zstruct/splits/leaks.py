"""Leaks: structures that have a duplicate in another part of a split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import check, shown
from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.parallel import WORKERS
from zstruct.similarity.chosen import Chosen
from zstruct.similarity.duplicates import TOLERANCE, duplicates
from zstruct.similarity.groups import Duplicates
from zstruct.store.split_parts import Split
from zstruct.store.splits import open_split
from zstruct.text import counted, csv_text

if TYPE_CHECKING:
    from zstruct.parallel import Client

__all__ = ["Leaks", "leaks", "leaks_among"]


@dataclass(frozen=True, eq=False)
class Leaks:
    """Result of `zstruct.leaks`: groups of duplicates in more than one part; printing it gives a summary.

    Parameters
    ----------
    split
        Name of the split.
    labels
        Names of its parts.
    duplicates
        The groups, those whose labels disagree most first.
    part
        For each member of `duplicates` the place of its part in `labels`, shape (n_members,), int64.
    n_structures
        Structures of each part that were compared, shape (n_parts,), int64.
    """

    split: str
    labels: tuple[str, ...]
    duplicates: Duplicates
    part: NDArray[np.int64]
    n_structures: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.duplicates)

    def counts(self) -> NDArray[np.int64]:
        """Return how many structures of a part have a duplicate in another, shape (n_parts, n_parts).

        Row and column are the places of the parts in `labels`; the diagonal is zero.
        """
        n, group = len(self.labels), self.duplicates.group
        there = np.zeros((len(self), n), bool)
        there[group, self.part] = True
        found = np.zeros((n, n), np.int64)
        for k in range(n):
            found[k] = there[group[self.part == k]].sum(axis=0)
        np.fill_diagonal(found, 0)
        return found

    def structures(self, label: str) -> NDArray[np.int64]:
        """Return the structures of a part that have a duplicate in another one, ascending.

        Raises
        ------
        InputError
            If the split has no such part.
        """
        if label not in self.labels:
            raise InputError(
                f"the split {self.split!r} has no part {shown(label)}; it has {', '.join(self.labels)}"
            )
        return np.sort(self.duplicates.structure[self.part == self.labels.index(label)])

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """What is known of each structure, by name: what `Duplicates.columns` has, and its part."""
        return self.duplicates.columns | {"part": np.array(self.labels, dtype=object)[self.part]}

    def csv(self) -> str:
        """Return a row for each structure as CSV with a header."""
        return csv_text({name: column.tolist() for name, column in self.columns.items()})

    def __str__(self) -> str:
        within = self.duplicates.within
        if not len(self):
            none = f"splits/{self.split}: no structure has a duplicate in another part, {within}"
            return "\n".join([none, *self.duplicates.doubts])
        groups = counted(len(self), "group")
        lines = [f"splits/{self.split}: {groups} of duplicates in more than one part, {within}"]
        lines += self.duplicates.doubts
        counts = self.counts()
        for a, b in zip(*np.nonzero(counts), strict=True):
            which = counted(int(counts[a, b]), "structure")
            share = f"{counts[a, b] / self.n_structures[a]:.2%}"
            lines.append(f"  {self.labels[a]}: {which} ({share}) with a duplicate in {self.labels[b]}")
        return "\n".join([*lines, *str(self.duplicates).splitlines()[2 + len(self.duplicates.doubts) :]])

    __repr__ = __str__  # that of a dataclass has pages of numbers


@keywords(WORKERS)
def leaks(
    store: Any,
    split: str = "default",
    tolerance: float = TOLERANCE,
    *,
    supercells: bool = False,
    workers: int | Client | None = None,
    progress: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Leaks:
    """Find structures that have a duplicate in another part of a split.

    Parameters
    ----------
    store
        A store or its path; or a dataset, also one that is a part of a store.
    split
        Name of the split.
    tolerance
        The largest displacement of an atom, in angstrom; see `zstruct.duplicates`.
    supercells
        Whether to compare periodic structures with what they are repetitions of, too; see there.
    workers
        Number of threads, by default one per processor. Or a `distributed.Client` to run on, by default
        the active one.
    progress
        Whether to show a progress bar.
    storage_options
        Of a store that is given as a URL, for fsspec: keys, endpoints and the like.

    Raises
    ------
    InputError
        If it is no store, there is no such split, or the tolerance can't be one.
    StaleGroupError
        If the split was drawn for other content than the store has now.
    StoreFormatError, ChangedInputError
        As for `zstruct.duplicates`.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/molecules.zarr"
    >>> molecules = [ase.build.molecule(name) for name in ("H2O", "CH4", "H2O", "CO2")]
    >>> report = zstruct.build(molecules, path, progress=False)
    >>> parts = zstruct.split(path, {"train": [0, 1], "test": [2, 3]}, name="default")
    >>> zstruct.leaks(path).structures("test")
    array([2])
    """
    check(progress=progress)
    chosen = Chosen.of(store, storage_options)
    parts = open_split(chosen.store, split)
    inside = np.flatnonzero(parts.codes >= 0)
    if chosen.rows is not None:
        inside = np.intersect1d(inside, chosen.rows)
    rows = None if len(inside) == chosen.store.n_structures else inside
    found = duplicates(
        Chosen(chosen.store, rows), tolerance, supercells=supercells, workers=workers, progress=progress
    )
    return leaks_among(found, parts, split, inside)


def leaks_among(found: Duplicates, parts: Split, split: str, rows: NDArray[np.int64] | None = None) -> Leaks:
    """Return those groups of duplicates that are in more than one part of a split.

    Parameters
    ----------
    found
        Duplicates of the store; structures in no part are left out of their groups.
    parts
        The split of that store.
    split
        Its name.
    rows
        Which structures of the store were compared, ascending; None for all.
    """
    inside = found.among(parts.codes[found.structure] >= 0)
    part = parts.codes[inside.structure].astype(np.int64)
    codes = parts.codes if rows is None else parts.codes[rows]
    n_structures = np.bincount(codes[codes >= 0], minlength=len(parts.labels))
    if not len(inside):
        return Leaks(split, parts.labels, inside, part, n_structures)
    several = np.minimum.reduceat(part, inside.edges[:-1]) < np.maximum.reduceat(part, inside.edges[:-1])
    return Leaks(
        split, parts.labels, inside.only(several), part[np.repeat(several, inside.sizes)], n_structures
    )
