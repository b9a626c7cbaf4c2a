"""Processes that are killed at a step of what they write, in stores of many small shards."""

import multiprocessing
import os
import random
import signal
import sys
from itertools import pairwise

import numpy as np
import pytest

__all__ = ["count_steps", "ended", "moments", "shrink", "spawner"]


@pytest.fixture(scope="session")
def spawner():
    """What starts processes quickly: as forks of one that has done it all once (see `tests.warm`)."""
    context = multiprocessing.get_context("forkserver")
    assert ended(context, _assert_warm) == 0, "run pytest in the folder of the project"
    return context


def _assert_warm():
    assert "tests.warm" in sys.modules


def ended(spawner, function, *arguments):
    """Call a function in a process of its own; return how that ended, -SIGKILL if it was killed."""
    process = spawner.Process(target=function, args=arguments)
    process.start()
    process.join(120)
    return process.exitcode


def shrink(memory=0):
    """Make many parts and many shards of little data; keep so many bytes of parts in memory."""
    from zstruct.building import manifest, parts
    from zstruct.store import chunks

    manifest._JOB_BYTES = 0
    parts.MEMORY_BYTES = memory
    chunks._CHUNK_ROWS.update(atom=128, structure=32)
    chunks._CHUNKS_PER_SHARD = 2


def count_steps(kill_at, methods=()):
    """Count what changes the disk from here on; SIGKILL this process at step `kill_at`.

    Calls of methods, pairs of a class and a name, are steps as well. Code that is kept on disk is none.
    """
    steps = []

    def counted(owner, function):
        def wrapper(*args, **kwargs):
            if "zstruct." not in (str(args[0]) if owner is os else ""):  # folders of compiled kernels
                steps.append(function.__name__)
                if len(steps) == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapper

    named = [(os, name) for name in ("replace", "rename", "fsync", "unlink", "rmdir", "mkdir", "link")]
    for owner, name in [*named, *methods]:
        setattr(owner, name, counted(owner, getattr(owner, name)))
    return steps


def moments(total, few, long_run, *, end=0):
    """Return the steps at which to kill: all of them in a long run, else a few, others every time.

    One is somewhere in each of as many equal stretches as there may be, and the last step is one. Where
    what comes at the end publishes and cleans up, half of them are among the last steps, `end` of them.
    """
    if long_run:
        return range(1, total + 1)
    half = few // 2 if end else 0
    edges = {*np.linspace(0, total - end, few - half).astype(int).tolist()}
    edges |= {*np.linspace(total - end, total, half + 1).astype(int).tolist()} if half else set()
    return sorted({*(random.randint(a + 1, b) for a, b in pairwise(sorted(edges))), total})
