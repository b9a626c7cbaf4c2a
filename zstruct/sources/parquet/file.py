"""Parquet files: opened, and their rows batch by batch. What columns mean is not known here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from zstruct.errors import InputError, MissingExtraError
from zstruct.sources.content import Content
from zstruct.sources.origins import raised_by

__all__ = ["batches", "opened", "pyarrow"]

_BUFFER_BYTES = 1 << 20
# The modules of pyarrow that read files; others work with what was read.
_READERS = ("pyarrow.parquet", "pyarrow._parquet")


def pyarrow() -> Any:
    """Return the package.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("Parquet needs a package: pip install 'zstruct[parquet]'") from error
    return pyarrow


@contextmanager
def opened(content: Content) -> Iterator[Any]:
    """Open a file for a while.

    Raises
    ------
    InputError
        If it is none or damaged, also where that is found while it is read.
    MissingExtraError
        If pyarrow is not installed.
    """
    pa = pyarrow()
    content.fingerprint()  # what is not there is said so
    if content.path is not None and os.path.isdir(content.path):
        raise InputError("this is a directory, not a Parquet file", content.label)
    try:
        with content.open() as stream:
            file = pa.parquet.ParquetFile(
                stream, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
            )
            with file:
                yield file
    except Exception as error:
        if not raised_by(error, *_READERS):
            raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InputError(f"the Parquet file is damaged, cut off or none: {reason}", content.label) from error


def batches(file: Any, groups: Sequence[int], rows: int, names: Sequence[str] | None = None) -> Iterator[Any]:
    """Yield the rows of some row groups, so many at a time, of some columns or of all."""
    only = None if names is None else list(names)
    yield from file.iter_batches(batch_size=rows, row_groups=list(groups), columns=only, use_threads=False)
