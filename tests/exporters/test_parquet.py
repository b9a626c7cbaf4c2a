"""Tables of Parquet, read by Awkward, pandas and pyarrow."""

import sys
import tempfile
from pathlib import Path

import awkward as ak
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zstruct
from tests.strategies import random_atoms
from zstruct.schema import ATOM
from zstruct.store.store import Store


@given(frames=st.lists(random_atoms(), min_size=1, max_size=6))
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
def test_random_stores_are_in_the_table(frames):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        zstruct.build(frames, folder / "a.zarr", progress=False)
        report = zstruct.export(folder / "a.zarr", folder / "a.parquet", progress=False)
        assert report.lost == {}
        store, table = Store(folder / "a.zarr"), pq.read_table(folder / "a.parquet")
        assert set(table.column_names) == {"n_atoms", *store.fields} - {"formula"}
        offsets = store.read("offsets")
        for name, field in store.fields.items():
            if name == "formula":
                continue
            rows, present = store.read(name), store.present(name)
            if field.kind == "category":
                rows = np.array([*store.categories(name), None], dtype=object)[rows]
            for k, found in enumerate(table[name].to_pylist()):
                expected = rows[offsets[k] : offsets[k + 1]] if field.level == ATOM else rows[k]
                expected = expected.tolist() if hasattr(expected, "tolist") else expected
                assert found == (expected if present[k] else None), name
            assert table.schema.field(name).metadata[b"unit"].decode() == field.unit


@pytest.fixture
def table(tmp_path):
    frames = [molecule(name) for name in ("H2O", "CO2", "CH4")]
    for k in (0, 2):
        forces = np.random.default_rng(k).normal(size=(len(frames[k]), 3))
        frames[k].calc = SinglePointCalculator(frames[k], energy=-1.5 * k, forces=forces)
    frames[0].info["config_type"] = "wet"
    frames[1].info["k"] = 7
    zstruct.build(frames, tmp_path / "a.zarr", progress=False)
    zstruct.export(tmp_path / "a.zarr", tmp_path / "a.parquet", progress=False)
    return frames, tmp_path / "a.parquet"


def test_awkward_reads_it(table):
    frames, path = table
    found = ak.from_parquet(path)
    assert ak.num(found.numbers).tolist() == [3, 3, 5]
    assert found.positions[2].to_numpy().tolist() == frames[2].positions.tolist()
    assert found.forces[1] is None
    assert found.forces[0].to_numpy().tolist() == frames[0].get_forces().tolist()
    assert found.config_type.tolist() == ["wet", None, None]
    assert found.k.tolist() == [None, 7, None]


def test_pandas_reads_it(table):
    _, path = table
    found = pd.read_parquet(path, columns=["energy", "n_atoms"])
    assert found.n_atoms.tolist() == [3, 3, 5]
    assert found.energy.isna().tolist() == [False, True, False]


def test_a_missing_package_is_a_sentence(table, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(zstruct.MissingExtraError, match=r"pip install 'zstruct\[parquet\]'"):
        zstruct.export(tmp_path / "a.zarr", tmp_path / "b.parquet", progress=False)
