"""Killed at any step, `label` leaves a whole store, and goes on to the bytes that it would have made."""

import multiprocessing
import shutil
import signal

import ase
import numpy as np
import pytest

import zstruct
from tests.building.kills import count_steps, shrink
from tests.conftest import tree_bytes
from tests.labels.potentials import failing
from zstruct.labels import label_tasks


@pytest.fixture(scope="module")
def spawner():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.labels.potentials", "zstruct.labels.label"])
    return context


def _label(path, overwrite, kill_at=0):
    shrink()
    label_tasks._PARTS = 1000
    steps = count_steps(kill_at)
    zstruct.label(path, failing, "x", version=1, max_atoms=8, overwrite=overwrite, progress=False)
    path.with_name("steps").write_text(str(len(steps)))


def _child(spawner, *args):
    process = spawner.Process(target=_label, args=args)
    process.start()
    process.join(60)
    return process.exitcode


@pytest.mark.parametrize("state", ["new", "replaced", "grown"])
def test_killed_at_any_step(spawner, tmp_path, store, state, long_run):
    overwrite = state == "replaced"
    if overwrite:
        zstruct.labels.add(store, "x", energy=np.zeros(11))
    if state == "grown":
        assert _child(spawner, store, False) == 0
        new = [ase.Atoms(f"Cu{n}", np.random.default_rng(n).normal(size=(n, 3))) for n in (2, 5, 3)]
        zstruct.append(store, new, progress=False)
    whole = shutil.copytree(store, tmp_path / "whole.zarr")
    assert _child(spawner, whole, overwrite) == 0
    expected, total = tree_bytes(whole), int((tmp_path / "steps").read_text())
    steps = range(1, total + 1) if long_run else {*np.linspace(1, total - 1, 5).astype(int).tolist()}
    killed = 0
    for step in sorted(steps):
        out = shutil.copytree(store, tmp_path / f"out{step}.zarr")
        killed += _child(spawner, out, overwrite, step) == -signal.SIGKILL
        zstruct.verify(out)  # whatever can be seen is whole
        assert _child(spawner, out, overwrite) == 0
        assert tree_bytes(out) == expected, f"not the same after step {step}"
        assert not out.with_name(out.name + ".featurizing").exists()
    assert killed >= len(steps) - 1
