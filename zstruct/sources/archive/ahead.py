"""A stream that a thread of its own reads ahead: decompressing goes on while others parse."""

from __future__ import annotations

import queue
import threading
from types import TracebackType
from typing import IO, Self

__all__ = ["Ahead"]

_BLOCK = 1 << 20
_BLOCKS = 16  # that may wait


class Ahead:
    """Reads a stream in a thread.

    Parameters
    ----------
    stream
        What to read; nobody else may while this is open.
    """

    def __init__(self, stream: IO[bytes]):
        self._stream = stream
        self._ready: queue.Queue[bytes | BaseException] = queue.Queue(_BLOCKS)
        self._given_up = threading.Event()
        self._rest = memoryview(b"")
        self._end: bytes | BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="zstruct-ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._given_up.set()
        while self._thread.is_alive():
            try:
                self._ready.get(timeout=0.01)
            except queue.Empty:
                self._thread.join(0.01)

    def read(self, n: int) -> bytes:
        """Return up to `n` bytes; none at the end.

        Raises
        ------
        Exception
            What reading the stream raised, when all before it has been read.
        """
        if not self._rest:
            block = self._ready.get() if self._end is None else self._end
            if isinstance(block, BaseException):
                self._end = block
                raise block
            if not block:
                self._end = block
                return block
            self._rest = memoryview(block)
        part, self._rest = self._rest[:n], self._rest[n:]
        return bytes(part)

    def _work(self) -> None:
        try:
            while not self._given_up.is_set():
                block = self._stream.read(_BLOCK)
                self._ready.put(block)
                if not block:
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised where the stream is read
            self._ready.put(error)
