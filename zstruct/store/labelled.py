"""A store whose labels are those of groups: in place of its own, or beside them under names with a prefix.

Whoever takes a store takes such a one: a label of a group is a field like any other. Where labels are in
place of the store's own, those that the group lacks are not there: two truths are not mixed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError, InputError, UnknownNameError
from zstruct.schema import FIELDS, RESULTS, Field
from zstruct.store.catalog import refuse_changed
from zstruct.store.labels import Labels, open_labels
from zstruct.store.row_reader import RowReader
from zstruct.store.spec import ArraySpec
from zstruct.store.store import Store
from zstruct.store.view import StoreView

if TYPE_CHECKING:
    import zarr

__all__ = ["LabelledStore", "as_read", "check_labels", "labelled", "labels_of", "names_of"]

_COPIED = ("columns", "presence", "fields")  # worked out once for each store


def check_labels(labels: Any) -> None:
    """Refuse what can't say which labels are meant.

    Raises
    ------
    ArgumentTypeError
        If it is neither a name, nor a mapping of prefixes to names, nor None.
    InputError
        If something can't be a prefix.
    """
    if labels is None or isinstance(labels, str):
        return
    if not isinstance(labels, Mapping) or not all(isinstance(name, str) for name in labels.values()):
        raise ArgumentTypeError(
            "labels is the name of labels, which take the place of the store's own, or a mapping of prefixes "
            f"to names, {{'teacher': 'mace-mp0'}}, for labels beside them, not {shown(labels)}"
        )
    for prefix in labels:
        good = isinstance(prefix, str) and re.fullmatch(r"[A-Za-z][0-9A-Za-z_]*", prefix, re.ASCII)
        if not good or prefix.casefold() in ("has", "input"):
            raise InputError(
                f"labels={{{shown(prefix)}: ...}}: fields get their names from it, so it has letters, digits "
                "and _, begins with a letter, and is neither 'has' nor 'input'"
            )


def labelled(store: Store, labels: str | Mapping[str, str] | None) -> Store:
    """Return a store with other labels; itself if none are asked for.

    Parameters
    ----------
    store
        The store.
    labels
        A name: these labels are in place of the store's own. A mapping of prefixes to names: these labels are
        beside them, as ``<prefix>_<field>``.

    Raises
    ------
    InputError
        If there are no such labels, or if fields would have the name of another one.
    StaleGroupError
        If they were made for other content than the store has now.
    ArgumentTypeError
        If `labels` is something else.
    """
    check_labels(labels)
    if labels is None or (isinstance(store, LabelledStore) and store.labels == labels):
        return store
    if isinstance(store, LabelledStore):
        raise InputError(
            f"{store.path} is given with labels already, {store.labels!r}: give the store itself"
        )
    return LabelledStore(store, labels)


def labels_of(store: Store) -> Labels | None:
    """Return the labels that are in place of a store's own; None: its own are there."""
    return store.own if isinstance(store, LabelledStore) else None


def names_of(store: Store) -> list[str]:
    """Return the names of the labels that a store has among its fields, beside or in place of its own."""
    if not isinstance(store, LabelledStore):
        return []
    return [store.labels] if isinstance(store.labels, str) else list(store.labels.values())


def as_read(store: Store, names: Mapping[str, Any]) -> Store | StoreView:
    """Return what a cache reads some fields of: one that tells labels from others of the same name."""
    return StoreView(store, {name: name for name in names}, store.contents) if store.contents else store


class LabelledStore(Store):
    """A store with other labels, in place of its own or beside them.

    Parameters
    ----------
    store
        The store as it is.
    labels
        As for `labelled`.

    Attributes
    ----------
    labels
        As given.
    own
        The labels in place of the store's; None: its own are there.
    contents
        What tells the content of these labels from that of others.
    """

    def __init__(self, store: Store, labels: str | Mapping[str, str]):
        asked = {"": labels} if isinstance(labels, str) else dict(labels)
        opened = {}
        for prefix, name in asked.items():
            opened[prefix] = open_labels(store, name)
            store = opened[prefix].store  # anew, if the labels were replaced since
        for group in opened.values():
            if store.group_attrs(group.path) != group.attrs:
                refuse_changed(store.path, group.path)
        self.__dict__.update({name: value for name, value in vars(store).items() if name not in _COPIED})
        self._base = store
        self.labels = labels if isinstance(labels, str) else asked
        self.own = opened.get("")
        self.contents = tuple(f"{prefix} {group.path} {group.digest}" for prefix, group in opened.items())
        self.columns, self.presence, paths = _columns(store, opened)
        masks = set(self.presence.values())
        self.fields = {name: row for name, row in self.columns.items() if name not in masks}
        hidden = frozenset(store.columns) - frozenset(self.columns)
        self._reader: Any = _Renamed(store._reader, paths, hidden, self.own)
        if self.own is not None:
            self.attrs = {name: value for name, value in store.attrs.items() if name != "atomic_energies"}

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, labels={self.labels!r})"

    @property
    def unlabelled(self) -> Store:
        """The store with its own labels."""
        return self._base

    def again(self) -> Store:
        """Return the store opened anew, with the same labels as they are now."""
        return LabelledStore(self._base.again(), self.labels)

    def array_names(self, group: str = "") -> list[str]:
        """Return the paths of the arrays of a group; without one, of the store's own that are not hidden."""
        return [name for name in super().array_names(group) if name not in self._reader.hidden]

    def shard_checksum(self, name: str, shard: int) -> int | None:
        """Return the checksum of the file of a shard; None if the store is no local directory."""
        return self._base.shard_checksum(self._reader.path_of(name), shard)

    def nbytes_of_files(self, name: str) -> int | None:
        """Return the bytes of all files of an array; None if the store is where nothing says so."""
        return self._base.nbytes_of_files(self._reader.path_of(name))

    def check_current(self, name: str, opened: str = "store") -> None:
        """Raise if what the array `name` is in was replaced after `opened` was: rows of two would mix.

        Raises
        ------
        ChangedInputError
            If it was.
        """
        self._base.check_current(self._reader.path_of(name), opened)

    def is_current(self, name: str) -> bool:
        """Return whether an array or a group of a local store is what it was when it was opened."""
        return self._base.is_current(self._reader.path_of(name))


def _columns(
    store: Store, opened: Mapping[str, Labels]
) -> tuple[dict[str, Field], dict[str, str], dict[str, str]]:
    """Return the columns of a store with labels, who has which of them, and the paths of those of groups."""
    columns, presence, paths = dict(store.columns), dict(store.presence), {}
    if "" in opened:
        for name in [one for one in store.fields if one in RESULTS or one in opened[""].fields]:
            del columns[name]
            columns.pop(presence.pop(name, ""), None)
    for prefix, labels in opened.items():
        before = f"{prefix}_" if prefix else ""
        called = {name: f"{before}{name}" for name in labels.fields}
        called |= {mask: f"has_{called[name]}" for name, mask in labels.presence.items()}
        for name, row in labels.columns.items():
            new = called[name]
            if new in columns or f"has_{new}" in columns:
                raise InputError(
                    f"labels={{{prefix!r}: {labels.name!r}}}: {store.path} has a field {new!r} already; "
                    "choose another prefix"
                )
            text = f"{row.description}, of the labels {labels.name}" if prefix else row.description
            columns[new] = replace(row, name=new, description=text)
            paths[new] = labels.array(name)
        presence |= {called[name]: called[mask] for name, mask in labels.presence.items()}
    order = {name: i for i, name in enumerate(FIELDS)}
    ordered = sorted(columns.items(), key=lambda item: (order.get(item[0], len(order)), item[0]))
    return dict(ordered), presence, paths


class _Renamed:
    """Reads arrays under other names, as `RowReader` does under their own."""

    def __init__(
        self, reader: RowReader, paths: Mapping[str, str], hidden: frozenset[str], own: Labels | None
    ):
        self._reader, self._paths, self.hidden, self._own = reader, dict(paths), hidden, own

    def path_of(self, name: str) -> str:
        """Return where an array is in the store.

        Raises
        ------
        UnknownNameError
            If it is a label of the store that has others in its place.
        """
        if name in self.hidden and self._own is not None:
            self._own.array(name)
            raise UnknownNameError(f"the labels {self._own.name!r} have no array {name!r}")
        return self._paths.get(name, name)

    def document(self, name: str) -> dict[str, Any]:
        return self._reader.document(self.path_of(name))

    def form(self, name: str) -> ArraySpec | None:
        return self._reader.form(self.path_of(name))

    def profile(self, name: str) -> ArraySpec | None:
        return self._reader.profile(self.path_of(name))

    def opened(self, name: str) -> zarr.Array[Any]:
        return self._reader.opened(self.path_of(name))

    def rows(self, name: str, start: int, stop: int | None) -> NDArray[Any]:
        return self._reader.rows(self.path_of(name), start, stop)

    def encoded(self, name: str, shard: int) -> list[NDArray[np.uint8]]:
        return self._reader.encoded(self.path_of(name), shard)

    def of_shards(self, name: str, what: str) -> NDArray[Any] | None:
        return self._reader.of_shards(self.path_of(name), what)
