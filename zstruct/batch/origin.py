"""`Origin`: what is known of where structures come from, for those that join them with others.

A batch or a sample that comes from a store has one: what its columns are, and what codes stand for. It stays
in its process: what is pickled is complete without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from zstruct.schema import Field

__all__ = ["Origin"]


class _Store(Protocol):
    """What has to be known of a store."""

    path: str

    @property
    def fields(self) -> Mapping[str, Field]: ...

    def categories(self, name: str) -> Sequence[str]: ...


class Origin:
    """Where the structures of a batch come from: a store.

    Parameters
    ----------
    store
        The store.

    Attributes
    ----------
    name
        What it is called in sentences.
    heads
        The names of the heads that the column ``head`` counts, where somebody said them; none for a store.
    """

    heads: tuple[str, ...] = ()

    def __init__(self, store: _Store):
        self._store, self.name = store, store.path
        self._texts: dict[str, Sequence[str]] = {}

    @property
    def fields(self) -> Mapping[str, Field]:
        """What the store says of its fields."""
        return self._store.fields

    def texts(self, field: str) -> Sequence[str]:
        """Return the texts that the codes of a category stand for; read once."""
        if field not in self._texts:
            self._texts[field] = self._store.categories(field)
        return self._texts[field]

    def words(self, structure: int) -> str:
        """Return the words for a structure, given by its number in batches."""
        return f"structure {structure} of the store"
