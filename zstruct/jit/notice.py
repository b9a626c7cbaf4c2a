"""Say so when kernels are compiled, and how long that may take, so that nobody wonders why.

Compiled kernels are kept on disk; what is loaded from there is not mentioned.
"""

from __future__ import annotations

import gc
import multiprocessing
import sys
from functools import cache
from typing import Any

from numba.core import event

__all__ = ["SECONDS", "watch"]

#: About how long a kernel takes to compile, by the name of its module and its own.
SECONDS: dict[tuple[str, str], int] = {}
_HINT = "; done once, `zstruct warmup` does all at once"


class _Listener(event.Listener):
    """Prints a line for each kernel that is compiled; has garbage wait until it is done."""

    def __init__(self) -> None:
        self.depth = 0
        self.collects = False
        self.hint = _HINT

    def on_start(self, event: Any) -> None:
        function = event.data["dispatcher"].py_func
        if not function.__module__.startswith("zstruct."):
            return
        self.depth += 1
        if self.depth > 1:  # what a kernel calls
            return
        # The compiler makes objects by the million, and most of them live: looking through them for
        # garbage takes a sixth of its time.
        self.collects = gc.isenabled()
        gc.disable()
        if multiprocessing.parent_process() is None:
            key = function.__module__, function.__qualname__
            takes = f"about {SECONDS[key]} s" if key in SECONDS else "some seconds"
            print(f"zstruct compiles {'.'.join(key)} ({takes}{self.hint})", file=sys.stderr)
            self.hint = ""

    def on_end(self, event: Any) -> None:
        if not event.data["dispatcher"].py_func.__module__.startswith("zstruct."):
            return
        self.depth -= 1
        if self.depth == 0 and self.collects:
            gc.enable()


@cache
def watch() -> None:
    """Have compilations in this process mentioned on the standard error stream.

    Worker processes keep silent.
    """
    event.register("numba:compile", _Listener())
