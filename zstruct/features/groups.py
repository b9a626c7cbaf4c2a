"""The groups with features of a store: which there are, what made them, and whether they are stale.

A group holds what was computed from the content of its store, and the digest of that content; a
store that was built again has another one. This module reads attributes only: it knows neither
kernels nor how arrays are served.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from zstruct.arguments import shown
from zstruct.errors import InputError
from zstruct.features.descriptor import Descriptor
from zstruct.features.registry import from_manifest
from zstruct.keywords import keywords
from zstruct.schema import ATOM
from zstruct.store.groups import require_group
from zstruct.store.spec import EXTERNAL_VERSION, GROUP_KINDS, GroupKind
from zstruct.store.store import Store

__all__ = ["FeatureGroup", "group_names", "open_group"]

_NOUNS = {"features": "set of features", "derivatives": "set of derivatives", "neighbors": "neighbour list"}


@dataclass(frozen=True, eq=False)
class FeatureGroup:
    """A group of a store, made by `zstruct.featurize` or `zstruct.features.add`.

    Parameters
    ----------
    store
        The store it is in.
    kind
        ``"features"``, ``"derivatives"`` or ``"neighbors"``.
    name
        Its name among those of its kind.
    attrs
        Its attributes; the format page lists them.
    """

    store: Store
    kind: GroupKind
    name: str
    attrs: dict[str, Any] = field(repr=False)

    @property
    def path(self) -> str:
        """Path of the group in the store."""
        return f"{self.kind}/{self.name}"

    @property
    def manifest(self) -> dict[str, Any]:
        """What made it: class, version, parameters and their hash."""
        return dict(self.attrs["manifest"])

    @property
    def is_external(self) -> bool:
        """Whether these are features that were added, which no descriptor of ours computed."""
        return str(self.attrs["encoding-version"]).split(".")[0] == EXTERNAL_VERSION.split(".")[0]

    @property
    def level(self) -> str:
        """What features are of: ``"atom"``, ``"structure"``, or ``"row"``, each structure's own."""
        return str(self.attrs.get("level", ATOM))

    @property
    def cutoff(self) -> float:
        """The largest distance of a neighbour that was looked at, in angstrom.

        Raises
        ------
        InputError
            If these are features that were added: nobody says how far they look.
        """
        self._check_computed("a cutoff")
        return float(self.attrs["cutoff"])

    @cached_property
    def descriptor(self) -> Descriptor | None:
        """The descriptor, built again from the manifest; None for neighbour lists.

        Raises
        ------
        InputError
            If it is not registered here, or of another version, or if these are features that were added.
        """
        self._check_computed("a descriptor")
        return None if self.kind == "neighbors" else from_manifest(self.manifest)

    def _check_computed(self, what: str) -> None:
        if self.is_external:
            raise InputError(
                f"the features {self.name!r} of {self.store.path} were added by zstruct.features.add: they "
                f"have no descriptor that could compute them or their derivatives, and so not {what}"
            )

    @property
    def feature_names(self) -> list[str]:
        """A name for each feature; none for neighbour lists."""
        return list(self.attrs.get("feature_names", ()))

    @property
    def arrays(self) -> list[str]:
        """Names of its arrays."""
        return [path.rsplit("/", 1)[1] for path in self.store.array_names(self.path)]

    def array(self, name: str) -> str:
        """Return the path of one of its arrays, for the methods of the store."""
        return f"{self.path}/{name}"


@keywords()
def group_names(
    store: Store | str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None
) -> dict[GroupKind, list[str]]:
    """Return the names of the groups of a store, stale ones too, by kind.

    Parameters
    ----------
    store
        A store or its path.
    storage_options
        Of a store that is given as a URL, for fsspec: keys, endpoints and the like.
    """
    opened = Store.of(store, storage_options)
    return {kind: opened.group_names(kind) for kind in GROUP_KINDS}


@keywords()
def open_group(
    store: Store | str | os.PathLike[str],
    kind: GroupKind,
    name: str,
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> FeatureGroup:
    """Return a group of a store, if it belongs to the store's content.

    Parameters
    ----------
    store
        A store or its path.
    kind
        ``"features"``, ``"derivatives"`` or ``"neighbors"``.
    name
        The name it was given by `zstruct.featurize` or `zstruct.features.add`.
    storage_options
        Of a store that is given as a URL, for fsspec: keys, endpoints and the like.

    Raises
    ------
    InputError
        If there is no such group; names those that there are.
    StaleGroupError
        If it was computed from other content than the store has now.
    StoreFormatError
        If it was written by a newer zstruct.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> from zstruct.features import NeighborList, open_group
    >>> out = tempfile.mkdtemp() + "/copper.zarr"
    >>> report = zstruct.build([ase.build.bulk("Cu")], out, progress=False)
    >>> report = zstruct.featurize(out, NeighborList(3.0), progress=False)
    >>> open_group(out, "neighbors", "rc3").cutoff
    3.0
    """
    opened = Store.of(store, storage_options)
    if not isinstance(kind, str) or kind not in GROUP_KINDS:
        raise InputError(f"a kind of group is one of {', '.join(GROUP_KINDS)}, not {shown(kind)}")
    current, attrs = require_group(opened, kind, name, _NOUNS[kind], "zstruct.featurize")
    return FeatureGroup(current, kind, name, attrs)
