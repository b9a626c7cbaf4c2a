"""Appends and drops that are killed, and others meanwhile: the store is the old one or the new one."""

import contextlib
import itertools
import os
import shutil
import signal
import time

import numpy as np
import pytest

import zstruct
from tests.conftest import extxyz_text, random_atoms, tree_bytes
from tests.kills import count_steps, ended, moments, shrink
from zstruct import BuildLockedError, ChangedInputError
from zstruct.store.store import Store


@pytest.fixture(scope="module")
def made(tmp_path_factory, spawner):
    """A store of many small shards, a file to append, and the store with it and without some structures."""
    folder = tmp_path_factory.mktemp("append")
    rng = np.random.default_rng(6)
    for name, n in (("old", 60), ("new", 25)):
        (folder / f"{name}.xyz").write_text(extxyz_text([random_atoms(rng) for _ in range(n)]))
    _do(spawner, _build, folder, "s.zarr", "old.xyz")
    shutil.copytree(folder / "s.zarr", folder / "whole.zarr")
    _do(spawner, _append, folder, "whole.zarr")
    shutil.copytree(folder / "s.zarr", folder / "cut.zarr")
    _do(spawner, _drop, folder, "cut.zarr")
    return folder, *(tree_bytes(folder / f"{name}.zarr") for name in ("s", "whole", "cut"))


def _do(spawner, function, *arguments):
    code = ended(spawner, function, *arguments)
    assert code in (0, -signal.SIGKILL)
    return code


def _build(folder, out, *inputs):
    shrink()
    os.chdir(folder)
    zstruct.build(list(inputs), out, progress=False)


def _append(folder, store, kill_at=0, exchanges=True, inputs="new.xyz"):
    _change(folder, store, lambda: zstruct.append(store, inputs, progress=False), kill_at, exchanges)


def _drop(folder, store, kill_at=0, exchanges=True):
    _change(folder, store, lambda: zstruct.drop(store, "n_atoms > 4", progress=False), kill_at, exchanges)


def _change(folder, store, change, kill_at, exchanges):
    from zstruct.building import publication

    shrink()
    if not exchanges:
        publication.exchange = lambda a, b: False
    os.chdir(folder)
    steps = count_steps(kill_at)
    change()
    (folder / f"{store}.steps").write_text(str(len(steps)))


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("change", [_append, _drop])
def test_killed_at_any_step_it_is_the_old_store_or_the_new_one(
    spawner, tmp_path, made, change, exchanges, long_run
):
    folder, old, *versions = made
    new = versions[change is _drop]
    shutil.copy(folder / "new.xyz", tmp_path)
    shutil.copytree(folder / "s.zarr", tmp_path / "s.zarr")
    _do(spawner, change, tmp_path, "s.zarr", 0, exchanges)
    assert tree_bytes(tmp_path / "s.zarr") == new
    total = int((tmp_path / "s.zarr.steps").read_text())
    steps = moments(total, 3 if exchanges and change is _append else 2, long_run, end=8)
    kills, gone = 0, 0
    for step in steps:
        path = tmp_path / f"s{step}.zarr"
        shutil.copytree(folder / "s.zarr", path)
        kills += _do(spawner, change, tmp_path, path.name, step, exchanges) != 0
        if path.exists():
            assert tree_bytes(path) in (old, new), step
        else:
            assert not exchanges, step
            gone += 1
        work = path.with_name(f"{path.name}.building")
        if not path.exists() or tree_bytes(path) != new or (work.exists() and list(work.iterdir())):
            _do(spawner, change, tmp_path, path.name, 0, exchanges)
        assert tree_bytes(path) == new, step
        assert not work.exists() or not list(work.iterdir())
        locks = path.with_name(f"{path.name}.featurizing")
        assert not locks.exists() or {entry.name for entry in locks.iterdir()} <= {"lock"}
        shutil.rmtree(path)
    assert kills >= max(1, len(steps) - 3)
    assert gone <= 1
    assert not long_run or kills >= 30


def test_what_was_interrupted_does_not_stand_in_the_way_of_others(spawner, tmp_path, made):
    folder, old, *_ = made
    for name in ("new.xyz", "old.xyz"):
        shutil.copy(folder / name, tmp_path)
    shutil.copytree(folder / "s.zarr", tmp_path / "s.zarr")
    total = int((folder / "whole.zarr.steps").read_text())
    assert _do(spawner, _append, tmp_path, "s.zarr", total // 2) == -signal.SIGKILL
    assert tree_bytes(tmp_path / "s.zarr") == old
    _do(spawner, _append, tmp_path, "s.zarr", 0, True, ["new.xyz", "old.xyz@:3"])
    assert Store(tmp_path / "s.zarr").n_structures == 88
    zstruct.verify(tmp_path / "s.zarr")


def _hold(folder, ready, go_on):
    def wait(frame):
        ready.set()
        return go_on.wait(60)

    os.chdir(folder)
    zstruct.append("s.zarr", "new.xyz", filters=wait, progress=False)


def test_while_one_appends_others_are_refused(spawner, tmp_path, made):
    folder, old, *_ = made
    shutil.copy(folder / "new.xyz", tmp_path)
    shutil.copytree(folder / "s.zarr", tmp_path / "s.zarr")
    ready, go_on = spawner.Event(), spawner.Event()
    process = spawner.Process(target=_hold, args=(tmp_path, ready, go_on))
    process.start()
    assert ready.wait(60)
    path = tmp_path / "s.zarr"
    with pytest.raises(BuildLockedError, match=r"another process is building .*s\.zarr; wait until"):
        zstruct.append(path, folder / "old.xyz", progress=False)
    with pytest.raises(BuildLockedError, match=r"another process is building .*s\.zarr; wait until"):
        zstruct.drop(path, [0], progress=False)
    with pytest.raises(BuildLockedError, match=r"another process is writing groups into .*s\.zarr"):
        zstruct.split(path, [0.5, 0.5], name="default")
    with pytest.raises(BuildLockedError):
        zstruct.featurize(path, zstruct.features.NeighborList(3.0), progress=False)
    assert tree_bytes(path) == old  # readers go on
    go_on.set()
    process.join(60)
    assert process.exitcode == 0
    assert Store(path).n_structures == 85
    zstruct.split(path, [0.5, 0.5], name="default")


def test_while_groups_are_written_an_append_is_refused(tmp_path, made):
    from zstruct.store.group_publication import working_directory

    folder = made[0]
    shutil.copytree(folder / "s.zarr", tmp_path / "s.zarr")
    for change in (
        lambda: zstruct.append(tmp_path / "s.zarr", folder / "new.xyz", progress=False),
        lambda: zstruct.drop(tmp_path / "s.zarr", [0], progress=False),
    ):
        with (
            working_directory(tmp_path / "s.zarr"),
            pytest.raises(BuildLockedError, match="another process is writing groups into"),
        ):
            change()
    assert not (tmp_path / "s.zarr.building").exists()
    zstruct.append(tmp_path / "s.zarr", folder / "new.xyz", progress=False)


def _append_often(folder, times):
    shrink()
    os.chdir(folder)
    for k in range(times):
        time.sleep(0.1)
        zstruct.append("s.zarr", f"new.xyz@{3 * k}:{3 * k + 3}", progress=False)


def _change_often(folder, times):
    shrink()
    os.chdir(folder)
    for k in range(times):
        time.sleep(0.05)
        zstruct.append("s.zarr", f"new.xyz@{3 * k}:{3 * k + 3}", progress=False)
        time.sleep(0.05)
        zstruct.drop("s.zarr", [1, 40, -1], progress=False)


def test_readers_see_all_of_a_version_while_structures_come_and_go(spawner, tmp_path, made):
    folder = made[0]
    shutil.copy(folder / "new.xyz", tmp_path)
    shutil.copytree(folder / "s.zarr", tmp_path / "s.zarr")
    whole = Store(folder / "whole.zarr")
    offsets, positions = whole.read("offsets"), whole.read("positions")
    rows = [positions[a:b] for a, b in itertools.pairwise(offsets)]
    of = dict(zip(whole.read("energy"), rows, strict=True))
    process = spawner.Process(target=_change_often, args=(tmp_path, 4))
    process.start()
    seen, told = set(), 0
    while process.is_alive():
        store = Store(tmp_path / "s.zarr")
        try:
            for _ in range(3):
                edges, energies, rows = (store.read(name) for name in ("offsets", "energy", "positions"))
                assert len(energies) == len(edges) - 1 == store.n_structures
                for energy, (a, b) in zip(energies, itertools.pairwise(edges), strict=True):
                    assert np.array_equal(rows[a:b], of[energy])
                seen.add(store.digest)
        except ChangedInputError:
            told += 1
    process.join()
    assert process.exitcode == 0
    assert Store(tmp_path / "s.zarr").n_structures == 60
    assert [step.did for step in zstruct.log(tmp_path / "s.zarr")] == ["build", *["append", "drop"] * 4]
    assert len(seen) > 2
    assert told > 0


def _in_turn(folder, path, calls):
    """Make calls one after the other, each of them again as long as others are at it."""
    shrink()
    os.chdir(folder)
    refused = 0
    for function, argument, options in calls:
        while True:
            try:
                getattr(zstruct, function)("s.zarr", argument, **options, progress=False)
                break
            except BuildLockedError:
                refused += 1
                time.sleep(0.005)
    path.write_text(str(refused))


@pytest.mark.long
def test_appenders_and_a_featurizer_take_turns(spawner, tmp_path, made):
    folder, pairs, each = made[0], zstruct.features.NeighborList(3.0), 6
    shutil.copytree(folder / "s.zarr", tmp_path / "s.zarr")
    for name in ("new.xyz", "old.xyz"):
        shutil.copy(folder / name, tmp_path)
    zstruct.build([folder / "old.xyz", folder / "new.xyz"], tmp_path / "all.zarr", progress=False)

    def seen(store):
        reader = zstruct.StructureReader(store, ["energy", "positions"], "float64", neighbors=3.0)
        batch = reader.take(np.arange(len(reader)))
        centres = np.repeat(np.arange(len(batch)), batch.n_atoms)[batch.pairs[0].index[0]]
        rows = np.split(batch.columns["positions"], batch.offsets[1:-1])
        n_pairs = np.bincount(centres, minlength=len(batch))
        return batch.columns["energy"].tolist(), rows, n_pairs.tolist()

    energies, rows, n_pairs = seen(tmp_path / "all.zarr")
    of = dict(zip(energies, zip(rows, n_pairs, strict=True), strict=True))
    ones = [("append", f"new.xyz@{4 * k}:{4 * k + 4}", {}) for k in range(each)]
    others = [("append", f"old.xyz@{k}:{k + 9}", {"repeat": True}) for k in range(each)]
    found = [("featurize", pairs, {})] * 2 * each
    processes = [
        spawner.Process(target=_in_turn, args=(tmp_path, tmp_path / f"{k}.txt", calls))
        for k, calls in enumerate((ones, others, found))
    ]
    for process in processes:
        process.start()
    n_seen = 0
    while any(process.is_alive() for process in processes) or not n_seen:
        with contextlib.suppress(ChangedInputError, zstruct.StaleGroupError):
            energies, rows, n_pairs = seen(Store(tmp_path / "s.zarr"))
            assert energies[:60] == [*of][:60]
            for energy, positions, n in zip(energies, rows, n_pairs, strict=True):
                assert np.array_equal(positions, of[energy][0])
                assert n == of[energy][1]
            n_seen += 1
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sum(int((tmp_path / f"{k}.txt").read_text()) for k in range(3)) > 0
    assert Store(tmp_path / "s.zarr").n_structures == 60 + each * 13
    zstruct.featurize(tmp_path / "s.zarr", pairs, progress=False)
    zstruct.verify(tmp_path / "s.zarr")
    assert len(zstruct.log(tmp_path / "s.zarr")) == 1 + 2 * each


def test_readers_have_what_they_opened_or_are_told(spawner, tmp_path, made, long_run):
    folder = made[0]
    shutil.copy(folder / "new.xyz", tmp_path)
    shutil.copytree(folder / "s.zarr", tmp_path / "s.zarr")
    whole = Store(folder / "whole.zarr")
    zstruct.StructureReader(whole, ["energy", "positions"], dtype="float64").take([0, 1])  # imports, kernels
    zstruct.open(whole).energy.load()
    energies, positions, offsets = (whole.read(name) for name in ("energy", "positions", "offsets"))
    process = spawner.Process(target=_append_often, args=(tmp_path, 6))
    process.start()
    seen, told, kinds = set(), 0, 0
    while process.is_alive() or not seen:
        store = Store(tmp_path / "s.zarr")
        n = store.n_structures
        seen.add(n)
        reader = zstruct.StructureReader(store, ["energy", "positions"], dtype="float64")
        ds = zstruct.open(store)
        for turn in range(4):
            kinds = turn % 3
            try:
                if kinds == 0:
                    found = store.read("energy"), store.read("positions")
                elif kinds == 1:
                    batch = reader.take(np.arange(n))
                    found = batch.columns["energy"], batch.columns["positions"]
                else:
                    found = ds.energy.values, ds.positions.values
            except ChangedInputError:
                told += 1
                break
            assert np.array_equal(found[0], energies[:n])
            assert np.array_equal(found[1], positions[: offsets[n]])
    process.join()
    assert process.exitcode == 0
    assert Store(tmp_path / "s.zarr").n_structures == 78
    assert len(seen) > 2
    assert told > 0
