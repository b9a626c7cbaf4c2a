"""Extended XYZ: everything is compared with ASE, Python's float, or numbers written by hand."""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
import pickle
import random
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal, localcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import key_val_str_to_dict
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.sources.xyz.blocks import EXTENDED, comment, frames_of, only, read, read_text, reasons
from zstruct.errors import InputError
from zstruct.sources.normalize.normalize import ReadOptions, normalize
from zstruct.sources.source import BadFrame, Raw, Slice, Source
from zstruct.sources.xyz import source as xyz
from zstruct.sources.xyz.source import XYZSource

DATA = Path(__file__).parents[4] / "shared" / "data"
WATER = f"3\n{EXTENDED} energy=-1.5\nO 0 0 0\nH 0 0.5 0.75\nH 0 -0.5 0.75\n"


def assert_same(ours: Any, theirs: Any, what: str = "") -> None:
    """Bit for bit, type for type; but one frame's integer may be another's float."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, what
    if theirs.dtype.kind in "OU":
        assert ours.tolist() == theirs.tolist(), what
        return
    assert ours.dtype.kind == theirs.dtype.kind or (ours.dtype.kind, theirs.dtype.kind) == ("f", "i"), what
    assert ours.tobytes() == theirs.astype(ours.dtype).tobytes(), what


def assert_equals_ase(path: Path) -> int:
    """Compare every value of a file with what ASE reads; return how many there were."""
    images = ase.io.read(path, index=":", format="extxyz")
    ours = [frame for raw in read(path) for frame in frames_of(raw)]
    assert [frame for frame, _, _ in ours] == list(range(len(images)))
    n = 0
    for (frame, info, arrays), atoms in zip(ours, images, strict=True):
        results = dict(atoms.calc.results) if atoms.calc else {}
        assert_same(arrays.pop("numbers").astype(int), atoms.numbers)
        assert_same(arrays.pop("positions"), atoms.positions)
        assert_same(info.pop("cell", np.zeros((3, 3))), atoms.cell.array)
        assert_same(info.pop("pbc", np.zeros(3, dtype=bool)), atoms.pbc)
        theirs = {**atoms.info, **results}
        for name, value in info.items():
            what = f"frame {frame}, {name}"
            if name == "stress":
                value = value.reshape(3, 3)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
                value = value.astype(float)
            if name == "virial":
                value = value.reshape(3, 3, order="F")
            if name in results:
                value = np.asarray(value, dtype=float)
                theirs[name] = np.asarray(theirs[name], dtype=float)
            assert_same(value, theirs.pop(name), what)
            n += 1
        for name, value in arrays.items():
            ase_name = {"charge": "charges", "mass": "masses"}.get(name, name)
            other = results.pop(ase_name) if ase_name in results else atoms.arrays[ase_name]
            theirs.pop(ase_name, None)
            assert_same(value.astype(float) if ase_name in ("charges", "magmoms") else value, other, name)
            n += 1
        left = {k: v for k, v in theirs.items() if np.size(v)}
        assert left == {}
    return n


# What ASE writes.


def random_atoms(rng: np.random.Generator) -> ase.Atoms:
    n = int(rng.integers(1, 12))
    atoms = ase.Atoms(
        rng.integers(1, 118, n), positions=rng.normal(size=(n, 3)) * 10.0 ** rng.integers(-3, 4)
    )
    if rng.random() < 0.7:
        atoms.cell = rng.normal(size=(3, 3)) * 10
        atoms.pbc = rng.random(3) < 0.5
    info: dict[str, Any] = {
        "scalar": float(rng.normal()),
        "tiny": float(rng.normal() * 10.0 ** rng.integers(-300, 300)),
        "count": int(rng.integers(-(2**62), 2**62)),
        "flag": bool(rng.random() < 0.5),
        "flags": rng.random(3) < 0.5,
        "vector": rng.normal(size=int(rng.integers(2, 5))),
        "one_element": rng.normal(size=1),
        "ints": rng.integers(-9, 9, 4),
        "matrix": rng.normal(size=(2, 3)),
        "int_matrix": rng.integers(0, 9, (2, 2)),
        "name": "a_b-c",
        "sentence": "with spaces, and commas",
        "quoted": 'a "b" c',
        "braces": "{1, 2}",
        "unicode": "Ångström",
        "uid": "007",
        "maybe": None,
        "mapping": {"a": [1, 2], "b": None},
        "virial": rng.normal(size=(3, 3)),
    }
    atoms.info = {k: v for k, v in info.items() if rng.random() < 0.7}
    if rng.random() < 0.5:
        atoms.arrays["spin"] = rng.integers(-5, 5, n)
        atoms.arrays["vectors"] = rng.normal(size=(n, 2))
    if rng.random() < 0.5:
        atoms.arrays["labels"] = np.array([f"L{k % 3}" for k in range(n)])
        atoms.arrays["fixed"] = rng.random(n) < 0.5
    if rng.random() < 0.7:
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=float(rng.normal()),
            forces=rng.normal(size=(n, 3)),
            stress=rng.normal(size=6),
            charges=rng.normal(size=n),
            magmoms=rng.normal(size=n),
            dipole=rng.normal(size=3),
        )
    return atoms


@pytest.mark.parametrize("seed", range(5))
def test_equals_ase_on_what_ase_writes(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Texts and numbers under one key are not what this test is about: one file per frame.
    for k in range(12):
        path = tmp_path / f"{k}.xyz"
        ase.io.write(path, random_atoms(rng), format="extxyz")
        (raw,) = read(path)
        info, _ = only(raw)
        mapping = info.pop("mapping", None)
        assert mapping is None or mapping == '{"a": [1, 2], "b": null}'
        text = path.read_text()
        if mapping is not None:  # ASE keeps a dictionary, we its JSON
            start = text.index("mapping=")
            stop = text.index('null}"', start) + 6
            path.write_text(text[:start] + text[stop:])
        assert_equals_ase(path)


def test_many_different_frames_in_one_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    images = [random_atoms(rng) for _ in range(80)]
    for atoms in images:
        atoms.info.pop("mapping", None)
    path = tmp_path / "all.xyz"
    ase.io.write(path, images, format="extxyz")
    assert assert_equals_ase(path) > 500


@pytest.mark.parametrize(
    "name", ["3bpa_train_300K", "carbon_reduced_100", "qm7x_reduced_100", "qm9_reduced_100"]
)
def test_equals_ase_on_real_data(name: str) -> None:
    path = DATA / f"{name}.xyz"
    if not path.exists():
        pytest.skip("the data sets are not here")
    assert assert_equals_ase(path) >= 100


def test_normalizes_to_fields(tmp_path: Path) -> None:
    atoms = ase.Atoms("NaCl", positions=[[0, 0, 0], [2, 2, 2]], cell=[4, 4, 4], pbc=True)
    stress = np.array([1.0, 2, 3, 4, 5, 6])
    atoms.calc = SinglePointCalculator(atoms, energy=-3.0, forces=np.ones((2, 3)), stress=stress)
    ase.io.write(tmp_path / "a.xyz", atoms)
    (raw,) = read(tmp_path / "a.xyz")
    packed, bad = normalize(raw, ReadOptions(), "a.xyz")
    assert bad == []
    assert packed.columns["energy"].tolist() == [-3.0]
    assert packed.columns["stress"].tolist() == [stress.tolist()]
    assert packed.columns["forces"].tolist() == [[1.0] * 3] * 2


# Comment lines.

WORDS = st.text(alphabet="abcxyzTF_.-+/<>019eE", min_size=1, max_size=6)
NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(repr),
    st.sampled_from(
        ["T", "F", "True", "false", "TRUE", "tRUE", "nan", "Inf", "-infinity", "+1", "1.", ".5", "007"]
    ),
)
PIECES = st.one_of(
    WORDS,
    NUMBERS,
    st.lists(NUMBERS, min_size=1, max_size=4).map(" ".join),
    st.lists(NUMBERS, min_size=1, max_size=4).map(", ".join),
    st.lists(st.floats(allow_nan=False, allow_infinity=False).map(repr), min_size=1).map(
        lambda numbers: f"_JSON [{', '.join(numbers)}]"
    ),
    st.lists(st.integers(-9, 9).map(str), min_size=1).map(lambda numbers: f"_JSON [[{', '.join(numbers)}]]"),
    st.text(alphabet="ab =[]{}'\"\\,\t1", min_size=1, max_size=9),
)
QUOTES = st.sampled_from(['"{}"', "'{}'", "{{{}}}", "[{}]", "{}", "{}"])
VALUES = st.tuples(QUOTES, PIECES).map(lambda qp: qp[0].format(qp[1]))
ITEMS = st.one_of(
    st.tuples(WORDS, st.sampled_from(["=", " = ", "= ", " =", "\t=\t"]), VALUES).map("".join),
    WORDS,
    VALUES,
)
COMMENTS = st.lists(ITEMS, max_size=6).map(" ".join)


_QUOTED = r"\"[^\"]*\"|'[^']*'|\{[^}]*\}|\[[^\]]*\]"


def expected_info(line: str) -> dict[str, Any] | None:
    """What ASE makes of a comment line; None where it fails or is known to be quirky."""
    if any(quirk in line for quirk in ('""', "''", "[]", "{}")) or "_" in line.replace("_JSON ", ""):
        return None  # an empty pair of quotes swallows the next key; 1_0 is a number to Python
    if re.search(r"=\s*\[\s*\[", line) or re.search(rf"=\s+(?:{_QUOTED}|[^\s=])*\s*=", line):
        return None  # a list of lists makes a key of its second; an absent value swallows the next key
    try:
        info = key_val_str_to_dict(line)
    except (ValueError, IndexError, OverflowError):
        return None
    if info.get("Properties") != "species:S:1:pos:R:3":
        return None
    return {k: v for k, v in info.items() if k and np.size(v) and k not in ("Properties", "Lattice", "pbc")}


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(COMMENTS)
@example("a=b =c")
@example("a = = b")
@example(r'a="x \"y\" z" b=2')
@example('a="it\'s" b=\'say "hi"\'')
@example('a="unclosed b=3')
@example('a="_JSON [1, 2.5, -3e2]" b="_JSON [1, 2]" c="_JSON [[1], [2]]" d="_JSON {}" e="_JSON 5"')
@example('a="_JSON [1, 99999999999999999999]" b="_JSON [true, false]" c="_JSON [1, null]"')
@example("a=12345678901234567168 b=-9223372036854775808 c=9223372036854775808")
@example("a=1 a=2 a b=3 b")
@example('a=1 a=","')
@example("a= b")
@example('"quoted key"=3 mid"dle"=4 tail="5"x')
def test_comment_lines_equal_ase(tmp_path: Path, line: str) -> None:
    line = f"{EXTENDED} {line}".replace("\n", " ").replace("\r", " ")
    expected = expected_info(line)
    raw = comment(tmp_path, line)
    refused = any(column.fault for columns in raw.structure.values() for column in columns)
    if expected is None or raw.bad or refused:
        return
    info, _ = only(raw)
    info.pop("pbc", None)
    for name, theirs in expected.items():
        ours = info.pop(f"input_{name}" if name in ("numbers", "positions", "cell") else name)
        if isinstance(theirs, (dict, list)) and not all(isinstance(v, bool) for v in theirs):
            assert isinstance(ours, str)  # JSON that is no array stays text
            continue
        if isinstance(theirs, int) and not isinstance(theirs, (bool, np.integer)):
            continue  # a JSON integer beyond 64 bits
        assert_same(ours, theirs, f"{name} in {line!r}")
    # Of several values of a key, absent ones don't count here.
    assert [key for key in info if line.count(key) == 1] == []


def test_values_have_the_right_types(tmp_path: Path) -> None:
    line = 'i=3 f=3.0 v="1 2.5" b=T bs="T F" t=text q="two words" bare last=1 last=2'
    info, _ = only(comment(tmp_path, f"{EXTENDED} {line}"))
    assert info["i"].dtype == np.int64
    assert info["f"].dtype == np.float64
    assert info["v"].tolist() == [1.0, 2.5]
    assert info["b"].dtype == bool
    assert info["bs"].tolist() == [True, False]
    assert (info["t"], info["q"]) == ("text", "two words")
    assert bool(info["bare"]) is True
    assert info["last"] == 2


def test_integers_too_large_become_floats(tmp_path: Path) -> None:
    info, _ = only(comment(tmp_path, f"{EXTENDED} a=9223372036854775808 b=9223372036854775807"))
    assert info["a"] == 9223372036854775808.0
    assert info["a"].dtype == np.float64
    assert info["b"] == 9223372036854775807


def test_empty_values_are_absent(tmp_path: Path) -> None:
    info, _ = only(comment(tmp_path, f'{EXTENDED} a="" b=1 c={{}} d="," e='))
    assert set(info) == {"b"}


def test_uid_is_text(tmp_path: Path) -> None:
    info, _ = only(comment(tmp_path, f"{EXTENDED} uid=007 UID=1e5"))
    assert (info["uid"], info["UID"]) == ("007", "1e5")


def two_frames(tmp_path: Path, first: str, second: str) -> Raw:
    return read_text(tmp_path, f"1\n{EXTENDED} {first}\nH 0 0 0\n1\n{EXTENDED} {second}\nH 0 0 0\n")


def test_integers_and_floats_share_a_column(tmp_path: Path) -> None:
    (column,) = two_frames(tmp_path, "a=3", "a=0.5").structure["a"]
    assert column.values.tolist() == [3.0, 0.5]
    assert column.present is None


def test_integers_stay_exact_beside_floats_that_are_integers(tmp_path: Path) -> None:
    (column,) = two_frames(tmp_path, "a=9007199254740993", "a=-7").structure["a"]
    assert column.values.tolist() == [9007199254740993, -7]


@pytest.mark.parametrize(("number", "other"), [("1.50", "abc"), ("1.50", "T"), ('"1 2"', "abc")])
def test_text_beside_numbers_keeps_the_original_text(tmp_path: Path, number: str, other: str) -> None:
    (column,) = two_frames(tmp_path, f"a={number}", f"a={other}").structure["a"]
    assert column.texts == [number.strip('"'), other]
    assert column.values.tolist() == [0, 1]


def test_different_lengths_make_columns_of_their_own(tmp_path: Path) -> None:
    scalar, vector = two_frames(tmp_path, "a=1", 'a="1 2 3"').structure["a"]
    assert scalar.present is not None
    assert vector.present is not None
    assert scalar.present.tolist() == [True, False]
    assert vector.present.tolist() == [False, True]
    assert vector.values[1].tolist() == [1, 2, 3]


def test_json_beside_text_loses_only_its_mark(tmp_path: Path) -> None:
    (column,) = two_frames(tmp_path, 'a="_JSON [1, 2]"', "a=none").structure["a"]
    assert column.texts == ["[1, 2]", "none"]


def test_json_text_is_the_text(tmp_path: Path) -> None:
    info, _ = only(
        comment(tmp_path, EXTENDED + r' a="_JSON \"1\"" b="_JSON \"\"" c="_JSON \"x\\n\\\"y\\\"\""')
    )
    assert (info["a"], info["b"], info["c"]) == ("1", "", 'x\n"y"')
    (column,) = two_frames(tmp_path, r'a="_JSON \"1\""', r'a="\"1\""').structure["a"]
    assert [column.texts[code] for code in column.values] == ["1", '"1"']
    (column,) = two_frames(tmp_path, r'a="_JSON \"1\""', r'a="_JSON [\"1\"]"').structure["a"]
    assert [column.texts[code] for code in column.values] == ["1", '["1"]']


def test_broken_json_is_the_fault_of_its_frames(tmp_path: Path) -> None:
    good, fault = two_frames(tmp_path, 'a="_JSON [1, 2]"', 'a="_JSON [1, "').structure["a"]
    assert good.present is not None
    assert good.present.tolist() == [True, False]
    assert fault.present is not None
    assert fault.present.tolist() == [False, True]
    assert "not JSON" in (fault.fault or "")


def test_keys_of_the_block_are_not_taken(tmp_path: Path) -> None:
    info, _ = only(comment(tmp_path, f"{EXTENDED} cell=5 numbers=6 positions=7"))
    assert (info["input_cell"], info["input_numbers"], info["input_positions"]) == (5, 6, 7)


def test_more_keys_than_the_first_table_holds(tmp_path: Path) -> None:
    text = "".join(f"1\n{EXTENDED} k{i}={i} common=1\nH 0 0 0\n" for i in range(9000))
    table: dict[str, Any] = {}
    n = 0
    path = tmp_path / "many.xyz"
    path.write_text(text)
    for raw in read(path):
        assert raw.bad == []
        for name, (column,) in raw.structure.items():
            table[name] = column.values[column.present] if column.present is not None else column.values
        n += len(raw.frames)
    assert n == 9000
    assert all(table[f"k{i}"].tolist() == [i] for i in range(9000))


def test_more_texts_than_the_first_table_holds(tmp_path: Path) -> None:
    raw = read_text(tmp_path, "".join(f"1\n{EXTENDED} name=n{i}\nH 0 0 0\n" for i in range(5000)))
    (column,) = raw.structure["name"]
    assert column.texts == [f"n{i}" for i in range(5000)]
    assert column.values.tolist() == list(range(5000))


# Lattice and pbc.


def test_lattice_is_row_by_row(tmp_path: Path) -> None:
    info, _ = only(comment(tmp_path, f'{EXTENDED} Lattice="1 2 3 4 5 6 7 8 9.5"'))
    assert info["cell"].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9.5]]
    assert info["pbc"].tolist() == [True, True, True]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('"T T F"', [1, 1, 0]),
        ("T", [1, 1, 1]),
        ("F", [0, 0, 0]),
        ('"1 1 0"', [1, 1, 0]),
        ("[T, F, T]", [1, 0, 1]),
    ],
)
def test_pbc(tmp_path: Path, written: str, expected: list[int]) -> None:
    info, _ = only(comment(tmp_path, f"{EXTENDED} pbc={written}"))
    assert info["pbc"].tolist() == [bool(v) for v in expected]


def test_neither_lattice_nor_pbc(tmp_path: Path) -> None:
    info, _ = only(comment(tmp_path, EXTENDED))
    assert info == {}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('Lattice="1 2 3"', "nine numbers, not '1 2 3'"),
        ('Lattice="a b c"', "nine numbers, not 'a b c'"),
        ('Lattice=""', "nine numbers"),
        ("pbc=maybe", "pbc must be"),
        ('pbc="T F"', "pbc must be"),
        ("pbc=0.5", "pbc must be"),
    ],
)
def test_bad_geometry_is_a_bad_frame(tmp_path: Path, line: str, sentence: str) -> None:
    raw = read_text(tmp_path, f"1\n{EXTENDED} {line}\nH 0 0 0\n" + WATER)
    assert sentence in reasons(raw)[0]
    assert raw.frames.tolist() == [1]
    assert raw.structure["energy"][0].values.tolist() == [-1.5]
    assert raw.atom["numbers"][0].values.tolist() == [8, 1, 1]


# Properties and atom lines.


def test_plain_xyz(tmp_path: Path) -> None:
    raw = read_text(tmp_path, "2\njust a comment\nO 0 0 0\nh 0 0 1.5\n1\nenergy=-3 kept\nHe 1 2 3\n")
    assert raw.atom["numbers"][0].values.tolist() == [8, 1, 2]
    assert set(raw.structure) == {"energy", "comment"}
    (energy,) = raw.structure["energy"]
    assert energy.present is not None
    assert energy.present.tolist() == [False, True]


def test_columns_of_every_type(tmp_path: Path) -> None:
    text = (
        "2\nProperties=species:S:1:pos:R:3:tag:I:1:pair:I:2:on:L:1:name:S:1:two:S:2:f:R:2\n"
        "cl 1 2 3 -7 1 2 T alpha x y nan -inf\n"
        "CU 1. .5 -1E+05 +8 3 4 False beta y x 1e-3 0\n"
    )
    _, arrays = only(read_text(tmp_path, text))
    assert arrays["numbers"].tolist() == [17, 29]
    assert arrays["positions"].tolist() == [[1, 2, 3], [1, 0.5, -1e5]]
    assert arrays["tag"].tolist() == [-7, 8]
    assert arrays["tag"].dtype == np.int64
    assert arrays["pair"].tolist() == [[1, 2], [3, 4]]
    assert arrays["on"].tolist() == [True, False]
    assert arrays["name"].tolist() == ["alpha", "beta"]
    assert arrays["two"].tolist() == [["x", "y"], ["y", "x"]]
    assert math.isnan(arrays["f"][0, 0])
    assert arrays["f"][0, 1] == -math.inf


def test_every_element_in_any_case(tmp_path: Path) -> None:
    from ase.data import chemical_symbols

    rows = [s for symbol in chemical_symbols for s in (symbol, symbol.lower(), symbol.upper())]
    rows += [str(z) for z in range(119)]
    _, arrays = only(read_text(tmp_path, f"{len(rows)}\n\n" + "".join(f"{s} 0 0 0\n" for s in rows)))
    expected = [z for z in range(119) for _ in range(3)] + list(range(119))
    assert arrays["numbers"].tolist() == expected


def test_z_gives_the_numbers(tmp_path: Path) -> None:
    _, arrays = only(read_text(tmp_path, "1\nProperties=pos:R:3:Z:I:1\n0 0 0 26\n"))
    assert arrays["numbers"].tolist() == [26]
    _, arrays = only(read_text(tmp_path, "1\nProperties=species:S:1:pos:R:3:numbers:I:1\nFe 0 0 0 26\n"))
    assert arrays["numbers"].tolist() == [26]


def test_layouts_may_differ_between_frames(tmp_path: Path) -> None:
    text = (
        f"1\n{EXTENDED}:forces:R:3\nH 0 0 0 1 2 3\n"
        f"2\n{EXTENDED}\nHe 0 0 0\nHe 1 1 1\n"
        f"1\nProperties=Z:I:1:forces:R:3:pos:R:3:q:I:1:t:S:1\n3 4 5 6 7 8 9 -1 txt\n"
        "1\nplain\nB 0 0 0\n"
    )
    raw = read_text(tmp_path, text)
    assert raw.atom["numbers"][0].values.tolist() == [1, 2, 2, 3, 5]
    (positions,) = raw.atom["positions"]
    assert positions.present is None
    assert positions.values[3].tolist() == [7, 8, 9]
    (forces,) = raw.atom["forces"]
    assert forces.present is not None
    assert forces.present.tolist() == [True, False, True, False]
    assert forces.values[[0, 3]].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert np.isnan(forces.values[1]).all()
    (texts,) = raw.atom["t"]
    assert texts.values.tolist() == [-1, -1, -1, 0, -1]
    assert texts.texts == ["txt"]


@pytest.mark.parametrize(
    ("properties", "sentence"),
    [
        ("species:S:1:pos:R", "triplets"),
        ("species:S:1::R:3", "triplets"),
        ("species:S:1:pos:X:3", "types are R, I, S and L"),
        ("species:S:1:pos:R:3:f:R:0", "columns"),
        ("species:S:1:pos:R:3:f:R:-1", "columns"),
        ("species:S:1:pos:R:3:f:R:99999999999999999999", "columns"),
        ("species:S:1:pos:R:2", "pos:R:3"),
        ("species:S:2:pos:R:3", "species:S:1"),
        ("species:S:1:forces:R:3", "no pos"),
        ("pos:R:3", "neither species nor Z"),
        ("species:S:1:pos:R:3:f:R:1:f:I:1", "twice"),
        ("species:S:1:pos:R:3:positions:R:3", "twice"),
    ],
)
def test_bad_properties_make_every_such_frame_bad(tmp_path: Path, properties: str, sentence: str) -> None:
    raw = read_text(tmp_path, f"1\nProperties={properties}\nH 0 0 0\n" + WATER)
    assert sentence in reasons(raw)[0]
    assert raw.frames.tolist() == [1]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("H 0 0", "atom line 2 of 2: 3 values instead of 6"),
        ("H", "atom line 2 of 2: 1 values instead of 6"),
        ("H 0 0 0 1 T extra", "atom line 2 of 2: 7 values instead of 6"),
        ("H 0 0x 0 1 T", "'0x' in 'positions' is not a number"),
        ("H 0 1_0 0 1 T", "'1_0' in 'positions' is not a number"),
        ("H 0 1.0D-05x 0 1 T", "'1.0D-05x' in 'positions' is not a number"),
        ("H 0 1.0D 0 1 T", "'1.0D' in 'positions' is not a number"),
        ("H 0 1e 0 1 T", "'1e' in 'positions' is not a number"),
        ("H 0 - 0 1 T", "'-' in 'positions' is not a number"),
        ("H 0 . 0 1 T", "'.' in 'positions' is not a number"),
        ("H 0 nano 0 1 T", "'nano' in 'positions' is not a number"),
        ("H 0 0 0 1.0 T", "'1.0' in 'n' is not an integer"),
        ("H 0 0 0 9223372036854775808 T", "is not an integer"),
        ("H 0 0 0 1 maybe", "'maybe' in 'b' is not T or F"),
        ("Xx 0 0 0 1 T", "'Xx' is not a chemical symbol"),
        ("C1 0 0 0 1 T", "'C1' is not a chemical symbol"),
        ("119 0 0 0 1 T", "'119' is not a chemical symbol"),
        ("-1 0 0 0 1 T", "'-1' is not a chemical symbol"),
    ],
)
def test_bad_atom_lines(tmp_path: Path, line: str, sentence: str) -> None:
    raw = read_text(tmp_path, f"2\n{EXTENDED}:n:I:1:b:L:1\nH 0 0 0 1 T\n{line}\n" + WATER)
    assert sentence in reasons(raw)[0]
    assert raw.frames.tolist() == [1]
    assert raw.atom["positions"][0].values.tolist() == [[0, 0, 0], [0, 0.5, 0.75], [0, -0.5, 0.75]]
    assert "n" not in raw.atom


def test_species_and_z_must_agree(tmp_path: Path) -> None:
    text = f"2\n{EXTENDED}:Z:I:1\nH 0 0 0 1\nH 0 0 0 2\n1\n{EXTENDED}:Z:I:1\nHe 0 0 0 2\n"
    raw = read_text(tmp_path, text)
    assert "atom 2: species says atomic number 1, but Z is 2" in reasons(raw)[0]
    assert raw.atom["numbers"][0].values.tolist() == [2]
    assert (
        "'300' is not an atomic number"
        in reasons(read_text(tmp_path, "1\nProperties=pos:R:3:Z:I:1\n0 0 0 300\n"))[0]
    )


def test_a_block_may_have_no_good_frame(tmp_path: Path) -> None:
    for text in ("1\n\nQq 0 0 0\n", "1\nProperties=no\nH 0 0 0\n", "no frame at all\n"):
        raw = read_text(tmp_path, text)
        assert len(raw.frames) == 0
        assert raw.atom["positions"][0].values.shape == (0, 3)
        packed, bad = normalize(raw, ReadOptions(), "in.xyz")
        assert len(packed) == 0
        assert len(bad) == 1


def test_a_false_number_of_columns_takes_no_memory(tmp_path: Path) -> None:
    rows = "H 0 0 0\n" * 20_000
    raw = read_text(tmp_path, f"20000\n{EXTENDED}:f:R:1000000\n{rows}" + WATER)
    assert "too short for the 1000004 values" in reasons(raw)[0]
    assert raw.frames.tolist() == [1]


# Numbers.


def number_strings(rng: random.Random, n: int) -> Iterator[str]:
    """Decimal numbers of many shapes, among them ties between two doubles."""
    for _ in range(n):
        value = struct.unpack("<d", struct.pack("<Q", rng.getrandbits(63) % 0x7FF0000000000000))[0]
        near = rng.gauss(0, 10.0 ** rng.randrange(-3, 5))
        mantissa, power = (1 << 53) + 2 * rng.getrandbits(51) + 1, rng.randrange(-80, 80)
        with localcontext(prec=400):
            tie = Decimal(mantissa) * Decimal(2) ** power
            if rng.random() < 0.5:
                tie += Decimal(rng.choice([-1, 1])) * tie * Decimal(10) ** -rng.randrange(17, 60)
            shapes = [
                repr(value),
                repr(near),
                f"{near:.8f}",
                f"{near:.17g}",
                f"{value:.17e}",
                f"{value:e}",
                f"{near:.25f}",
                f"{value:.{rng.randrange(1, 30)}g}",
                str(tie),
                f"{tie:.{rng.randrange(12, 40)}e}",
                str(rng.getrandbits(rng.randrange(1, 300))),
                f"{rng.getrandbits(64)}e{rng.randrange(-400, 330)}",
                f"{'0' * rng.randrange(25)}{rng.getrandbits(30)}.{rng.getrandbits(80)}",
                f"{rng.getrandbits(30)}.{rng.getrandbits(80)}E{rng.randrange(-40, 40):+d}",
                f".{rng.getrandbits(70)}",
                f"{rng.getrandbits(60)}.",
                f"{value * 2.0**-1000:.17g}",
                f"{rng.randrange(10)}e-324",
            ]
        yield rng.choice(["", "-", "+"]) + rng.choice(shapes).lstrip("-")


def bits(values: Any) -> Any:
    return np.asarray(values, dtype=np.float64).view(np.uint64)


def check_numbers(tmp_path: Path, numbers: list[str]) -> None:
    """Compare with Python, both as a column and in a comment."""
    rows = "".join(f"H 0 0 0 {number}\n" for number in numbers)
    line = f'{EXTENDED}:x:R:1 y="{" ".join(numbers)} 0.5"'
    info, arrays = only(read_text(tmp_path, f"{len(numbers)}\n{line}\n{rows}"))
    expected = [float(number) for number in numbers]
    assert np.array_equal(bits(arrays["x"]), bits(expected))
    assert np.array_equal(bits(info["y"]), bits([*expected, 0.5]))


@pytest.mark.parametrize("seed", range(3))
def test_floats_are_pythons_floats(tmp_path: Path, seed: int) -> None:
    check_numbers(tmp_path, list(number_strings(random.Random(seed), 8000)))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.from_regex(r"[+-]?([0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?", fullmatch=True), min_size=1, max_size=50))  # fmt: skip  # noqa: E501
def test_any_decimal_is_pythons_float(tmp_path: Path, numbers: list[str]) -> None:
    check_numbers(tmp_path, numbers)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(), min_size=1, max_size=50))
def test_floats_survive_repr(tmp_path: Path, values: list[float]) -> None:
    check_numbers(tmp_path, [repr(value) for value in values])


def test_hard_numbers(tmp_path: Path) -> None:
    numbers = (
        "-0.0 -0 +0 0e999 1e400 -1e400 1e-400 5e-324 2.4703282292062327e-324 2.4703282292062328e-324 "
        "2.2250738585072011e-308 2.2250738585072014e-308 1.7976931348623157e308 1.7976931348623159e308 "
        "9007199254740993 9007199254740992.999999999999999999999 9007199254740993.000000000000000000001 "
        "1.00000000000000011102230246251565404236316680908203125 "
        "1.00000000000000011102230246251565404236316680908203124 "
        "1.00000000000000011102230246251565404236316680908203126 "
        "0.000000000000000000000000000000000000000000000000000001 123456789012345678901234567890e-30 "
        "1e22 1e23 8.5e22 0.1e-7 nan -nan NaN inf -inf Infinity -INFINITY 1e99999999999999999999"
    ).split()
    check_numbers(tmp_path, [*numbers, "1" + "0" * 400, "0." + "0" * 400 + "1", "1" * 400])


def test_a_file_full_of_undecided_numbers(tmp_path: Path) -> None:
    check_numbers(tmp_path, ["4.9e-324", "1e-310"] * 20000)


# Frames.


def test_the_usual_untidiness_is_tolerated(tmp_path: Path) -> None:
    expected, _ = only(read_text(tmp_path, WATER))
    texts = [
        WATER.replace("\n", "\r\n"),
        WATER[:-1],
        "\ufeff" + WATER,
        "\n \n\t\n" + WATER + "\n\n  \n",
        WATER.replace("3\n", "  3 \t\n", 1),
        WATER.replace("3\n", "+3\n", 1),
        WATER.replace("H 0 ", " H\t0\t\t "),
        WATER.replace("energy=-1.5\n", "energy=-1.5  \t\n"),
    ]
    for text in texts:
        info, arrays = only(read_text(tmp_path, text))
        assert info == expected, text
        assert arrays["numbers"].tolist() == [8, 1, 1]
        assert arrays["positions"].tolist() == [[0, 0, 0], [0, 0.5, 0.75], [0, -0.5, 0.75]]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_blank_lines_between_frames(tmp_path: Path, end: str) -> None:
    raw = read_text(tmp_path, (WATER + "\n" + WATER + "\n\n" + WATER).replace("\n", end))
    assert raw.bad == []
    assert raw.frames.tolist() == [0, 1, 2]


@pytest.mark.parametrize("text", ["", "\n", " \n\t\n", "\ufeff", "\n\x1c \n", "\n" * 100_000])
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "in.xyz"
    path.write_text(text)
    with pytest.raises(InputError, match="the file is empty"):
        XYZSource(path).scan()


@pytest.mark.parametrize("name", ["in.xyz", "in.xyz.gz"])
def test_a_binary_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = b"3\n\0\1\2" * 100
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(InputError, match="is not a text file"):
        XYZSource(path).scan()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    source = XYZSource(tmp_path / "absent.xyz")
    with pytest.raises(InputError, match=r"absent\.xyz: can't be opened"):
        source.scan()
    with pytest.raises(InputError, match=r"absent\.xyz: can't be opened"):
        list(source.read(Slice(0, 10, 0, 10)))


def test_a_file_that_shrank_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.xyz"
    path.write_text(WATER * 2)
    source = XYZSource(path)
    (piece,) = source.scan()
    path.write_text(WATER)
    with pytest.raises(InputError, match="shorter"):
        list(source.read(piece))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("what\n" + WATER[2:], "expected a line with the number of atoms, found 'what'"),
        ("0\nnothing\n", "no atoms"),
        ("-3\n" + WATER[2:], "negative, -3"),
        ("4\n" + WATER[2:], "the atom count 4 does not fit: after 3 of 4 atom lines comes the line '3'"),
        ("2\n" + WATER[2:], "the atom count 2 does not fit: after that many lines comes 'H 0 -0.5 0.75'"),
        (
            "4\n" + WATER[2:] + "\n",
            "the atom count 4 does not fit: after 3 of 4 atom lines comes an empty line",
        ),
        ("99999999999999999999\n" + WATER[2:], "after 3 of 100000000000000000 atom lines"),
    ],
)
def test_damage_costs_one_frame(tmp_path: Path, damage: str, sentence: str) -> None:
    raw = read_text(tmp_path, WATER + "\n" + damage + WATER + WATER)
    (bad,) = raw.bad
    assert bad.frame == 1
    assert sentence in bad.reason
    assert f"begins at byte {len(WATER) + 1}" in bad.reason
    assert raw.frames.tolist() == [0, 2, 3]
    assert raw.structure["energy"][0].values.tolist() == [-1.5] * 3


def test_the_end_may_be_missing(tmp_path: Path) -> None:
    for cut, sentence in [(-1, None), (-20, "the file ends after 2 of 3 atom lines"), (10, "after 0 of 3")]:
        raw = read_text(tmp_path, WATER + WATER[:cut])
        if sentence is None:
            assert raw.frames.tolist() == [0, 1]
        else:
            assert sentence in reasons(raw)[1]
            assert raw.frames.tolist() == [0]


def test_a_file_of_counts_does_not_take_for_ever(tmp_path: Path) -> None:
    raw = read_text(tmp_path, "\n".join(str(10**k % 999983) for k in range(20)) * 50_000)
    assert len(raw.frames) + len(raw.bad) >= 1


def test_a_large_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n = 40_000
    positions = np.random.default_rng(0).normal(size=(n, 3))
    rows = "".join(f"O {x!r} {y!r} {z!r}\n" for x, y, z in positions.tolist())
    path = tmp_path / "large.xyz"
    path.write_text(WATER + f"{n}\n\n{rows}" + WATER)
    monkeypatch.setattr(xyz, "SCAN_BYTES", 1 << 16)
    monkeypatch.setattr(xyz, "SLICE_BYTES", 1 << 20)
    source = XYZSource(path)
    slices = source.scan()
    assert [piece.first_frame for piece in slices] == [0, 1, 2]
    raws = [raw for piece in slices for raw in source.read(piece)]
    assert [raw.n_atoms.tolist() for raw in raws] == [[3], [n], [3]]
    assert np.array_equal(bits(raws[1].atom["positions"][0].values), bits(positions))


# Slices, compression, threads.


def assert_same_frames(raws: list[Raw], others: list[Raw]) -> None:
    def everything(blocks: list[Raw]) -> Any:
        found = [frame for raw in blocks for frame in frames_of(raw)]
        text = [
            (n, repr({k: (np.shape(v), np.asarray(v).tolist()) for k, v in sorted({**i, **a}.items())}))
            for n, i, a in found
        ]
        return text, [bad for raw in blocks for bad in raw.bad]

    ours, theirs = everything(raws), everything(others)
    assert ours[1] == theirs[1]
    assert ours[0] == theirs[0]


def damaged_file(path: Path) -> None:
    rng = np.random.default_rng(3)
    images = [random_atoms(rng) for _ in range(60)]
    for atoms in images:
        atoms.info = {k: v for k, v in atoms.info.items() if k in ("scalar", "vector", "flag", "name")}
    ase.io.write(path, images, format="extxyz")
    lines = path.read_bytes().splitlines(keepends=True)
    for k in (0, 40, 41, 200, 300, len(lines) - 5):
        lines[k] = b"damage\n"
    lines[100:100] = [b"7\n", b"8\n", b"\n", b"9\n"]
    path.write_bytes(b"".join(lines))


@pytest.mark.parametrize(("slice_bytes", "scan_bytes"), [(1, 64), (500, 100), (3000, 1 << 20), (10_000, 700)])
def test_slicing_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slice_bytes: int, scan_bytes: int
) -> None:
    path = tmp_path / "in.xyz"
    damaged_file(path)
    (whole,) = read(path)
    assert len(whole.bad) >= 5
    monkeypatch.setattr(xyz, "SLICE_BYTES", slice_bytes)
    monkeypatch.setattr(xyz, "SCAN_BYTES", scan_bytes)
    source = XYZSource(path)
    slices = source.scan()
    assert len(slices) > 2
    assert slices[0].start == 0
    assert slices[-1].stop == path.stat().st_size
    assert all(a.stop == b.start for a, b in pairwise(slices))
    assert all(piece.nbytes == piece.stop - piece.start > 0 for piece in slices)
    raws = [raw for piece in slices for raw in source.read(piece)]
    numbers = [n for raw in raws for n in [*raw.frames.tolist(), *(bad.frame for bad in raw.bad)]]
    assert sorted(numbers) == list(range(len(numbers)))
    assert_same_frames(raws, [whole])


def test_slices_are_of_about_the_size_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in.xyz"
    path.write_text(WATER * 1000)
    monkeypatch.setattr(xyz, "SLICE_BYTES", 10 * len(WATER))
    slices = XYZSource(path).scan()
    assert [piece.nbytes for piece in slices] == [10 * len(WATER)] * 100
    assert [piece.first_frame for piece in slices] == list(range(0, 1000, 10))


@pytest.mark.parametrize(
    ("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_compressed_files_are_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, compress: Any
) -> None:
    plain = tmp_path / "in.xyz"
    damaged_file(plain)
    (whole,) = read(plain)
    text = plain.read_bytes()
    named = tmp_path / f"in.xyz.{suffix}"
    named.write_bytes(compress(text))
    unnamed = tmp_path / "compressed.xyz"
    unnamed.write_bytes(compress(text[:5000]) + compress(text[5000:]))
    for path in (named, unnamed):
        with monkeypatch.context() as patch:
            (piece,) = XYZSource(path).scan()
            assert (piece.start, piece.stop, piece.first_frame) == (0, path.stat().st_size, 0)
            (raw,) = read(path)
            assert_same_frames([raw], [whole])
            patch.setattr(xyz, "SLICE_BYTES", 1000)
            patch.setattr(xyz, "_BEHIND", 0)
            raws = read(path)
            assert len(raws) > 5
            assert_same_frames(raws, [whole])


def test_plain_text_may_have_a_misleading_name(tmp_path: Path) -> None:
    assert read_text(tmp_path, WATER, "in.xyz.gz").frames.tolist() == [0]


@pytest.mark.parametrize("name", ["in.xyz.gz", "in.xyz.bz2", "in.xyz.xz"])
def test_damaged_compression_is_a_sentence(tmp_path: Path, name: str) -> None:
    compress: Any = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[name.rsplit(".", 1)[1]]
    whole = compress(random.Random(0).randbytes(30_000).hex().encode())
    path = tmp_path / name
    middle = bytes(b ^ 0xFF for b in whole[20_000:20_050])
    for content in (
        whole[:20_000],
        whole[:20_000] + middle + whole[20_050:],
        b"\x1f\x8b\x00\x01",
        b"BZh9\0",
        b"\1\2",
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match="decompression failed"):
            read(path)


def test_an_empty_compressed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.xyz.gz"
    path.write_bytes(gzip.compress(b"\n"))
    with pytest.raises(InputError, match="the file is empty"):
        XYZSource(path).scan()


def test_slices_can_be_read_in_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "in.xyz"
    damaged_file(path)
    (whole,) = read(path)
    monkeypatch.setattr(xyz, "SLICE_BYTES", 2000)
    source = XYZSource(path)
    with ThreadPoolExecutor(4) as pool:
        raws = [
            raw for found in pool.map(lambda piece: list(source.read(piece)), source.scan()) for raw in found
        ]
    assert_same_frames(raws, [whole])


def test_pathological_blocks_are_halved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in.xyz"
    path.write_text("".join(f"1\n{EXTENDED}:p{i}:R:1 k{i}={i}\nH 0 0 0 {i}\n" for i in range(64)))
    (whole,) = read(path)
    monkeypatch.setattr(xyz, "_ALLOWANCE", 0)
    raws = read(path)
    assert len(raws) > 2
    assert_same_frames(raws, [whole])


def test_is_a_source(tmp_path: Path) -> None:
    source = XYZSource(tmp_path / "in.xyz")
    assert isinstance(source, Source)
    assert source.runs_in == "threads"
    assert pickle.loads(pickle.dumps(source)).label == source.label


def test_importing_stays_light() -> None:
    code = "import sys, zstruct.sources.xyz.source; print([m for m in ('numba', 'ase') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_bad_frames_come_in_order(tmp_path: Path) -> None:
    raw = read_text(tmp_path, "1\n\nQq 0 0 0\n" + "what\n" + WATER + "1\n\nH 0 0 zero\n" + "-1\n" + WATER)
    assert [bad.frame for bad in raw.bad] == sorted(bad.frame or 0 for bad in raw.bad)
    assert all(isinstance(bad, BadFrame) for bad in raw.bad)
