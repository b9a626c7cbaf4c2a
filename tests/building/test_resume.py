"""Builds that are killed: the same call resumes, to the same bytes; the target is never torn."""

import importlib
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import zstruct
from tests.conftest import extxyz_text, random_atoms, tree_bytes
from tests.kills import count_steps, ended, moments, shrink
from zstruct import BuildLockedError, ChangedInputError, StoreExistsError
from zstruct.store.store import Store

FILES = 12


@pytest.fixture
def inputs(tmp_path):
    rng = np.random.default_rng(5)
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(FILES):
        (folder / f"{k}.xyz").write_text(extxyz_text([random_atoms(rng) for _ in range(25)]))
    return folder


def _build(folder, out, options, kill_at=0, memory=0):
    shrink(memory)
    steps = count_steps(kill_at)
    os.chdir(folder.parent)
    zstruct.build(folder.name, out.name, progress=False, **options)
    (folder.parent / "steps").write_text(str(len(steps)))


def _undisturbed(spawner, inputs, out, options, memory=0):
    assert ended(spawner, _build, inputs, out, options, 0, memory) == 0
    return tree_bytes(out)


def _check_target(out, expected):
    """Whatever is at the target is a whole store."""
    if out.exists():
        assert tree_bytes(out) in expected


OPTIONS = {"encoding": {"shuffle_seed": 1}}
MEMORY = [0, 50_000, 1 << 20]  # for none of the parts, some, all


def test_killed_at_random_moments_resumes_to_the_same_bytes(spawner, tmp_path, inputs, long_run):
    began = time.perf_counter()
    expected = _undisturbed(spawner, inputs, tmp_path / "whole.zarr", OPTIONS)
    duration = time.perf_counter() - began
    rng = np.random.default_rng(0)
    kills = 0
    for attempt in range(200):
        out = tmp_path / f"out{attempt}.zarr"
        work = out.with_name(out.name + ".building")
        while not out.exists() or (work.exists() and list(work.iterdir())):
            process = spawner.Process(target=_build, args=(inputs, out, OPTIONS, 0, MEMORY[attempt % 3]))
            process.start()
            process.join(float(rng.uniform(0, duration)))
            process.kill()
            process.join()
            kills += process.exitcode == -signal.SIGKILL
            _check_target(out, [expected])
        assert tree_bytes(out) == expected
        if kills >= (50 if long_run else 3):
            return
    raise AssertionError("the builds were over before they could be killed")


@pytest.mark.parametrize(("overwrite", "memory"), [(False, MEMORY[0]), (True, MEMORY[1]), (False, MEMORY[2])])
def test_killed_at_any_step_resumes_to_the_same_bytes(spawner, tmp_path, inputs, overwrite, memory, long_run):
    options = OPTIONS | {"overwrite": overwrite}
    expected, old = _undisturbed(spawner, inputs, tmp_path / "whole.zarr", OPTIONS, memory), None
    total = int((tmp_path / "steps").read_text())
    if overwrite:
        old = _undisturbed(spawner, inputs, tmp_path / "old.zarr", {"encoding": {"shuffle_seed": 2}})
        assert old != expected
    kills = 0
    # How many steps there are differs by one or two from run to run, since threads make folders.
    steps = moments(total, 2, long_run, end=8)
    for step in steps:
        out = tmp_path / f"out{step}.zarr"
        work = out.with_name(out.name + ".building")
        if overwrite:
            shutil.copytree(tmp_path / "old.zarr", out)
        code = ended(spawner, _build, inputs, out, options, step, memory)
        assert code in (-signal.SIGKILL, 0)
        kills += code == -signal.SIGKILL
        if overwrite:
            assert out.exists(), f"the target was gone after step {step}"
        _check_target(out, [expected, old])
        if tree_bytes(out) != expected or (work.exists() and list(work.iterdir())):
            _undisturbed(spawner, inputs, out, options, memory)
            assert not work.exists()
        assert tree_bytes(out) == expected, f"not the same after step {step}"
    assert kills >= max(1, len(steps) - 4)


def test_resuming_does_not_parse_again(spawner, tmp_path, inputs, monkeypatch):
    out = tmp_path / "out.zarr"
    step = 60
    assert ended(spawner, _build, inputs, out, {}, step) == -signal.SIGKILL
    work = out.with_name("out.zarr.building")
    parts = {p.name for p in (work / "parts").iterdir() if "partial" not in p.name}
    assert len(parts) == FILES  # all parsed; encoding had begun

    def fail(task):
        raise AssertionError("parsed again")

    monkeypatch.setattr(importlib.import_module("zstruct.building.making"), "parse_job", fail)
    monkeypatch.chdir(tmp_path)
    zstruct.build("in", "out.zarr", progress=False)
    assert Store(out).n_structures == FILES * 25


def test_a_shard_is_said_to_be_there_when_it_is_on_the_disk(tmp_path, xyz_file, monkeypatch):
    from zstruct.building import markers

    expected = tmp_path / "whole.zarr"
    zstruct.build(xyz_file, expected, progress=False)
    on_disk, said = set(), []
    write_json = markers.write_json

    def synced(path):
        name, _, *place = path.relative_to(tmp_path / "out.zarr.building" / "store").parts
        on_disk.add(f"{name}.{place[0]}.json")

    def saying(path, value, **options):
        said.append(path.name in on_disk)
        write_json(path, value, **options)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(markers, "sync_to_disk", synced)
        patch.setattr(markers, "write_json", saying)
        patch.setattr(importlib.import_module("zstruct.building.making"), "finalize_store", interrupt)
        with pytest.raises(KeyboardInterrupt):
            zstruct.build(xyz_file, tmp_path / "out.zarr", progress=False)
    assert said == [True] * len(on_disk)
    assert len(said) > 5
    markers = sorted((tmp_path / "out.zarr.building" / "encoded").glob("*.json"))
    assert len(markers) == len(said)
    for marker in markers[::2]:  # as after a power failure
        marker.write_bytes(marker.read_bytes()[:-3])
    zstruct.build(xyz_file, tmp_path / "out.zarr", progress=False)
    assert tree_bytes(tmp_path / "out.zarr") == tree_bytes(expected)


def test_other_structures_in_memory_are_not_taken_for_those_that_were_published(
    tmp_path, frames, monkeypatch
):
    from zstruct.building.publication import Target

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Target, "remove", interrupt)
        with pytest.raises(KeyboardInterrupt):
            zstruct.build(frames[:10], tmp_path / "s.zarr", progress=False)
    assert Store(tmp_path / "s.zarr").n_structures == 10
    assert (tmp_path / "s.zarr.building").exists()
    assert zstruct.build(frames, tmp_path / "s.zarr", overwrite=True, progress=False).n_structures == 30
    assert Store(tmp_path / "s.zarr").n_structures == 30


def _interrupt(spawner, inputs, out, step=30):
    assert ended(spawner, _build, inputs, out, {}, step) == -signal.SIGKILL
    assert out.with_name(out.name + ".building").exists()


def test_changed_inputs_are_named(spawner, tmp_path, inputs, monkeypatch):
    out = tmp_path / "out.zarr"
    _interrupt(spawner, inputs, out)
    changed = inputs / "3.xyz"
    changed.write_text(changed.read_text() + "1\n\nH 0 0 0\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ChangedInputError, match=r"began: in/3\.xyz; pass resume=False"):
        zstruct.build("in", "out.zarr", progress=False)
    report = zstruct.build("in", "out.zarr", progress=False, resume=False)
    assert report.n_structures == FILES * 25 + 1
    assert not (tmp_path / "out.zarr.building").exists()


def test_an_input_that_changes_during_the_build_is_named(tmp_path, inputs):
    def meddle(frame):
        path = inputs / "0.xyz"
        os.utime(path, ns=(1, 1))
        return True

    with pytest.raises(ChangedInputError, match=r"0\.xyz"):
        zstruct.build(inputs, tmp_path / "out.zarr", filters=meddle, progress=False)
    assert not (tmp_path / "out.zarr").exists()


def test_other_options_begin_anew(spawner, tmp_path, inputs, monkeypatch):
    out = tmp_path / "out.zarr"
    _interrupt(spawner, inputs, out)
    monkeypatch.chdir(tmp_path)
    report = zstruct.build("in", "out.zarr", progress=False, filters={"max_force": 2.0})
    assert 0 < report.n_structures < FILES * 25
    assert report.dropped["max_force"] == FILES * 25 - report.n_structures


def _hold(folder, out, ready, go_on):
    def wait(frame):
        ready.set()
        return go_on.wait(60)

    zstruct.build(folder, out, filters=wait, progress=False)


def test_a_second_build_of_one_target_is_refused(spawner, tmp_path, inputs):
    out = tmp_path / "out.zarr"
    ready, go_on = spawner.Event(), spawner.Event()
    process = spawner.Process(target=_hold, args=(inputs, out, ready, go_on))
    process.start()
    assert ready.wait(60)
    with pytest.raises(BuildLockedError, match="another process is building"):
        zstruct.build(inputs, out, progress=False)
    process.kill()  # the lock dies with it
    process.join()
    zstruct.build(inputs, out, progress=False)
    assert Store(out).n_structures == FILES * 25


def test_an_existing_target_is_refused_before_any_work(tmp_path, frames, xyz_file):
    out = tmp_path / "s.zarr"
    zstruct.build(frames[:3], out, progress=False)
    before = tree_bytes(out)
    with pytest.raises(StoreExistsError, match="overwrite=True"):
        zstruct.build(xyz_file, out, progress=False)
    assert tree_bytes(out) == before
    zstruct.build(xyz_file, out, overwrite=True, progress=False)
    assert Store(out).n_structures == 30
    assert {p.name for p in tmp_path.iterdir()} == {"s.zarr", "train.xyz"}


def test_overwrite_replaces_stores_only(tmp_path, frames):
    out = tmp_path / "precious"
    out.mkdir()
    (out / "thesis.tex").write_text("...")
    with pytest.raises(StoreExistsError, match="is not a zstruct store"):
        zstruct.build(frames, out, overwrite=True, progress=False)
    assert (out / "thesis.tex").read_text() == "..."


def test_a_failed_overwrite_leaves_the_old_store(tmp_path, frames):
    out = tmp_path / "s.zarr"
    zstruct.build(frames[:3], out, progress=False)
    before = tree_bytes(out)
    bad = tmp_path / "bad.xyz"
    bad.write_text(extxyz_text(frames[:2]) + "3\n\nH 0 0 0\n")
    with pytest.raises(zstruct.InputError):
        zstruct.build(bad, out, overwrite=True, progress=False)
    assert tree_bytes(out) == before
    assert not Path(f"{out}.building").exists()


def test_without_an_exchange_of_names_a_kill_between_renames_is_mended(
    tmp_path, frames, monkeypatch, second_rename_fails
):
    from zstruct.building import publication

    out = tmp_path / "s.zarr"
    zstruct.build(frames[:3], out, progress=False)
    before = tree_bytes(out)
    monkeypatch.setattr(publication, "exchange", lambda a, b: False)
    with second_rename_fails(), pytest.raises(KeyboardInterrupt):
        zstruct.build(frames, out, overwrite=True, progress=False)
    assert not out.exists()
    with pytest.raises(StoreExistsError):
        zstruct.build(frames, out, progress=False)
    assert tree_bytes(out) == before
    zstruct.build(frames, out, overwrite=True, progress=False)
    assert Store(out).n_structures == 30
