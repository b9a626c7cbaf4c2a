"""Groups of a store that is extended, in the new version: splits have the new structures, too; others wait.

What was computed from the old structures still is right of them, and whoever computes it of the new ones
needs no more than that: it is carried along, stale, its shards shared. What zstruct does not know stays
behind, and is named.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.building.copied_groups import copy_group, said_of
from zstruct.building.publication import Target
from zstruct.building.stored_blocks import StoredInput
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.schema import STRUCTURE
from zstruct.splits.allocation import dealt
from zstruct.splits.sizes import counts_of, is_row
from zstruct.store.chunks import choose_grid
from zstruct.store.files import array_said
from zstruct.store.metadata import DOCUMENT
from zstruct.store.shared_shards import shared_shards, write_growing
from zstruct.store.spec import KINDS, TAKEN_ALONG
from zstruct.store.store import Store
from zstruct.store.write import complete, consolidate_again, create, create_parent

__all__ = ["Carried", "NewParts", "carry_groups", "new_parts"]

_SPLITS, _DEFAULT = "splits", "default"


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
        """Return the part of each of `n` new structures in a split, after so many others."""
        asked = self.by_split.get(name)
        if asked is None:
            return np.full(n, -1, dtype=np.int8)
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
    there = store.group_names(_SPLITS)
    found: dict[str, str | list[float]] = {}
    for name, part in asked.items():
        if name not in there:
            has = f"it has {', '.join(there)}" if there else "it has none"
            raise InputError(
                f"split={shown(given)}: the store {store.path} has no split {shown(name)}; {has}"
            )
        attrs = store.group_attrs(f"{_SPLITS}/{name}")
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


@dataclass(frozen=True)
class Carried:
    """What became of groups.

    Parameters
    ----------
    extended
        Splits that have the new structures, too.
    waiting
        What was computed from the old structures only.
    left_out
        Why others did not come along, by group.
    """

    extended: Sequence[str]
    waiting: Sequence[str]
    left_out: Mapping[str, str]


def carry_groups(
    store: Store, target: Target, parts: NewParts | None, added: Sequence[StoredInput], *, links: bool
) -> Carried:
    """Put the groups of a store into its new version, which is whole but not in its place.

    Parameters
    ----------
    store
        The store as it was.
    target
        Where the new version is made.
    parts
        To which parts new structures go, of a store that begins with all that there was; None of others.
    added
        Stores that were appended, whose groups stay behind.
    links
        Whether shards may be the same files.
    """
    made = Store(target.store)
    extended: list[str] = []
    waiting: list[str] = []
    for kind in TAKEN_ALONG:
        for name in store.group_names(kind):
            group = f"{kind}/{name}"
            folder = target.groups / group
            shutil.rmtree(folder, ignore_errors=True)  # of an interrupted call
            attrs = store.group_attrs(group)
            if kind == _SPLITS and parts is not None and attrs["store_digest"] == store.digest:
                _extend_split(store, made, group, folder, parts, links=links)
                extended.append(group)
            else:
                copy_group(store, group, folder, links=links)
                waiting.append(group)
            store.check_current(f"{group}/{DOCUMENT}")
            create_parent(target.store, kind)
            os.rename(folder, target.store / group)
    if extended or waiting:
        consolidate_again(target.store, target.work)
    left_out = dict.fromkeys(sorted({*store.kinds()} - {*KINDS}), "no groups of zstruct")
    for one in added:
        there = [f"{kind}/{name}" for kind in TAKEN_ALONG for name in one.store.group_names(kind)]
        left_out |= {f"{group} of {one.label}": "append takes structures along, no groups" for group in there}
    return Carried(extended, waiting, left_out)


def _extend_split(
    store: Store, made: Store, group: str, folder: Path, parts: NewParts, *, links: bool
) -> None:
    """Write a split that has new structures, too."""
    name, attrs = group.partition("/")[2], store.group_attrs(group)
    before, n = store.n_structures, made.n_structures
    codes = np.concatenate(
        [store.read(f"{group}/codes"), parts.codes(name, attrs, before, n - before)], dtype=np.int8
    )
    said = store.array_attrs(f"{group}/codes")
    there, _ = array_said("codes", store.documents(group)[f"{group}/codes"])
    said.pop("digest", None)
    spec = replace(there, dims=(STRUCTURE,), shape=codes.shape, attrs=said, grid=choose_grid(n, 1, STRUCTURE))
    asked = parts.by_split.get(name)
    appended = [*attrs["recipe"].get("appended", []), {"structures": n - before, "part": asked}]
    attrs |= {"store_digest": made.digest, "recipe": attrs["recipe"] | {"appended": appended}}
    create(folder, [spec], said_of(attrs))
    shared = shared_shards(store, f"{group}/codes", spec, anywhere=True)
    written = write_growing(folder, spec, shared, lambda a, b: codes[a:b], links=links, durable=False)
    complete(folder, {}, [written])
