"""What is done to batches on their way: references, transforms, features, and what is kept in memory."""

import ase.build
import ase.units
import numpy as np
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from numpy.testing import assert_allclose, assert_array_equal

import zstruct
from tests.loading.groups import Bumps
from zstruct import ZarrStructureDataset, layouts, transforms
from zstruct.loading import Cache, Edges, Threads
from zstruct.stats.references import References

ATOMS = {"H": -1.0, "C": -2.5, "O": 3.0, "Ti": 40.0}


EVERYTHING = {
    "features": Bumps(),
    "neighbors": Edges(3.0, carry=["edge_shift", "edge_vec", "edge_dist"]),
}


@pytest.fixture
def atom_energies(plain):
    """The energies of the free atoms of each structure."""
    table = np.zeros(119)
    table[[1, 6, 8, 22]] = list(ATOMS.values())
    return np.add.reduceat(table[plain.columns["numbers"]], plain.offsets[:-1])


@pytest.mark.parametrize("given", [ATOMS, References.given(ATOMS)])
@pytest.mark.parametrize("fields", [["energy"], ["numbers", "energy", "positions"]])
def test_references_are_subtracted_in_double_precision(plain, atom_energies, given, fields):
    data = ZarrStructureDataset(plain.path, fields, references=given)

    batch = data.take(range(len(data)))

    expected = plain.columns["energy"] - atom_energies
    assert list(batch.columns) == fields
    assert_array_equal(batch.columns["energy"], expected, strict=True)
    assert float(data[7]["energy"]) == expected[7]


def test_references_that_are_stored(tmp_path):
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(30):
        atoms = ase.build.molecule(str(rng.choice(["H2O", "CH4", "CO2", "CO"])))
        energy = sum({"H": -1.0, "C": -7.0, "O": -5.0}[s] for s in atoms.symbols)
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
        frames.append(atoms)
    path = tmp_path / "molecules.zarr"
    zstruct.build(frames, path, progress=False)
    zstruct.fit_references(path, name="default")

    data = ZarrStructureDataset(path, ["energy"], references=True)

    assert_allclose(data.take(range(30)).columns["energy"], 0, atol=1e-6)


@pytest.mark.parametrize("layout", ["graph", "padded", "list"])
@pytest.mark.parametrize("before", [None, transforms.RandomRotation(), transforms.RandomApply(dict)])
def test_a_function_sees_finished_samples(plain, layout, before):
    def double(sample):
        assert set(sample) == {"energy", "features"}
        assert sample["energy"].dtype == torch.float64
        return sample | {"twice": 2 * sample["energy"]}

    steps = double if before is None else [before, double]
    references = ATOMS
    data = ZarrStructureDataset(
        plain.path, ["energy"], features=Bumps(), references=references, transform=steps
    )
    batch = next(iter(data.loader(8, layout=layout)))

    for sample in batch if layout == "list" else [batch]:
        assert torch.equal(sample["twice"], 2 * sample["energy"])
        assert "features" in sample


def test_functions_may_leave_things_out(plain):
    some = {"references": ATOMS, "neighbors": 3.0}
    for function in (lambda sample: {"positions": sample["positions"]}, [lambda s: {"energy": s["energy"]}]):
        data = ZarrStructureDataset(plain.path, ["positions", "energy"], transform=function, **some)
        assert len(data[3]) == 1


@pytest.mark.parametrize("apply", [lambda cast: cast, lambda cast: transforms.RandomApply(cast, 1.0)])
def test_cutoffs_are_angstrom_whatever_the_unit(featured, apply):
    bohr = apply(transforms.CastUnits({"length": "bohr"}))
    # Stored, and computed; "rc3" has pairs within 3 angstrom.
    for neighbors in ("rc3", 3.0 + 1e-9):
        still, cast = (
            ZarrStructureDataset(
                featured.path,
                features=Bumps(),
                neighbors=Edges(neighbors, carry=["edge_vec"]),
                transform=transform,
            ).take(range(50))
            for transform in (None, bohr)
        )
        assert np.array_equal(still.pairs[0].index, cast.pairs[0].index)
        assert_allclose(still.columns["features"], cast.columns["features"])
        for a, b in ((still, cast), (still.pairs[0], cast.pairs[0])):
            name = "positions" if a is still else "edge_vec"
            assert_allclose(a.columns[name] / ase.units.Bohr, b.columns[name], rtol=1e-5)
    with pytest.raises(ValueError, match=r"AddNoise moves atoms, and .*edge_index would still be"):
        ZarrStructureDataset(featured.path, neighbors=3.1, transform=[bohr, transforms.AddNoise(0.1)])


def about_the_mean(batch):
    batch.columns["energy"] -= batch.columns["energy"].min()  # of no structures there is none
    return batch


@pytest.mark.parametrize(
    "transform",
    [
        pytest.param(transforms.RandomApply(transforms.AddNoise(0.1)), marks=pytest.mark.long),
        transforms.OnBatch(about_the_mean),
        pytest.param(lambda sample: sample, marks=pytest.mark.long),
        [transforms.RandomRotation(), transforms.Wrap(), transforms.RandomReflection()],
    ],
    ids=["sometimes", "batches", "samples", "several"],
)
def test_workers_take_any_transform(plain, transform):
    data = ZarrStructureDataset(plain.path, transform=transform)
    batches = list(data.loader(16, num_workers=1, multiprocessing_context="fork"))
    assert sum(len(batch["n_atoms"]) for batch in batches) == len(data)


def test_what_is_computed_sees_what_was_moved(plain):
    still = ZarrStructureDataset(plain.path, dtype=torch.float64, **EVERYTHING)
    noise = transforms.AddNoise(0.05, seed=1)
    moved = ZarrStructureDataset(plain.path, dtype=torch.float64, transform=noise, **EVERYTHING)

    for i in (3, 11, 40):
        assert not torch.equal(moved[i]["positions"], still[i]["positions"])
        ends = moved[i]["positions"][moved[i]["edge_index"]]
        vectors = ends[1] - ends[0] + moved[i]["edge_shift"] @ moved[i]["cell"]
        assert_allclose(moved[i]["edge_vec"], vectors, atol=1e-12)


def test_stored_edges_turn_with_the_structure(featured):
    def opened(transform):
        edges = ["edge_shift", "edge_vec"]
        return ZarrStructureDataset(
            featured.path, dtype=torch.float64, neighbors=Edges("rc3", carry=edges), transform=transform
        )

    still, turned = opened(None), opened(transforms.RandomRotation(seed=2))

    some = [i for i in range(len(still)) if still[i]["edge_index"].shape[1] > 2][:5]
    assert len(some) == 5
    for i in some:
        before, after = still[i], turned[i]
        ends = after["positions"][after["edge_index"]]
        vectors = ends[1] - ends[0] + after["edge_shift"] @ after["cell"]
        assert torch.equal(after["edge_index"], before["edge_index"])
        assert not torch.allclose(after["edge_vec"], before["edge_vec"])
        assert_allclose(after["edge_vec"], vectors, atol=1e-10)


def test_noise_beside_stored_features_is_refused(featured):
    with pytest.raises(ValueError, match="features"):
        ZarrStructureDataset(featured.path, features="bumps", transform=transforms.AddNoise(0.1))


@pytest.mark.parametrize("options", [{}, {"num_workers": 2}, {"threads": Threads(2, ahead=2)}])
def test_random_transforms_depend_on_the_epoch_only(plain, options):
    data = ZarrStructureDataset(plain.path, ["positions"], transform=transforms.RandomRotation(seed=3))
    loader = data.loader(7, shuffle=True, **options)

    for epoch in range(2):
        found = {}
        for batch in loader:
            for k, i in enumerate(batch["structure"].tolist()):
                found[i] = batch["positions"][batch["ptr"][k] : batch["ptr"][k + 1]]
        again = ZarrStructureDataset(plain.path, ["positions"], transform=transforms.RandomRotation(seed=3))
        again.set_epoch(epoch)
        for i in range(len(again)):
            assert torch.equal(found[i], again[i]["positions"])


@pytest.mark.parametrize("options", [{"threads": 0}, {"threads": Threads(1, ahead=2)}, {"num_workers": 1}])
def test_loaders_of_one_dataset_have_epochs_of_their_own(plain, options):
    data = ZarrStructureDataset(plain.path, ["positions"], transform=transforms.RandomRotation(seed=3))
    undisturbed = list(data.loader(20, **options))

    found = []
    for batch in data.loader(20, **options):
        found.append(batch)
        other = data.loader(20, **options)
        other.set_epoch(9)
        next(iter(other))
        data.set_epoch(4)

    for batch, expected in zip(found, undisturbed, strict=True):
        assert torch.equal(batch["positions"], expected["positions"])


def test_features_of_what_was_transformed_are_not_kept(plain):
    with pytest.raises(ValueError, match="what a transform changes can't be kept"):
        ZarrStructureDataset(
            plain.path, features=len, cache=Cache(features=True), transform=transforms.AddNoise(0.1)
        )


def test_what_is_kept_is_what_is_computed(plain):
    computed = ZarrStructureDataset(plain.path, dtype=torch.float64, derivatives=Bumps(), **EVERYTHING)
    cache = Cache(features=20, neighbors=True)
    kept = ZarrStructureDataset(
        plain.path, dtype=torch.float64, derivatives=Bumps(), cache=cache, **EVERYTHING
    )
    pick = [3, 40, 3, 11, 52, 0]

    for indices in (pick, pick[::-1], range(len(kept)), pick):
        found, expected = layouts.graph(kept.take(indices)), layouts.graph(computed.take(indices))
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            assert torch.equal(found[name], tensor), name


def test_what_is_kept_is_not_computed_again(plain, monkeypatch):
    data = ZarrStructureDataset(plain.path, ["energy"], features=Bumps(), cache=Cache(features=True))
    data.cache_warmup()

    monkeypatch.setattr(Bumps, "values", None)

    assert data.take([4, 2, 2]).columns["features"].shape[1] == 2


def test_what_models_of_features_take_is_all_that_is_read(featured):
    data = ZarrStructureDataset(featured.path, features="bumps", fields="energies")

    assert set(data[0]) == {"numbers", "energy", "features"}
    assert set(data._gather.cache.flat) == {"numbers", "energy", "features"}
    assert data.input_size == 2


def test_sizes_that_nothing_tells(plain):
    data = ZarrStructureDataset(plain.path, features=lambda sample: sample["numbers"].sum())
    with pytest.raises(ValueError, match="one number for each structure: atoms have none"):
        data.input_size  # noqa: B018
    with pytest.raises(ValueError, match="there is no structure whose features could tell"):
        data[:0].input_size  # noqa: B018


def test_a_featurizer_is_called_once_for_each_structure_if_it_is_kept(plain):
    calls = []

    def size_and_species(sample):
        calls.append(sample.structure)
        return {
            "features": sample["numbers"][:, None].float() ** 2,
            "size": np.array([len(sample["numbers"])]),
        }

    data = ZarrStructureDataset(
        plain.path, ["numbers"], features=size_and_species, cache=Cache(features=True)
    )
    for _ in range(2):
        batch = layouts.graph(data.take(range(10)))
        assert torch.equal(batch["features"], batch["numbers"][:, None].float() ** 2)
        assert batch["size"].flatten().tolist() == batch["n_atoms"].tolist()

    assert calls == list(range(10))
    assert data.input_size == 1
    assert data[11]["features"].shape == (plain.counts[11], 1)


@pytest.mark.parametrize(
    ("featurizer", "sentence"),
    [
        (lambda sample: {"numbers": np.zeros(3)}, "returned numbers, which the sample has already"),
        (lambda sample: np.zeros((2, len(sample["numbers"]))), "shapes that do not join"),
        (lambda sample: {f"x{sample.structure}": np.zeros(1)}, "returned x1 for sample 1"),
    ],
)
def test_features_that_do_not_fit_are_refused(plain, featurizer, sentence):
    data = ZarrStructureDataset(plain.path, ["numbers"], features=featurizer)

    with pytest.raises(ValueError, match=sentence):
        data.take([0, 1, 2])


def test_atoms_come_back_as_they_were_built(tmp_path):
    water = ase.build.molecule("H2O", cell=[5, 6, 7], pbc=[True, False, True])
    water.calc = SinglePointCalculator(water, energy=-14.25, forces=np.full((3, 3), 0.125))
    water.info["config_type"] = "molecule"
    copper = ase.build.bulk("Cu", cubic=True)
    copper.set_constraint(FixAtoms([0, 2]))
    copper.info["run"] = 7
    zstruct.build([water, copper], tmp_path / "two.zarr", progress=False)
    data = ZarrStructureDataset(tmp_path / "two.zarr", ["numbers"])[[1, 0]]

    first, second = data.get_atoms(0), data.get_atoms(-1)
    direct = zstruct.open(tmp_path / "two.zarr").zs.to_ase(0)

    assert first == copper
    assert second == water == direct
    assert second.get_potential_energy() == -14.25
    assert_array_equal(second.get_forces(), water.get_forces())
    assert (first.info["run"], second.info["config_type"]) == (7, "molecule")
    assert_array_equal(first.constraints[0].index, [0, 2])
    assert "run" not in second.info
    assert first.calc is None
    with pytest.raises(IndexError, match="structure 2 is out of range"):
        data.get_atoms(2)


def test_statistics_are_of_these_structures(source):
    data = ZarrStructureDataset(source.path, ["energy"])[:20]

    assert data.get_statistics().to_dict()["structures"] == 20
