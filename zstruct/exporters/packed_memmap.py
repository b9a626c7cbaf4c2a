"""A packed memmap directory: one headerless file per array, as mmml reads it.

Energies are in double precision, positions and forces in single; units are in no file, and are the store's.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from zstruct.errors import InputError
from zstruct.exporters.exporter import Block, Contents, Exporter
from zstruct.ragged import counts_to_offsets

__all__ = ["PackedMemmapExporter"]

# File, field, and the dtype in the file.
_FILES = (
    ("Z_pack.int32", "numbers", "<i4"),
    ("R_pack.f32", "positions", "<f4"),
    ("F_pack.f32", "forces", "<f4"),
    ("E.f64", "energy", "<f8"),
    ("Qtot.f64", "total_charge", "<f8"),
)
_NEEDED = ("energy", "forces")


class PackedMemmapExporter(Exporter):
    """Writes the directory: ``offsets.npy``, ``n_atoms.npy``, and an array each of what it has."""

    makes_folder = True

    def lost(self, contents: Contents) -> dict[str, str]:
        """Return the fields that have no file, and digits."""
        kept = {field for _, field, _ in _FILES}
        kept |= set() if contents.has_cells else {"cell", "pbc"}
        return {name: "the format has no place for it" for name in contents.fields if name not in kept}

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the directory.

        Raises
        ------
        InputError
            If there are no energies or forces: the format can't do without.
        """
        for name in _NEEDED:
            if name not in contents.fields:
                raise InputError(f"a packed memmap has {name} of every structure, and there are none")
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
            there = block.has(name)
            if not there.all():
                which = block.first + int(np.argmin(there))
                raise InputError(
                    f"structure {which} has no {name}, and a packed memmap can't say so: select those "
                    f"that have it, with select='has({name})', or leave it out"
                )
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
