"""Append structures to a store behind a URL: its next version is made there, of copies that the server makes.

The version is made in a directory of this machine, with nothing in the files of shards that are those of the
version before. Then these are copied there, the others are sent, and the root document comes last: until then
nobody sees a store.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from zstruct.building.append_report import AppendReport
from zstruct.building.append_request import AppendRequest
from zstruct.building.publication import Target
from zstruct.errors import (
    BuildLockedError,
    ChangedInputError,
    CorruptStoreError,
    InputError,
    StoreExistsError,
)
from zstruct.paths_and_urls import is_url, path_of
from zstruct.sources.store.source import StoreSource
from zstruct.store.metadata import DOCUMENT
from zstruct.store.remote_folder import RemoteFolder
from zstruct.store.store import Store

__all__ = ["RemoteVersion", "is_remote"]

_LOCK = ".building"


def is_remote(request: AppendRequest) -> bool:
    """Return whether a store is elsewhere that is extended."""
    return isinstance(request.store, str) and is_url(request.store)


class RemoteVersion:
    """The next version of a store that is elsewhere.

    Parameters
    ----------
    request
        What is asked for.

    Raises
    ------
    InputError
        If it can't be made there.

    Attributes
    ----------
    path
        The URL of the store.
    target
        Where the next version is made on this machine.
    """

    def __init__(self, request: AppendRequest):
        self.path = path_of(request.store)
        out = None if request.out is None else path_of(request.out)
        if out is None or out.rstrip("/") == self.path.rstrip("/"):
            raise InputError(
                f"{self.path}: where it is, two stores can't change places in one step, and who reads it "
                "would see parts of both; give the new version another URL, out=..."
            )
        if not is_url(out):
            raise InputError(
                f"out={out!r}: the next version of {self.path} is made where that is, by copies that the "
                "server makes; to have one here, build it: zstruct.build([store, ...], out)"
            )
        if request.overwrite:
            raise InputError(f"overwrite=True: nothing is replaced behind URLs; remove {out} yourself")
        self.out, self._options = out, request.storage_options
        self.before = RemoteFolder(self.path, request.storage_options)
        self.folder = RemoteFolder(out, request.storage_options)
        if not self.folder.can_copy_from(self.before):
            raise InputError(f"{out} is elsewhere than {self.path}: no server can copy from one to the other")
        name = hashlib.sha256(f"{self.path} {out}".encode()).hexdigest()[:16]
        self._here = Path(tempfile.gettempdir(), f"zstruct-{os.getuid()}-{name}")
        self._token = self._here / "token"
        self._lock = RemoteFolder(out.rstrip("/") + _LOCK, request.storage_options)
        self.target = Target(self._here / "store.zarr", overwrite=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock, there and here; go on with what was interrupted here."""
        self._here.mkdir(mode=0o700, exist_ok=True)
        with self.target:
            self._take()
            try:
                yield
            except (InputError, ChangedInputError):  # it will be mended by another call, not by this one
                self._release()
                raise
            self._release()

    def _take(self) -> None:
        """Take the lock there, unless this machine has it since a call that was interrupted."""
        mine = self._token.read_bytes() if self._token.exists() else uuid.uuid4().hex.encode()
        holder = self._lock.read("")
        if holder is None:
            if there := self.folder.sizes():
                self._forget()
                what = "exists" if DOCUMENT in there else "has files, but no store"
                raise StoreExistsError(f"{self.out} {what}; remove it yourself, or choose another URL")
            self._token.write_bytes(mine)
            holder = mine if self._lock.create("", mine) else self._lock.read("")
        if holder != mine:
            self._forget()
            raise BuildLockedError(
                f"another process is building {self.out}; wait until it has finished, or if there is none "
                f"any more, remove {self._lock.url}"
            )

    def _release(self) -> None:
        self._lock.remove("")
        self._forget()

    def _forget(self) -> None:
        shutil.rmtree(self._here, ignore_errors=True)

    def source(self) -> StoreSource:
        """Return the store that is extended."""
        return StoreSource(self.path, self._options)

    def send(self, store: Store, report: AppendReport) -> AppendReport:
        """Have the version, which is whole here, where it belongs; return its report.

        Raises
        ------
        ChangedInputError
            If the store was replaced meanwhile.
        CorruptStoreError
            If what is there then is not what was sent and copied.
        """
        made = self.target.path
        root = (made / DOCUMENT).read_bytes()
        if self.folder.read(DOCUMENT) not in (None, root):  # killed when it was there, and now it is another
            raise StoreExistsError(f"{self.out} exists; remove it yourself, or choose another URL")
        sizes = {
            os.fspath(file.relative_to(made)): file.stat().st_size
            for file in made.rglob("*")
            if file.is_file() and file != made / DOCUMENT
        }
        shared = [name for name, size in sizes.items() if not size]  # no shard is empty, nor is a document
        there = self.before.sizes()
        self.folder.copy(shared, self.before)
        self.folder.put({name: made / name for name, size in sizes.items() if size})
        if store.again().digest != store.digest:
            self.folder.remove_all(sizes)
            raise ChangedInputError(f"{self.path} was replaced meanwhile: run the same call again")
        found, expected = self.folder.sizes(), sizes | {name: there.get(name, -1) for name in shared}
        wrong = sorted(name for name, size in expected.items() if found.get(name) != size)
        if wrong:
            raise CorruptStoreError(
                f"{self.out}: {wrong[0]} is not what was sent or copied; run the same call again"
            )
        self.folder.put({DOCUMENT: made / DOCUMENT})
        return replace(
            report,
            path=self.out,
            nbytes=sum(expected.values()) + len(root),
            nbytes_shared=sum(there[name] for name in shared),
        )
