import os
import signal
import threading
import time

import numpy as np
import pytest

from zstruct.loading.cache import arena
from zstruct.loading.cache.arena import Arena, arena_name

ARRAYS = {"flag": (np.dtype("u1"), (3,)), "x": (np.dtype("f4"), (1000, 3))}
KEY = {"digest": "abc"}

pytestmark = pytest.mark.skipif(not arena.can_share(), reason="needs file locks")


def files(directory):
    return sorted(p.name for p in directory.iterdir())


@pytest.mark.parametrize("shared", [False, True])
def test_arrays_begin_empty_and_apart(tmp_path, shared):
    made = Arena(ARRAYS, str(tmp_path) if shared else None, KEY)
    assert {name: (a.dtype, a.shape) for name, a in made.arrays.items()} == ARRAYS
    assert not any(a.any() for a in made.arrays.values())
    made.reserve("x", 10, 20)
    made.arrays["x"][10:20] = 1
    made.arrays["flag"][:] = 7
    assert made.arrays["x"].sum() == 30
    assert made.arrays["flag"].tolist() == [7, 7, 7]


def test_users_share_and_the_last_one_removes(tmp_path):
    a = Arena(ARRAYS, str(tmp_path), KEY)
    b = Arena(ARRAYS, str(tmp_path), KEY)
    a.arrays["x"][5] = 3
    assert b.arrays["x"][5].tolist() == [3, 3, 3]
    assert files(tmp_path) == [arena_name(ARRAYS, KEY)]
    kept = a.arrays["x"]
    del a
    assert len(files(tmp_path)) == 1
    del b
    assert files(tmp_path) == []
    assert kept[5].tolist() == [3, 3, 3]  # who still has an array keeps its memory


def test_other_keys_and_other_arrays_are_other_arenas(tmp_path):
    all_of_them = [
        Arena(ARRAYS, str(tmp_path), KEY),
        Arena(ARRAYS, str(tmp_path), {"digest": "def"}),
        Arena({**ARRAYS, "x": (np.dtype("f8"), (1000, 3))}, str(tmp_path), KEY),
    ]
    assert len(files(tmp_path)) == len(all_of_them)


def _use(directory, digest, there, end):
    made = Arena(ARRAYS, directory, {"digest": digest})
    made.arrays["x"][:] = 4
    there.set()
    end.wait(60)


@pytest.fixture
def child(spawner):
    """Start a process that uses an arena; return what ends it, in the normal way or not."""

    def start(directory, digest="abc"):
        there, end = spawner.Event(), spawner.Event()
        process = spawner.Process(target=_use, args=(str(directory), digest, there, end))
        process.start()
        assert there.wait(60)

        def ended(*, killed=False):
            process.kill() if killed else end.set()
            process.join(60)
            assert process.exitcode == (-signal.SIGKILL if killed else 0)

        return ended

    return start


def test_processes_share(tmp_path, child):
    ended = child(tmp_path)
    mine = Arena(ARRAYS, str(tmp_path), KEY)
    assert (mine.arrays["x"] == 4).all()
    ended()
    assert len(files(tmp_path)) == 1
    del mine
    assert files(tmp_path) == []


def test_a_killed_user_s_arena_is_used_on_or_removed(tmp_path, child):
    for ended in [child(tmp_path, digest) for digest in ("abc", "def")]:
        ended(killed=True)
    assert len(files(tmp_path)) == 2
    mine = Arena(ARRAYS, str(tmp_path), KEY)
    assert (mine.arrays["x"] == 4).all()
    assert files(tmp_path) == [arena_name(ARRAYS, KEY)]  # the other one was a leftover


def test_another_boot_s_arena_is_not_used(tmp_path, monkeypatch, child):
    child(tmp_path)(killed=True)
    monkeypatch.setattr(arena, "_boot", lambda: "another")
    assert not Arena(ARRAYS, str(tmp_path), KEY).arrays["x"].any()
    assert files(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"zstruct", b"\0" * 100_000])
def test_what_is_no_arena_is_not_used(tmp_path, content):
    name = arena_name(ARRAYS, KEY)
    (tmp_path / name).write_bytes(content)
    assert not Arena(ARRAYS, str(tmp_path), KEY).arrays["x"].any()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_leaves_the_file_alone(tmp_path, child):
    mine = Arena(ARRAYS, str(tmp_path), KEY)
    pid = os.fork()
    if pid == 0:
        mine.arrays["x"][0] = 9
        del mine  # leaves, as at the end of a child that ends in the normal way
        os._exit(0 if len(files(tmp_path)) == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert mine.arrays["x"][0].tolist() == [9, 9, 9]
    ended = child(tmp_path, "def")  # who comes now sweeps, but not this
    assert arena_name(ARRAYS, KEY) in files(tmp_path)
    ended()


def test_a_race_has_one_winner(tmp_path):
    made, faults = [], []

    def work():
        try:
            made.append(Arena(ARRAYS, str(tmp_path), KEY))
        except Exception as error:  # noqa: BLE001
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    made[0].arrays["flag"][1] = 5
    assert all(a.arrays["flag"][1] == 5 for a in made)
    assert files(tmp_path) == [arena_name(ARRAYS, KEY)]


def _come_and_go(directory):
    end = time.time() + 0.5
    while time.time() < end:
        made = Arena(ARRAYS, directory, KEY)
        assert set(np.unique(made.arrays["x"]).tolist()) <= {0.0, 4.0}
        made.arrays["x"][:] = 4
        del made


@pytest.mark.slow
def test_comers_and_goers_never_break_each_other(tmp_path, spawner):
    """Four processes make and leave the same arena all the time."""
    running = [spawner.Process(target=_come_and_go, args=(str(tmp_path),)) for _ in range(4)]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
    assert [process.exitcode for process in running] == [0] * 4
    Arena(ARRAYS, str(tmp_path), KEY)
    assert files(tmp_path) == []


def test_no_room_is_an_error_not_a_crash(tmp_path, monkeypatch):
    made = Arena(ARRAYS, str(tmp_path), KEY)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"no room for decoded blocks .*No space left on device"):
        made.reserve("x", 0, 10)


def test_rows_are_for_one_process_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(arena, "_PATIENCE", 0.2)
    one = Arena(ARRAYS, str(tmp_path))
    ready, done = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        with one.alone("flag", 1):
            os.write(ready[1], b"x")
            os.read(done[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    began = time.monotonic()
    with one.alone("flag", 0):  # another row
        assert time.monotonic() - began < 0.1
    with one.alone("flag", 1):  # no longer than that
        assert time.monotonic() - began > 0.2
    began = time.monotonic()
    with one.alone("flag", 1):  # and not again
        assert time.monotonic() - began < 0.1
    os.write(done[1], b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_row_is_waited_for(tmp_path):
    one = Arena(ARRAYS, str(tmp_path))
    ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        with one.alone("flag", 1):
            os.write(ready[1], b"x")
            time.sleep(0.1)
        os._exit(0)
    os.read(ready[0], 1)
    began = time.monotonic()
    with one.alone("flag", 1):
        assert time.monotonic() - began > 0.05
    os.waitpid(pid, 0)
