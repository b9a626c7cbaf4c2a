"""Go once over some structures of a store, range by range and in parallel, in bounded memory.

Says which structures are meant, cuts them where the shards of the atoms end, and has a function look
at one range after the other; what it looks for is not known here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zstruct import parallel
from zstruct.arguments import check, shown
from zstruct.errors import ArgumentTypeError, InputError, StaleGroupError
from zstruct.progress import Runner
from zstruct.query import Selection, narrowed
from zstruct.schema import ATOM
from zstruct.store.datasets import Dataset, store_and_rows, structures_once
from zstruct.store.digests import rows_digest
from zstruct.store.labelled import labelled, labels_of
from zstruct.store.labels import open_labels
from zstruct.store.splits import open_part
from zstruct.store.store import Store

if TYPE_CHECKING:
    from zstruct.parallel import Client

__all__ = ["Part", "Stretch", "check_part", "scan"]

R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Part:
    """Some structures of a store.

    Parameters
    ----------
    store
        The store.
    rows
        Which of its structures, ascending, each once, shape (n,); None for all.
    split
        Name and label of the split that they are a part of, if they were given as such and are all of it.
    selection
        How they were chosen, if by more than that.
    """

    store: Store
    rows: NDArray[np.int64] | None = None
    split: tuple[str, str] | None = None
    selection: Selection | None = None

    @classmethod
    def of(
        cls,
        given: str | os.PathLike[str] | Store | Dataset | Part,
        split: str | tuple[str, str] | None = None,
        storage_options: Mapping[str, Any] | None = None,
        select: str | Selection | None = None,
        labels: str | None = None,
    ) -> Part:
        """Return the structures of a store, its path or a dataset.

        Parameters
        ----------
        given
            The store or dataset. Structures that a dataset has more than once are taken once.
        split
            Of a store, the part to take: a label of the split "default", or name and label.
        storage_options
            Of a store that is given as a URL.
        select
            An expression that holds for the structures to take, or a `Selection` of them.
        labels
            Of a store, labels in place of its own.

        Raises
        ------
        InputError
            If it is something else, there is no such split or part, or the expression is none.
        StaleGroupError
            If the split was drawn for other content.
        """
        check(split=split)
        if not (labels is None or isinstance(labels, str)):
            raise ArgumentTypeError(f"labels is the name of labels, or None, not {shown(labels)}")
        if isinstance(given, Part):
            return given
        store, rows = store_and_rows(given, storage_options)
        if rows is None:
            store = labelled(store, labels)
            if select is not None:
                selection = Selection().select(select, split=split)
                rows = narrowed(selection, store)
                return cls(store, None if rows is None else np.unique(rows), selection=selection)
            if split is None:
                return cls(store)
            name, label = ("default", split) if isinstance(split, str) else split
            return cls(store, np.flatnonzero(open_part(store, name, label)), (name, label))
        if split is not None or select is not None or labels is not None:
            raise InputError(
                "a dataset is a part with labels already: give it without split, select and labels, or give "
                "the store"
            )
        return cls(store, structures_once(store, rows))

    def __len__(self) -> int:
        return self.store.n_structures if self.rows is None else len(self.rows)

    @property
    def structures(self) -> NDArray[np.int64]:
        """Which structures of the store these are, as datasets say it, shape (n,)."""
        return np.arange(self.store.n_structures) if self.rows is None else self.rows

    @property
    def digest(self) -> str | None:
        """Of which structures these are; None if they are all."""
        return None if self.rows is None else rows_digest(self.rows.astype("<i8"))

    @property
    def attrs(self) -> dict[str, Any]:
        """What a group says of the part that it was made from, for `check_part`."""
        split = None if self.split is None else list(self.split)
        own = labels_of(self.store)
        said = {} if own is None else {"labels": [own.name, own.digest]}
        return {"split": split, "structures_digest": self.digest, **said}


def check_part(opened: Store, attrs: Mapping[str, Any], what: str, function: str) -> None:
    """Raise if a group was made from a part of a split that is another one now.

    Parameters
    ----------
    opened
        The store.
    attrs
        Those of the group.
    what, function
        What it is, with its name, and what makes it, for the error.

    Raises
    ------
    StaleGroupError
        Also if the split is gone; and if it was made from labels that are others now.
    """
    if attrs.get("labels") is not None:
        name, digest = attrs["labels"]
        try:
            same = open_labels(opened, name).digest == digest
        except InputError:
            same = False
        if not same:
            raise StaleGroupError(
                f"the {what} of {opened.path} was computed from the labels {name!r}, which are others now; "
                f"run {function} again with overwrite=True"
            )
    if attrs["split"] is None:
        return
    name, label = attrs["split"]
    try:
        same = Part.of(opened, (name, label)).digest == attrs["structures_digest"]
    except InputError:
        same = False
    if not same:
        raise StaleGroupError(
            f"the {what} of {opened.path} was computed from {label!r} of the split {name!r}, which is "
            f"another one now; run {function} again with overwrite=True"
        )


@dataclass(frozen=True, eq=False)
class Stretch:
    """Structures ``start:stop`` of a store, or some of them, read when they are asked for.

    Parameters
    ----------
    store
        The store.
    start, stop
        The first structure and the one after the last.
    kept
        Which of them are meant, shape (stop - start,); None for all.
    """

    store: Store
    start: int
    stop: int
    kept: NDArray[np.bool_] | None = None

    @cached_property
    def _edges(self) -> NDArray[np.int64]:
        return self.store.read("offsets", self.start, self.stop + 1)

    @cached_property
    def n_atoms(self) -> NDArray[np.int64]:
        """Atoms of each structure, shape (n,)."""
        counts = np.diff(self._edges)
        return counts if self.kept is None else counts[self.kept]

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Row edges of the structures in what `read` returns of atoms, shape (n + 1,)."""
        return np.concatenate([[0], np.cumsum(self.n_atoms)])

    def has(self, name: str) -> bool:
        """Return whether the store has a field."""
        return name in self.store.fields

    def read(self, name: str) -> NDArray[Any]:
        """Return the rows of a field, shape (n, ...) or (atoms, ...)."""
        edges = self._edges
        self.store.shape(name)  # says so if the store has none
        if self.store.fields[name].level != ATOM:
            rows = self.store.read(name, self.start, self.stop)
            return rows if self.kept is None else rows[self.kept]
        rows = self.store.read(name, int(edges[0]), int(edges[-1]))
        return rows if self.kept is None else rows[np.repeat(self.kept, np.diff(edges))]


def scan(
    function: Callable[[Stretch], R],
    part: Part,
    fields: Sequence[str],
    *,
    workers: int | Client | None = None,
    progress: bool | str = False,
) -> list[R]:
    """Call a function on all ranges of some structures and return what it returned, in their order.

    Parameters
    ----------
    function
        Called with a `Stretch` of one or more structures; picklable, it returns little.
    part
        The structures.
    fields
        What the function reads, to measure progress in bytes.
    workers
        Number of threads, by default one per processor. Or a `distributed.Client` to run on, by default
        the active one.
    progress
        Whether to show a progress bar, or what it says.
    """
    stretches, atoms = _stretches(part)
    per_atom = [part.store.fields[n].row_bytes for n in fields if part.store.fields[n].level == ATOM]
    sizes = [n * sum(per_atom) for n in atoms]
    runner = Runner(parallel.chosen_workers(workers), bool(progress))
    found: list[Any] = [None] * len(stretches)
    try:
        runner.begin(progress if isinstance(progress, str) else "", sum(sizes), 0)
        for k, result in runner.run(function, stretches, sizes):
            found[k] = result
    finally:
        runner.close()
    return found


def _stretches(part: Part) -> tuple[list[Stretch], list[int]]:
    """Return ranges of about a shard of atoms, cut between structures, and the atoms of each."""
    store, rows = part.store, part.rows
    offsets = store.read("offsets")
    step = store.grid("numbers").shard_rows
    cuts = np.searchsorted(offsets, np.arange(0, store.n_atoms + step, step))
    cuts = np.unique(np.minimum(cuts, store.n_structures))
    made, atoms = [], []
    for start, stop in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        kept = None
        if rows is not None:
            here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)]
            if len(here) == 0:
                continue
            start, stop = int(here[0]), int(here[-1]) + 1
            if len(here) < stop - start:
                kept = np.zeros(stop - start, dtype=bool)
                kept[here - start] = True
        made.append(Stretch(store, start, stop, kept))
        atoms.append(int(offsets[stop] - offsets[start]))
    return made, atoms
