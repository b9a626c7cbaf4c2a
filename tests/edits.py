"""Edits of JSON documents: a key less, a value of another type, another value, one more."""

import copy
from collections.abc import Iterator
from typing import Any

__all__ = ["changed_at", "keys_of", "values_for"]

Path = tuple[str | int, ...]


def keys_of(document: Any, before: Path = ()) -> Iterator[Path]:
    """Yield the path of everything in a document."""
    items = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    for key, value in items:
        yield (*before, key)
        yield from keys_of(value, (*before, key))


def changed_at(document: Any, path: Path, value: Any) -> Any:
    """Return a document with another value somewhere; without it, if the value is ``...``."""
    made = copy.deepcopy(document)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return made


def values_for(value: Any) -> list[Any]:
    """Return what may be put in the place of a value; ``...`` for nothing."""
    found: list[Any] = [..., None, [], {}, "", "x" * 100_000, -1, 10**30, True, [[1]], {"a": 1}, 0.5]
    if isinstance(value, str):
        found += [f"{value}x", value[:-1], value.upper(), "../x"]
    elif isinstance(value, bool):
        found += [not value]
    elif isinstance(value, int | float):
        found += [
            value + 1,
            -value,
            value * 10,
            str(value),
            float(value) if isinstance(value, int) else int(value),
        ]
    elif isinstance(value, list):
        found += [value[::-1], [*value, *value], value[:-1]]
    elif isinstance(value, dict):
        found += [value | {"new": 1}]
    return [each for each in found if repr(each) != repr(value)]
