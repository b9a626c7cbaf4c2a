"""What a reader says of itself, in a line and in a notebook: structures, fields, steps and cache."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, Protocol

from zstruct.loading.forces import ForcePolicy
from zstruct.loading.lifetime import Closed
from zstruct.loading.pipeline import Pipeline
from zstruct.query import Selection
from zstruct.store.store import Store
from zstruct.text import html_table

__all__ = ["line_of", "page_of", "steps_of"]


class _Reader(Sized, Protocol):
    """What has to be known of a reader."""

    store: Store

    @property
    def selection(self) -> Selection: ...


def line_of(reader: _Reader, pipeline: Pipeline | Closed, policy: ForcePolicy | None) -> str:
    """Return a line on a reader, what makes its batches and whose forces are used, if not all."""
    name, path = type(reader).__name__, reader.store.path
    if isinstance(pipeline, Closed):
        return f"{name}({path!r}, closed)"
    which = f" {reader.selection}" if reader.selection else ""
    said = [", ".join(pipeline.fields), *steps_of(pipeline, policy), f"cache: {_cache(pipeline)}"]
    return f"{name}({path!r}, {len(reader):,} structures{which}: {'; '.join(said)})"


def page_of(reader: _Reader, pipeline: Pipeline | Closed, policy: ForcePolicy | None) -> str:
    """Return the same as a page of HTML."""
    name, store = type(reader).__name__, reader.store
    if isinstance(pipeline, Closed):
        return f"<p><b>{name}</b>: closed</p>"
    facts: list[tuple[str, Any]] = [
        ("structures", f"{len(reader):,} of the {store.n_structures:,} of {store.path}"),
        *(("where", str(choice)) for choice in reader.selection.choices),
        ("fields", ", ".join(pipeline.fields)),
        *(("then", step) for step in steps_of(pipeline, policy)),
        ("cache", _cache(pipeline)),
    ]
    return f"<p><b>{name}</b></p>{html_table(facts)}"


def steps_of(pipeline: Pipeline, policy: ForcePolicy | None) -> list[str]:
    """Return what there is beside fields and what is done to batches."""
    return [*pipeline.describe(), *([] if policy is None else [repr(policy)]), *pipeline.steps()]


def _cache(pipeline: Pipeline) -> str:
    return pipeline.gather.cache.describe()
