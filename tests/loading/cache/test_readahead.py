import gc
import threading
import time
import weakref

import pytest

from zstruct.loading.cache.readahead import ReadAhead


class Worker:
    """Does jobs slowly enough that others wait meanwhile; fails at some."""

    def __init__(self, bad=()):
        self.bad, self.done, self.go = bad, [], threading.Event()

    def do(self, job):
        self.go.wait(10)
        if job in self.bad:
            raise ValueError(job)
        self.done.append(job)


def wait_until(true):
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to pass")


@pytest.fixture
def one_thread(monkeypatch):
    monkeypatch.setattr("zstruct.loading.cache.readahead.cpu_count", lambda: 0)


def test_jobs_are_done_in_order_urgent_ones_first(one_thread):
    worker = Worker()
    ahead = ReadAhead(worker.do)
    ahead.want([0])
    wait_until(lambda: not ahead._jobs)  # the thread has taken it

    ahead.want([3, 4])
    ahead.want([1, 2], first=True)
    worker.go.set()

    wait_until(lambda: len(worker.done) == 5)
    assert worker.done == [0, 1, 2, 3, 4]


def test_a_job_that_fails_stops_nobody():
    worker = Worker(bad={1, 2})
    worker.go.set()
    ahead = ReadAhead(worker.do)

    ahead.want(range(6))

    wait_until(lambda: len(worker.done) == 4)
    assert sorted(worker.done) == [0, 3, 4, 5]


def test_threads_end_a_while_after_the_jobs_and_begin_again():
    worker = Worker()
    worker.go.set()
    ahead = ReadAhead(worker.do)
    for k in range(3):
        ahead.want([k])
        wait_until(lambda: not ahead._threads)
    assert worker.done == [0, 1, 2]


def test_a_thread_that_waits_takes_the_next_job(monkeypatch):
    monkeypatch.setattr("zstruct.loading.cache.readahead._LINGER", 60)
    worker = Worker()
    worker.go.set()
    ahead = ReadAhead(worker.do)
    for k in range(5):
        ahead.want([k])
        wait_until(lambda k=k: len(worker.done) == k + 1 and ahead._idle == 1)
    assert len(ahead._threads) == 1

    ahead.close()

    assert not ahead._threads


def test_there_are_threads_for_all_jobs_that_none_waits_for():
    worker = Worker()
    ahead = ReadAhead(worker.do)

    ahead.want([0])
    ahead.want([1])

    assert len(ahead._threads) == 2
    worker.go.set()
    wait_until(lambda: len(worker.done) == 2)


def test_closing_forgets_what_waits(one_thread):
    worker = Worker()
    ahead = ReadAhead(worker.do)
    ahead.want([0, 1, 2])
    wait_until(lambda: len(ahead._jobs) == 2)
    closing = threading.Thread(target=ahead.close)
    closing.start()
    wait_until(lambda: not ahead._jobs)

    worker.go.set()
    closing.join(10)
    ahead.want([3])

    assert not closing.is_alive()
    assert worker.done == [0]
    assert not ahead._threads


def test_nothing_is_done_for_one_who_is_gone(one_thread):
    worker, done = Worker(), []
    worker.done = done
    ahead = ReadAhead(worker.do)
    gone, go = weakref.ref(worker), worker.go
    ahead.want([0, 1, 2])
    wait_until(lambda: len(ahead._jobs) == 2)

    del worker
    go.set()

    wait_until(lambda: not ahead._threads)
    gc.collect()
    assert gone() is None
    assert done == [0]
