"""Groups of a store as they are, in another one; and the removal of what an interrupted call put there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from zstruct.store.files import array_said, shard_path
from zstruct.store.metadata import DOCUMENT, group_document, write_document
from zstruct.store.shared_shards import write_growing
from zstruct.store.sharing import share
from zstruct.store.spec import KINDS
from zstruct.store.store import Store
from zstruct.store.write import complete, create

__all__ = ["copy_group", "said_of", "without_groups"]


def copy_group(store: Store, group: str, folder: Path, *, links: bool) -> None:
    """Put a group into a folder as it is; documents are copied, shards shared where that can be.

    Parameters
    ----------
    store, group
        The group.
    folder
        Where it is to be.
    links
        Whether shards may be the same files, here or at a server.
    """
    if not os.path.isdir(store.path):
        if links and all(store.form(name) for name in _arrays(store, group)):
            _stand_in(store, group, folder)
        else:
            _copy_arrays(store, group, folder)
        return
    source = Path(store.path, group)
    for inner, _, files in os.walk(source):
        place = folder / os.path.relpath(inner, source)
        place.mkdir(parents=True, exist_ok=True)
        for name in files:
            file, made = Path(inner, name), place / name
            if name == DOCUMENT or share(file, made, links=links) is None:
                shutil.copyfile(file, made)


def said_of(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the attributes of a group say of it, without what says that it is whole."""
    return {key: value for key, value in attrs.items() if key not in ("status", "metadata_digest")}


def _arrays(store: Store, group: str) -> list[str]:
    return [*store.array_names(group), *store.shard_tables(group)]


def _stand_in(store: Store, group: str, folder: Path) -> None:
    """Write the documents of a group, and empty files for shards that a server is to copy."""
    for name, said in store.documents(group).items():
        is_array = said["node_type"] == "array"  # what zarr lists of groups says more than their documents do
        document = said if is_array else group_document(said.get("attributes", {}))
        write_document(folder / os.path.relpath(name, group), document, durable=False)
    for name in _arrays(store, group):
        grid, shape = store.grid(name), store.shape(name)
        for k in range(grid.n_shards(shape[0])):
            file = shard_path(folder, os.path.relpath(name, group), k, len(shape))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"")


def _copy_arrays(store: Store, group: str, folder: Path) -> None:
    """Write the arrays of a group of a store whose files are elsewhere."""
    attrs = said_of(store.group_attrs(group))
    documents, specs = store.documents(group), {}
    for name in store.array_names(group):
        said = {k: v for k, v in documents[name].get("attributes", {}).items() if k != "digest"}
        specs[name] = replace(array_said(name, documents[name])[0], path=name[len(group) + 1 :], attrs=said)
    create(folder, specs.values(), attrs)
    written = [
        write_growing(folder, spec, [], partial(store.read, name), links=False, durable=False)
        for name, spec in specs.items()
    ]
    complete(folder, {}, written)


def without_groups(made: Path) -> None:
    """Remove the groups that an interrupted call has put into a store that is not whole."""
    for kind in KINDS:
        shutil.rmtree(made / kind, ignore_errors=True)
