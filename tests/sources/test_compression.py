import lzma
import re
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from tests.sources.archive.make import COMPRESS
from zstruct.errors import InputError
from zstruct.sources import compression
from zstruct.sources.compression import SUFFIXES, begins, decompressed, opened, stem, unpacked
from zstruct.sources.content import MemoryContent

TEXT = b"".join(b"1\nenergy=%d\nHe 0 0 %d\n" % (k, k) for k in range(2000))


def content(suffix, data=TEXT):
    return MemoryContent("a.tar::a.xyz", f"a.xyz{suffix}", COMPRESS[suffix](data))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_compression_is_read_in_memory_and_from_files(suffix, tmp_path):
    packed = content(suffix)
    with decompressed(packed) as stream:
        assert stream.read() == TEXT
    assert begins(packed, 8) == TEXT[:8]
    assert stem(packed.name) == "a.xyz"
    assert unpacked(packed, SUFFIXES[suffix]).open().read() == TEXT
    assert unpacked(packed) is packed
    path = tmp_path / f"a.xyz{suffix}"
    path.write_bytes(packed.data)
    zstruct.build(path, tmp_path / "a.zarr", progress=False)
    assert zstruct.Store(tmp_path / "a.zarr").n_structures == 2000


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_parts_of_one_file_may_be_compressed_one_by_one(suffix):
    both = MemoryContent("a", f"a{suffix}", COMPRESS[suffix](TEXT[:999]) + COMPRESS[suffix](TEXT[999:]))
    with decompressed(both) as stream:
        assert stream.read() == TEXT


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=40)
@given(share=st.floats(0, 1, exclude_max=True))
def test_what_is_cut_off_is_a_sentence(suffix, share):
    whole = content(suffix).data
    cut = MemoryContent("a.tar::a", f"a{suffix}", whole[: int(len(whole) * share)])
    assert isinstance(begins(cut), bytes)
    try:
        with opened(cut) as file:
            text = file.read()
    except InputError as error:
        assert re.match(  # noqa: PT017 (or none is raised)
            r"a\.tar::a: (decompression failed|the file is empty|this is not)", str(error)
        )
    else:  # so short that nothing tells that it is compressed
        assert len(text) < 8


def large_window_of_xz():
    """Return a file of xz whose header asks for the largest dictionary there is, 4 GiB."""
    packed = bytearray(lzma.compress(TEXT))
    header = packed[12 : 12 + 4 * (packed[12] + 1) - 4]
    assert header[2:4] == b"\x21\x01"  # LZMA2, with a property of one byte
    header[4] = 40
    packed[12 : 12 + len(header) + 4] = header + zlib.crc32(header).to_bytes(4, "little")
    return bytes(packed)


def large_window_of_zstd():
    """Return a frame of zstd, of one block as it is, whose header asks for a window of 2 GiB."""
    return b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + (3 << 3 | 1).to_bytes(3, "little") + b"abc"


@pytest.mark.parametrize(("suffix", "make"), [(".xz", large_window_of_xz), (".zst", large_window_of_zstd)])
def test_windows_beyond_a_gibibyte_are_refused(suffix, make, tmp_path):
    path = tmp_path / f"a.xyz{suffix}"
    path.write_bytes(make())
    with pytest.raises(InputError, match=rf"a\.xyz\{suffix}: .* takes more than 1 GiB of memory; unpack it"):
        zstruct.build(path, tmp_path / "a.zarr", progress=False)


def test_windows_of_half_a_gibibyte_are_read():
    data = bytearray(large_window_of_zstd())
    data[5] = 19 << 3
    with decompressed(MemoryContent("a", "a.zst", bytes(data))) as stream:
        assert stream.read() == b"abc"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_unpacks_beyond_measure_is_refused_in_little_memory(suffix, monkeypatch):
    monkeypatch.setattr(compression, "_LARGE", 1 << 20)
    bomb = MemoryContent("a.tar::a", f"a{suffix}", COMPRESS[suffix](bytes(16 << 20)))
    room = memoryview(bytearray(1 << 20))
    tracemalloc.start()
    try:
        with decompressed(bomb) as stream, pytest.raises(InputError, match=r"a.tar::a: .* if it is no bomb"):
            all(iter(lambda: stream.readinto(room), 0))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 80e6
