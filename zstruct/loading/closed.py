"""What is left of a reader that was closed: a sentence."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["Closed"]


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
