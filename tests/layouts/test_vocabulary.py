"""Batches in the words of other projects, samples that know their size and structure, datasets that close."""

import functools
import gc
import os
import pickle

import ase.build
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.testing import assert_array_equal

import zstruct
from zstruct import StructureReader

torch = pytest.importorskip("torch")

from zstruct import ZarrStructureDataset, layouts, transforms  # noqa: E402

NAMES = ("H2O", "CH4", "NH3", "C2H6")


@pytest.fixture(scope="module")
def frames():
    made = []
    for k in range(12):
        atoms = ase.build.molecule(NAMES[k % 4])
        forces = np.full((len(atoms), 3), 0.1 * k)
        atoms.calc = SinglePointCalculator(atoms, energy=-17_660.0 - 1e-4 * k, forces=forces)
        if k % 3:
            atoms.info["total_charge"] = 1.0
        made.append(atoms)
    return made


@pytest.fixture(scope="module")
def path(frames, tmp_path_factory):
    path = tmp_path_factory.mktemp("words") / "words.zarr"
    zstruct.build(frames, path, progress=False)
    return path


@pytest.fixture
def data(path):
    return ZarrStructureDataset(path)


LAYOUTS = {"graph": layouts.graph, "padded": layouts.padded}


@pytest.mark.parametrize("layout", LAYOUTS)
class TestNames:
    def test_a_mapping(self, data, layout):
        names = {"numbers": "species", "n_atoms": "natoms"}
        plain, renamed = (LAYOUTS[layout](data.take(range(5)), **o) for o in ({}, {"names": names}))
        assert list(renamed) == [names.get(name, name) for name in plain]
        for name, tensor in plain.items():
            assert (
                torch.equal(
                    renamed[names.get(name, name)],
                    tensor,
                )
                or tensor.isnan().any()
            )

    def test_mlff_distiller(self, data, frames, layout):
        batch = LAYOUTS[layout](data.take(range(5)), names="MLFF-Distiller")
        sizes = [len(atoms) for atoms in frames[:5]]
        assert (batch["batch_size"], batch["max_atoms"], batch["total_atoms"]) == (5, max(sizes), sum(sizes))
        assert all(type(batch[name]) is int for name in ("batch_size", "max_atoms", "total_atoms"))
        assert batch["natoms"].tolist() == sizes
        numbers = batch["species"][batch["mask"]] if layout == "padded" else batch["species"]
        assert numbers.tolist() == np.concatenate([atoms.numbers for atoms in frames[:5]]).tolist()
        assert not {"numbers", "n_atoms"} & batch.keys()

    def test_mmml(self, data, frames, layout):
        batch = LAYOUTS[layout](data.take(range(5)), names="mmml", as_numpy=True)
        expected = {"Z": np.int32, "N": np.int32, "R": np.float32, "F": np.float32, "E": np.float32}
        expected |= {"Qtot": np.float32, "cell": np.float32}
        assert {name: batch[name].dtype for name in expected} == expected
        assert batch["E"].tolist() == [np.float32(a.get_potential_energy()) for a in frames[:5]]
        assert batch["Qtot"].tolist() == [0.0, 1.0, 1.0, 0.0, 1.0]
        if layout == "padded":
            assert batch["mask"].dtype == bool
            assert batch["mask"].sum(1).tolist() == batch["N"].tolist()
        exact = LAYOUTS[layout](ZarrStructureDataset(data.store, dtype="float64").take([3]), names="mmml")
        assert exact["E"].item() == frames[3].get_potential_energy()

    def test_charges_that_nobody_has_are_zero(self, data, layout):
        few = ZarrStructureDataset(data.store, ["numbers", "positions"])
        batch = LAYOUTS[layout](few.take(range(3)), names="mmml")
        assert batch["Qtot"].tolist() == [0.0, 0.0, 0.0]
        assert batch["Qtot"].dtype == torch.float32

    @pytest.mark.parametrize("workers", [0, 1])
    def test_in_a_loader_and_a_reader(self, data, layout, workers):
        batch = next(iter(data.loader(5, layout=layout, names="mmml", num_workers=workers)))
        assert batch["R"].dtype == torch.float32
        found = next(data.batches(5, layout=layout, names={"positions": "R"}))
        assert_array_equal(found["R"], batch["R"])

    @pytest.mark.parametrize(
        ("names", "error", "said"),
        [
            (
                "nequip",
                ValueError,
                "names is a dict of new names by ours, or 'mlff-distiller' or 'mmml', not",
            ),
            (3, TypeError, "names is a dict of new names by ours, or the name of a project, not 3"),
            ({"numbers": 3}, TypeError, "names is a dict of new names"),
            ({"species": "Z"}, ValueError, "names has 'species', but the .* batch has only numbers"),
            ({"numbers": "positions"}, ValueError, "two things"),
        ],
    )
    def test_names_that_make_no_sense(self, data, layout, names, error, said):
        with pytest.raises(error, match=said):
            LAYOUTS[layout](data.take([0]), names=names)


def test_names_of_other_layouts(data):
    assert "species" in next(iter(data.loader(2, layout="fairchem", names={"atomic_numbers": "species"})))
    for layout in ("list", "physnet", layouts.graph):
        with pytest.raises(ValueError, match="names are for layout='graph', 'padded', 'pyg'"):
            data.loader(2, layout=layout, names={"numbers": "Z"})
    layout = functools.partial(layouts.padded, names="mmml")
    assert "Z" in next(iter(data.loader(2, layout=layout)))
    with pytest.raises(ValueError, match="names is a dict"):
        data.loader(2, layout="graph", names="nequip")  # before anything is read


def test_samples_know_how_many_atoms_they_have(data, frames):
    for sample in (data[3], data.take([3])[0], pickle.loads(pickle.dumps(data[3]))):
        assert sample["n_atoms"].item() == sample.n_atoms == len(frames[3])
        assert sample["n_atoms"].dtype == torch.int64
        assert "n_atoms" not in sample.keys()  # noqa: SIM118
        with pytest.raises(KeyError, match="natoms"):
            sample["natoms"]
    assert StructureReader(data.store)[3]["n_atoms"] == len(frames[3])


class TestAtoms:
    @pytest.fixture
    def with_atoms(self, path):
        return ZarrStructureDataset(path, ["numbers", "positions", "atoms"])

    @staticmethod
    def same(found, expected):
        return found == expected and found.get_potential_energy() == expected.get_potential_energy()

    def test_samples_have_them(self, with_atoms, frames):
        samples = [with_atoms[5], with_atoms[-7], with_atoms.take([-7])[0], with_atoms[2:][3]]
        for sample in [*samples, StructureReader(with_atoms.store, [..., "atoms"])[5]]:
            assert self.same(sample["atoms"], frames[5])
        assert set(with_atoms[0]) == {"numbers", "positions", "atoms"}
        assert "atoms" not in ZarrStructureDataset(with_atoms.store)[0]

    @pytest.mark.parametrize("layout", ["graph", "padded", "list"])
    @pytest.mark.parametrize("workers", [0, 1])
    def test_batches_have_a_list(self, with_atoms, frames, layout, workers):
        batch = next(iter(with_atoms[4:].loader(3, layout=layout, num_workers=workers, device="meta")))
        atoms = [sample["atoms"] for sample in batch] if layout == "list" else batch["atoms"]
        assert all(self.same(*pair) for pair in zip(atoms, frames[4:7], strict=True))

    def test_layouts_take_samples_that_have_them(self, with_atoms, frames):
        samples = [with_atoms[i] for i in (3, 1)]
        for batch in (layouts.graph(samples), layouts.padded(samples, names="mmml")):
            assert [len(atoms) for atoms in batch["atoms"]] == [len(frames[3]), len(frames[1])]
        assert "atoms" not in layouts.physnet(samples)
        plain = [samples[0], ZarrStructureDataset(with_atoms.store, ["numbers", "positions"])[1]]
        assert "atoms" not in layouts.graph(plain)

    def test_transforms_leave_them(self, path, frames):
        steps = [transforms.RandomRotation(p=0.5), dict, transforms.CastUnits({"length": "nm"})]
        data = ZarrStructureDataset(path, ["numbers", "positions", "atoms"], transform=steps)
        assert self.same(data[5]["atoms"], frames[5])

    def test_a_field_of_that_name_stays_a_field(self, tmp_path):
        atoms = ase.build.molecule("H2O")
        atoms.info["atoms"] = 3.0
        zstruct.build([atoms], tmp_path / "named.zarr", progress=False)
        fields = [name for name in zstruct.Store(tmp_path / "named.zarr").fields if "atoms" in name]
        data = ZarrStructureDataset(tmp_path / "named.zarr")
        assert layouts.graph([data[0]])[fields[0]].tolist() == [3.0]
        if fields == ["atoms"]:
            with pytest.raises(ValueError, match="'atoms' has a name that batches use"):
                ZarrStructureDataset(tmp_path / "named.zarr", [..., "atoms"])


class TestClosing:
    @pytest.mark.parametrize("kind", [StructureReader, ZarrStructureDataset])
    @pytest.mark.parametrize("cache", ["memory", "shared", None])
    def test_it_is_closed_after_with(self, path, kind, cache, tmp_path):
        place = tmp_path if cache == "shared" else cache
        with kind(path, neighbors=2.0, cache=place) as reader:
            first = reader.take([0])
            assert isinstance(reader, kind)
            part = reader[2:4]
        for read in (lambda: reader[0], lambda: reader.take([0]), lambda: list(reader.batches(2))):
            with pytest.raises(ValueError, match=f"this {kind.__name__} is closed: open the store again"):
                read()
        with pytest.raises(ValueError, match="is closed"):
            reader.prefetch([0])
        assert repr(reader) == f"{kind.__name__}({str(path)!r}, closed)"
        assert len(reader) == 12
        reader.close()  # again
        pickle.loads(pickle.dumps(reader)).close()
        # What was read stays, and so do views.
        assert first.columns["numbers"][0] == 8
        assert part.take([0]).columns["numbers"][0] == 7

    def test_shared_memory_goes(self, path, tmp_path):
        with ZarrStructureDataset(path, cache=tmp_path) as data:
            next(iter(data.loader(12)))
            assert os.listdir(tmp_path)
        gc.collect()
        assert not os.listdir(tmp_path)

    def test_a_loader_says_it_too(self, path):
        data = ZarrStructureDataset(path)
        loader = data.loader(4, threads=1)
        data.close()
        with pytest.raises(ValueError, match="is closed"):
            list(loader)
        with pytest.raises(ValueError, match="is closed"):
            data.loader(4, shuffle=True)
