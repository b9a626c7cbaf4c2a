"""A store as zarr opens it: its root group and its arrays, and why there is nothing to open.

Handles are opened on first use in each process, so a forked child never inherits one. So is zarr itself: a
local store is read without, and to load it takes as long as all else until the first batch.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zstruct.errors import (
    CorruptStoreError,
    InputError,
    MissingExtraError,
    StoreFormatError,
    ZstructError,
)
from zstruct.paths_and_urls import is_url, refused
from zstruct.store.metadata_checks import DEEPEST, check_array, read_document

if TYPE_CHECKING:
    import zarr

    from zstruct.store.remote_files import RemoteFiles

__all__ = ["Handles", "bytes_there", "check_decimals", "chunks_there", "zarr_with_codecs"]

_FILES = "/"  # which is the name of no array


class Handles:
    """Opens the root group and the arrays of a store with zarr.

    Parameters
    ----------
    path, storage_options
        As for a `Store`.
    """

    def __init__(self, path: str, storage_options: dict[str, Any] | None):
        self.path, self.storage_options = path, storage_options
        # Those of this process: the root group where zarr has to be asked for it, and arrays.
        self._opened: tuple[int, dict[str, Any]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}

    def _of_this_process(self) -> dict[str, Any]:
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), {}
        return self._opened[1]

    def root(self) -> zarr.Group:
        """Return the root group of a store that is not in a local directory."""
        handles = self._of_this_process()
        if "" not in handles:
            try:
                handles[""] = zarr_with_codecs().open_group(
                    self.path, mode="r", zarr_format=3, storage_options=self.storage_options
                )
            except Exception as error:
                raise (self.reason(error) or error) from error
        group: zarr.Group = handles[""]
        return group

    def listing(self) -> dict[str, Any]:
        """Return the document of the root group, with those of all that is in it, as zarr lists it."""
        root = self.root()
        try:
            said = _plain(root.metadata.to_dict())
            if said.get("consolidated_metadata") is None:
                found = {name: node.metadata.to_dict() for name, node in root.members(max_depth=DEEPEST)}
                said["consolidated_metadata"] = {"metadata": _plain(found)}
        except Exception as error:  # whatever it is, it is counted
            raise (self.reason(error) or error) from error
        return said

    def array(self, name: str, known: Mapping[str, Any]) -> zarr.Array[Any]:
        """Return an array, which must be as its document says, which is `known`.

        Raises
        ------
        CorruptStoreError
            If it is not.
        """
        handles = self._of_this_process()
        if name not in handles:
            if os.path.isdir(self.path):
                self.check_document(name, known)  # zarr would read a device for ever
                node = zarr_with_codecs().open_array(os.path.join(self.path, name), mode="r", zarr_format=3)
            else:
                found: Any = self.root()[name]
                node = found
            self._check_same(name, _plain(node.metadata.to_dict()), known)
            handles[name] = node
        array: zarr.Array[Any] = handles[name]
        return array

    def files(self) -> RemoteFiles:
        """Return the files of a store behind a URL."""
        from zstruct.store.remote_files import RemoteFiles

        handles = self._of_this_process()
        if _FILES not in handles:
            handles[_FILES] = RemoteFiles(self.path, self.storage_options)
        found: RemoteFiles = handles[_FILES]
        return found

    def check_document(self, name: str, known: Mapping[str, Any]) -> None:
        """Raise unless an array of a local store is as its document says, which is `known`."""
        self._check_same(name, read_document(os.path.join(self.path, name, "zarr.json")), known)

    def _check_same(self, name: str, said: dict[str, Any], known: Mapping[str, Any]) -> None:
        check_array(self.path, name, said)
        if any(said.get(key) != known.get(key) for key in ("shape", "data_type")):
            raise CorruptStoreError(
                f"{self.path}: {name} has another shape or data type than the store's metadata says; "
                "restore the store from a copy or build it again"
            )

    def reason(self, error: Exception) -> ZstructError | None:
        """Return why there is no store to open, if that is what an error says."""
        if isinstance(error, ImportError):
            check_decimals(self.path)
        path, said = self.path, refused(self.path, error)
        if said is not None:
            return said
        if isinstance(error, ValueError) and is_url(path):
            return StoreFormatError(f"can't open the store {path}: {error}")
        if isinstance(error, FileNotFoundError | ValueError):
            what = "no Zarr group there" if os.path.exists(path) else "no such file or directory"
            return StoreFormatError(f"can't open the store {path}: {what}")
        if isinstance(error, OSError):
            return StoreFormatError(f"can't open the store {path}: {error.strerror or error}")
        if isinstance(error, TypeError) and self.storage_options:
            return InputError(f"{path} can't be opened with these storage_options: {error}")
        if isinstance(error, KeyError | TypeError | AttributeError | RecursionError):
            return CorruptStoreError(
                f"{path}: its metadata is damaged ({error!r}); restore the store from a copy or build "
                "it again"
            )
        return None


def zarr_with_codecs() -> Any:
    """Return zarr, in which what decimals need is registered."""
    import zarr

    from zstruct.store import zarr_codecs  # noqa: F401 - registers

    return zarr


def check_decimals(what: str) -> None:
    """Raise unless zarr can open decimals here: its own codec needs a package that is not always there.

    Parameters
    ----------
    what
        What needs it, for the sentence.

    Raises
    ------
    MissingExtraError
        If it can't.
    """
    zarr = zarr_with_codecs()
    from zstruct.store.zarr_codecs import CastValue

    if issubclass(zarr.registry.get_codec_class("cast_value"), CastValue) or importlib.util.find_spec(
        "cast_value_rs"
    ):
        return
    raise MissingExtraError(
        f"{what}: zarr {zarr.__version__} opens decimals with the package cast-value-rs, which is not "
        'installed: pip install "zstruct[decimal]"'
    )


def chunks_there(path: str, array: zarr.Array[Any]) -> int:
    """Return how many chunks of an array a server lists."""
    try:
        return array.nchunks_initialized
    except Exception as error:  # whatever it is, it is counted
        raise (refused(path, error) or error) from error


def bytes_there(path: str, array: zarr.Array[Any]) -> int | None:
    """Return the bytes of an array that a server lists; None if it lists nothing."""
    if not array.store.supports_listing:
        return None
    try:
        return array.nbytes_stored()
    except Exception as error:  # whatever it is, it is counted
        raise (refused(path, error) or error) from error


def _plain(said: Any) -> dict[str, Any]:
    """Return a document of zarr's as it is in a file."""
    document: dict[str, Any] = json.loads(json.dumps(said))
    return document
