"""Limits on energy and force and the user's own test, against NumPy on the whole store."""

import ase.build
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from zstruct import StructureReader
from zstruct.errors import InputError
from zstruct.query import table
from zstruct.stats.references import References

ATOMS = References.given({"H": -1.0, "C": -2.5, "O": 3.0, "Ti": 40.0})


@pytest.fixture(autouse=True, params=[50, 1 << 21])
def _blocks(request, monkeypatch):
    """Look at so many atoms together."""
    monkeypatch.setattr(table, "_PIECE_ATOMS", request.param)


def largest_forces(source):
    norms = [np.linalg.norm(source.value("forces", i), axis=1) for i in range(len(source))]
    return np.array([np.nan_to_num(values).max() for values in norms])


@given(quantile=st.floats(0, 1))
@settings(max_examples=15)
def test_energies_per_atom(source, quantile):
    energies = source.columns["energy"] / source.counts
    limit = np.quantile(energies, quantile)

    data = StructureReader(source.path, ["energy"]).select(max_energy=limit)

    assert data.structures.tolist() == np.flatnonzero(energies <= limit).tolist()


def test_energies_less_those_of_free_atoms(plain):
    table = np.zeros(119)
    table[[1, 6, 8, 22]] = [-1.0, -2.5, 3.0, 40.0]
    atoms = np.add.reduceat(table[plain.columns["numbers"]], plain.offsets[:-1])
    energies = (plain.columns["energy"] - atoms) / plain.counts
    limit = np.median(energies)

    data = StructureReader(plain.path, ["energy"], references=ATOMS).select(max_energy=limit)

    assert data.structures.tolist() == np.flatnonzero(energies <= limit).tolist()


@given(quantile=st.floats(0, 1))
@settings(max_examples=15)
def test_forces_and_structures_without_them_pass(source, quantile):
    largest = largest_forces(source)
    limit = np.quantile(largest, quantile)

    data = StructureReader(source.path, ["energy"]).select(max_force=limit)

    # Norms and their squares may round differently for the one structure at the limit.
    expected = np.flatnonzero(largest <= limit * (1 + 1e-12))
    assert set(data.structures) >= set(np.flatnonzero(largest < limit * (1 - 1e-12)))
    assert set(data.structures) <= set(expected)


def test_components_of_forces(source):
    largest = np.array([np.nan_to_num(np.abs(source.value("forces", i))).max() for i in range(len(source))])
    limit = np.quantile(largest, 0.7)

    data = StructureReader(source.path, ["energy"]).select(max_force_component=limit)

    assert data.structures.tolist() == np.flatnonzero(largest <= limit).tolist()


def test_where_by_mask_or_function(source):
    large = source.counts > 5

    by_mask = StructureReader(source.path, ["energy"]).select(where=large)
    by_function = StructureReader(source.path, ["energy"]).select(
        where=lambda store: np.diff(store.read("offsets")) > 5
    )

    assert by_mask.structures.tolist() == by_function.structures.tolist() == np.flatnonzero(large).tolist()


def test_limits_apply_together_and_samples_are_those_that_passed(source):
    energies = source.columns["energy"] / source.counts
    limit, large = np.median(energies), source.counts > 3

    reader = StructureReader(source.path, ["serial"]).select(max_energy=limit, where=large)

    expected = np.flatnonzero((energies <= limit) & large)
    found = [int(reader[k]["serial"]) for k in range(len(reader))]
    assert found == source.columns["serial"][expected].tolist()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"max_energy": float("nan")}, "max_energy is a number"),
        ({"where": [True, False]}, "where is a boolean for each of the 61 structures"),
        ({"where": np.arange(61)}, "returns a boolean for each of its structures, or such booleans, not"),
        ({"where": lambda store: 1}, "not int64 values of shape"),
    ],
)
def test_what_is_no_test_is_refused(source, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        StructureReader(source.path, ["energy"]).select(**options)


def test_a_limit_on_what_the_store_lacks_is_refused(make_store, tmp_path):
    bare = make_store(tmp_path / "bare.zarr", np.array([2]), {"numbers": np.array([1, 8], np.uint8)})

    limits = {"max_energy": "energy", "max_force": "forces", "max_force_component": "forces"}
    for limit, field in limits.items():
        with pytest.raises(ValueError, match=f"{limit} needs {field}"):
            StructureReader(bare.path, ["numbers"]).select(**{limit: 1.0})


def test_limits_are_numbers(source):
    for limit in ("max_energy", "max_force", "max_force_component"):
        for value in ("1", True):
            with pytest.raises(TypeError, match=f"{limit} is a number, not"):
                StructureReader(source.path).select(**{limit: value})
    with pytest.raises(ValueError, match="max_force is a limit of what is never negative, not -1"):
        StructureReader(source.path).select(max_force=-1)


def test_what_a_build_took_off_energies_is_taken_off_at_load(tmp_path):
    rng = np.random.default_rng(3)
    atomic = {"H": -13.6, "C": -1030.0, "O": -2042.0}
    frames = []
    for _ in range(60):
        atoms = ase.build.molecule(str(rng.choice(["H2O", "CH4", "CO2", "C2H6"])))
        energy = sum(atomic[s] for s in atoms.symbols) + len(atoms) * rng.uniform(-5.0, 1.0)
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
        frames.append(atoms)
    free = {"atomic_energies": atomic}
    zstruct.build(frames, tmp_path / "all.zarr", filters=free, progress=False)
    limited = free | {"max_energy": -0.5}
    left = zstruct.build(frames, tmp_path / "left.zarr", filters=limited, progress=False)
    path = tmp_path / "all.zarr"

    built = StructureReader(tmp_path / "left.zarr", ["frame"]).take(range(left.n_structures))
    loaded = StructureReader(path).select(max_energy=-0.5)

    assert 0 < len(loaded) == left.n_structures < 60
    assert loaded.structures.tolist() == built.columns["frame"].tolist()
    # Only the limit: energies are given as they are, as long as nobody asks for references.
    assert loaded[0]["energy"] == frames[loaded.structures[0]].get_potential_energy()
    assert len(StructureReader(path, references=True).select(max_energy=-0.5)) == len(loaded)
    assert len(StructureReader(path, references=False).select(max_energy=-0.5)) == 60
    other = {symbol: energy + 1.0 for symbol, energy in atomic.items()}
    per_atom = StructureReader(path, references=other).take(range(60))
    fewer = StructureReader(path, references=other).select(max_energy=-1.5)
    assert len(fewer) == np.sum(per_atom.columns["energy"] / per_atom.n_atoms <= -1.5) == len(loaded)


def test_elements_without_energies_of_the_build_are_named(tmp_path):
    atoms = ase.build.molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0)
    zstruct.build([atoms], tmp_path / "water.zarr", filters={"atomic_energies": {"H": -13.6}}, progress=False)
    with pytest.raises(
        InputError, match="was built with, and they have none of O, but of H; references=False"
    ):
        StructureReader(tmp_path / "water.zarr").select(max_energy=1.0)
