"""Make batches ahead of the loop that uses them, by threads of this process, in order.

Threads, not processes: making a batch releases the GIL, and nothing has to be moved. This module
knows nothing of structures or tensors: it calls a function for every task.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

__all__ = ["Prefetcher"]


class _Group:
    """What became of some tasks in a row; its lock is free once there is something."""

    __slots__ = ("done", "error", "values")

    def __init__(self) -> None:
        self.done = threading.Lock()  # the cheapest way to wait: no Python code runs to wake up
        self.done.acquire()
        self.values: deque[Any] = deque()
        self.error: BaseException | None = None


_Task = tuple[_Group, list[Any]]


def _do(make: Callable[[Any], Any], group: _Group, what: list[Any]) -> None:
    try:
        group.values.extend(map(make, what))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the consumer raises it
        group.error = error
    group.done.release()


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
        Results to have made or in the making beyond those that were handed over.
    together
        Results to hand over at once: waking up the consumer costs as much as making a small one.
    """

    def __init__(
        self, tasks: Iterator[Any], make: Callable[[Any], Any], threads: int, ahead: int, together: int = 1
    ):
        self._tasks, self._make = tasks, make
        self._together = min(together, max(1, ahead // 2))
        self._ahead = ahead // self._together
        self._values: deque[Any] = deque()  # handed over
        self._error: BaseException | None = None  # what comes after them
        self._groups: deque[_Group] = deque()
        self._queue: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._pid, self._closed = os.getpid(), False
        self._threads = [
            # They know the queue, not this object, so that it can be forgotten while they wait.
            threading.Thread(target=_work, args=(make, self._queue), name=f"zstruct-batches-{k}", daemon=True)
            for k in range(threads)
        ]
        for thread in self._threads:
            thread.start()
        if threads:
            _open.add(self)
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
        if not self._values and self._error is None:
            self._receive()
        if self._values:
            return self._values.popleft()
        error, self._error = self._error, None  # no cycle of iterator, error and traceback
        self.close()
        try:
            raise StopIteration if error is None else error
        finally:
            del error

    def _receive(self) -> None:
        """Wait for the next group, if there is one."""
        if self._groups:
            group = self._groups.popleft()
            self._refill()
            # A consumer that is faster than the threads lends a hand, which also spares waking up.
            while not group.done.acquire(blocking=False):
                try:
                    task = self._queue.get_nowait()
                except queue.Empty:
                    group.done.acquire()
                    break
                if task is not None:
                    _do(self._make, *task)
            self._values, self._error = group.values, group.error

    def _inline(self) -> Any:
        try:
            return self._make(next(self._tasks))
        except BaseException:
            self.close()
            raise

    def _refill(self) -> None:
        while len(self._groups) < self._ahead and (what := list(islice(self._tasks, self._together))):
            group = _Group()
            self._groups.append(group)
            self._queue.put((group, what))

    def close(self) -> None:
        """Stop the threads; those at work finish their batch first."""
        if self._closed:
            return
        self._closed = True
        self._groups.clear()
        self._values.clear()
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


_open: weakref.WeakSet[Prefetcher] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Stop threads while the interpreter is whole: later, they would be cut off in native code."""
    for prefetcher in list(_open):
        prefetcher.close()
