"""Serve a store to training: readers, datasets and loaders.

`StructureReader` makes packed NumPy batches and needs no torch; `ZarrStructureDataset` is the same for torch,
and ``loader`` and ``losses`` are torch's, too; ``mixture`` puts several stores together. What users ask for
is a `Recipe`, of small objects in ``dataset_options``; ``pipeline`` does it. Those of loaders are in
``loader_options``. Inside, ``order`` says which structures come when, ``cache`` has decoded blocks of a
store, ``gather`` copies rows of them into batches, and ``derived`` adds features, edges and derivatives.
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
    from zstruct.loading.mixture.dataset import Mixture
    from zstruct.loading.mixture.proportions import Proportions
    from zstruct.loading.mixture.reader import MixtureReader

__all__ = [
    "Batches",
    "Cache",
    "Edges",
    "Forces",
    "Mixture",
    "MixtureReader",
    "PackedBatch",
    "Proportions",
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
# What not everybody needs, or what needs torch, by where it is.
_LAZY = {
    "Mixture": "mixture.dataset",
    "MixtureReader": "mixture.reader",
    "Proportions": "mixture.proportions",
    "ZarrStructureDataset": "dataset",
}
_WITHOUT_TORCH = {"Mixture": "MixtureReader", "ZarrStructureDataset": "StructureReader"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY and name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_LAZY.get(name, name)}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        instead = _WITHOUT_TORCH.get(name, "StructureReader")
        raise MissingExtraError(
            'reading a store into torch needs torch, which is not installed: pip install "zstruct[torch]"; '
            f"zstruct.{instead} reads it into NumPy without"
        ) from error
    return getattr(module, name) if name in _LAZY else module
