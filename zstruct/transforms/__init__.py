"""Transforms: change structures on their way from the store to the model, whole batches at a time.

``transform`` is what a transform is, and how functions become some; ``compose`` makes one of several;
``rotations`` and ``noise`` have the random ones, ``normalize``, ``delta`` and ``cast_units`` those of labels
and units, ``positions`` those that change no distance, ``random_apply`` what is done to some structures
only. ``kernels`` does the work on arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zstruct.lazy import lazy_names

if TYPE_CHECKING:
    from zstruct.transforms.cast_units import CastUnits
    from zstruct.transforms.compose import Compose, as_transform
    from zstruct.transforms.delta import Delta
    from zstruct.transforms.noise import AddNoise
    from zstruct.transforms.normalize import Denormalize, Normalize
    from zstruct.transforms.random_apply import RandomApply
    from zstruct.transforms.random_streams import random_keys
    from zstruct.transforms.rotations import RandomReflection, RandomRotation
    from zstruct.transforms.transform import OnBatch, OnSample, Transform
    from zstruct.transforms.wrap_and_center import Center, Wrap

__all__ = [
    "AddNoise",
    "CastUnits",
    "Center",
    "Compose",
    "Delta",
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

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AddNoise": "zstruct.transforms.noise",
        "CastUnits": "zstruct.transforms.cast_units",
        "Center": "zstruct.transforms.wrap_and_center",
        "Compose": "zstruct.transforms.compose",
        "Delta": "zstruct.transforms.delta",
        "Denormalize": "zstruct.transforms.normalize",
        "Normalize": "zstruct.transforms.normalize",
        "OnBatch": "zstruct.transforms.transform",
        "OnSample": "zstruct.transforms.transform",
        "RandomApply": "zstruct.transforms.random_apply",
        "RandomReflection": "zstruct.transforms.rotations",
        "RandomRotation": "zstruct.transforms.rotations",
        "Transform": "zstruct.transforms.transform",
        "Wrap": "zstruct.transforms.wrap_and_center",
        "as_transform": "zstruct.transforms.compose",
        "random_keys": "zstruct.transforms.random_streams",
    },
)
