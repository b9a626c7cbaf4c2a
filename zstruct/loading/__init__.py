"""Serve a store to training: readers, datasets, batches and loaders.

`StructureReader` makes packed NumPy batches and needs no torch; `ZarrStructureDataset` is the same for
torch, and ``loader``, ``samplers`` and ``losses`` are torch's, too. Inside, the direct reader
(``shards``), the cache of decoded blocks (``cache``, ``place`` and ``arena``) and the gather
(``gather``) are plain NumPy and Numba; ``extras`` adds features, edges and derivatives, ``transforms``
changes structures on their way, and ``collate`` lays batches out.
"""

import importlib
from typing import TYPE_CHECKING, Any

from zstruct.errors import MissingExtraError
from zstruct.loading import collate, transforms
from zstruct.loading.batch import PackedBatch, Sample
from zstruct.loading.reader import StructureReader

if TYPE_CHECKING:
    from zstruct.loading.dataset import ZarrStructureDataset

__all__ = ["PackedBatch", "Sample", "StructureReader", "ZarrStructureDataset", "collate", "transforms"]


# Of these modules users take objects by name; those of torch are loaded when they are asked for.
_MODULES = ("batching", "loader", "losses", "samplers", "weighted")


def __getattr__(name: str) -> Any:
    if name != "ZarrStructureDataset" and name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        if name in _MODULES:
            return importlib.import_module(f"{__name__}.{name}")
        from zstruct.loading.dataset import ZarrStructureDataset
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError(
            'reading a store into torch needs torch, which is not installed: pip install "zstruct[torch]"; '
            "zstruct.StructureReader reads it into NumPy without"
        ) from error
    return ZarrStructureDataset
