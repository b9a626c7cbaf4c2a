"""Killed at any step, `label` leaves a whole store, and goes on to the bytes that it would have made."""

import shutil
import signal

import ase
import numpy as np
import pytest

import zstruct
from tests.conftest import tree_bytes
from tests.kills import count_steps, ended, moments, shrink
from tests.labels.potentials import failing
from zstruct.labels import label_tasks


def _label(path, overwrite, kill_at=0):
    shrink()
    label_tasks._PARTS = 1000
    steps = count_steps(kill_at)
    zstruct.label(path, failing, "x", version=1, max_atoms=8, overwrite=overwrite, progress=False)
    path.with_name("steps").write_text(str(len(steps)))


@pytest.mark.parametrize(
    "state", ["replaced", *(pytest.param(state, marks=pytest.mark.long) for state in ("new", "grown"))]
)
def test_killed_at_any_step(spawner, tmp_path, store, state, long_run):
    overwrite = state == "replaced"
    if overwrite:
        zstruct.labels.add(store, "x", energy=np.zeros(11))
    if state == "grown":
        assert ended(spawner, _label, store, False) == 0
        new = [ase.Atoms(f"Cu{n}", np.random.default_rng(n).normal(size=(n, 3))) for n in (2, 5, 3)]
        zstruct.append(store, new, progress=False)
    whole = shutil.copytree(store, tmp_path / "whole.zarr")
    assert ended(spawner, _label, whole, overwrite) == 0
    expected, total = tree_bytes(whole), int((tmp_path / "steps").read_text())
    steps = moments(total, 2, long_run)
    killed = 0
    for step in steps:
        out = shutil.copytree(store, tmp_path / f"out{step}.zarr")
        killed += ended(spawner, _label, out, overwrite, step) == -signal.SIGKILL
        zstruct.verify(out)  # whatever can be seen is whole
        assert ended(spawner, _label, out, overwrite) == 0
        assert tree_bytes(out) == expected, f"not the same after step {step}"
        assert not out.with_name(out.name + ".featurizing").exists()
    assert killed >= len(steps) - 1
