"""Tables of Parquet, as projects and packages write them, and what is wrong with some."""

import datetime
import decimal
import io
import json
import sys
import tarfile

import awkward as ak
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zstruct
from zstruct.errors import InputError, MissingExtraError

RNG = np.random.default_rng(0)
CELL = (np.eye(3) * 5 + np.diag([1.0, 2.0], k=-1)).tolist()


def built(tmp_path, path, **options):
    zstruct.build(path, tmp_path / "out.zarr", progress=False, overwrite=True, **options)
    return zstruct.Store(tmp_path / "out.zarr")


def texts(store, name):
    return np.array([*store.categories(name), None], dtype=object)[store.read(name)].tolist()


def written(tmp_path, rows, schema=None, **options):
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "a.parquet", **options)
    return tmp_path / "a.parquet"


def row(n, **more):
    """A row of n atoms, as simple as there is."""
    return {
        "positions": RNG.normal(size=(n, 3)).tolist(),
        "numbers": RNG.integers(1, 9, n).tolist(),
        "energy": float(RNG.normal()),
        "forces": RNG.normal(size=(n, 3)).tolist(),
        **more,
    }


def flat(rows, name):
    return np.concatenate([np.array(one[name]) for one in rows])


def colabfit(n, symbols, k, **more):
    """A row with the columns that ColabFit documents, but for some that are as others."""
    return {
        "property_id": f"PO_{k}",
        "last_modified": datetime.datetime(2024, 5, 1, 12),
        "multiplicity": 1,
        "method": "DFT-PBE",
        "energy": -1.5 * k,
        "atomic_forces": RNG.normal(size=(n, 3)).tolist(),
        "cauchy_stress": (np.eye(3) * 0.01 * k).tolist() if k % 2 else None,
        "formation_energy": None,
        "configuration_id": f"CO_{k}",
        "cell": CELL,
        "positions": RNG.normal(size=(n, 3)).tolist(),
        "pbc": [True, True, k % 2 == 0],
        "elements": symbols,
        "elements_ratios": [1 / len(symbols)] * len(symbols),
        "atomic_numbers": RNG.integers(1, 9, n).tolist(),
        "nsites": n,
        "nelements": len(symbols),
        "dimension_types": [1, 1, 0],
        "names": ["a", "b"] if k == 0 else None,
        "labels": None,
        **more,
    }


def test_colabfit(tmp_path):
    """``elements`` has as many entries as there are atoms here, and is not what they are."""
    rows = [colabfit(2, ["H", "O"], 0), colabfit(2, ["C", "N"], 1), colabfit(1, ["C"], 2)]
    report = zstruct.build(written(tmp_path, rows), tmp_path / "out.zarr", progress=False)
    store = zstruct.Store(tmp_path / "out.zarr")
    assert store.read("numbers").tolist() == flat(rows, "atomic_numbers").tolist()
    assert np.array_equal(store.read("positions"), flat(rows, "positions"))
    assert np.array_equal(store.read("forces"), flat(rows, "atomic_forces"))
    assert store.read("energy").tolist() == [0.0, -1.5, -3.0]
    assert store.read("cell")[1].tolist() == CELL
    assert store.read("pbc").tolist() == [one["pbc"] for one in rows]
    assert texts(store, "method") == ["DFT-PBE"] * 3
    assert texts(store, "elements_ratios") == ["[0.5, 0.5]", "[0.5, 0.5]", "[1.0]"]
    assert texts(store, "names") == ['["a", "b"]', None, None]
    assert texts(store, "last_modified")[0].startswith("2024-05-01 12:00:00")
    assert {"input_labels", "formation_energy", "nsites"}.isdisjoint(store.fields)
    assert "stress" not in store.fields
    assert store.fields["cauchy_stress"].unit == "eV angstrom-3"
    assert "'cauchy_stress' looks like the stress" in str(report)
    store = built(tmp_path, tmp_path / "a.parquet", keys={"stress": "cauchy_stress"})
    assert store.present("stress").tolist() == [False, True, False]
    assert store.read("stress")[1].tolist() == [0.01] * 3 + [0.0] * 3


def test_names_of_optimade(tmp_path):
    """As LeMaterial's sets have them; they state no units."""
    rows = [
        {
            "elements": ["Na", "Cl"],
            "nsites": 2,
            "nelements": 2,
            "dimension_types": [1, 1, 1],
            "lattice_vectors": CELL,
            "cartesian_site_positions": RNG.normal(size=(2, 3)).tolist(),
            "species": json.dumps([{"name": "Na"}, {"name": "Cl"}]),
            "species_at_sites": ["Cl", "Na"],
            "stress_tensor": (np.eye(3) * k).tolist(),
            "energy": -1.0 * k,
            "magnetic_moments": [0.5, k],
            "forces": RNG.normal(size=(2, 3)).tolist(),
        }
        for k in range(2)
    ]
    rows.append({**rows[0], "nsites": 1, "species_at_sites": ["Na"], "elements": ["Na"], "nelements": 1})
    rows[2] |= {"cartesian_site_positions": [[0.0, 0.0, 1.0]], "forces": [[0.0] * 3], "magnetic_moments": [2]}
    path = written(tmp_path, rows)
    with pytest.raises(InputError, match=r"does not say the unit of (energy|forces)"):
        built(tmp_path, path)
    store = built(tmp_path, path, units="ase")
    assert store.read("numbers").tolist() == [17, 11, 17, 11, 11]
    assert store.read("pbc").all()
    assert store.read("cell")[0].tolist() == CELL
    assert store.read("magnetic_moments").tolist() == [0.5, 0.0, 0.5, 1.0, 2.0]
    assert "stress" not in store.fields
    assert store.fields["stress_tensor"].level == "structure"
    assert np.array_equal(store.read("forces"), flat(rows, "forces"))


@pytest.mark.parametrize("tool", ["pandas", "awkward", "texts", "fixed", "dictionaries"])
def test_whatever_writes_them(tmp_path, tool):
    rows = [row(n, config_type="ab"[n % 2], q=RNG.normal(size=n).tolist()) for n in (3, 1, 4, 2)]
    path = tmp_path / "a.parquet"
    if tool == "pandas":
        pd.DataFrame(rows).to_parquet(path)
    elif tool == "awkward":
        ak.to_parquet(ak.Array(rows), path)
    elif tool == "texts":
        lists = {"positions", "numbers", "forces"}
        made = [{k: json.dumps(v) if k in lists else v for k, v in one.items()} for one in rows]
        written(tmp_path, made)
    else:
        vectors = pa.list_(pa.list_(pa.float64(), 3))
        kinds = {"positions": vectors, "forces": vectors, "numbers": pa.large_list(pa.uint8())}
        kinds |= {"energy": pa.float64(), "q": pa.list_(pa.float64())}
        kinds["config_type"] = (
            pa.dictionary(pa.int8(), pa.string()) if tool == "dictionaries" else pa.string()
        )
        written(tmp_path, rows, pa.schema(list(kinds.items())), row_group_size=2)
    store = built(tmp_path, path, units="ase")
    assert np.diff(store.read("offsets")).tolist() == [3, 1, 4, 2]
    for name in ("positions", "numbers", "forces", "q"):
        assert np.array_equal(store.read(name), flat(rows, name)), name
    assert store.read("energy").tolist() == [one["energy"] for one in rows]
    assert texts(store, "config_type") == ["b", "b", "a", "a"]


def test_units_of_columns(tmp_path):
    table = pa.Table.from_pylist([row(2)])
    units = {"energy": "hartree", "forces": "hartree/bohr", "positions": "bohr"}
    fields = [field.with_metadata({"unit": units.get(field.name, "")}) for field in table.schema]
    pq.write_table(table.cast(pa.schema(fields)), tmp_path / "a.parquet")
    store = built(tmp_path, tmp_path / "a.parquet")
    from ase.units import Bohr, Hartree

    for name, factor in (("energy", Hartree), ("forces", Hartree / Bohr), ("positions", Bohr)):
        given = np.array(table[name].to_pylist()[0], dtype=float).reshape(-1)
        np.testing.assert_allclose(store.read(name).reshape(-1), given * factor, rtol=1e-12)


def test_kinds_of_columns(tmp_path):
    """What numbers, texts and records become, and what has no place."""
    rows = [
        row(
            n,
            big=2**63 - n,
            half=np.float16(0.5),
            price=decimal.Decimal("1.25"),
            day=datetime.date(2024, 1, n),
            flag=n == 1,
            record={"a": n, "b": ["x"]},
            ragged=list(range(n + 1)),
            vector=[1.5, n],
            nothing=None,
            data=b"\x00\xff",
            site=["a b"] * n,
        )
        for n in (1, 2)
    ]
    rows[1]["flag"] = None
    report = zstruct.build(written(tmp_path, rows), tmp_path / "out.zarr", units="ase", progress=False)
    store = zstruct.Store(tmp_path / "out.zarr")
    assert store.read("big").tolist() == [2**63 - 1, 2**63 - 2]
    assert store.read("half").tolist() == [0.5, 0.5]
    assert store.read("price").tolist() == [1.25, 1.25]
    assert texts(store, "day") == ["2024-01-01", "2024-01-02"]
    assert store.read("flag")[0]
    assert store.present("flag").tolist() == [True, False]
    assert texts(store, "record") == ['{"a": 1, "b": ["x"]}', '{"a": 2, "b": ["x"]}']
    assert texts(store, "ragged") == ["[0, 1]", "[0, 1, 2]"]
    assert store.read("vector").tolist() == [[1.5, 1], [1.5, 2]]
    assert texts(store, "site") == ["a b"] * 3
    assert {"nothing", "data"}.isdisjoint(store.fields)
    assert "left out: data, of bytes" in str(report)


def test_columns_that_begin_with_nulls_are_what_they_are_later(tmp_path):
    rows = [row(3, q=None, names=None) for _ in range(600)] + [row(3, q=[1, 2, 3], names=["x"])]
    rows += [row(2, q=[4, 5], names=None)]
    store = built(tmp_path, written(tmp_path, rows, row_group_size=590), units="ase")
    assert store.fields["q"].level == "atom"
    assert store.present("q").sum() == 2
    assert store.read("q")[-5:].tolist() == [1, 2, 3, 4, 5]
    assert texts(store, "names")[-2:] == ['["x"]', None]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"positions": None}, "it has no positions"),
        ({"numbers": None}, "it has no numbers"),
        ({"numbers": [1]}, "it has positions of 2 atoms, and 1 atomic numbers"),
        ({"numbers": [1, None]}, "one of its numbers is null"),
        ({"numbers": [1, 200]}, "200"),
        ({"positions": [[0.0, 0.0], [1.0, 1.0, 1.0]]}, "positions, the positions, should be lists of three"),
        ({"positions": [None, [1.0, 1.0, 1.0]]}, "positions, the positions, should be lists of three"),
        ({"natoms": 3}, "it is said to have 3 atoms, and has 2"),
        ({"forces": [[0.0, 0.0, 0.0]]}, "forces should have a value for each of 2 atoms, and has 1"),
        ({"forces": [[0.0, 0.0], [0.0, 0.0]]}, "forces"),
        ({"tags": [1, None]}, "tags is null for some atoms of it"),
        ({"cell": CELL[:2]}, "cell should be 3 x 3 values"),
        ({"pbc": None}, "nothing says whether the structure repeats"),
        ({"positions": [], "numbers": [], "forces": [], "natoms": 0, "tags": []}, "no atoms"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_of_it_alone(tmp_path, change, reason):
    rows = [row(n, natoms=n, tags=[1] * n, cell=CELL, pbc=[True] * 3) for n in (1, 2, 3)]
    rows[1] |= change
    path = written(tmp_path, rows)
    with pytest.raises(InputError, match=reason) as caught:
        built(tmp_path, path, units="ase")
    assert "frame 1" in str(caught.value)
    store = built(tmp_path, path, units="ase", on_error="skip")
    assert store.read("frame").tolist() == [0, 2]
    assert np.array_equal(store.read("forces"), np.concatenate([rows[0]["forces"], rows[2]["forces"]]))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (
            {"a": [1]},
            "no column is known as the positions; say which it is, keys={'positions': ...}: there are a",
        ),
        ({"positions": [[[0.0] * 3]]}, "no column is known as the numbers"),
        ({"0": [[1.0]], "1": [2.0]}, r"add them to a store with zstruct.features.add"),
        ({"positions": ["x"], "numbers": [[1]]}, "positions, the positions, is text, and no JSON"),
        ({"positions": [[0.0] * 3], "numbers": [[1]]}, "should be lists of three numbers"),
        ({"positions": ["[[0, 0, 0]]"], "numbers": [f"[{2**70}]"]}, "the numbers, is text, and no JSON"),
        ({"positions": ["[" * 100_000], "numbers": [[1]]}, "the positions, is text, and no JSON"),
        ({"positions": [[[0.0] * 3]], "pos": [[[0.0] * 3]], "numbers": [[1]]}, "could both be the positions"),
        ({"positions": [], "numbers": []}, "the table has no rows"),
    ],
)
def test_tables_that_make_no_structures(tmp_path, table, reason):
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(InputError) as caught:
        built(tmp_path, tmp_path / "a.parquet")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "said", ["[", "[" * 100_000, "1", "[[1, 2, 3, 4, 5]]", '[[["a"], "b", "place", "", ""]]']
)
def test_a_damaged_table_of_columns(tmp_path, said):
    table = pa.table({"positions": [[[0.0] * 3]], "numbers": [[1]]})
    pq.write_table(table.replace_schema_metadata({"zstruct_fields": said}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: zstruct_fields"):
        built(tmp_path, tmp_path / "a.parquet")


def test_keys_say_what_columns_are(tmp_path):
    rows = [{"r": one["positions"], "e": one["numbers"], "E": one["energy"]} for one in (row(2), row(3))]
    keys = {"positions": "r", "numbers": "e", "energy": "E"}
    store = built(tmp_path, written(tmp_path, rows), keys=keys, units="ase")
    assert np.array_equal(store.read("positions"), flat(rows, "r"))
    assert store.read("energy").tolist() == [one["E"] for one in rows]


def test_row_groups_are_read_apart_and_in_order(tmp_path):
    rows = [row(1 + k % 3, k=k) for k in range(50)]
    path = written(tmp_path, rows, row_group_size=7)
    assert built(tmp_path, f"{path}@3:40:9", units="ase").read("k").tolist() == [3, 12, 21, 30, 39]
    assert built(tmp_path, path, units="ase").read("k").tolist() == list(range(50))
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        member, data = tarfile.TarInfo("b.parquet"), path.read_bytes()
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    assert built(tmp_path, tmp_path / "a.tar.gz", units="ase").read("k").tolist() == list(range(50))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return written(folder, [row(2, q=[1, 2]), row(3, q=None)], write_page_checksum=True).read_bytes()


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_files_are_a_sentence(tmp_path, whole, data):
    """Cut off or with other bytes: a look at them says what is wrong, and nothing else happens."""
    damaged = bytearray(whole)
    if data.draw(st.booleans()):
        damaged = damaged[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "d.parquet").write_bytes(damaged)
    assert "d.parquet: " in str(zstruct.peek(tmp_path / "d.parquet", units="ase"))


def test_a_missing_package_is_a_sentence(tmp_path, monkeypatch):
    path = written(tmp_path, [row(2)])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises((InputError, MissingExtraError), match=r"pip install 'zstruct\[parquet\]'"):
        built(tmp_path, path)
