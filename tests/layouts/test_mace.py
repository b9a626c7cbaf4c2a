"""Batches of MACE, against ASE, MACE's own batches and what a model of MACE makes of them."""

import warnings

import numpy as np
import pytest
import torch
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.testing import assert_allclose, assert_array_equal

from tests.layouts.frames import CUTOFF, EVERY, frames, in_order, pairs_of_ase
from zstruct.layouts import mace
from zstruct.loading import ZarrStructureDataset

ELEMENTS = ["Cu", "O", "H", "C"]


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


def test_mace(paired):
    batch = mace(paired.take(EVERY), ELEMENTS)

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


def test_mace_by_name_has_the_elements_of_the_store(paired):
    for part in (paired, paired[:2]):
        batch = next(iter(part.loader(8, layout="mace")))
        assert torch.equal(batch["node_attrs"], mace(part.take(range(len(part))), ELEMENTS)["node_attrs"])


def test_mace_elements(paired):
    with pytest.raises(ValueError, match="needs the elements that the model knows"):
        mace(paired.take(EVERY))
    with pytest.raises(
        ValueError, match=r"structure 1 of the store has Cu, which is none of elements= \(H, C, O\)"
    ):
        mace(paired.take(EVERY), ["C", "H", "O"])
    with pytest.raises(ValueError, match="elements has 'Xx', which is no element"):
        mace(paired.take(EVERY), ["H", "Xx"])
    with pytest.raises(ValueError, match="elements has 0, which is no element"):
        mace(paired.take(EVERY), [0])
    of_model = torch.tensor([29, 8, 6, 1])
    assert torch.equal(
        mace(paired.take(EVERY), of_model)["node_attrs"], mace(paired.take(EVERY), ELEMENTS)["node_attrs"]
    )


def test_mace_defaults(paired):
    packed = paired.take([0, 1, 2])
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
def test_a_model_of_mace_sees_what_its_own_data_pipeline_shows_it(paired, peer):
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
        batch = mace(paired.take(EVERY), model.atomic_numbers)
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
