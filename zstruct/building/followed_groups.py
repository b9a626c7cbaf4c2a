"""Groups of stores among the inputs, in a new store of their structures: what belongs to these follows them.

Features, derivatives, neighbour lists, labels and splits have rows of structures, or of their atoms or pairs:
they are gathered. Several stores are joined where they say the same of how it was made. Statistics and
references are about all structures of a store: they come along as they are, and stale. What does not come
along is named, and why.

The next version of a store keeps what this has: what can't follow stays what it was, stale, for whoever makes
it again needs only what is new. Of what is computed, rows of structures behind the first one that goes are of
no use to anybody, and do not. Groups of stores that are appended to it join those that it has.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zstruct.building.copied_groups import copy_group
from zstruct.building.gathered_groups import gather_group
from zstruct.building.gathered_splits import NewParts
from zstruct.building.gathering import Gathering, Unfit
from zstruct.building.origins import Origins
from zstruct.building.plan import Plan
from zstruct.building.publication import Target
from zstruct.building.stored_blocks import StoredInput
from zstruct.schema import GEOMETRY
from zstruct.store.history import log
from zstruct.store.metadata import DOCUMENT
from zstruct.store.spec import (
    EXTERNAL_VERSION,
    GROUP_KINDS,
    GROUP_VERSION,
    GROUP_VERSIONS,
    KINDS,
    LABELS,
    TAKEN_ALONG,
)
from zstruct.store.store import Store
from zstruct.store.write import consolidate_again, create_parent

__all__ = ["Followed", "follow_groups"]

_SPLITS = "splits"
_GATHERED = (*GROUP_KINDS, LABELS, _SPLITS)
_FIRST = 0  # the place of the store that a new one is the next version of

#: Stores, by their places among the inputs.
_Having = Mapping[int, StoredInput]


@dataclass(frozen=True)
class Followed:
    """What became of groups of stores among the inputs.

    Parameters
    ----------
    followed
        Groups that have the rows of the structures of the new store.
    stale
        What is said of other structures than the new store has: of all those of a store that it was made of.
    left_out
        Why others did not come along, by group.
    """

    followed: Sequence[str] = ()
    stale: Sequence[str] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the lines of a report."""
        lines = [f"groups that follow the structures: {', '.join(self.followed)}"] if self.followed else []
        if self.stale:
            lines.append(f"stale, as made of other structures: {', '.join(self.stale)}")
        return lines + [f"left out: {group}: {why}" for group, why in self.left_out.items()]


def follow_groups(
    plan: Plan, target: Target, *, continues: bool = False, parts: NewParts | None = None
) -> Followed:
    """Put groups of the stores among the inputs into a store that was made of these, but is not in its place.

    Parameters
    ----------
    plan
        What is in the store.
    target
        Where it is made.
    continues
        Whether it is the next version of the first input, with whose files it may have shards in common.
    parts
        To which parts of its splits structures go that are appended; None: none are.
    """
    if not plan.inputs:
        return Followed()
    following = _Following(plan, target, parts, continues=continues)
    for group, having in following.groups().items():
        following.add(group, having)
    return following.done()


class _Following:
    """Puts one group after the other into the new store; the arguments are those of `follow_groups`."""

    def __init__(self, plan: Plan, target: Target, parts: NewParts | None, *, continues: bool):
        self._target, self._parts = target, parts
        self._origins, self._made = Origins(plan), plan.made(target.store)
        self._gathering = Gathering(
            self._origins, self._made, target.work / "gathered", links=continues, digest=self._made.digest
        )
        self._first = plan.inputs[_FIRST] if continues else None
        self._precision = {one.field.name: one.field.dtype for one in plan.fields}
        self._followed: list[str] = []
        self._stale: list[str] = []
        self._left_out: dict[str, str] = {}

    def groups(self) -> dict[str, dict[int, StoredInput]]:
        """Return the stores that have each group."""
        found: dict[str, dict[int, StoredInput]] = {}
        for kind in TAKEN_ALONG:
            for place, source in self._origins.inputs.items():
                for name in source.store.group_names(kind):
                    found.setdefault(f"{kind}/{name}", {})[place] = source
        return found

    def add(self, group: str, having: _Having) -> None:
        """Put a group that some stores have into the new one, or note why not."""
        try:
            known = self._check(group, having)
            if group.partition("/")[0] in _GATHERED:
                self._gather(group, having, known)
            else:
                self._keep(group, next(iter(having.values())))
        except Unfit as error:
            shutil.rmtree(self._target.groups / group, ignore_errors=True)
            if self._first is None:
                self._left_out[group] = str(error)
                return
            others = [one for one in having.values() if one is not self._first]
            self._left_out |= {f"{group} of {one.label}": str(error) for one in others}
            if _FIRST in having and others:
                self.add(group, {_FIRST: self._first})
            elif _FIRST in having:
                self._keep(group, self._first)

    def done(self) -> Followed:
        """Have the documents of the store show what was put there; return what became of groups."""
        if self._followed or self._stale:
            consolidate_again(self._target.store, self._target.work)
        for source in self._origins.inputs.values():
            strange = sorted({*source.store.kinds()} - {*KINDS})
            self._left_out |= {f"{kind} of {source.label}": "no groups of zstruct" for kind in strange}
        return Followed(self._followed, self._stale, self._left_out)

    def _gather(self, group: str, having: _Having, known: Mapping[int, int]) -> None:
        """Put the rows of the new structures there; `known` as for `Origins`."""
        stores = {place: source.store for place, source in having.items()}
        gathering = replace(self._gathering, origins=self._origins.knowing(known))
        gather_group(gathering, group, stores, self._place(group), self._parts)
        self._put(group, *having.values())
        self._followed.append(group)

    def _keep(self, group: str, source: StoredInput) -> None:
        """Put a group of a store there as it is, as far as it is right of the first structures."""
        digest = source.store.group_attrs(group)["store_digest"]
        n = self._n_right(group, source.store)
        if n == 0:
            self._left_out[group] = "it is stale, and the first structure that it is of has gone"
            return
        if n is None:
            copy_group(source.store, group, self._place(group), links=self._first is not None)
        else:
            gathering = replace(self._gathering, origins=self._origins.first(n), digest=digest)
            gather_group(gathering, group, {_FIRST: source.store}, self._place(group))
        self._put(group, source)
        (self._followed if digest == self._made.digest else self._stale).append(group)

    def _n_right(self, group: str, store: Store) -> int | None:
        """Return of how many of the first structures something computed is right, if of fewer than before."""
        attrs, kind = store.group_attrs(group), group.partition("/")[0]
        if self._first is None or kind not in GROUP_KINDS or not _is_known(kind, attrs):
            return None
        digest = attrs["store_digest"]
        if attrs["encoding-version"] == EXTERNAL_VERSION or digest == self._made.digest:
            return None
        before, now = (log(one).rows_kept(digest) for one in (store, self._made))
        return now if now is not None and before is not None and now < before else None

    def _place(self, group: str) -> Path:
        """Return where a group is made, with nothing there of an interrupted call."""
        folder = self._target.groups / group
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def _put(self, group: str, *sources: StoredInput) -> None:
        """Give a group that was made of others its place in the store."""
        for source in sources:
            source.store.check_current(f"{group}/{DOCUMENT}")
        create_parent(self._target.store, group.partition("/")[0])
        os.rename(self._target.groups / group, self._target.store / group)

    def _check(self, group: str, having: _Having) -> dict[int, int]:
        """Refuse a group that is not one of the new structures, or has no rows of them.

        Returns
        -------
        dict
            Of how many of the first structures of a store it is, by the place of the store, where not of all.

        Raises
        ------
        Unfit
            Saying why.
        """
        kind = group.partition("/")[0]
        there = (*self._followed, *self._stale)
        twin = next((one for one in there if one.casefold() == group.casefold()), None)
        if twin is not None:  # some file systems can't tell the two apart
            raise Unfit(f"it differs from {twin} in case only")
        if self._first is not None and _FIRST not in having:
            raise Unfit(f"{self._first.label} has none")
        if kind not in _GATHERED:
            if len(having) > 1:
                raise Unfit(f"{_these(having)} have one each")
            return {}
        found = {place: _n_known(source, group) for place, source in having.items()}
        known = {place: n for place, n in found.items() if n < having[place].store.n_structures}
        alone = self._first is not None and len(having) == 1
        if kind == _SPLITS or (kind == LABELS and not alone):  # what has none is missing, or in no part
            return known
        if kind != LABELS:
            self._check_geometry(having)
        lacking = {place: one for place, one in self._origins.inputs.items() if place not in having}
        if lacking:
            raise Unfit(f"{_these(lacking)} {'has' if len(lacking) == 1 else 'have'} none")
        if self._origins.n_others:
            raise Unfit("it has no rows of the structures that come from no store")
        return known

    def _check_geometry(self, having: _Having) -> None:
        """Refuse what was computed of another geometry than the new store has."""
        for name in GEOMETRY:
            for source in having.values():
                there, here = source.store.fields.get(name), self._precision.get(name)
                if there is not None and here is not None and there.dtype == "float64" != here:
                    raise Unfit(f"{name} became single precision")


def _is_known(kind: str, attrs: Mapping[str, Any]) -> bool:
    """Return whether a group has a version of the format that is known here."""
    major = str(attrs["encoding-version"]).split(".")[0]
    return major in GROUP_VERSIONS.get(kind, (GROUP_VERSION.split(".")[0],))


def _n_known(source: StoredInput, group: str) -> int:
    """Return of how many of the first structures of a store a group is: of all of them, or they are labels.

    Raises
    ------
    Unfit
        If it is unknown here, or not one of its structures.
    """
    kind, store = group.partition("/")[0], source.store
    attrs = store.group_attrs(group)
    if not _is_known(kind, attrs):
        version = attrs["encoding-version"]
        raise Unfit(f"it has format version {version} in {source.label}, which this zstruct does not know")
    if attrs["store_digest"] == store.digest:
        return store.n_structures
    n = log(store).grew_from(attrs["store_digest"]) if kind == LABELS else None
    if n is None:
        raise Unfit(f"it is stale in {source.label}")
    return n


def _these(sources: _Having) -> str:
    return " and ".join(dict.fromkeys(source.label for source in sources.values()))
