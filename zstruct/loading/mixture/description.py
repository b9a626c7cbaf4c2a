"""What a mixture says of itself, in a line and in a notebook: parts, heads, fields and proportions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from zstruct.loading.description import steps_of
from zstruct.loading.lifetime import Closed
from zstruct.loading.mixture.pipeline import MixturePipeline
from zstruct.loading.mixture.proportions import Proportions
from zstruct.loading.reader import StructureReader
from zstruct.text import counted, html_table

__all__ = ["line_of", "page_of"]


class _Mixture(Protocol):
    """What has to be known of a mixture."""

    proportions: Proportions

    @property
    def parts(self) -> Sequence[StructureReader]: ...

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def fields(self) -> Sequence[str]: ...

    @property
    def heads(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...


def line_of(mixture: _Mixture, pipeline: MixturePipeline | Closed) -> str:
    """Return a line on a mixture and its parts."""
    name = type(mixture).__name__
    if isinstance(pipeline, Closed):
        return f"{name}(closed)"
    parts = ", ".join(
        f"{called}: {counted(len(part), 'structure')} of {part.store.path!r}{_which(part)}"
        for called, part in zip(mixture.names, mixture.parts, strict=True)
    )
    return f"{name}({parts}; {', '.join(mixture.fields)}; {_heads(mixture)}; {_how(mixture)})"


def page_of(mixture: _Mixture, pipeline: MixturePipeline | Closed) -> str:
    """Return the same as a page of HTML."""
    name = type(mixture).__name__
    if isinstance(pipeline, Closed):
        return f"<p><b>{name}</b>: closed</p>"
    facts: list[tuple[str, Any]] = [("structures", f"{len(mixture):,}")]
    for called, part in zip(mixture.names, mixture.parts, strict=True):
        facts.append(
            (called, f"{len(part):,} of the {part.store.n_structures:,} of {part.store.path}{_which(part)}")
        )
    facts += [
        ("fields", ", ".join(mixture.fields)),
        ("heads", _heads(mixture)),
        ("in an epoch", _how(mixture)),
    ]
    return f"<p><b>{name}</b></p>{html_table(facts)}"


def _which(part: StructureReader) -> str:
    """Return how the structures of a part were chosen, and what is done to them."""
    which = f" {part.selection}" if part.selection else ""
    steps = steps_of(part.pipeline, part.policy)
    return f"{which} ({'; '.join(steps)})" if steps else which


def _heads(mixture: _Mixture) -> str:
    return f"{counted(len(mixture.heads), 'head')}, {', '.join(mixture.heads)}"


def _how(mixture: _Mixture) -> str:
    return mixture.proportions.describe(mixture.names, [len(part) for part in mixture.parts])
