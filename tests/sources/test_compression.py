import bz2
import gzip
import lzma
import re

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from zstruct.errors import InputError
from zstruct.sources.compression import SUFFIXES, begins, decompressed, opened, stem, unpacked
from zstruct.sources.content import MemoryContent

COMPRESS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
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
@settings(max_examples=40, deadline=None)
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
