"""Make batches ahead of the loop that uses them, by threads of this process, in order.

Threads, not processes: making a batch releases the GIL, and nothing has to be moved. This module
knows nothing of structures or tensors: it calls a function for every task.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from zstruct.loading.lifetime import close_at_exit

__all__ = ["Prefetcher"]

_FIRST = 4  # slow results in a row that are put up with


class _Result:
    """What became of a task; its lock is free once there is something."""

    __slots__ = ("done", "error", "value")

    def __init__(self) -> None:
        self.done = threading.Lock()  # the cheapest way to wait: no Python code runs to wake up
        self.done.acquire()
        self.value: Any = None
        self.error: BaseException | None = None


_Task = tuple[_Result, Any]


def _do(make: Callable[[Any], Any], result: _Result, what: Any) -> None:
    try:
        result.value = make(what)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the consumer raises it
        result.error = error
    result.done.release()


def _work(make: Callable[[Any], Any], tasks: queue.SimpleQueue[_Task | None]) -> None:
    while (task := tasks.get()) is not None:
        _do(make, *task)
        del task  # a thread that waits must not keep a batch alive


class Prefetcher(Iterator[Any]):
    """The results of a function for every task, made ahead by threads, in the order of the tasks.

    The threads end with the tasks, with an error, or as soon as nobody refers to the iterator.

    Parameters
    ----------
    tasks
        What the function is called with; drawn in the consumer's thread.
    make
        The function; threads call it at the same time.
    threads
        How many; with none, every result is made when it is asked for.
    ahead
        Results to have made or in the making beyond the one that the consumer got.
    patience
        Seconds: as long as results take less than this, they are made when they are asked for and
        no thread is started. Taking turns with threads would take longer.
    """

    def __init__(
        self,
        tasks: Iterator[Any],
        make: Callable[[Any], Any],
        threads: int,
        ahead: int,
        patience: float = 0.0,
    ):
        self._tasks, self._make, self._n_threads, self._ahead = tasks, make, threads, ahead
        self._patience, self._left = patience, _FIRST * patience
        self._results: deque[_Result] = deque()
        self._queue: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._pid, self._closed = os.getpid(), False
        if threads and not patience:
            self._start()

    def _start(self) -> None:
        close_at_exit(self)
        for k in range(self._n_threads):
            # It knows the queue, not this object, so that it can be forgotten while they wait.
            thread = threading.Thread(
                target=_work, args=(self._make, self._queue), name=f"zstruct-batches-{k}", daemon=True
            )
            thread.start()
            self._threads.append(thread)
        self._refill()

    def __iter__(self) -> Prefetcher:
        return self

    def __next__(self) -> Any:
        if self._closed:
            raise StopIteration
        if not self._threads:
            return self._inline()
        if os.getpid() != self._pid:
            raise RuntimeError("this iterator was made before a fork: begin a new one in the child process")
        if not self._results:
            self.close()
            raise StopIteration
        result = self._results.popleft()
        self._refill()
        # A consumer that is faster than the threads lends a hand, which also spares waking up.
        while not result.done.acquire(blocking=False):
            try:
                task = self._queue.get_nowait()
            except queue.Empty:
                result.done.acquire()
                break
            if task is not None:
                _do(self._make, *task)
                if isinstance(task[0].error, KeyboardInterrupt):  # meant for this thread, not for that batch
                    self.close()
                    raise task[0].error
        if result.error is None:
            return result.value
        error, result.error = result.error, None  # no cycle of result, error and traceback
        self.close()
        try:
            raise error
        finally:
            del error

    def _inline(self) -> Any:
        """Make a result here and now; have the next ones made by threads if it took long."""
        try:
            what = next(self._tasks)
            began = time.perf_counter()
            value = self._make(what)
            # One interruption by the system does not count for more than one slow result.
            saved = max(self._patience - (time.perf_counter() - began), -self._patience)
            self._left = min(self._left + saved, _FIRST * self._patience)
        except BaseException:
            self.close()
            raise
        if self._left < 0 and self._n_threads and self._patience:
            self._start()
        return value

    def _refill(self) -> None:
        while len(self._results) < self._ahead:
            try:
                what = next(self._tasks)
            except StopIteration:
                return
            result = _Result()
            self._results.append(result)
            self._queue.put((result, what))

    def close(self) -> None:
        """Stop the threads; those at work finish their batch first."""
        if self._closed:
            return
        self._closed = True
        self._results.clear()
        if not self._threads:
            return  # also when the interpreter ends, and modules are gone
        if os.getpid() != self._pid:
            return  # a forked child has none of the threads
        try:
            while True:
                self._queue.get_nowait()
        except queue.Empty:
            pass
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():  # garbage is collected anywhere
                thread.join()

    def __del__(self) -> None:
        if hasattr(self, "_closed"):
            self.close()
