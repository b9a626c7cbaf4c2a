"""Killed at any step, `labels.add` leaves a whole store; the same call then makes the same bytes."""

import shutil
import signal

import numpy as np
import pytest

import zstruct
from tests.conftest import tree_bytes
from tests.kills import count_steps, ended, moments
from zstruct.labels import add


def _add(path, labels, kill_at=0):
    steps = count_steps(kill_at)
    add(path, "x", overwrite=True, **labels)
    path.with_name("steps").write_text(str(len(steps)))


@pytest.mark.parametrize("there", [pytest.param(False, marks=pytest.mark.long), True])
def test_killed_at_any_step(spawner, tmp_path, store, teacher, there, long_run):
    if there:
        add(store, "x", energy=np.zeros(11))
    whole = shutil.copytree(store, tmp_path / "whole.zarr")
    assert ended(spawner, _add, whole, teacher) == 0
    expected, total = tree_bytes(whole), int((tmp_path / "steps").read_text())
    steps = moments(total, 2, long_run)
    killed = 0
    for step in steps:
        out = shutil.copytree(store, tmp_path / f"out{step}.zarr")
        killed += ended(spawner, _add, out, teacher, step) == -signal.SIGKILL
        zstruct.verify(out)  # whatever can be seen is whole
        if "x" in zstruct.Store(out).group_names("labels"):
            found = zstruct.open_labels(out, "x").read("energy")
            assert np.array_equal(found, teacher["energy"]) or (there and not found.any())
        assert ended(spawner, _add, out, teacher) == 0
        assert tree_bytes(out) == expected, f"not the same after step {step}"
        assert not out.with_name(out.name + ".featurizing").exists()
    assert killed >= len(steps) - 1
