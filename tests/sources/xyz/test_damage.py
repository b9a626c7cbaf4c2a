"""Damaged extended XYZ: never a crash or a hang, and what lies before the damage is unchanged."""

from __future__ import annotations

import gzip
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zstruct.errors import InputError
from zstruct.sources.numerals import numbers
from zstruct.sources.source import Raw
from zstruct.sources.xyz import source as xyz
from zstruct.sources.xyz.source import XYZSource

N_FRAMES = 30
NAMES = ("numbers", "positions", "forces", "tag", "cell", "pbc", "energy", "m", "comment")
PIECES = [
    b"\n", b"\r", b" ", b"\t", b'"', b"'", b"{", b"}", b"[", b"]", b"=", b"\\", b"\0", b"\xff", b"\xc3", b",",
    b"1\n", b"0\n", b"-5\n", b"3\n\n", b"999999999999\n", b"H 0 0 0\n", b"_JSON [", b'"_JSON [[1],[2,3]]"',
    b"Properties=", b"pos:R:3", b":R:1", b"Lattice=", b"pbc=", b"nan", b"1e999", b"e", b".", b"-", b"7" * 400,
    b"1\nProperties=species:S:1:pos:R:3 energy=5\nHe 1 2 3\n", b"[[", b"]]", b"], [", b"[[1, 2], [3, 4]]",
    b"d", b"D+", b"= ", b" =", b"lattice=", b"PROPERTIES=", b"comment=", b"energy=1 energy=2", b"1d400",
]  # fmt: skip


def text_of(seed: int) -> tuple[bytes, list[int]]:
    """Return a file much like real ones, and where its frames begin."""
    rng = np.random.default_rng(seed)
    text, starts = b"", []
    for frame in range(N_FRAMES):
        n = int(rng.integers(1, 9))
        starts.append(len(text))
        cell = " ".join(map(repr, rng.uniform(5, 9, 9).tolist()))
        line = f'Lattice="{cell}" Properties=species:S:1:pos:R:3:forces:R:3:tag:I:1:name:S:1:on:L:1'
        line += f' energy={rng.normal()!r} config_type=c{frame % 3} note="two words" pbc="T T F"'
        line = line.replace("Lattice", ("Lattice", "lattice", "LATTICE")[frame % 3])
        line = line.replace("pbc", ("pbc", "PBC")[frame % 2])
        line = line.replace("Properties", "Properties" if frame % 5 else "properties")
        first, second = rng.normal(size=(2, 3)).tolist()
        line += f" m=[{first!r}, [{','.join(f'{v:.8e}' for v in second)}]]".replace("e-", "D-")
        line += " empty= next=[[T, F], [F, T]]" if frame % 2 else ' words=[["a b", "c"], ["d", "e=f"]]'
        line += f' dipole="_JSON [{rng.normal()!r}, 0.5, 1]" nested="_JSON [[1, 2], [3, 4]]" q="a \\"b\\""'
        rows = "".join(
            f"{('C', 'H', 'O')[k % 3]:2s} "
            + " ".join(f"{v:16.8e}".replace("e", "eEdD"[frame % 4]) for v in rng.normal(size=6))
            + f" {k} n{k} T\n"
            for k in range(n)
        )
        if frame % 7 == 3:  # plain, with more columns than are read
            line = f"{'it is' if frame % 2 else 'an old man' + chr(39) + 's'} frame {frame} energy=-1"
        text += f"{n}\n{line}\n{rows}".encode()
    return text, starts


def damage(text: bytes, rng: random.Random) -> tuple[bytes, int]:
    """Return the text after one to three accidents, and the place of the first."""
    first = len(text)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(text))
        length = rng.choice([1, 1, 2, 10, 100, 1000])
        kind = rng.randrange(6)
        if kind == 0:
            text = text[:at] + bytes([text[at] ^ (1 << rng.randrange(8))]) + text[at + 1 :]
        elif kind == 1:
            text = text[:at] + text[at + length :]
        elif kind == 2:
            text = text[: at + length] + text[at:]
            at = min(at + length, len(text))
        elif kind == 3:
            text = text[: max(at, 1)]
        elif kind == 4:
            text = text[:at] + rng.choice(PIECES) + text[at:]
        else:
            text = text[:at] + rng.randbytes(length) + text[at + length :]
        first = min(first, at)
    return text, first


def read(path: Path) -> list[Raw]:
    source = XYZSource(path)
    return [raw for piece in source.scan() for raw in source.read(piece)]


def numbers_of(raws: list[Raw]) -> list[int]:
    return sorted(n for raw in raws for n in [*raw.frames.tolist(), *(bad.frame for bad in raw.bad)])


def frames_of(raws: list[Raw]) -> dict[int, list[Any]]:
    """Return what each frame holds that no other frame can change."""
    found: dict[int, list[Any]] = {}
    for raw in raws:
        offsets = np.concatenate([[0], np.cumsum(raw.n_atoms)])
        for i, frame in enumerate(raw.frames.tolist()):
            rows = slice(*offsets[i : i + 2])
            values: list[Any] = []
            for table, row in ((raw.atom, rows), (raw.structure, i)):
                for name in NAMES:
                    for column in table.get(name, []):
                        if column.present is None or column.present[i]:
                            value = column.values[row]
                            if column.texts is not None and table is raw.structure:
                                text = column.texts[value]  # perhaps because another frame's is a text
                                array = None if name == "comment" else numbers(text)
                                value = text if array is None else array
                            elif table is raw.structure and name != "pbc":
                                value = np.asarray(value, dtype=float)
                            values.append((name, column.fault, repr(np.asarray(value).tolist())))
            found[frame] = values
    return found


@pytest.mark.parametrize("seed", range(4))
def test_damage_is_contained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, long_run: bool
) -> None:
    text, starts = text_of(seed)
    path = tmp_path / "in.xyz"
    path.write_bytes(text)
    intact = frames_of(read(path))
    assert len(intact) == N_FRAMES
    rng = random.Random(seed)
    for _ in range(2000 if long_run else 10):
        damaged, first = damage(text, rng)
        path.write_bytes(damaged)
        try:
            raws = read(path)
        except InputError:  # nothing is left, or it is not text any more
            continue
        numbers = numbers_of(raws)
        assert numbers == list(range(len(numbers)))
        ours = frames_of(raws)
        for frame in range(N_FRAMES - 1):
            if text.index(b"\n", starts[frame + 1]) < first:  # the line that closes it is whole
                assert ours[frame] == intact[frame]
        with monkeypatch.context() as patch:
            patch.setattr(xyz, "SLICE_BYTES", rng.choice([1, 300, 2000]))
            patch.setattr(xyz, "SCAN_BYTES", rng.choice([10, 500, 5000]))
            sliced = read(path)
        assert numbers_of(sliced) == numbers
        assert frames_of(sliced) == ours


@pytest.mark.parametrize("seed", range(2))
def test_damaged_compressed_files_only_raise_input_errors(tmp_path: Path, seed: int, long_run: bool) -> None:
    text, _ = text_of(seed)
    whole = gzip.compress(text)
    path = tmp_path / "in.xyz.gz"
    rng = random.Random(seed)
    for _ in range(800 if long_run else 10):
        damaged, _ = damage(whole, rng)
        path.write_bytes(damaged)
        try:
            raws = read(path)
        except InputError:
            continue
        assert numbers_of(raws) == list(range(len(numbers_of(raws))))


@pytest.mark.parametrize("seed", range(2))
def test_noise_is_no_trouble(tmp_path: Path, seed: int, long_run: bool) -> None:
    rng = random.Random(seed)
    alphabet = b"\n\n 0123456789.-eHC\"'{}[]=\\,T:" + b"Properties=" + bytes([0xC3, 0x85])
    path = tmp_path / "in.xyz"
    for _ in range(1200 if long_run else 20):
        lines = [bytes(rng.choices(alphabet, k=rng.randrange(30))) for _ in range(rng.randrange(60))]
        lines += [b"%d" % rng.randrange(4) for _ in range(rng.randrange(60))]
        rng.shuffle(lines)
        path.write_bytes(b"\n".join(lines))
        try:
            raws = read(path)
        except InputError:
            continue
        numbers = numbers_of(raws)
        assert numbers == list(range(len(numbers)))
