"""The parts of a mixture: readers with names and heads, from what users give, in memory that they share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.loading.cache.arena import SHARED_MEMORY, free_bytes
from zstruct.loading.cache.placement import available_bytes
from zstruct.loading.dataset_options import Cache
from zstruct.loading.gather.mixed import HEAD
from zstruct.loading.lifetime import Closed
from zstruct.loading.pipeline import Pipeline
from zstruct.loading.reader import StructureReader
from zstruct.store.store import Store

__all__ = ["Part", "parts_of", "within_memory"]

#: The head of structures of which nobody said any.
_UNNAMED = "default"


@dataclass(frozen=True, eq=False)
class Part:
    """Structures of one store in a mixture.

    Parameters
    ----------
    name
        What it is called: in sentences, and by weights.
    head
        The name of its head; None: each of its structures has its own, or there is none.
    reader
        The structures.
    """

    name: str
    head: str | None
    reader: StructureReader

    def with_reader(self, reader: StructureReader) -> Part:
        """Return the part with other structures."""
        return Part(self.name, self.head, reader)


def parts_of(given: Any, kind: Callable[[Any], StructureReader]) -> tuple[list[Part], tuple[str, ...], bool]:
    """Return the parts that users give in any way, the names of their heads, and whether somebody said these.

    There are no names if each structure has a head of its own.

    Parameters
    ----------
    given
        Readers, datasets, stores or paths: by the names of their heads, in pairs with these, or in a list. In
        place of one of them, by its name, there may be a list.
    kind
        Opens a store.

    Raises
    ------
    InputError
        If there are none, or if heads are said by names and by a field of a store, too.
    ArgumentTypeError
        If something is none of these.
    """
    named = isinstance(given, Mapping) or _is_paired(given)
    if named:
        pairs = given.items() if isinstance(given, Mapping) else given
        found = [(name, one) for name, some in pairs for one in (some if _is_list(some) else [some])]
        for name, _ in found:
            if not isinstance(name, str) or not name:
                raise ArgumentTypeError(f"the name of a head is a text, not {shown(name)}")
        parts = [Part(name, name, _opened(name, one, kind)) for name, one in found]
    else:
        if not _is_list(given):
            raise ArgumentTypeError(
                "a mixture is of datasets, readers or stores, by the names of their heads or in a list, not "
                f"{shown(given)}"
            )
        readers = [_opened(f"part {k}", one, kind) for k, one in enumerate(given)]
        parts = [Part(f"part {k}", None, reader) for k, reader in enumerate(readers)]
    if not parts:
        raise InputError("a mixture has at least one part, and there is none")
    having = [part for part in parts if HEAD in part.reader.fields]
    if named and having:
        part, others = having[0], [name for name in having[0].reader.fields if name != HEAD]
        raise InputError(
            f"{part.name} is to be the head of {part.reader.store.path}, which says by a field of its own, "
            f"'head', what the heads of its structures are: load it without, with fields={others}, or give "
            "the mixture a list of datasets, and each structure keeps its own"
        )
    if not named and not having:
        return [Part(part.name, _UNNAMED, part.reader) for part in parts], (_UNNAMED,), False
    if not named and len(having) < len(parts):
        lacking = next(part for part in parts if part not in having)
        raise InputError(
            f"{having[0].reader.store.path} has a field 'head', and {lacking.reader.store.path} has none, "
            "or does not load it: give the mixture its parts by the names of their heads, or load none with "
            "that field (fields=...)"
        )
    return parts, tuple(dict.fromkeys(part.head for part in parts if part.head is not None)), True


def _is_list(given: Any) -> bool:
    if not isinstance(given, Iterable) or getattr(given, "ndim", 1) == 0:
        return False
    return not isinstance(given, str | bytes | os.PathLike | Mapping | StructureReader | Store)


def _is_paired(given: Any) -> bool:
    """Return whether something is a list of pairs of names and what is called so."""
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        return False
    pairs = [isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str) for one in given]
    return bool(pairs) and all(pairs)


def _opened(name: str, given: Any, kind: Callable[[Any], StructureReader]) -> StructureReader:
    """Return a reader as it is, or open what is a store."""
    if isinstance(given, StructureReader):
        if isinstance(given.pipeline, Closed):
            raise InputError(f"{name} is closed ({given!r}): open the store again")
        return given.made_by(given.pipeline)  # one's own: what is closed elsewhere makes no difference
    if isinstance(given, str | os.PathLike | Store):
        return kind(given)
    raise ArgumentTypeError(f"{name} is a dataset, a reader, or a store or its path, not {shown(given)}")


def within_memory(parts: Sequence[Part]) -> list[Part]:
    """Return parts whose caches have room together: each alone takes up to half of the memory that there is.

    Those of which somebody said how much they may keep, or where, stay as they are.
    """
    caches = {id(cache): cache for part in parts for cache in part.reader.caches}.values()
    private = sum(min(cache.nbytes, cache.cache_bytes) for cache in caches if not cache.place.directories)
    shared = sum(cache.nbytes for cache in caches if cache.place.directories)
    room = available_bytes() // 2
    if private <= room and shared <= free_bytes(SHARED_MEMORY) // 2:
        return list(parts)
    free = {id(part.reader.pipeline): part.reader for part in parts if _has_no_bounds(part.reader)}
    needed = {key: sum(cache.nbytes for cache in reader.caches) for key, reader in free.items()}
    made = {}
    for key, reader in free.items():
        cache = replace(
            _cache_of(reader), where="memory", bytes=room * needed[key] // max(1, sum(needed.values()))
        )
        made[key] = Pipeline(reader.store, reader.recipe.with_cache(cache))
    return [
        part.with_reader(part.reader.made_by(made.get(id(part.reader.pipeline), part.reader.pipeline)))
        for part in parts
    ]


def _has_no_bounds(reader: StructureReader) -> bool:
    cache = _cache_of(reader)
    return cache.bytes is None and cache.where in ("auto", "memory")


def _cache_of(reader: StructureReader) -> Cache:
    cache = reader.recipe.cache
    assert isinstance(cache, Cache)
    return cache
