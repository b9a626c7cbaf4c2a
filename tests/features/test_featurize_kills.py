"""Killed at any instant, `featurize` resumes to the same bytes; what can be seen is whole."""

import shutil
import signal
import time

import numpy as np
import pytest

import zstruct
from tests.conftest import tree_bytes
from tests.features.gaussians import CUTOFF, Gaussians, run
from tests.kills import count_steps, moments
from zstruct.features import NeighborList, group_names, open_group, register
from zstruct.features import featurize_groups as assembling
from zstruct.store import chunks, group_publication
from zstruct.store.store import Store


def _featurize(path, options, kill_at=0):
    chunks._CHUNK_ROWS.update(atom=32, structure=4)
    chunks._CHUNKS_PER_SHARD = 2
    steps = count_steps(kill_at)
    what = (
        NeighborList(CUTOFF) if options.pop("neighbors", False) else Gaussians(options.pop("widths", (1.0,)))
    )
    run(path, what, **options)
    path.with_name("steps").write_text(str(len(steps)))


def _child(spawner, *args):
    process = spawner.Process(target=_featurize, args=args)
    process.start()
    return process


@pytest.mark.parametrize(
    "options",
    [{"derivatives": True}, pytest.param({"neighbors": True}, marks=pytest.mark.long)],
    ids=["derivatives", "neighbours"],
)
def test_killed_at_random_moments_resumes_to_the_same_bytes(spawner, tmp_path, small, options, long_run):
    whole = tmp_path / "whole.zarr"
    shutil.copytree(small, whole)
    began = time.perf_counter()
    _child(spawner, whole, dict(options)).join(60)
    duration = time.perf_counter() - began
    before, expected = tree_bytes(small), tree_bytes(whole)
    assert before != expected
    rng = np.random.default_rng(0)
    kills = 0
    for attempt in range(100):
        out = tmp_path / f"out{attempt}.zarr"
        shutil.copytree(small, out)
        work = out.with_name(out.name + ".featurizing")
        while tree_bytes(out) != expected or work.exists():
            process = _child(spawner, out, dict(options))
            process.join(float(rng.uniform(0, duration)))
            process.kill()
            process.join()
            kills += process.exitcode == -signal.SIGKILL
            zstruct.verify(out)  # whatever can be seen is whole
        if kills >= (25 if long_run else 2):
            return
    raise AssertionError("it was over before it could be killed")


@pytest.mark.parametrize("state", ["new", pytest.param("replaced", marks=pytest.mark.long), "grown"])
def test_killed_at_any_step_resumes_to_the_same_bytes(spawner, tmp_path, small, structures, state, long_run):
    if state == "replaced":
        run(small, Gaussians((2.0, 1.0)), True)
    if state == "grown":
        run(small, Gaussians((1.0,)), True)
        zstruct.append(small, structures[6:8], progress=False)
    options = {"derivatives": True, "overwrite": state == "replaced"}
    whole = tmp_path / "whole.zarr"
    shutil.copytree(small, whole)
    _child(spawner, whole, dict(options)).join(60)
    expected, total = tree_bytes(whole), int((tmp_path / "steps").read_text())
    before = tree_bytes(small / "features") if state == "grown" else {}
    digest = Store(small).digest
    kills = 0
    steps = moments(total, 2, long_run, end=30)
    for step in steps:
        out = tmp_path / f"out{step}.zarr"
        shutil.copytree(small, out)
        process = _child(spawner, out, dict(options), step)
        process.join(60)
        kills += process.exitcode == -signal.SIGKILL
        zstruct.verify(out)  # whatever can be seen is whole
        if state == "grown" and Store(out).group_attrs("features/gaussians")["store_digest"] != digest:
            assert tree_bytes(out / "features") == before
        process = _child(spawner, out, dict(options))
        process.join(60)
        assert process.exitcode == 0
        assert tree_bytes(out) == expected, f"not the same after step {step}"
        assert not out.with_name(out.name + ".featurizing").exists()
    assert kills >= max(1, len(steps) - 4)


def test_resuming_computes_nothing_again_that_was_done(small, monkeypatch):
    real, done = assembling.do_atoms, []

    def one_more(task):
        done.append(task.number)
        if len(done) == 3:
            raise KeyboardInterrupt
        return real(task)

    monkeypatch.setattr(assembling, "do_atoms", one_more)
    with pytest.raises(KeyboardInterrupt):
        run(small, Gaussians(), workers=1)
    assert group_names(small)["features"] == []
    run(small, Gaussians(), workers=1)
    assert sorted(done) == sorted([*range(max(done) + 1), done[2]])


def test_a_kill_before_the_metadata_is_mended_by_any_later_call(small, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(group_publication, "consolidate_again", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(small, Gaussians())
    assert group_names(small)["features"] == ["gaussians"]  # whole, though plain Zarr does not see it yet
    run(small, NeighborList(CUTOFF))
    assert group_names(small) == {"features": ["gaussians"], "derivatives": [], "neighbors": ["rc2.5"]}
    zstruct.verify(small)
    assert run(small, Gaussians()).computed == []


def _interrupted(*args):
    raise KeyboardInterrupt


def test_without_an_exchange_of_names_a_kill_between_renames_is_mended(
    small, monkeypatch, second_rename_fails
):
    run(small, Gaussians())
    monkeypatch.setattr("zstruct.store.group_publication.exchange", lambda a, b: False)
    with second_rename_fails(), pytest.raises(KeyboardInterrupt):
        run(small, Gaussians((1.0,)), overwrite=True)
    assert not (small / "features" / "gaussians").exists()
    run(small, Gaussians((1.0,)), overwrite=True)
    assert open_group(small, "features", "gaussians").descriptor == Gaussians((1.0,))
    zstruct.verify(small)


def _hold(path, ready, go_on):
    def wait(structures, neighbors):
        ready.set()
        go_on.wait(60)
        return np.ones((len(neighbors), 1))

    run(path, register(wait, cutoff=2.0, feature_names=["one"]))


def test_a_second_process_is_refused(spawner, small):
    ready, go_on = spawner.Event(), spawner.Event()
    process = spawner.Process(target=_hold, args=(small, ready, go_on))
    process.start()
    assert ready.wait(60)
    with pytest.raises(zstruct.BuildLockedError, match="another process is writing groups into"):
        run(small, Gaussians())
    process.kill()  # the lock dies with it
    process.join()
    assert run(small, Gaussians()).computed == ["features/gaussians"]


def test_a_store_that_is_replaced_meanwhile_gets_no_groups(small, structures):
    def meddle(structures_, neighbors):
        if structures_.n_atoms and not done:
            done.append(1)
            zstruct.build(structures[:6], small, overwrite=True, progress=False)
        return np.ones((len(neighbors), 1))

    done = []
    descriptor = register(meddle, cutoff=2.0, feature_names=["one"])
    with pytest.raises(zstruct.ChangedInputError, match="was replaced by another store meanwhile"):
        run(small, descriptor, workers=1)
    assert group_names(small)["features"] == []
    assert run(small, Gaussians()).computed == ["features/gaussians"]
