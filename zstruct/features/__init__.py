"""Descriptors: what potentials are trained on, computed by kernels and kept in further groups of a store."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zstruct.features.acsf import ACSF
    from zstruct.features.base import Descriptor, Neighbors, PairDerivatives
    from zstruct.features.chebyshev import Chebyshev
    from zstruct.features.groups import FeatureGroup, group_names, open_group
    from zstruct.features.neighbors import NeighborList, neighbor_list
    from zstruct.features.registry import from_manifest, register
    from zstruct.features.structures import Structures, pack

__all__ = [
    "ACSF",
    "Chebyshev",
    "Descriptor",
    "FeatureGroup",
    "NeighborList",
    "Neighbors",
    "PairDerivatives",
    "Structures",
    "from_manifest",
    "group_names",
    "neighbor_list",
    "open_group",
    "pack",
    "register",
]

_LAZY = {
    "ACSF": "acsf",
    "Chebyshev": "chebyshev",
    "Descriptor": "base",
    "FeatureGroup": "groups",
    "NeighborList": "neighbors",
    "Neighbors": "base",
    "PairDerivatives": "base",
    "Structures": "structures",
    "from_manifest": "registry",
    "group_names": "groups",
    "neighbor_list": "neighbors",
    "open_group": "groups",
    "pack": "structures",
    "register": "registry",
}


def __getattr__(name: str) -> Any:
    if name == "torch":  # a module of which users take functions by name
        return importlib.import_module("zstruct.features.torch")
    if name not in _LAZY:
        raise AttributeError(f"module 'zstruct.features' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"zstruct.features.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
