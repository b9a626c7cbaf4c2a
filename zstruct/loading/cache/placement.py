"""Choose where decoded blocks are kept: private memory, memory shared by processes, or nowhere.

The choice is made once, from the sizes of the data and of the machine, and is then carried along to other
processes.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zstruct.arguments import real
from zstruct.loading.cache.arena import SHARED_MEMORY, Arena, arena_name, can_share, free_bytes
from zstruct.loading.dataset_options import Cache

__all__ = ["Placement", "budgets", "choose_placement"]

_SMALL = 64 << 20  # what every process may well have for itself
_MARGIN = 64 << 20  # to leave free in shared memory


@dataclass(frozen=True)
class Placement:
    """Where decoded blocks are kept.

    Parameters
    ----------
    flat
        Whether there is room for everything, each field in one column.
    directories
        Where a shared arena may be, the preferred place first; none for private memory.
    budget
        Bytes to keep where there is no room for everything.
    settled
        Whether `flat` and `budget` follow from what was asked for, not from the memory of the machine.
    """

    flat: bool
    directories: tuple[str, ...]
    budget: int
    settled: bool = True

    def arena(self, arrays: Mapping[str, tuple[np.dtype, Sequence[int]]], key: Mapping[str, Any]) -> Arena:
        """Return an arena at this place: one that is there, or a new one.

        Raises
        ------
        OSError
            If it can't be made.
        """
        if not self.directories:
            return Arena(arrays)
        name = arena_name(arrays, key)
        there = [d for d in self.directories if os.path.exists(os.path.join(d, name))]
        return Arena(arrays, (there or list(self.directories))[0], key)

    def describe(self, nbytes: int, decoded: int, path: str | None = None) -> str:
        """Return the choice and how much of it is in use, for people; `path` is that of a shared file."""
        if self.flat and self.directories:
            where = f"shared in {os.path.dirname(path) if path else self.directories[0]}"
        elif self.flat:
            where = "memory"
        elif self.budget:
            where = f"memory, the last {_readable(self.budget)} of {_readable(nbytes)}"
            if path is not None:
                where += f", offsets shared in {os.path.dirname(path)}"
        else:
            where = "none"
        return f"{where}, {_readable(decoded)} decoded"


def choose_placement(
    cache: str | os.PathLike[str] | None, cache_bytes: float | None, nbytes: int, offsets_bytes: int
) -> Placement:
    """Return where to keep decoded blocks.

    Parameters
    ----------
    cache
        ``"memory"``: in private memory; all of them if they fit into `cache_bytes`, else those
        used last. ``"shared"``: all in a file that processes of this node share, in shared memory
        if there is room and else in the directory for temporary files. A directory: such a file
        there. None: only those of the last request. ``"auto"``: in memory if they are few or many,
        and shared in between, as long as they take no more than half of what is free in shared
        memory.
    cache_bytes
        The budget; by default half of the memory that is available, except for shared files that
        were asked for, which may be of any size.
    nbytes
        Bytes of all blocks.
    offsets_bytes
        Bytes of the offsets table.

    Raises
    ------
    TypeError
        If `cache_bytes` is no number.
    ValueError
        If `cache` is none of these, if `cache_bytes` is negative or less than a shared file needs,
        or if the system can't share memory.
    """
    if cache_bytes is not None and real("bytes of a cache", cache_bytes) < 0:
        raise ValueError(f"bytes of a cache must not be negative, but are {cache_bytes}")
    cache_bytes = None if cache_bytes is None else int(min(cache_bytes, 1 << 62))
    if not (cache is None or isinstance(cache, str | os.PathLike)):
        raise ValueError(f"cache is 'auto', 'memory', 'shared', None or an existing directory, not {cache!r}")
    if cache is None:
        return Placement(flat=False, directories=(), budget=0)
    budget = available_bytes() // 2 if cache_bytes is None else cache_bytes
    needed = nbytes + offsets_bytes
    free = free_bytes(SHARED_MEMORY)
    if cache in ("auto", "memory"):
        flat = nbytes <= budget
        # Where the blocks of a large store don't fit, at least its offsets are not copied.
        size = needed if flat else offsets_bytes
        shared = cache == "auto" and size > _SMALL and size <= free // 2
        return Placement(flat, (str(SHARED_MEMORY),) if shared else (), budget, cache_bytes is not None)
    if cache != "shared" and not os.path.isdir(cache):
        raise ValueError(f"cache is 'auto', 'memory', 'shared', None or an existing directory, not {cache!r}")
    if not can_share():
        raise ValueError("this system has no file locks to share memory by: choose cache='memory'")
    if cache_bytes is not None and nbytes > cache_bytes:
        raise ValueError(
            f"a shared cache holds all {nbytes:,} bytes of the decoded fields, more than "
            f"bytes={cache_bytes}; raise it, load fewer fields, or choose cache='memory'"
        )
    if cache != "shared":
        return Placement(True, (os.path.abspath(cache),), budget)
    both = [str(SHARED_MEMORY), tempfile.gettempdir()]
    if free < needed + _MARGIN:
        both.reverse()
    return Placement(True, tuple(d for d in both if os.path.isdir(d)), budget)


def budgets(cache: Cache, sizes: list[int]) -> list[float | None]:
    """Divide the bytes of a cache among several, each in proportion to what it has to keep.

    Examples
    --------
    >>> budgets(Cache("memory", bytes=100), [30, 10])
    [75, 25]
    """
    if len(sizes) == 1 or (cache.bytes is None and cache.where not in ("auto", "memory")):
        return [cache.bytes] * len(sizes)
    total = available_bytes() // 2 if cache.bytes is None else cache.bytes
    whole = max(1, sum(sizes))
    return [math.ceil(total * size / whole) for size in sizes]


def available_bytes() -> int:
    """Return the memory that this process could still take, the limits of its container included."""
    found = []
    memory = _numbers("/proc/meminfo", "MemAvailable:")
    if memory:
        found.append(memory[0] * 1024)
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        most, now = _numbers(limit), _numbers(used)
        if most and now:
            found.append(max(0, most[0] - now[0]))
    return min(found, default=4 << 30)


def _numbers(file: str, after: str = "") -> list[int]:
    """Return the number in a file of the kernel, or the one after a word; nothing if there is none."""
    try:
        words = Path(file).read_text().split()
    except OSError:
        return []
    words = words[words.index(after) + 1 :] if after in words else words if not after else []
    return [int(words[0])] if words and words[0].isdecimal() else []


def _readable(nbytes: float) -> str:
    unit = min(4, max(0, int(math.log10(max(1, nbytes))) // 3))
    return f"{nbytes / 1000**unit:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[unit]}"
