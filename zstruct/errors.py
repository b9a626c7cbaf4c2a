"""The exceptions users can catch.

Every message is a sentence that says what was wrong, where, and what to do. This module
imports nothing.
"""

from __future__ import annotations

__all__ = [
    "ArgumentTypeError",
    "BuildLockedError",
    "ChangedInputError",
    "CorruptStoreError",
    "InputError",
    "MissingExtraError",
    "StaleGroupError",
    "StoreAccessError",
    "StoreExistsError",
    "StoreFormatError",
    "UnknownNameError",
    "WriteError",
    "ZstructError",
]


class ZstructError(Exception):
    """Base of everything zstruct raises on purpose."""


class InputError(ZstructError, ValueError):
    """Something in the user's input can't be used.

    Parameters
    ----------
    reason
        What was wrong and what to do about it, without file and frame.
    source
        The file (or other input) it was found in, if any.
    frame
        The zero-based frame in that input, if the fault lies in one frame.
    """

    def __init__(self, reason: str, source: str | None = None, frame: int | None = None):
        self.reason, self.source, self.frame = reason, source, frame
        where = "" if source is None else source
        if frame is not None:
            where += f", frame {frame}" if where else f"frame {frame}"
        super().__init__(f"{where}: {reason}" if where else reason)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.reason, self.source, self.frame)


class ArgumentTypeError(InputError, TypeError):
    """An argument is of a type that makes no sense there; a `TypeError` as Python's own is."""


class UnknownNameError(InputError, KeyError):
    """There is nothing of this name; the message names what there is. A `KeyError` as Python's own is."""

    __str__ = Exception.__str__  # KeyError would show quotes


class ChangedInputError(ZstructError):
    """An input changed between the start of a build and its end or resumption."""


class StoreExistsError(ZstructError, FileExistsError):
    """The target of a build exists and ``overwrite=True`` was not given."""


class BuildLockedError(ZstructError):
    """Another living process is building the same target."""


class StoreFormatError(ZstructError):
    """The path is not a zstruct store, is incomplete, or of a version this zstruct can't read."""


class StoreAccessError(ZstructError, OSError):
    """A store can't be reached: no connection, no permission, no credentials, too many open files."""


class WriteError(ZstructError, OSError):
    """A file can't be written: the disk is full, a quota or a limit is reached. What was there is safe."""


class StaleGroupError(ZstructError):
    """Features, derivatives, neighbours or a split were made from other content than the store has now."""


class CorruptStoreError(ZstructError):
    """The bytes of a store contradict its checksums or its own metadata."""


class MissingExtraError(ZstructError, ImportError):
    """An optional dependency is not installed; the message names the extra to install."""
