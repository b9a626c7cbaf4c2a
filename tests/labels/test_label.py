"""Labels by functions and calculators: right, resumed where that is safe, and failures have reasons."""

import functools

import ase
import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from numpy.testing import assert_allclose, assert_array_equal

import zstruct
from tests.conftest import tree_bytes
from tests.labels.potentials import failing, lennard_jones, springs
from zstruct import InputError, StaleGroupError, StoreExistsError
from zstruct.errors import ArgumentTypeError, BuildLockedError, ChangedInputError
from zstruct.features import NeighborList
from zstruct.labels import label_tasks
from zstruct.store.group_publication import publish
from zstruct.store.groups import writing_group
from zstruct.store.label_writer import Failures, LabelColumn, write_labels

label = functools.partial(zstruct.label, progress=False)


def read(path, name, field):
    return zstruct.open_labels(path, name).read(field)


def expected(path):
    """What `springs` returns for all structures at once."""
    return springs(zstruct.StructureReader(path, ["positions"], "float64").take(slice_of(path)))


def slice_of(path):
    return np.arange(zstruct.Store(path).n_structures)


@pytest.mark.parametrize("max_atoms", [1, 7, 1000])
def test_a_function_labels_batches_whatever_their_size(store, max_atoms):
    sizes = []

    def counted(batch):
        sizes.append(len(batch.columns["positions"]))
        return springs(batch)

    report = label(store, counted, "s", max_atoms=max_atoms)
    assert report.coverage == {"energy": 11, "forces": 11}
    assert sum(sizes) == 50
    assert max(sizes) <= max(max_atoms, 8)
    for name, values in expected(store).items():
        assert_array_equal(read(store, "s", name), values)
    zstruct.verify(store)
    assert not store.with_name(store.name + ".featurizing").exists()
    manifest = zstruct.open_labels(store, "s").manifest
    assert manifest["class"] == "Function"
    assert manifest["parameters"]["how"].endswith("counted")


def test_lennard_jones_is_that_of_ase(store):
    label(store, lennard_jones, "lj", version=1)
    factory = functools.partial(LennardJones, epsilon=0.01, rc=4.0, smooth=False)
    label(store, factory, "ase", workers=1, version=1)
    # ASE shifts the energy of each pair by that at the cutoff.
    assert_allclose(read(store, "lj", "forces"), read(store, "ase", "forces"), rtol=1e-9, atol=1e-9)
    ours, theirs = read(store, "lj", "stress"), read(store, "ase", "stress")
    volume = np.abs(np.linalg.det(zstruct.Store(store).read("cell")))
    assert_array_equal(np.isnan(ours).any(axis=1), volume == 0)
    assert_array_equal(np.isnan(theirs), np.isnan(ours))
    assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9)
    assert_allclose(
        np.add.reduceat(read(store, "lj", "energies"), zstruct.Store(store).read("offsets")[:-1]),
        read(store, "lj", "energy"),
    )
    assert (
        zstruct.open_labels(store, "ase").manifest["parameters"]["how"] == "ase.calculators.lj.LennardJones"
    )


def test_the_same_version_does_nothing_and_no_version_begins_anew(store):
    calls = []

    def counted(batch):
        calls.append(len(batch))
        return springs(batch)

    assert label(store, counted, "s", version="a").written
    before, n = tree_bytes(store), len(calls)
    again = label(store, counted, "s", version="a")
    assert not again.written
    assert len(calls) == n
    assert tree_bytes(store) == before
    with pytest.raises(StoreExistsError, match=r"labels 's' already, by .*counted, version 'a'; pass over"):
        label(store, counted, "s", version="b")
    with pytest.raises(StoreExistsError, match="already"):
        label(store, counted, "s")
    label(store, counted, "s", overwrite=True)
    assert len(calls) == 2 * n
    with pytest.raises(StoreExistsError, match="of which nobody knows whether it is the same: say version="):
        label(store, counted, "s")


def _interrupted_after(n, function=springs):
    calls = []

    def stops(batch):
        calls.append(batch.structures.tolist())
        if len(calls) == n:
            raise KeyboardInterrupt
        return function(batch)

    return stops, calls


def test_what_was_interrupted_goes_on_with_the_same_version_only(store, small_parts):
    whole = label(store, springs, "whole", version=1)
    stops, first = _interrupted_after(5)
    with pytest.raises(KeyboardInterrupt):
        label(store, stops, "s", version=1, max_atoms=1)
    assert zstruct.Store(store).group_names("labels") == ["whole"]
    goes_on, second = _interrupted_after(0)
    label(store, goes_on, "s", version=1, max_atoms=1)
    done = [k for batch in first[:4] for k in batch]
    assert sorted(done + [k for batch in second for k in batch]) == list(range(11))
    assert zstruct.open_labels(store, "s").digest == zstruct.open_labels(store, "whole").digest
    assert whole.coverage == {"energy": 11, "forces": 11}
    stops, _ = _interrupted_after(5)
    with pytest.raises(KeyboardInterrupt):
        label(store, stops, "t", version=1, max_atoms=1)
    goes_on, second = _interrupted_after(0)
    label(store, goes_on, "t", version=2, max_atoms=1)
    assert sorted(k for batch in second for k in batch) == list(range(11))
    stops, _ = _interrupted_after(5)
    with pytest.raises(KeyboardInterrupt):
        label(store, stops, "u", max_atoms=1)
    goes_on, second = _interrupted_after(0)
    label(store, goes_on, "u", max_atoms=1)
    assert sorted(k for batch in second for k in batch) == list(range(11))


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of one batch."""
    monkeypatch.setattr(label_tasks, "_PARTS", 1000)
    monkeypatch.setattr(label_tasks, "_SMALL_PARTS", 1000)


def test_a_model_is_known_by_its_state(store):
    torch = pytest.importorskip("torch")

    class Model(torch.nn.Module):
        def __init__(self, k):
            super().__init__()
            self.k = torch.nn.Parameter(torch.tensor(k, dtype=torch.float64))

        def forward(self, batch):
            positions = torch.tensor(batch.columns["positions"], requires_grad=True)
            energies = self.k * positions.square().sum(1)
            index = torch.from_numpy(batch.batch)
            (gradient,) = torch.autograd.grad(energies.sum(), positions)
            energy = torch.zeros(len(batch), dtype=torch.float64).index_add(0, index, energies)
            return {"energy": energy, "forces": -gradient}

    assert label(store, Model(1.0), "m").written
    assert not label(store, Model(1.0), "m").written
    assert_allclose(read(store, "m", "forces"), expected(store)["forces"])
    with pytest.raises(StoreExistsError, match="already"):
        label(store, Model(2.0), "m")
    label(store, Model(2.0), "m", overwrite=True)
    assert_allclose(read(store, "m", "energy"), 2 * expected(store)["energy"])


def test_structures_that_fail_have_reasons(store, sizes):
    report = label(store, failing, "s")
    five = np.flatnonzero(sizes == 5)
    assert report.failures == {"RuntimeError: no five": len(five)}
    assert report.n_failed == 2
    assert "no labels for 2 structures: RuntimeError: no five" in str(report)
    labels = zstruct.open_labels(store, "s")
    assert labels.failures() == dict.fromkeys(five.tolist(), "RuntimeError: no five")
    assert labels.coverage("energy") == labels.coverage("forces") == 9
    good = sizes != 5
    assert_array_equal(labels.read("energy")[good], expected(store)["energy"][good])
    assert np.isnan(labels.read("energy")[~good]).all()
    zstruct.verify(store)
    with pytest.raises(InputError, match="structure 3: RuntimeError: no five"):
        label(store, failing, "t", on_error="raise")
    assert zstruct.Store(store).group_names("labels") == ["s"]


def test_numbers_that_are_none_are_missing_with_a_reason(store, edges):
    def odd(batch):
        found = springs(batch)
        for place, structure in enumerate(batch.structures.tolist()):
            if structure == 2:
                found["energy"][place] = np.inf
            if structure == 4:
                found["forces"][batch.offsets[place]] = np.nan
            if structure == 6:
                found["energy"][place] = np.nan
        return found

    report = label(store, odd, "s")
    labels = zstruct.open_labels(store, "s")
    assert labels.failures() == {2: "energy is infinite", 4: "forces is NaN in part"}
    assert report.coverage == {"energy": 8, "forces": 9}
    assert np.isnan(labels.read("forces")[edges[2] : edges[3]]).all()
    assert not np.isnan(labels.read("forces")[edges[6] : edges[7]]).any()
    with pytest.raises(InputError, match="structure 2: energy is infinite"):
        label(store, odd, "t", on_error="raise")


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (lambda b: {"energy": np.zeros(len(b) - 1)}, r"energy has the shape \(10,\) for a batch of 11 struc"),
        (lambda b: {"forces": np.zeros((len(b), 3))}, "forces has the shape .* it needs 50 rows, one for"),
        (lambda b: {"energy": np.zeros((len(b), 2))}, r"energy: a row has the shape \(2,\)"),
        (lambda b: {"forcse": np.zeros((50, 3))}, "there is no label 'forcse'; is it forces"),
        (lambda b: {"energy": "none"}, "the label energy"),
        (lambda b: np.zeros(len(b)), "the function should return a mapping of labels by name"),
        (lambda b: None, "the function should return a mapping"),
        (lambda b: {"positions": b.columns["positions"]}, "positions is no label"),
        (lambda b: {"energy": np.full(len(b), np.nan)}, "the first reason: all that came back is missing"),
        (lambda b: 1 / 0, "no structure could be labelled; the first reason: ZeroDivisionError"),
        (lambda b: {"energy": np.zeros(len(b)), "stress": np.zeros((11, 6)), "virial": np.zeros((11, 3, 3))},
         "a virial becomes a stress: one is enough"),
    ],
)  # fmt: skip
def test_what_can_be_no_label_is_a_sentence(store, returned, sentence):
    with pytest.raises(InputError, match=sentence):
        label(store, returned, "x", version=1)
    assert zstruct.Store(store).group_names("labels") == []
    assert not store.with_name(store.name + ".featurizing").exists()
    zstruct.verify(store)


def test_fields_say_what_is_kept(store):
    label(store, lennard_jones, "lj", fields=["energy", "stress"])
    assert list(zstruct.open_labels(store, "lj").fields) == ["energy", "stress"]
    with pytest.raises(InputError, match="should return charges, and returned energy, forces, virial, ene"):
        label(store, lennard_jones, "x", fields=["charges"])


def test_units_and_precision(store):
    from ase.units import kcal, mol

    def single(batch):
        return {name: values.astype("f4") for name, values in springs(batch).items()}

    label(store, single, "s")
    labels = zstruct.open_labels(store, "s")
    assert labels.read("forces").dtype == np.float32
    assert labels.read("energy").dtype == np.float64
    label(store, springs, "k", units={"energy": "kcal/mol"}, dtype="float32")
    assert_allclose(read(store, "k", "energy"), expected(store)["energy"] * kcal / mol)
    assert read(store, "k", "forces").dtype == np.float32


def test_a_reader_says_which_structures_and_what_batches_have(store):
    def with_edges(batch):
        (pairs,) = batch.pairs
        assert pairs.name == "edge_index"
        seen.extend(batch.structures.tolist())
        return {"coordination": np.bincount(pairs.index[0], minlength=len(batch.columns["numbers"]))}

    seen = []
    reader = zstruct.StructureReader(store, neighbors=3.0)
    report = label(reader[[9, 2, 2, 5]], with_edges, "n")
    assert seen == [2, 5, 9]
    assert report.coverage == {"coordination": 3}
    assert_array_equal(np.flatnonzero(zstruct.open_labels(store, "n").present("coordination")), [2, 5, 9])
    with pytest.raises(InputError, match="a transform changes structures"):
        label(zstruct.StructureReader(store, transform=lambda s: s), with_edges, "x")
    with pytest.raises(InputError, match="there is nothing to label"):
        label(reader[[]], with_edges, "x")


def test_calculators_get_all_of_a_structure_whatever_a_reader_has(store):
    factory = functools.partial(LennardJones, epsilon=0.01, rc=4.0)
    label(store, factory, "whole", workers=1)
    label(zstruct.StructureReader(store, ["numbers"]), factory, "r", workers=1)
    assert zstruct.open_labels(store, "r").digest == zstruct.open_labels(store, "whole").digest


def test_calculators_label_one_structure_after_the_other(tmp_path):
    from ase.build import bulk, molecule

    frames = [molecule("H2O"), bulk("Cu"), molecule("SiH4"), bulk("Al", cubic=True).repeat(2)]
    frames[3].rattle(0.05, seed=1)
    path = tmp_path / "s.zarr"
    zstruct.build(frames, path, progress=False)
    report = label(path, EMT, "emt", workers=1)
    assert report.coverage == {"energy": 3, "forces": 3, "stress": 2}
    assert len(report.failures) == 1
    assert "Si" in next(iter(report.failures))
    labels = zstruct.open_labels(path, "emt")
    for k in (0, 1, 3):
        frames[k].calc = EMT()
        assert labels.read("energy")[k] == pytest.approx(frames[k].get_potential_energy(), rel=1e-12)
    assert_allclose(labels.read("stress")[3], frames[3].get_stress(), atol=1e-12)
    assert list(labels.failures()) == [2]
    with pytest.raises(InputError, match="the calculator EMT has no dipole; it has"):
        label(path, EMT, "x", fields=["dipole"], workers=1)


@pytest.mark.slow
def test_processes_make_the_same(store):
    how = functools.partial(LennardJones, rc=4.0)
    label(store, how, "here", version=1, workers=1)
    label(store, how, "there", version=1, workers=2)
    ours, theirs = (zstruct.open_labels(store, name) for name in ("here", "there"))
    assert ours.digest == theirs.digest
    assert theirs.coverage("energy") == 11


@pytest.mark.slow
def test_a_cluster_makes_the_same(store, cluster):
    label(store, springs, "here", version=1, max_atoms=8)
    label(store, springs, "there", version=1, max_atoms=8, workers=cluster)
    assert zstruct.open_labels(store, "here").digest == zstruct.open_labels(store, "there").digest


@pytest.mark.parametrize(
    ("how", "options", "sentence"),
    [
        (3, {}, "how is a function of a batch"),
        (EMT(), {}, "how is a calculator, .* give what makes it, as in lambda: EMT"),
        (lambda a, b: None, {}, "how is called with one batch, and .* needs a, b"),
        (lambda: 3, {"workers": 1}, "so it should make a calculator of ASE, and it returned 3"),
        (springs, {"on_error": "skip"}, "on_error is 'missing' or 'raise'"),
        (springs, {"max_atoms": 0}, "max_atoms is a whole number from 1"),
        (springs, {"version": 1.5}, "version is a text or a whole number"),
        (springs, {"dtype": "int8"}, "dtype is 'float32' or 'float64' or None"),
        (springs, {"units": {"energy": "bohr"}}, "no unit of energy"),
        (springs, {"fields": ["positions"]}, "positions is no label"),
        (springs, {"levels": {"x": "row"}}, "levels is a mapping of fields"),
        (springs, {"description": 1}, "description is a text"),
        (springs, {"name": "a/b"}, "can't name labels"),
    ],
)
def test_arguments_that_make_no_sense(store, how, options, sentence):
    with pytest.raises(InputError, match=sentence):
        label(store, how, **{"name": "x"} | options)
    assert not store.with_name(store.name + ".featurizing").exists()


def test_types(store):
    with pytest.raises(ArgumentTypeError, match="label has no option 'batch_size'"):
        label(store, springs, "x", batch_size=3)


def test_two_labellers_at_once_one_is_refused(store):
    def meddles(batch):
        if not refused:
            with pytest.raises(BuildLockedError, match="another process is writing groups into"):
                label(store, springs, "other")
            refused.append(1)
        return springs(batch)

    refused = []
    label(store, meddles, "x")
    assert refused
    assert zstruct.Store(store).group_names("labels") == ["x"]


def test_a_store_that_is_replaced_meanwhile_gets_no_labels(store, frames):
    def meddles(batch):
        if not done:
            done.append(zstruct.build(frames, store, overwrite=True, progress=False))
        return springs(batch)

    done = []
    with pytest.raises(ChangedInputError):
        label(store, meddles, "x", version=1, max_atoms=8)
    assert zstruct.Store(store).group_names("labels") == []


def test_labels_that_differ_between_batches_are_joined_or_refused(store):
    def some(batch):
        found = springs(batch)
        if batch.structures[0] % 2:
            del found["forces"]
        return {
            name: values.astype("f4" if batch.structures[0] == 0 else "f8") for name, values in found.items()
        }

    report = label(store, some, "s", max_atoms=1)
    assert report.coverage == {"energy": 11, "forces": 6}
    assert read(store, "s", "forces").dtype == np.float64

    def odd(batch):
        return {"embedding": np.zeros((len(batch), 2 + int(batch.structures[0]) % 2))}

    with pytest.raises(InputError, match="embedding comes as float of the shape"):
        label(store, odd, "x", max_atoms=1, levels={"embedding": "structure"})


def test_parts_that_a_power_failure_left_half_are_made_again(store, small_parts):
    stops, _ = _interrupted_after(6)
    with pytest.raises(KeyboardInterrupt):
        label(store, stops, "s", version=1, max_atoms=1)
    parts = store.with_name(store.name + ".featurizing") / "labelling" / "s" / "parts"
    content = bytearray((parts / "1.part").read_bytes())
    content[len(content) // 2] ^= 1
    (parts / "1.part").write_bytes(content)
    (parts / "2.part").unlink()
    (parts / "3.json").write_text("")
    goes_on, second = _interrupted_after(0)
    label(store, goes_on, "s", version=1, max_atoms=1)
    assert [batch[0] for batch in second] == [1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert_array_equal(read(store, "s", "energy"), expected(store)["energy"])


def test_what_was_interrupted_survives_other_jobs(store, small_parts):
    stops, first = _interrupted_after(5)
    with pytest.raises(KeyboardInterrupt):
        label(store, stops, "s", version=1, max_atoms=1)
    zstruct.featurize(store, NeighborList(2.0), progress=False)
    zstruct.split(store, [0.5, 0.5], name="default")
    zstruct.labels.add(store, "added", energy=np.zeros(11))
    label(store, springs, "other", version=1)
    assert not label(store, springs, "other", version=1).written
    goes_on, second = _interrupted_after(0)
    label(store, goes_on, "s", version=1, max_atoms=1)
    assert sum(map(len, first[:4])) + sum(map(len, second)) == 11
    assert not store.with_name(store.name + ".featurizing").exists()
    zstruct.verify(store)


def _without(path, name, gone):
    """Take the labels of some structures out of a group, as if these had come later."""
    labels = zstruct.open_labels(path, name)
    offsets = labels.store.read("offsets")
    lost = np.zeros(11, dtype=bool)
    lost[gone] = True
    columns = []
    for row in labels.fields.values():
        rows = np.repeat(lost, np.diff(offsets)) if row.level == "atom" else lost
        values = labels.read(row.name)
        values[rows] = row.missing
        present = None if row.presence() is None else labels.present(row.name) & ~lost
        columns.append(LabelColumn(row, lambda a, b, values=values: values[a:b], present))
    attrs = {key: labels.attrs[key] for key in labels.attrs if key not in ("status", "metadata_digest")}
    codes = np.where(lost, -1, labels.failure_codes()).astype(np.int32)
    with writing_group(zstruct.Store(path)) as (there, scratch):
        write_labels(scratch / "labels", columns, offsets, attrs, Failures(codes, labels.failure_texts()))
        publish(path, scratch, name, ["labels"], "", there.digest)


def test_what_a_function_can_not_say_is_not_asked_again(store):
    def some(batch):
        calls.append(len(batch))
        return {"energy": np.where(batch.structures % 3, 1.0, np.nan)}

    calls: list[int] = []
    report = label(store, some, "s", version=1)
    assert report.coverage == {"energy": 7}
    missing = dict.fromkeys([0, 3, 6, 9], "all that came back is missing (NaN)")
    assert zstruct.open_labels(store, "s").failures() == missing
    n = len(calls)
    assert not label(store, some, "s", version=1).written
    assert len(calls) == n


def test_some_structures_then_the_others(store, small_parts):
    def seen(batch):
        asked.extend(batch.structures.tolist())
        return failing(batch)

    asked: list[int] = []
    reader = zstruct.StructureReader(store, dtype="float64").select("n_atoms < 6")
    few = reader.structures.tolist()
    label(reader, seen, "s", version=1, max_atoms=1)
    assert sorted(set(asked)) == few
    assert zstruct.open_labels(store, "s").coverage("energy") == len(few) - 2
    assert not label(reader, seen, "s", version=1).written
    asked.clear()
    label(store, seen, "s", version=1)
    assert sorted(set(asked)) == sorted({*range(11)} - {*few})
    label(store, seen, "all", version=1)
    assert zstruct.open_labels(store, "s").digest == zstruct.open_labels(store, "all").digest


def test_appended_structures_get_labels_and_the_others_keep_theirs(store, small_chunks, monkeypatch):
    def seen(batch):
        asked.extend(batch.structures.tolist())
        return failing(batch)

    asked: list[int] = []
    label(store, seen, "s", version=1)
    new = [ase.Atoms(f"Cu{n}", np.random.default_rng(n).normal(size=(n, 3))) for n in (2, 5, 3)]
    grown = store.with_name("grown.zarr")
    zstruct.append(store, new, out=grown, progress=False)
    with pytest.raises(
        StaleGroupError, match=r"run zstruct\.label again as before, which computes what is new"
    ):
        zstruct.open_labels(grown, "s")
    asked.clear()
    before = {name: (grown / "labels/s" / name).stat().st_ino for name in tree_bytes(grown / "labels/s")}
    with monkeypatch.context() as patch:
        patch.setattr("zstruct.store.sharing.clone", lambda *_: False)
        assert label(grown, seen, "s", version=1).written
    assert sorted(set(asked)) == [11, 12, 13]
    label(grown, seen, "all", version=1)
    assert tree_bytes(grown / "labels/s") == tree_bytes(grown / "labels/all")
    shared = [name for name, node in before.items() if (grown / "labels/s" / name).stat().st_ino == node]
    rows = {name: zstruct.Store(grown).grid(f"labels/s/{name}").shard_rows for name in ("energy", "forces")}
    n_atoms = int(zstruct.Store(store).n_atoms)
    expected = [f"energy/c/{k}" for k in range(11 // rows["energy"])]
    expected += [f"forces/c/{k}/0" for k in range(n_atoms // rows["forces"])]
    assert set(expected) <= set(shared)
    assert len(expected) > 1
    assert not label(grown, seen, "s", version=1).written
    zstruct.verify(grown)


def test_structures_without_labels_get_them_and_the_others_stay(store, sizes):
    def more(batch):
        seen.extend(batch.structures.tolist())
        return failing(batch) | {"n_steps": batch.structures * 2}

    seen: list[int] = []
    options = {"version": 1, "max_atoms": 8, "levels": {"n_steps": "structure"}}
    label(store, more, "s", **options)
    whole = zstruct.open_labels(store, "s").digest
    _without(store, "s", [3, 7, 10])
    partly = zstruct.open_labels(store, "s").digest
    seen.clear()
    report = label(store, more, "s", **options)
    assert report.written
    assert sorted(set(seen)) == [3, 7, 10]
    labels = zstruct.open_labels(store, "s")
    assert labels.digest == whole != partly
    assert set(labels.failures()) == set(np.flatnonzero(sizes == 5))
    seen.clear()
    assert not label(store, more, "s", **options).written
    assert seen == []
    zstruct.verify(store)
