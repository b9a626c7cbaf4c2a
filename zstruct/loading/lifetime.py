"""How long what reads a store lives: anew after a fork, closed at exit; once closed, it is a sentence.

A forked child has to forget the locks that other threads of its parent held, and their work. Objects
that have such things say so; what they are makes no difference here.
"""

from __future__ import annotations

import atexit
import os
import weakref
from typing import Any, NoReturn, Protocol

__all__ = ["Closed", "close_at_exit", "renew_after_fork"]


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


class Closed:
    """Stands in the place of what reads, and refuses.

    Parameters
    ----------
    reader
        What was closed.
    """

    def __init__(self, reader: object):
        self._what = type(reader).__name__

    def __call__(self, *given: object) -> NoReturn:
        """Refuse to read.

        Raises
        ------
        ValueError
            Always.
        """
        raise ValueError(f"this {self._what} is closed: open the store again")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self(name)
