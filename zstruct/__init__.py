"""zstruct: atomistic structures in one packed ragged Zarr store.

`build` makes a store from any inputs, `open` shows it as an `xarray.Dataset`, `featurize` adds
descriptors to it, `split` divides it, and `ZarrStructureDataset` feeds it to torch. Importing this
package loads none of torch, numba, dask or ase; each is loaded by what needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from zstruct.errors import (
    BuildLockedError,
    ChangedInputError,
    CorruptStoreError,
    InputError,
    MissingExtraError,
    StaleGroupError,
    StoreExistsError,
    StoreFormatError,
    ZstructError,
)

if TYPE_CHECKING:
    from zstruct import features as features
    from zstruct import sources as sources
    from zstruct.building import BuildReport, Frame, build
    from zstruct.explore import open
    from zstruct.features.featurize import FeaturizeReport, featurize
    from zstruct.loading import ZarrStructureDataset, collate
    from zstruct.splits import Split, kfold, open_split, split
    from zstruct.store import Store
    from zstruct.verify import verify

__version__ = "0.1.0"

__all__ = [
    "BuildLockedError",
    "BuildReport",
    "ChangedInputError",
    "CorruptStoreError",
    "FeaturizeReport",
    "Frame",
    "InputError",
    "MissingExtraError",
    "Split",
    "StaleGroupError",
    "Store",
    "StoreExistsError",
    "StoreFormatError",
    "ZarrStructureDataset",
    "ZstructError",
    "build",
    "collate",
    "features",
    "featurize",
    "kfold",
    "open",
    "open_split",
    "sources",
    "split",
    "verify",
]

_LAZY = {
    "BuildReport": "zstruct.building",
    "FeaturizeReport": "zstruct.features.featurize",
    "Frame": "zstruct.building",
    "Split": "zstruct.splits",
    "Store": "zstruct.store",
    "ZarrStructureDataset": "zstruct.loading",
    "build": "zstruct.building",
    "collate": "zstruct.loading",
    "featurize": "zstruct.features.featurize",
    "kfold": "zstruct.splits",
    "open": "zstruct.explore",
    "open_split": "zstruct.splits",
    "split": "zstruct.splits",
    "verify": "zstruct.verify",
}


def __getattr__(name: str) -> Any:
    if name in ("features", "sources"):
        return importlib.import_module(f"zstruct.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module 'zstruct' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
