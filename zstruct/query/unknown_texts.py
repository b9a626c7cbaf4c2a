"""Texts of an expression that no structure of a store has: misspelt categories, most of the time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zstruct.query import syntax
from zstruct.query.parser import parse
from zstruct.query.quantities import FORMULA
from zstruct.store.store import Store
from zstruct.text import nearest

__all__ = ["unknown_texts"]

_LISTED = 8


def unknown_texts(expression: str, store: Store) -> list[str]:
    """Return a sentence for each text that is compared with a field of a store, and is none of its texts.

    Parameters
    ----------
    expression
        One of the language of selections, which makes sense for the store.
    store
        The store.

    Returns
    -------
    list[str]
        Such as ``"config_type is never 'blk'; did you mean 'bulk'?"``. None about formulas, in which
        elements may be in any order.
    """
    found = []
    for name, text in dict.fromkeys(_compared(parse(expression))):
        if name == FORMULA or name not in store.fields or store.fields[name].kind != "category":
            continue
        known = store.categories(name)
        if text in known:
            continue
        near = nearest(text, known)
        said = f"{name} is never {text!r}"
        if near is not None:
            said += f"; did you mean {near!r}?"
        elif known:
            said += (
                f"; it is {', '.join(map(repr, known[:_LISTED]))}{', ...' if len(known) > _LISTED else ''}"
            )
        found.append(said)
    return found


def _compared(node: Any) -> Iterator[tuple[str, str]]:
    """Yield each name with each text that it is compared with."""
    values: tuple[Any, ...] = ()
    if isinstance(node, syntax.Comparison):
        values = (node.first, *(value for _, value in node.rest))
    elif isinstance(node, syntax.Membership):
        values = (node.of, *node.values)
    names = [one.name for one in values if isinstance(one, syntax.Name)]
    texts = [one.value for one in values if isinstance(one, syntax.Text)]
    yield from ((name, text) for name in names for text in texts)
    if isinstance(node, syntax.And | syntax.Or):
        for one in node.operands:
            yield from _compared(one)
    elif isinstance(node, syntax.Not):
        yield from _compared(node.of)
