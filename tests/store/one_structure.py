"""A store of one structure, written with a given grid."""

from dataclasses import replace

import numpy as np

from zstruct.schema import FIELDS
from zstruct.store.chunks import ChunkGrid
from zstruct.store.spec import ArraySpec, categories_specs, spec_of
from zstruct.store.write import create, finish, write_array


def write_one(path, n_atoms, grid, seed=0, texts=None):
    """Write a store of one structure, and tables of the given texts; return the rows."""
    rng = np.random.default_rng(seed)
    values = {
        "positions": np.round(rng.normal(size=(n_atoms, 3)), 8),
        "numbers": rng.integers(1, 90, n_atoms).astype(np.uint8),
    }
    specs = {
        name: replace(spec_of(FIELDS[name], name, n_atoms, {"coverage": 1}), grid=grid) for name in values
    }
    edges = {"offsets": np.array([0, n_atoms]), "n_atoms": np.array([n_atoms], np.int32)}
    edge_specs = {
        name: ArraySpec(name, (dim,), rows.shape, str(rows.dtype), {}, 0, ChunkGrid(len(rows), len(rows)))
        for (name, rows), dim in zip(edges.items(), ("structure_edge", "structure"), strict=True)
    }
    tables = [made for name in texts or {} for made in categories_specs(name, texts[name])]
    made = [*specs.values(), *edge_specs.values(), *(spec for spec, _ in tables)]
    create(path, made, {"n_structures": 1, "n_atoms": n_atoms})
    for name, rows in (values | edges).items():
        write_array(path, (specs | edge_specs)[name], rows)
    for spec, rows in tables:
        write_array(path, spec, rows)
    finish(path, {"digest": ""}, {})
    return values
