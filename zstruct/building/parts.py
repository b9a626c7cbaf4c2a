"""Parts: the packed blocks of one parse job, between parsing and encoding, in memory or on disk.

A part is kept in memory where there is room and the process that encodes is the one that parses. A file is
written once, streaming, under a temporary name, and renamed when it is whole; whoever finds one can trust it.
Arrays lie raw and aligned, a JSON footer says what and where they are. Blocks read the same from both.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from zstruct.building.part_blocks import Content, PartBlock, StoredEntry, array_of
from zstruct.disk import WholeFile, naming
from zstruct.ragged import Packed
from zstruct.schema import FIELDS, Field
from zstruct.store.decimals import DecimalRange

__all__ = [
    "MEMORY_BYTES",
    "PartWriter",
    "read_blocks",
    "read_contents",
    "read_entries",
    "read_summary",
    "release",
]

#: Bytes of parts that may be in memory: seconds of parsing, which a kill costs.
MEMORY_BYTES = 512 << 20

_ALIGN = 64
_END = b"zstruct part 1\n\n"


class _Shelf:
    """The parts of this process that are in memory, by path."""

    def __init__(self) -> None:
        self._footers: dict[Path, Any] = {}
        self._taken: dict[Path, Any] = {}
        self._lock = threading.Lock()

    def take(self, path: Path, nbytes: int) -> bool:
        """Return whether there is room for so much more of a part."""
        with self._lock:
            if sum(self._taken.values()) + nbytes > MEMORY_BYTES:
                return False
            self._taken[path] = self._taken.get(path, 0) + nbytes
            return True

    def put(self, path: Path, footer: dict[str, Any]) -> None:
        """Keep a part."""
        self._footers[path] = footer

    def get(self, path: Path) -> Any:
        """Return the footer of a part, with arrays where files have their places; None if it isn't here."""
        return self._footers.get(path)

    def drop(self, path: Path) -> None:
        """Forget a part, or all parts in a folder, and what has been taken for them."""
        with self._lock:
            for table in (self._footers, self._taken):
                for part in [part for part in table if path in (part, part.parent)]:
                    del table[part]


_SHELF = _Shelf()


def release(folder: Path) -> None:
    """Let go of the parts of a folder that are in memory."""
    _SHELF.drop(folder)


class PartWriter:
    """Writes the blocks of one part; the part is there when `close` has returned.

    Parameters
    ----------
    path
        Where the part will be.
    durable
        Whether to wait for the disk, so that a file survives a power failure.
    in_memory
        Whether the part may stay in memory, which holds `MEMORY_BYTES` of them: for who encodes in this
        process. It is lost with the process.
    decimals
        Whether to find out what numbers need to be stored as decimals.
    """

    def __init__(self, path: Path, *, durable: bool = True, in_memory: bool = False, decimals: bool = True):
        self._path, self._durable, self._decimals = path, durable, decimals
        self._whole = None if in_memory else self._file()
        self._blocks: list[dict[str, Any]] = []

    def _file(self) -> WholeFile:
        return WholeFile(self._path, durable=self._durable, shared=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._whole is not None and not self._whole.file.closed:
            self._whole.discard()
        if error is not None:
            _SHELF.drop(self._path)

    def add(
        self,
        packed: Packed,
        places: tuple[int, NDArray[np.int64]] | None = None,
        ranks: NDArray[np.int64] | None = None,
    ) -> None:
        """Append a block.

        Parameters
        ----------
        packed
            Its structures.
        places
            Of structures of a store, its place among the inputs, and theirs in it.
        ranks
            Of others, their places among those whose content was added to this part.
        """
        columns = {}
        for name, values in packed.columns.items():
            mask = packed.present.get(name)
            columns[name] = {
                "field": asdict(packed.fields[name]),
                "values": np.ascontiguousarray(values),
                "present": None if mask is None else np.ascontiguousarray(mask),
                "coverage": len(packed) if mask is None else int(mask.sum()),
                "categories": packed.categories.get(name),
                "decimals": _decimals(packed.fields[name], values) if self._decimals else None,
            }
        block = {
            "n_structures": len(packed),
            "n_atoms": int(packed.n_atoms.sum()),
            "counts": np.ascontiguousarray(packed.n_atoms),
            "columns": columns,
        }
        if places is not None:
            block |= {"input": places[0], "places": places[1]}
        if ranks is not None:
            block["ranks"] = ranks
        self._add(block, packed.nbytes)

    def add_content(self, content: Content) -> None:
        """Append what tells structures that were read from others, be they kept or not."""
        self._add({"content": vars(content)}, content.codes.nbytes + content.hashes.nbytes)

    def add_stored(self, entry: StoredEntry) -> None:
        """Append a block that stays in its store."""
        added = {
            name: {"field": asdict(spec), "values": np.ascontiguousarray(values), "texts": texts}
            for name, (spec, values, texts) in entry.added.items()
        }
        arrays = [entry.chosen, *entry.used.values(), *(values for _, values, _ in entry.added.values())]
        nbytes = sum(array.nbytes for array in arrays if array is not None)
        self._add({"stored": {**vars(entry), "added": added}}, nbytes)

    def _add(self, block: dict[str, Any], nbytes: int) -> None:
        if self._whole is None and not _SHELF.take(self._path, nbytes):
            _SHELF.drop(self._path)
            self._whole = self._file()
            self._blocks = [self._written(earlier) for earlier in self._blocks]
        self._blocks.append(block if self._whole is None else self._written(block))

    def _written(self, value: Any) -> Any:
        """Return a block with the places in the file in place of its arrays, which are written there."""
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, dict):
            return {name: self._written(inner) for name, inner in value.items()}
        return value

    def _array(self, values: NDArray[Any]) -> dict[str, Any]:
        assert self._whole is not None
        file = self._whole.file
        with naming(self._whole.partial):
            file.write(b"\0" * (-file.tell() % _ALIGN))
            start = file.tell()
            file.write(values.reshape(-1).view(np.uint8).data)
        return {"start": start, "dtype": values.dtype.str, "shape": values.shape}

    def close(self, summary: Mapping[str, Any]) -> None:
        """Write the footer with a JSON-able `summary` and give the part its name."""
        if self._whole is None:
            # As it would be read from a file.
            _SHELF.put(self._path, {"blocks": self._blocks, "summary": json.loads(json.dumps(dict(summary)))})
            return
        text = json.dumps({"blocks": self._blocks, "summary": dict(summary)}).encode()
        with naming(self._whole.partial):
            self._whole.file.write(text + len(text).to_bytes(8, "little") + _END)
        self._whole.keep()


def _decimals(spec: Field, values: NDArray[Any]) -> dict[str, Any] | None:
    """Return what numbers need to be stored as decimals; None if they are none, or never will be doubles."""
    if spec.kind not in ("float", "int") or (spec.kind == "int" and spec.name in FIELDS):
        return None
    if spec.dtype == "float32":
        return None
    found = DecimalRange.of(values)
    return None if found is None else asdict(found)


def _footer(path: Path) -> dict[str, Any]:
    held = _SHELF.get(path)
    if held is not None:
        return held
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


def read_entries(path: Path) -> list[PartBlock | StoredEntry]:
    """Return the blocks of a part, arrays of files unread, and what it says of those that are in stores."""
    return [
        _stored(path, entry["stored"]) if "stored" in entry else _block(path, entry)
        for entry in _footer(path)["blocks"]
        if "content" not in entry
    ]


def read_contents(path: Path) -> Iterator[Content]:
    """Yield what a part says of the content of structures that were read, in their order."""
    for entry in _footer(path)["blocks"]:
        if "content" in entry:
            said = entry["content"]
            codes, hashes = array_of(path, said["codes"]), array_of(path, said["hashes"])
            yield Content(said["labels"], codes, hashes)


def read_blocks(path: Path) -> list[PartBlock]:
    """Return the blocks of a part that are in it, arrays of files unread."""
    return [entry for entry in read_entries(path) if isinstance(entry, PartBlock)]


def _block(path: Path, entry: Mapping[str, Any]) -> PartBlock:
    columns = entry["columns"]
    return PartBlock(
        path=path,
        n_structures=entry["n_structures"],
        n_atoms=entry["n_atoms"],
        fields={name: Field.from_json(column["field"]) for name, column in columns.items()},
        coverage={name: column["coverage"] for name, column in columns.items()},
        categories={n: c["categories"] for n, c in columns.items() if c["categories"] is not None},
        decimals={n: DecimalRange(**c["decimals"]) for n, c in columns.items() if c["decimals"]},
        _counts=entry["counts"],
        _columns=columns,
        input=entry.get("input"),
        _places=entry.get("places"),
        _ranks=entry.get("ranks"),
    )


def _stored(path: Path, entry: Mapping[str, Any]) -> StoredEntry:
    chosen = entry["chosen"]
    return StoredEntry(
        **{
            **entry,
            "chosen": None if chosen is None else array_of(path, chosen),
            "used": {name: array_of(path, codes) for name, codes in entry["used"].items()},
            "added": {
                name: (Field.from_json(one["field"]), array_of(path, one["values"]), one["texts"])
                for name, one in entry["added"].items()
            },
        }
    )
