"""Builds with decimals: the same numbers in fewer bytes, whatever is among them."""

from pathlib import Path

import numpy as np
import pytest

import zstruct
from tests.building.frames import some_frames
from zstruct.store.decimals import Decimal
from zstruct.store.savings import DecimalSavings

SAMPLES = sorted((Path(__file__).parents[1] / "data" / "sample").glob("*.xyz"))


def both(paths, folder, **encoding):
    """Return a store as it is by default, and one of decimals."""
    for name, how in (("plain", {}), ("decimal", {"decimal": True})):
        zstruct.build(paths, folder / name, encoding={**how, **encoding}, overwrite=True, progress=False)
    return zstruct.Store(folder / "plain"), zstruct.Store(folder / "decimal")


def kept_as(store, name):
    return store.profile(name).codec.decimal


def assert_equal(plain, decimal):
    assert plain.digest == decimal.digest
    assert plain.columns == decimal.columns
    for name in plain.columns:
        assert plain.read(name).tobytes() == decimal.read(name).tobytes(), name
    zstruct.verify(decimal)


@pytest.fixture
def text(tmp_path):
    """A file of them."""
    (tmp_path / "some.xyz").write_text(some_frames(300))
    return tmp_path / "some.xyz"


@pytest.mark.parametrize("compression", ["fast", "small"])
def test_the_same_numbers(text, tmp_path, compression):
    plain, decimal = both(text, tmp_path, compression=compression)

    assert_equal(plain, decimal)
    assert kept_as(decimal, "positions") == Decimal(8, "int32")
    assert kept_as(decimal, "forces") == Decimal(6, "int32")
    assert kept_as(plain, "positions") is None
    assert decimal.nbytes_stored() < plain.nbytes_stored()
    assert not np.signbit(decimal.read("positions")[:, 1]).any()
    assert np.isnan(decimal.read("forces")[:3]).all()


def test_many_files_need_what_all_need(text, tmp_path):
    (tmp_path / "other.xyz").write_text("1\nenergy=-5.5\nH 0.0000000001 0 1234\n" * 200)
    plain, decimal = both([text, tmp_path / "other.xyz"], tmp_path)
    assert_equal(plain, decimal)
    assert kept_as(decimal, "positions") == Decimal(10, "int64")


def test_what_is_no_decimal_stays_as_it_is(text, tmp_path):
    zstruct.build(text, tmp_path / "bohr", units="atomic", encoding="decimal", progress=False)
    store = zstruct.Store(tmp_path / "bohr")
    assert all(kept_as(store, name) is None for name in ("positions", "forces", "energy"))
    assert DecimalSavings.of(store).stored == []


def test_single_precision_is_left_alone(text, tmp_path):
    encoding = zstruct.Encoding("float32", decimal=True)
    zstruct.build(text, tmp_path / "single", encoding=encoding, progress=False)
    assert zstruct.Store(tmp_path / "single").dtype("positions") == np.float32


def test_a_shuffled_build_is_one_too(text, tmp_path):
    assert_equal(*both(text, tmp_path, shuffle_seed=3))


def test_the_report_and_the_summary_say_what_it_saves(text, tmp_path):
    text.write_text(some_frames(5000))
    report = zstruct.build(text, tmp_path / "a", encoding="decimal", progress=False)
    assert "stored as decimals, " in str(report)
    assert "positions" in report.decimals.stored
    report = zstruct.build(text, tmp_path / "b", progress=False)
    assert 'encoding="decimal" would store ' in str(report)
    assert report.decimals.stored == []
    saved = zstruct.Store(tmp_path / "b").nbytes_stored() - zstruct.Store(tmp_path / "a").nbytes_stored()
    assert report.decimals.left == pytest.approx(saved, rel=0.2)
    from zstruct.explore.summary import format_summary, summarize

    assert "would store" in " ".join(format_summary(summarize(tmp_path / "b")).split())
    assert "stored as decimals" in format_summary(summarize(tmp_path / "a"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_real_data(sample, tmp_path):
    assert_equal(*both(sample, tmp_path))


@pytest.mark.parametrize(
    ("encoding", "sentence"),
    [
        ({"compression": "tiny"}, "compression is 'fast' or 'small'"),
        ({"decimal": 1}, "decimal is True or False"),
        ("decimals", "dtype is 'float32', 'float64', 'decimal' or None"),
    ],
)
def test_other_encodings_are_refused(text, tmp_path, encoding, sentence):
    with pytest.raises(zstruct.InputError, match=sentence):
        zstruct.build(text, tmp_path / "x", encoding=encoding, progress=False)
