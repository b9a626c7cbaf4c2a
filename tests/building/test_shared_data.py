"""Real data sets, whole: every number in the store is the one that ASE or the text gives."""

import ase.io
import numpy as np
import pytest

import zstruct
from zstruct.store.store import Store

# What an input calls a field, by data set; ASE puts labels into the calculator.
SETS = {
    "3bpa_train_300K.xyz": {"energy", "forces", "dihedrals"},
    "carbon_reduced_100.xyz": {"energy", "forces", "virial", "frac_pos", "config_type", "kpoints_mp_grid"},
    "qm7x_reduced_100.xyz": {"polarizability"},
    "qm9_reduced_100.xyz": {"<R2>", "U0", "mu", "alpha", "zpve", "Cv"},
}


def _input_values(atoms):
    """Everything ASE read, by the input's names: info, arrays and calculator results."""
    values = {**atoms.info, **{k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}}
    return values | (atoms.calc.results if atoms.calc else {})


@pytest.mark.parametrize("name", SETS)
def test_extended_xyz_sets_equal_ase(tmp_path, shared_data, name):
    frames = ase.io.read(shared_data / name, ":")
    report = zstruct.build(shared_data / name, tmp_path / "s.zarr", progress=False)
    store = Store(report.path)
    offsets = store.read("offsets")
    assert store.n_structures == len(frames)
    np.testing.assert_array_equal(store.read("positions"), np.concatenate([a.positions for a in frames]))
    np.testing.assert_array_equal(store.read("numbers"), np.concatenate([a.numbers for a in frames]))
    np.testing.assert_array_equal(store.read("cell"), np.array([a.cell.array for a in frames]))
    np.testing.assert_array_equal(store.read("pbc"), np.array([a.pbc for a in frames]))
    stored = {store.array_attrs(n).get("original_name", n): n for n in store.fields}
    stored |= {"force": "forces"} if "force" in frames[0].arrays else {}
    columns, seen = {name: store.read(name) for name in store.fields}, set()
    for i, atoms in enumerate(frames):
        for key, value in _input_values(atoms).items():
            if key == "virial":
                stress = columns["stress"][i]
                w = -np.asarray(value) / atoms.get_volume()
                voigt = [w[0, 0], w[1, 1], w[2, 2], w[1, 2], w[0, 2], w[0, 1]]
                np.testing.assert_allclose(stress, voigt, rtol=1e-12, atol=1e-15)
            else:
                field = stored[key]
                of_atoms = store.fields[field].level == "atom"
                found = columns[field][offsets[i] : offsets[i + 1]] if of_atoms else columns[field][i]
                _check_value(store, field, found, value)
            seen.add("forces" if key == "force" else key)
    assert seen >= SETS[name]


def _check_value(store, name, found, value):
    if store.fields[name].kind == "category":
        assert store.categories(name)[int(found)] == str(value)
    elif name == "polarizability":
        np.testing.assert_array_equal(found, np.reshape(value, (3, 3), order="F"))
    else:
        np.testing.assert_array_equal(found, value)


def test_titania_equals_its_text(tmp_path, shared_data):
    files = sorted((shared_data / "tio2_xsf").glob("*.xsf"))
    report = zstruct.build(shared_data / "tio2_xsf", tmp_path / "s.zarr", progress=False)
    store = Store(report.path)
    assert store.n_structures == len(files) == 100
    offsets, forces = store.read("offsets"), store.read("forces")
    positions, numbers = store.read("positions"), store.read("numbers")
    energies, cells = store.read("energy"), store.read("cell")
    for i, file in enumerate(files):
        lines = file.read_text().split("\n")
        assert energies[i] == float(lines[0].split("=")[1].split()[0])
        begin = lines.index("PRIMVEC") + 1
        np.testing.assert_array_equal(
            cells[i],
            [[float(x) for x in line.split()] for line in lines[begin : begin + 3]],
        )
        begin = lines.index("PRIMCOORD") + 2
        n = int(lines[begin - 1].split()[0])
        assert n == offsets[i + 1] - offsets[i]
        for row, line in zip(range(offsets[i], offsets[i + 1]), lines[begin : begin + n], strict=True):
            symbol, *values = line.split()
            assert numbers[row] == {"Ti": 22, "O": 8}[symbol]
            assert positions[row].tolist() == [float(x) for x in values[:3]]
            assert forces[row].tolist() == [float(x) for x in values[3:]]
    assert store.read("pbc").all()


def test_all_sets_make_one_store(tmp_path, shared_data):
    paths = [shared_data / name for name in SETS] + [shared_data / "tio2_xsf"]
    report = zstruct.build(paths, tmp_path / "s.zarr", progress=False)
    zstruct.verify(report.path)
    assert report.n_structures == 500 + 4 * 100
    assert report.coverage["energy"] == 500 + 100 + 100
    assert report.coverage["stress"] == 100
    dataset = zstruct.open(report.path)
    assert dataset.sizes["structure"] == 900
    assert len(set(dataset.source.values.tolist())) == 4 + 100


@pytest.mark.parametrize(
    "name",
    [
        "qm7x_reduced_100.xyz",
        "tio2_xsf",
        *(pytest.param(name, marks=pytest.mark.long) for name in SETS if not name.startswith("qm7x")),
    ],
)
def test_decimals_are_the_same_numbers(tmp_path, shared_data, name):
    stores = []
    for encoding in (None, "decimal", {"decimal": True, "compression": "small"}):
        zstruct.build(
            shared_data / name, tmp_path / "s.zarr", encoding=encoding, overwrite=True, progress=False
        )
        store = Store(tmp_path / "s.zarr")
        stores.append({name: store.read(name).tobytes() for name in store.columns})
    assert Store(tmp_path / "s.zarr").profile("positions").codec.decimal is not None
    assert stores[0] == stores[1] == stores[2]
