"""Sources through ASE: what Atoms, files and databases hold must arrive, and nothing else."""

import contextlib
import pickle
import warnings

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixCartesian
from ase.spacegroup import crystal

from tests.sources.archive.make import COMPRESS
from tests.sources.ase.reading import assert_same, faults, packed, read
from zstruct.errors import InputError
from zstruct.sources.ase.source import ASESource, AtomsSource
from zstruct.sources.source import Source


def water(k=0, **results):
    atoms = molecule("H2O")
    atoms.positions += k
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


# Atoms in memory


def test_a_list_of_atoms(frames):
    source = AtomsSource(frames)
    block = packed(source)
    assert_same(block, frames)
    periodic = [i for i, a in enumerate(frames) if a.pbc.any()]
    assert np.flatnonzero(block.present["stress"]).tolist() == periodic
    assert np.array_equal(block.columns["stress"][periodic[0]], frames[periodic[0]].get_stress())
    assert isinstance(source, Source)
    assert source.runs_in == "caller"
    assert source.fingerprint() is None


@pytest.mark.parametrize("form", [tuple, iter, lambda f: (a for a in f)])
def test_other_iterables(frames, form):
    assert_same(packed(AtomsSource(form(frames))), frames)


def test_a_single_structure():
    block = packed(AtomsSource(water(energy=-1.0)))
    assert len(block) == 1
    assert "forces" not in block.columns


def test_slices(frames):
    (piece,) = AtomsSource(frames).scan()
    assert (piece.start, piece.stop, piece.first_frame) == (0, 30, 0)
    assert piece.nbytes > 30 * 104
    assert AtomsSource(iter(frames)).scan()[0].nbytes == 0
    with pytest.raises(InputError, match="empty"):
        AtomsSource([]).scan()


def test_blocks_are_bounded(frames, monkeypatch):
    monkeypatch.setattr("zstruct.sources.ase.atoms._FIRST_BLOCK", 2)
    monkeypatch.setattr("zstruct.sources.ase.atoms._GROWTH", 2)
    monkeypatch.setattr("zstruct.sources.ase.atoms._BLOCK_FRAMES", 8)
    blocks = read(AtomsSource(frames))
    assert [len(b.frames) for b in blocks] == [2, 4, 8, 8, 8]
    assert np.concatenate([b.frames for b in blocks]).tolist() == list(range(30))
    monkeypatch.setattr("zstruct.sources.ase.atoms._BLOCK_ATOMS", 10)
    blocks = read(AtomsSource([bulk("Cu", cubic=True) for _ in range(12)]))
    assert [len(b.frames) for b in blocks] == [2, 2, 2, 2, 2, 2]


def test_one_object_handed_out_again_and_again():
    def steps():
        atoms = bulk("Cu", cubic=True)
        atoms.calc = EMT()
        for _ in range(4):
            atoms.rattle(0.02, rng=rng)
            atoms.get_forces()
            energies.append(atoms.get_potential_energy())
            positions.append(atoms.positions.copy())
            yield atoms

    rng = np.random.default_rng(3)
    energies, positions = [], []
    block = packed(AtomsSource(steps()))
    assert block.columns["energy"].tolist() == energies
    assert np.array_equal(block.columns["positions"], np.concatenate(positions))
    assert len(set(energies)) == 4


def test_what_is_not_atoms_is_a_bad_frame():
    source = AtomsSource([water(energy=1.0), None, "H2O", water(energy=2.0)])
    (raw,) = read(source)
    assert raw.frames.tolist() == [0, 3]
    assert [(b.frame, b.reason) for b in raw.bad] == [
        (1, "this is a NoneType, not an ase.Atoms object"),
        (2, "this is a str, not an ase.Atoms object"),
    ]
    assert faults(AtomsSource(iter(["x"]))) == {0: "this is a str, not an ase.Atoms object"}


def test_atomic_numbers_must_exist():
    found = faults(AtomsSource([water(), Atoms(numbers=[1, 300, 400], positions=np.zeros((3, 3))), water()]))
    assert found == {1: "300 is no atomic number"}
    assert faults(AtomsSource([Atoms(numbers=[-1], positions=[[0, 0, 0]])])) == {0: "-1 is no atomic number"}


def test_no_atoms():
    assert faults(AtomsSource([Atoms(), water()])) == {0: "the structure has no atoms"}


# Labels


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.positions.__setitem__((0, 0), 5.0),
        lambda a: a.set_cell([5, 5, 5]),
        lambda a: a.set_pbc(True),
        lambda a: a.numbers.__setitem__(0, 16),
        lambda a: a.append("H"),
    ],
)
@pytest.mark.parametrize("form", [list, iter])
def test_stale_labels_are_bad(change, form):
    good = [water(k, energy=float(k), forces=np.ones((3, 3))) for k in range(3)]
    good[1].set_cell([9, 9, 9])
    good[1].calc = SinglePointCalculator(good[1], energy=1.0, forces=np.ones((3, 3)))
    change(good[1])
    source = AtomsSource(form(good))
    (raw,) = read(source)
    assert raw.frames.tolist() == [0, 2]
    assert [b.frame for b in raw.bad] == [1]
    assert "belong to another geometry" in raw.bad[0].reason
    assert raw.structure["energy"][0].values.tolist() == [0, 2]


def test_changes_that_do_not_matter():
    atoms = water(energy=1.0)
    atoms.positions *= 1.0 + 1e-16
    atoms.info["note"] = "x"
    atoms.set_tags([1, 2, 3])
    assert faults(AtomsSource([atoms])) == {}


def test_nan_positions_are_not_called_stale():
    atoms = molecule("H2O")
    atoms.positions[0, 0] = np.nan
    atoms.calc = SinglePointCalculator(atoms, energy=1.0)
    assert faults(AtomsSource([atoms])) == {0: "a position is NaN or infinite"}


def test_live_calculators_are_read_but_never_run():
    done, idle, moved = (bulk("Cu", cubic=True) for _ in range(3))
    for atoms in (done, idle, moved):
        atoms.calc = EMT()
    done.get_forces()
    moved.get_forces()
    moved.positions[0, 0] += 0.1
    source = AtomsSource([done, idle, water(), moved])
    (raw,) = read(source)
    assert raw.frames.tolist() == [0, 1, 2]
    block = packed(AtomsSource([done, idle, water()]))
    assert block.present["energy"].tolist() == [True, False, False]
    assert block.columns["energy"][0] == done.get_potential_energy()
    assert block.columns["energies"][:4].sum() == pytest.approx(done.get_potential_energy())
    assert idle.calc.results == {}
    assert [b.frame for b in raw.bad] == [3]


def test_a_calculator_shared_by_two_structures():
    first, second = bulk("Cu", cubic=True), bulk("Ni", cubic=True)
    first.calc = second.calc = EMT()
    first.get_potential_energy()
    second.get_potential_energy()
    assert list(faults(AtomsSource([first, second]))) == [0]


class Odd(Calculator):
    """A calculator with results that ASE has no name for."""

    implemented_properties = ("energy",)

    def __init__(self, **given):
        super().__init__()
        self.given = given

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 1.0, **self.given}


def odd(atoms, **given):
    atoms.calc = Odd(**given)
    atoms.get_potential_energy()
    return atoms


def test_levels_of_calculator_results():
    six = Atoms("C6", positions=np.arange(18.0).reshape(6, 3))
    three = molecule("H2O")
    frames = [
        odd(six, stress=np.zeros(6), charges=np.ones(6), node_energy=np.ones(6), uncertainty=0.5),
        odd(three, dipole=np.ones(3), magmoms=np.ones(3), node_energy=np.ones(3), REF_forces=np.ones((3, 3))),
    ]
    (raw,) = read(AtomsSource(frames))
    assert set(raw.atom) == {"numbers", "positions", "charges", "magmoms", "node_energy", "REF_forces"}
    assert {"stress", "dipole", "uncertainty", "energy"} <= set(raw.structure)


def test_a_length_of_three_in_water_is_a_vector():
    frames = [odd(water(k), field=np.ones(3), charges=np.ones(3)) for k in range(3)]
    (raw,) = read(AtomsSource(frames))
    assert "field" in raw.structure
    assert "charges" in raw.atom


def test_levels_do_not_change_from_block_to_block(monkeypatch):
    monkeypatch.setattr("zstruct.sources.ase.atoms._FIRST_BLOCK", 2)
    monkeypatch.setattr("zstruct.sources.ase.atoms._GROWTH", 1)
    sizes = ["H2O", "CH4", "H2O", "H2O"]
    frames = [odd(molecule(name), latent=np.ones(len(molecule(name)))) for name in sizes]
    first, second = read(AtomsSource(frames))
    assert "latent" in first.atom
    assert "latent" in second.atom


def test_results_with_the_wrong_number_of_rows():
    frames = [water(energy=1.0, forces=np.ones((3, 3))), water(energy=1.0, forces=np.ones((2, 3)))]
    found = faults(AtomsSource(frames))
    assert list(found) == [1]
    assert "'forces' has 2 rows for 3 atoms" in found[1]
    assert "forces" not in packed(AtomsSource(frames), exclude=frozenset({"forces"})).columns


def test_info_and_calculator_must_agree():
    atoms = water(energy=1.0)
    atoms.info["energy"] = 1.0
    assert packed(AtomsSource([atoms])).columns["energy"].tolist() == [1.0]
    atoms.info["energy"] = 2.0
    with pytest.raises(InputError, match="two different values of 'energy'"):
        packed(AtomsSource([atoms]))


# Arrays and info


def test_arrays_keep_their_names():
    atoms = molecule("H2O")
    atoms.set_tags([1, 2, 3])
    atoms.set_momenta(np.ones((3, 3)))
    atoms.set_masses([16, 2, 1])
    atoms.set_initial_charges([-1, 0.5, 0.5])
    atoms.set_initial_magnetic_moments([1, 0, 0])
    atoms.set_array("label", np.array(["O", "Ha", "Hb"]))
    atoms.set_array("fixed", np.array([True, False, True]))
    atoms.set_array("tensor", np.ones((3, 3, 3)))
    block = packed(AtomsSource([atoms, molecule("CO")]))
    assert block.columns["tags"][:3].tolist() == [1, 2, 3]
    assert block.columns["masses"][:3].tolist() == [16, 2, 1]
    assert block.columns["initial_charges"][:3].tolist() == [-1, 0.5, 0.5]
    assert block.present["momenta"].tolist() == [True, False]
    assert block.columns["initial_magmoms"].shape == (5,)
    assert [block.categories["label"][c] for c in block.columns["label"][:3]] == ["O", "Ha", "Hb"]
    assert block.columns["label"][3:].tolist() == [-1, -1]
    assert block.columns["fixed"][:3].tolist() == [True, False, True]
    assert block.columns["tensor"].shape == (5, 3, 3)


def test_info_of_every_kind():
    info = {
        "i": 1, "f": 0.5, "np": np.float32(0.25), "b": True, "s": "text", "v": [1, 2, 3], "m": np.eye(3),
        "none": None, "empty": [], "d": {"a": [1, np.int64(2)], "b": None}, "ragged": [[1], [2, 3]],
        "names": ["x", "y"], "zero_d": np.array(3.5), "cell": "not ours", 7: "seven", "raw": b"bytes",
    }  # fmt: skip
    atoms = molecule("H2O")
    atoms.info = info
    block = packed(AtomsSource([atoms]))
    values = {
        name: column[0] for name, column in block.columns.items() if block.fields[name].dims[0] != "atom"
    }
    text = {name: block.categories[name][values[name]] for name in block.categories}
    assert (values["i"], values["f"], values["np"], values["b"], values["zero_d"]) == (
        1,
        0.5,
        0.25,
        True,
        3.5,
    )
    assert values["i"].dtype == np.int64
    assert values["v"].tolist() == [1, 2, 3]
    assert np.array_equal(values["m"], np.eye(3))
    assert text == {
        "s": "text", "d": '{"a": [1, 2], "b": null}', "ragged": "[[1], [2, 3]]", "names": '["x", "y"]',
        "input_cell": "not ours", "7": "seven", "raw": "bytes",
    }  # fmt: skip
    assert not {"none", "empty"} & set(values)


def test_info_in_different_structures():
    given = [{"a": 1}, {"a": 2.5, "t": "x"}, {}, {"t": "y", "a": None}, {"t": "x"}]
    frames = [molecule("H2") for _ in given]
    for atoms, info in zip(frames, given, strict=True):
        atoms.info = info
    block = packed(AtomsSource(frames))
    assert block.columns["a"][:2].tolist() == [1, 2.5]
    assert block.present["a"].tolist() == [True, True, False, False, False]
    assert [None if c < 0 else block.categories["t"][c] for c in block.columns["t"]] == [
        None,
        "x",
        None,
        "y",
        "x",
    ]


def test_big_integers():
    frames = [molecule("H2"), molecule("H2")]
    frames[0].info["seed"], frames[1].info["seed"] = 1, 2**63
    assert packed(AtomsSource(frames)).categories["seed"] == ["1", str(2**63)]  # never rounded
    frames[1].info["seed"] = 10**30
    assert packed(AtomsSource(frames)).categories["seed"] == ["1", str(10**30)]
    frames[1].info["seed"] = 2**63 - 1
    assert packed(AtomsSource(frames)).columns["seed"].tolist() == [1, 2**63 - 1]


@pytest.mark.parametrize("value", [1j, object(), {"x": 1j}, lambda: 0, {1, 2}])
def test_what_nobody_can_store(value):
    frames = [molecule("H2"), molecule("H2")]
    frames[1].info["odd"] = value
    found = faults(AtomsSource(frames))
    assert list(found) == [1]
    assert "exclude=['odd']" in found[1]
    assert len(packed(AtomsSource(frames), exclude=frozenset({"odd"}))) == 2


def test_arrays_nobody_can_store():
    atoms = molecule("H2")
    atoms.arrays["odd"] = np.array([object(), None], dtype=object)
    atoms.arrays["complex"] = np.array([1j, 2j])
    found = faults(AtomsSource([atoms]))
    assert "holds object values" in found[0] or "holds complex128 values" in found[0]
    assert len(packed(AtomsSource([atoms]), exclude=frozenset({"odd", "complex"}))) == 1


def test_constraints_become_a_mask(tmp_path):
    slab = bulk("Cu", cubic=True)
    slab.set_constraint(FixAtoms([0, 2]))
    axes = slab.copy()
    axes.set_constraint([FixAtoms([0]), FixCartesian(1, mask=(True, False, True))])
    assert packed(AtomsSource([slab])).columns["move_mask"].tolist() == [False, True, False, True]
    mask = packed(AtomsSource([axes])).columns["move_mask"]
    ase.io.write(tmp_path / "a.xyz", axes)
    (back,) = ase.io.read(tmp_path / "a.xyz", ":")
    again = packed(AtomsSource([back])).columns["move_mask"]
    assert mask.tolist() == [[False] * 3, [False, True, False], [True] * 3, [True] * 3]
    assert np.array_equal(mask, again)
    assert "move_mask" not in packed(AtomsSource([bulk("Cu")])).columns
    mixed = packed(AtomsSource([bulk("Cu", cubic=True), slab]))
    assert mixed.present["move_mask"].tolist() == [False, True]


# Files


def test_a_trajectory(tmp_path, frames):
    path = tmp_path / "a@b.traj"
    ase.io.write(path, frames)
    source = pickle.loads(pickle.dumps(ASESource(path)))
    block = packed(source)
    assert_same(block, frames)
    assert block.columns["frame"].tolist() == list(range(30))
    assert source.runs_in == "processes"


def test_a_broken_trajectory_keeps_what_came_before(tmp_path, frames):
    path = tmp_path / "a.xyz"
    ase.io.write(path, frames[:4], format="extxyz")
    path.write_text(path.read_text() + "3\nfour\nH 0 0\n")
    blocks = read(ASESource(path, format="extxyz"))
    assert np.concatenate([b.frames for b in blocks]).tolist() == [0, 1, 2, 3]
    (bad,) = [b for raw in blocks for b in raw.bad]
    assert bad.frame == 4
    assert bad.reason.startswith("ASE fails to read it: ")


def test_cif_files_with_their_odd_info(tmp_path):
    path = tmp_path / "a.cif"
    salt = crystal(["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=225, cellpar=[5.64] * 3 + [90] * 3)
    ase.io.write(path, salt)
    block = packed(ASESource(path))
    assert block.n_atoms.tolist() == [8]
    assert block.columns["pbc"].all()


def test_reader_warnings_stay_inside(tmp_path, monkeypatch):
    def noisy(*args, **kwargs):
        warnings.warn("careful", stacklevel=1)
        yield water()
        warnings.warn("again", stacklevel=1)
        yield water()

    monkeypatch.setattr(ase.io, "iread", noisy)
    (tmp_path / "x").touch()
    assert len(packed(ASESource(tmp_path / "x", format="traj"))) == 2
    with pytest.raises(UserWarning, match="ours"):
        warnings.warn("ours", stacklevel=1)


def test_stale_geometry_is_no_matter_in_files(tmp_path, monkeypatch):
    atoms = water(energy=1.0)
    atoms.positions += 1
    monkeypatch.setattr(ase.io, "iread", lambda *a, **k: iter([atoms]))
    (tmp_path / "x").touch()
    assert packed(ASESource(tmp_path / "x", format="traj")).columns["energy"].tolist() == [1.0]


def test_files_ase_can_not_read(tmp_path):
    path = tmp_path / "a.unheardof"
    path.write_text("nothing\n")
    with pytest.raises(InputError, match=r"a\.unheardof: ASE can't tell the format.*reader="):
        read(ASESource(path))
    assert "ASE fails to read it" in faults(ASESource(path, format="vasp"))[0]
    with pytest.raises(InputError, match="can't be opened"):
        read(ASESource(tmp_path / "none.traj"))
    empty = tmp_path / "empty.traj"
    empty.write_bytes(b"")
    with pytest.raises(InputError):
        read(ASESource(empty))


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_files_are_unpacked_for_ase(tmp_path, suffix):
    ase.io.write(tmp_path / "a.cif", bulk("Cu"))
    whole = COMPRESS[suffix]((tmp_path / "a.cif").read_bytes())
    path = tmp_path / f"b.cif{suffix}"
    path.write_bytes(whole)
    assert packed(ASESource(path)).columns["numbers"].tolist() == [29]
    path.write_bytes(whole[:-9])
    source = ASESource(path)
    with contextlib.suppress(InputError):  # which says it as well
        assert [bad.frame for raw in source.read(source.scan()[0]) for bad in raw.bad] == [0]
