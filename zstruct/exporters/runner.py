"""``input.data`` of RuNNer and n2p2, in angstrom and electronvolts; a comment of each structure says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS
from zstruct.exporters.blocks import Block, Contents
from zstruct.exporters.exporter import TextExporter
from zstruct.exporters.limits import (
    BOXES,
    FLAT,
    PARTLY_PERIODIC,
    Entry,
    FieldLimit,
    Limits,
    StructureLimit,
    only,
    periodic,
)
from zstruct.exporters.lines import Item, written
from zstruct.ragged import segment_reduce
from zstruct.sources.runner.structure import STATEMENT

__all__ = ["RunnerExporter"]

_NEEDED = ("energy", "forces")
_PLACEHOLDERS = ("charges", "energies")
_ELEMENTS = [symbol.encode() for symbol in SYMBOLS]


def _stripped(text: str) -> str:
    """Return a comment as it is written: lines that have something, without spaces around it."""
    return "\n".join(line.strip() for line in text.split("\n") if line.strip())


def _no_comment(entry: Entry) -> str:
    if entry.name != "comment":
        return ""
    if entry.field.kind != "category":
        return "it is no text"
    lines = [line for text in entry.texts for line in _stripped(text).split("\n")]
    if not all(line.replace("\t", " ").isprintable() for line in lines):
        return "some texts have characters that no line can have"
    return "some texts are what states the units" if STATEMENT in lines else ""


def _is_spaced(entry: Entry) -> str:
    spaced = entry.name == "comment" and any(_stripped(text) != text or not text for text in entry.texts)
    return "empty lines, and spaces around others, are left out" if spaced else ""


def _is_placeholder(block: Block) -> NDArray[np.bool_]:
    """Return which structures have charges or energies of atoms that are all zero."""
    zero = np.zeros(len(block), dtype=bool)
    for name in _PLACEHOLDERS:
        if name in block.columns:
            some = segment_reduce(block.columns[name] != 0, block.offsets, "max").astype(bool)
            zero |= block.has(name) & ~some
    return zero


_LIMITS = Limits(
    (
        only((*_NEEDED, *_PLACEHOLDERS, "total_charge", "comment")),
        FieldLimit("comments that are no text, or have control characters", _no_comment),
        FieldLimit("empty lines of comments, and spaces around others", _is_spaced, "spacing"),
    ),
    (
        PARTLY_PERIODIC,
        BOXES,
        StructureLimit(
            "charges and energies that are zero for all atoms",
            "they are what the format has where none are known",
            _is_placeholder,
            _PLACEHOLDERS,
        ),
        FLAT,
    ),
    needed=_NEEDED,
)


class RunnerExporter(TextExporter):
    """Writes ``input.data``: lattice, atoms with forces, charges and energies, energy, total charge, comment.

    Lengths are in angstrom and energies in eV: n2p2 takes any units, and `zstruct.build` knows these by the
    comment. RuNNer itself wants bohr and hartree. The format has zeros where charges or energies of atoms are
    not known; it has no place for missing forces or energies.
    """

    limits = _LIMITS

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the file."""
        super().begin(target, contents)
        kept = "comment" not in self.limits.left_out(contents)
        self._comments = [
            b"".join(b"comment %b\n" % line.encode() for line in _stripped(text).split("\n") if line)
            for text in (contents.categories.get("comment", []) if kept else [])
        ]

    def text(self, block: Block) -> NDArray[np.uint8]:
        """Return the text of some structures."""
        columns, in_cell = block.columns, periodic(block)
        head = [Item(f"begin\ncomment {STATEMENT}\n".encode())]
        if self._comments:
            head.append(Item(rows=columns["comment"], texts=self._comments, present=block.has("comment")))
        head += [Item(b"lattice ", columns["cell"][:, k], b"\n", present=in_cell) for k in range(3)]
        atoms = [Item(b"atom ", columns["positions"]), Item(b" ", columns["numbers"], texts=_ELEMENTS)]
        atoms += [Item(b" ", self._or_zero(block, name)) for name in _PLACEHOLDERS]
        atoms += [Item(b" ", columns["forces"], b"\n")]
        tail = [Item(b"energy ", columns["energy"], b"\n")]
        if "total_charge" in columns:
            charged = block.has("total_charge")
            tail.append(Item(b"charge ", columns["total_charge"], b"\n", present=charged))
        return written(block.n_atoms, head, atoms, [*tail, Item(b"end\n")]).text

    def _or_zero(self, block: Block, name: str) -> NDArray[Any]:
        """Return values of atoms, zeros in structures that have none."""
        if name not in block.columns:
            return np.zeros(int(block.n_atoms.sum()))
        rows = block.columns[name]
        there = block.has(name)
        return rows if there.all() else np.where(np.repeat(there, block.n_atoms), rows, 0.0)
