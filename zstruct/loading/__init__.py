"""Serve a store to training: readers, datasets and loaders.

`StructureReader` makes packed NumPy batches and needs no torch; `ZarrStructureDataset` is the same for
torch, and ``loader`` and ``losses`` are torch's, too. What users ask for is a `Recipe`, of small objects in
``dataset_options``; ``pipeline`` does it. Those of loaders are in ``loader_options``. Inside, ``order`` says
which structures come when, ``cache`` has decoded blocks of a store, ``gather`` copies rows of them into
batches, and ``derived`` adds features, edges and derivatives.
"""

import importlib
from typing import TYPE_CHECKING, Any

from zstruct.batch.packed import PackedBatch, Sample
from zstruct.errors import MissingExtraError
from zstruct.loading.dataset_options import Cache, Edges, Forces
from zstruct.loading.loader_options import Batches, Ranks, Shuffle, Threads
from zstruct.loading.reader import StructureReader
from zstruct.loading.recipe import Recipe

if TYPE_CHECKING:
    from zstruct.loading.dataset import ZarrStructureDataset

__all__ = [
    "Batches",
    "Cache",
    "Edges",
    "Forces",
    "PackedBatch",
    "Ranks",
    "Recipe",
    "Sample",
    "Shuffle",
    "StructureReader",
    "Threads",
    "ZarrStructureDataset",
]


# Of these modules users take objects by name; those of torch are loaded when they are asked for.
_MODULES = ("loader", "losses", "order", "torch_dataset")


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
