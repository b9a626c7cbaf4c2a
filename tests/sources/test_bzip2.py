"""Blocks of bzip2 by several threads: the bytes, and the errors, of the ordinary way."""

import bz2
import random
import threading

from hypothesis import example, given, settings
from hypothesis import strategies as st

from zstruct.errors import InputError
from zstruct.sources import bzip2, compression
from zstruct.sources.bzip2 import BlockStream
from zstruct.sources.compression import DAMAGED, decompressed
from zstruct.sources.content import MemoryContent

_NOISE = random.Random(1).randbytes(350_000)
#: Several blocks of 100 kB, which end at bits of any place in a byte.
_PACKED = bz2.compress(_NOISE, 1)


def _read(opened):
    """Return what is in a file, and what is said where it can't be read any further."""
    found = b""
    try:
        with opened as stream:
            while piece := stream.read(70_000):
                found += piece
    except (InputError, *DAMAGED, OSError) as error:
        return found, f"{type(error).__name__}: {error}"
    return found, ""


def _both(packed):
    content = MemoryContent("a.tar::a", "a.bz2", packed)
    return _read(BlockStream(content, 2)), _read(decompressed(content))


def _compare(packed):
    ours, plain = _both(packed)
    assert ours[1] == plain[1]
    assert plain[0].startswith(ours[0]) or ours[0].startswith(plain[0])
    assert ours[1] or ours == plain


@given(
    st.lists(
        st.builds(
            lambda part, n, level: bz2.compress(part * n, level),
            st.binary(),
            st.integers(0, 3000),
            st.integers(1, 9),
        ),
        max_size=3,
    ),
    st.sampled_from([b"", b"\0", b"\0" * 40, b"BZh9", b"more behind the end, in plain words"]),
)
@example([_PACKED], b"")
@example([_PACKED, _PACKED], b"")
@example([bz2.compress(b"")], b"")
@settings(max_examples=40)
def test_the_bytes_are_those_of_the_ordinary_way(streams, behind):
    _compare(b"".join(streams) + behind)


@given(st.data())
@settings(max_examples=25)
def test_damage_is_what_the_ordinary_way_says(data):
    packed = bytearray(_PACKED)
    if data.draw(st.booleans()):
        packed = packed[: data.draw(st.integers(0, len(packed) - 1))]
    else:
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    _compare(bytes(packed))


def test_every_block_is_found():
    assert len(list(bzip2._packed_blocks(MemoryContent("a", "a", _PACKED).open()))) == 4
    with BlockStream(MemoryContent("a", "a.bz2", _PACKED), 3) as stream:
        assert stream.read(1) == _NOISE[:1]
        assert stream._plain is None


def test_bytes_that_look_like_a_block_cost_time_alone(monkeypatch):
    """A place that is taken for the beginning of a block, and is none."""
    monkeypatch.setattr(bzip2, "_END", int.from_bytes(_PACKED[1000:1006], "big"))
    assert _read(BlockStream(MemoryContent("a", "a.bz2", _PACKED), 2)) == (_NOISE, "")


def test_a_bomb_is_refused_by_the_ordinary_way(monkeypatch):
    monkeypatch.setattr(compression, "_LARGE", 1 << 20)
    ours, plain = _both(bz2.compress(bytes(8 << 20)))
    assert ours[1] == plain[1]
    assert "if it is no bomb" in ours[1]


def test_a_reader_that_gives_up_leaves_no_thread():
    before = set(threading.enumerate())
    with BlockStream(MemoryContent("a", "a.bz2", _PACKED), 2) as stream:
        assert stream.read(10) == _NOISE[:10]
        assert set(threading.enumerate()) > before
    assert set(threading.enumerate()) <= before
