"""Splits of a new store: parts follow the structures, and those that are appended go where the user says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.building.gathering import Gathering, NewRows, like
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.schema import STRUCTURE
from zstruct.splits.allocation import dealt
from zstruct.splits.sizes import counts_of, is_row
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store
from zstruct.store.write import complete, create

__all__ = ["NewParts", "gather_split", "new_parts"]

_KIND, _DEFAULT = "splits", "default"


@dataclass(frozen=True)
class NewParts:
    """To which parts of splits new structures go.

    Parameters
    ----------
    by_split
        A label, or fractions for the parts in their order, by the name of the split; none for others.
    """

    by_split: Mapping[str, str | list[float]]

    def codes(self, name: str, attrs: Mapping[str, Any], before: int, n: int) -> NDArray[np.int8]:
        """Return the part of each of `n` new structures in a split, which has them, after so many others."""
        asked = self.by_split[name]
        if isinstance(asked, str):
            return np.full(n, attrs["labels"].index(asked), dtype=np.int8)
        seed = int(attrs["recipe"].get("seed") or 0) + before  # or parts of equal size would be drawn alike
        return dealt(np.zeros(n, dtype=np.int64), counts_of(asked, n), seed).astype(np.int8)


def new_parts(store: Store, given: Any) -> NewParts:
    """Return to which parts of the splits of a store new structures go.

    Parameters
    ----------
    store
        The store.
    given
        What the user says: a label or fractions, of the split "default"; or these by the names of splits.

    Raises
    ------
    ArgumentTypeError, InputError
        If it can't be, or there is no such split or part.
    """
    if given is None:
        return NewParts({})
    asked = given if isinstance(given, Mapping) else {_DEFAULT: given}
    there = store.group_names(_KIND)
    found: dict[str, str | list[float]] = {}
    for name, part in asked.items():
        if name not in there:
            has = f"it has {', '.join(there)}" if there else "it has none"
            raise InputError(
                f"split={shown(given)}: the store {store.path} has no split {shown(name)}; {has}"
            )
        attrs = store.group_attrs(f"{_KIND}/{name}")
        if attrs["store_digest"] != store.digest:
            raise InputError(
                f"split={shown(given)}: the split {name!r} was made for other content than {store.path} has: "
                "draw it again first"
            )
        labels = attrs["labels"]
        if isinstance(part, str):
            if part not in labels:
                raise InputError(f"the split {name!r} has no part {part!r}; it has {', '.join(labels)}")
            found[name] = part
        elif is_row(part):
            sizes = [float(size) for size in part]
            if len(sizes) != len(labels) or not all(0 <= s <= 1 for s in sizes) or abs(sum(sizes) - 1) > 1e-9:
                raise InputError(
                    f"split={shown(given)}: fractions of new structures for the parts {', '.join(labels)} of "
                    f"{name!r} are {len(labels)} numbers that sum to 1"
                )
            found[name] = sizes
        else:
            raise ArgumentTypeError(
                f"split is a label, or fractions, or these by the names of splits, not {shown(given)}"
            )
    return NewParts(found)


@dataclass(frozen=True, eq=False)
class _Dealt:
    """The parts of structures, of which all from one on are dealt out."""

    rows: NewRows
    first: int
    codes: NDArray[np.int8]

    @property
    def spec(self) -> ArraySpec:
        """The array that has them."""
        return self.rows.spec

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return those of some structures."""
        out = self.rows.read(start, stop)
        out[max(0, self.first - start) :] = self.codes[max(0, start - self.first) : max(0, stop - self.first)]
        return out


def gather_split(
    gathering: Gathering,
    group: str,
    stores: Mapping[int, Store],
    folder: Path,
    said: Mapping[str, Any],
    parts: NewParts | None,
) -> None:
    """Write a split: structures that no store with it has, and `parts` do not speak of, are in no part.

    Parameters
    ----------
    gathering, group, stores, folder
        As for `gather_group`.
    said
        The attributes of the group.
    parts
        Where structures go that are appended to the first of the stores; None: none are.
    """
    n, name = gathering.made.n_structures, group.partition("/")[2]
    first = next(iter(stores.values()))
    arrays = dict.fromkeys(stores, f"{group}/codes")
    spec = like(first, f"{group}/codes", n, STRUCTURE)
    rows: NewRows = gathering.rows(spec, arrays)
    recipe, *others = (store.group_attrs(group)["recipe"] for store in stores.values())
    if parts is None:
        if any(other != recipe for other in others):
            recipe = {"method": "joined", "recipes": [recipe, *others]}
        recipe = recipe | {"taken": {"structures": n}}
    else:
        before = first.n_structures
        asked = parts.by_split.get(name)
        step: dict[str, Any] = {"structures": n - before, "part": asked}
        if asked is not None:
            rows = _Dealt(rows, before, parts.codes(name, said, before, n - before))
        elif others:
            step["recipes"] = others
        recipe = recipe | {"appended": [*recipe.get("appended", []), step]}
    create(folder, [spec], {**said, "recipe": recipe})
    complete(folder, {}, [gathering.write(folder, rows, gathering.shared(spec, arrays))])
