"""The index of a store: columns that queries read in place of others, kept as a group.

They are quantities that are computed from atoms or cells, and narrow codes of formulas.

It is that of one content. One of any other is no index, and neither is one of a store that has other labels
in place of its own, where these are computed from labels: then quantities are computed.
"""

from __future__ import annotations

from dataclasses import dataclass

from zstruct.query.formulas import has_formulas
from zstruct.query.quantities import FORMULA, QUANTITIES
from zstruct.schema import GEOMETRY
from zstruct.store.group_publication import find_group
from zstruct.store.labelled import labels_of
from zstruct.store.spec import GROUP_VERSION, INDEX
from zstruct.store.store import Store

__all__ = ["ALWAYS", "GROUP", "NAME", "ON_REQUEST", "Index", "index_of", "indexed"]

#: The name of the one index that a store has, and its path.
NAME = "default"
GROUP = f"{INDEX}/{NAME}"

#: The quantities that an index has, and those that it has if somebody asks for them.
ALWAYS = (FORMULA, "fmax", "volume")
ON_REQUEST = ("shortest_distance",)


@dataclass(frozen=True)
class Index:
    """The index that a store has now.

    Parameters
    ----------
    store
        Shows it.
    columns
        The quantities that it has.
    """

    store: Store
    columns: frozenset[str]

    def array(self, quantity: str) -> str | None:
        """Return the array that has a quantity, or None."""
        return self.path(quantity) if quantity in self.columns else None

    def path(self, quantity: str) -> str:
        """Return the array of a quantity that it has."""
        return f"{GROUP}/{quantity}"

    def store_of(self, array: str, store: Store) -> Store:
        """Return what to read an array of: this, if it is one of the index."""
        return self.store if array.startswith(f"{GROUP}/") else store


def indexed(store: Store, also: tuple[str, ...] = ()) -> list[str]:
    """Return the quantities that the index of a store has, with some that are asked for."""
    asked = [name for name in (*ALWAYS, *ON_REQUEST) if name in ALWAYS or name in also]
    there = [name for name in asked if set(QUANTITIES[name].needs) <= set(store.fields)]
    return [name for name in there if name != FORMULA or has_formulas(store)]


def index_of(store: Store) -> Index | None:
    """Return the index of a store, if it has one of the content that it has now."""
    if NAME not in store.group_names(INDEX):
        return None
    found = find_group(store, INDEX, NAME)
    if found is None:
        return None
    opened, attrs = found
    major = GROUP_VERSION.split(".")[0]
    if attrs["store_digest"] != store.digest or str(attrs["encoding-version"]).split(".")[0] != major:
        return None
    names = {name.rpartition("/")[2] for name in opened.array_names(GROUP)} & {*ALWAYS, *ON_REQUEST}
    if labels_of(store) is not None:
        names = {name for name in names if set(QUANTITIES[name].needs) <= set(GEOMETRY)}
    return Index(opened, frozenset(names))
