"""Systems of DeePMD-kit (npy): a directory for each composition.

DeePMD-kit has one list of atoms for all structures of a system, so atoms are sorted by their elements, and
structures that differ in their atoms, in their periodicity or in the labels that they have are apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS
from zstruct.exporters.blocks import Block, Contents
from zstruct.exporters.exporter import Exporter
from zstruct.exporters.limits import BOXES, FLAT, PARTLY_PERIODIC, Limits, only, periodic
from zstruct.exporters.virials import (
    HUGE_STRESSES,
    STRESS_DIGITS,
    STRESSES_WITHOUT_VOLUME,
    VIRIALS_BESIDE_STRESSES,
    virials_of,
)
from zstruct.ragged import atom_rows

__all__ = ["DeePMDExporter"]

# Labels of DeePMD-kit, by the names of their files, and the fields that they are.
_LABELS = {"energy": "energy", "force": "forces", "atom_ener": "energies"}
_OF_ATOMS = ("coord", "force", "atom_ener")
#: Bytes of a header of an array; there is room for any number of rows.
_HEADER = 128
#: Bytes that wait in memory until they are written, and the longest name of a directory.
_WAITING, _LONGEST = 64 << 20, 200


@dataclass
class _System:
    """A system that is being written.

    Parameters
    ----------
    folder
        Its directory.
    n
        How many structures it has.
    waiting
        Rows that are not written yet, by array.
    rows
        Dtype and length of a row of each array.
    """

    folder: Path
    n: int = 0
    waiting: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    rows: dict[str, tuple[np.dtype[Any], int]] = field(default_factory=dict)

    def add(self, name: str, values: NDArray[Any]) -> int:
        """Add rows of an array, shape (n, k); return how many bytes they are."""
        self.waiting.setdefault(name, []).append(values)
        self.rows.setdefault(name, (values.dtype, values.shape[1]))
        return values.nbytes

    def write(self) -> None:
        """Write what waits."""
        for name, parts in self.waiting.items():
            path = self.folder / "set.000" / f"{name}.npy"
            new = not path.exists()
            with open(path, "ab") as file:
                if new:
                    file.write(bytes(_HEADER))
                for part in parts:
                    file.write(np.ascontiguousarray(part).data)
        self.waiting = {}

    def finish(self) -> None:
        """Write what waits, and the headers."""
        self.write()
        for name, (dtype, width) in self.rows.items():
            shape = (self.n,) if name == "energy" else (self.n, width)
            with open(self.folder / "set.000" / f"{name}.npy", "rb+") as file:
                file.write(_header(dtype, shape))


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return the header of an array, in `_HEADER` bytes (version 1.0 of NumPy's format)."""
    text = repr({"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
    magic = npy.magic(1, 0)
    size = _HEADER - len(magic) - 2
    return magic + size.to_bytes(2, "little") + text.encode().ljust(size - 1) + b"\n"


class DeePMDExporter(Exporter):
    """Writes a directory of systems: ``type.raw``, ``type_map.raw`` and ``set.000/*.npy`` in each.

    Energies and virials are in eV, lengths in angstrom, in the precision of the store; a virial is minus the
    stress times the volume. Systems are called after their atoms, and all have the same type map: the
    elements of the store. Structures are in their order within a system.
    """

    makes_folder = True
    file_names = ("*.npy", "*.raw", "nopbc")

    limits = Limits(
        (only((*_LABELS.values(), "stress", "virial")), STRESS_DIGITS),
        (PARTLY_PERIODIC, BOXES, STRESSES_WITHOUT_VOLUME, VIRIALS_BESIDE_STRESSES, FLAT, HUGE_STRESSES),
        always=(("order", "structures are grouped by composition, and their atoms sorted by element"),),
    )

    def begin(self, target: Path, contents: Contents) -> None:
        """Make the directory."""
        target.mkdir()
        self._target = target
        self._types = np.zeros(256, dtype=np.int64)
        self._types[list(contents.elements)] = np.arange(len(contents.elements))
        self._names = "\n".join(SYMBOLS[z] for z in contents.elements) + "\n"
        self._systems: dict[tuple[Any, ...], _System] = {}
        self._taken: dict[str, int] = {}
        self._bytes = 0

    def write(self, block: Block) -> None:
        """Append some structures."""
        in_cell = periodic(block)
        starts = block.offsets[:-1]
        owners = np.repeat(np.arange(len(block)), block.n_atoms)
        order = np.lexsort((block.columns["numbers"], owners))
        numbers = block.columns["numbers"][order]
        present = {name: block.has(key) for name, key in _LABELS.items() if key in block.columns}
        virials, present["virial"] = virials_of(block)
        names = list(present)
        flags = np.stack([in_cell, *present.values()], axis=1)
        members: dict[tuple[Any, ...], list[int]] = {}
        view = numbers.data
        edges = block.offsets.tolist()
        for i, flag in enumerate(map(bytes, flags)):
            members.setdefault((bytes(view[edges[i] : edges[i + 1]]), flag), []).append(i)
        for (atoms, flag), which in members.items():
            system = self._systems.get((atoms, flag))
            if system is None:
                system = self._systems[atoms, flag] = self._new(atoms, bool(flag[0]))
            rows = np.array(which)
            of_atoms = order[atom_rows(starts[rows], block.n_atoms[rows])]
            has = {name: bool(here) for name, here in zip(names, flag[1:], strict=True)}
            self._add(system, block, rows, of_atoms, has, virials)
            if flag[0]:
                self._put(system, "box", block.columns["cell"][rows])
            system.n += len(rows)
        if self._bytes > _WAITING:
            for system in self._systems.values():
                system.write()
            self._bytes = 0

    def _add(
        self,
        system: _System,
        block: Block,
        rows: NDArray[np.int64],
        of_atoms: NDArray[np.int64],
        has: dict[str, bool],
        virials: NDArray[np.float64],
    ) -> None:
        """Add coordinates and labels of some structures of a block to a system."""
        columns = {"coord": "positions", **{name: _LABELS[name] for name in _LABELS if has.get(name)}}
        for name, key in columns.items():
            where = of_atoms if name in _OF_ATOMS else rows
            self._put(system, name, block.columns[key][where].reshape(len(rows), -1))
        if has["virial"]:
            self._put(system, "virial", virials[rows])

    def _put(self, system: _System, name: str, values: NDArray[Any]) -> None:
        self._bytes += system.add(name, values.reshape(len(values), -1))

    def _new(self, atoms: bytes, periodic: bool) -> _System:
        """Make the directory of a system."""
        numbers, counts = np.unique(np.frombuffer(atoms, np.uint8), return_counts=True)
        pairs = zip(numbers.tolist(), counts.tolist(), strict=True)
        name = "".join(f"{SYMBOLS[z]}{n}" for z, n in pairs)[:_LONGEST]
        n = self._taken[name] = self._taken.get(name, 0) + 1
        folder = self._target / (name if n == 1 else f"{name}_{n}")
        (folder / "set.000").mkdir(parents=True)
        types = self._types[np.frombuffer(atoms, np.uint8)]
        (folder / "type.raw").write_text("".join(f"{k}\n" for k in types.tolist()))
        (folder / "type_map.raw").write_text(self._names)
        if not periodic:
            (folder / "nopbc").touch()
        return _System(folder)

    def end(self) -> None:
        """Complete all systems."""
        for system in self._systems.values():
            system.finish()

    def abort(self) -> None:
        """Leave what was begun."""
