"""XSF as aenet reads it: the energy in a comment, and a file for each structure in a directory.

A target whose name ends in ``.xsf`` is one file: of one structure, or an animation of several.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS
from zstruct.errors import InputError
from zstruct.exporters.blocks import Block, Contents
from zstruct.exporters.exporter import Exporter
from zstruct.exporters.limits import Limits, StructureLimit, only
from zstruct.exporters.lines import Item, Lines, written

__all__ = ["XSFExporter"]

_ELEMENTS = [symbol.encode() for symbol in SYMBOLS]
# By the number of periodic vectors, which come first; last, what has no vectors.
_KINDS = (b"MOLECULE\n", b"POLYMER\n", b"SLAB\n", b"CRYSTAL\n", b"")
_NO_CELL = 4


def _repeats_oddly(block: Block) -> NDArray[np.bool_]:
    pbc = block.columns["pbc"].astype(bool)
    odd: NDArray[np.bool_] = (pbc[:, 1] & ~pbc[:, 0]) | (pbc[:, 2] & ~pbc[:, 1])
    return odd


def _has_forces_alone(block: Block) -> NDArray[np.bool_]:
    alone: NDArray[np.bool_] = block.has("forces") & ~block.has("energy")
    return alone


_LIMITS = Limits(
    (only(("energy", "forces")),),
    (
        StructureLimit(
            "structures that repeat along others than the first of their vectors",
            "does not repeat along the first of its vectors, but along others, which an XSF file can't say: "
            "select others",
            _repeats_oddly,
            refused=True,
        ),
        # What unit forces are in, only aenet's comment says, which has the energy.
        StructureLimit(
            "forces without an energy",
            "has forces but no energy, without which an XSF file has forces in other units: select those "
            "that have it, with select='has(energy)'",
            _has_forces_alone,
            refused=True,
        ),
    ),
    notes=("in one file: structures that repeat differently",),
)


class XSFExporter(Exporter):
    """Writes ``NAME/000001.xsf`` and so on, or ``NAME.xsf``."""

    makes_folder = True
    limits = _LIMITS

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the directory, or the file."""
        self._target = target
        self._file: BinaryIO | None = None
        self._animated = 0
        self._kind: int | None = None
        self._digits = max(6, len(str(contents.n_structures)))
        if target.suffix.lower() != ".xsf":
            target.mkdir()
            return
        self._animated = contents.n_structures if contents.n_structures > 1 else 0
        self._file = open(target, "wb")  # noqa: SIM115 (closed by end)
        if self._animated:
            self._file.write(b"ANIMSTEPS %d\n" % self._animated)

    def write(self, block: Block) -> None:
        """Append some structures.

        Raises
        ------
        InputError
            If an animation would have structures of different periodicity.
        """
        kinds = _kinds(block)
        if self._animated:
            self._check_alike(kinds, block.first)
        lines = self._lines(block, kinds)
        if self._file is not None:
            self._file.write(lines.text.data)
            return
        starts = [0, *lines.ends.tolist()]
        for k in range(len(block)):
            path = self._target / f"{block.first + k + 1:0{self._digits}}.xsf"
            path.write_bytes(lines.text[starts[k] : starts[k + 1]].data)

    def _check_alike(self, kinds: NDArray[np.int64], first: int) -> None:
        if self._kind is None:
            self._kind = int(kinds[0])
            assert self._file is not None
            self._file.write(_KINDS[self._kind])
        other = kinds != self._kind
        if other.any():
            raise InputError(
                f"structure {first + int(np.argmax(other))} is not periodic as the first one is, and an "
                "animation can't say so: export to a directory, with format='xsf'"
            )

    def _lines(self, block: Block, kinds: NDArray[np.int64]) -> Lines:
        columns, in_cell = block.columns, kinds != _NO_CELL
        number = np.arange(block.first + 1, block.first + len(block) + 1)
        count = Item(b" " if self._animated else b"", number if self._animated else None, b"\n")
        energies: list[Item] = []
        if "energy" in columns:
            energies.append(Item(b"# total energy = ", columns["energy"], b" eV\n", block.has("energy")))
        head = [] if self._animated else [*energies, Item(b"\n", kinds, texts=_KINDS)]
        cell = columns["cell"]
        head += [
            Item(b"PRIMVEC", present=in_cell),
            Item(count.before, count.rows, count.after, in_cell),
            *(Item(b" ", cell[:, k], b"\n", in_cell) for k in range(3)),
            Item(b"PRIMCOORD", present=in_cell),
            Item(count.before, count.rows, count.after, in_cell),
            Item(b" ", block.n_atoms, b" 1\n", in_cell),
            Item(b"ATOMS", present=~in_cell),
            Item(count.before, count.rows, count.after, ~in_cell),
        ]
        head += energies if self._animated else []  # inside of its frame, or it could be the last one's
        atoms = [Item(rows=columns["numbers"], texts=_ELEMENTS), Item(b" ", columns["positions"])]
        if "forces" in columns:
            atoms.append(Item(b" ", columns["forces"], present=block.has("forces")))
        return written(block.n_atoms, head, [*atoms, Item(b"\n")])

    def end(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _kinds(block: Block) -> NDArray[np.int64]:
    """Return the number of vectors along which each structure is periodic, 4 if it has no cell at all."""
    kinds = block.columns["pbc"].astype(bool).sum(axis=1).astype(np.int64)
    return np.where(np.any(block.columns["cell"], axis=(1, 2)), kinds, _NO_CELL)
