"""Structures of other packages are what they are as Atoms, alone and in any company."""

import sys
import types

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from zstruct.errors import InputError


def built(given, tmp_path, **options):
    report = zstruct.build(given, tmp_path / "s.zarr", progress=False, overwrite=True, **options)
    return zstruct.open(report.path)


def water(energy=-1.0):
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.full((3, 3), energy))
    return atoms


@pytest.fixture
def aenet(monkeypatch):
    """Classes as aenet has them, with what is read of them."""

    class AtomicStructure:
        def __init__(self, coords, types, avec, energy, forces):
            self.coords, self.types, self.avec = coords, np.array(types), avec
            self.energy, self.forces, self.pbc, self.names_known = energy, forces, avec is not None, True

    class Structure:
        def __init__(self, positions, species, energy=None, forces=None, cell=None, pbc=None, name=None):
            self.positions, self.species, self.energy, self.forces = positions, species, energy, forces
            self.cell, self.pbc, self.name = cell, pbc, name

    module = types.ModuleType("aenet")
    for kind in (AtomicStructure, Structure):
        kind.__module__ = "aenet.geometry"
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "aenet", module)
    return module


def test_pymatgen(tmp_path):
    core = pytest.importorskip("pymatgen.core")
    lattice = core.Lattice([[4.0, 0.1, 0.0], [0.0, 5.0, 0.2], [0.3, 0.0, 6.0]], pbc=(True, True, False))
    crystal = core.Structure(
        lattice,
        ["Ti4+", "O2-"],
        [[0.1, 0.2, 0.3], [0.5, 0.6, 0.7]],
        site_properties={"magmom": [1.0, -1.0], "forces": [[0.1, 0, 0], [-0.1, 0, 0]]},
        properties={"energy": -8.5},
    )
    ion = core.Molecule(["O", "H"], [[0, 0, 0], [0, 0, 0.97]], charge=-1)
    store = built([crystal, water(), ion], tmp_path)
    assert store.numbers.values.tolist() == [22, 8, 8, 1, 1, 8, 1]
    np.testing.assert_allclose(store.positions.values[:2], crystal.cart_coords)
    np.testing.assert_allclose(store.cell.values[0], lattice.matrix)
    assert store.pbc.values[0].tolist() == [True, True, False]
    assert store.energy.values[:2].tolist() == [-8.5, -1.0]
    assert store.forces.values[:2].tolist() == [[0.1, 0, 0], [-0.1, 0, 0]]
    assert store.total_charge.values[2] == -1
    assert built(crystal, tmp_path).sizes["structure"] == 1
    assert built(iter([crystal, crystal]), tmp_path).sizes["structure"] == 2


def test_disordered_sites_are_bad_frames(tmp_path):
    core = pytest.importorskip("pymatgen.core")
    bad = core.Structure(core.Lattice.cubic(4), [{"Ti": 0.5, "Zr": 0.5}], [[0, 0, 0]])
    with pytest.raises(InputError, match="frame 1: this Structure can't be used: a site is disordered"):
        built([water(), bad], tmp_path)
    assert built([water(), bad, water()], tmp_path, on_error="skip").sizes["structure"] == 2


def test_torch_geometric(tmp_path):
    torch = pytest.importorskip("torch")
    data = pytest.importorskip("torch_geometric.data")
    water_data = data.Data(
        z=torch.tensor([8, 1, 1]),
        pos=torch.rand(3, 3, requires_grad=True),
        energy=torch.tensor([-14.2]),
        force=torch.ones(3, 3),
        y=torch.tensor([[1.5]]),
        edge_index=torch.tensor([[0, 1], [1, 0]]),
    )
    solid = data.Data(
        atomic_numbers=torch.tensor([13]),
        pos=torch.zeros(1, 3),
        cell=torch.eye(3)[None] * 4,
        pbc=torch.tensor([True, True, True]),
        energy=-3.0,
    )
    store = built([water_data, solid], tmp_path)
    assert store.numbers.values.tolist() == [8, 1, 1, 13]
    np.testing.assert_array_equal(store.positions.values[:3], water_data.pos.detach().numpy())
    np.testing.assert_allclose(store.energy.values, [-14.2, -3.0], rtol=1e-6)
    assert store.forces.values[:3].tolist() == [[1.0] * 3] * 3
    assert store.cell.values[1].tolist() == (4 * np.eye(3)).tolist()
    assert "edge_index" not in store
    assert built([water_data], tmp_path, keys={"energy": "y"}, exclude=["energy"]).energy.values == [1.5]
    batch = data.Batch.from_data_list([water_data, water_data])
    assert built([batch, water()], tmp_path).frame.values.tolist() == [0, 1, 2]
    del solid.pbc
    with pytest.raises(InputError, match=r"there is a cell and no pbc; say .* data\.pbc"):
        built([solid], tmp_path)


def test_aenet(tmp_path, aenet, xyz_file):
    trajectory = aenet.AtomicStructure(
        coords=[np.array([[0, 0, 0], [0, 0, 1.5]])] * 2,
        types=["Ti", "O"],
        avec=[np.eye(3) * 5, np.eye(3) * 6],
        energy=[-1.0, None],
        forces=[np.ones((2, 3)), []],
    )
    single = aenet.Structure(np.zeros((1, 3)), ["He"], energy=-0.5, forces=np.zeros((1, 3)), name="he")
    store = built([trajectory, water(), single], tmp_path)
    assert store.numbers.values.tolist() == [22, 8, 22, 8, 8, 1, 1, 2]
    assert store.cell.values[:2, 0, 0].tolist() == [5.0, 6.0]
    assert store.pbc.values.all(axis=1).tolist() == [True, True, False, False]
    np.testing.assert_array_equal(store.energy.values, [-1.0, np.nan, -1.0, -0.5])
    assert store.forces.values[:2].tolist() == [[1.0] * 3] * 2
    assert np.isnan(store.forces.values[2:4]).all()
    frames = built([trajectory, xyz_file, single], tmp_path).frame.values.tolist()
    assert (frames[:2], frames[-1]) == ([0, 1], 2)
    trajectory.names_known = False
    with pytest.raises(InputError, match="its types are numbers, not chemical symbols"):
        built(trajectory, tmp_path)
