"""Processes that are killed at a step of what they write, in stores of many small shards."""

import os
import signal

__all__ = ["count_steps", "shrink"]


def shrink(memory=0):
    """Make many parts and many shards of little data; keep so many bytes of parts in memory."""
    from zstruct.building import manifest, parts
    from zstruct.store import chunks

    manifest._JOB_BYTES = 0
    parts.MEMORY_BYTES = memory
    chunks._CHUNK_ROWS.update(atom=128, structure=32)
    chunks._CHUNKS_PER_SHARD = 2


def count_steps(kill_at):
    """Count what changes the disk from here on; SIGKILL this process at step `kill_at`."""
    steps = []

    def counted(function):
        def wrapper(*args, **kwargs):
            steps.append(function.__name__)
            if len(steps) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapper

    for name in ("replace", "rename", "fsync", "unlink", "rmdir", "mkdir", "link"):
        setattr(os, name, counted(getattr(os, name)))
    return steps
