"""The transforms under their public name; `zstruct.loading.transforms` has them."""

from zstruct.loading.transforms import (
    AddNoise,
    CastUnits,
    Center,
    Compose,
    Denormalize,
    Normalize,
    OnBatch,
    OnSample,
    RandomApply,
    RandomReflection,
    RandomRotation,
    Transform,
    Wrap,
    as_transform,
    random_keys,
)

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
