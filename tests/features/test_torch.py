"""Features as functions of tensors: gradients by finite differences, forces by stored derivatives."""

import ase.build
import numpy as np
import pytest

from zstruct.errors import InputError
from zstruct.features.acsf import ACSF
from zstruct.features.chebyshev import Chebyshev
from zstruct.geometry.structures import Structures

torch = pytest.importorskip("torch")
from zstruct.features.torch import descriptor_values  # noqa: E402

DESCRIPTORS = {
    "acsf": ACSF(["H", "O"], 3.0, [(1.0, 0.5)], [1.0], [(0.05, 2, 1)], [(0.1, 1, -1)]),
    "chebyshev": Chebyshev(["H", "O"], rad_order=2, rad_cutoff=3.0, ang_order=2, ang_cutoff=2.5),
}


@pytest.fixture(params=DESCRIPTORS)
def descriptor(request):
    return DESCRIPTORS[request.param]


@pytest.fixture
def structures(rng):
    """A molecule, an atom alone, a skewed crystal of two atoms out of their cell."""
    molecule, solid = ase.build.molecule("H2O"), ase.Atoms("OH", [[0, 0, 0], [1, 0.3, 4.2]], pbc=True)
    solid.set_cell([[2.6, 0, 0], [0.4, 2.8, 0], [-0.3, 0.5, 3.1]])
    molecule.rattle(0.05, rng=rng)
    return [molecule, ase.Atoms("H"), solid]


def batch_of(structures, dtype=torch.float64):
    packed = Structures.of(structures)
    return {
        "numbers": torch.from_numpy(packed.numbers),
        "positions": torch.tensor(packed.positions, dtype=dtype, requires_grad=True),
        "ptr": torch.from_numpy(packed.offsets),
        "cell": torch.from_numpy(packed.cells.copy()),
        "pbc": torch.from_numpy(packed.pbc),
    }


def weights_of(descriptor):
    return torch.linspace(-1, 1, descriptor.n_features, dtype=torch.float64)


def function_of(descriptor, batch):
    """The features as a function of positions, cells and strain."""

    def function(positions, cell, strain):
        return descriptor_values(descriptor, {**batch, "positions": positions, "cell": cell}, strain)

    return function


@pytest.fixture
def variables(structures, rng):
    batch = batch_of(structures)
    cell = batch["cell"].clone()
    strain = torch.from_numpy(rng.normal(scale=0.02, size=(len(structures), 3, 3)))
    return batch["positions"], cell.requires_grad_(), strain.requires_grad_()


def test_values(descriptor, structures):
    found = descriptor_values(descriptor, batch_of(structures))
    np.testing.assert_array_equal(found.detach(), descriptor.compute(structures))


def test_gradcheck(descriptor, structures, variables):
    function = function_of(descriptor, batch_of(structures))
    assert torch.autograd.gradcheck(function, variables, eps=1e-5, atol=1e-6)


def test_gradgradcheck(descriptor, structures, variables):
    function = function_of(descriptor, batch_of(structures))
    assert torch.autograd.gradgradcheck(function, variables, eps=1e-5, atol=1e-5, fast_mode=True)


def test_forces_of_stored_derivatives(descriptor, structures):
    batch, weights = batch_of(structures), weights_of(descriptor)
    energy = ((descriptor_values(descriptor, batch) @ weights) ** 2).sum()
    (gradient,) = torch.autograd.grad(energy, batch["positions"])

    values, derivatives = descriptor.compute(structures, derivatives=True)
    by_features = 2 * (values @ weights.numpy())[:, None] * weights.numpy()
    np.testing.assert_allclose(-gradient, derivatives.forces(by_features), rtol=1e-10, atol=1e-10)


def test_strain_is_minus_the_virial(descriptor, structures):
    batch, weights = batch_of(structures), weights_of(descriptor)
    strain = torch.zeros(len(structures), 3, 3, dtype=torch.float64, requires_grad=True)
    energy = ((descriptor_values(descriptor, batch, strain) @ weights) ** 2).sum()
    (gradient,) = torch.autograd.grad(energy, strain)

    values, derivatives = descriptor.compute(structures, derivatives=True)
    by_features = 2 * (values @ weights.numpy())[:, None] * weights.numpy()
    np.testing.assert_allclose(-gradient, derivatives.virial(by_features), rtol=1e-10, atol=1e-10)


def test_a_loss_of_forces_has_gradients(descriptor, structures):
    """Of the parameters of a potential, against central differences."""
    batch = batch_of(structures)
    weights = weights_of(descriptor).requires_grad_()

    def loss(w):
        energy = torch.tanh(descriptor_values(descriptor, batch) @ w).sum()
        (gradient,) = torch.autograd.grad(energy, batch["positions"], create_graph=True)
        return (gradient**2).sum()

    (found,) = torch.autograd.grad(loss(weights), weights)
    step = 1e-5 * torch.eye(len(weights), dtype=torch.float64)
    expected = [((loss(weights + d) - loss(weights - d)) / 2e-5).item() for d in step]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def test_single_precision(descriptor, structures):
    batch, exact = batch_of(structures, torch.float32), batch_of(structures)
    single = descriptor_values(descriptor, batch)
    single.sum().backward()
    double = descriptor_values(descriptor, exact)
    double.sum().backward()
    assert single.dtype == batch["positions"].grad.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        batch["positions"].grad.double(), exact["positions"].grad, rtol=1e-4, atol=1e-4
    )


def test_cell_that_is_not_there_is_nan(descriptor, structures):
    batch = batch_of(structures)
    expected = descriptor_values(descriptor, batch)
    batch["cell"][:2] = torch.nan
    torch.testing.assert_close(descriptor_values(descriptor, batch), expected)


def test_one_structure_without_cell(descriptor):
    water = ase.build.molecule("H2O")
    positions = torch.tensor(water.positions, requires_grad=True)
    found = descriptor_values(descriptor, {"numbers": water.numbers, "positions": positions})
    found.sum().backward()
    np.testing.assert_allclose(found.detach(), descriptor.compute(water), rtol=1e-12, atol=1e-14)
    assert positions.grad.abs().max() > 0
    np.testing.assert_allclose(positions.grad.sum(0), 0, atol=1e-12)


def test_without_gradients(descriptor, structures):
    with torch.no_grad():
        found = descriptor_values(descriptor, batch_of(structures))
    assert not found.requires_grad
    np.testing.assert_array_equal(found, descriptor.compute(structures))


def test_positions_changed_later_do_not_matter(descriptor, structures):
    batch, other = batch_of(structures), batch_of(structures)
    values, expected = descriptor_values(descriptor, batch), descriptor_values(descriptor, other)
    with torch.no_grad():
        batch["positions"] += 1.0  # as an optimizer would
    values.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(batch["positions"].grad, other["positions"].grad)


def test_several_pieces(descriptor, rng):
    """A batch of so many atoms that its list comes in pieces, which threads share."""
    solid = ase.build.bulk("Cu", cubic=True) * (6, 6, 6)
    solid.numbers[:] = rng.choice([1, 8], len(solid))
    solid.rattle(0.1, rng=rng)
    structures = [solid, ase.build.molecule("H2O"), solid]
    batch, weights = batch_of(structures), weights_of(descriptor)
    strain = torch.zeros(3, 3, 3, dtype=torch.float64, requires_grad=True)
    energy = ((descriptor_values(descriptor, batch, strain) @ weights) ** 2).sum()
    forces, virial = torch.autograd.grad(-energy, (batch["positions"], strain))

    values, derivatives = descriptor.compute(structures, derivatives=True)
    by_features = 2 * (values @ weights.numpy())[:, None] * weights.numpy()
    np.testing.assert_allclose(forces, derivatives.forces(by_features), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(virial, derivatives.virial(by_features), rtol=1e-9, atol=1e-9)


def test_unknown_element(descriptor, structures):
    batch = batch_of(structures)
    batch["numbers"] = torch.tensor([8, 1, 1, 1, 8, 22])
    with pytest.raises(InputError, match="structure 2 has Ti,"):
        descriptor_values(descriptor, batch)


def test_shapes_that_do_not_fit(descriptor, structures):
    batch = batch_of(structures)
    batch["ptr"] = torch.tensor([0, 3, 4])
    with pytest.raises(ValueError, match="cells of 2 structures with 6 atoms have shape"):
        descriptor_values(descriptor, batch)


def test_strain_that_does_not_fit(descriptor, structures):
    with pytest.raises(ValueError, match=r"strain of 3 structures has shape \(2, 3, 3\)"):
        descriptor_values(descriptor, batch_of(structures), torch.zeros(2, 3, 3))


def test_no_atoms(descriptor):
    batch = {"numbers": torch.zeros(0, dtype=torch.int64), "positions": torch.zeros(0, 3, requires_grad=True)}
    features = descriptor_values(descriptor, batch)
    assert features.shape == (0, descriptor.n_features)
    features.sum().backward()  # as of any other batch
    assert batch["positions"].grad.shape == (0, 3)


def test_whole_numbers_are_no_positions(descriptor):
    batch = {"numbers": torch.tensor([8, 1]), "positions": torch.tensor([[0, 0, 0], [1, 0, 0]])}
    with pytest.raises(ValueError, match=r"positions are floating-point numbers.*not torch.int64"):
        descriptor_values(descriptor, batch)
