"""Pages for notebooks: the summary first, the build last, and no text of a file is taken for markup."""

import re

import numpy as np
import pytest

import zstruct
from zstruct.explore.html import dataset_page

BAD = "<script>alert(1)</script>"


def tags(page):
    return set(re.findall(r"<(\w+)", page))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, structures):
    """Structures whose labels, names of fields, source and recipe are markup."""
    folder = tmp_path_factory.mktemp("hostile")
    frames = [atoms.copy() for atoms in structures[:6]]
    for atoms in frames:
        atoms.info["config_type"] = BAD
        atoms.info["<img src=x onerror=alert(1)>"] = 1.0
        atoms.info["note"] = BAD
    path = folder / "<b>bold<b>.zarr"
    report = zstruct.build(frames, path, progress=False)
    zstruct.split(path, {BAD: [0, 1], "val": [2]}, name="mine")
    return path, report


def test_the_summary_is_first_and_the_build_last(ds, path, structures):
    page = ds.zs._repr_html_()

    places = [
        page.index(x) for x in ("40 structures", "species", ">energy<", "store and build", ds.attrs["digest"])
    ]
    assert places == sorted(places)
    assert page.index("<details>") < page.index(str(path)) < page.index("on_error")
    assert f"{sum(atoms.pbc.any() for atoms in structures)}</td>" in page
    assert "65.0%" in page
    assert "eV angstrom-1" in page


def test_a_part_is_told_as_one(ds):
    page = dataset_page(ds.zs.isel(slice(0, 4)))

    assert "4 structures" in page
    assert "periodic" not in page
    assert "on_error" in page
    assert ds.attrs["digest"] not in page


def test_a_store_that_is_gone_is_no_error(tmp_path, structures):
    zstruct.build(structures[:3], tmp_path / "x.zarr", progress=False)
    ds = zstruct.open(tmp_path / "x.zarr")
    ds.n_atoms.load()
    zstruct.build(structures[3:5], tmp_path / "x.zarr", overwrite=True, progress=False)

    assert "3 structures" in ds.zs._repr_html_()


def test_text_of_files_is_escaped(hostile):
    path, report = hostile
    ds = zstruct.open(path)
    ds.load()
    pages = {
        "dataset": ds._repr_html_(),
        "array": ds.config_type._repr_html_(),
        "accessor": ds.zs._repr_html_(),
        "part": ds.zs.isel(slice(2)).zs._repr_html_(),
        "report": report._repr_html_(),
        "split": zstruct.open_split(path, "mine")._repr_html_(),
        "statistics": zstruct.statistics(path, progress=False)._repr_html_(),
    }

    for name, page in pages.items():
        assert not tags(page) & {
            "script",
            "img",
            "b" if name not in ("accessor", "part", "report") else "i",
        }, name
        assert "onerror=alert" not in page or "&lt;img" in page, name
    assert "&lt;script&gt;" in pages["array"]
    assert "&lt;script&gt;" in pages["split"]
    assert "&lt;b&gt;bold" in pages["report"]


def test_the_report_has_a_table_of_fields(hostile):
    page = hostile[1]._repr_html_()

    assert "6 structures" in page
    assert "<td>spectrum</td><td>6</td><td>100.0%</td>" in page
    assert "<td>site</td><td>4</td><td>66.7%</td>" in page
    assert "no energy and no forces recognised" in page


def test_a_split_shows_its_parts(path):
    page = zstruct.split(path, {"train": np.arange(30), "val": np.arange(30, 38)})._repr_html_()

    assert "<td>train</td><td>30</td>" in page
    assert "<td>in no part</td><td>2</td>" in page


def test_a_dataset_for_training_shows_what_it_serves(path):
    reader = zstruct.StructureReader(path)

    page = reader._repr_html_()

    assert "40 of the 40" in page
    assert "energy" in page
