"""Open what was written as a stranger would, through zarr alone, before it is published."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zstruct.errors import (
    CorruptStoreError,
)
from zstruct.paths_and_urls import refused
from zstruct.store.handles import check_decimals, zarr_with_codecs
from zstruct.store.metadata import (
    consolidated,
    group_document,
    read_documents,
    write_document,
)

__all__ = ["check_joinable", "check_readable"]


def check_readable(path: str | os.PathLike[str]) -> None:
    """Open what was finished as a stranger would, through zarr alone; what can't be is not to be published.

    Raises
    ------
    CorruptStoreError
        If zarr does not show every array as it was written.
    """
    name, zarr = os.fspath(path), zarr_with_codecs()
    try:
        root = zarr.open_group(name, mode="r", zarr_format=3)
        arrays = {inner: node for inner, node in root.members(max_depth=None) if isinstance(node, zarr.Array)}
        documents = read_documents(path)
        for inner, document in documents.items():
            if document["node_type"] == "array":
                node = arrays.pop(inner)
                if list(node.shape) != document["shape"] or dict(node.attrs) != document["attributes"]:
                    raise ValueError(f"zarr shows {inner} otherwise than it was written")
        if arrays:
            raise ValueError(f"zarr shows {', '.join(arrays)}, which were not written")
    except ImportError:
        check_decimals(name)
        raise
    except (ArithmeticError, LookupError, ValueError, TypeError, OSError) as error:
        raise CorruptStoreError(
            f"{name} was written, but can't be read again ({type(error).__name__}: {error}); it is not "
            "published, and what was there before stays; please report this"
        ) from error


def check_joinable(path: str | os.PathLike[str], groups: Mapping[str, Path], scratch: Path) -> None:
    """Open a store as it will be with groups that are made elsewhere, and those groups; as `check_readable`.

    Parameters
    ----------
    path
        The store.
    groups
        Where the groups are that will be in it or take the place of others, by their path in it.
    scratch
        A directory that may be written to.

    Raises
    ------
    CorruptStoreError
        If zarr does not show every array as it was written, or can't decode its rows.
    """
    trial = scratch / "trial"
    shutil.rmtree(trial, ignore_errors=True)  # left by a kill
    documents = read_documents(path, but=groups)
    for group, folder in groups.items():
        documents.setdefault(group.split("/")[0], group_document({}))
        made = read_documents(folder)
        documents |= {f"{group}/{inner}" if inner else group: said for inner, said in made.items()}
        _read_ends(folder, made)
    for inner, document in documents.items():
        if inner:
            write_document(trial / inner, document, durable=False)
    write_document(trial, consolidated(documents), durable=False)
    check_readable(trial)
    shutil.rmtree(trial)


def _read_ends(folder: Path, documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Decode the first and the last row of each array of a group through zarr alone."""
    check_readable(folder)
    for inner, said in documents.items():
        if said["node_type"] == "array" and said["shape"][0]:
            try:
                array = zarr_with_codecs().open_array(folder / inner, mode="r", zarr_format=3)
                for row in (0, said["shape"][0] - 1):
                    np.asarray(array[row])
            except (ArithmeticError, LookupError, ValueError, TypeError, RuntimeError, OSError) as error:
                raise refused(os.fspath(folder), error) or CorruptStoreError(
                    f"{folder / inner} was written, but can't be decoded again ({error}); it is not "
                    "published, and what was there before stays; please report this"
                ) from error
