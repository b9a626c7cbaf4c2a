"""Check what a store says of itself: its documents against their digests and against one another.

Attributes and array metadata decide what readers make of the bytes: units, labels, fill values. The store
and each of its groups have a digest of all of theirs, and the consolidated metadata, which most readers
look at and nothing else, must say the same as the documents themselves. Rows are not read here.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from zstruct.errors import CorruptStoreError
from zstruct.store.catalog import Documents, group_of
from zstruct.store.group_publication import working_directory
from zstruct.store.metadata import CONSOLIDATED, DOCUMENT, documents_digest
from zstruct.store.metadata_checks import documents_within, read_document
from zstruct.store.store import Store

__all__ = ["check_group_metadata", "check_metadata"]

_TABLES = ("categories", "formulas", "shards")
_ATTEMPTS, _PAUSE = 40, 0.05  # seconds; while somebody writes groups into the store
_EMPTY = ["null", '{"kind": "inline", "metadata": {}, "must_understand": false}']
_DIGEST = "metadata_digest"


def check_metadata(store: Store) -> None:
    """Raise unless attributes and array metadata of a store are those that it was built with.

    Parameters
    ----------
    store
        The store. Where it is no local directory, only what zarr lists is looked at.

    Raises
    ------
    CorruptStoreError
        If something is not; names it.
    """
    path = Path(os.path.realpath(store.path))
    if not os.path.isdir(store.path):
        _check_digest(store.path, "", _own({"": store.root_document, **store.documents()}), store.attrs)
        return
    for attempt in range(_ATTEMPTS):
        busy = working_directory(path).path.exists()
        try:
            documents = {"": read_document(path / DOCUMENT), **dict(documents_within(path))}
            _check_consolidated(store.path, documents, busy)
            break
        except (CorruptStoreError, FileNotFoundError):
            if not busy or attempt == _ATTEMPTS - 1:
                raise
        time.sleep(_PAUSE)
    _check_digest(store.path, "", _own(documents), documents[""].get("attributes", {}))


def check_group_metadata(store: Store, group: str) -> None:
    """Raise unless attributes and array metadata of a group are those that it was made with.

    Raises
    ------
    CorruptStoreError
        If they are not.
    """
    attrs, before = store.group_attrs(group), f"{group}/"
    documents = {name.removeprefix(group).removeprefix("/"): d for name, d in store.documents(group).items()}
    if _DIGEST not in attrs and f"{before}shards" not in store.documents(group):
        return  # made by version 0.1
    _check_digest(store.path, group, documents, attrs)


def _own(documents: Documents) -> Documents:
    """Return the documents of a store's own content."""
    return {
        name: document
        for name, document in documents.items()
        if name.split("/")[0] in _TABLES
        or ("/" not in name and document.get("node_type") == "array")
        or not name
    }


def _check_digest(path: str, group: str, documents: Documents, attrs: dict[str, Any]) -> None:
    version = str(attrs.get("encoding-version"))
    if _DIGEST not in attrs and not group and version == "1.0":
        return
    if attrs.get(_DIGEST) != documents_digest(documents):
        what = f"attributes or array metadata of {group}" if group else "attributes or array metadata"
        _refuse(path, f"{what} are not those that were written")


def _check_consolidated(path: str, documents: Documents, busy: bool) -> None:
    """Raise unless the consolidated metadata, if there is any, repeats the documents.

    Groups that somebody is writing, or was when it was killed, may be missing from it.
    """
    said = documents[""].get(CONSOLIDATED)
    if said is None:
        return
    if said.get("kind") != "inline" or said.get("must_understand") is not False:
        _refuse(path, "the consolidated metadata is damaged")
    listed: Documents = said["metadata"]
    for name, document in listed.items():
        if name not in documents:
            _refuse(path, f"the consolidated metadata lists {name}, which is not there")
        inner = dict(document)
        nested = json.dumps(inner.pop(CONSOLIDATED, None), sort_keys=True)
        if nested not in _EMPTY or _text(inner) != _text(documents[name]):
            _refuse(path, f"the consolidated metadata of {name} contradicts its own")
    whole = {group_of(name) for name in listed}
    for name in documents:
        hidden = busy and (group_of(name) or name) not in whole
        if name and name not in listed and not hidden:
            _refuse(path, f"the consolidated metadata does not list {name}")


def _text(document: dict[str, Any]) -> str:
    """Return a document as text, in which 1 differs from 1.0 and from true."""
    return json.dumps(document, sort_keys=True)


def _refuse(path: str, fault: str) -> None:
    raise CorruptStoreError(f"{path}: {fault}; restore the store from a copy or build it again")
