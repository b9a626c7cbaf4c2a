"""Run independent tasks: on this machine, or on a Dask cluster when there is one.

The only module that imports dask. Tasks are plain functions of one picklable argument that
return small summaries; where they run makes no difference to what they do. Failures of the
user's making (`ZstructError`) end the run, anything else is tried again first.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast

from zstruct.arguments import integer, shown, whole
from zstruct.disk import is_full
from zstruct.errors import ArgumentTypeError, InputError, StoreAccessError, ZstructError

if TYPE_CHECKING:
    from distributed import Client as Client

__all__ = ["WORKERS", "Helpers", "RunsIn", "chosen_workers", "cpu_count", "run"]

T = TypeVar("T")
R = TypeVar("R")

RunsIn = Literal["threads", "processes", "here", "caller"]

# In the threads that run tasks: how many workers each of these may use.
_SHARE = threading.local()

_RETRIES = 2
_BROKEN_POOLS = 3

#: What to write in place of keywords that said so once where tasks run.
WORKERS = {"n_workers": "workers=...", "client": "workers=client"}


@dataclass(frozen=True, slots=True)
class _Failed:
    """An error a task returned instead of raising it, so that no scheduler tries it again."""

    error: Exception


def cpu_count() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def chosen_workers(workers: Any = None) -> int | Client | None:
    """Return where to run: what is given, else the `distributed.Client` in use here, if there is one.

    Does not import distributed.

    Raises
    ------
    ArgumentTypeError
        If what is given is neither a whole number nor a client: a cluster, say.
    InputError
        If it is a number below 1, or a client that can't be used: closed, or of asynchronous code.

    Examples
    --------
    >>> chosen_workers(4)
    4
    """
    distributed = sys.modules.get("distributed")
    if workers is None:
        try:
            active: Client | None = None if distributed is None else distributed.default_client()
        except ValueError:
            return None
        return active
    if integer(workers) is not None:
        return whole("workers", workers, 1)
    if distributed is None or not isinstance(workers, distributed.Client):
        cluster = hasattr(workers, "scheduler_address") or hasattr(workers, "scale")
        hint = ": give distributed.Client(cluster)" if cluster else ""
        raise ArgumentTypeError(
            f"workers is a whole number from 1 or a distributed.Client, not {shown(workers)}{hint}"
        )
    if workers.status != "running":
        raise InputError(f"the distributed.Client is {workers.status}: connect a new one")
    if workers.asynchronous:
        raise InputError("the distributed.Client is asynchronous: give one made with asynchronous=False")
    client: Client = workers
    return client


def run(
    function: Callable[[T], R],
    tasks: Sequence[T],
    *,
    runs_in: RunsIn = "threads",
    workers: int | Client | None = None,
) -> Iterator[tuple[int, R]]:
    """Call `function` on every task and yield ``(index, result)`` as they finish.

    Parameters
    ----------
    function
        Called with one task; must be idempotent, because a lost worker's task runs again.
    tasks
        Picklable arguments. Handed out in order, about twice as many as there are workers at a
        time, so that results do not pile up.
    runs_in
        Threads (for code that releases the GIL; the calling one if there is one task), processes, or the
        calling thread. ``"here"`` are threads of this process, whatever the workers: for tasks that are
        too large to be sent.
    workers
        Number of local workers, by default one per processor; or a cluster to run on, where
        ``"here"`` and ``"caller"`` stay here all the same.

    Raises
    ------
    Exception
        What the first failing task (in the order of `tasks`) raised; running tasks are awaited
        and no further ones are started.
    """
    if not tasks:
        return
    local = workers if isinstance(workers, int) else cpu_count()
    if runs_in == "caller":
        for index, task in enumerate(tasks):
            with _share(local):
                result = function(task)
            yield index, result
        return
    if workers is not None and not isinstance(workers, int) and runs_in != "here":
        yield from _run_on_cluster(function, tasks, workers)
        return
    n_workers = max(1, min(local, len(tasks)))
    if runs_in == "processes":
        yield from _run_in_processes(function, tasks, n_workers)
    elif len(tasks) == 1:  # a thread of its own would only cost time
        with _share(local):
            answer = _guarded(function, tasks[0])
        if isinstance(answer, _Failed):
            raise answer.error
        yield 0, answer
    else:
        share = max(1, local // n_workers)
        with ThreadPoolExecutor(n_workers, "zstruct", partial(setattr, _SHARE, "n_workers", share)) as pool:
            yield from _collect(lambda task: pool.submit(_guarded, function, task), tasks, 2 * n_workers)


@contextlib.contextmanager
def _share(n_workers: int) -> Iterator[None]:
    """Give a task of this thread so many workers for its parts."""
    before = getattr(_SHARE, "n_workers", 1)
    _SHARE.n_workers = n_workers
    try:
        yield
    finally:
        _SHARE.n_workers = before


class Helpers:
    """Workers for the parts of a task that is itself one of several: as many as its share of all workers.

    Only tasks that run in threads of this process have any. Without, calls are made when they are given.

    Examples
    --------
    >>> with Helpers() as helpers:
    ...     results = [helpers.begin(abs, x) for x in (-1, -2)]
    ...     [result() for result in results]
    [1, 2]
    """

    def __init__(self) -> None:
        self.n_workers: int = getattr(_SHARE, "n_workers", 1)
        self._threads: ThreadPoolExecutor | None = None
        self._processes: ProcessPoolExecutor | None = None
        self._broken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for pool in (self._threads, self._processes):
            if pool is not None:
                pool.shutdown(wait=True, cancel_futures=True)

    def begin(
        self, function: Callable[[T], R], task: T, runs_in: Literal["threads", "processes"] = "threads"
    ) -> Callable[[], R]:
        """Have a function called; return what waits for its result, or raises what it raised.

        Parameters
        ----------
        function, task, runs_in
            As for `run`.
        """
        if self.n_workers == 1:
            result = function(task)
            return lambda: result
        if runs_in == "threads":
            self._threads = self._threads or ThreadPoolExecutor(self.n_workers, "zstruct-helper")
            return self._threads.submit(function, task).result
        self._processes = self._processes or _new_processes(self.n_workers)
        pool = self._processes
        return partial(self._from_process, function, task, pool, _submit_pickled(pool, function, task))

    def _from_process(
        self, function: Callable[[T], R], task: T, pool: ProcessPoolExecutor, call: Future[Any]
    ) -> R:
        """Return a result; a killed worker costs its tasks another try."""
        try:
            result = call.result()
        except BrokenProcessPool:
            if pool is self._processes:
                self._broken += 1
                if self._broken == _BROKEN_POOLS:
                    raise
                pool.shutdown(wait=True, cancel_futures=True)
                self._processes = None
            return self.begin(function, task, "processes")()
        if isinstance(result, _Failed):
            raise result.error
        return cast(R, result)


def _new_processes(n_workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        n_workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
    )


def _run_in_processes(
    function: Callable[[T], R], tasks: Sequence[T], n_workers: int
) -> Iterator[tuple[int, R]]:
    """Run in spawned processes; a killed worker costs its tasks another try, not the run."""
    todo = list(range(len(tasks)))
    for attempt in range(_BROKEN_POOLS):
        done: set[int] = set()
        pool = _new_processes(n_workers)
        submit = partial(_submit_pickled, pool, function)
        try:
            for k, result in _collect(submit, [tasks[i] for i in todo], 2 * n_workers):
                done.add(todo[k])
                yield todo[k], result
            return
        except BrokenProcessPool:
            if attempt + 1 == _BROKEN_POOLS:
                raise
            todo = [i for i in todo if i not in done]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _submit_pickled(pool: ProcessPoolExecutor, function: Callable[[T], R], task: T) -> Future[Any]:
    import cloudpickle

    call = cloudpickle.dumps((function, task))  # takes lambdas and what a notebook defines
    with _hidden_main():  # submitting is what starts workers
        return pool.submit(_call_pickled, call)


def _run_on_cluster(
    function: Callable[[T], R], tasks: Sequence[T], client: Client
) -> Iterator[tuple[int, R]]:
    window = 2 * max(1, sum(client.nthreads().values()))
    yield from _collect(
        lambda task: client.submit(_guarded, function, task, retries=_RETRIES, pure=False),
        tasks,
        window,
        wait_any=_wait_on_cluster,
    )


def _wait_on_cluster(pending: Sequence[Any]) -> set[Any]:
    import distributed

    return set(distributed.wait(list(pending), return_when="FIRST_COMPLETED").done)


def _wait_locally(pending: Sequence[Future[Any]]) -> set[Future[Any]]:
    return wait(pending, return_when=FIRST_COMPLETED).done


def _collect(
    submit: Callable[[T], Any],
    tasks: Sequence[T],
    window: int,
    wait_any: Callable[[Sequence[Any]], set[Any]] = _wait_locally,
) -> Iterator[tuple[int, Any]]:
    """Keep `window` tasks in flight and yield results; raise the earliest failure."""
    pending: dict[Any, int] = {}
    failures: dict[int, BaseException] = {}
    upcoming = iter(enumerate(tasks))
    try:
        while True:
            while len(pending) < window and not failures:
                following = next(upcoming, None)
                if following is None:
                    break
                pending[submit(following[1])] = following[0]
            if not pending:
                break
            for future in wait_any(list(pending)):
                index = pending.pop(future)
                error = future.exception()
                result = None if error is not None else future.result()
                if isinstance(result, _Failed):
                    error = result.error
                if error is not None:
                    failures[index] = error
                else:
                    yield index, result
    finally:
        for future in pending:
            future.cancel()
    if failures:
        raise failures[min(failures)]


def _guarded(function: Callable[[T], R], task: T) -> R | _Failed:
    """Call the function; hand the user's errors back as values, try anything else again."""
    for attempt in range(_RETRIES + 1):
        try:
            return function(task)
        except StoreAccessError as error:  # it may pass
            if attempt == _RETRIES:
                return _Failed(error)
        except ZstructError as error:
            return _Failed(error)
        except OSError as error:
            if attempt == _RETRIES or is_full(error):
                raise
    raise AssertionError("unreachable")


def _call_pickled(call: bytes) -> Any:
    import cloudpickle

    function, task = cloudpickle.loads(call)
    return _guarded(function, task)


def _start_worker() -> None:
    os.environ["NUMBA_NUM_THREADS"] = "1"
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep spawned workers from importing the user's script again.

    They don't need it (functions travel by value), and a script without an
    ``if __name__ == "__main__"`` guard would build itself recursively.
    """
    main = sys.modules["__main__"]
    saved = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    try:
        for name in saved:
            setattr(main, name, None)
        yield
    finally:
        for name, value in saved.items():
            setattr(main, name, value)
