"""Do work ahead of those who will need it, by threads that end when there is nothing to do for a while.

This module knows nothing of blocks or stores: it calls a function for every job.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from zstruct.loading.lifetime import close_at_exit
from zstruct.parallel import cpu_count

__all__ = ["ReadAhead"]

Job = TypeVar("Job")

_LINGER = 0.3  # seconds: to wait for the next jobs costs less than to start a thread for each of them


class ReadAhead(Generic[Job]):
    """Threads that do jobs in the order in which they were asked for.

    Nobody waits for them and nobody hears of their errors: who needs a job done does it, or waits
    for whoever does, and meets the error again. A job must bear being done when it is done already.

    Parameters
    ----------
    do
        The function; threads call it at the same time. Only a weak reference to what it is bound to
        is kept.
    threads
        The most of them; by default one more than cores, for some wait for the disk.
    """

    def __init__(self, do: Callable[[Job], object], threads: int | None = None):
        self._do: weakref.WeakMethod[Callable[[Job], object]] = weakref.WeakMethod(do)
        self._changed = threading.Condition(threading.Lock())
        self._jobs: deque[Job] = deque()
        self._threads: set[threading.Thread] = set()
        self._most = cpu_count() + 1 if threads is None else threads
        self._idle = 0  # threads that are about to take a job, or to wait for one
        self._pid, self._closed = os.getpid(), False
        close_at_exit(self)

    def want(self, jobs: Sequence[Job], *, first: bool = False) -> None:
        """Have jobs done soon: after those that wait already, or before them."""
        if not jobs:
            return
        with self._changed:
            if self._closed:
                return
            if first:
                self._jobs.extendleft(reversed(jobs))
            else:
                self._jobs.extend(jobs)
            self._changed.notify(len(jobs))
            self._grow()

    def _grow(self) -> None:
        """Start a thread if there are jobs for one more; that one starts the next, nobody waits for all."""
        if len(self._jobs) > self._idle and len(self._threads) < self._most and not self._closed:
            thread = threading.Thread(
                target=self._work, name=f"zstruct-decode-{len(self._threads)}", daemon=True
            )
            self._threads.add(thread)
            self._idle += 1
            thread.start()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            do = self._do()
            if do is not None:
                with contextlib.suppress(Exception):  # who needs it does it again
                    do(*job)
            del do
            with self._changed:
                self._idle += 1

    def _next(self) -> tuple[Job] | None:
        """Return the next job; None if there was none for a while, and the thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed, _LINGER)
            self._idle -= 1
            if self._jobs:
                job = (self._jobs.popleft(),)
                self._grow()
                return job
            self._threads.discard(threading.current_thread())
            return None

    def close(self) -> None:
        """Forget what waits, and wait for the threads."""
        if os.getpid() != self._pid:
            return  # a forked child has none of them
        with self._changed:
            self._closed = True
            self._jobs.clear()
            self._changed.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join()
