"""``input.data`` of RuNNer and n2p2, in angstrom and electronvolts; a comment of each structure says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS
from zstruct.errors import InputError
from zstruct.exporters.exporter import Block, Contents, TextExporter
from zstruct.exporters.lines import Item, written
from zstruct.exporters.periodicity import PeriodicOrNot
from zstruct.schema import GEOMETRY
from zstruct.sources.runner.structure import STATEMENT

__all__ = ["RunnerExporter"]

_NEEDED = ("energy", "forces")
_KEPT = (*GEOMETRY, *_NEEDED, "charges", "energies", "total_charge", "comment")
_ELEMENTS = [symbol.encode() for symbol in SYMBOLS]


class RunnerExporter(TextExporter):
    """Writes ``input.data``: lattice, atoms with forces, charges and energies, energy, total charge, comment.

    Lengths are in angstrom and energies in eV: n2p2 takes any units, and `zstruct.build` knows these by the
    comment. RuNNer itself wants bohr and hartree. The format has zeros where charges or energies of atoms are
    not known; it has no place for missing forces or energies.
    """

    def lost(self, contents: Contents) -> dict[str, str]:
        """Return the fields that have no place, and what the blocks turn out to have."""
        self._lost = {name: "the format has no place for it" for name in contents.fields if name not in _KEPT}
        if "comment" in contents.fields and contents.fields["comment"].kind != "category":
            self._lost["comment"] = "it is no text"
        return self._lost

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the file.

        Raises
        ------
        InputError
            If there are no energies or forces: the format can't do without.
        """
        for name in _NEEDED:
            if name not in contents.fields:
                raise InputError(f"input.data has {name} of every structure, and there are none")
        super().begin(target, contents)
        self._periodicity = PeriodicOrNot(self._lost)
        self._comments = [
            b"".join(b"comment %b\n" % line.strip().encode() for line in text.split("\n") if line.strip())
            for text in contents.categories.get("comment", [])
        ]

    def text(self, block: Block) -> NDArray[np.uint8]:
        """Return the text of some structures.

        Raises
        ------
        InputError
            If a structure has no energy or no forces.
        """
        for name in _NEEDED:
            there = block.has(name)
            if not there.all():
                raise InputError(
                    f"structure {block.first + int(np.argmin(there))} has no {name}, which input.data can't "
                    f"say: select those that have it, with select='has({name})'"
                )
        columns = block.columns
        periodic = self._periodicity.of(block)
        head = [Item(f"begin\ncomment {STATEMENT}\n".encode())]
        if self._comments and "comment" not in self._lost:
            head.append(Item(rows=columns["comment"], texts=self._comments, present=block.has("comment")))
        head += [Item(b"lattice ", columns["cell"][:, k], b"\n", present=periodic) for k in range(3)]
        atoms = [Item(b"atom ", columns["positions"]), Item(b" ", columns["numbers"], texts=_ELEMENTS)]
        atoms += [Item(b" ", self._or_zero(block, name)) for name in ("charges", "energies")]
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
