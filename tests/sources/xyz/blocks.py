"""Read extended XYZ as blocks, and look at their frames one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zstruct.sources.source import Raw, RawColumn
from zstruct.sources.xyz.source import XYZSource

EXTENDED = "Properties=species:S:1:pos:R:3"


def read(path: Path) -> list[Raw]:
    source = XYZSource(path)
    return [raw for piece in source.scan() for raw in source.read(piece)]


def read_text(tmp_path: Path, text: str | bytes, name: str = "in.xyz") -> Raw:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    (raw,) = read(path)
    return raw


def comment(tmp_path: Path, line: str) -> Raw:
    """Read one frame with this comment."""
    return read_text(tmp_path, f"1\n{line}\nH 0 0 0\n")


def value_of(column: RawColumn, row: Any) -> Any:
    value = column.values[row]
    if column.texts is None:
        return value
    return np.array(column.texts, dtype=object)[value]


def frames_of(raw: Raw) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """Yield number, per-structure and per-atom properties of each frame."""
    offsets = np.concatenate([[0], np.cumsum(raw.n_atoms)])
    for i, frame in enumerate(raw.frames):
        info, arrays = {}, {}
        for table, row, out in (
            (raw.structure, i, info),
            (raw.atom, slice(*offsets[i : i + 2]), arrays),
        ):
            for name, columns in table.items():
                here = [c for c in columns if c.present is None or c.present[i]]
                assert len(here) <= 1, name
                if here:
                    out[name] = value_of(here[0], row)
        yield int(frame), info, arrays


def only(raw: Raw) -> tuple[dict[str, Any], dict[str, Any]]:
    assert raw.bad == []
    ((_, info, arrays),) = frames_of(raw)
    return info, arrays


def reasons(raw: Raw) -> dict[int | None, str]:
    return {bad.frame: bad.reason for bad in raw.bad}
