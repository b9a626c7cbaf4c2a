"""What users want beside fields, and whether it is stored or will be computed.

They give a name, a descriptor or a cutoff; here it is found among the groups of the store. This
module knows nothing of batches.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError, InputError, StaleGroupError, StoreFormatError
from zstruct.features.descriptor import Descriptor
from zstruct.features.groups import FeatureGroup, group_names, open_group
from zstruct.geometry.neighbors import NeighborList
from zstruct.store.spec import GroupKind
from zstruct.store.store import Store

__all__ = ["Wanted", "find_descriptor", "find_neighbors"]


@dataclass(frozen=True, eq=False)
class Wanted:
    """Features, derivatives or edges that batches shall have.

    Parameters
    ----------
    what
        Which of them.
    cutoff
        Of the neighbours, in angstrom; NaN for what was added to the store, not computed.
    descriptor
        What computes, or has computed, them; None for edges, and for what was added.
    group
        Where they are stored; None if they are to be computed.
    """

    what: Literal["features", "derivatives", "edges"]
    cutoff: float
    descriptor: Descriptor | None
    group: FeatureGroup | None

    @property
    def content(self) -> str:
        """What tells the content of the group from that of others."""
        return "" if self.group is None else json.dumps([self.group.path, self.group.attrs], sort_keys=True)

    def describe(self) -> str:
        """Return where they come from, for people."""
        if self.group is not None:
            return f"{self.what}: {self.group.name}, stored"
        by = f"within {self.cutoff:g} angstrom"
        if self.descriptor is not None:
            by = self.descriptor.manifest()["class"]
        return f"{self.what}: {by}, computed"


def find_descriptor(
    store: Store,
    what: Literal["features", "derivatives"],
    wanted: str | Descriptor,
    dtype: np.dtype | None = None,
) -> Wanted:
    """Return where features or derivatives come from: a group by its name, a descriptor's kernels.

    Parameters
    ----------
    store
        The store.
    what
        Which of the two.
    wanted
        The name of a group, or a descriptor.
    dtype
        Has what a descriptor computes read instead, where it is stored with no fewer digits than this
        has; None: it is computed.

    Raises
    ------
    InputError
        If the store has no such group, or its descriptor is not known here, or has no derivatives.
    StaleGroupError
        If it was computed from other content than the store has now.
    TypeError
        If `wanted` is neither a name nor a descriptor.
    """
    if isinstance(wanted, Descriptor):
        if what == "derivatives" and type(wanted).derivatives is Descriptor.derivatives:
            raise InputError(f"the descriptor {wanted.manifest()['class']} has no derivatives")
        return Wanted(what, wanted.cutoff, wanted, _stored(store, what, wanted, dtype))
    if not isinstance(wanted, str):
        raise ArgumentTypeError(f"{what} is the name of what is stored or a descriptor, not {shown(wanted)}")
    if what == "derivatives" and wanted in group_names(store)["features"]:
        features = open_group(store, "features", wanted)
        if features.is_external:
            raise InputError(
                f"the features {wanted!r} of {store.path} were added by zstruct.features.add: they have no "
                "derivatives; a model of positions needs features of a descriptor"
            )
    group = open_group(store, what, wanted)
    if group.is_external:
        return Wanted(what, math.nan, None, group)
    return Wanted(what, group.cutoff, group.descriptor, group)


def _stored(
    store: Store, what: Literal["features", "derivatives"], wanted: Descriptor, dtype: np.dtype | None
) -> FeatureGroup | None:
    """Return what an equal descriptor has stored, if it has as many digits."""
    manifest = wanted.manifest()
    for group in () if dtype is None else _usable(store, what):
        values = group.store.dtype(group.array("values")) if group.manifest == manifest else None
        if values is not None and dtype is not None and values.itemsize >= dtype.itemsize:
            return group
    return None


def _usable(store: Store, kind: GroupKind) -> Iterator[FeatureGroup]:
    """Yield the groups of a kind but those that are stale or too new: nobody asked for these by name."""
    for name in group_names(store)[kind]:
        try:
            group = open_group(store, kind, name)
        except (StaleGroupError, StoreFormatError):
            continue
        yield group


def find_neighbors(store: Store, wanted: str | float) -> Wanted:
    """Return where edges come from: a stored list by its name or by its cutoff, or the kernels.

    Raises
    ------
    InputError
        If the store has no list of that name, or if the cutoff is none.
    StaleGroupError
        If the list asked for by name was computed from other content than the store has now.
    """
    if isinstance(wanted, str):
        group = open_group(store, "neighbors", wanted)
        return Wanted("edges", group.cutoff, None, group)
    cutoff = NeighborList(wanted).cutoff
    for group in _usable(store, "neighbors"):
        if group.cutoff == cutoff:
            return Wanted("edges", cutoff, None, group)
    return Wanted("edges", cutoff, None, None)
