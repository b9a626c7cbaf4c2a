"""The kernels of extended XYZ do the same, to the last bit, as Python runs them and compiled."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import extxyz_text
from zstruct.ragged import counts_to_offsets
from zstruct.sources.xyz import kernels as xyz_kernels
from zstruct.sources.xyz.comment_lines import split_comments
from zstruct.sources.xyz.source import XYZSource

CASES = sorted((Path(__file__).parents[2] / "data").rglob("*.xyz"))
NAMES = ("index_frames", "intern", "read_atoms", "read_values", "refill", "split_comments")
HAVE_ELEMENTS = (
    xyz_kernels.V_INT, xyz_kernels.V_FLOAT, xyz_kernels.V_BOOL, xyz_kernels.V_J_INTS, xyz_kernels.V_J_FLOATS,
)  # fmt: skip


class Both:
    """A kernel that is run both ways at each call."""

    def __init__(self, kernel):
        self.kernel, self.calls = kernel, 0

    def for_work(self, seconds):
        assert seconds >= 0
        return self

    def __call__(self, *arguments):
        # Arrays that share memory do so in the copies, too.
        memory = {
            a.ctypes.data: np.frombuffer(bytearray(a.tobytes()), np.uint8)
            for a in arguments
            if isinstance(a, np.ndarray)
        }
        copies = [
            memory[a.ctypes.data][: a.nbytes].view(a.dtype).reshape(a.shape)
            if isinstance(a, np.ndarray) and a.size
            else a
            for a in arguments
        ]
        ours = self.kernel.interpreted(*copies)
        compiled = self.kernel(*arguments)
        assert np.array_equal(ours, compiled)
        for a, b in zip(arguments, copies, strict=True):
            if isinstance(a, np.ndarray):
                assert a.tobytes() == b.tobytes()
        self.calls += 1
        return compiled


@pytest.fixture
def both(monkeypatch):
    """All kernels of `NAMES`, run both ways wherever they are called."""
    kernels = {name: Both(getattr(xyz_kernels, name)) for name in NAMES}
    for name, kernel in kernels.items():
        monkeypatch.setattr(xyz_kernels, name, kernel)
    return kernels


def read(path):
    source = XYZSource(str(path))
    return [raw for piece in source.scan() for raw in source.read(piece)]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_files_of_all_kinds(path, both):
    assert read(path)
    assert both["index_frames"].calls
    assert both["split_comments"].calls


def test_values_that_equal_those_of_the_frame_before(both):
    far = "0.3000000000000000444089209850062616169452667236328125"  # left to Python's float
    values = ['"1 2.5"', '"1 2.5"', "1", f'"{far} 1e400"', f'"{far} 1e400"', '"T F"', '"T F"', "word", "word"]
    values += ['""', '""', '"_JSON [1, 2]"', '"_JSON [1, 2]"', "7", "7.0", "7.0"]
    values += ["[[1, 2], [3, 4]]", '"[[1, 2], [3, 4]]"', '"[[1, 2], [3, 4]]"', "[[1, 2], [3, 4]]"]
    lines = [f'Properties=species:S:1:pos:R:3 b="1 2.5" a={value}' for value in values]
    assert values_of_a(lines) == [one for line in lines for one in values_of_a([line])]
    assert both["read_values"].calls


def values_of_a(lines):
    """What each line has as `a`: its kind, its shape, and its elements."""
    written = [line.encode() + b"\n" for line in lines]
    edges = counts_to_offsets([len(line) for line in written])
    text = np.frombuffer(bytearray(b"".join(written) + bytes(xyz_kernels.PAD)), np.uint8)
    comments = split_comments(text, np.stack([edges[:-1], edges[1:] - 1], axis=1))
    found = []
    for row in range(*comments.values_of("a").indices(1 << 30)):
        length = int(comments.lengths[row])
        rows, columns = length >> xyz_kernels.ROWS, length & ((1 << xyz_kernels.ROWS) - 1)
        count = max(rows, 1) * max(columns, 1) if comments.kinds[row] in HAVE_ELEMENTS else 0
        at = comments.at[row]
        found.append((int(comments.kinds[row]), rows, columns, comments.words[at : at + count].tolist()))
    assert len(found) == len(lines)
    return found


def test_decimals_of_all_lengths(tmp_path, both, rng):
    values = rng.normal(size=(40, 3)) * 10.0 ** rng.integers(-320, 300, (40, 3))
    texts = [
        *(" ".join(map(repr, row)) for row in values.tolist()),
        "1e400 -1e-400 5e-324",
        "9007199254740993 0.1000000000000000055511151231257827 123456789012345678901234567890",
        "nan -NaN +inf",
        "1.5D+3 -2d-1 -0.0",
    ]
    lines = "\n".join(f"H {text}" for text in texts)
    (tmp_path / "a.xyz").write_text(
        f"{len(texts)}\nProperties=species:S:1:pos:R:3 a=1e23 b=[1,2.5]\n{lines}\n"
    )
    (raw,) = read(tmp_path / "a.xyz")
    np.testing.assert_array_equal(raw.atom["positions"][0].values[:40], values)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1), junk=st.binary(min_size=1, max_size=4), cut=st.integers(0, 3))
def test_damaged_text(tmp_path, both, frames, place, junk, cut):
    text = extxyz_text(frames[:4]).encode()
    at = 1 + int(place * (len(text) - 1))  # what a file begins with may say that it is compressed
    (tmp_path / "a.xyz").write_bytes(text[:at] + junk.replace(b"\0", b" ") + text[at + cut :])
    read(tmp_path / "a.xyz")
    assert both["index_frames"].calls
