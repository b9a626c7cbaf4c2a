"""Parts of a split that are said in words: a query, a selection, duplicates, or what is left."""

from __future__ import annotations

from collections.abc import Mapping
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.errors import InputError
from zstruct.query.selection import Selection
from zstruct.query.unknown_texts import unknown_texts
from zstruct.similarity.groups import Duplicates
from zstruct.splits.sizes import codes_of
from zstruct.store.datasets import is_dataset
from zstruct.store.store import Store

__all__ = ["codes_of_parts"]


def codes_of_parts(
    parts: Mapping[str, Any], opened: Store, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], dict[str, str]]:
    """Return the code of each of some structures, -1 for none, for parts that are given or said.

    Parameters
    ----------
    parts
        What is in each part, by label: indices or a mask of `rows`; an expression, a selection, a sampling
        or a function of the store; a dataset of the store; duplicates; or an ellipsis, once: all others.
    opened, rows
        The store, and which of its structures, each once, shape (n,).

    Returns
    -------
    codes
        Shape (n,).
    said
        How each part was chosen, where that can be said.

    Raises
    ------
    InputError
        If a part is none of these, or one that is said, other than by an ellipsis, has no structure; or a
        structure is in two parts or in one part twice; and what selections raise.
    """
    rest = [label for label, given in parts.items() if isinstance(given, EllipsisType)]
    if len(rest) > 1:
        raise InputError(f"only one part can have all that is left, not {' and '.join(rest)}")
    said = dict.fromkeys(rest, "all others")
    found = {}
    for label, given in parts.items():
        selection = _selection_of(given)
        if selection is not None:
            said[label] = str(selection)
            places = _places(selection.structures(opened, rows), rows)
            if not len(places):
                raise InputError(_empty(label, selection, opened))
            given = places
        elif isinstance(given, Duplicates):
            found[label] = _places(given.structures(opened), rows)
            continue
        elif is_dataset(given):
            if given.store.digest != opened.digest:
                raise InputError(
                    f"the part {label!r} is a dataset of {given.store.path}, not of {opened.path}"
                )
            said |= {label: str(given.selection)} if getattr(given, "selection", None) else {}
            given = _places(np.asarray(given.structures), rows)
        found[label] = np.zeros(0, np.int64) if label in rest else given
    codes = codes_of(found, len(rows))
    for label in rest:
        codes[codes < 0] = list(parts).index(label)
    return codes, said


def _empty(label: str, selection: Selection, opened: Store) -> str:
    """Return a sentence about a part that no structure is in, with texts that may be misspelt."""
    expressions = [one.which for one in selection.choices if isinstance(one.which, str)]
    why = [text for one in expressions for text in unknown_texts(one, opened)]
    reason = f"the part {label!r} would be empty: no structure to split of {opened.path} is {selection}"
    return "; ".join([reason, *why])


def _selection_of(given: Any) -> Selection | None:
    """Return what is given as a selection, if it says how to choose."""
    if isinstance(given, str):
        _check_sampling(given)
    if isinstance(given, str | Selection) or hasattr(given, "picks"):
        return Selection().select(given)
    if callable(given) and not isinstance(given, Duplicates):
        return Selection().select(where=given)
    return None


def _check_sampling(given: str) -> None:
    """Say how a sampling that is written as on the command line is written in Python."""
    how, n, features, *options = [*given.split(":"), "", ""]
    if how.strip() in ("farthest", "leverage") and ":" in given:
        named = "".join(f", {one}" for one in options if one)
        example = f'{how.strip()}({n}, "{features}"{named})' if n.isdigit() and features else f"{how}(...)"
        raise InputError(f"{shown(given)} is written so on the command line: here it is zstruct.{example}")


def _places(structures: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where structures of a store are among some of them; those that are not there are left out."""
    order = np.argsort(rows, kind="stable")
    places = np.minimum(np.searchsorted(rows, structures, sorter=order), max(0, len(rows) - 1))
    at = order[places] if len(rows) else places
    return at[rows[at] == structures] if len(rows) else at[:0]
