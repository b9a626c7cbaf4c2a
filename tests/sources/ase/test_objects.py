"""Structures of other packages are what they are as Atoms, alone and in any company."""

import sys
import types

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import Bohr, Hartree

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
    with pytest.raises(InputError, match="frame 1: this Structure can't be used: site 0 is disordered"):
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


# What is odd about labels, and about what they are of


@pytest.fixture
def salt():
    core = pytest.importorskip("pymatgen.core")
    return core.Structure(core.Lattice.cubic(4.2), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_sites_of_pymatgen(tmp_path, salt):
    core = pytest.importorskip("pymatgen.core")
    salt.add_site_property("magmom", [1.0, -2.0])
    salt.add_site_property("selective_dynamics", [[True] * 3, [False] * 3])
    salt.set_charge(1)
    store = built(salt, tmp_path)
    assert store.magmoms.values.tolist() == [1.0, -2.0]
    assert store.move_mask.values.tolist() == [True, False]
    assert store.total_charge.item() == 1
    salt.add_site_property("selective_dynamics", [[True] * 3, [False, True, True]])
    assert built(salt, tmp_path).selective_dynamics.values[1].tolist() == [False, True, True]
    ions = core.Structure(
        salt.lattice, [core.Species("Fe", 3, spin=5), core.Species("O", -2)], salt.frac_coords
    )
    store = built(ions, tmp_path)
    assert store.oxidation_states.values.tolist() == [3, -2]
    assert store.spins.values[0] == 5
    assert "total_charge" not in store


@pytest.mark.parametrize("name", ["magmom", "forces"])
def test_sites_that_lack_what_others_have(tmp_path, salt, name):
    salt.add_site_property(name, [1.0, None] if name == "magmom" else [[0, 0, 1.0], None])
    with pytest.raises(InputError, match="some values are NaN and others are not"):
        built(salt, tmp_path)
    salt.add_site_property(name, [None, None])
    assert not {"magmoms", "forces"} & set(built(salt, tmp_path))


def test_units_that_values_carry(tmp_path, salt):
    units = pytest.importorskip("pymatgen.core.units")
    salt.properties = {
        "energy": units.FloatWithUnit(-3.2, "Ha"),
        "forces": units.ArrayWithUnit(np.ones((2, 3)), "Ha bohr^-1"),
        "stress": np.eye(3),
    }
    store = built(salt, tmp_path)
    np.testing.assert_allclose(store.energy.values, -3.2 * Hartree)
    np.testing.assert_allclose(store.forces.values, Hartree / Bohr)
    assert store.stress.values[0].tolist() == [1, 1, 1, 0, 0, 0]
    salt.properties = {"energy": units.FloatWithUnit(1.0, "K")}
    with pytest.raises(InputError, match="can't be used: energy is in 'K': the unit 'K' in 'K' is not known"):
        built(salt, tmp_path)


def test_as_many_atoms_as_components(tmp_path):
    """Three atoms with three charges, nine with nine: the table of fields says that these are of atoms."""
    torch = pytest.importorskip("torch")
    data = pytest.importorskip("torch_geometric.data")
    for n in (1, 3, 9):
        given = data.Data(
            z=torch.ones(n, dtype=torch.long),
            pos=torch.rand(n, 3),
            charges=torch.arange(n) * 1.0,
            charge=torch.tensor([2.0]),
            dipole=torch.ones(3),
            stress=torch.eye(3),
        )
        store = built(given, tmp_path)
        assert store.charges.values.tolist() == list(range(n))
        assert (store.total_charge.item(), store.dipole.shape, store.stress.shape) == (2.0, (1, 3), (1, 6))


@pytest.mark.parametrize("said", ["batch", "ptr", "natoms"])
def test_several_graphs_in_one_data(tmp_path, said):
    torch = pytest.importorskip("torch")
    data = pytest.importorskip("torch_geometric.data")
    whose = {
        "batch": torch.tensor([0, 0, 0, 1, 1]),
        "ptr": torch.tensor([0, 3, 5]),
        "natoms": torch.tensor([3, 2]),
    }
    given = data.Data(
        z=torch.tensor([8, 1, 1, 6, 8]),
        pos=torch.rand(5, 3),
        energy=torch.tensor([-1.0, -2.0]),
        forces=torch.arange(15.0).reshape(5, 3),
        cell=torch.stack([torch.eye(3) * 5, torch.eye(3) * 6]),
        pbc=torch.ones(2, 3, dtype=torch.bool),
        edge_index=torch.zeros(2, 7, dtype=torch.long),
        distances=torch.ones(7),
        method="pbe",
        **{said: whose[said]},
    )
    store = built([given, water()], tmp_path)
    assert store.n_atoms.values.tolist() == [3, 2, 3]
    assert store.energy.values.tolist() == [-1.0, -2.0, -1.0]
    assert store.cell.values[:2, 0, 0].tolist() == [5, 6]
    assert store.forces.values[:5].tolist() == given.forces.tolist()
    assert store.frame.values.tolist() == [0, 1, 2]
    assert "distances" not in store
    given.odd = torch.ones(4)
    with pytest.raises(InputError, match=r"2 graphs with 5 atoms, and odd of shape \(4,\): it can't be told"):
        built([given], tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": None}, "needs z"),
        ({"z": "float"}, "atomic numbers are whole numbers"),
        ({"z": "hot"}, r"these have the shape \(3, 3\)"),
        ({"pos": "half"}, "pos is a tensor that NumPy can't hold"),
        ({"cell": "two"}, r"its cell has the shape \(2, 3, 3\)"),
        ({"pbc": "two"}, r"its pbc has the shape \(2,\)"),
        ({"batch": "mixed"}, "its batch does not say whose each atom is"),
        ({"natoms": "more"}, "it has 3 atoms, and says that its graphs have 7"),
    ],
)
def test_graphs_that_are_none(tmp_path, change, message):
    torch = pytest.importorskip("torch")
    data = pytest.importorskip("torch_geometric.data")
    odd = {
        "float": torch.tensor([1.5, 1, 1]),
        "hot": torch.eye(3),
        "half": torch.rand(3, 3).bfloat16(),
        "two": torch.ones(2, 3, 3) if "cell" in change else torch.ones(2),
        "mixed": torch.tensor([0, 1, 0]),
        "more": torch.tensor([3, 4]),
    }
    (name, kind), *_ = change.items()
    fine = {"z": torch.tensor([8, 1, 1]), "pos": torch.rand(3, 3)}
    extra = {"pbc": True} if name == "cell" else {}
    with pytest.raises(InputError, match=f"this Data can't be used: .*{message}"):
        built([water(), data.Data(**{**fine, **extra, name: odd.get(kind)})], tmp_path)


def test_aenet_with_fewer_labels_than_frames(tmp_path, aenet):
    coords = [np.zeros((1, 3)), np.ones((1, 3))]
    store = built(aenet.AtomicStructure(coords, ["O"], None, [-1.0], []), tmp_path)
    np.testing.assert_array_equal(store.energy.values, [-1.0, np.nan])
    assert "forces" not in store
    torch = pytest.importorskip("torch")
    tensors = aenet.Structure(torch.zeros(1, 3), ["He"], torch.tensor([-0.5]), torch.ones(1, 3))
    assert built(tensors, tmp_path).energy.item() == -0.5
