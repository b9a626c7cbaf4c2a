"""Stores with features that say where structures are."""

import numpy as np

import zstruct


def store_of(path, counts, features=None, name="x", level=None, seed=0, **fields):
    """Build a store of structures of so many atoms at random places, and add features to it."""
    counts = np.asarray(counts)
    draw = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    numbers = draw.choice([1, 6, 8], offsets[-1])
    positions = 9.0 * draw.random((offsets[-1], 3))
    zstruct.build(zstruct.sources.arrays(numbers, positions, offsets, **fields), path, progress=False)
    if features is not None:
        zstruct.features.add(path, name, features, level=level)
    return zstruct.Store(path)
