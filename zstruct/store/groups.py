"""Groups of a store, found again by name; and small ones, written at once: splits, references, statistics.

A group records the content of the store that it belongs to. What is in it is not known here.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.disk import writing
from zstruct.errors import (
    ChangedInputError,
    CorruptStoreError,
    InputError,
    StaleGroupError,
    StoreExistsError,
    StoreFormatError,
    ZstructError,
)
from zstruct.paths_and_urls import check_writable
from zstruct.store.catalog import refuse_changed
from zstruct.store.group_publication import (
    SCRATCH,
    check_distinct,
    check_name,
    find_group,
    is_publishing,
    publish,
    recover,
    working_directory,
)
from zstruct.store.history import log
from zstruct.store.spec import (
    EXTERNAL,
    EXTERNAL_VERSION,
    GROUP_KINDS,
    GROUP_VERSION,
    GROUP_VERSIONS,
    LABELS,
    ArraySpec,
)
from zstruct.store.store import Store
from zstruct.store.write import complete, create, write_array

__all__ = ["check_place", "keep", "require_group", "understanding", "writing_group"]


def keep(
    opened: Store,
    kind: str,
    name: str,
    noun: str,
    attrs: Mapping[str, Any],
    arrays: Sequence[tuple[ArraySpec, NDArray[Any]]],
    overwrite: bool,
) -> None:
    """Write a group into its store, whole or not at all, unless this very group is there.

    Parameters
    ----------
    opened
        The store.
    kind, name
        The group becomes ``<kind>/<name>``.
    noun
        What one such group is called: "split".
    attrs
        Its attributes, besides those that all groups have.
    arrays
        Its arrays with their contents.
    overwrite
        Whether another group of this name may be replaced.

    Raises
    ------
    InputError
        If the store is not local or the name can't be one.
    StoreExistsError
        If there is another group of this name and `overwrite` was not given.
    ChangedInputError
        If the store was replaced meanwhile.
    BuildLockedError
        If another process is writing groups into it.
    """
    check_place(opened, name, noun)
    said = {
        "encoding-type": f"zstruct-{kind}",
        "encoding-version": GROUP_VERSION,
        "store_digest": opened.digest,
        **json.loads(json.dumps(attrs)),  # as they will be read again
    }
    with writing_group(opened) as (there, scratch):
        if _is_there(there, f"{kind}/{name}", said, arrays):
            return
        if name in there.group_names(kind) and not overwrite:
            raise StoreExistsError(
                f"{there.path} has another {noun} {name!r} already; pass overwrite=True (--overwrite) "
                "to replace it, or another name"
            )
        check_distinct(there, kind, name)
        _write(scratch / kind, said, arrays)
        publish(Path(there.path), scratch, name, [kind], "", opened.digest)


@contextmanager
def writing_group(opened: Store) -> Iterator[tuple[Store, Path]]:
    """Hold the lock on the groups of a store, and give a directory to make one in that is written at once.

    What is published from there is seen when it is whole; what a kill leaves there, the next one removes.

    Parameters
    ----------
    opened
        The store.

    Yields
    ------
    tuple of Store and Path
        The store as it is now, by its real path, and the directory, which is new and is removed in the end.

    Raises
    ------
    ChangedInputError
        If the store was replaced meanwhile.
    BuildLockedError
        If another process is writing groups into it.
    """
    path = Path(os.path.realpath(opened.path))
    work = working_directory(path)
    with writing(work.path, "nothing of the store is lost"), work:
        try:
            recover(path, work.path)
            there = Store(path)
            if there.digest != opened.digest:
                raise ChangedInputError(
                    f"{path} was replaced by another store meanwhile: open it and run the same call again"
                )
            scratch = work.path / SCRATCH
            shutil.rmtree(scratch, ignore_errors=True)  # left by a kill
            scratch.mkdir()
            yield there, scratch
            shutil.rmtree(scratch)
        finally:
            _clear(work.path / SCRATCH)
            if [entry.name for entry in work.path.iterdir()] == ["lock"]:
                work.remove()  # else a featurize was interrupted and will go on


def _clear(scratch: Path) -> None:
    """Remove what could not be published; what is on its way stays, to be finished by whoever comes next."""
    if not is_publishing(scratch):
        shutil.rmtree(scratch, ignore_errors=True)


def check_place(given: Any, name: str | None, noun: str) -> None:
    """Refuse a place or a name that no group can be kept under, before anything is computed.

    Parameters
    ----------
    given
        A store, its path, or a dataset of it.
    name
        The name; None for what is not kept.
    noun
        What one such group is called: "split".

    Raises
    ------
    InputError
        If it can't be.
    """
    if name is not None:
        opened = getattr(given, "store", given)
        check_writable(getattr(opened, "path", opened))
        check_name(name, f"a {noun}")


def _is_there(
    there: Store, group: str, attrs: Mapping[str, Any], arrays: Sequence[tuple[ArraySpec, NDArray[Any]]]
) -> bool:
    """Return whether a store has this very group."""
    kind, name = group.split("/")
    if name not in there.group_names(kind) or not there.group_attrs(group).items() >= attrs.items():
        return False
    return all(np.array_equal(there.read(f"{group}/{s.path}"), values) for s, values in arrays)


def _write(path: Path, attrs: Mapping[str, Any], arrays: Sequence[tuple[ArraySpec, NDArray[Any]]]) -> None:
    create(path, [spec for spec, _ in arrays], attrs)
    complete(path, {}, [write_array(path, spec, values) for spec, values in arrays])


@contextmanager
def understanding(opened: Store, kind: str, name: str) -> Iterator[None]:
    """Tell what goes wrong in a block, which makes sense of the attributes of a group, as damage to it.

    Raises
    ------
    CorruptStoreError
        If an attribute lacks something, or has it in another form.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        if isinstance(error, ZstructError):
            raise
        raise CorruptStoreError(
            f"{opened.path}: the attributes of {kind}/{name} are damaged ({type(error).__name__}: {error}); "
            "make it again with overwrite=True, or restore the store from a copy"
        ) from error


def require_group(
    store: str | os.PathLike[str] | Store, kind: str, name: str, noun: str, function: str
) -> tuple[Store, dict[str, Any]]:
    """Return a store that shows one of its groups as it is now, and the attributes of that group.

    Parameters
    ----------
    store
        A store or its path.
    kind, name
        The group is ``<kind>/<name>``.
    noun
        What one such group is called: "split".
    function
        What makes such groups: "zstruct.split".

    Raises
    ------
    InputError
        If there is no such group; names those that there are.
    StaleGroupError
        If it was made for other content than the store has now.
    StoreFormatError
        If it was written by a newer zstruct.
    ChangedInputError
        If another store is where the one that is given was opened.
    """
    given = Store.of(store)
    # What was listed elsewhere before may not show what is new there, or what was replaced.
    listed = given if os.path.isdir(given.path) else given.again()
    found = find_group(listed, kind, name)
    if found is None:
        there = listed.group_names(kind)
        has = f"it has {', '.join(there)}" if there else "it has none"
        raise InputError(
            f"the store {given.path} has no {noun} {shown(name)}; {has}; make one with {function}"
        )
    opened, attrs = found
    if opened.digest != given.digest:  # a group of what was opened may be in what took its place, too
        refuse_changed(given.path, "")
    version = str(attrs.get("encoding-version"))
    known = GROUP_VERSIONS.get(kind, (GROUP_VERSION.split(".")[0],))
    if version.split(".")[0] not in known:
        raise StoreFormatError(
            f"the {noun} {name!r} of {opened.path} has format version {version}; this zstruct reads "
            f"{' and '.join(f'{major}.x' for major in known)}; install a newer zstruct"
        )
    if attrs["store_digest"] != given.digest:
        raise StaleGroupError(
            f"the {noun} {name!r} of {opened.path} was made for other content than the store has now; "
            f"{_mend(opened, kind, attrs, function)}"
        )
    return opened, attrs


def _mend(opened: Store, kind: str, attrs: Mapping[str, Any], function: str) -> str:
    """Return what is to be done about a group that is stale."""
    if attrs["encoding-version"] == EXTERNAL_VERSION:
        function = "zstruct.features.add"
    computed = kind in (*GROUP_KINDS, LABELS) and attrs["manifest"]["class"] != EXTERNAL
    if computed and log(opened).rows_kept(attrs["store_digest"]) is not None:
        return f"run {function.split()[0]} again as before, which computes what is new"
    return f"run {function} again with overwrite=True"
