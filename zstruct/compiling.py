"""Say so when Numba compiles a kernel of zstruct, so that nobody wonders why the first call is slow.

Compiled kernels are kept on disk; what is loaded from there is not mentioned. Modules with kernels
call `announce` when they are imported. This module knows none of them.
"""

from __future__ import annotations

import multiprocessing
import sys
from functools import cache
from typing import Any

from numba.core import event

__all__ = ["announce"]


class _Listener(event.Listener):
    """Prints one line at the first kernel of zstruct that is compiled in a process."""

    def __init__(self) -> None:
        self.said = False

    def on_start(self, event: Any) -> None:
        function = event.data["dispatcher"].py_func
        if self.said or not function.__module__.startswith("zstruct."):
            return
        self.said = True
        print("zstruct compiles its kernels, which takes some seconds and is done once", file=sys.stderr)

    def on_end(self, event: Any) -> None:
        pass


@cache
def announce() -> None:
    """Have the first compilation of this process mentioned on the standard error stream.

    Worker processes keep silent.
    """
    if multiprocessing.parent_process() is None:
        event.register("numba:compile", _Listener())
