"""``.cfg`` files of moment tensor potentials, as MLIP reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS
from zstruct.exporters.exporter import Block, Contents, TextExporter
from zstruct.exporters.lines import Item, written
from zstruct.exporters.periodicity import PeriodicOrNot
from zstruct.schema import GEOMETRY, PROVENANCE, STRUCTURE, Field
from zstruct.sources.mtp.structure import TYPE_MAP, feature_value
from zstruct.voigt import full_to_voigt

__all__ = ["MTPExporter"]

# Fields that are columns of atoms, and what these are called.
_COLUMNS = {"forces": b" fx fy fz", "energies": b" site_en", "charges": b" charge"}
_COLUMNS["magmoms"] = b" magmom_x magmom_y magmom_z"
_OWN = (*GEOMETRY, "energy", "stress", "virial", *_COLUMNS)


class MTPExporter(TextExporter):
    """Writes ``.cfg``, in angstrom and eV; ``PlusStress`` is minus the stress times the volume.

    Types are numbers from 0 on, in the order of atomic numbers in the store; the feature ``type_map`` of each
    structure says which elements they are, and `zstruct.build` knows them by it. Numbers and texts of
    structures are features.
    """

    def lost(self, contents: Contents) -> dict[str, str]:
        """Return the fields that have no place, and what the blocks turn out to have."""
        found = {name: self._why(field, contents) for name, field in contents.fields.items()}
        self._lost = {name: why for name, why in found.items() if why}
        return self._lost

    def _why(self, field: Field, contents: Contents) -> str:
        """Return why a field has no place; nothing if it has one."""
        name = field.name
        if name == "magmoms" and field.shape != (3,):
            return "the format has vectors of magnetic moments only"
        if name in _OWN:
            return ""
        if name in PROVENANCE:
            return "where structures come from is not written"
        if field.level != STRUCTURE or field.shape or field.kind == "bool":
            return "the format has numbers and texts of structures, and no others"
        original = contents.originals.get(name, name)
        if not original.isascii() or len(original.split()) != 1 or original == TYPE_MAP:
            return "its name can't be that of a feature"
        texts = contents.categories.get(name, [])
        if any(not _is_plain(text) for text in texts):
            return "some of its texts would be read as numbers, or are no single line"
        return ""

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the file."""
        super().begin(target, contents)
        self._periodicity = PeriodicOrNot(self._lost)
        self._types = np.zeros(256, dtype=np.int64)
        self._types[list(contents.elements)] = np.arange(len(contents.elements))
        names = " ".join(SYMBOLS[z] for z in contents.elements)
        self._end = f" Feature   {TYPE_MAP} {names}\nEND_CFG\n\n".encode()

    def text(self, block: Block) -> NDArray[np.uint8]:
        """Return the text of some structures.

        Raises
        ------
        InputError
            If one is periodic, and its cell has no volume.
        """
        columns = block.columns
        periodic = self._periodicity.of(block)
        head = [
            Item(b"BEGIN_CFG\n Size\n    ", block.n_atoms, b"\n"),
            Item(b" Supercell\n", present=periodic),
        ]
        head += [Item(b"    ", columns["cell"][:, k], b"\n", present=periodic) for k in range(3)]
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
        rows, there = _virials(block, periodic)
        if there.any():
            tail.append(Item(b" PlusStress:  xx yy zz yz xz xy\n    ", rows, b"\n", present=there))
        for name, field in self.contents.fields.items():
            if field.level == STRUCTURE and name not in _OWN and name not in self._lost:
                key = self.contents.originals.get(name, name).encode()
                texts = [text.encode() for text in self.contents.categories.get(name, [])] or None
                before = b" Feature   %b " % key
                tail.append(Item(before, columns[name], b"\n", present=block.has(name), texts=texts))
        return written(block.n_atoms, head, atoms, [*tail, Item(self._end)]).text


def _virials(block: Block, periodic: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return minus stress times volume, or what is a virial already, shape (n, 6), and who has it."""
    rows, there = np.zeros((len(block), 6)), np.zeros(len(block), dtype=bool)
    if "stress" in block.columns:
        there = block.has("stress") & periodic
        volumes = np.abs(np.linalg.det(block.columns["cell"]))
        rows[there] = -block.columns["stress"][there] * volumes[there, None]
    if "virial" in block.columns:
        others = block.has("virial") & ~there
        rows[others] = full_to_voigt(block.columns["virial"])[others]
        there = there | others
    return rows, there


def _is_plain(text: str) -> bool:
    """Tell whether a text is read as what it is."""
    return bool(text) and text == text.strip() and "\n" not in text and feature_value(text) == text
