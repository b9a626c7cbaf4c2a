"""Killed at any step, `add` leaves a whole store; the same call then makes the same bytes."""

import shutil
import signal

import numpy as np
import pytest

import zstruct
from tests.conftest import tree_bytes
from tests.features.gaussians import Gaussians, run
from tests.kills import count_steps, ended, moments
from zstruct.features import add, group_names


def _add(path, parts, overwrite, kill_at=0):
    steps = count_steps(kill_at)
    add(path, "x", iter(parts), level="row", overwrite=overwrite)
    path.with_name("steps").write_text(str(len(steps)))


@pytest.mark.parametrize("overwrite", [False, pytest.param(True, marks=pytest.mark.long)])
def test_killed_at_any_step(spawner, tmp_path, store, sizes, overwrite, long_run):
    parts = [np.full((n % 4, 2), float(n)) for n in sizes]
    if overwrite:
        add(store, "x", np.ones((50, 1)))
    whole = shutil.copytree(store, tmp_path / "whole.zarr")
    assert ended(spawner, _add, whole, parts, overwrite) == 0
    expected, total = tree_bytes(whole), int((tmp_path / "steps").read_text())
    steps = moments(total, 2, long_run)
    killed = 0
    for step in steps:
        out = shutil.copytree(store, tmp_path / f"out{step}.zarr")
        killed += ended(spawner, _add, out, parts, overwrite, step) == -signal.SIGKILL
        zstruct.verify(out)  # whatever can be seen is whole
        assert ended(spawner, _add, out, parts, overwrite) == 0
        assert tree_bytes(out) == expected, f"not the same after step {step}"
        assert not out.with_name(out.name + ".featurizing").exists()
    assert killed >= len(steps) - 1


def test_a_job_that_was_interrupted_goes_on_after_it(store, per_atom, monkeypatch):
    from zstruct.features import featurize_groups

    def interrupted(task):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(featurize_groups, "do_atoms", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(store, Gaussians(), workers=1)
    add(store, "x", per_atom)
    assert store.with_name(store.name + ".featurizing").exists()
    run(store, Gaussians(), workers=1)
    assert group_names(store)["features"] == ["gaussians", "x"]
    zstruct.verify(store)
