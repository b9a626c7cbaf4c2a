"""Serve a store to torch: datasets, loaders and batches.

The only package that imports torch, so that the rest of zstruct works without it. Inside, the
direct reader (``shards``), the cache of decoded blocks (``cache``, ``place`` and ``arena``) and the
gather (``gather``) are plain NumPy and Numba; ``extras`` adds features, edges and derivatives; the
batch, the dataset and the collate functions speak torch.
"""

from zstruct.errors import MissingExtraError

try:
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise MissingExtraError(
        'reading a store into torch needs torch, which is not installed: pip install "zstruct[torch]"'
    ) from error

from zstruct.loading import collate
from zstruct.loading.batch import PackedBatch, Sample
from zstruct.loading.dataset import ZarrStructureDataset

__all__ = ["PackedBatch", "Sample", "ZarrStructureDataset", "collate"]
