"""Tasks give the same results wherever they run; failures come back as the user's errors."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import zstruct
from zstruct import parallel
from zstruct.errors import InputError

PLACES = ["caller", "here", "threads", "processes"]


def _square(x):
    return x * x


def _pid(_):
    return os.getpid()


def _fail_on_three(x):
    if x >= 3:
        raise InputError(f"bad {x}", "file.xyz", x)
    return x


@pytest.mark.parametrize("runs_in", PLACES)
def test_every_task_runs_once(runs_in):
    results = dict(parallel.run(_square, list(range(20)), runs_in=runs_in, workers=2))
    assert results == {i: i * i for i in range(20)}


@pytest.mark.parametrize("runs_in", PLACES)
def test_first_failure_is_raised_with_its_place(runs_in):
    with pytest.raises(InputError, match="bad 3") as caught:
        list(parallel.run(_fail_on_three, list(range(8)), runs_in=runs_in, workers=2))
    assert (caught.value.source, caught.value.frame) == ("file.xyz", 3)


def test_no_tasks_start_nothing():
    assert list(parallel.run(_square, [], runs_in="processes")) == []


def test_processes_take_lambdas_and_run_elsewhere():
    offset = 7
    results = dict(parallel.run(lambda x: (x + offset, os.getpid()), [1, 2], runs_in="processes"))
    assert [results[i][0] for i in range(2)] == [8, 9]
    assert os.getpid() not in {pid for _, pid in results.values()}


def test_processes_take_tasks_with_lambdas_in_them():
    results = dict(parallel.run(lambda f: f(2), [lambda x: x + 1, lambda x: x * 5], runs_in="processes"))
    assert results == {0: 3, 1: 10}


def test_threads_keep_few_tasks_in_flight():
    running, most, lock = 0, 0, threading.Lock()

    def work(_):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1

    list(parallel.run(work, list(range(30)), workers=3))
    assert 1 < most <= 3


def test_passing_trouble_with_files_is_tried_again():
    calls = []

    def flaky(x):
        calls.append(x)
        if len(calls) < 3:
            raise OSError("interrupted")
        return x

    assert list(parallel.run(flaky, [5], workers=1)) == [(0, 5)]
    assert calls == [5, 5, 5]


def _die_once(path):
    if not os.path.exists(path):
        open(path, "w").close()
        os._exit(9)
    return "alive"


def test_a_killed_process_costs_a_retry_not_the_run(tmp_path):
    assert list(parallel.run(_die_once, [str(tmp_path / "flag")], runs_in="processes")) == [(0, "alive")]


def test_a_script_without_a_main_guard_can_use_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            from zstruct import parallel
            print(sorted(parallel.run(lambda x: x + 1, [1, 2, 3], runs_in="processes")))
            """
        )
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[(0, 2), (1, 3), (2, 4)]\n"


def test_an_active_client_is_found_and_used(cluster):
    assert parallel.chosen_workers() is cluster
    results = dict(parallel.run(_square, list(range(9)), workers=cluster))
    assert results == {i: i * i for i in range(9)}
    with pytest.raises(InputError, match="bad 3"):
        list(parallel.run(_fail_on_three, list(range(5)), workers=cluster))


def test_a_number_of_workers_is_of_this_machine(cluster):
    assert parallel.chosen_workers(3) == 3
    done = dict(parallel.run(_pid, [0, 1], workers=parallel.chosen_workers(np.int64(2))))
    assert set(done.values()) == {os.getpid()}
    with pytest.raises(InputError, match="workers is a whole number from 1, not 0"):
        parallel.chosen_workers(0)


def test_a_cluster_is_no_client(cluster, tmp_path, frames):
    with pytest.raises(TypeError, match=r"or a distributed.Client, not .*: give distributed.Client\(clu"):
        zstruct.build(frames, tmp_path / "s.zarr", workers=cluster.cluster)
    for value in ("127.0.0.1:8786", 3.0, True, [2]):
        with pytest.raises(TypeError, match=r"workers is a whole number from 1 or a distributed.Client, not"):
            zstruct.build(frames, tmp_path / "s.zarr", workers=value)
    assert list(tmp_path.iterdir()) == []
    assert zstruct.build(frames, tmp_path / "s.zarr", workers=cluster, progress=False).n_structures == 30


def test_a_client_that_is_closed_is_said_to_be(cluster):
    distributed = pytest.importorskip("distributed")
    other = distributed.Client(cluster.cluster, set_as_default=False)
    assert parallel.chosen_workers(other) is other
    other.close()
    with pytest.raises(InputError, match=r"the distributed\.Client is closed: connect a new one"):
        parallel.chosen_workers(other)


def test_what_is_to_stay_here_stays_here(cluster):
    held = threading.Lock()  # can't be sent
    done = parallel.run(lambda lock: (os.getpid(), lock is held), [held] * 3, runs_in="here", workers=cluster)
    assert dict(done) == dict.fromkeys(range(3), (os.getpid(), True))


def _helped(task):
    with parallel.Helpers() as helpers:
        function, args, place = task
        results = [helpers.begin(function, x, place) for x in args]
        return helpers.n_workers, [result() for result in results]


@pytest.mark.parametrize("place", ["threads", "processes"])
@pytest.mark.parametrize(("runs_in", "share"), [("caller", 4), ("threads", 2), ("processes", 1)])
def test_tasks_share_the_workers_for_their_parts(place, runs_in, share):
    tasks = [(_square, range(7), place)] * 2
    results = dict(parallel.run(_helped, tasks, runs_in=runs_in, workers=4))
    assert results == {k: (share, [x * x for x in range(7)]) for k in range(2)}


@pytest.mark.parametrize("place", ["threads", "processes"])
def test_what_fails_for_helpers_fails_for_the_task(place):
    with pytest.raises(InputError, match="bad 3"):
        dict(parallel.run(_helped, [(_fail_on_three, range(5), place)], runs_in="threads", workers=2))


def test_a_killed_helper_costs_a_retry(tmp_path):
    task = (_die_once, [str(tmp_path / "flag")] * 3, "processes")
    results = dict(parallel.run(_helped, [task], runs_in="threads", workers=2))
    assert results == {0: (2, ["alive"] * 3)}
