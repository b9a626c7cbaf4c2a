import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from zstruct.errors import InputError
from zstruct.store.store import Store

KEPT = ("numbers", "positions", "cell", "pbc", "energy", "forces", "offsets")


def labelled(atoms, k):
    forces = np.random.default_rng(k).normal(size=(len(atoms), 3))
    atoms.calc = SinglePointCalculator(atoms, energy=-1 / (k + 3), forces=forces)
    return atoms


def exported(frames, folder, name="out", **options):
    zstruct.build(frames, folder / "a.zarr", progress=False)
    return zstruct.export(folder / "a.zarr", folder / name, progress=False, **options)


def assert_comes_back(folder, name):
    zstruct.build(folder / name, folder / "b.zarr", progress=False)
    a, b = Store(folder / "a.zarr"), Store(folder / "b.zarr")
    for field in KEPT:
        assert a.read(field).tobytes() == b.read(field).tobytes(), field


def test_a_file_for_each_structure(tmp_path):
    chain = Atoms("H", cell=[2.0, 9.0, 9.0], pbc=[True, False, False])
    boxed = Atoms("He", cell=[9.0, 9.0, 9.0])
    some = [molecule("H2O"), bulk("Cu"), fcc111("Al", (1, 1, 3), vacuum=5.0), chain, boxed]
    report = exported([labelled(atoms, k) for k, atoms in enumerate(some)], tmp_path, format="xsf")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"00000{k}.xsf" for k in range(1, 6)
    ]
    assert report.fields == ["numbers", "positions", "cell", "pbc", "forces", "energy"]
    assert set(report.lost) == {"source", "frame", "tags", "adsorbate_info"}
    assert_comes_back(tmp_path, "out")


def test_the_text_is_that_of_aenet(tmp_path):
    atoms = Atoms("Ti", positions=[[0.5, 0, 0]], cell=[3, 4, 5], pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=-4.25, forces=np.array([[0.1, 0, -0.2]]))
    exported([atoms], tmp_path, format="xsf")
    assert (tmp_path / "out" / "000001.xsf").read_text() == (
        "# total energy = -4.25 eV\n\nCRYSTAL\nPRIMVEC\n 3.0 0.0 0.0\n 0.0 4.0 0.0\n 0.0 0.0 5.0\n"
        "PRIMCOORD\n 1 1\nTi 0.5 0.0 0.0 0.1 0.0 -0.2\n"
    )


@pytest.mark.parametrize("name", ["H2O", "Cu"])
def test_animations(tmp_path, name):
    made = [labelled(molecule(name) if name == "H2O" else bulk(name), k) for k in range(4)]
    exported(made, tmp_path, "out.xsf")
    assert (tmp_path / "out.xsf").read_text().startswith("ANIMSTEPS 4\n")
    assert_comes_back(tmp_path, "out.xsf")


def test_a_single_file(tmp_path):
    exported([labelled(bulk("Cu"), 1)], tmp_path, "out.xsf")
    assert_comes_back(tmp_path, "out.xsf")


@pytest.mark.parametrize(
    ("frames", "name", "reason"),
    [
        ([bulk("Cu"), molecule("H2O")], "out.xsf", "structure 1 is not periodic as the first one"),
        (
            [Atoms("H", cell=[1, 1, 1], pbc=[False, True, True])],
            "out",
            "structure 0 does not repeat along the first",
        ),
    ],
)
def test_what_has_no_place_is_a_sentence(tmp_path, frames, name, reason):
    with pytest.raises(InputError, match=reason):
        exported(frames, tmp_path, name, format="xsf")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_forces_need_an_energy(tmp_path):
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, forces=np.ones((3, 3)))
    with pytest.raises(InputError, match="structure 1 has forces but no energy"):
        exported([labelled(molecule("H2O"), 0), atoms], tmp_path, format="xsf")
    report = zstruct.export(
        tmp_path / "a.zarr", tmp_path / "out", "xsf", select="has(energy)", progress=False
    )
    assert report.n_structures == 1


def test_shared_data_come_back(shared_data, tmp_path):
    zstruct.build(shared_data / "tio2_xsf", tmp_path / "a.zarr", progress=False)
    zstruct.export(tmp_path / "a.zarr", tmp_path / "out", "xsf", progress=False)
    assert_comes_back(tmp_path, "out")
