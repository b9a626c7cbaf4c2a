"""JSON of pymatgen, MPtrj, mlearn and FitSNAP, against pymatgen and arithmetic on paper."""

import gzip
import json

import numpy as np
import pytest
from ase.units import GPa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zstruct
from zstruct.errors import InputError
from zstruct.sources.inputs import expand
from zstruct.sources.json_records.source import JSONSource

core = pytest.importorskip("pymatgen.core")

STRESS = [[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]]


@pytest.fixture
def crystal():
    lattice = core.Lattice([[4.0, 0.1, 0.0], [0.0, 5.0, 0.2], [0.3, 0.0, 6.0]])
    properties = {"magmom": [1.0, -1.0]}
    return core.Structure(
        lattice, ["Ti", "O"], [[0.1, 0.2, 0.3], [0.5, 0.6, 0.7]], site_properties=properties
    )


@pytest.fixture
def built(tmp_path):
    def build(value, name="a.json", text=None, **options):
        path = tmp_path / name
        text = (json.dumps(value) if text is None else text).encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        assert isinstance(expand(path)[0][0], JSONSource)
        report = zstruct.build(path, tmp_path / "s.zarr", progress=False, overwrite=True, **options)
        return report, zstruct.open(report.path)

    return build


@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_structures_are_those_of_pymatgen(built, crystal, name):
    other = core.Structure(crystal.lattice, ["C"] * 4, np.eye(4, 3) / 3)
    molecule = core.Molecule(["O", "H", "H"], [[0, 0, 0.1], [0, 0.7, 0], [0, -0.7, 0]], charge=1)
    given = [crystal, other, molecule]
    _, store = built([one.as_dict() for one in given], name, keys={"magmoms": "magmom"})
    np.testing.assert_allclose(store.positions.values, np.concatenate([one.cart_coords for one in given]))
    assert store.numbers.values.tolist() == [z for one in given for z in one.atomic_numbers]
    np.testing.assert_allclose(store.cell.values[:2], [crystal.lattice.matrix] * 2)
    assert store.pbc.values.all(axis=1).tolist() == [True, True, False]
    assert store.total_charge.values.tolist()[2] == 1
    assert store.magmoms.values[:2].tolist() == [1.0, -1.0]


@pytest.mark.parametrize(
    "wrap", [lambda d: d, lambda d: {"one": d}, lambda d: [{"structure": d, "energy": -1.5}]]
)
def test_one_structure_in_several_forms(built, crystal, wrap):
    _, store = built(wrap(crystal.as_dict()))
    np.testing.assert_allclose(store.positions.values, crystal.cart_coords)
    assert store.pbc.values.all()


def mptrj(crystal):
    frame = {
        "structure": crystal.as_dict(),
        "uncorrected_total_energy": -10.5,
        "corrected_total_energy": -11.0,
        "energy_per_atom": -5.5,
        "ef_per_atom": -0.1,
        "force": [[0.1, 0.0, 0.0], [-0.1, 0.0, 0.0]],
        "stress": STRESS,
        "magmom": [0.5, -0.5],
        "bandgap": 1.0,
        "mp_id": "mp-1",
    }
    return {
        "mp-1": {"mp-1-0-0": frame, "mp-1-0-1": {**frame, "stress": None, "magmom": None}},
        "mp-2": {"mp-2-0-0": frame},
    }


def test_mptrj(built, crystal):
    report, store = built(mptrj(crystal), keys={"energy": "uncorrected_total_energy"})
    assert store.energy.values.tolist() == [-10.5] * 3
    xx, yy, zz, yz, xz, xy = 1.0, 4.0, 6.0, 5.0, 3.0, 2.0
    np.testing.assert_allclose(store.stress.values[0], -0.1 * GPa * np.array([xx, yy, zz, yz, xz, xy]))
    assert np.isnan(store.stress.values[1]).all()
    assert store.forces.values[0].tolist() == [0.1, 0.0, 0.0]
    assert store.magmoms.values[:2].tolist() == [0.5, -0.5]
    assert store.record.values.tolist() == ["mp-1-0-0", "mp-1-0-1", "mp-2-0-0"]
    assert report.source_units["stress"] == "kbar"
    assert "energy" not in built(mptrj(crystal))[1]  # there are two, and none is taken


def test_mlearn(built, crystal):
    record = {
        "structure": crystal.as_dict(),
        "num_atoms": 2,
        "group": "Ground state",
        "tag": "train",
        "outputs": {"energy": -3.5, "forces": [[0, 0, 1], [0, 0, -1]], "virial_stress": [1, 2, 3, 4, 5, 6]},
    }
    report, store = built([record, record])
    assert store.energy.values.tolist() == [-3.5, -3.5]
    assert store.forces.values[:2].tolist() == [[0, 0, 1], [0, 0, -1]]
    assert store.group.values.tolist() == ["Ground state"] * 2
    assert "stress" not in store
    assert store.input_virial_stress.values[0].tolist() == [1, 2, 3, 4, 5, 6]
    assert any("kept as 'input_virial_stress'" in remark for remark in report.remarks)


def fitsnap(**styles):
    data = {
        "Positions": [[0, 0, 0], [1.5, 1.5, 1.5]],
        "AtomTypes": ["Ta", "Ta"],
        "NumAtoms": 2,
        "Lattice": [[3, 1, 0], [0, 3, 0], [0, 0, 3]],
        "Energy": -23.5,
        "Forces": [[0, 0, 0.5], [0, 0, -0.5]],
        "Stress": STRESS,
    }
    known = {
        "PositionsStyle": "angstrom",
        "LatticeStyle": "angstrom",
        "AtomTypeStyle": "chemicalsymbol",
        "EnergyStyle": "electronvolt",
        "ForcesStyle": "electronvoltperangstrom",
        "StressStyle": "bar",
    }
    return {"Dataset": {"Data": [data], "Label": "Example", **known, **styles}}


def test_fitsnap(built):
    text = "# file written by hand\n" + json.dumps(fitsnap())
    _, store = built(None, text=text)
    assert store.energy.values.tolist() == [-23.5]
    assert store.numbers.values.tolist() == [73, 73]
    assert store.cell.values[0].tolist() == [[3, 1, 0], [0, 3, 0], [0, 0, 3]]
    np.testing.assert_allclose(store.stress.values[0], -1e-4 * GPa * np.array([1, 4, 6, 5, 3, 2.0]))
    assert store.forces.values.tolist() == [[0, 0, 0.5], [0, 0, -0.5]]
    _, store = built(fitsnap(StressStyle="kB"))
    np.testing.assert_allclose(store.stress.values[0, 0], -0.1 * GPa)


def test_units_of_fitsnap_that_are_not_said_or_not_known(built):
    with pytest.raises(InputError, match="states 'furlong' as the unit of energy"):
        built(fitsnap(EnergyStyle="furlong"))
    value = fitsnap()
    del value["Dataset"]["StressStyle"]
    with pytest.raises(InputError, match="does not say the unit of stress"):
        built(value)
    assert "stress" in built(value, units={"stress": "bar"})[1]


def test_types_of_fitsnap_need_elements(built):
    value = fitsnap(AtomTypeStyle="lammps")
    value["Dataset"]["Data"][0]["AtomTypes"] = [1, 2]
    with pytest.raises(InputError, match="elements="):
        built(value)
    assert built(value, elements={1: "Ta", 2: "W"})[1].numbers.values.tolist() == [73, 74]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: d["sites"][0]["species"][0].update(occu=0.5), "site 0 is disordered"),
        (lambda d: d["sites"][1]["species"][0].update(element="Xx"), "'Xx', which is no chemical element"),
        (lambda d: d["sites"][1].update(xyz=[1, 2]), "positions are not numbers"),
        (lambda d: d["lattice"].update(matrix=[[1]]), "matrix of the lattice"),
        (lambda d: d.update(sites=[]), "no atoms"),
        (lambda d: d["sites"][0].pop("species"), "not as it should be"),
    ],
)
def test_bad_records_are_bad_frames(built, crystal, spoil, message):
    bad = crystal.as_dict()
    spoil(bad)
    given = [crystal.as_dict(), bad, crystal.as_dict()]
    with pytest.raises(InputError, match=rf"frame 1: .*{message}"):
        built(given)
    report, store = built(given, on_error="skip")
    assert store.frame.values.tolist() == [0, 2]
    assert report.n_skipped == 1


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_files_that_are_cut_or_damaged(tmp_path, crystal, data):
    """Right frames and a sentence, never a traceback."""
    text = json.dumps([{"structure": crystal.as_dict(), "energy": -1.5}] * 3).encode()
    n = data.draw(st.integers(0, len(text) - 1))
    flipped = data.draw(st.booleans())
    raw = text[:n] + bytes([data.draw(st.integers(32, 126))]) + text[n + 1 :] if flipped else text[:n]
    (tmp_path / "a.json").write_bytes(raw)
    source = JSONSource(tmp_path / "a.json")
    try:
        blocks = [raw for piece in source.scan() for raw in source.read(piece)]
    except InputError:
        return
    assert flipped or any(block.bad for block in blocks)
    for block in blocks:
        assert len(block.atom["positions"][0].values) == block.n_atoms.sum() if len(block.frames) else True


def test_json_databases_of_ase_are_still_theirs(tmp_path, frames):
    from ase.db import connect

    with connect(tmp_path / "a.json") as rows:
        rows.write(frames[0])
    assert type(expand(tmp_path / "a.json")[0][0]).__name__ == "ASEDatabaseSource"
