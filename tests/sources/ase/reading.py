"""Sources read to fields, and compared with Atoms."""

import numpy as np

from zstruct.ragged import concatenate
from zstruct.sources.normalize.normalize import ReadOptions, normalize


def read(source):
    return [raw for piece in source.scan() for raw in source.read(piece)]


def packed(source, **options):
    blocks = []
    for raw in read(source):
        block, bad = normalize(raw, ReadOptions(**options), source.label)
        assert bad == []
        blocks.append(block)
    return concatenate(blocks)


def faults(source):
    bad = []
    for raw in read(source):
        bad += normalize(raw, ReadOptions(), source.label)[1]
    return {b.frame: b.reason for b in bad}


def assert_same(block, frames, *, labels=True):
    """Compare a block with the Atoms it should have come from."""
    assert block.n_atoms.tolist() == [len(a) for a in frames]
    for i, atoms in enumerate(frames):
        rows = slice(*block.offsets[i : i + 2])
        assert np.array_equal(block.columns["numbers"][rows], atoms.numbers)
        assert np.array_equal(block.columns["positions"][rows], atoms.positions)
        assert np.array_equal(block.columns["cell"][i], atoms.cell.array)
        assert np.array_equal(block.columns["pbc"][i], atoms.pbc)
        if labels:
            assert block.columns["energy"][i] == atoms.get_potential_energy()
            assert np.array_equal(block.columns["forces"][rows], atoms.get_forces(apply_constraint=False))
