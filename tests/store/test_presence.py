"""Which structures have a field is the same by every way to ask, however it is read."""

import math

import numpy as np
import pytest

import zstruct
from zstruct.query.table import StoreTable
from zstruct.schema import infer
from zstruct.store import presence
from zstruct.store.store import Store


def has(values, field):
    """Return whether a structure has a field, value by value."""
    missing = (lambda x: x < 0) if field.kind == "category" else math.isnan
    return any(not missing(x) for x in np.ravel(values).tolist())


@pytest.mark.parametrize("piece", [1, 100, 1 << 25])
@pytest.mark.parametrize("name", ["forces", "hirshfeld", "config_type", "step"])
def test_ranges_of_structures_say_what_their_values_say(source, monkeypatch, name, piece):
    monkeypatch.setattr(presence, "_PIECE_BYTES", piece)
    opened = Store(source.path)
    assert 0 < opened.coverage(name) < opened.n_structures
    expected = [has(source.value(name, i), opened.fields[name]) for i in range(len(source))]

    assert opened.present(name).tolist() == expected
    for start, stop in ((0, 0), (0, 1), (7, 40), (33, 34), (60, 61)):
        assert opened.present(name, start, stop).tolist() == expected[start:stop]


def test_every_way_to_ask_says_the_same(source):
    opened, ds = Store(source.path), zstruct.open(source.path)
    everything = np.arange(opened.n_structures)
    for name in opened.fields:
        expected = opened.present(name).tolist()
        assert StoreTable(opened).present(name, everything).tolist() == expected
        assert ds.zs.has(name).values.tolist() == expected


def test_one_value_is_enough_and_no_atoms_are_not(make_store, tmp_path):
    """Of atoms that foreign writers gave values in part, and structures without any."""
    counts = np.array([2, 0, 2, 1])
    spectrum = np.full((5, 2), np.nan)
    spectrum[1, 1] = spectrum[4] = 1.0
    columns = {"numbers": np.ones(5, np.uint8), "positions": np.zeros((5, 3)), "spectrum": spectrum}
    fields = {"spectrum": infer("spectrum", "atom", "float", (2,))}
    source = make_store(tmp_path / "s.zarr", counts, columns, fields, coverage={"spectrum": 2})

    opened = Store(source.path)

    assert opened.present("spectrum").tolist() == [True, False, False, True]
    assert StoreTable(opened).present("spectrum", np.arange(4)).tolist() == [True, False, False, True]
    assert zstruct.open(source.path).zs.has("spectrum").values.tolist() == [True, False, False, True]
