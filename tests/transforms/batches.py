"""Batches with everything that a transform may change, made up."""

import pickle
from dataclasses import replace

import numpy as np

from zstruct.batch.pack import pack
from zstruct.batch.packed import PackedBatch, Pairs
from zstruct.geometry.neighbors import neighbor_list
from zstruct.geometry.structures import Structures
from zstruct.transforms import AddNoise, RandomReflection, RandomRotation

COUNTS = [5, 1, 0, 12, 3, 1100]
RANDOM = [RandomRotation(seed=5), RandomReflection(seed=5), AddNoise(0.1, seed=5)]


def make_batch(counts=COUNTS, dtype=np.float64, structures=None, seed=0):
    """Return structures that have everything that turns, whatever their order."""
    structures = np.arange(len(counts)) if structures is None else np.asarray(structures)
    parts = []
    for n, structure in zip(counts, structures, strict=True):
        rng = np.random.default_rng([seed, structure])
        sample = {
            "numbers": rng.integers(1, 9, n),
            "positions": rng.normal(size=(n, 3)) * 4,
            "forces": rng.normal(size=(n, 3)),
            "magmoms": rng.normal(size=(n, 3)),
            "charges": rng.normal(size=n),
            "cell": rng.normal(size=(3, 3)) + 4 * np.eye(3),
            "pbc": rng.random(3) < 0.5,
            "energy": rng.normal(),
            "stress": rng.normal(size=6),
            "polarizability": rng.normal(size=(3, 3)),
            "dipole": rng.normal(size=3),
        }
        parts.append({k: v if k in ("numbers", "pbc") else np.asarray(v, dtype) for k, v in sample.items()})
    return replace(pack(parts), structures=structures.astype(np.int64))


def with_edges(batch, cutoff=3.0):
    """Return a batch with a neighbour list, and made-up derivatives of two features."""
    found = neighbor_list(
        Structures(batch.offsets, *(batch.columns[n] for n in ("numbers", "positions", "cell", "pbc"))),
        cutoff,
    )
    centres = np.repeat(np.arange(len(batch.batch)), np.diff(found.offsets))
    index = np.stack([centres, found.indices])
    edges = found.offsets[batch.offsets]
    carried = {"edge_shift": found.shifts.astype(float), "edge_vec": found.vectors.copy()}
    derivatives = {"deriv_values": np.random.default_rng(1).normal(size=(len(centres), 2, 3))}
    pairs = (Pairs("edge_index", edges, index, carried), Pairs("deriv_index", edges, index, derivatives))
    return replace(batch, pairs=pairs)


def edge_vectors(batch):
    """Return the vectors of edges from positions, cells and shifts."""
    (i, j), shift = batch.pairs[0].index, batch.pairs[0].columns["edge_shift"]
    positions, cells = batch.columns["positions"], batch.columns["cell"]
    return positions[j] - positions[i] + np.einsum("ec,ecx->ex", shift, cells[batch.batch[i]])


def copied(batch):
    return pickle.loads(pickle.dumps(batch))


def same(a, b):
    assert a.columns.keys() == b.columns.keys()
    for name in a.columns:
        assert a.columns[name].dtype == b.columns[name].dtype
        np.testing.assert_array_equal(a.columns[name], b.columns[name], err_msg=name)


def replace_empty(batch):
    columns = {name: column[:0] for name, column in batch.columns.items()}
    none = np.empty(0, np.int64)
    return PackedBatch(none, np.zeros(1, np.int64), none, columns, batch.per_atom)


def arrays_of(batch, i):
    """Return the fields of one structure as arrays, which needs no torch."""
    rows = slice(*batch.offsets[i : i + 2])
    return {name: column[rows if name in batch.per_atom else i] for name, column in batch.columns.items()}
