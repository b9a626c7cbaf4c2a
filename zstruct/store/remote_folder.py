"""A directory of an object store that is written to, and what its files are made of: bytes, or files there.

There, nothing is renamed: a file is there whole or not at all, and a copy takes no way through this machine.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zstruct.disk import WAITS
from zstruct.errors import InputError
from zstruct.paths_and_urls import refused

__all__ = ["RemoteFolder"]


class RemoteFolder:
    """A directory behind a URL.

    Parameters
    ----------
    url
        The URL.
    storage_options
        Of its file system, for fsspec.

    Raises
    ------
    MissingExtraError
        If the URL needs a package that is not installed.
    """

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None):
        self.url = url
        with self._asking():
            from fsspec.core import url_to_fs

            self._files, root = url_to_fs(url, **(storage_options or {}))
            self._root: str = root.rstrip("/")

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Have errors of a server be sentences."""
        try:
            yield
        except NotImplementedError as error:
            raise InputError(f"{self.url}: nothing can be written there") from error
        except Exception as error:  # whatever a file system raises
            raise (refused(self.url, error) or error) from error

    def __truediv__(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def can_copy_from(self, other: RemoteFolder) -> bool:
        """Return whether files of another folder can be copied here by the server."""
        return self._files == other._files

    def has(self, name: str) -> bool:
        """Return whether there is a file."""
        with self._asking():
            self._files.invalidate_cache()
            return bool(self._files.exists(self / name))

    def read(self, name: str) -> bytes | None:
        """Return a file; None if it is not there."""
        with self._asking():
            try:
                content: bytes = self._files.cat_file(self / name)
            except FileNotFoundError:
                return None
            return content

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that is not there yet; return whether nobody else did, as far as the server tells."""
        with self._asking():
            try:
                self._files.pipe_file(self / name, content, mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno != errno.EINVAL:  # as s3fs says that a condition is not met
                    raise
                return False
        return True

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with self._asking():
            if self.read(name) is not None:
                self._files.rm_file(self / name)

    def remove_all(self, names: Iterable[str]) -> None:
        """Remove files that are there."""
        self._each(lambda name: self._files.rm_file(self / name), names)

    def put(self, files: Mapping[str, Path]) -> None:
        """Write files, by name, as they are on this machine."""
        self._each(lambda name: self._files.put_file(str(files[name]), self / name), files)

    def copy(self, names: Iterable[str], other: RemoteFolder) -> None:
        """Copy files of another folder; the server does it."""
        self._each(lambda name: self._files.cp_file(other / name, self / name), names)

    def _each(self, do: Callable[[str], None], names: Iterable[str]) -> None:
        with self._asking(), ThreadPoolExecutor(WAITS) as pool:
            for _ in pool.map(do, names):
                pass

    def sizes(self) -> dict[str, int]:
        """Return the bytes of all files, by name."""
        with self._asking():
            self._files.invalidate_cache()
            found = self._files.find(self._root, detail=True)
        return {path[len(self._root) + 1 :]: int(said["size"]) for path, said in found.items()}
