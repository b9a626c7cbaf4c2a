"""Datasets with other labels: in place of a store's own, or beside them; never a mixture of two truths."""

import pickle
import shutil

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import zstruct
from tests.conftest import random_atoms, shrink_chunks
from zstruct import ChangedInputError, InputError, StaleGroupError, StructureReader
from zstruct.errors import ArgumentTypeError, UnknownNameError
from zstruct.labels import add
from zstruct.transforms import AddNoise, Delta, Normalize, RandomRotation

SIZES = (3, 1, 8, 5, 5, 2, 7, 1, 4, 6, 8)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """Structures with labels of their own, and those of a teacher who lacks some; it stays as it is."""
    out, rng = tmp_path_factory.mktemp("taught") / "s.zarr", np.random.default_rng(20261120)
    with pytest.MonkeyPatch.context() as patch:
        shrink_chunks(patch)
        _write_taught(out, rng)
    return out


@pytest.fixture
def store(taught, tmp_path, small_chunks):
    """A copy of it for the test."""
    return shutil.copytree(taught, tmp_path / "s.zarr")


def _write_taught(out, rng):
    frames = [random_atoms(rng, n, periodic=bool(k % 2)) for k, n in enumerate(SIZES)]
    for k, atoms in enumerate(frames):
        atoms.info["gap"] = float(k)
    zstruct.build(frames, out, progress=False, filters={"atomic_energies": {"H": -13.0}})
    energy, forces = rng.normal(-50, 9, 11), rng.normal(size=(50, 3))
    energy[4] = np.nan
    edges = np.r_[0, np.cumsum(SIZES)]
    forces[edges[6] : edges[7]] = np.nan
    add(
        out,
        "teacher",
        energy=energy,
        forces=forces,
        tags=np.ma.masked_array(np.arange(50), np.arange(50) < 3),
    )


def given(path, name, field):
    return zstruct.open_labels(path, name).read(field)


def test_labels_are_in_place_of_the_own(store):
    data = StructureReader(store, dtype="float64", labels="teacher")
    batch = data.take(np.arange(11))
    assert_array_equal(batch.columns["energy"], given(store, "teacher", "energy"))
    assert_array_equal(batch.columns["forces"], given(store, "teacher", "forces"))
    assert_array_equal(batch.columns["has_energy"], np.arange(11) != 4)
    assert_array_equal(batch.columns["has_forces"], np.arange(11) != 6)
    assert_array_equal(batch.columns["has_tags"], np.arange(11) != 0)
    assert "stress" not in data.fields  # that is the store's own truth, and another one
    assert "gap" in data.fields  # whose it is nobody knows
    assert "labels: teacher" in repr(data)
    with pytest.raises(UnknownNameError, match="has no field 'stress'"):
        StructureReader(store, ["stress"], labels="teacher")
    assert_array_equal(
        StructureReader(store).take([4]).columns["energy"], zstruct.Store(store).read("energy")[4]
    )


def test_labels_are_beside_the_own(store):
    data = StructureReader(store, dtype="float64", labels={"teacher": "teacher"})
    batch, own = data.take([6, 4, 2]), zstruct.Store(store).read("energy")
    assert_array_equal(batch.columns["energy"], own[[6, 4, 2]])
    assert_array_equal(batch.columns["teacher_energy"], given(store, "teacher", "energy")[[6, 4, 2]])
    assert "has_energy" not in batch.columns
    assert_array_equal(batch.columns["has_teacher_energy"], [True, False, True])
    assert_array_equal(batch.columns["has_teacher_forces"], [False, True, True])
    assert_array_equal(batch.columns["has_teacher_tags"], [True, True, True])
    assert batch.columns["teacher_forces"].shape == (7 + 5 + 8, 3)
    assert "teacher_forces" in batch.per_atom
    assert "stress" in batch.columns
    row = data.store.fields["teacher_forces"]
    assert (row.unit, row.rotates, row.level) == ("eV angstrom-1", "vector", "atom")
    assert "labels: teacher: teacher" in repr(data)
    some = StructureReader(store, ["energy", "teacher_energy"], labels={"teacher": "teacher"})
    assert some.fields == ("energy", "teacher_energy")


def test_samples_and_batches_have_them(store):
    torch = pytest.importorskip("torch")
    data = zstruct.ZarrStructureDataset(store, labels={"t": "teacher"})
    sample = data[2]
    assert sample["t_energy"].dtype == torch.float64
    assert sample["t_forces"].dtype == torch.float32
    assert sample["t_forces"].shape == (8, 3)
    batch = next(iter(data.loader(4)))
    assert batch["t_forces"].shape == (17, 3)
    padded = next(iter(data.loader(4, layout="padded")))
    assert padded["t_forces"].shape == (4, 8, 3)
    trained = zstruct.ZarrStructureDataset(store, labels="teacher")
    batch = next(iter(trained.loader(11, layout="graph")))
    loss = trained.loss({"energy": torch.zeros(11), "forces": torch.zeros(50, 3)}, batch)
    assert torch.isfinite(loss)


def test_selections_see_the_labels(store):
    energies = given(store, "teacher", "energy")
    low = np.flatnonzero(energies / np.array(SIZES) < -20)
    data = StructureReader(store, labels="teacher")
    assert_array_equal(data.select("energy_per_atom < -20").structures, low)
    assert_array_equal(data.select("has(forces)").structures, np.flatnonzero(np.arange(11) != 6))
    norms = np.linalg.norm(given(store, "teacher", "forces"), axis=1)
    fmax = np.maximum.reduceat(norms, np.r_[0, np.cumsum(SIZES)][:-1])
    calm = np.flatnonzero(~(fmax > 2.0))
    assert_array_equal(data.select(max_force=2.0).structures, calm)
    # The free atoms of the build are those of its own labels.
    assert_array_equal(data.select(max_energy=-20.0).structures, np.flatnonzero(~(energies / SIZES > -20)))
    beside = StructureReader(store, labels={"t": "teacher"})
    assert_array_equal(beside.select("t_energy < -50").structures, np.flatnonzero(energies < -50))
    assert_array_equal(beside.select("not has(t_forces)").structures, [6])
    with pytest.raises(InputError, match="has no"):
        StructureReader(store, labels="teacher").select("pressure > 0")


@pytest.mark.parametrize("cache", ["memory", None])
@pytest.mark.parametrize(("dtype", "digits"), [("float64", 1e-9), ("float32", 2e-5)])
def test_transforms_turn_them(store, cache, dtype, digits):
    options = {"dtype": dtype, "labels": {"teacher": "teacher"}}
    turn = [RandomRotation(seed=1), AddNoise(0.1)]
    data, plain = (
        StructureReader(store, transform=turn, cache=cache, **options),
        StructureReader(store, **options),
    )
    data.cache_warmup()  # from then on, vectors turn while they are gathered
    turned, straight = data.take([2, 3, 9]).columns, plain.take([2, 3, 9]).columns
    for a, b in ((0, 8), (8, 13), (13, 19)):
        matrix = np.linalg.lstsq(straight["forces"][a:b], turned["forces"][a:b], rcond=None)[0]
        assert_allclose(matrix @ matrix.T, np.eye(3), atol=digits)
        expected = straight["teacher_forces"][a:b] @ matrix
        assert_allclose(turned["teacher_forces"][a:b], expected, atol=digits)


def test_differences_are_what_is_left(store):
    labels = {"teacher": "teacher"}
    data = StructureReader(
        store, dtype="float64", labels=labels, transform=[Delta("teacher"), RandomRotation()]
    )
    batch = data.take(np.arange(11))
    own = zstruct.Store(store)
    assert_allclose(batch.columns["energy"], own.read("energy") - given(store, "teacher", "energy"))
    assert_array_equal(batch.columns["has_energy"], np.arange(11) != 4)
    assert_array_equal(batch.columns["has_forces"], np.arange(11) != 6)
    norms = np.linalg.norm(own.read("forces") - given(store, "teacher", "forces"), axis=1)
    assert_allclose(np.linalg.norm(batch.columns["forces"], axis=1), norms, atol=1e-9)
    assert not {"teacher_energy", "teacher_forces", "has_teacher_energy"} & batch.columns.keys()
    assert "stress" in batch.columns
    with pytest.raises(InputError, match="leave references out"):
        StructureReader(store, labels=labels, transform=Delta("teacher"), references={"H": 0.0})
    with pytest.raises(
        InputError, match=r"Delta\('pupil'\): batches have no field of floats with and without"
    ):
        StructureReader(store, labels=labels, transform=Delta("pupil"))
    with pytest.raises(InputError, match="batches have no stress with and without the prefix"):
        StructureReader(store, labels=labels, transform=Delta("teacher", fields=["stress"]))


def test_units_of_them_change_with_the_others(store):
    data = StructureReader(
        store, ["energy", "teacher_energy"], labels={"teacher": "teacher"}, transform=Normalize(scale=2.0)
    )
    plain = StructureReader(store, ["energy", "teacher_energy"], labels={"teacher": "teacher"})
    for name in ("energy", "teacher_energy"):
        assert_allclose(data.take([1]).columns[name] * 2.0, plain.take([1]).columns[name])


def test_references_are_those_of_the_labels(store):
    with pytest.raises(InputError, match="has no references of the labels 'teacher'"):
        StructureReader(store, labels="teacher", references=True)
    own = zstruct.fit_references(store, name="default")
    fitted = zstruct.fit_references(store, labels="teacher", name="teacher")
    assert dict(own) != dict(fitted)
    data = StructureReader(store, dtype="float64", labels="teacher", references=True)
    batch = data.take(np.arange(11))
    left = fitted.subtract(batch.columns["numbers"], batch.offsets, given(store, "teacher", "energy"))
    assert_allclose(batch.columns["energy"], left)
    assert StructureReader(store, labels="teacher", references="default") is not None  # the user's word
    add(store, "teacher", energy=np.zeros(11), overwrite=True)
    with pytest.raises(StaleGroupError, match="was computed from the labels 'teacher', which are others now"):
        StructureReader(store, labels="teacher", references=True)


def test_statistics_are_those_of_the_labels(store):
    found = zstruct.statistics(store, labels="teacher", name="teacher")
    energies = given(store, "teacher", "energy")
    assert found.energy.count == 10
    assert found.energy.mean == pytest.approx(np.nanmean(energies))
    assert found.missing["forces"] == 1
    assert found.missing["stress"] == 11
    data = StructureReader(store, labels="teacher")
    assert data.get_statistics().energy.mean == found.energy.mean
    assert zstruct.statistics(store).missing["forces"] == 0
    assert zstruct.open_statistics(store, "teacher").energy.mean == found.energy.mean
    with pytest.raises(InputError, match="a dataset is a part with labels already"):
        zstruct.statistics(data, labels="teacher")
    add(store, "teacher", energy=np.zeros(11), overwrite=True)
    with pytest.raises(StaleGroupError, match="from the labels 'teacher', which are others now"):
        zstruct.open_statistics(store, "teacher")


def test_edges_and_features_come_with_them(store):
    zstruct.features.add(store, "x", np.arange(50.0))
    data = StructureReader(store, labels={"t": "teacher"}, neighbors=2.5, features="x")
    batch = data.take([9, 2])
    assert_array_equal(batch.columns["t_energy"], given(store, "teacher", "energy")[[9, 2]])
    assert batch.pairs[0].name == "edge_index"
    assert batch.columns["features"].shape == (14, 1)


def test_labels_that_are_replaced_are_never_mixed_with_the_old_ones(store, rng):
    data = StructureReader(store, labels="teacher", cache=None)
    data.take([0])
    add(store, "teacher", energy=rng.normal(size=11), forces=rng.normal(size=(50, 3)), overwrite=True)
    with pytest.raises(ChangedInputError, match=r"labels/teacher of .* was replaced after"):
        data.take(np.arange(11))
    again = StructureReader(store, dtype="float64", labels="teacher")
    assert_array_equal(again.take(np.arange(11)).columns["energy"], given(store, "teacher", "energy"))


def test_shared_blocks_are_not_those_of_other_labels(store, rng):
    add(store, "other", energy=rng.normal(size=11), forces=rng.normal(size=(50, 3)))
    fields = ["energy", "forces"]
    own = StructureReader(store, fields, "float64", cache="shared")
    own.take(np.arange(11))
    for name in ("teacher", "other"):
        with StructureReader(store, fields, "float64", labels=name, cache="shared") as data:
            assert_array_equal(data.take(np.arange(11)).columns["energy"], given(store, name, "energy"))
    assert_array_equal(own.take([3]).columns["energy"], zstruct.Store(store).read("energy")[[3]])
    own.close()


def test_they_go_to_other_processes(store):
    data = StructureReader(store, labels={"t": "teacher"}).select("n_atoms > 4")
    copy = pickle.loads(pickle.dumps(data))
    assert_array_equal(copy.take([1]).columns["t_energy"], data.take([1]).columns["t_energy"])
    assert copy.store.labels == {"t": "teacher"}


def test_atoms_have_them(store):
    atoms = StructureReader(store, labels="teacher").get_atoms(2)
    assert atoms.calc.results["energy"] == given(store, "teacher", "energy")[2]
    assert "stress" not in atoms.calc.results
    atoms = StructureReader(store, labels={"t": "teacher"}).get_atoms(2)
    assert atoms.info["t_energy"] == given(store, "teacher", "energy")[2]
    assert atoms.arrays["t_forces"].shape == (8, 3)


def test_what_is_read_again_is_what_was_chosen(store):
    data = StructureReader(store, labels="teacher")
    again = data.store.again()
    assert_array_equal(again.read("energy"), given(store, "teacher", "energy"))
    assert "labels='teacher'" in repr(again)
    assert again.coverage("energy") == 10
    assert_array_equal(again.present("tags"), np.arange(11) != 0)
    assert again.nbytes_of_files("energy") > 0
    assert "stress" not in again.array_names()
    with pytest.raises(UnknownNameError, match=r"the labels 'teacher' of .* have no field 'stress'"):
        again.read("stress")
    assert_array_equal(
        StructureReader(again).take([3]).columns["energy"], again.read("energy")[[3]], strict=False
    )
    with pytest.raises(InputError, match="is given with labels already"):
        StructureReader(again, labels={"t": "teacher"})


@pytest.mark.parametrize(
    ("labels", "error", "sentence"),
    [
        ("nobody", InputError, "has no set of labels 'nobody'; it has teacher"),
        ({"t": "nobody"}, InputError, "has no set of labels 'nobody'"),
        (3, ArgumentTypeError, "labels is the name of labels"),
        ({"t": 3}, ArgumentTypeError, "labels is the name of labels"),
        ({"has": "teacher"}, InputError, "is neither 'has' nor 'input'"),
        ({"a b": "teacher"}, InputError, "it has letters, digits and _"),
        ({"free": "teacher"}, InputError, "has a field"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(store, labels, error, sentence):
    if labels == {"free": "teacher"}:
        add(store, "teacher", energy=np.zeros(11), overwrite=True)
        frames = [random_atoms(np.random.default_rng(0), 2) for _ in range(2)]
        for atoms in frames:
            atoms.calc.results["free_energy"] = 1.0
        zstruct.build(frames, store, overwrite=True, progress=False)
        add(store, "teacher", energy=np.zeros(2))
    with pytest.raises(error, match=sentence):
        StructureReader(store, labels=labels)


@pytest.mark.parametrize("layout", ["graph", "padded"])
def test_energies_of_other_labels_are_compared_per_atom(store, layout):
    torch = pytest.importorskip("torch")
    data = zstruct.ZarrStructureDataset(store, ["energy"], labels={"t": "teacher"})
    both = zstruct.ZarrStructureDataset(store, ["energy", "t_energy"], labels={"t": "teacher"})
    assert data.fields == ("energy",)
    batch = next(iter(both.loader(11, layout=layout)))
    wrong = batch["t_energy"] + torch.arange(11) * batch["n_atoms"]
    there = np.delete(np.arange(11.0), 4)
    assert both.loss({"t_energy": wrong}, batch).item() == pytest.approx(np.mean(there**2))
    gap = next(iter(zstruct.ZarrStructureDataset(store, ["gap"]).loader(11)))
    assert data.loss({"gap": gap["gap"] + 2.0}, gap).item() == pytest.approx(4.0)  # nobody says it is one
    mixture = zstruct.Mixture([both, both])
    batch = next(iter(mixture.loader(22)))
    wrong = batch["t_energy"] + 3.0 * batch["n_atoms"]
    assert mixture.loss({"t_energy": wrong}, batch).item() == pytest.approx(9.0)


def assert_same_labels(here, there):
    """Check that labels are read elsewhere as they are here, by all who read labels."""
    batches = [
        zstruct.StructureReader(path, labels={"t": "teacher"}, dtype="float64").take([6, 1, 10, 4])
        for path in (here, there)
    ]
    for name, column in batches[0].columns.items():
        assert_array_equal(column, batches[1].columns[name], err_msg=name)
    assert_array_equal(given(here, "teacher", "forces"), given(there, "teacher", "forces"))
    assert zstruct.open_labels(there, "teacher").coverage("energy") == 10
    frames = [zstruct.open(path).zs.labels("teacher") for path in (here, there)]
    assert_array_equal(frames[0].tags.values, frames[1].tags.values)
    assert_array_equal(frames[0].energy.values, frames[1].energy.values)
    found = [zstruct.compare(path, "teacher").errors["energy_per_atom"].mae for path in (here, there)]
    assert found[0] == found[1]
    selected = [zstruct.StructureReader(p, labels="teacher").select("has(tags)") for p in (here, there)]
    assert_array_equal(selected[0].structures, selected[1].structures)
    with pytest.raises(InputError, match=r"zip|URL|elsewhere|local"):
        add(there, "mine", energy=np.zeros(11))


def test_labels_in_a_zip_file(store, tmp_path):
    shutil.make_archive(str(tmp_path / "s"), "zip", store)
    assert_same_labels(store, tmp_path / "s.zip")


def test_labels_behind_a_url(store, served_folder):
    assert_same_labels(store, f"{served_folder}/s.zarr")
