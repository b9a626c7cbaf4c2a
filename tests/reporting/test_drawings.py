"""Drawings are well-formed, escape what they are given, and have a bar where something is."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from zstruct.elements import NUMBERS
from zstruct.reporting.drawings import Axis, bins_of, histogram, periodic_table, rows_of_groups

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg):
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))[0]


def outline(path):
    """Return heights and right ends of bars."""
    steps = re.findall(r"V([\d.]+)H([\d.]+)", path.get("d"))
    foot = float(path.get("d").split()[1].split("V")[0])
    return np.array([foot - float(y) for y, _ in steps]), np.array([float(x) for _, x in steps])


def test_bars_are_as_high_as_what_they_count():
    counts, edges = np.array([1, 0, 4, 2]), np.array([0.0, 1, 2, 3, 4])
    drawing = parsed(histogram(counts, edges, Axis("<x> (eV/Å)"), "structures"))
    heights, ends = outline(drawing.find(f"{SVG}path[@class='bar']"))
    np.testing.assert_allclose(heights / heights.max(), counts / 4, atol=2e-3)
    np.testing.assert_allclose(np.diff(ends), ends[1] - ends[0], atol=0.2)
    assert "<x> (eV/Å)" in [text.text for text in drawing.iter(f"{SVG}text")]


def test_ticks_are_where_their_numbers_are():
    edges = np.geomspace(0.01, 100, 41)
    drawing = parsed(histogram(np.ones(40), edges, Axis("force", log=True), "atoms"))
    _, ends = outline(drawing.find(f"{SVG}path[@class='bar']"))
    ticks = {
        text.text: float(text.get("x"))
        for text in drawing.iter(f"{SVG}text")
        if text.get("text-anchor") == "middle" and re.fullmatch(r"[\d.]+", text.text or "")
    }
    assert set(ticks) == {"0.01", "0.1", "1", "10", "100"}
    assert ticks["1"] == pytest.approx(ends[19], abs=0.2)
    assert ticks["100"] == pytest.approx(ends[39], abs=0.2)


def test_a_bar_of_one_among_millions_is_seen():
    drawing = parsed(histogram(np.array([5_000_000, 1]), np.array([0.0, 1, 2]), Axis("x"), "structures"))
    heights, _ = outline(drawing.find(f"{SVG}path[@class='bar']"))
    assert heights[1] == pytest.approx(1.0, abs=0.1)


def test_groups_are_rows_that_do_not_overlap():
    names = ["<b>&", "x" * 100, "y"]
    counts = [np.array([1, 5]), np.array([0, 0]), np.array([100, 3])]
    drawing = parsed(rows_of_groups(names, counts, np.array([0.0, 1, 2]), Axis("e"), "structures"))
    bars = drawing.findall(f"{SVG}path[@class='bar']")
    tops = [min(map(float, re.findall(r"V([\d.]+)", bar.get("d")))) for bar in bars]
    feet = [max(map(float, re.findall(r"V([\d.]+)", bar.get("d")))) for bar in bars]
    assert all(top >= foot for top, foot in zip(tops[1:], feet, strict=False))
    assert [title.text for title in drawing.iter(f"{SVG}title")] == names
    assert "<b>&" in [text.text for text in drawing.iter(f"{SVG}text")]


def test_the_periodic_table_has_each_element_once_in_its_place():
    with_element = np.zeros(256, np.int64)
    with_element[[1, 26]] = 10, 2000
    drawing = parsed(periodic_table(with_element, with_element))
    cells = {}
    for cell in drawing.iter(f"{SVG}g"):
        x, y = map(float, re.findall(r"[\d.]+", cell.get("transform")))
        cells[cell.find(f"{SVG}text").text] = (x, y, cell.get("class"))
    assert len(cells) == 118 == len({place[:2] for place in cells.values()})
    column = {symbol: x for symbol, (x, _, _) in cells.items()}
    for group in (
        "H Li Na K Rb Cs Fr",
        "Be Mg Ca Sr Ba Ra",
        "Ti Zr Hf Rf",
        "C Si Ge Sn Pb Fl",
        "He Ne Ar Kr Xe Rn Og",
    ):
        assert len({column[symbol] for symbol in group.split()}) == 1, group
    row = {symbol: y for symbol, (_, y, _) in cells.items()}
    assert len({row[s] for s in "La Ce Gd Yb".split()}) == 1
    assert row["La"] > row["Rf"]
    assert row["Lu"] == row["Cs"]
    assert {symbol for symbol, (_, _, kind) in cells.items() if "there" in kind} == {"H", "Fe"}
    assert set(cells) == {symbol for symbol, z in NUMBERS.items() if 0 < z < 119}


@pytest.mark.parametrize("values", [[2.0], [1.0, 1.0], [0.0], [-5.0, 1e9], [1e-30, 2e-30], [-1e300, 1e300]])
def test_bins_hold_all(values):
    values = np.array(values)
    edges = bins_of(values)
    assert (np.diff(edges) > 0).all()
    assert np.histogram(values, edges)[0].sum() == len(values)


def test_bins_of_whole_numbers_are_between_them():
    assert bins_of(np.array([2, 5]), whole=True).tolist() == [1.5, 2.5, 3.5, 4.5, 5.5]
    wide = bins_of(np.array([1, 1000]), whole=True)
    assert len(wide) <= 82
    assert (np.diff(wide) % 1 == 0).all()
    assert np.histogram([1, 1000], wide)[0].sum() == 2
