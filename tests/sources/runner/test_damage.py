"""Damaged input.data: a sentence for each frame that is lost, and the same numbers for all others."""

import numpy as np
import pytest

from tests.sources.lines.reading import blocks_of, both_ways, cuts, damaged, frames_of, in_slices
from zstruct.sources.content import MemoryContent
from zstruct.sources.runner.source import RunnerSource

PIECES = [
    b"begin\n",
    b"end\n",
    b"atom",
    b"lattice",
    b"energy 1\n",
    b"charge",
    b"comment x\n",
    b"# x\n",
    b"Cu",
]
NAMED = "begin position(3) element force(3) charge\n"


def text_of(n, seed=0):
    rng = np.random.default_rng(seed)
    text = ""
    for k in range(n):
        named = k % 5 == 4
        text += NAMED if named else "begin\n"
        text += f"comment frame {k}\n" * (k % 3)
        if k % 2:
            text += "".join(
                "lattice {!r} {!r} {!r}\n".format(*row) for row in rng.normal(size=(3, 3)).tolist()
            )
        for x in rng.normal(size=(k % 4 + 1, 8)).tolist():
            rest = (
                " ".join(map(repr, x[4:7])) + f" {x[3]}"
                if named
                else f"{x[3] * (k % 3)} 0 {x[4]} {x[5]} {x[6]}"
            )
            text += f"atom {x[0]!r} {x[1]:.8f} {x[2]:.3e} {'Cu S h'.split()[k % 3]} {rest}\n"
        text += f"energy {rng.normal()!r}\n" if k % 4 else ""
        text += f"charge {k}\n" if k % 3 else ""
        text += "end\n" + ("\n# between\n" if k % 7 == 0 else "")
    return text.encode()


def source_of(text):
    return RunnerSource(MemoryContent("input.data", "input.data", text))


def test_both_ways_of_reading_agree(monkeypatch):
    found = both_ways(source_of(text_of(40)), monkeypatch)
    assert list(found) == list(range(40))
    assert all(isinstance(known, dict) for known in found.values())


def test_slices_make_no_difference(monkeypatch):
    text = text_of(60).replace(b"energy", b"energie", 30)
    found = frames_of(blocks_of(source_of(text)))
    assert any(isinstance(known, str) for known in found.values())
    for nbytes in (100, 1000, 5000):
        sliced, n = in_slices(source_of(text), nbytes, monkeypatch)
        assert n > 2
        assert repr(dict(sorted(sliced.items()))) == repr(dict(sorted(found.items())))


def test_every_cut(monkeypatch, long_run):
    text = text_of(4, seed=1)
    whole = frames_of(blocks_of(source_of(text)))
    for at in cuts(1, len(text), long_run):
        found = both_ways(source_of(text[:at]), monkeypatch)
        frames = sorted(found)
        for frame in frames[:-1]:
            assert found[frame] == whole[frame]
        assert isinstance(found[frames[-1]], str) or found[frames[-1]] == whole[frames[-1]]


@pytest.mark.parametrize("seed", range(40))
def test_accidents(seed, monkeypatch):
    found = both_ways(source_of(damaged(text_of(12, seed=seed), seed, PIECES)), monkeypatch)
    if isinstance(found, dict):
        for known in found.values():
            assert isinstance(known, dict) or known
