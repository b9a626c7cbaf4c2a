"""What a forked child has to forget of its parent: locks that other threads held, and their work.

Objects that have such things say so; this module knows nothing of what they are.
"""

from __future__ import annotations

import atexit
import os
import weakref
from typing import Protocol

__all__ = ["close_at_exit", "renew_after_fork"]


class Renewable(Protocol):
    """Something that begins anew in a forked child."""

    def _renew(self) -> None: ...


_known: weakref.WeakSet[Renewable] = weakref.WeakSet()


def renew_after_fork(what: Renewable) -> None:
    """Have ``what._renew()`` called in every process that is forked from this one from now on."""
    _known.add(what)


def _renew_all() -> None:
    for what in list(_known):
        what._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)


class _Closing(Protocol):
    def close(self) -> None: ...


_open: weakref.WeakSet[_Closing] = weakref.WeakSet()


def close_at_exit(what: _Closing) -> None:
    """Have something with threads closed when the interpreter ends, if it is still in use then."""
    _open.add(what)


@atexit.register
def _close_all() -> None:
    """Stop threads while the interpreter is whole: later, they would be cut off in native code."""
    for what in list(_open):
        what.close()
