"""The databases of aenet, which PyTables writes: a pickle for each structure, and a table beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pickle import UnpicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.errors import InputError
from zstruct.schema import ATOM, STRUCTURE
from zstruct.sources.hdf5.blocks import joined
from zstruct.sources.hdf5.file import text_of
from zstruct.sources.hdf5.plan import Group, Item
from zstruct.sources.pickles import Call, Record, loads, shown
from zstruct.sources.source import Raw, Slice

__all__ = ["count", "is_aenet", "read"]

_GEOMETRY = "aenet.geometry"
# Structures of aenet.
_KNOWN: dict[tuple[str, str], Call | None] = {
    (_GEOMETRY, "AtomicStructure"): None,
    (f"{_GEOMETRY}.structure", "AtomicStructure"): None,
    ("aenet.torch_training.config", "Structure"): None,
}
_BLOCK = 4000  # structures that are joined


def _made(kind: Any, *rest: Any) -> Record:
    if not isinstance(kind, type) or not issubclass(kind, Record):
        raise UnpicklingError("it makes an object of what is no class")
    return kind()


# What pickles of old protocols call to make one.
_KNOWN["copyreg", "_reconstructor"] = _KNOWN["copy_reg", "_reconstructor"] = Call(_made)
_KNOWN["builtins", "object"] = _KNOWN["__builtin__", "object"] = Call(lambda: None)


def is_aenet(file: Any) -> bool:
    """Tell whether a file is one of aenet's."""
    entries = file.get("entries")
    return hasattr(entries, "keys") and hasattr(entries.get("structures"), "shape")


def count(file: Any, allowed: bool, label: str) -> int:
    """Return how many structures there are.

    Raises
    ------
    InputError
        If pickles are not allowed.
    """
    if not allowed:
        raise InputError(
            "its structures are pickles, which in other hands can run any program; give allow_pickle=True to "
            "read them: only arrays and structures of aenet are made of them, anything else ends the build",
            label,
        )
    return int(file["entries/structures"].shape[0])


def read(file: Any, piece: Slice, allowed: bool, label: str) -> Iterator[Raw]:
    """Yield structures in blocks."""
    count(file, allowed, label)
    for first in range(piece.start, piece.stop, _BLOCK):
        last = min(first + _BLOCK, piece.stop)
        rows = file["entries/structures"][first:last]
        names = _names(file, first, last)
        found: list[Group] = []
        bad: dict[int, str] = {}
        for k, row in enumerate(rows):
            try:
                record = loads(np.asarray(row, dtype=np.uint8).tobytes(), _KNOWN, label)
                group = _group(record, label)
            except InputError as error:
                bad[first + k] = error.reason
                continue
            except Exception as error:  # noqa: BLE001 - whatever a damaged or malicious one raises
                bad[first + k] = f"the pickle holds no structure of aenet: {shown(error)}"
                continue
            if names[k]:
                group.labels["name"] = Item(STRUCTURE, np.array([names[k]], dtype=object))
            found.append(group)
        yield joined(found, first, bad)


def _names(file: Any, first: int, last: int) -> list[str]:
    """Return what the table calls structures."""
    meta = file["entries"].get("meta")
    if meta is None or meta.dtype.names is None:
        return [""] * (last - first)
    key = next((name for name in ("name", "display_name", "file_path") if name in meta.dtype.names), None)
    if key is None or meta.shape[0] < last:
        return [""] * (last - first)
    return [text_of(one) for one in meta[key, first:last].tolist()]


def _group(record: Any, label: str) -> Group:
    """Return a structure of aenet; of several frames the last one, as aenet takes it for training."""
    if not isinstance(record, Record) or not isinstance(record.state, dict):
        raise InputError("the pickle holds no structure of aenet", label)
    if "coords" in record.state:
        positions, species = _last(record.get("coords")), record.get("types")
        energy, forces = _last(record.get("energy")), _last(record.get("forces"))
        periodic = record.get("pbc") is True
        cell = _last(record.get("avec")) if periodic else None
        pbc: Any = [periodic] * 3
    else:
        positions, species = record.get("positions"), record.get("species")
        energy, forces, cell = (record.get(name) for name in ("energy", "forces", "cell"))
        pbc = record.get("pbc")
        pbc = [cell is not None] * 3 if pbc is None else pbc
    xyz = _floats(positions, (-1, 3), "positions", label)
    symbols = np.array([text_of(one) for one in np.asarray(species, dtype=object).reshape(-1)])
    if len(symbols) != len(xyz):
        raise InputError(f"it has positions of {len(xyz)} atoms, and {len(symbols)} species", label)
    found = Group(1, len(xyz), symbols[None], xyz[None])
    if cell is not None:
        found.cell = _floats(cell, (3, 3), "cell", label)[None]
    found.pbc = np.asarray(pbc, dtype=object).reshape(1, -1).astype(bool)
    if found.pbc.shape != (1, 3):
        raise InputError("pbc should be three values", label)
    if energy is not None:
        found.labels["energy"] = Item(STRUCTURE, _floats(energy, (1,), "energy", label))
    if forces is not None and np.size(forces):
        found.labels["forces"] = Item(ATOM, _floats(forces, xyz.shape, "forces", label))
    return found


def _last(values: Any) -> Any:
    """Return what belongs to the last frame, or None."""
    return values[-1] if isinstance(values, (list, tuple, np.ndarray)) and len(values) else None


def _floats(values: Any, shape: tuple[int, ...], name: str, label: str) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64).reshape(shape)
    except (TypeError, ValueError):
        wanted = " x ".join("n" if n < 0 else str(n) for n in shape)
        raise InputError(f"{name} should be {wanted} numbers", label) from None
