"""The layouts by name: the table of them, and those that users register.

A layout is a function of a `PackedBatch`. What it can do beside is read from its signature: one that takes
``as_numpy`` works without torch, one that takes ``names`` gives its batches other names, and one that takes
``elements`` is given those of the store. So a layout is added by its function and a row here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from zstruct.arguments import shown
from zstruct.batch.packed import PackedBatch
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.keywords import keywords
from zstruct.layouts.fairchem import fairchem
from zstruct.layouts.graph import apart, graph
from zstruct.layouts.mace import mace
from zstruct.layouts.padded import padded
from zstruct.layouts.physnet import physnet
from zstruct.layouts.pyg import pyg
from zstruct.layouts.schnetpack import schnetpack
from zstruct.layouts.vocabulary import Names, vocabulary_of
from zstruct.text import nearest

__all__ = ["LAYOUTS", "Layout", "function_of", "register"]

#: A layout as users give it: its name, or a function.
Layout = str | Callable[[PackedBatch], Any]

#: The layouts that a loader knows by name.
LAYOUTS: dict[str, Callable[..., Any]] = {
    "graph": graph,
    "padded": padded,
    "list": apart,
    "physnet": physnet,
    "pyg": pyg,
    "schnetpack": schnetpack,
    "mace": mace,
    "fairchem": fairchem,
}

#: Those whose names may be a project's; see `Vocabulary`.
_OURS = (graph, padded)

_BUILT_IN = frozenset(LAYOUTS)


@keywords()
def register(name: str, layout: Callable[..., Any]) -> None:
    """Give a layout a name, for ``layout=`` of loaders and of ``batches``.

    Parameters
    ----------
    name
        What it is called; a name in use that is not built in is given to the new layout.
    layout
        A function of a `PackedBatch` that returns a batch. Further arguments need defaults, and three
        are known by their names: with ``as_numpy=True`` it is to return NumPy arrays, so that readers
        can use it; ``names=`` is what the loader was given as `names`; ``elements=`` are the atomic
        numbers in the store, ascending. Worker processes that are spawned take it by pickle: define it in
        a module.

    Raises
    ------
    InputError
        If the name is empty, or that of a built-in layout.
    ArgumentTypeError
        If the name is no text or the layout no function.

    Examples
    --------
    >>> import numpy as np
    >>> from zstruct.batch.pack import pack
    >>> from zstruct.layouts.registry import function_of, register
    >>> def sizes(packed, *, as_numpy=False):
    ...     return {"n_atoms": packed.n_atoms}
    >>> register("sizes", sizes)
    >>> function_of("sizes", as_numpy=True)(pack([{"numbers": np.array([8, 1, 1])}]))
    {'n_atoms': array([3])}
    """
    if not isinstance(name, str):
        raise ArgumentTypeError(f"the name of a layout is a text, not {shown(name)}")
    if not callable(layout):
        raise ArgumentTypeError(f"a layout is a function of a PackedBatch, not {shown(layout)}")
    if not name:
        raise InputError("a layout can't be called '': give it a name")
    if name in _BUILT_IN:
        raise InputError(f"{name!r} is built in: give the layout another name")
    LAYOUTS[name] = layout


def function_of(
    layout: Layout,
    names: Names | None = None,
    *,
    as_numpy: bool = False,
    elements: Callable[[], Iterable[int]] | None = None,
) -> Callable[[PackedBatch], Any]:
    """Return the function of a layout that users give by name or as a function, with its options.

    Parameters
    ----------
    layout
        The layout. A function stays as it is.
    names
        New names of what is in batches, for layouts that take some.
    as_numpy
        Whether it is to make NumPy arrays, without torch.
    elements
        Tells the atomic numbers in the store, to layouts that take them.

    Raises
    ------
    InputError
        If it has no such name, or takes no `names`.
    ArgumentTypeError
        If it is neither a name nor a function.
    """
    if callable(layout):
        if names is not None:
            raise _without_names(layout)
        return layout
    known = _with("as_numpy") if as_numpy else LAYOUTS
    if not isinstance(layout, str) or layout not in known:
        where = "layout without torch" if as_numpy else "layout"
        error = InputError if isinstance(layout, str) else ArgumentTypeError
        near = nearest(layout, known) if isinstance(layout, str) else None
        meant = "" if near is None else f"; did you mean {near!r}?"
        raise error(f"{where} is {', '.join(map(repr, known))} or a function, not {shown(layout)}{meant}")
    function = known[layout]
    takes = inspect.signature(function).parameters
    options: dict[str, Any] = {"as_numpy": True} if as_numpy else {}
    if elements is not None and "elements" in takes:
        options["elements"] = elements()
    if names is not None:
        if "names" not in takes:
            raise _without_names(layout)
        if function in _OURS:
            vocabulary_of(names)
        options["names"] = names
    return partial(function, **options) if options else function


def _with(option: str) -> dict[str, Callable[..., Any]]:
    """Return the layouts that take an option."""
    return {name: f for name, f in LAYOUTS.items() if option in inspect.signature(f).parameters}


def _without_names(layout: Layout) -> InputError:
    return InputError(
        f"names are for layout={', '.join(map(repr, _with('names')))}, not {layout!r}: a function has them "
        "as an option, as in functools.partial(layouts.padded, names=...)"
    )
