"""Dialects of extended XYZ: libAtoms' specification, GPUMD, QUIP, and comments of plain files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zstruct
from tests.sources.xyz.blocks import EXTENDED, comment, frames_of, only, read, read_text, reasons
from zstruct.ragged import Packed
from zstruct.sources.normalize.normalize import ReadOptions, normalize

CASES = Path(__file__).parents[2] / "data" / "cases"
CELL = [[5.0, 0.0, 0.0], [0.0, 6.0, 0.0], [0.0, 0.0, 7.0]]
SHEARED = [[5.0, 0.0, 0.0], [1.0, 6.0, 0.0], [0.0, 0.0, 7.0]]
WATER = f"3\n{EXTENDED} energy=-1.5\nO 0 0 0\nH 0 0.5 0.75\nH 0 -0.5 0.75\n"


def packed(name: str, **options: Any) -> Packed:
    """Read a case, of one frame, as fields."""
    (raw,) = read(CASES / name)
    block, bad = normalize(raw, ReadOptions(**options), name)
    assert bad == []
    assert len(block) == 1
    return block


def value(block: Packed, name: str) -> Any:
    return block.columns[name][0].tolist()


# Cases.


@pytest.mark.parametrize("name", ["lower_lattice", "gpumd_capitals"])
def test_special_keys_in_any_case(name: str) -> None:
    block = packed(f"{name}.xyz")
    assert value(block, "cell") == CELL
    assert value(block, "pbc") == [True] * 3
    assert block.columns["numbers"].tolist() == [1, 8]
    (raw,) = read(CASES / f"{name}.xyz")
    ((_, _, arrays),) = frames_of(raw)
    assert arrays["force" if name == "lower_lattice" else "Forces"].tolist() == [[0.1, 0, 0], [-0.1, 0, 0]]


def test_an_empty_value_leaves_the_cell_alone() -> None:
    block = packed("empty_value.xyz")
    assert value(block, "cell") == CELL
    assert value(block, "energy") == -914.3
    assert "config_type" not in block.columns


def test_two_dimensional_arrays() -> None:
    assert value(packed("spec_2d_array.xyz"), "mat") == [[1.5, 2.5], [3.5, 4.5]]
    written = packed("libatoms_written.xyz")
    assert value(written, "mat") == [[1.5, 2.5], [3.5, 4.5]]
    assert value(written, "energy") == -1.5
    assert value(written, "cell") == SHEARED
    assert value(written, "pbc") == [True] * 3
    for block in (packed("spec_2d_virial.xyz"), written):
        assert np.allclose(value(block, "stress"), [-1 / 210] * 3 + [0, 0, -0.5 / 210], rtol=1e-15, atol=0)


def test_a_lattice_with_rows_and_columns() -> None:
    # libAtoms' parser (0.4.6) takes the columns for the vectors, and wrote the same matrix as SHEARED.
    assert value(packed("spec_2d_lattice.xyz"), "cell") == SHEARED


def test_exponents_of_fortran() -> None:
    block = packed("spec_D_exponent.xyz")
    assert value(block, "energy") == -150.0
    assert block.columns["forces"].tolist() == [[0.001, 0, 0], [0, 0, 0]]


def test_plain_lines_are_not_read_beyond_the_position() -> None:
    block = packed("spec_plain_5_columns.xyz")
    assert block.columns["positions"].tolist() == [[0, 0, 0], [0, 0, 1]]
    assert block.categories["comment"] == ["water fragment"]


def test_space_in_properties() -> None:
    block = packed("properties_trailing_space.xyz")
    assert block.columns["positions"].tolist() == [[0, 0, 0], [0, 0, 1]]
    assert value(block, "energy") == -1


def test_a_lattice_of_zeros_is_none() -> None:
    block = packed("quip_zero_lattice.xyz")
    assert value(block, "cell") == np.zeros((3, 3)).tolist()
    assert value(block, "pbc") == [False] * 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("orca_goat", "-112.4234756903 converged=true"),
        ("xtb_log", "energy: -5.070544 gnorm: 0.000 xtb: 6.4.1"),
    ],
)
def test_the_comment_of_a_plain_file_is_kept(name: str, text: str) -> None:
    block = packed(f"{name}.xyz")
    assert block.categories["comment"] == [text]
    assert "energy" not in block.columns


# libAtoms' own parser.


def test_values_equal_those_of_libatoms(tmp_path: Path) -> None:
    # Lines and values of tests/data/make_libatoms.py.
    n = 0
    for line, expected in json.loads((CASES / "libatoms.json").read_text()):
        info, _ = only(comment(tmp_path, line))
        for key, theirs in expected.items():
            ours = info[key]
            n += 1
            if isinstance(theirs, str):
                assert ours == theirs, line
                continue
            if isinstance(theirs, dict):
                theirs = np.array(theirs["values"]).reshape(theirs["shape"])
                if theirs.shape == (3, 3) and np.shape(ours) == (9,):
                    ours = np.reshape(ours, (3, 3), order="F")  # nine numbers are a matrix there
            assert np.shape(ours) == np.shape(theirs), line
            assert (np.asarray(ours).dtype == bool) == (np.asarray(theirs).dtype == bool), line
            assert np.array_equal(ours, theirs), line
    assert n > 400


# Relatives.


@pytest.mark.parametrize("key", ["LATTICE", "lattice", "Lattice"])
@pytest.mark.parametrize("properties", ["PROPERTIES=Species:S:1:POS:R:3", "properties=SPECIES:s:1:pos:r:3"])
@pytest.mark.parametrize(
    "pbc", ['PBC="T T F"', "Pbc=[t,t,f]", "pbc={1 1 0}", "pbc=TTF", "pbc = 'true True FALSE'"]
)
def test_any_case_and_form(tmp_path: Path, key: str, properties: str, pbc: str) -> None:
    info, arrays = only(comment(tmp_path, f"{properties}\t{key}='5 0 0 0 6 0 0 0 7'  {pbc}"))
    assert info["cell"].tolist() == CELL
    assert info["pbc"].tolist() == [True, True, False]
    assert arrays["positions"].tolist() == [[0, 0, 0]]
    assert set(info) == {"cell", "pbc"}


def test_the_right_case_goes_first(tmp_path: Path) -> None:
    line = f'lattice=bcc {EXTENDED} Lattice="5 0 0 0 6 0 0 0 7" properties="_JSON {{}}"'
    info, _ = only(comment(tmp_path, line))
    assert info["cell"].tolist() == CELL
    assert info["lattice"] == "bcc"
    info, _ = only(comment(tmp_path, f"{EXTENDED} lattice=bcc"))
    assert info == {"lattice": "bcc"}


def test_cases_may_differ_between_frames(tmp_path: Path) -> None:
    text = "".join(
        f'1\n{EXTENDED} a={k} {key}="{k + 1} 0 0 0 6 0 0 0 7"\nH 0 0 0\n'
        for k, key in enumerate(["lattice", "Lattice", "LATTICE", "lattice"])
    )
    raw = read_text(tmp_path, text)
    assert raw.bad == []
    (cell,), (a,) = raw.structure["cell"], raw.structure["a"]
    assert cell.present is None
    assert cell.values[:, 0, 0].tolist() == [1, 2, 3, 4]
    assert a.values.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a= b=3", {"b": 3}),
        ("a=\tb = 3 c=1", {"b": 3, "c": 1}),
        ('a= "b c"=3', {"b c": 3}),
        ("a=  b=c=d", {"b": "c=d"}),
        ("a= b= c=", {}),
        ("a=b=3", {"a": "b=3"}),
        (r'a= b=3 c="x \"y\""', {"b": 3, "c": 'x "y"'}),
        ("a= b c=3", {"a": "b", "c": 3}),
        ("a=\tb\tc='1 2'", {"a": "b", "c": [1, 2]}),
        ("a=\"\" b={} c=[] d='' e=5", {"e": 5}),
    ],
)
def test_values_may_be_absent(tmp_path: Path, line: str, expected: dict[str, Any]) -> None:
    info, _ = only(comment(tmp_path, f"{line} {EXTENDED}"))
    assert {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in info.items()} == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("[ [1,2] , [3,4] ]", [[1, 2], [3, 4]]),
        ("[[1, 2.5], [3, -0]]", [[1, 2.5], [3, -0.0]]),
        ("[[T, F], [false, True]]", [[True, False], [False, True]]),
        ("[[1D2, 2e-1], [-.5d+0, inf]]", [[100, 0.2], [-0.5, np.inf]]),
        ("[[7]]", [[7]]),
        ("[[1], [2], [3]]", [[1], [2], [3]]),
        ("[[1, 2, 3]]", [[1, 2, 3]]),
        ("[[4.9e-324, 1e-310], [1d-310, 2]]", [[4.9e-324, 1e-310], [1e-310, 2]]),
    ],
)
def test_lists_of_lists(tmp_path: Path, written: str, expected: list[list[Any]]) -> None:
    for line in (f"{EXTENDED} m={written} k=1", rf'q="a \"b\"" m = {written} {EXTENDED} k=1'):
        info, _ = only(comment(tmp_path, line))
        assert info["m"].shape == np.shape(expected)
        assert info["m"].dtype == np.array(expected).dtype
        assert info["m"].tobytes() == np.array(expected).tobytes()
        assert info["k"] == 1


@pytest.mark.parametrize(
    "written",
    [
        '[["a b", "c]"], ["=", "d"]]',
        "[[a, b], [c, d]]",
        "[[1, 2], [3]]",
        "[[1, 2], [3, x]]",
        "[[1, T], [F, 2]]",
        "[[[1]], [[2]]]",
        "[[1, 2], 3]",
        "[[1, 2]]x",
    ],
)
def test_lists_of_lists_that_are_no_matrix_stay_text(tmp_path: Path, written: str) -> None:
    for line in (f"{EXTENDED} m={written} k=1", rf'q="a \"b\"" m={written} {EXTENDED} k=1'):
        info, _ = only(comment(tmp_path, line))
        assert info["m"] == written
        assert info["k"] == 1


def test_shapes_may_differ_between_frames(tmp_path: Path) -> None:
    text = "".join(
        f"1\n{EXTENDED} m={m}\nH 0 0 0\n" for m in ("[[1, 2]]", "[[3], [4]]", "[5, 6]", "[[7, 8.5]]")
    )
    raw = read_text(tmp_path, text)
    found = {info["m"].shape: info["m"].tolist() for _, info, _ in frames_of(raw)}
    assert found == {(1, 2): [[7, 8.5]], (2, 1): [[3], [4]], (2,): [5, 6]}


@pytest.mark.parametrize(
    "line",
    [
        'note="no end Lattice="5 0 0 0 6 0 0 0 7" Properties=species:S:1:pos:R:3 energy=-1',
        f"{EXTENDED} note='no end energy=-1",
        f"{EXTENDED} m=[[1, 2], [3, 4] energy=-1",
        f"m=[[1, 2], [3, 4] {EXTENDED}",
        f"{EXTENDED} note={{no end energy=-1",
        f"{EXTENDED} energy=-1 \\",
    ],
)
def test_an_open_quote_is_the_fault_of_its_frame(tmp_path: Path, line: str) -> None:
    raw = read_text(tmp_path, f"1\n{line}\nH 0 0 0\n" + WATER)
    assert "never closed" in reasons(raw)[0]
    assert raw.frames.tolist() == [1]
    assert raw.structure["energy"][0].values.tolist() == [-1.5]


def test_two_values_of_one_key(tmp_path: Path) -> None:
    raw = read_text(tmp_path, f"1\n{EXTENDED} a=1 energy=-2 a=2\nH 0 0 0\n" + WATER)
    block, bad = normalize(raw, ReadOptions(), "in.xyz")
    assert [b.frame for b in bad] == [0]
    assert "'a' comes twice with different values" in bad[0].reason
    block, bad = normalize(raw, ReadOptions(exclude=frozenset({"a"})), "in.xyz")
    assert bad == []
    assert block.columns["energy"].tolist() == [-2, -1.5]
    info, _ = only(comment(tmp_path, f'{EXTENDED} a=1 b="1 2" c=x a=1 b="1  2" c=x c= d=1.0 d=1.0'))
    assert (info["a"], info["b"].tolist(), info["c"], info["d"]) == (1, [1, 2], "x", 1.0)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (f'{EXTENDED} Lattice="5 0 0 0 6 0 0 0 7" Lattice="5 0 0 0 6 0 0 0 8"', "'Lattice' comes twice"),
        (f"{EXTENDED} pbc=T pbc=F", "'pbc' comes twice"),
        (f"{EXTENDED} Properties=species:S:1:pos:R:3:q:R:1", "'Properties' comes twice"),
        (f"{EXTENDED} lattice=[[1, 2], [3, 4]]", "nine numbers, not '[[1, 2], [3, 4]]'"),
        (f"{EXTENDED} Lattice=", "nine numbers, not ''"),
        (f"{EXTENDED} PBC=maybe", "pbc must be"),
        (f"{EXTENDED} pbc=TTX", "pbc must be"),
    ],
)
def test_contradictions_of_the_geometry(tmp_path: Path, line: str, sentence: str) -> None:
    assert sentence in reasons(comment(tmp_path, line))[0]


@pytest.mark.parametrize(
    ("lattice", "pbc", "expected"),
    [
        ("5 0 0 0 6 0 0 0 0", "", "TTF"),
        ("0 0 0 0 6 0 0 0 0", "", "FTF"),
        ("0.0 -0.0 0 0 0 0 0 0 0", "pbc=F", "FFF"),
        ("5 0 0 0 6 0 0 0 7", 'pbc="F F F"', "FFF"),
    ],
)
def test_nothing_repeats_along_a_vector_of_zeros(
    tmp_path: Path, lattice: str, pbc: str, expected: str
) -> None:
    info, _ = only(comment(tmp_path, f'{EXTENDED} Lattice="{lattice}" {pbc}'))
    assert info["pbc"].tolist() == [c == "T" for c in expected]


def test_newlines_and_other_characters_in_quotes(tmp_path: Path) -> None:
    info, _ = only(comment(tmp_path, rf'{EXTENDED} a="one\ntwo" b="Ångström \\ µ" c=\n k=1'))
    assert (info["a"], info["b"], info["c"], info["k"]) == ("one\ntwo", "Ångström \\ µ", "n", 1)


def test_a_text_among_numbers_costs_its_own_frame(tmp_path: Path) -> None:
    matrix = "[[1, 2, 0], [2, 1.5D0, 0], [0, 0, 1]]"
    energies, virials = ["-1.5D+02", "none", "-2"], [matrix, matrix, "[[1, 2], [3]]"]
    text = "".join(
        f"1\n{EXTENDED} energy={e} virial={v}\nH 0 0 0\n" for e, v in zip(energies, virials, strict=True)
    )
    block, bad = normalize(read_text(tmp_path, text), ReadOptions(), "in.xyz")
    assert [b.frame for b in bad] == [1, 2]
    assert "'none'" in bad[0].reason
    assert "[[1, 2], [3]]" in bad[1].reason
    assert block.columns["energy"].tolist() == [-150.0]
    assert block.columns["virial"].tolist() == [[[1, 2, 0], [2, 1.5, 0], [0, 0, 1]]]


# Plain XYZ.


@pytest.mark.parametrize("rest", ["", " 1", " -0.1 0.2 x", " " + "7 " * 40, "\t" + "long" * 500 + " 1"])
def test_the_rest_of_a_plain_line(tmp_path: Path, rest: str) -> None:
    text = f"2\nplain\nO 1 2 3{rest}\nH 4 5 6{rest}\n"
    _, arrays = only(read_text(tmp_path, text))
    assert arrays["numbers"].tolist() == [8, 1]
    assert arrays["positions"].tolist() == [[1, 2, 3], [4, 5, 6]]
    if rest:
        raw = read_text(tmp_path, text.replace("plain", EXTENDED))
        assert "values instead of 4" in reasons(raw)[0]
    raw = read_text(tmp_path, "2\nplain\nO 1 2 3\nH 4 5\n")
    assert "3 values instead of 4" in reasons(raw)[0]


def test_columns_that_are_not_read_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "in.xyz"
    lines = ["H 0 0 0 1 2 3", "H 0 0 1", "H 0 0 2 " + "9 " * 80, "X x 0 0 1"]
    path.write_text("".join(f"2\nplain\nH 1 1 1\n{line}\n" for line in lines) + WATER)
    report = zstruct.build(path, tmp_path / "x.zarr", on_error="skip", progress=False)
    assert (report.n_structures, report.n_skipped) == (4, 1)
    ((sentence, count),) = report.remarks.items()
    assert "more columns than element and position" in sentence
    assert count == 2


def test_plain_comments_are_kept_as_they_are(tmp_path: Path) -> None:
    lines = ["it's water", '  a "b c" \\d {', "", "x=1 y=2", "same", "same", f"{EXTENDED} bare", "µ x=1"]
    text = "".join(f"1\n{line}\nH 0 0 0\n" for line in lines)
    raw = read_text(tmp_path, text)
    assert raw.bad == []
    found = [info for _, info, _ in frames_of(raw)]
    assert [info.pop("comment", None) for info in found] == [
        "it's water", 'a "b c" \\d {', None, None, "same", "same", None, "µ x=1",
    ]  # fmt: skip
    assert found == [{}, {}, {}, {"x": 1, "y": 2}, {}, {}, {"bare": True}, {"x": 1}]


def test_many_plain_comments(tmp_path: Path) -> None:
    lines = [f"step {k} " + "x" * (k % 997) for k in range(4000)]
    raws = read_all(tmp_path, "".join(f"1\n{line}\nH 0 0 0\n" for line in lines))
    assert [info["comment"] for raw in raws for _, info, _ in frames_of(raw)] == [s.strip() for s in lines]


def read_all(tmp_path: Path, text: str) -> list[Any]:
    path = tmp_path / "in.xyz"
    path.write_text(text)
    return read(path)


def test_a_key_called_comment(tmp_path: Path) -> None:
    text = "1\ncomment=a bare\nH 0 0 0\n1\ncomment=b\nH 0 0 0\n1\nother words\nH 0 0 0\n"
    raw = read_text(tmp_path, text)
    assert [info["comment"] for _, info, _ in frames_of(raw)] == ["comment=a bare", "b", "other words"]
    block, bad = normalize(raw, ReadOptions(), "in.xyz")
    assert bad == []
    assert [block.categories["comment"][k] for k in block.columns["comment"]] == [
        "comment=a bare", "b", "other words",
    ]  # fmt: skip


# Exponents.


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.from_regex(r"[+-]?([0-9]{1,25}\.?[0-9]{0,25}|\.[0-9]{1,25})[dDeE][+-]?[0-9]{1,3}", fullmatch=True), min_size=1, max_size=30))  # fmt: skip  # noqa: E501
def test_any_number_of_fortran(tmp_path: Path, numbers: list[str]) -> None:
    rows = "".join(f"H 0 0 0 {number}\n" for number in numbers)
    joined = ", ".join(numbers)
    line = f'{EXTENDED}:x:R:1 y="{joined}, 0.5" m=[[{joined}], [{joined}]]'
    info, arrays = only(read_text(tmp_path, f"{len(numbers)}\n{line}\n{rows}"))
    expected = np.array([float(number.lower().replace("d", "e")) for number in numbers])
    assert arrays["x"].tobytes() == expected.tobytes()
    assert info["y"].tobytes() == np.append(expected, 0.5).tobytes()
    assert info["m"].tobytes() == np.stack([expected, expected]).tobytes()


@pytest.mark.parametrize("text", ["1d", "d5", "1dd5", "1d5e5", "1d+", "2D", "1.d-x"])
def test_what_is_no_number_stays_text(tmp_path: Path, text: str) -> None:
    info, _ = only(comment(tmp_path, f"{EXTENDED} a={text}"))
    assert info["a"] == text


def test_numbers_in_json_may_be_fortrans(tmp_path: Path) -> None:
    info, _ = only(comment(tmp_path, f'{EXTENDED} a="_JSON [1D3, 2.5d-1]" b="_JSON [1d0]"'))
    assert info["a"].tolist() == [1000, 0.25]
    assert info["b"].tolist() == [1.0]
