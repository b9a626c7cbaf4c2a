"""Groups of labels: further truths about the structures of a store, as fields like its own.

The store's own labels are those without a name. A group has all fields of one truth: another functional, a
teacher's, a prediction. Who made them is not known here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import CorruptStoreError, UnknownNameError
from zstruct.keywords import keywords
from zstruct.schema import ATOM, Field
from zstruct.store.digests import combine_digests
from zstruct.store.groups import require_group
from zstruct.store.presence import structures_given
from zstruct.store.spec import FAILURE, LABELS, SHARDS, columns_of, presence_of
from zstruct.store.store import Store

__all__ = ["NOUN", "Labels", "labels_digest", "open_labels"]

NOUN = "set of labels"


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of the structures of a store beside its own, made by `zstruct.label` or `zstruct.labels.add`.

    Parameters
    ----------
    store
        The store they are in.
    name
        What they are called.
    attrs
        Attributes of the group; the format page lists them.
    n_structures
        Of how many structures they are, the first ones; by default of all.
    """

    store: Store
    name: str
    attrs: dict[str, Any] = field(repr=False)
    n_structures: int = -1

    def __post_init__(self) -> None:
        if self.n_structures < 0:
            object.__setattr__(self, "n_structures", self.store.n_structures)

    @property
    def path(self) -> str:
        """Path of the group in the store."""
        return f"{LABELS}/{self.name}"

    @property
    def manifest(self) -> dict[str, Any]:
        """What made them: class, version, parameters and their hash."""
        return dict(self.attrs["manifest"])

    @property
    def description(self) -> str | None:
        """What somebody wrote about them."""
        return self.attrs.get("description")

    @property
    def digest(self) -> str:
        """Content digest: what changes whenever they do, whatever the compression."""
        return labels_digest(self._inside)

    @property
    def is_stale(self) -> bool:
        """Whether they were made for other content than the store has now."""
        return bool(self.attrs["store_digest"] != self.store.digest)

    def checked(self) -> Self:
        """Return these labels, if there is a row for each structure or atom.

        Raises
        ------
        CorruptStoreError
            If not.
        """
        n_structures, store = self.n_structures, self.store
        n_atoms = store.n_atoms if n_structures == store.n_structures else int(self._edges()[-1])
        for column in self.columns.values():
            rows = n_atoms if column.level == ATOM else n_structures
            n = store.shape(f"{self.path}/{column.name}")[0]
            if n != rows:
                raise CorruptStoreError(
                    f"{store.path}: {self.path}/{column.name} has {n:,} rows where the store counts {rows:,} "
                    f"{column.level}s; make these labels again with overwrite=True"
                )
        return self

    def _edges(self) -> NDArray[np.int64]:
        """Return the row edges of these structures, shape (n_structures + 1,)."""
        return self.store.read("offsets", 0, self.n_structures + 1)

    @cached_property
    def _inside(self) -> dict[str, dict[str, Any]]:
        """The documents of all in the group, by path in it."""
        before, documents = f"{self.path}/", self.store.documents(self.path)
        return {
            name.removeprefix(before): said for name, said in documents.items() if name.startswith(before)
        }

    @cached_property
    def columns(self) -> dict[str, Field]:
        """The arrays over structures or atoms as stored: the fields, then who has which of them."""
        return {name: column for name, column in columns_of(self._inside).items() if name != FAILURE}

    @cached_property
    def presence(self) -> dict[str, str]:
        """The array that says which structures have a field, for fields without a missing value."""
        return presence_of(self.columns, self._inside)

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The fields as stored (dims, dtype, unit ...), by name."""
        masks = set(self.presence.values())
        return {name: column for name, column in self.columns.items() if name not in masks}

    def array(self, name: str) -> str:
        """Return the path of one of the arrays, for the methods of the store.

        Raises
        ------
        UnknownNameError
            If there is no such field; names those that there are.
        """
        if name not in self.columns:
            raise UnknownNameError(
                f"the labels {self.name!r} of {self.store.path} have no field {name!r}; they have "
                f"{', '.join(self.fields) or 'none'}"
            )
        return f"{self.path}/{name}"

    def coverage(self, name: str) -> int:
        """Return how many structures have a field."""
        return int(self.store.array_attrs(self.array(name)).get("coverage", self.n_structures))

    def read(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return rows of a field, decoded and checked.

        Parameters
        ----------
        name
            The field.
        start, stop
            The rows, of atoms or of structures, from the first on, up to the other; by default all.
        """
        return self.store.read(self.array(name), start, stop)

    def present(self, name: str) -> NDArray[np.bool_]:
        """Return which structures have a field, shape (n_structures,); reads it if nothing else says so."""
        n = self.n_structures
        path = self.array(name)
        if self.coverage(name) == n:
            return np.ones(n, dtype=bool)
        if name in self.presence:
            return self.read(self.presence[name]).astype(bool, copy=False)
        edges = self._edges() if self.columns[name].level == ATOM else np.arange(n + 1)
        return structures_given(self.columns[name], edges, lambda a, b: self.store.read(path, a, b))

    @property
    def has_failures(self) -> bool:
        """Whether there are structures that nobody could label."""
        return FAILURE in self._inside

    def failures(self) -> dict[int, str]:
        """Return why structures have no labels though somebody tried to make them, by structure."""
        codes, texts = self.failure_codes(), self.failure_texts()
        return {int(k): texts[codes[k]] for k in np.flatnonzero(codes >= 0)}

    def failure_codes(self) -> NDArray[np.int32]:
        """Return the place of each structure's reason among `failure_texts`, -1 for none, shape (n,)."""
        if not self.has_failures:
            return np.full(self.n_structures, -1, dtype=np.int32)
        return self.store.read(f"{self.path}/{FAILURE}")

    def failure_texts(self) -> list[str]:
        """Return the reasons why structures have no labels."""
        return self.store.categories(FAILURE, self.path) if self.has_failures else []

    def __repr__(self) -> str:
        n = self.n_structures
        said = [f"{name} of {self.coverage(name):,}" for name in self.fields]
        return f"Labels({self.name!r} of {self.store.path}: {', '.join(said)} of {n:,} structures)"


def labels_digest(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the content digest of labels, of the documents of all in their group, by path in it."""
    lines = []
    for name, said in sorted(documents.items()):
        if said["node_type"] == "array" and not name.startswith(f"{SHARDS}/"):
            attrs = said.get("attributes", {})
            lines.append(f"{name} {attrs.get('digest')} {attrs.get('units', '')} {attrs.get('rotates', '')}")
    return combine_digests(lines)


@keywords()
def open_labels(
    store: str | os.PathLike[str] | Store,
    name: str,
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> Labels:
    """Return labels that are kept in a store beside its own.

    Parameters
    ----------
    store
        A store or its path.
    name
        The name they were given by `zstruct.label` or `zstruct.labels.add`.
    storage_options
        Of a store that is given as a URL, for fsspec: keys, endpoints and the like.

    Raises
    ------
    InputError
        If there are none of this name; names those that there are.
    StaleGroupError
        If they were made for other content than the store has now.
    StoreFormatError
        If they were written by a newer zstruct.
    CorruptStoreError
        If they have not a row for each structure or atom.

    Examples
    --------
    >>> import tempfile, ase.build, numpy as np, zstruct
    >>> path = tempfile.mkdtemp() + "/molecules.zarr"
    >>> report = zstruct.build([ase.build.molecule(m) for m in ("H2O", "CO2")], path, progress=False)
    >>> report = zstruct.labels.add(path, "teacher", energy=[-14.2, np.nan])
    >>> labels = zstruct.open_labels(path, "teacher")
    >>> labels.read("energy"), labels.coverage("energy")
    (array([-14.2,   nan]), 1)
    """
    function = "zstruct.label or zstruct.labels.add"
    opened, attrs = require_group(Store.of(store, storage_options), LABELS, name, NOUN, function)
    return Labels(opened, name, attrs).checked()
