"""Usual XSF files are read by a kernel: exactly as the parser that knows all of the format reads them."""

import gzip

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zstruct.jit.kernel import compiled_always
from zstruct.sources import XSFSource
from zstruct.sources.content import MemoryContent
from zstruct.sources.together import apart, blocks_of
from zstruct.sources.xsf import source as module
from zstruct.sources.xsf.usual import usual_blocks

_AENET = """# total energy = -19517.09425849 eV

CRYSTAL
PRIMVEC
        5.17600016     0.00000000     0.00000000
        0.00000000     5.50899976     0.00000000
        0.00000000     0.00000000     9.26300011
PRIMCOORD
3 1
Ti      1.91782900     3.21092298     3.45760499     0.54256802    -0.31428097     2.51304061
O       1.82429401    -1.81098600     4.84825100    -0.20141001     0.57081365    -1.71521441
8       3.57476298     3.61144100e-3  449525199999999999999.0    -0.06504225    -0.19263612    -0
"""
_SLAB = """SLAB
primvec
1 0 0
0 1 0
0 0 1
CONVVEC
1 0 0
0 1 0
0 0 1
 PRIMCOORD
1
H 0 0 .5
# total energy = 1 eV
"""
_MOLECULE = "MOLECULE\nATOMS\nC 0 0 0\n\nH\t1.5 0 0\n# nothing\nh 1 2 3"
_ALONE = "ATOMS\n6 0 0 0 1 2 3\n"
_WORDS = (
    "CRYSTAL,MOLECULE,POLYMER,SLAB,PRIMVEC,PRIMCOORD,ATOMS,CONVVEC,ANIMSTEPS 1,DIM-GROUP,H 0 0 0,1 0 0,2 1,"
    "# total energy = 2 eV,# Total Energy (eV) = 3,# total energy = 1 Ry,# see total energy = 4,Ti,nan,1D3,"
    "1_0,\0,\r,\r\n,\n,é,# x # total energy = 5,\x0b,+1,0,119,118,X,Xx,inf,#"
).split(",")


def _blocks(text: bytes, monkeypatch, *, usual: bool):
    """Return what is read of a file: by the kernel, if it is as usual, or in any case by the parser."""
    with monkeypatch.context() as patch:
        if not usual:
            patch.setattr(module, "usual_blocks", lambda contents: [(1, None)] * len(contents))
        try:
            source = XSFSource(MemoryContent("a.xsf", "a.xsf", text))
            (piece,) = source.scan()
            found = list(source.read(piece))
        except module.InputError as error:
            return str(error)
    return list(map(_content_of, found))


def _content_of(raw):
    return [
        raw.frames.tolist(),
        raw.n_atoms.tolist(),
        [(b.frame, b.reason) for b in raw.bad],
        {
            (level, name): [
                (c.values.dtype.str, c.values.shape, c.values.tobytes(), c.unit, c.present) for c in columns
            ]
            for level, table in (("atom", raw.atom), ("structure", raw.structure))
            for name, columns in table.items()
        },
    ]


def _usual(text: str):
    with compiled_always():
        return usual_structure(MemoryContent("a.xsf", "a.xsf", text.encode()))


def usual_structure(content):
    ((n, raw),) = usual_blocks([content])
    assert n == 1
    return raw


@pytest.mark.parametrize(
    "text", [_AENET, _SLAB, _MOLECULE.replace("h 1", "H 1"), _ALONE, _AENET.replace("\n", "\r\n")]
)
def test_usual_files_are_read_by_the_kernel(text, monkeypatch):
    assert _usual(text) is not None
    with compiled_always():
        assert _blocks(text.encode(), monkeypatch, usual=True) == _blocks(
            text.encode(), monkeypatch, usual=False
        )


@pytest.mark.parametrize(
    "text",
    [
        _AENET.replace("3 1", "4 1"),
        _AENET.replace("Ti ", "Xx "),
        _AENET.replace("-0\n", "zero\n"),
        _AENET.replace(" eV", " Ry"),
        _AENET.replace("CRYSTAL", "ANIMSTEPS 1\nCRYSTAL"),
        _AENET + "# total energy = -1 eV\n",
        _AENET + "H 0 0 0 0 0 0\n",
        _AENET.replace("CRYSTAL\n", ""),
        "",
    ],
)
def test_what_is_odd_is_left_to_the_parser(text, monkeypatch):
    assert _usual(text) is None


@settings(max_examples=400)
@given(st.sampled_from([_AENET, _SLAB, _MOLECULE, _ALONE]), st.data())
def test_whatever_is_changed_both_read_the_same(text, data):
    for _ in range(data.draw(st.integers(1, 3))):
        k = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.sampled_from([0, 0, 0, 1, 5, 40]))
        text = text[:k] + data.draw(st.sampled_from([*_WORDS, " ", ""])) + text[k + cut :]
    monkeypatch = pytest.MonkeyPatch()
    with compiled_always():
        assert _blocks(text.encode(), monkeypatch, usual=True) == _blocks(
            text.encode(), monkeypatch, usual=False
        )


@given(st.integers(0, len(_AENET)))
@example(0)
def test_cut_anywhere_both_read_the_same(stop):
    text, monkeypatch = _AENET[:stop].encode(), pytest.MonkeyPatch()
    with compiled_always():
        assert _blocks(text, monkeypatch, usual=True) == _blocks(text, monkeypatch, usual=False)


@given(st.lists(st.floats(), min_size=6, max_size=6))
def test_numbers_are_those_of_float(values):
    text = f"ATOMS\nH {' '.join(map(repr, values))}\n"
    raw = _usual(text)
    if raw is not None:  # of what the kernel does not decide, the parser is asked
        read = np.hstack([raw.atom["positions"][0].values, raw.atom["forces"][0].values])[0]
        np.testing.assert_array_equal(read, np.array(values))


def test_compressed_files_are_read_too_and_large_ones_are_not():
    text = _AENET.encode()
    with compiled_always():
        packed = usual_structure(MemoryContent("a.xsf.gz", "a.xsf.gz", gzip.compress(text)))
        assert packed is not None
        assert packed.n_atoms.tolist() == [3]
        assert usual_structure(MemoryContent("a.xsf.gz", "a.xsf.gz", gzip.compress(text)[:-9])) is None
        assert usual_structure(MemoryContent("a.xsf", "a.xsf", text + b"\n" * (5 << 20))) is None


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from(
            [_AENET, _SLAB, _MOLECULE, _ALONE, _AENET.replace(" eV", " Ry"), "", "odd", _AENET[:200]]
        )
        | st.builds(lambda text, n: text[:n] + text[n + 1 :], st.just(_AENET), st.integers(0, len(_AENET))),
        max_size=9,
    )
)
def test_many_files_together_are_each_of_them(texts):
    sources = [XSFSource(MemoryContent(f"{k}", "a.xsf", text.encode())) for k, text in enumerate(texts)]

    def alone(source):
        try:
            for raw in source.read(source.scan()[0]):
                raw.label = source.label
                yield raw
        except module.InputError as error:
            yield f"{source.label}: {error.reason}"

    with compiled_always():
        together = list(blocks_of(sources, alone))
        one_by_one = [raw for source in sources for raw in alone(source)]
    found = [one for raw in together for one in ([raw] if isinstance(raw, str) else apart(raw))]
    assert [_said(one) for one in found] == [_said(one) for one in one_by_one]


def _said(one):
    return one if isinstance(one, str) else (one.label, _content_of(one))


def test_usual_files_are_one_block():
    texts = [_AENET, _AENET.replace("-19517", "-2"), _SLAB, _SLAB, "odd", _ALONE]
    contents = [MemoryContent("a.xsf", "a.xsf", text.encode()) for text in texts]
    with compiled_always():
        blocks = list(usual_blocks(contents))
    assert [(n, raw is None) for n, raw in blocks] == [(2, False), (2, False), (1, True), (1, False)]
    assert blocks[0][1].structure["energy"][0].values.tolist() == [-19517.09425849, -2.09425849]


def test_interpreted_the_kernel_says_the_same():
    from zstruct.sources.xsf import kernels

    for text in (_AENET, _SLAB, _ALONE):
        data = text.encode() + b"\n"
        said = []
        for call in (kernels.read_structures.compiled(), kernels.read_structures.interpreted):
            room = [np.full((2, 7), -7), np.zeros((2, 2, 3, 3)), np.zeros(9, np.uint8), np.zeros((9, 6))]
            room.append(np.zeros(2))
            buffer = np.frombuffer(2 * data + bytes(kernels.PAD), np.uint8)
            edges = np.array([0, len(data), 2 * len(data)])
            said.append((call(buffer, edges, *room), [array.tolist() for array in room]))
        assert said[0] == said[1]
        assert said[0][0] > 1
