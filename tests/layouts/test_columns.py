"""Batches of SchNetPack, MACE and fairchem, against ASE and against the libraries themselves."""

import pickle
import subprocess
import sys
import warnings

import ase.neighborlist
import ase.units
import numpy as np
import pytest
import torch
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.testing import assert_allclose, assert_array_equal

from tests.loading.frames import CUTOFF, frames, write_frames
from zstruct.errors import InputError
from zstruct.layouts import LAYOUTS, fairchem, mace, schnetpack
from zstruct.loading import Edges, ZarrStructureDataset

ELEMENTS = ["Cu", "O", "H", "C"]
EVERY = range(8)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_frames(tmp_path_factory.mktemp("foreign") / "frames.zarr")


@pytest.fixture(scope="module")
def data(store):
    return ZarrStructureDataset(store, dtype=torch.float64, neighbors=CUTOFF)


@pytest.fixture(scope="module")
def peer():
    """What a test needs of MACE. Importing it makes torch.load unsafe, and it warns a lot."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # as MACE does; undone afterwards
        pytest.importorskip("mace", reason="needs mace-torch")
        import e3nn.o3
        import mace.data
        import mace.modules
        import mace.tools
        from mace.tools import torch_geometric
    return mace, e3nn, torch_geometric


def pairs_of_ase():
    """Centre, neighbour, cell vectors and vector of every pair of all frames; atoms counted through."""
    found, first = [], 0
    for atoms in frames():
        i, j, shift, vector = ase.neighborlist.neighbor_list("ijSD", atoms, CUTOFF)
        found.append(np.column_stack([i + first, j + first, shift, vector]))
        first += len(atoms)
    return np.concatenate(found)


def in_order(pairs):
    """Return pairs sorted by all that is whole-numbered."""
    return pairs[np.lexsort(pairs[:, :5].round().T)]


def test_schnetpack(data):
    batch = schnetpack(data.take(EVERY))

    made = frames()
    counts = [len(atoms) for atoms in made]
    assert batch["_n_atoms"].tolist() == counts
    assert batch["_idx"].tolist() == list(EVERY)
    assert batch["_idx_m"].tolist() == np.repeat(EVERY, counts).tolist()
    assert_array_equal(batch["_atomic_numbers"], np.concatenate([a.numbers for a in made]))
    assert_array_equal(batch["_positions"], np.concatenate([a.positions for a in made]))
    assert_array_equal(batch["_cell"], [a.cell.array for a in made])
    assert_array_equal(batch["_pbc"], np.concatenate([a.pbc for a in made]))
    assert_array_equal(batch["energy"], [a.calc.results["energy"] for a in made])
    assert_array_equal(batch["dipole_moment"], [a.calc.results["dipole"] for a in made])
    stress = voigt_6_to_full_3x3_stress(made[1].calc.results["stress"])
    assert_array_equal(batch["stress"][1], stress)

    centre, neighbour = batch["_idx_i"], batch["_idx_j"]
    vectors = batch["_positions"][neighbour] - batch["_positions"][centre] + batch["_offsets"]
    shifts = data.take(EVERY).pairs[0].columns["edge_shift"]
    assert_allclose(
        in_order(np.column_stack([centre, neighbour, shifts, vectors])), in_order(pairs_of_ase()), atol=1e-12
    )
    first = torch.tensor([0, *counts]).cumsum(0)[batch["_idx_m"][centre]]
    assert_array_equal(batch["_idx_i_local"], centre - first)
    assert_array_equal(batch["_idx_j_local"], neighbour - first)


def test_schnetpack_itself(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(
            "schnetpack.data.loader",
            reason="needs schnetpack, which as of 2.1 does not load with torch 2.13",
            exc_type=ImportError,
        )
        from schnetpack import properties
        from schnetpack.data.loader import _atoms_collate_fn as join
        from schnetpack.transform import ASENeighborList
    systems = []
    for i, atoms in enumerate(frames()):
        system = {
            properties.idx: torch.tensor([i]),
            properties.n_atoms: torch.tensor([len(atoms)]),
            properties.Z: torch.tensor(atoms.numbers),
            properties.R: torch.tensor(atoms.positions),
            properties.cell: torch.tensor(atoms.cell.array[None]),
            properties.pbc: torch.tensor(atoms.pbc),
            "energy": torch.tensor([atoms.calc.results["energy"]]),
        }
        systems.append(ASENeighborList(CUTOFF)(system))
    expected = join(systems)

    batch = schnetpack(data.take(EVERY))

    edges = ("_idx_i", "_idx_j", "_idx_i_local", "_idx_j_local", "_offsets")
    order = [np.lexsort(np.column_stack([b[k] for k in edges]).round(6).T) for b in (batch, expected)]
    for key, value in expected.items():
        ours, theirs = batch[key], value
        if key in edges:
            ours, theirs = ours[order[0]], theirs[order[1]]
        assert ours.shape == theirs.shape
        assert_allclose(ours, theirs, atol=1e-12)


def test_fairchem(data):
    batch = fairchem(data.take(EVERY), dataset="omat")

    made = frames()
    counts = [len(atoms) for atoms in made]
    assert batch["natoms"].tolist() == counts
    assert batch["batch"].tolist() == np.repeat(EVERY, counts).tolist()
    assert_array_equal(batch["cell"], [a.cell.complete().array for a in made])
    assert batch["pbc"].shape == (8, 3)
    assert batch["sid"] == [str(i) for i in EVERY]
    assert batch["dataset"] == ["omat"] * 8
    assert batch["nedges"].sum() == batch["edge_index"].shape[1] == len(batch["cell_offsets"])
    assert {batch[k].dtype for k in ("tags", "fixed", "charge", "spin", "atomic_numbers")} == {torch.int64}
    assert {batch[k].dtype for k in ("cell", "cell_offsets", "energy", "forces", "stress")} == {torch.float64}

    # fairchem: vector = pos[edge_index[0]] - pos[edge_index[1]] + cell_offsets @ cell, centre second.
    neighbour, centre = batch["edge_index"]
    offsets = torch.einsum("ek,ekx->ex", batch["cell_offsets"], batch["cell"][batch["batch"][centre]])
    vectors = batch["pos"][neighbour] - batch["pos"][centre] + offsets
    rows = np.column_stack([centre, neighbour, batch["cell_offsets"], vectors])
    assert_allclose(in_order(rows), in_order(pairs_of_ase()), atol=1e-12)


def test_fairchem_without_edges(store):
    plain = ZarrStructureDataset(store)
    batch = fairchem(plain.take([0, 6]))
    assert batch["edge_index"].shape == (2, 0)
    assert batch["cell_offsets"].shape == (0, 3)
    assert batch["cell_offsets"].dtype == torch.float32
    assert batch["nedges"].tolist() == [0, 0]
    assert "dataset" not in batch

    sample = {
        "numbers": [1], "positions": np.zeros((1, 3)), "cell": np.zeros((3, 3)), "pbc": np.zeros(3, bool),
    }  # fmt: skip
    batch = fairchem([sample | {"total_charge": q, "tags": [2]} for q in (-1.0, np.nan)])
    assert batch["charge"].tolist() == [-1, 0]
    assert batch["tags"].tolist() == [2, 2]
    with pytest.raises(ValueError, match="a fairchem batch needs the field 'pbc'"):
        fairchem(ZarrStructureDataset(store, ["numbers", "positions", "cell"]).take([0]))


def test_fairchem_itself(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atomic_data = pytest.importorskip(
            "fairchem.core.datasets.atomic_data", reason="needs fairchem-core, which is large"
        )
    batch = atomic_data.AtomicData.from_dict(fairchem(data.take(EVERY)))
    batch.validate()
    single = [atomic_data.AtomicData.from_ase(atoms, target_dtype=torch.float64) for atoms in frames()]
    for i, expected in enumerate(single):
        assert torch.equal(batch.cell[i], expected.cell[0])
        assert torch.equal(batch.atomic_numbers[batch.batch == i], expected.atomic_numbers)


def test_mace(data):
    batch = mace(data.take(EVERY), ELEMENTS)

    made = frames()
    numbers = np.concatenate([a.numbers for a in made])
    assert_array_equal(np.array([1, 6, 8, 29])[batch["node_attrs"].argmax(1)], numbers)
    assert_array_equal(batch["node_attrs"].sum(1), np.ones(len(numbers)))
    assert_array_equal(batch["cell"].reshape(8, 3, 3), [a.cell.array for a in made])
    assert batch["ptr"].tolist() == np.cumsum([0, *map(len, made)]).tolist()
    assert batch["head"].tolist() == [0] * 8
    assert batch["weight"].tolist() == [1] * 8
    assert batch["structure"].tolist() == list(EVERY)

    # A label that is missing is zero, and so is its weight.
    has = np.array(["forces" in a.calc.results for a in made])
    assert batch["forces_weight"].tolist() == has.tolist() == [True] * 6 + [False] * 2
    forces = [a.calc.results.get("forces", np.zeros((len(a), 3))) for a in made]
    assert_array_equal(batch["forces"], np.concatenate(forces))
    given = np.array(["stress" in a.calc.results for a in made])
    assert batch["stress_weight"].tolist() == given.tolist()
    full = [voigt_6_to_full_3x3_stress(a.calc.results.get("stress", np.zeros(6))) for a in made]
    assert_array_equal(batch["stress"], full)
    assert_array_equal(batch["dipole_weight"], np.ones((8, 3)))
    assert not [key for key in batch if key.startswith("has_")]

    sender, receiver = batch["edge_index"]
    vectors = batch["positions"][receiver] - batch["positions"][sender] + batch["shifts"]
    rows = np.column_stack([sender, receiver, batch["unit_shifts"], vectors])
    assert_allclose(in_order(rows), in_order(pairs_of_ase()), atol=1e-12)


def test_mace_has_one_precision(store):
    mixed = ZarrStructureDataset(store, dtype={"energy": torch.float64}, neighbors=CUTOFF)
    batch = mace(mixed.take(EVERY), [1, 6, 8, 29])
    assert {tensor.dtype for tensor in batch.values() if tensor.is_floating_point()} == {torch.float32}


def test_mace_by_name_has_the_elements_of_the_store(data):
    for part in (data, data[:2]):
        batch = next(iter(part.loader(8, layout="mace")))
        assert torch.equal(batch["node_attrs"], mace(part.take(range(len(part))), ELEMENTS)["node_attrs"])


def test_mace_elements(data):
    with pytest.raises(ValueError, match="needs the elements that the model knows"):
        mace(data.take(EVERY))
    with pytest.raises(
        ValueError, match=r"structure 1 of the store has Cu, which is none of elements= \(H, C, O\)"
    ):
        mace(data.take(EVERY), ["C", "H", "O"])
    with pytest.raises(ValueError, match="elements has 'Xx', which is no element"):
        mace(data.take(EVERY), ["H", "Xx"])
    with pytest.raises(ValueError, match="elements has 0, which is no element"):
        mace(data.take(EVERY), [0])
    of_model = torch.tensor([29, 8, 6, 1])
    assert torch.equal(
        mace(data.take(EVERY), of_model)["node_attrs"], mace(data.take(EVERY), ELEMENTS)["node_attrs"]
    )


def test_mace_defaults(data):
    packed = data.take([0, 1, 2])
    packed.columns |= {
        "weight": np.array([2.0, np.nan, 0.5]),
        "has_weight": np.array([True, False, True]),
        "spin_multiplicity": np.array([np.nan, 2.0, 3.0]),
        "has_spin_multiplicity": np.array([False, True, True]),
        "head": np.array([1, 0, 1]),
    }
    batch = mace(packed, ELEMENTS)
    assert batch["weight"].tolist() == [2, 1, 0.5]
    assert batch["total_spin"].tolist() == [1, 2, 3]
    assert batch["head"].tolist() == [1, 0, 1]


def small_mace(peer):
    mace, e3nn, _ = peer
    torch.manual_seed(3)
    block = mace.modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    model = mace.modules.ScaleShiftMACE(
        r_max=CUTOFF,
        num_bessel=4,
        num_polynomial_cutoff=5,
        max_ell=2,
        interaction_cls=block,
        interaction_cls_first=block,
        num_interactions=2,
        num_elements=4,
        hidden_irreps=e3nn.o3.Irreps("4x0e + 4x1o"),
        MLP_irreps=e3nn.o3.Irreps("4x0e"),
        atomic_energies=np.array([-1.0, -2.0, -3.0, -4.0]),
        avg_num_neighbors=5.0,
        atomic_numbers=[1, 6, 8, 29],
        correlation=2,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )
    return model.double()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_model_of_mace_sees_what_its_own_data_pipeline_shows_it(data, peer):
    library, _, geometric = peer
    keys = library.data.KeySpecification(info_keys={"energy": "E"}, arrays_keys={"forces": "F"})
    table = library.tools.AtomicNumberTable([1, 6, 8, 29])
    graphs = []
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        for atoms in frames():
            atoms.info["E"] = atoms.calc.results["energy"]
            if "forces" in atoms.calc.results:
                atoms.arrays["F"] = atoms.calc.results["forces"]
            config = library.data.config_from_atoms(atoms, keys)
            graphs.append(library.data.AtomicData.from_config(config, table, CUTOFF))
        model = small_mace(peer)
        theirs = geometric.Batch.from_data_list(graphs)
        batch = mace(data.take(EVERY), model.atomic_numbers)
        ours = geometric.Batch(**batch)

        results, gradients = [], []
        for one in (theirs, ours):
            model.zero_grad()
            out = model(one.to_dict(), training=True, compute_stress=True)
            loss = library.modules.WeightedEnergyForcesLoss(1.0, 10.0)(one, out)
            loss.backward()
            results.append((loss, *(out[key] for key in ("energy", "forces", "virials", "node_energy"))))
            gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    finally:
        torch.set_default_dtype(default)

    assert results[0][2].abs().max() > 1e-3  # the model is not flat
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)
    for key in (
        "node_attrs",
        "positions",
        "ptr",
        "batch",
        "head",
        "energy",
        "forces",
        "energy_weight",
        "forces_weight",
        "weight",
        "pbc",
    ):
        assert torch.equal(ours[key], theirs[key])
        assert ours[key].dtype == theirs[key].dtype


def test_other_units(data):
    units = {"energy": "kcal/mol", "length": "bohr", "dipole": "debye"}
    batch = schnetpack(data.take(EVERY), units=units)

    plain = schnetpack(data.take(EVERY))
    kcal, bohr = ase.units.kcal / ase.units.mol, ase.units.Bohr
    expected = {
        "energy": 1 / kcal,
        "forces": bohr / kcal,
        "stress": bohr**3 / kcal,
        "_positions": 1 / bohr,
        "_cell": 1 / bohr,
        "_offsets": 1 / bohr,
        "dipole_moment": 1 / ase.units.Debye,
    }
    for key, scale in expected.items():
        assert_allclose(batch[key], plain[key] * scale, rtol=1e-12)
    for key in plain.keys() - expected.keys():
        torch.testing.assert_close(batch[key], plain[key], rtol=0, atol=0, equal_nan=True)
    # Without a unit of its own a dipole follows the length.
    follows = schnetpack(data.take(EVERY), units={"length": "nm"})
    assert_allclose(follows["dipole_moment"], plain["dipole_moment"] / 10, rtol=1e-12)
    assert torch.equal(follows["energy"], plain["energy"])


def test_units_of_what_pairs_carry(store):
    data = ZarrStructureDataset(
        store, dtype=torch.float64, neighbors=Edges(CUTOFF, carry=["edge_shift", "edge_vec", "edge_dist"])
    )
    batch, plain = (fairchem(data.take(EVERY), units=units) for units in ({"length": "pm"}, None))
    assert_allclose(batch["edge_vec"], 100 * plain["edge_vec"], rtol=1e-12)
    assert_allclose(batch["edge_dist"], 100 * plain["edge_dist"], rtol=1e-12)
    assert torch.equal(batch["cell_offsets"], plain["cell_offsets"])


def test_units_that_do_not_work(data):
    packed = data.take([0])
    with pytest.raises(InputError, match="the unit 'furlong' in 'furlong' is not known"):
        fairchem(packed, units={"length": "furlong"})
    with pytest.raises(InputError, match="is no unit of energy"):
        fairchem(packed, units={"energy": "angstrom"})
    with pytest.raises(InputError, match="units can be given as text for the fields"):
        fairchem(packed, units={"numbers": "eV"})
    with pytest.raises(ValueError, match="give the unit of 'length'"):
        fairchem(packed, units={"positions": "bohr"})


def test_other_names(data):
    batch = schnetpack(data.take([0]), names={"energy": "energy_U0", "_idx": "which"})
    assert {"energy_U0", "which"} <= batch.keys()
    assert not {"energy", "_idx"} & batch.keys()
    with pytest.raises(ValueError, match="names has 'positions', but the schnetpack batch has only"):
        schnetpack(data.take([0]), names={"positions": "R"})
    with pytest.raises(ValueError, match="the same name"):
        schnetpack(data.take([0]), names={"energy": "forces"})
    sample = {"numbers": [1], "positions": np.zeros((1, 3)), "cell": np.eye(3), "pbc": np.ones(3, bool)}
    for name in ("natoms", "pos"):
        with pytest.raises(ValueError, match=f"the field '{name}' has a name that fairchem batches use"):
            fairchem([sample | {name: 3.0}])


@pytest.mark.parametrize("join", [schnetpack, lambda batch: mace(batch, ELEMENTS)])
def test_edges_have_to_be_asked_for(store, join):
    with pytest.raises(ValueError, match="give the dataset neighbors=, the cutoff of the model"):
        join(ZarrStructureDataset(store).take([0]))


@pytest.mark.parametrize("join", [schnetpack, fairchem, lambda batch: mace(batch, ELEMENTS)])
def test_packed_or_one_by_one(data, join):
    packed, listed = join(data.take([3, 5, 3])), join([data[i] for i in (3, 5, 3)])
    assert packed.keys() == listed.keys()
    for key, value in packed.items():
        if isinstance(value, list):
            assert value == listed[key]
        else:
            torch.testing.assert_close(value, listed[key], rtol=0, atol=0, equal_nan=True)
    empty = join(data.take([]))
    assert empty.keys() == packed.keys()


def test_layouts_by_name():
    assert all(pickle.loads(pickle.dumps(layout)) is layout for layout in LAYOUTS.values())
    code = """
import sys
import zstruct.layouts
print({"torch_geometric", "mace", "schnetpack", "fairchem", "ase"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
