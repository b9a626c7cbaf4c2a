"""`report`, `ds.zs.view` and the command: what they return, where it is written, what they refuse."""

import html
from importlib.resources import files

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from zstruct.cli import main
from zstruct.errors import ArgumentTypeError, InputError, StaleGroupError, StoreExistsError, UnknownNameError
from zstruct.reporting import findings
from zstruct.reporting.options import PageOptions
from zstruct.stats.scan import Part


def test_a_file_is_written_once(path, tmp_path):
    out = tmp_path / "report.html"
    made = zstruct.report(path, out)
    assert out.read_text() == made.html
    assert (made.n_structures, made.n_shown, made.path) == (60, 60, str(out))
    assert str(made).startswith(f"report of 60 structures in {out}, ")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(StoreExistsError, match="overwrite=True"):
        zstruct.report(path, out, tolerance=None)
    assert zstruct.report(path, out, overwrite=True).html == made.html


def test_a_directory_is_no_file(path, tmp_path):
    with pytest.raises(InputError, match=r"is a directory: name a file in it, as .*report\.html"):
        zstruct.report(path, tmp_path, overwrite=True)
    with pytest.raises(
        InputError, match=r"not a Dataset.*; its path is .*hostile&\.zarr', and what ds\.zs has"
    ):
        zstruct.report(zstruct.open(path))


def test_a_part_is_told_of_as_such(path, structures):
    made = zstruct.report(path, select="Ti and n_atoms > 3", tolerance=None)
    n = sum("Ti" in atoms.symbols and len(atoms) > 3 for atoms in structures)
    assert made.n_structures == n
    assert f"{n} of 60" in made.html
    assert 'id="duplicates"' not in made.html
    view = zstruct.open(path).zs.select("Ti and n_atoms > 3").zs.view(tolerance=None)
    assert view.html == made.html
    frame = view._repr_html_()
    assert frame.startswith('<iframe sandbox="allow-scripts" srcdoc="&lt;!DOCTYPE html&gt;')
    assert html.unescape(frame.split('srcdoc="')[1].split('" style')[0]) == view.html


def test_groups_and_maps_are_chosen(path, tmp_path):
    made = zstruct.report(path, by="formula", features="pca", most=12, tolerance=None)
    assert made.n_shown == 12
    assert "drawn at random from each formula in proportion to its size" in made.sample
    with pytest.raises(UnknownNameError, match="no field 'confg'"):
        zstruct.report(path, by="confg")
    with pytest.raises(InputError, match="energy has numbers, and groups are made by texts: "):
        zstruct.report(path, by="energy")
    with pytest.raises(InputError, match=r"no .* 'umap'"):
        zstruct.report(path, features="umap")
    with pytest.raises(InputError, match="nothing to show"):
        zstruct.report(path, select="Au")
    with pytest.raises(InputError, match="most is a whole number from 1 up to 20,000"):
        zstruct.report(path, most=30_000)


def test_fields_with_a_number_may_be_along_an_axis(tmp_path, monkeypatch):
    frames = [molecule("H2O") for _ in range(3)]
    for k, atoms in enumerate(frames):
        atoms.info |= {"gap": 0.5 * k, "count": k, "same": 1.5, "huge": 1e300 * k, "name": str(k)}
    del frames[1].info["count"]
    zstruct.build(frames, tmp_path / "a.zarr", progress=False)
    part = Part.of(tmp_path / "a.zarr")

    def columns():
        points = findings.find(part, PageOptions(tolerance=None)).points
        labels = [one["label"] for one in points.about["columns"]]
        return {label: points.arrays[f"column-{k}"] for k, label in enumerate(labels)}

    found = columns()
    assert {"frame", "gap", "count", "huge"} <= found.keys()
    assert "same" not in found
    np.testing.assert_array_equal(found["gap"], [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(found["count"], [0, np.nan, 2])
    np.testing.assert_array_equal(found["huge"], [0, np.inf, np.inf])
    monkeypatch.setattr(findings, "_NUMBERS", 6)
    assert len(columns()) == len(found) - 2


def test_stores_that_have_next_to_nothing(tmp_path):
    zstruct.build([molecule("H")], tmp_path / "a.zarr", progress=False)
    made = zstruct.report(tmp_path / "a.zarr")
    for key in ("energies", "forces", "stress", "distances", "splits"):
        assert f'<section id="{key}"' not in made.html
    assert "There are no duplicates within 0.01" in made.html


def test_who_asks_for_the_page_that_reads_the_store_is_told_its_name(path):
    with pytest.raises(
        ArgumentTypeError, match=r"no option 'live'; write zstruct.live_report\(store\) in pl"
    ):
        zstruct.report(path, live=True)
    with pytest.raises(ArgumentTypeError, match=r"no option 'most'; write sample=\.\.\."):
        zstruct.live_report(path, most=5)


def test_a_split_that_is_stale_is_said(path, monkeypatch):
    def stale(store, name):
        raise StaleGroupError(name)

    monkeypatch.setattr(findings, "open_split", stale)
    said = zstruct.report(path, tolerance=None).html
    assert "the split default was drawn for other content than the store has now" in said
    assert 'id="splits"' not in said


def test_the_command(path, tmp_path, capsys):
    out = tmp_path / "r.html"
    asked = [
        "report",
        str(path),
        "-o",
        str(out),
        "--quiet",
        "--no-duplicates",
        "--by",
        "formula",
        "--most",
        "7",
    ]
    assert main(asked) == 0
    assert capsys.readouterr().out.startswith(f"report of 60 structures in {out}")
    assert out.read_text() == zstruct.report(path, tolerance=None, by="formula", most=7).html
    assert main(asked) == 1
    assert "there already" in capsys.readouterr().err


def test_names_that_are_no_unicode_are_written(tmp_path):
    atoms = molecule("H2O")
    atoms.info["config_type"] = "caf\u00e9 \U0001f9ea"
    atoms.calc = SinglePointCalculator(atoms, energy=-14.0)
    zstruct.build([atoms, molecule("CH4")], tmp_path / "a.zarr", progress=False)
    made = zstruct.report(tmp_path / "a.zarr", tmp_path / "r.html")
    assert "caf\u00e9 \U0001f9ea" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert made.n_shown == 2


def test_scripts_make_no_markup_and_style_and_frame_are_in_the_package():
    reporting = files("zstruct.reporting")
    shared = {file.name: file for file in reporting.joinpath("assets").iterdir()}
    own = [file for file in reporting.joinpath("live_page").iterdir() if file.name.endswith(".js")]
    assert shared.keys() >= {"drawing.js", "scatter.js", "viewer.js", "report.css", "look.html"}
    assert {file.name for file in own} >= {"start.js", "store.js", "sample.js", "main.js"}
    for file in (*shared.values(), *own):
        text = file.read_text()
        assert "innerHTML" not in text
        assert len(text.splitlines()) < 400


def test_leaks_are_counted(path):
    made = zstruct.report(path)
    counts = zstruct.leaks(path, "default").counts()
    assert np.array_equal(counts, [[0, 2], [2, 0]])
    assert "<h3>Leaks of the split default</h3>" in made.html
