"""Numbers in comments: what templates find, and what they refuse."""

import re
from pathlib import Path

import numpy as np
import pytest
from ase.units import Hartree
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from zstruct.errors import InputError
from zstruct.sources.normalize.comments import CommentTemplate, likely_template, take_numbers
from zstruct.sources.normalize.normalize import ReadOptions
from zstruct.sources.source import Raw, RawColumn

CASES = Path(__file__).parents[2] / "data" / "cases"
XTB = "energy: -5.070544 gnorm: 0.000 xtb: 6.4.1"
ORCA = "-112.4234756903 converged=true"


def build(tmp_path, path, **options):
    zstruct.build(path, tmp_path / "out.zarr", progress=False, **options)
    return zstruct.open(tmp_path / "out.zarr")


@pytest.mark.parametrize(
    ("template", "comment", "number"),
    [
        ("energy: {} ...", XTB, -5.070544),
        (" energy:  {}  ... ", "  energy:\t-5.070544  gnorm: 0 ", -5.070544),
        ("energy: {} gnorm: ... xtb: ...", XTB, -5.070544),
        ("... gnorm: {} ...", XTB, 0.0),
        ("{} ...", ORCA, -112.4234756903),
        ("{} converged=...", ORCA, -112.4234756903),
        ("{}", " -12.72164 ", -12.72164),
        ("{} ...", "-12.72164", -12.72164),
        ("... {}", "-12.72164", -12.72164),
        ("... E {}", "Coordinates from ORCA-job water E -76.323", -76.323),
        ("... E {} ...", "E 1", 1.0),
        ("...E = {} Eh...", "SCF, E = -1.5D+02 Eh (done)", -150.0),
        ("E={}eV", "E=+.5eV", 0.5),
        ("E[{}] ...", "E[1e-3] x", 1e-3),
        ("{}", "007", 7.0),
        ("{}", "-Inf", -np.inf),
        ("E={}", "E=nan", np.nan),
        ("a\\d {}", "a\\d 3", 3.0),
    ],
)
def test_what_fits(template, comment, number):
    found = CommentTemplate(template).number(comment)
    assert found == number or (np.isnan(number) and np.isnan(found))


@pytest.mark.parametrize(
    ("template", "comment"),
    [
        ("{}", XTB),
        ("energy: {}", XTB),
        ("Energy: {} ...", XTB),
        ("energy: {} ...", ORCA),
        ("{} ...", "-1.5x y"),
        ("{} ...", "1.2.3"),
        ("{} ...", "1_000 x"),
        ("{} ...", "converged -1"),
        ("E={}eV", "E=-5.0e5"),
        ("E={}", "E= 5"),
        ("E {} ...", "E 1, E 2"),
        ("{}", ""),
        ("{}", "nano"),
    ],
)
def test_what_does_not_fit(template, comment):
    assert CommentTemplate(template).number(comment) is None


@pytest.mark.parametrize(
    ("template", "comment"),
    [
        ("... {} ...", XTB),
        ("... E {} ...", "E 1 E 2"),
        ("...E {}...", "E 1, E 2"),
        ("... E {} ... E ...", "E 1 E 2 E 3"),
        ("...{}...", "1 2"),
        ("... {} ...", "5 5"),
    ],
)
def test_what_could_be_meant_in_two_ways(template, comment):
    with pytest.raises(ValueError, match=re.escape(comment)):
        CommentTemplate(template).number(comment)


@settings(max_examples=200)
@given(st.floats(allow_nan=False), st.text("abcE =:;.-+() ", max_size=12), st.text("abc: ", max_size=12))
def test_a_number_between_words(number, before, after):
    comment = f"x {before} energy: {number!r} {after}"
    assert CommentTemplate("... energy: {} ...").number(comment) == number


@pytest.mark.parametrize("text", ["{} {}", "{}{}", "... {} and {} ..."])
def test_a_template_has_one_number(text):
    with pytest.raises(InputError, match=r"a template of comments has \{\} once"):
        ReadOptions(keys={"energy": text})


def test_a_template_is_of_structures():
    with pytest.raises(InputError, match="forces belong to its atoms"):
        ReadOptions(keys={"forces": "{} ..."})


def test_columns_of_comments():
    texts = ["E 1", "E 2 x", "none", "E 3 E 4"]
    comments = RawColumn(
        np.array([1, -1, 0, 2, 3, 0], dtype=np.int32), np.array([1, 0, 1, 1, 1, 0], dtype=bool), texts
    )
    raw = Raw(np.arange(6), np.ones(6, dtype=np.int64), structure={"comment": [comments]})
    take_numbers(raw, ["energy", "E {} ...", "never {}"])
    assert set(raw.structure) == {"comment", "E {} ..."}
    (numbers,) = raw.structure["E {} ..."]
    assert numbers.present.tolist() == [True, False, True, False, True, False]
    assert numbers.values[[0, 2, 4]].tolist() == [2, 1, 3]


def test_an_unclear_comment_is_the_fault_of_its_frames():
    comments = RawColumn(np.array([0, 1, 1], dtype=np.int32), None, ["E 1", "E 1 E 2"])
    raw = Raw(np.arange(3), np.ones(3, dtype=np.int64), structure={"Comment": [comments]})
    take_numbers(raw, ["... E {} ..."])
    numbers, unclear = raw.structure["... E {} ..."]
    assert numbers.present.tolist() == [True, False, False]
    assert unclear.present.tolist() == [False, True, True]
    assert "'E 1 E 2' has the form '... E {} ...' in more than one way" in unclear.fault


@pytest.mark.parametrize(
    ("comment", "template"),
    [
        (XTB, "energy: {} ..."),
        (ORCA, "{} ..."),
        (" -12.72164", "{} ..."),
        ("Coordinates from ORCA-job water E -76.323", "... E {} ..."),
        ("i = 1, time = 0.5, E = -17.1643", "... E = {} ..."),
        ("step 3;Energy=-1.5D+02Eh", "...Energy={}..."),
        ("12 atoms", None),
        ("water", None),
        ("energy is low, 3.5", None),
        ("x E 1.5 E 2.5", None),
        ("", None),
    ],
)
def test_forms_that_seem_to_hold_an_energy(comment, template):
    assert likely_template(comment) == template
    if template is not None:
        assert CommentTemplate(template).number(comment) is not None


# Whole builds.


@pytest.mark.parametrize(
    ("name", "template", "energy"),
    [("orca_goat", "{} ...", -112.4234756903), ("xtb_log", "energy: {} ...", -5.070544)],
)
def test_energies_in_comments(tmp_path, name, template, energy):
    ds = build(tmp_path, CASES / f"{name}.xyz", keys={"energy": template}, units={"energy": "hartree"})
    assert ds.energy.values.tolist() == [energy * Hartree]
    assert ds.energy.attrs["source_key"] == template
    assert ds.energy.attrs["source_units"] == "hartree"
    assert ds.comment.values.tolist() == [ORCA if name == "orca_goat" else XTB]


@pytest.mark.parametrize(("name", "template"), [("orca_goat", "{} ..."), ("xtb_log", "energy: {} ...")])
def test_the_report_names_what_would_take_it(tmp_path, name, template):
    report = zstruct.build(CASES / f"{name}.xyz", tmp_path / "out.zarr", progress=False)
    (sentence,) = report.remarks
    assert f"say keys={{'energy': {template!r}}}" in sentence
    assert sentence in str(report)
    assert "no energy recognised" not in str(report)
    keys = {"energy": template}
    report = zstruct.build(CASES / f"{name}.xyz", tmp_path / "2.zarr", keys=keys, progress=False)
    assert report.remarks == {}


def test_several_numbers_and_no_comment(tmp_path):
    keys = {"energy": "energy: {} ...", "gnorm": "... gnorm: {} ..."}
    ds = build(tmp_path, CASES / "xtb_log.xyz", keys=keys, exclude=["comment"])
    assert (ds.energy.values.tolist(), ds.gnorm.values.tolist()) == ([-5.070544], [0.0])
    assert "comment" not in ds


def test_a_form_that_no_comment_has(tmp_path):
    with pytest.raises(InputError, match=r"no input has 'E: \{\}'; they have comment"):
        build(tmp_path, CASES / "xtb_log.xyz", keys={"energy": "E: {}"})


def test_frames_of_several_forms(tmp_path):
    path = tmp_path / "in.xyz"
    comments = ["E -1 x", "another", "E -2", "E=-3", "comment of E 5", "E -1 E -2"]
    path.write_text("".join(f"1\n{comment}\nH 0 0 0\n" for comment in comments))
    with pytest.raises(InputError, match=r"in\.xyz, frame 5: the comment 'E -1 E -2' has the form"):
        build(tmp_path, path, keys={"energy": "... E {} ..."})
    ds = build(tmp_path, path, keys={"energy": "... E {} ..."}, on_error="skip")
    assert np.array_equal(ds.energy.values, [-1, np.nan, -2, np.nan, 5], equal_nan=True)
    assert ds.comment.values.tolist()[:3] == comments[:3]


def test_the_comment_of_an_extended_file(tmp_path):
    path = tmp_path / "in.xyz"
    path.write_text('1\nProperties=species:S:1:pos:R:3 energy=7 Comment="SCF -3.5 done"\nH 0 0 0\n')
    ds = build(tmp_path, path, keys={"energy": "SCF {} done"})
    assert ds.energy.values.tolist() == [-3.5]
    assert ds.input_energy.values.tolist() == [7]
