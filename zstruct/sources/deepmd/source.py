"""Read systems of DeePMD-kit: ``set.*/*.npy``, the same with mixed types, or ``*.raw``.

What the meaning of a property is beyond its name and unit is not known here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import atomic_number
from zstruct.errors import InputError
from zstruct.schema import ATOM, GEOMETRY
from zstruct.sources.deepmd.rows import ArrayRows, Rows, TextRows
from zstruct.sources.deepmd.system import LABELS, Label, System, system_of
from zstruct.sources.source import SLICE_BYTES, FileSource, Raw, RawColumn, Slice

__all__ = ["DeePMDSource"]

# Bytes of a block in double precision.
_BLOCK_BYTES = 16 << 20


class DeePMDSource(FileSource):
    """One system of DeePMD-kit: a directory with ``type.raw``.

    Structures are in ``set.*/*.npy`` (``coord``, ``box``, ``energy``, ``force``, ``virial``), in the order of
    the sets, or else in ``*.raw`` of the same names; where both are there, the sets are read, which are made
    of the others. Types count from zero; ``type_map.raw`` names their elements, without it the user does.
    With ``real_atom_types.npy`` types differ from structure to structure, and -1 is a place without an atom.
    A file ``nopbc`` says that nothing is periodic; boxes are not read then. Lengths are in angstrom, energies
    and virials in eV, and a virial is minus the stress times the volume. ``atom_ener`` are energies of atoms;
    other arrays keep their names.

    Parameters
    ----------
    path
        The directory.
    """

    runs_in: Literal["threads", "processes", "here", "caller"] = "threads"

    def fingerprint(self) -> dict[str, Any]:
        """Return the size of all files, and a digest of their names, sizes and times."""
        total, digest = 0, hashlib.sha256()
        for folder, _, names in sorted(os.walk(self.path)):
            if folder != self.path and not os.path.basename(folder).startswith("set."):
                continue
            for name in sorted(names):
                if name.endswith((".npy", ".raw")) or name == "nopbc":
                    stat = os.stat(os.path.join(folder, name))
                    total += stat.st_size
                    digest.update(f"{folder}/{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return {"size": total, "digest": digest.hexdigest()}

    def scan(self) -> list[Slice]:
        """Return ranges of structures of about `SLICE_BYTES`; one if they are text.

        Raises
        ------
        InputError
            If this is no such directory, its files are damaged or do not fit together, or there are no
            structures.
        """
        system = self._system()
        if not system.sets:
            size = int(self.fingerprint()["size"])
            return [Slice(0, 0, 0, size)]
        slices: list[Slice] = []
        start = 0
        for folder in system.sets:
            with self._set(folder, system) as rows:
                each = max(1, SLICE_BYTES // max(rows.row_bytes, 1))
                for first in range(0, rows.n or 0, each):
                    n = min(each, (rows.n or 0) - first)
                    slices.append(Slice(start + first, start + first + n, start + first, n * rows.row_bytes))
                start += rows.n or 0
        if not slices:
            raise InputError("there are no structures: all sets are empty", self.label)
        return slices

    def read(self, piece: Slice) -> Iterator[Raw]:
        """Yield the structures of a slice in blocks.

        Raises
        ------
        InputError
            If files are damaged, or do not fit together.
        """
        system = self._system()
        if not system.sets:
            with TextRows(self.path, self.label, len(system.types), _known(system)) as rows:
                yield from self._blocks(rows, system, 0, None, 0)
            return
        start = 0
        for folder in system.sets:
            with self._set(folder, system) as rows:
                n = rows.n or 0
                first, last = max(piece.start, start), min(piece.stop, start + n)
                if first < last:
                    yield from self._blocks(rows, system, first - start, last - start, start)
                start += n

    def _system(self) -> System:
        if not os.path.isdir(self.path):
            raise InputError("a system of DeePMD-kit is a directory, and this is none", self.label)
        return system_of(self.path, self.label)

    def _set(self, folder: str, system: System) -> ArrayRows:
        return ArrayRows(folder, self.label, len(system.types), _known(system))

    def _blocks(self, rows: Rows, system: System, start: int, stop: int | None, before: int) -> Iterator[Raw]:
        """Yield the structures of a set from one to another, of all of them if that is not known."""
        each = max(1, _BLOCK_BYTES // max(8 * rows.numbers, 1))
        rows.skip_to(start)
        at = start
        while stop is None or at < stop:
            n = each if stop is None else min(each, stop - at)
            table = rows.take(n)
            n = len(table["coord"])
            if n:
                yield self._block(rows, table, system, before + at, n)
            at += n
            if stop is None and n < each:
                if at == 0:
                    raise InputError("there are no structures: coord.raw is empty", self.label)
                return

    def _block(self, rows: Rows, table: dict[str, NDArray[Any]], system: System, first: int, n: int) -> Raw:
        """Return the block that rows of some structures make."""
        width = len(system.types)
        frames = np.arange(first, first + n)
        types = table.pop("real_atom_types", None)
        kept = None
        counts = np.full(n, width)
        codes, repeats = system.types, n
        if types is not None:
            codes, counts, kept = self._real(types, system)
            repeats = 1
        raw = Raw(frames, counts, first_type=0)
        _add_types(raw, codes, repeats, system)
        positions = _plain(table.pop("coord").reshape(n * width, 3))
        if positions.dtype.kind != "f":
            positions = positions.astype(np.float64)
        raw.atom["positions"] = [RawColumn(positions if kept is None else positions[kept])]
        if system.periodic:
            raw.structure["cell"] = [RawColumn(table.pop("box").reshape(n, 3, 3).astype(np.float64))]
        raw.structure["pbc"] = [RawColumn(np.full((n, 3), system.periodic))]
        for name, values in table.items():
            label = rows.labels[name]
            key = f"input_{label.name}" if label.name in GEOMETRY else label.name
            if label.level is None:
                raw.structure[key] = [RawColumn(np.zeros(n), fault=_UNTOLD.format(name, key))]
            elif label.level == ATOM:
                values = _plain(values.reshape(n * width, *label.shape))
                raw.atom[key] = [RawColumn(values if kept is None else values[kept], unit=label.unit)]
            else:
                raw.structure[key] = [RawColumn(_plain(values.reshape(n, *label.shape)), unit=label.unit)]
        return raw

    def _real(
        self, types: NDArray[Any], system: System
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_] | None]:
        """Return types, atoms of each structure, and which places have atoms, of mixed structures."""
        with np.errstate(invalid="ignore"):
            whole = types.astype(np.int64)
        limit = len(system.names) if system.names else 1 << 31
        if (whole != types).any() or (whole < -1).any() or (whole >= limit).any():
            odd = types[(whole != types) | (whole < -1) | (whole >= limit)][0]
            named = f", and type_map.raw names {limit}" if system.names else ""
            raise InputError(f"real_atom_types.npy has the type {odd}{named}", self.label)
        there = whole >= 0
        if there.all():
            return whole.reshape(-1), np.full(len(whole), whole.shape[1]), None
        return whole[there], there.sum(axis=1), there.reshape(-1)


_UNTOLD = (
    "{0}.npy could have a value for each atom or several for each structure, and nothing says which; leave "
    "it out with exclude=[{1!r}]"
)


def _known(system: System) -> Mapping[str, Label]:
    """Return the arrays whose form is known, geometry among them."""
    geometry = {"coord": Label("positions", ATOM, (3,))}
    if system.periodic:
        geometry["box"] = Label("cell", "structure", (3, 3))
    return {**geometry, "real_atom_types": Label("type", ATOM, ()), **LABELS}


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Return values in a dtype that blocks may have."""
    if values.dtype.kind in "iu":
        return values.astype(np.int64, copy=False)
    if values.dtype.kind == "b" or values.dtype.itemsize in (4, 8):
        return values
    return values.astype(np.float32 if values.dtype.itemsize < 4 else np.float64)


def _add_types(raw: Raw, codes: NDArray[np.int64], repeats: int, system: System) -> None:
    """Add elements, or types where they are not named, of atoms that come so many times."""
    names = system.names
    if names:
        numbers = np.array([atomic_number(name) or 0 for name in names], dtype=np.uint8)[codes]
        if numbers.all():
            raw.atom["numbers"] = [RawColumn(np.tile(numbers, repeats))]
            return
    codes = np.tile(codes, repeats)
    raw.atom["numbers"] = [RawColumn(np.zeros(len(codes), dtype=np.uint8))]
    raw.types = RawColumn(codes.astype(np.int32) if names else codes, texts=list(names) if names else None)
