"""Descriptors: what potentials are trained on, computed by kernels and kept in further groups of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zstruct.lazy import lazy_names

if TYPE_CHECKING:
    from zstruct.features.acsf import ACSF
    from zstruct.features.chebyshev import Chebyshev
    from zstruct.features.descriptor import Descriptor, PairDerivatives
    from zstruct.features.external.group import AddReport, add
    from zstruct.features.groups import FeatureGroup, group_names, open_group
    from zstruct.features.registry import from_manifest, register
    from zstruct.geometry.neighbors import NeighborList, Neighbors, neighbor_list
    from zstruct.geometry.structures import Structures

__all__ = [
    "ACSF",
    "AddReport",
    "Chebyshev",
    "Descriptor",
    "FeatureGroup",
    "NeighborList",
    "Neighbors",
    "PairDerivatives",
    "Structures",
    "add",
    "from_manifest",
    "group_names",
    "neighbor_list",
    "open_group",
    "register",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ACSF": "zstruct.features.acsf",
        "AddReport": "zstruct.features.external.group",
        "Chebyshev": "zstruct.features.chebyshev",
        "Descriptor": "zstruct.features.descriptor",
        "FeatureGroup": "zstruct.features.groups",
        "NeighborList": "zstruct.geometry.neighbors",
        "Neighbors": "zstruct.geometry.neighbors",
        "PairDerivatives": "zstruct.features.descriptor",
        "Structures": "zstruct.geometry.structures",
        "add": "zstruct.features.external.group",
        "from_manifest": "zstruct.features.registry",
        "group_names": "zstruct.features.groups",
        "neighbor_list": "zstruct.geometry.neighbors",
        "open_group": "zstruct.features.groups",
        "register": "zstruct.features.registry",
        "torch": "zstruct.features.torch",
    },
)
