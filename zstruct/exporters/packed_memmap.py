"""A packed memmap directory: one headerless file per array, as mmml reads it.

Energies are in double precision, positions and forces in single; units are in no file, and are the store's.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from zstruct.exporters.blocks import Block, Contents
from zstruct.exporters.exporter import Exporter
from zstruct.exporters.limits import Entry, FieldLimit, Limits, StructureLimit, only
from zstruct.ragged import counts_to_offsets, segment_reduce

__all__ = ["PackedMemmapExporter"]

# File, field, and the dtype in the file.
_FILES = (
    ("Z_pack.int32", "numbers", "<i4"),
    ("R_pack.f32", "positions", "<f4"),
    ("F_pack.f32", "forces", "<f4"),
    ("E.f64", "energy", "<f8"),
    ("Qtot.f64", "total_charge", "<f8"),
)
_DTYPES = {field: np.dtype(dtype) for _, field, dtype in _FILES}
_NEEDED = ("energy", "forces")


def _no_cells(entry: Entry) -> str:
    lost = entry.name in ("cell", "pbc") and entry.contents.has_cells
    return "the format has no place for it" if lost else ""


def _is_halved(entry: Entry) -> str:
    dtype = _DTYPES.get(entry.name)
    halved = dtype is not None and entry.field.kind == "float" and np.dtype(entry.field.dtype) > dtype
    return "written in single precision" if halved else ""


def _is_huge(block: Block) -> NDArray[np.bool_]:
    """Return which structures have numbers that single precision has not."""
    found = np.zeros(len(block), dtype=bool)
    for name in {"positions", "forces"} & set(block.columns):
        huge = np.abs(block.columns[name]).max(axis=1, initial=0) > np.finfo(np.float32).max
        found |= segment_reduce(huge, block.offsets, "max").astype(bool)
    return found


def _lacks_charge(block: Block) -> NDArray[np.bool_]:
    there = block.has("total_charge")
    return ~there if "total_charge" in block.columns else np.zeros(len(block), dtype=bool)


class PackedMemmapExporter(Exporter):
    """Writes the directory: ``offsets.npy``, ``n_atoms.npy``, and an array each of what it has."""

    makes_folder = True
    limits = Limits(
        (
            FieldLimit("cells", _no_cells),
            only([field for _, field, _ in _FILES]),
            FieldLimit("digits of positions and forces in double precision", _is_halved, "precision"),
        ),
        (
            StructureLimit(
                "numbers beyond single precision",
                "has a position or a force that is no number of single precision: select others",
                _is_huge,
                refused=True,
            ),
            StructureLimit(
                "structures without a total charge where others have one",
                "has no total_charge, and others may have one: select those that have it, with "
                "select='has(total_charge)', or leave it out",
                _lacks_charge,
                refused=True,
            ),
        ),
        needed=_NEEDED,
        always=(("units", "no file says them: energies are in eV, lengths in angstrom"),),
    )

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the directory."""
        target.mkdir()
        self._folder = target
        self._counts: list[np.ndarray] = []
        self._files: dict[str, tuple[BinaryIO, str]] = {
            field: (open(target / name, "wb"), dtype)  # noqa: SIM115 (closed by end)
            for name, field, dtype in _FILES
            if field in contents.fields
        }

    def write(self, block: Block) -> None:
        """Append some structures."""
        for name, (file, dtype) in self._files.items():
            file.write(np.ascontiguousarray(block.columns[name], dtype=dtype).data)
        self._counts.append(block.n_atoms)

    def end(self) -> None:
        """Write the table of structures and close the files."""
        self.abort()
        counts = np.concatenate([np.zeros(0, np.int64), *self._counts])
        np.save(self._folder / "offsets.npy", counts_to_offsets(counts))
        np.save(self._folder / "n_atoms.npy", counts.astype(np.int32))

    def abort(self) -> None:
        """Close the files."""
        for file, _ in self._files.values():
            file.close()
