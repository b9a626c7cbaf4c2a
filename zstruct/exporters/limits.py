"""What formats can't carry, each written once: a report, the page of formats and the tests are made of it.

An exporter has a `Limits`. Of fields it says which have no place, and which lose something; of structures,
which come out as something else, and which are refused. What is written, and how, is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.exporters.blocks import Block, Contents
from zstruct.keywords import keywords
from zstruct.schema import FIELDS, GEOMETRY, PROVENANCE, Field
from zstruct.text import counted

__all__ = [
    "BOXES",
    "FLAT",
    "HALF_PROVENANCE",
    "NO_UNICODE",
    "PARTLY_PERIODIC",
    "UNITS",
    "Entry",
    "FieldLimit",
    "Limits",
    "StructureLimit",
    "Tally",
    "is_unicode",
    "only",
    "periodic",
    "same",
]


@dataclass(frozen=True)
class Entry:
    """A field that is to be exported, as limits look at it.

    Parameters
    ----------
    field
        Its row of the table.
    contents
        All that is exported.
    """

    field: Field
    contents: Contents

    @property
    def name(self) -> str:
        """Its name."""
        return self.field.name

    @property
    def original(self) -> str:
        """What it was called where it came from."""
        return self.contents.originals.get(self.name, self.name)

    @property
    def texts(self) -> list[str]:
        """Its texts, if it is a category."""
        return self.contents.categories.get(self.name, [])


@keywords()
@dataclass(frozen=True)
class FieldLimit:
    """Fields that have no place in a format, or of which it does not keep all.

    Parameters
    ----------
    what
        The fields, in the words of a table: "texts of atoms that are several words".
    reason
        Returns why a field is lost; nothing if it is not.
    aspect
        What of a field is lost while its values stay: its "unit". Without it, the field is left out.
    """

    what: str
    reason: Callable[[Entry], str]
    aspect: str = ""

    def key(self, name: str) -> str:
        """Return what a report calls the loss."""
        return f"the {self.aspect} of {name}" if self.aspect else name


@keywords()
@dataclass(frozen=True)
class StructureLimit:
    """Structures that a format can't hold as they are.

    Parameters
    ----------
    what
        What is lost or refused of them, in the words of a table and a report.
    why
        What becomes of them; or of one that is refused, what is wrong with it and what to do.
    hits
        Returns which structures of a block they are, shape (n,).
    changes
        The fields that are missing in these structures, or have other values.
    refused
        Whether none of them can be exported.
    """

    what: str
    why: str
    hits: Callable[[Block], NDArray[np.bool_]]
    changes: tuple[str, ...] = ()
    refused: bool = False


@keywords()
@dataclass(frozen=True)
class Limits:
    """What a format can't carry.

    Parameters
    ----------
    fields
        Limits of fields; of those that leave a field out, the first that hits one says why.
    structures
        Limits of structures.
    needed
        Fields without which no structure can be written.
    always
        What is lost of any structures, and why, by what it is.
    notes
        What else a table should say.
    """

    fields: tuple[FieldLimit, ...] = ()
    structures: tuple[StructureLimit, ...] = ()
    needed: tuple[str, ...] = ()
    always: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def lost(self, contents: Contents) -> dict[str, str]:
        """Return what is lost of some contents, and why, as far as it is known before the first block."""
        found: dict[str, str] = {}
        for field in contents.fields.values():
            entry = Entry(field, contents)
            out = (limit.reason(entry) for limit in self.fields if not limit.aspect)
            why = next(filter(None, out), "")
            if why:
                found[field.name] = why
                continue
            for limit in self.fields:
                if limit.aspect and (why := limit.reason(entry)):
                    found[limit.key(field.name)] = why
        return found | dict(self.always)

    def left_out(self, contents: Contents) -> set[str]:
        """Return the fields that are not written."""
        return set(self.lost(contents)) & set(contents.fields)

    def words(self) -> list[str]:
        """Return all of it in words, for a table."""
        found = [limit.what for limit in self.fields]
        found += [what for what, _ in self.always]
        found += [limit.what for limit in self.structures if not limit.refused]
        refused = [f"structures without {' or '.join(self.needed)}"] if self.needed else []
        refused += [limit.what for limit in self.structures if limit.refused]
        found += [f"refused: {', '.join(refused)}"] if refused else []
        return list(dict.fromkeys([*found, *self.notes]))


class Tally:
    """Looks at blocks on their way into a file: counts what is lost of their structures, and refuses some.

    Parameters
    ----------
    limits
        Of the format.
    lost
        What is lost, and why; entries are added.
    """

    def __init__(self, limits: Limits, lost: MutableMapping[str, str]):
        self._limits, self._lost = limits, lost
        self._counts: dict[str, int] = {}

    def begin(self, contents: Contents) -> None:
        """Look at the contents before the first block.

        Raises
        ------
        InputError
            If they lack what every structure must have.
        """
        for name in self._limits.needed:
            if name not in contents.fields:
                raise InputError(f"the format has {name} of every structure, and there are none to export")

    def checked(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Yield blocks that have been looked at.

        Raises
        ------
        InputError
            If a structure has no place in the format.
        """
        for block in blocks:
            self._check(block)
            yield block

    def _check(self, block: Block) -> None:
        for name in self._limits.needed:
            there = block.has(name)
            if not there.all():
                which = block.first + int(np.argmin(there))
                raise InputError(
                    f"structure {which} has no {name}, and the format can't say so: select those "
                    f"that have it, with select='has({name})'"
                )
        for limit in self._limits.structures:
            hit = limit.hits(block)
            if not hit.any():
                continue
            if limit.refused:
                raise InputError(f"structure {block.first + int(np.argmax(hit))} {limit.why}")
            n = self._counts[limit.what] = self._counts.get(limit.what, 0) + int(hit.sum())
            self._lost[limit.what] = f"{limit.why}, {counted(n, 'structure')}"


@keywords()
def only(names: Iterable[str], words: str = "") -> FieldLimit:
    """Return the limit of a format that has places for some fields only, besides the geometry.

    Parameters
    ----------
    names
        These fields.
    words
        How a table lists them, where their names are too many.
    """
    kept = {*GEOMETRY, *names}
    words = words or _listed([name for name in names if name not in GEOMETRY])

    def reason(entry: Entry) -> str:
        return "" if entry.name in kept else "the format has no place for it"

    return FieldLimit(f"all fields but {words}", reason)


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def same(what: str, hits: Callable[[Entry], bool], why: str, aspect: str = "") -> FieldLimit:
    """Return a limit whose reason is the same for all fields that it hits."""
    return FieldLimit(what, lambda entry: why if hits(entry) else "", aspect)


def is_unicode(text: str) -> bool:
    """Tell whether a text is one: what inputs have that is no UTF-8 is in texts as half a character each."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_garbled(entry: Entry) -> bool:
    return not all(map(is_unicode, (entry.name, entry.original, entry.field.unit, *entry.texts)))


def _is_half(entry: Entry) -> bool:
    return entry.name in PROVENANCE and len(set(PROVENANCE) & set(entry.contents.fields)) == 1


def _has_own_unit(entry: Entry) -> str:
    unit = entry.field.unit
    own = unit and (entry.name not in FIELDS or FIELDS[entry.name].unit != unit)
    return f"{unit}; the format says no units" if own else ""


def periodic(block: Block) -> NDArray[np.bool_]:
    """Return which structures repeat at all, shape (n,)."""
    return np.asarray(block.columns["pbc"].astype(bool).any(axis=1))


def _is_flat(block: Block) -> NDArray[np.bool_]:
    flat: NDArray[np.bool_] = periodic(block) & (np.linalg.det(block.columns["cell"]) == 0)
    return flat


def _repeats_partly(block: Block) -> NDArray[np.bool_]:
    partly: NDArray[np.bool_] = periodic(block) & ~block.columns["pbc"].astype(bool).all(axis=1)
    return partly


def _is_box(block: Block) -> NDArray[np.bool_]:
    boxed: NDArray[np.bool_] = ~periodic(block) & block.columns["cell"].any(axis=(1, 2))
    return boxed


#: Where a structure came from is two fields, neither of which is of use alone.
HALF_PROVENANCE = same("source without frame", _is_half, "source and frame are kept together only")
#: Of formats whose texts are UTF-8.
NO_UNICODE = same(
    "names, units and texts that are no Unicode",
    _is_garbled,
    "it has bytes of an input that are no UTF-8, as texts of the format are",
)
#: Of properties that the table of fields does not have, or has in another unit.
UNITS = FieldLimit("units of properties that are no fields of the table", _has_own_unit, "unit")
#: Limits of formats in which a structure repeats along all vectors of its cell, or has none.
PARTLY_PERIODIC = StructureLimit(
    "structures that repeat along some vectors only",
    "written as periodic along all",
    _repeats_partly,
    ("pbc",),
)
BOXES = StructureLimit(
    "cells of structures that do not repeat", "the format has cells of periodic ones only", _is_box, ("cell",)
)
FLAT = StructureLimit(
    "periodic structures whose cell has no volume",
    "is periodic, and its cell has no volume, which the format can't say: select others",
    _is_flat,
    refused=True,
)
