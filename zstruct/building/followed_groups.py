"""Groups of stores among the inputs, in a new store of their structures: what belongs to these follows them.

Features, derivatives, neighbour lists, labels and splits have rows of structures, or of their atoms or pairs:
they are gathered. Several stores are joined where they say the same of how it was made. Statistics and
references are about all structures of a store: they come along as they are, and stale. What does not come
along is named, and why.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zstruct.building.copied_groups import copy_group
from zstruct.building.gathered_groups import Gathering, Unfit, gather_group
from zstruct.building.origins import Origins
from zstruct.building.plan import Plan
from zstruct.building.publication import Target
from zstruct.building.stored_blocks import StoredInput
from zstruct.schema import GEOMETRY
from zstruct.store.metadata import DOCUMENT
from zstruct.store.spec import GROUP_KINDS, GROUP_VERSION, GROUP_VERSIONS, KINDS, LABELS, TAKEN_ALONG
from zstruct.store.store import Store
from zstruct.store.write import consolidate_again, create_parent

__all__ = ["Followed", "follow_groups"]

_SPLITS = "splits"


@dataclass(frozen=True)
class Followed:
    """What became of groups of stores among the inputs.

    Parameters
    ----------
    followed
        Groups that have the rows of the structures of the new store.
    stale
        What is said of all structures of a store that the new one was made of.
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


def follow_groups(plan: Plan, target: Target, *, links: bool = False) -> Followed:
    """Put groups of the stores among the inputs into a store that was made of these, but is not in its place.

    Parameters
    ----------
    plan
        What is in the store.
    target
        Where it is made.
    links
        Whether shards may be the same files as those of the first input.
    """
    if not plan.inputs:
        return Followed()
    origins, made = Origins(plan), Store(target.store)
    gathering = Gathering(origins, made, target.work / "gathered", links=links)
    followed: list[str] = []
    stale: list[str] = []
    left_out: dict[str, str] = {}
    for group, having in _groups(origins).items():
        kind = group.partition("/")[0]
        folder = target.groups / group
        shutil.rmtree(folder, ignore_errors=True)  # of an interrupted call
        twin = next((one for one in (*followed, *stale) if one.casefold() == group.casefold()), None)
        try:
            if twin is not None:  # some file systems can't tell the two apart
                raise Unfit(f"it differs from {twin} in case only")
            if kind in (*GROUP_KINDS, LABELS, _SPLITS):
                _check(plan, origins, group, having)
                gather_group(gathering, group, {k: s.store for k, s in having.items()}, folder)
                followed.append(group)
            elif len(having) > 1:
                raise Unfit(f"{_these(having)} have one each")
            else:
                store = next(iter(having.values())).store
                copy_group(store, group, folder, links=links)
                fresh = store.group_attrs(group)["store_digest"] == made.digest
                (followed if fresh else stale).append(group)
        except Unfit as error:
            shutil.rmtree(folder, ignore_errors=True)
            left_out[group] = str(error)
            continue
        for source in having.values():
            source.store.check_current(f"{group}/{DOCUMENT}")
        create_parent(target.store, kind)
        os.rename(folder, target.store / group)
    if followed or stale:
        consolidate_again(target.store, target.work)
    for source in origins.inputs.values():
        strange = sorted({*source.store.kinds()} - {*KINDS})
        left_out |= {f"{kind} of {source.label}": "no groups of zstruct" for kind in strange}
    return Followed(followed, stale, left_out)


def _groups(origins: Origins) -> dict[str, dict[int, StoredInput]]:
    """Return the stores that have each group, by their places."""
    found: dict[str, dict[int, StoredInput]] = {}
    for kind in TAKEN_ALONG:
        for place, source in origins.inputs.items():
            for name in source.store.group_names(kind):
                found.setdefault(f"{kind}/{name}", {})[place] = source
    return found


def _these(sources: Mapping[int, StoredInput]) -> str:
    return " and ".join(dict.fromkeys(source.label for source in sources.values()))


def _check(plan: Plan, origins: Origins, group: str, having: Mapping[int, StoredInput]) -> None:
    """Refuse a group whose rows are not those of the new structures.

    Raises
    ------
    Unfit
        Saying why.
    """
    kind = group.partition("/")[0]
    for source in having.values():
        attrs = source.store.group_attrs(group)
        version = str(attrs["encoding-version"])
        if version.split(".")[0] not in GROUP_VERSIONS.get(kind, (GROUP_VERSION.split(".")[0],)):
            raise Unfit(
                f"it has format version {version} in {source.label}, which this zstruct does not know"
            )
        if attrs["store_digest"] != source.store.digest:
            raise Unfit(f"it is stale in {source.label}")
    if kind in (_SPLITS, LABELS):
        return
    fields = {planned.field.name: planned.field for planned in plan.fields}
    for name in GEOMETRY:
        for source in having.values():
            there, here = source.store.fields.get(name), fields.get(name)
            if there is not None and here is not None and there.dtype == "float64" != here.dtype:
                raise Unfit(f"{name} became single precision")
    lacking = {place: source for place, source in origins.inputs.items() if place not in having}
    if lacking:
        raise Unfit(f"{_these(lacking)} {'has' if len(lacking) == 1 else 'have'} none")
    if origins.n_others:
        raise Unfit("it has no rows of the structures that come from no store")
