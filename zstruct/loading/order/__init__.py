"""Which structures an epoch loads, in which order, and where that is cut into batches: policy only."""

from zstruct.loading.order.batch_samplers import BatchSampler, BucketBatchSampler, BudgetBatchSampler
from zstruct.loading.order.block_shuffle_sampler import BlockShuffleSampler
from zstruct.loading.order.mixture_sampler import MixtureSampler
from zstruct.loading.order.samplers import SequentialSampler, ShuffleSampler, StructureSampler
from zstruct.loading.order.weighted_sampler import WeightedSampler

__all__ = [
    "BatchSampler",
    "BlockShuffleSampler",
    "BucketBatchSampler",
    "BudgetBatchSampler",
    "MixtureSampler",
    "SequentialSampler",
    "ShuffleSampler",
    "StructureSampler",
    "WeightedSampler",
]
