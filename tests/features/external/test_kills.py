"""Killed at any step, `add` leaves a whole store; the same call then makes the same bytes."""

import multiprocessing
import os
import shutil
import signal

import numpy as np
import pytest

import zstruct
from tests.conftest import tree_bytes
from tests.features.gaussians import Gaussians, run
from zstruct.features import add, group_names


@pytest.fixture(scope="module")
def spawner():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["zstruct.features.external.group"])
    return context


def _add(path, parts, overwrite, kill_at=0):
    steps = []

    def counted(function):
        def wrapper(*args, **kwargs):
            steps.append(function.__name__)
            if len(steps) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapper

    for name in ("replace", "rename", "fsync", "unlink", "rmdir", "mkdir"):
        setattr(os, name, counted(getattr(os, name)))
    add(path, "x", iter(parts), level="row", overwrite=overwrite)
    path.with_name("steps").write_text(str(len(steps)))


def _child(spawner, *args):
    process = spawner.Process(target=_add, args=args)
    process.start()
    process.join(60)
    return process.exitcode


@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_at_any_step(spawner, tmp_path, store, sizes, overwrite, long_run):
    parts = [np.full((n % 4, 2), float(n)) for n in sizes]
    if overwrite:
        add(store, "x", np.ones((50, 1)))
    whole = shutil.copytree(store, tmp_path / "whole.zarr")
    assert _child(spawner, whole, parts, overwrite) == 0
    expected, total = tree_bytes(whole), int((tmp_path / "steps").read_text())
    steps = range(1, total + 1) if long_run else {*np.linspace(1, total, 8).astype(int).tolist()}
    killed = 0
    for step in sorted(steps):
        out = shutil.copytree(store, tmp_path / f"out{step}.zarr")
        killed += _child(spawner, out, parts, overwrite, step) == -signal.SIGKILL
        zstruct.verify(out)  # whatever can be seen is whole
        assert _child(spawner, out, parts, overwrite) == 0
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
