"""RuNNer's and n2p2's input.data: what is in it, in the units that the user says."""

import gzip
import re
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from zstruct.errors import InputError
from zstruct.sources.content import content_of
from zstruct.sources.normalize.normalize import ReadOptions, normalize
from zstruct.sources.runner.source import RunnerSource, is_runner_file

CASE = Path(__file__).parents[2] / "data" / "cases" / "input.data"
ATOMIC, ASE = "atomic", {"length": "angstrom", "energy": "eV"}


@pytest.fixture
def written(tmp_path):
    def write(text, name="input.data"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def read(path, given=ASE):
    source = RunnerSource(path)
    (piece,) = source.scan()
    blocks = list(source.read(piece))
    packed, bad = normalize(blocks[0], ReadOptions(units=given), source.label)
    return packed, {b.frame: b.reason for b in bad}


def test_the_unit_is_asked_for(tmp_path):
    with pytest.raises(
        InputError, match=r"input\.data, frame 0: the input does not say the unit of \w+, and"
    ):
        zstruct.build(CASE, tmp_path / "s.zarr", progress=False)
    with pytest.raises(InputError, match="the input does not say the unit of forces"):
        zstruct.build(CASE, tmp_path / "s.zarr", units={"length": "angstrom"}, progress=False)
    report = zstruct.build(CASE, tmp_path / "s.zarr", units="atomic", progress=False)
    assert zstruct.open(report.path)["energy"].values.tolist() == [-10.0 * units.Hartree]


@pytest.mark.parametrize(
    ("given", "length", "energy"),
    [
        ("ase", 1.0, 1.0),
        (ASE, 1.0, 1.0),
        (ATOMIC, units.Bohr, units.Hartree),
        ({"length": "bohr", "energy": "Ha"}, units.Bohr, units.Hartree),
        ({"length": "nm", "energy": "kJ/mol"}, 10.0, units.kJ / units.mol),
    ],
)
def test_right_both_ways(given, length, energy):
    packed, bad = read(CASE, given)
    assert bad == {}
    columns = packed.columns
    assert columns["numbers"].tolist() == [29, 16]
    assert columns["positions"] == pytest.approx(np.array([[0, 0, 0], [0, 0, 2.3]]) * length)
    assert columns["cell"][0] == pytest.approx(np.eye(3) * 10 * length)
    assert columns["pbc"].all()
    assert columns["energy"] == pytest.approx([-10.0 * energy])
    assert columns["forces"] == pytest.approx(np.array([[0.5, 0, 0], [-0.5, 0, 0]]) * energy / length)
    assert columns["total_charge"].tolist() == [0.0]
    assert packed.categories["comment"] == ["n2p2 with eV and Angstrom"]
    assert "charges" not in columns  # the format has the column, the file has nothing in it
    assert "energies" not in columns


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 12), st.booleans())
def test_what_ase_writes_is_read_as_ase_reads_it(tmp_path_factory, seed, n, periodic):
    pytest.importorskip("ase.io.runner")
    rng = np.random.default_rng(seed)
    atoms = Atoms(numbers=rng.integers(1, 90, n), positions=rng.normal(size=(n, 3)) * 5)
    if periodic:
        atoms.set_cell(rng.normal(size=(3, 3)) + 8 * np.eye(3))
        atoms.pbc = True
    atoms.calc = SinglePointCalculator(atoms, energy=rng.normal(), forces=rng.normal(size=(n, 3)))
    path = tmp_path_factory.mktemp("runner") / "input.data"
    ase.io.write(path, [atoms, atoms], format="runnerdata")
    packed, bad = read(path, ATOMIC)
    assert bad == {}
    there = ase.io.read(path, format="runnerdata")
    assert packed.n_atoms.tolist() == [n, n]
    assert packed.columns["numbers"][:n].tolist() == there.numbers.tolist()
    assert packed.columns["positions"][:n] == pytest.approx(there.positions, rel=1e-12)
    assert packed.columns["forces"][:n] == pytest.approx(there.get_forces(), rel=1e-12)
    assert packed.columns["energy"][0] == pytest.approx(there.get_potential_energy(), rel=1e-12)
    assert packed.columns["cell"][1] == pytest.approx(there.cell.array, rel=1e-12)
    assert packed.columns["pbc"].tolist() == [[periodic] * 3] * 2


def test_columns_that_the_file_names(written):
    path = written(
        "begin position(3) element charge magmom force(3) tensor(2)\n"
        "atom 0 0 0 H 0.25 1.0 1 2 3 7 8\natom 0 0 1 O -0.25 0 4 5 6 9 10\nend\n"
    )
    columns = read(path)[0].columns
    assert columns["charges"].tolist() == [0.25, -0.25]
    assert columns["magmoms"].tolist() == [1.0, 0.0]
    assert columns["forces"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert columns["tensor"].tolist() == [[7, 8], [9, 10]]
    assert "energy" not in columns
    assert "total_charge" not in columns


MOLECULE = "begin\natom 0 0 0 H 0.5 0.1 1 2 3\nend\n"


def test_molecules_and_crystals_together(written):
    crystal = MOLECULE.replace("begin\n", "begin\nlattice 2 0 0\nlattice 0 2 0\nlattice 0 0 2\ncharge 1\n")
    packed, bad = read(written(MOLECULE + "# a comment\n\n" + crystal), ATOMIC)
    assert bad == {}
    assert packed.columns["cell"][:, 0, 0] == pytest.approx([0.0, 2 * units.Bohr])
    assert packed.columns["pbc"][:, 0].tolist() == [False, True]
    assert packed.columns["energies"] == pytest.approx([0.1 * units.Hartree] * 2)
    assert packed.columns["charges"].tolist() == [0.5, 0.5]
    assert packed.present["total_charge"].tolist() == [False, True]
    without = {"positions": "A", "energy": "eV", "forces": "eV/A"}
    assert read(written(MOLECULE), without)[1] == {}  # no cell, no unit for it


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("begin\nend\n", "the structure has no atoms"),
        ("begin\natom 0 0 0 H 0 0 1 2\nend\n", "line 2: atom 1 has 8 columns, it should have 9"),
        ("begin\natom 0 0 0 Xx 0 0 1 2 3\nend\n", "line 2: atom 1 is 'Xx', which is no chemical element"),
        ("begin\natom 0 zero 0 H 0 0 1 2 3\nend\n", "line 2: 'zero' is not a number"),
        ("begin\nlattice 1 0 0\natom 0 0 0 H 0 0 1 2 3\nend\n", "the lattice has 1 vectors"),
        ("begin\nlattice 1 0\nend\n", "line 2: the lattice is three lines of three numbers"),
        ("begin\nenergy\nend\n", "line 2: energy is followed by 0 words"),
        ("begin\nenergy 1\nenergy 1\nend\n", "line 3: energy is there twice"),
        ("begin\nvelocity 1\nend\n", "line 2: 'velocity' is no keyword of this format"),
        ("begin element\nend\n", "line 1: columns of atoms begin with position"),
        ("begin position(3) element force(0)\nend\n", r"line 1: 'force\(0\)' is no column"),
        ("begin position(3) element force force(3)\nend\n", "line 1: a column of atoms is named twice"),
        (
            "begin position(3) element positions(3)\nend\n",
            "line 1: a column of atoms can't be called positions",
        ),
        ("begin\natom 0 0 0 H 0 0 1 2 3\n", "line 3: another structure begins before this one ends"),
    ],
)
def test_a_bad_structure_and_the_good_one_behind_it(written, text, reason):
    packed, bad = read(written(text + MOLECULE))
    assert list(bad) == [0]
    assert re.match(reason, bad[0]), bad[0]
    assert packed.columns["frame"].tolist() == [1]


def test_symbols_in_other_letters(written):
    packed, bad = read(written(MOLECULE.replace(" H ", " cu ")))
    assert bad == {}
    assert packed.columns["numbers"].tolist() == [29]
    assert packed.columns["forces"].tolist() == [[1, 2, 3]]


def test_a_cut_file(written):
    assert read(written(MOLECULE + "begin\natom 0 0 0 H"))[1][1].startswith("line 5: atom 1 has 4 columns")
    ends = "the file ends inside of this structure (there is no line 'end')"
    assert read(written(MOLECULE + "begin\n"))[1] == {1: ends}
    assert read(written("nothing\n"))[1] == {0: "the file ends before any structure begins (a line 'begin')"}


def test_detection(written, tmp_path):
    assert is_runner_file(content_of(CASE))
    assert is_runner_file(content_of(written("# text\nbegin position(3) element\nlattice 1 0 0\n", "a.data")))
    assert not is_runner_file(content_of(written("LAMMPS data file\n\n2 atoms\n", "b.data")))
    assert not is_runner_file(content_of(written("begin\natom", "c.txt")))
    assert not is_runner_file(content_of(written("", "d.data")))
    assert not is_runner_file(content_of(tmp_path / "none.data"))
    (tmp_path / "e.data.gz").write_bytes(gzip.compress(MOLECULE.encode()))
    assert is_runner_file(content_of(tmp_path / "e.data.gz"))
    assert read(tmp_path / "e.data.gz")[0].columns["numbers"].tolist() == [1]
