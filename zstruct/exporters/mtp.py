"""``.cfg`` files of moment tensor potentials, as MLIP reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS
from zstruct.exporters.blocks import Block, Contents
from zstruct.exporters.exporter import TextExporter
from zstruct.exporters.limits import (
    BOXES,
    FLAT,
    PARTLY_PERIODIC,
    UNITS,
    Entry,
    FieldLimit,
    Limits,
    is_unicode,
    periodic,
)
from zstruct.exporters.lines import Item, written
from zstruct.exporters.virials import (
    HUGE_STRESSES,
    STRESS_DIGITS,
    STRESSES_WITHOUT_VOLUME,
    VIRIALS_BESIDE_STRESSES,
    virials_of,
)
from zstruct.schema import GEOMETRY, PROVENANCE, STRUCTURE
from zstruct.sources.mtp.structure import TYPE_MAP, feature_value
from zstruct.voigt import full_to_voigt

__all__ = ["MTPExporter"]

# Fields that are columns of atoms, and what these are called.
_COLUMNS = {"forces": b" fx fy fz", "energies": b" site_en", "charges": b" charge"}
_COLUMNS["magmoms"] = b" magmom_x magmom_y magmom_z"
_OWN = (*GEOMETRY, "energy", "stress", "virial", *_COLUMNS)


def _is_plain(text: str) -> bool:
    """Tell whether a text is read as what it is."""
    line = bool(text) and text == text.strip() and not {*text} & {"\n", "\0"}
    return line and is_unicode(text) and feature_value(text) == text


def _no_feature(entry: Entry) -> str:
    """Return why a field has no place; nothing if it has one."""
    field, name = entry.field, entry.name
    if name == "magmoms" and field.shape != (3,):
        return "the format has vectors of magnetic moments only"
    if name in _OWN:
        return ""
    if name in PROVENANCE:
        return "where structures come from is not written"
    if field.level != STRUCTURE or field.shape or field.kind == "bool":
        return "the format has numbers and texts of structures, and no others"
    key = entry.original
    if not key.isascii() or len(key.split()) != 1 or key == TYPE_MAP:
        return "its name can't be that of a feature"
    if not all(map(_is_plain, entry.texts)):
        return "some of its texts would be read as numbers, or are no single line of Unicode"
    return ""


_LIMITS = Limits(
    (
        FieldLimit(
            "all fields of atoms but forces, energies, charges and vectors of magmoms, booleans and rows of "
            "structures but stress and virial, source and frame, texts that would be read as numbers",
            _no_feature,
        ),
        STRESS_DIGITS,
        UNITS,
    ),
    (PARTLY_PERIODIC, BOXES, STRESSES_WITHOUT_VOLUME, VIRIALS_BESIDE_STRESSES, FLAT, HUGE_STRESSES),
)


class MTPExporter(TextExporter):
    """Writes ``.cfg``, in angstrom and eV; ``PlusStress`` is minus the stress times the volume.

    Types are numbers from 0 on, in the order of atomic numbers in the store; the feature ``type_map`` of each
    structure says which elements they are, and `zstruct.build` knows them by it. Numbers and texts of
    structures are features.
    """

    limits = _LIMITS

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the file."""
        super().begin(target, contents)
        self._lost = self.limits.left_out(contents)
        self._types = np.zeros(256, dtype=np.int64)
        self._types[list(contents.elements)] = np.arange(len(contents.elements))
        names = " ".join(SYMBOLS[z] for z in contents.elements)
        self._end = f" Feature   {TYPE_MAP} {names}\nEND_CFG\n\n".encode()

    def text(self, block: Block) -> NDArray[np.uint8]:
        """Return the text of some structures."""
        columns, in_cell = block.columns, periodic(block)
        head = [
            Item(b"BEGIN_CFG\n Size\n    ", block.n_atoms, b"\n"),
            Item(b" Supercell\n", present=in_cell),
        ]
        head += [Item(b"    ", columns["cell"][:, k], b"\n", present=in_cell) for k in range(3)]
        head.append(Item(b" AtomData:  id type cartes_x cartes_y cartes_z"))
        starts = block.offsets[:-1]
        ids = np.arange(int(block.n_atoms.sum())) - np.repeat(starts, block.n_atoms) + 1
        atoms = [
            Item(b"    ", ids),
            Item(b" ", self._types[columns["numbers"]]),
            Item(b" ", columns["positions"]),
        ]
        for name, titles in _COLUMNS.items():
            if name in columns and name not in self._lost:
                head.append(Item(titles, present=block.has(name)))
                atoms.append(Item(b" ", columns[name], present=block.has(name)))
        head.append(Item(b"\n"))
        atoms.append(Item(b"\n"))
        tail = []
        if "energy" in columns:
            tail.append(Item(b" Energy\n    ", columns["energy"], b"\n", present=block.has("energy")))
        virials, there = virials_of(block)
        rows = full_to_voigt(virials)
        if there.any():
            tail.append(Item(b" PlusStress:  xx yy zz yz xz xy\n    ", rows, b"\n", present=there))
        for name, field in self.contents.fields.items():
            if field.level == STRUCTURE and name not in _OWN and name not in self._lost:
                key = self.contents.originals.get(name, name).encode()
                texts = [text.encode() for text in self.contents.categories.get(name, [])] or None
                before = b" Feature   %b " % key
                tail.append(Item(before, columns[name], b"\n", present=block.has(name), texts=texts))
        return written(block.n_atoms, head, atoms, [*tail, Item(self._end)]).text
