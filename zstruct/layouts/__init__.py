"""Join samples into batches: the layouts that models take.

`graph` puts the atoms of all structures end to end, `padded` gives each structure the same number
of rows, `as_list` leaves them apart; `physnet`, `pyg`, `schnetpack`, `mace` and `fairchem` are what
other libraries train on. All are plain functions, so a ``DataLoader`` with worker processes can carry
them (`functools.partial` sets their options). They take what the dataset returns for a list of
indices, or a list of samples from anywhere. Nothing here knows of stores.

Batches are made with NumPy, not torch: torch would start its thread pool for such small copies,
which slows them down wherever several processes or threads make batches. It is only loaded where
tensors are wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from zstruct.batch.packed import PackedBatch
from zstruct.layouts.fairchem import fairchem
from zstruct.layouts.graph import apart, as_list, graph
from zstruct.layouts.mace import mace
from zstruct.layouts.padded import padded
from zstruct.layouts.physnet import physnet
from zstruct.layouts.pyg import pyg
from zstruct.layouts.schnetpack import schnetpack
from zstruct.layouts.vocabulary import Names, vocabulary_of

__all__ = [
    "LAYOUTS",
    "Layout",
    "as_list",
    "fairchem",
    "graph",
    "mace",
    "padded",
    "physnet",
    "pyg",
    "schnetpack",
]

Layout = Literal["graph", "padded", "list", "physnet", "pyg", "schnetpack", "mace", "fairchem"]


def in_numpy(
    layout: str | Callable[[PackedBatch], Any] | None, names: Names | None = None
) -> Callable[[PackedBatch], Any] | None:
    """Return a layout, or, of one that is given by its name, the function that makes it in NumPy.

    Parameters
    ----------
    layout
        The layout.
    names
        New names of what is in batches, for layouts that take some.

    Raises
    ------
    ValueError
        If it has no such name, or takes no `names`.
    TypeError
        If it is neither a name nor a function.
    """
    if layout is None or callable(layout):
        return renaming(layout, layout, names)
    if not isinstance(layout, str):
        raise TypeError(f"layout is a name or a function of a PackedBatch, not {layout!r}")
    known: dict[str, Callable[..., Any]] = {"graph": graph, "padded": padded, "physnet": physnet}
    if layout not in known:
        raise ValueError(
            f"layout without torch is {', '.join(map(repr, known))} or a function, not {layout!r}"
        )
    return renaming(layout, partial(known[layout], as_numpy=True), names)


def renaming(layout: Any, join: Any, names: Names | None) -> Any:
    """Return the function of a layout with `names`; `layout` is how users asked for it.

    Raises
    ------
    ValueError
        If it is a function, or one that takes no names.
    """
    if names is None:
        return join
    if layout not in _RENAMED:
        raise ValueError(
            f"names are for layout={', '.join(map(repr, _RENAMED))}, not {layout!r}: a function has them as "
            "an option, as in functools.partial(layouts.padded, names=...)"
        )
    if layout in ("graph", "padded"):
        vocabulary_of(names)
    return partial(join, names=names)


#: The layouts whose batches can have other names.
_RENAMED = ("graph", "padded", "pyg", "schnetpack", "mace", "fairchem")


#: The layouts that a loader knows by name.
LAYOUTS: dict[Layout, Callable[[Any], Any]] = {
    "graph": graph,
    "padded": padded,
    "list": apart,
    "physnet": physnet,
    "pyg": pyg,
    "schnetpack": schnetpack,
    "mace": mace,
    "fairchem": fairchem,
}
