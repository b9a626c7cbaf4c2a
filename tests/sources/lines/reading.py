"""What sources of lines read, frame by frame, whichever way; and accidents that files meet with."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from zstruct.errors import InputError
from zstruct.ragged import concatenate
from zstruct.sources.lines import source as lines
from zstruct.sources.normalize.normalize import ReadOptions, normalize

ODD = [
    b"\n", b"\r", b" ", b"\t", b"#", b"\0", b"\xff", b"\xc2\xa0", b"\x1d", b"nan", b"1e999", b"1d5", b"1_0",
    b".", b"-", b"7" * 30, b"0x1", b"\n\n", b" 1", b"H", b"X", b"1 2 3\n",
]  # fmt: skip


def read(source, units=None, elements=None):
    """Return all frames of a source as fields, and what is wrong with the others."""
    options = ReadOptions(units=units or {}, elements=elements or {})
    blocks = [raw for piece in source.scan() for raw in source.read(piece)]
    done = [normalize(raw, options, source.label) for raw in blocks]
    bad = {b.frame: b.reason for _, found in done for b in found}
    return concatenate([packed for packed, _ in done]), bad


def frames_of(blocks) -> dict[int | None, Any]:
    """Return what is known of every frame, values as bytes; or what is wrong with it."""
    found: dict[int | None, Any] = {}
    for raw in blocks:
        for bad in raw.bad:
            assert bad.frame not in found
            found[bad.frame] = bad.reason
        edges = np.concatenate([[0], np.cumsum(raw.n_atoms)])
        for i, frame in enumerate(raw.frames.tolist()):
            assert frame not in found
            known = found[frame] = {}
            rows = slice(edges[i], edges[i + 1])
            types = {} if raw.types is None else {"types": [raw.types]}
            for table, where in ((raw.atom, rows), (types, rows), (raw.structure, slice(i, i + 1))):
                for name, columns in table.items():
                    for column in columns:
                        if column.present is None or column.present[i]:
                            assert name not in known, name
                            values = column.values[where]
                            if column.texts is not None:
                                values = np.array(column.texts)[values]
                            shape = values.shape[1:]
                            known[name] = (
                                None if column.fault else values.tolist(),
                                shape,
                                column.fault,
                                column.unit,
                            )
            known["remarks"] = sorted(s for s, mask in raw.remarks.items() if mask[i])
            if raw.types is not None:
                del known["numbers"]
            found[frame] = dict(sorted(known.items()))
    return found


def blocks_of(source):
    """Return all blocks of a source, or a sentence in place of them."""
    try:
        return [raw for piece in source.scan() for raw in source.read(piece)]
    except InputError as error:
        return error.reason


def both_ways(source, monkeypatch):
    """Return what is read of every frame, after comparing it with what reading them one by one gives."""
    found = blocks_of(source)
    with monkeypatch.context() as patch:
        patch.setattr(type(source), "usual", lambda self, window: [])
        closely = blocks_of(source)
    if isinstance(found, str):
        assert found == closely
        return found
    for raw in found:
        assert sorted(raw.frames.tolist()) == raw.frames.tolist()
    found, closely = frames_of(found), frames_of(closely)
    for frame, known in found.items():
        assert repr(known) == repr(closely[frame])
    assert found.keys() == closely.keys()
    return found


def cuts(start, stop, long_run):
    """Return where a text is cut: everywhere in a long run, else at every eighth byte, others every time."""
    return range(start, stop) if long_run else range(start + random.randrange(8), stop, 8)


def in_slices(source, nbytes, monkeypatch):
    """Return what is read of every frame if slices are small."""
    with monkeypatch.context() as patch:
        patch.setattr(lines, "SLICE_BYTES", nbytes)
        patch.setattr(lines, "_SCAN_BYTES", nbytes)
        pieces = source.scan()
        return frames_of([raw for piece in pieces for raw in source.read(piece)]), len(pieces)


def damaged(text: bytes, seed: int, pieces: list[bytes]) -> bytes:
    """Return a text after one to three accidents."""
    rng = random.Random(seed)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(text) + 1)
        length = rng.choice([1, 1, 2, 10, 100])
        kind = rng.randrange(6)
        if kind == 0 and at < len(text):
            text = text[:at] + bytes([text[at] ^ (1 << rng.randrange(8))]) + text[at + 1 :]
        elif kind == 1:
            text = text[:at] + text[at + length :]
        elif kind == 2:
            text = text[: at + length] + text[at:]
        elif kind == 3:
            text = text[: max(at, 1)]
        else:
            text = text[:at] + rng.choice([*ODD, *pieces]) + text[at:]
    return text
