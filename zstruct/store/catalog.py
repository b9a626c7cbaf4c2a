"""What is in a store on this machine: the documents of its arrays and groups, as of one moment.

The content of a store, that is its root arrays and their tables, is listed in the consolidated metadata.
Groups are renamed into a store and out of it while others read it: which there are, the file system
says, for what is there is whole. The documents of a group are read together, and kept with the number
of the directory that they were read from, so that whoever reads rows can tell whether they still are of
the same group. What documents may say is the business of `zstruct.store.metadata_checks`.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, NoReturn

from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError, ChangedInputError, CorruptStoreError, InputError, ZstructError
from zstruct.store.attribute_checks import check_no_dataset
from zstruct.store.handles import Handles
from zstruct.store.metadata_checks import check_documents, check_node, documents_within, read_document
from zstruct.store.spec import BESIDE, CATEGORIES, HISTORY, SHARDS

__all__ = [
    "Catalog",
    "Documents",
    "Listing",
    "array_names",
    "catalog_of",
    "check_name",
    "group_of",
    "refuse_changed",
    "shard_tables",
]

Documents = dict[str, dict[str, Any]]
_METADATA = "zarr.json"
_TABLES = ("categories", "formulas", "shards")  # groups that are of the store's own content
_ATTEMPTS = 100


def check_name(name: Any) -> None:
    """Refuse what can't be the name of an array or a group.

    Raises
    ------
    ArgumentTypeError
        If it is no text.
    InputError
        If it has a null character.
    """
    if not isinstance(name, str):
        raise ArgumentTypeError(f"arrays and groups of a store have names in text, not {shown(name)}")
    if "\0" in name:
        raise InputError(f"{name!r} names nothing in a store")


def group_of(name: str) -> str:
    """Return the group that is renamed as a whole and has a node in it; "" for the store's own content.

    Examples
    --------
    >>> group_of("positions"), group_of("categories/source/data"), group_of("features/acsf/values")
    ('', '', 'features/acsf')
    """
    check_name(name)
    parts = name.split("/")
    return "" if len(parts) == 1 or parts[0] in _TABLES else "/".join(parts[:2])


def refuse_changed(path: str, name: str, opened: str = "store") -> NoReturn:
    """Raise, as what an array, `name`, is in was replaced or deleted after what is `opened` was.

    Raises
    ------
    ChangedInputError
        Always.
    """
    group = group_of(name)
    what = f"{group} of {path}" if group else path
    when = f"after this {opened} was opened"
    if os.path.exists(os.path.join(path, group)):
        raise ChangedInputError(f"{what} was replaced {when}: open the {opened} again")
    raise ChangedInputError(f"{what} is gone: it was deleted or moved {when}; open it where it is now")


def array_names(group: str, documents: Documents) -> list[str]:
    """Return the paths of the arrays of a group, or of the store, without tables of shards.

    Parameters
    ----------
    group
        Path of the group; "" for arrays that are the store's own.
    documents
        Those of the group, or of the store's content, by path.
    """
    names = sorted(name for name, said in documents.items() if said["node_type"] == "array")
    if group:
        before = f"{group}/"
        inside = (name.removeprefix(before) for name in names if name.startswith(before))
        return [before + name for name in inside if "/" not in name or name.startswith(f"{CATEGORIES}/")]
    return [name for name in names if name.partition("/")[0] not in {*BESIDE, SHARDS}]


def shard_tables(group: str, documents: Documents) -> list[str]:
    """Return the paths of the arrays that say what shards should be, of a group as for `array_names`."""
    inside = f"{group}/{SHARDS}/" if group else f"{SHARDS}/"
    return sorted(
        name for name, said in documents.items() if name.startswith(inside) and said["node_type"] == "array"
    )


class Catalog:
    """Lists a store in a local directory.

    Parameters
    ----------
    path
        The directory.

    Raises
    ------
    FileNotFoundError
        If there is no group.
    StoreFormatError, CorruptStoreError
        If it may not be opened.
    """

    def __init__(self, path: str):
        self.path = path
        self._groups: dict[str, tuple[Any, Documents]] = {}
        self._identity = _identity(path)
        self.root = read_document(Path(path, _METADATA))
        check_node(path, "", self.root)
        found = _listed(path, self.root)
        if found is None:
            found = dict(documents_within(Path(path), self.root))
        check_documents(path, found)
        self._own: Documents = {name: said for name, said in found.items() if not group_of(name)}

    def documents(self, group: str = "") -> Documents:
        """Return the documents of a group and of all in it, by path in the store; none if it is not there.

        Without a group, those of the store's own content.
        """
        if not group:
            return self._own
        if group not in self._groups:
            found = self._read(group)
            if found is None:
                return {}
            self._groups[group] = found
        return self._groups[group][1]

    def _read(self, group: str) -> tuple[Any, Documents] | None:
        folder = Path(self.path, group)
        for _ in range(_ATTEMPTS):
            identity = _identity(folder)
            if identity is None:
                return None
            try:
                found = {group: read_document(folder / _METADATA)}
                check_node(self.path, group, found[group])
                found |= {f"{group}/{name}": said for name, said in documents_within(folder, found[group])}
                check_documents(self.path, found)
            except (OSError, CorruptStoreError) as error:
                if _identity(folder) != identity:
                    continue  # it was replaced while it was read
                if isinstance(error, FileNotFoundError) and not (folder / _METADATA).exists():
                    return None
                raise
            if _identity(folder) == identity:
                return identity, found
        raise ChangedInputError(f"{folder} is replaced all the time: try again when nobody writes it")

    def kinds(self) -> list[str]:
        """Return the names of what groups beside the content are in."""
        own = {name for name, said in self._own.items() if said["node_type"] == "array"}
        with os.scandir(self.path) as entries:
            names = [entry.name for entry in entries if Path(entry.path, _METADATA).is_file()]
        return sorted({*names} - own - {*_TABLES, HISTORY})

    def group_names(self, kind: str) -> list[str]:
        """Return the names of the groups of a kind that are there now."""
        try:
            with os.scandir(Path(self.path, kind)) as entries:
                names = [entry.name for entry in entries if Path(entry.path, _METADATA).is_file()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:  # so there is none of this name
                return []
            raise
        return sorted(names)

    def is_current(self, name: str) -> bool:
        """Return whether an array or a group is where it was when its documents were read.

        What has the same documents is the same: a copy in the same place, say.
        """
        if _identity(self.path) != self._identity and not self._is_same():
            return False
        group = group_of(name)
        if group not in self._groups:
            return True
        identity, documents = self._groups[group]
        if _identity(Path(self.path, group)) == identity:
            return True
        found = self._read(group)
        if found is None or found[1] != documents:
            return False
        self._groups[group] = found
        return True

    def _is_same(self) -> bool:
        """Return whether the store has the content that it had: its directory changes with its groups."""
        identity = _identity(self.path)
        try:
            there = read_document(Path(self.path, _METADATA))["attributes"]
        except (OSError, CorruptStoreError, KeyError):
            return False
        known = self.root["attributes"]
        if not isinstance(there, dict) or there.get("digest") != known.get("digest"):
            return False
        self._identity = identity
        return True


class Listing:
    """Lists a store that is elsewhere, by its consolidated metadata; as `Catalog`.

    Parameters
    ----------
    path
        Where it is, for sentences.
    root
        The document of its root group, with consolidated metadata.

    Raises
    ------
    StoreFormatError, CorruptStoreError
        If it may not be opened.
    """

    def __init__(self, path: str, root: dict[str, Any]):
        self.root = root
        check_node(path, "", root)
        self._all = _listed(path, root) or {}
        check_documents(path, self._all)

    def documents(self, group: str = "") -> Documents:
        """Return the documents of a group and of all in it, by path in the store."""
        return {name: said for name, said in self._all.items() if group_of(name) == group}

    def kinds(self) -> list[str]:
        """Return the names of what groups beside the content are in."""
        firsts = {name: said for name, said in self._all.items() if "/" not in name}
        groups = {name for name, said in firsts.items() if said["node_type"] == "group"}
        return sorted(groups - {*_TABLES, HISTORY})

    def group_names(self, kind: str) -> list[str]:
        """Return the names of the groups of a kind."""
        names = (name.split("/") for name, said in self._all.items() if said["node_type"] == "group")
        return sorted(parts[1] for parts in names if len(parts) == 2 and parts[0] == kind)

    def is_current(self, name: str) -> bool:
        """Return True: nobody tells whether what is elsewhere was replaced."""
        return True


def catalog_of(path: str, handles: Handles) -> Catalog | Listing:
    """Return what lists a store, which `handles` are of.

    Raises
    ------
    StoreFormatError, CorruptStoreError
        If there is none, if it is a Dataset that was written, or if it may not be opened.
    """
    if not os.path.isdir(path):
        return Listing(path, handles.listing())
    try:
        return Catalog(path)
    except FileNotFoundError as error:
        raise (handles.reason(error) or error) from error
    except ZstructError:
        check_no_dataset(path, read_document(Path(path, _METADATA)))
        raise


def _listed(path: str, root: dict[str, Any]) -> Documents | None:
    """Return what consolidated metadata lists; None if there is none."""
    consolidated = root.get("consolidated_metadata")
    if consolidated is None:
        return None
    if not isinstance(consolidated, dict) or not isinstance(consolidated.get("metadata"), dict):
        raise CorruptStoreError(
            f"{path}: its consolidated metadata is damaged; restore the store from a copy or build it again"
        )
    found: Documents = consolidated["metadata"]
    return found


def _identity(path: str | Path) -> tuple[int, int, int] | None:
    """Return what tells a directory from another that takes its place; None if there is none.

    With the time at which its entries last changed, as numbers of directories are used again.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns
