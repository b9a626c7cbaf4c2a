"""Small inputs that are read all together, where their reader can do that: they may be thousands.

Such a reader has a class method ``read_together``. Of sources, each of which has one slice, it yields how
many are in a block, and the block, without labels; None for one that it does not take with others. What is
unusual about that one, or wrong with it, is for its reader to find when it reads it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np

from zstruct.sources.source import Raw, RawColumn, Source

__all__ = ["apart", "blocks_of", "can_be_read_together"]


def can_be_read_together(source: Source) -> bool:
    """Tell whether the reader of a source reads several of them at once."""
    return getattr(source, "read_together", None) is not None


def blocks_of(sources: Sequence[Source], alone: Callable[[Source], Iterator[Raw]]) -> Iterator[Raw]:
    """Yield the frames of sources in their order; a block of several has the label of each frame.

    Parameters
    ----------
    sources
        The sources, each of which is read whole.
    alone
        Yields the frames of one, with its label.
    """
    for kind, run in groupby(sources, key=type):
        alike = list(run)
        if not can_be_read_together(alike[0]):
            for source in alike:
                yield from alone(source)
            continue
        k = 0
        for n, raw in kind.read_together(alike):  # type: ignore[attr-defined]
            if raw is None:
                yield from alone(alike[k])
            else:
                raw.labels = [source.label for source in alike[k : k + n]]
                yield raw
            k += n


def apart(raw: Raw) -> Iterator[Raw]:
    """Yield the frames of several inputs each as a block of its own; a block of one input as it is.

    Examples
    --------
    >>> energy = RawColumn(np.array([-1.0, 0.0]), np.array([True, False]))
    >>> both = Raw(np.array([0, 0]), np.array([1, 1]), structure={"energy": [energy]}, labels=["a", "b"])
    >>> [(one.label, list(one.structure)) for one in apart(both)]
    [('a', ['energy']), ('b', [])]
    """
    if raw.labels is None:
        yield raw
        return
    edges = np.cumsum([0, *raw.n_atoms]).tolist()
    for k, label in enumerate(raw.labels):
        one = Raw(raw.frames[k : k + 1], raw.n_atoms[k : k + 1], label=label)
        for mine, table, rows in (
            (one.atom, raw.atom, slice(edges[k], edges[k + 1])),
            (one.structure, raw.structure, slice(k, k + 1)),
        ):
            for name, columns in table.items():
                there = [c for c in columns if c.present is None or c.present[k]]
                if there:
                    mine[name] = [RawColumn(c.values[rows], None, c.texts, c.fault, c.unit) for c in there]
        yield one
