"""Part files: the packed blocks of one parse job, on disk between parsing and encoding.

A part is written once, streaming, under a temporary name, and renamed when it is whole; whoever
finds one can trust it. Arrays lie raw and aligned, a JSON footer says what and where they are.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zstruct.disk import WholeFile, naming
from zstruct.ragged import Packed
from zstruct.schema import Field
from zstruct.store.decimals import DecimalRange

__all__ = ["PartBlock", "PartWriter", "read_blocks", "read_summary"]

_ALIGN = 64
_END = b"zstruct part 1\n\n"


class PartWriter:
    """Writes the blocks of one part; the part appears when `close` has returned.

    Parameters
    ----------
    path
        Where the part will be.
    durable
        Whether to wait for the disk, so that the part survives a power failure.
    """

    def __init__(self, path: Path, *, durable: bool = True):
        self._whole = WholeFile(path, durable=durable, shared=True)
        self._file = self._whole.file
        self._blocks: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._file.closed:
            self._whole.discard()

    def add(self, packed: Packed) -> None:
        """Append a block."""
        columns = {}
        for name, values in packed.columns.items():
            mask = packed.present.get(name)
            columns[name] = {
                "field": dataclasses.asdict(packed.fields[name]),
                "values": self._array(values),
                "present": None if mask is None else self._array(mask),
                "coverage": len(packed) if mask is None else int(mask.sum()),
                "categories": packed.categories.get(name),
                "decimals": _decimals(packed.fields[name], values),
            }
        self._blocks.append(
            {
                "n_structures": len(packed),
                "n_atoms": int(packed.n_atoms.sum()),
                "counts": self._array(packed.n_atoms),
                "columns": columns,
            }
        )

    def _array(self, values: NDArray[Any]) -> dict[str, Any]:
        data = np.ascontiguousarray(values)
        with naming(self._whole.partial):
            self._file.write(b"\0" * (-self._file.tell() % _ALIGN))
            start = self._file.tell()
            self._file.write(data.reshape(-1).view(np.uint8).data)
        return {"start": start, "dtype": data.dtype.str, "shape": data.shape}

    def close(self, summary: Mapping[str, Any]) -> None:
        """Write the footer with a JSON-able `summary` and give the part its name."""
        footer = json.dumps({"blocks": self._blocks, "summary": dict(summary)}).encode()
        with naming(self._whole.partial):
            self._file.write(footer + len(footer).to_bytes(8, "little") + _END)
        self._whole.keep()


def _decimals(field: Field, values: NDArray[Any]) -> dict[str, Any] | None:
    """Return what numbers need to be stored as decimals; None if they are none."""
    if field.kind not in ("float", "int"):
        return None
    found = DecimalRange.of(values)
    return None if found is None else dataclasses.asdict(found)


@dataclasses.dataclass(frozen=True)
class PartBlock:
    """One block of a part: what it holds, and its arrays on demand."""

    path: Path
    n_structures: int
    n_atoms: int
    fields: dict[str, Field]
    coverage: dict[str, int]
    categories: dict[str, list[str]]
    decimals: dict[str, DecimalRange]
    _counts: dict[str, Any]
    _columns: dict[str, dict[str, Any]]

    def counts(self) -> NDArray[np.int64]:
        """Return the atoms of each structure."""
        return self._read(self._counts)

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Return rows ``start:stop`` of a column."""
        return self._read(self._columns[name]["values"], start, stop)

    def column(self, name: str) -> NDArray[Any]:
        """Return a column as a memory map, for scattered access."""
        entry = self._columns[name]["values"]
        shape = tuple(entry["shape"])
        if 0 in shape:
            return np.empty(shape, entry["dtype"])
        return np.memmap(self.path, entry["dtype"], "r", offset=entry["start"], shape=shape)

    def present(self, name: str) -> NDArray[np.bool_]:
        """Return which structures have the column's property."""
        entry = self._columns[name]["present"]
        return np.ones(self.n_structures, dtype=bool) if entry is None else self._read(entry)

    def _read(self, entry: Mapping[str, Any], start: int = 0, stop: int | None = None) -> NDArray[Any]:
        # Reading instead of mapping keeps the memory of a build bounded by what it asks for.
        n, *rest = entry["shape"]
        dtype, row = np.dtype(entry["dtype"]), int(np.prod(rest, dtype=int))
        last = n if stop is None else stop
        offset = entry["start"] + start * row * dtype.itemsize
        values = np.fromfile(self.path, dtype, (last - start) * row, offset=offset)
        return values.reshape(last - start, *rest)


def _footer(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        file.seek(-len(_END) - 8, os.SEEK_END)
        tail = file.read()
        assert tail.endswith(_END), f"{path} is no part of a build"
        length = int.from_bytes(tail[:8], "little")
        file.seek(-len(_END) - 8 - length, os.SEEK_END)
        footer: dict[str, Any] = json.loads(file.read(length))
    return footer


def read_summary(path: Path) -> dict[str, Any]:
    """Return the summary that a part was closed with."""
    summary: dict[str, Any] = _footer(path)["summary"]
    return summary


def read_blocks(path: Path) -> list[PartBlock]:
    """Return the blocks of a part, arrays unread."""
    blocks = []
    for entry in _footer(path)["blocks"]:
        columns = entry["columns"]
        blocks.append(
            PartBlock(
                path=path,
                n_structures=entry["n_structures"],
                n_atoms=entry["n_atoms"],
                fields={name: Field.from_json(column["field"]) for name, column in columns.items()},
                coverage={name: column["coverage"] for name, column in columns.items()},
                categories={n: c["categories"] for n, c in columns.items() if c["categories"] is not None},
                decimals={n: DecimalRange(**c["decimals"]) for n, c in columns.items() if c["decimals"]},
                _counts=entry["counts"],
                _columns=columns,
            )
        )
    return blocks
