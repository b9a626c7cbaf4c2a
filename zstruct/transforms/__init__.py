"""Transforms: change structures on their way from the store to the model, whole batches at a time.

``base`` is what a transform is, and how functions become some; ``augment`` has the random ones,
``scaling`` those of labels and units, ``moving`` those of positions, ``sometimes`` what is done to some
structures only. ``kernels`` does the work on
arrays. Nothing here knows of stores or datasets.
"""

from zstruct.transforms.augment import AddNoise, RandomReflection, RandomRotation
from zstruct.transforms.positions import Center, Wrap
from zstruct.transforms.random_apply import RandomApply
from zstruct.transforms.scaling import CastUnits, Denormalize, Normalize
from zstruct.transforms.transform import Compose, OnBatch, OnSample, Transform, as_transform, random_keys

__all__ = [
    "AddNoise",
    "CastUnits",
    "Center",
    "Compose",
    "Denormalize",
    "Normalize",
    "OnBatch",
    "OnSample",
    "RandomApply",
    "RandomReflection",
    "RandomRotation",
    "Transform",
    "Wrap",
    "as_transform",
    "random_keys",
]
