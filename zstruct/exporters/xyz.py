"""Extended XYZ: what `zstruct.sources.XYZSource` and ASE read, number for number.

A structure has the properties that it has, so frames may differ in their Properties. Texts that would be
read as numbers, as truths or as nothing are written as JSON, which ASE's dialect has for what is no plain
value; so are arrays that are no rows.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.aliases import by_alias
from zstruct.elements import SYMBOLS
from zstruct.errors import InputError
from zstruct.exporters.blocks import Block, Contents
from zstruct.exporters.exporter import TextExporter
from zstruct.exporters.limits import HALF_PROVENANCE, UNITS, Entry, FieldLimit, Limits, is_unicode, same
from zstruct.exporters.lines import Item, written
from zstruct.schema import ATOM, FIELDS, GEOMETRY, STRUCTURE, Field
from zstruct.voigt import voigt_to_full

__all__ = ["XYZExporter"]

_TYPES = {"float": "R", "int": "I", "bool": "L", "category": "S"}
#: What the format takes for something else, in lower case.
_SPECIAL = {
    ATOM: {"species", "symbols", "z", "numbers", "atomic_numbers", "pos", "positions"},
    STRUCTURE: {"lattice", "pbc", "properties"},
}
# Words that are written as they are; and those that are read as numbers or truths.
_PLAIN = re.compile(r"[A-Za-z0-9_.+\-/<>]+")
_NUMBER = re.compile(r"(?i)[-+]?(\d[\d_]*(\.[\d_]*)?|\.[\d_]+)([ed][-+]?[\d_]+)?|[-+]?(nan|inf|infinity)")
_TRUTH = re.compile(r"(?i)t|f|true|false")


@dataclass(frozen=True)
class _Column:
    """A field that is written, and how.

    Parameters
    ----------
    field
        Its row of the table.
    key
        What it is called in the file, quoted.
    texts
        What its codes are written as, if it is a category.
    """

    field: Field
    key: bytes
    texts: list[bytes] | None = None

    @property
    def is_json(self) -> bool:
        """Whether its values are more than numbers in a row."""
        shape = self.field.shape
        return shape == (1,) or (len(shape) > 1 and self.field.name not in FIELDS)


def _meaning(entry: Entry) -> str:
    """Return what the name of a field would be taken for, if that is something else."""
    level, key = entry.field.level, entry.original
    known = None if entry.name in FIELDS else by_alias(key, level)
    if known is not None:
        return f"the {known.name}"
    return "part of the format" if key.casefold() in _SPECIAL[level] and entry.name not in GEOMETRY else ""


def _key(entry: Entry) -> str:
    """Return what a field is called in the file."""
    return f"input_{entry.original}" if _meaning(entry) else entry.original


def _new_name(entry: Entry) -> str:
    meaning = _meaning(entry)
    return f"it is written as {_key(entry)}: {entry.original} would be taken for {meaning}" if meaning else ""


def _odd_name(entry: Entry) -> str:
    key = _key(entry)
    if re.search(r"[\x00-\x1f\x7f]", key) or not key.strip() or not is_unicode(key):
        return "its name has characters that the format can't hold"
    if entry.field.level == ATOM and (":" in key or key != key.strip()):
        return f"Properties can't have the name {key!r}"
    return ""


def _no_word(entry: Entry) -> str:
    if entry.field.level == ATOM:
        for text in entry.texts:
            if text.split() != [text] or "\0" in text or not is_unicode(text):
                return f"{text!r} can't be one word of an atom line"
    return ""


def _is_second(entry: Entry) -> bool:
    """Return whether a field before has the same name in the file."""
    for field in entry.contents.fields.values():
        if field.name == entry.name:
            return False
        other = Entry(field, entry.contents)
        if field.name not in GEOMETRY and (field.level, _key(other)) == (entry.field.level, _key(entry)):
            return True
    return False


def _other_shape(entry: Entry) -> str:
    shape = entry.field.shape
    if entry.field.level != ATOM or not (shape == (1,) or len(shape) > 1):
        return ""
    has = "one number, which comes back without an axis" if shape == (1,) else "numbers in a row"
    return f"{shape}; an atom line has {has}"


_LIMITS = Limits(
    (
        HALF_PROVENANCE,
        FieldLimit(
            "names with control characters, and such of atoms with a colon or spaces around them", _odd_name
        ),
        FieldLimit("texts of atoms that are several words, or empty", _no_word),
        same("two fields of one name", _is_second, "another field has the same name in the file"),
        FieldLimit("names that mean something else in the format", _new_name, "name"),
        UNITS,
        FieldLimit("shapes of atoms' rows other than numbers in a row", _other_shape, "shape"),
    ),
)


class XYZExporter(TextExporter):
    """Writes extended XYZ; see `zstruct.export`."""

    limits = _LIMITS

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the file, and decide how fields are written."""
        left_out = self.limits.left_out(contents)
        entries = (Entry(field, contents) for field in contents.fields.values())
        self._columns = [
            _column(entry) for entry in entries if entry.name not in GEOMETRY and entry.name not in left_out
        ]
        super().begin(target, contents)

    def text(self, block: Block) -> NDArray[np.uint8]:
        """Return the text of some structures.

        Raises
        ------
        InputError
            If an atom has no text where others of its structure have one.
        """
        cell, columns = block.columns["cell"], block.columns
        periodic = np.any(cell, axis=(1, 2))
        of_atoms = [column for column in self._columns if column.field.level == ATOM]
        quote = b'"' if any(b" " in column.key or b"\\" in column.key for column in of_atoms) else b""
        head = [
            Item(rows=block.n_atoms, after=b"\n"),
            Item(b'Lattice="', cell, b'" ', present=None if periodic.all() else periodic),
            Item(b"Properties=" + quote + b"species:S:1:pos:R:3"),
        ]
        atoms = [Item(rows=columns["numbers"], texts=_ELEMENTS), Item(b" ", columns["positions"])]
        for column in of_atoms:
            field, there = column.field, block.present.get(column.field.name)
            size = int(np.prod(field.shape, dtype=int))
            head.append(Item(b":%b:%b:%d" % (column.key, _TYPES[field.kind].encode(), size), present=there))
            rows = columns[field.name]
            if field.kind == "category":
                _check_texts(rows, block, field.name)
            atoms.append(Item(b" ", rows, present=there, texts=column.texts))
        head.append(Item(quote))
        others = (column for column in self._columns if column.field.level != ATOM)
        head += [_item(column, columns[column.field.name], block) for column in others]
        head.append(Item(b' pbc="', columns["pbc"].astype(bool), b'"\n'))
        return written(block.n_atoms, head, [*atoms, Item(b"\n")]).text


_ELEMENTS = [symbol.encode() for symbol in SYMBOLS]


def _item(column: _Column, rows: NDArray[Any], block: Block) -> Item:
    """Return what is written of a field of structures."""
    field, there = column.field, block.present.get(column.field.name)
    before = b" %b=" % column.key
    if field.kind == "category":
        return Item(before, rows, present=there, texts=column.texts)
    if column.is_json:
        texts = [b"_JSON " + json.dumps(row).encode() for row in rows.tolist()]
        return Item(before + b'"', np.arange(len(rows)), b'"', present=there, texts=texts)
    if field.name == "stress":
        rows = voigt_to_full(rows)
    elif len(field.shape) == 2:  # matrices are written by columns
        rows = rows.transpose(0, 2, 1)
    quote = b'"' if field.shape else b""
    return Item(before + quote, rows, quote, present=there)


def _check_texts(codes: NDArray[Any], block: Block, name: str) -> None:
    """Raise if an atom has no text in a structure where others have."""
    gone = (codes < 0).reshape(len(codes), -1).any(axis=1)
    which = np.repeat(np.arange(len(block)), block.n_atoms)
    gone &= block.has(name)[which]
    if gone.any():
        raise InputError(
            f"structure {block.first + which[np.argmax(gone)]} has {name} of some atoms only, and an atom "
            f"line can't say so: leave it out with exclude=[{name!r}], or select others"
        )


def _column(entry: Entry) -> _Column:
    """Return how a field is written."""
    field, key = entry.field, _key(entry)
    texts = None
    if field.kind == "category":
        spell = str.encode if field.level == ATOM else _value
        texts = [spell(text) for text in entry.texts]
    return _Column(field, (_escaped(key) if field.level == ATOM else _quoted(key)).encode(), texts)


def _value(text: str) -> bytes:
    """Return a text as a value that is read as this text."""
    odd = re.search(r"[\x00-\x1f\x7f]", text) or text != text.strip() or not is_unicode(text)
    words = text.replace(",", " ").split()
    if odd or text.startswith("_JSON") or any(all(map(one.fullmatch, words)) for one in (_NUMBER, _TRUTH)):
        text = f"_JSON {json.dumps(text)}"
    return _quoted(text).encode()


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
