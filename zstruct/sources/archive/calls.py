"""Members of a stream that are parsed while others are decompressed: some by a call, returned in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from zstruct.parallel import Helpers
from zstruct.sources.archive.frames import frames_of
from zstruct.sources.ase.detection import UnreadableSource
from zstruct.sources.source import Raw, Source
from zstruct.sources.together import blocks_of

__all__ = ["Calls", "Place", "best_place"]

#: Where members are read.
Place = Literal["threads", "processes"]

#: Members that are parsed by one call, and their bytes.
_MEMBERS, _BYTES = 64, 1 << 20
#: From so many bytes of members whose readers hold the GIL on, processes pay.
_PROCESSES_FROM = 4 << 20


def best_place(sources: Sequence[Source]) -> tuple[Place, int]:
    """Return where sources are best read, and up to how many bytes threads do as well."""
    held = [
        source
        for source in sources
        if source.runs_in == "processes" and not isinstance(source, UnreadableSource)
    ]
    if not held:
        return "threads", 0
    return "processes", min(getattr(source, "threads_up_to", 0) for source in held)


class Calls:
    """Members that are in memory, read some at a time as helpers have time, and returned in order.

    Parameters
    ----------
    helpers
        Who reads them.
    """

    def __init__(self, helpers: Helpers):
        self._helpers = helpers
        self._waiting: deque[Callable[[], list[Raw]]] = deque()
        self._sources: list[Source] = []
        self._place: Place = "threads"
        self._nbytes = self._nbytes_holding = 0

    def add(self, source: Source, nbytes: int) -> None:
        """Have a source read."""
        place: Place = "threads"
        if source.runs_in == "processes" and not getattr(source, "threads_up_to", 0):
            self._nbytes_holding += nbytes
            place = "processes" if self._nbytes_holding > _PROCESSES_FROM else "threads"
        if place != self._place:
            self._begin()
        self._place = place
        self._sources.append(source)
        self._nbytes += nbytes
        if len(self._sources) == _MEMBERS or self._nbytes >= _BYTES:
            self._begin()

    def ready(self) -> Iterator[Raw]:
        """Yield what must be taken before more is added."""
        while len(self._waiting) > 2 * self._helpers.n_workers:
            yield from self._waiting.popleft()()

    def finished(self) -> Iterator[Raw]:
        """Yield all that is left."""
        self._begin()
        while self._waiting:
            yield from self._waiting.popleft()()

    def _begin(self) -> None:
        if self._sources:
            self._waiting.append(self._helpers.begin(_frames_of_all, self._sources, self._place))
        self._sources, self._nbytes = [], 0


def _frames_of_all(sources: Sequence[Source]) -> list[Raw]:
    return list(blocks_of(sources, frames_of))
