"""Where stores are: local paths and URLs, and what a file system or a server says when it refuses.

Errors of the system and of client libraries become sentences that name the store and say what to do.
What is in a store is not known here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from zstruct.arguments import shown
from zstruct.errors import (
    ArgumentTypeError,
    InputError,
    MissingExtraError,
    StoreAccessError,
    StoreFormatError,
    ZstructError,
)

__all__ = [
    "causes",
    "check_options",
    "check_writable",
    "is_of_the_system",
    "is_url",
    "path_of",
    "refused",
    "why_refused",
]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::|://)")
# What pathlib makes of a URL: it takes two slashes for one.
_SPOILT = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/[^/]")
# The longest of what is added to the name of a store, for what is made beside it.
_LONGEST = ".featurizing"
# Errors of the system that pass, or are for its owner to mend.
_PASSING = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EINTR, errno.ESTALE}
    | {errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH}
)
_OPTIONS = 'storage_options (for S3: {"key": ..., "secret": ...}, or {"anon": True} for public data)'


def is_of_the_system(error: BaseException) -> bool:
    """Return whether an error says nothing of a store: too many open files, no permission, no network."""
    return isinstance(error, OSError) and error.errno in _PASSING


def is_url(path: str) -> bool:
    """Return whether a path is a URL, or a chain of them as fsspec has it.

    Examples
    --------
    >>> is_url("s3://bucket/train.zarr"), is_url("zip::s3://bucket/train.zip"), is_url("data/train.zarr")
    (True, True, False)
    """
    return _URL.match(path) is not None


def path_of(path: Any, what: str = "a store") -> str:
    """Return a path or URL as text, with the user's home directory put in.

    Parameters
    ----------
    path
        A text or path.
    what
        What it should be the path of.

    Raises
    ------
    TypeError
        If it is anything else.
    InputError
        If it is empty or has a null character, or if it is a URL that went through pathlib.
    """
    if not isinstance(path, str | bytes | os.PathLike):
        raise ArgumentTypeError(
            f"{what} is given as a path or a URL, one text or pathlib.Path, not {shown(path)}"
        )
    text = os.fspath(path)
    if isinstance(text, bytes):
        raise ArgumentTypeError(f"{what} is given as a path or a URL in text, not in bytes: {shown(path)}")
    if not text or "\0" in text:
        raise InputError(f"{text!r} can't be the path of {what}")
    spoilt = _SPOILT.match(text)
    if spoilt and not os.path.isdir(f"{spoilt[1]}:"):
        raise InputError(f"{text} was a URL before pathlib took a slash out of it: give it as text")
    return text if is_url(text) else os.path.expanduser(text)


def check_writable(path: Any, what: str = "groups are written") -> str:
    """Return the path of a local directory to write, and refuse any other place before anything is made.

    Parameters
    ----------
    path
        What the user gave.
    what
        What is written, with its verb: "a store is built".

    Raises
    ------
    TypeError
        If it is no path.
    InputError
        If it is a URL, or can't be the name of a directory.
    """
    text = path_of(path)
    if is_url(text):
        raise InputError(
            f"{what} into local directories only, not into {text}: do it in one here and copy that"
        )
    try:
        with contextlib.suppress(FileNotFoundError):
            os.stat(f"{text.rstrip('/')}{_LONGEST}")
        found = os.stat(text)
    except FileNotFoundError:
        return text
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"{what} into local directories, and {shown(text)} is none: {_said(error)}"
        ) from error
    if not stat.S_ISDIR(found.st_mode):
        raise InputError(f"{what} into local directories only, and {text} is a file")
    return text


def check_options(path: str, options: Any) -> dict[str, Any] | None:
    """Return storage options, for a URL, as a dictionary; None stays.

    Raises
    ------
    TypeError
        If they are no mapping with names as keys.
    InputError
        If the path is none of a server.
    """
    if options is None:
        return None
    if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
        raise ArgumentTypeError(f"storage_options is a mapping of options of fsspec, not {shown(options)}")
    if options and not is_url(path):
        raise InputError(f"storage_options are for URLs, and {path} is a local path: leave them out")
    return dict(options) or None


def refused(path: str, error: BaseException) -> ZstructError | None:
    """Return what an error says about reaching a store, or None if it is about something else.

    Parameters
    ----------
    path
        The store.
    error
        What was raised while it was opened or read.
    """
    if not is_url(path):
        if is_of_the_system(error) or isinstance(error, MemoryError):
            return StoreAccessError(f"can't read {path}: {_said(error)}")
        return None
    if isinstance(error, ImportError):
        return MissingExtraError(f"can't open the store {path}: {error}")
    found = why_refused(error)
    if found is None:
        return None
    what = "can't read" if found.kind is StoreAccessError else "can't open the store"
    return found.kind(f"{what} {path}: {found.why}")


class Refusal(NamedTuple):
    """Why what is behind a URL can't be had.

    Parameters
    ----------
    kind
        `StoreFormatError` if there is no such thing, `StoreAccessError` if it can't be reached.
    why
        A sentence.
    passes
        Whether it may be well again in an hour: the network, not the input.
    """

    kind: type[StoreAccessError | StoreFormatError]
    why: str
    passes: bool = False


def why_refused(error: BaseException) -> Refusal | None:
    """Return why what is behind a URL can't be had, or None if an error is about something else.

    Parameters
    ----------
    error
        What was raised while it was opened or read.
    """
    chain = list(causes(error))
    names = {name for each in chain for name in (kind.__name__ for kind in type(each).__mro__)}
    status = next((s for s in (_status(each) for each in chain) if s is not None), None)
    said = next((_said(each) for each in chain if _status(each) is not None), _said(error))
    if "NoCredentialsError" in names or "CredentialRetrievalError" in names or "GoogleAuthError" in names:
        why = f"there are no credentials for its server; configure them, or pass {_OPTIONS}"
        return Refusal(StoreAccessError, why)
    if "PermissionError" in names or status in (401, 403):
        why = f"its server forbids it ({said}); check the address and the credentials, or pass {_OPTIONS}"
        return Refusal(StoreAccessError, why)
    if names & {"ConnectionError", "ClientConnectionError", "HTTPClientError", "TimeoutError", "gaierror"}:
        said = next((_said(each) for each in chain if not isinstance(each, FileNotFoundError)), said)
        why = (
            f"there is no connection to its server ({said}); check the network and the address, and "
            "endpoint_url in storage_options or the environment"
        )
        return Refusal(StoreAccessError, why, passes=True)
    if status == 404 or ("FileNotFoundError" in names and status is None):
        return Refusal(StoreFormatError, "no such file or directory")
    if isinstance(error, ValueError) and "Protocol not known" in str(error):
        return Refusal(StoreFormatError, f"{_said(error)}; fsspec knows no such protocol")
    if isinstance(error, OSError) or names & {"BotoCoreError", "ClientError", "HttpError"}:
        return Refusal(StoreAccessError, said, passes=status is not None and status >= 500)
    return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it came of, one after the other, as far as anybody wants to know."""
    for _ in range(8):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    """Return the HTTP status that an error of a client library has."""
    for name in ("status", "status_code", "code"):
        found = getattr(error, name, None)
        if isinstance(found, int):
            return found
    return None


def _said(error: BaseException) -> str:
    """Return in a few words what an error says."""
    if isinstance(error, UnicodeError):
        return "its name can't be written in the file system's encoding"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:300]
