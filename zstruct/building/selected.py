"""Stores among the inputs of a build: which of their structures are taken, and in which order."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zstruct.building.filters import Filters
from zstruct.building.stored_blocks import StoredInput
from zstruct.errors import InputError
from zstruct.query import Selection
from zstruct.sources import Source
from zstruct.sources.normalize.normalize import ReadOptions
from zstruct.sources.store.source import StoreSource

__all__ = ["check_apart", "check_notes", "selected", "stores_among"]


def selected(sources: Sequence[Source], selection: Selection) -> list[Source]:
    """Return the sources, those of stores with only the structures that are selected.

    A store none of whose structures is selected is left out.

    Raises
    ------
    InputError
        If there is a source that can't be selected from, or nothing is selected; and as for
        `Selection.structures`.
    """
    if not selection:
        return list(sources)
    found: list[Source] = []
    by_position = any(
        not isinstance(c.which, str | None) or c.where is not None or c.sample is not None
        for c in selection.choices
    )
    if by_position and len(sources) > 1:
        raise InputError(
            "positions, where= and samples select from one store; of several, select by an expression"
        )
    for source in sources:
        if not isinstance(source, StoreSource):
            raise InputError(
                "select= chooses among structures of stores, and this is none: build a store of it first, or "
                "give filters=...",
                source.label,
            )
        rows = selection.structures(source.store, source.chosen)
        if len(rows):
            found.append(source.taking(rows))
    if not found:
        raise InputError(f"no structure of {', '.join(s.label for s in sources)} is selected: {selection}")
    return found


def check_notes(sources: Sequence[Source], filters: Filters) -> None:
    """Refuse to leave out what a store counts, but does not know.

    Raises
    ------
    InputError
        If it has structures with such a note.
    """
    for source in sources:
        if isinstance(source, StoreSource):
            noted = source.store.attrs.get("build", {}).get("noted", {})
            for note in sorted(filters.leave_out & noted.keys()):
                raise InputError(
                    f"leave_out=[{note!r}]: the store has {noted[note]:,} such structures, and does not say "
                    "which: build it again with this filter",
                    source.label,
                )


def stores_among(
    sources: Sequence[Source], options: ReadOptions, *, grows: bool = False
) -> tuple[dict[int, StoredInput], dict[int, NDArray[np.int64]], list[Source]]:
    """Return the stores by their places, and the sources, those of stores in an order that ascends.

    Parameters
    ----------
    sources
        All sources.
    options
        What the user said of how they are read.
    grows
        Whether the first is a store that is extended, of which the user said nothing.

    Returns
    -------
    dict of int to StoredInput
        The stores.
    dict of int to NDArray
        Of those whose structures were chosen in another order, the positions in that order. None if it
        `grows`: what is appended is copied in its order.
    list of Source
        Their sources have each structure once then, in the order of the store.
    """
    inputs: dict[int, StoredInput] = {}
    wanted: dict[int, NDArray[np.int64]] = {}
    ready = list(sources)
    for k, source in enumerate(sources):
        if not isinstance(source, StoreSource):
            continue
        said = ReadOptions() if grows and k == 0 else options
        inputs[k] = StoredInput(source.store, said.keys, said.exclude, source.label)
        chosen = source.chosen
        if chosen is None:
            continue
        if (chosen[1:] < chosen[:-1]).any():
            if grows:  # the order of the store that is extended must not be touched
                continue
            wanted[k], chosen = chosen, np.unique(chosen)
        everything = len(chosen) == source.store.n_structures and (chosen[1:] > chosen[:-1]).all()
        ready[k] = source.taking(None if everything else chosen)
    return inputs, wanted, ready


def check_apart(sources: Sequence[Source], target: str | os.PathLike[str]) -> None:
    """Refuse a target inside of one of the stores.

    Raises
    ------
    InputError
        If it is.
    """
    out = os.path.realpath(target)
    for source in sources:
        if isinstance(source, StoreSource) and os.path.isdir(source.store.path):
            given = os.path.realpath(source.store.path)
            if out != given and os.path.commonpath([given, out]) == given:
                raise InputError(f"{os.fspath(target)} is in this store: choose another target", source.label)
