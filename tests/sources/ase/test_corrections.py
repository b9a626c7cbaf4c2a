"""What ASE makes up or overlooks must not get into a store: every row of the table, on a file."""

import io
import warnings
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.formats import ioformats

import zstruct
from zstruct.errors import InputError
from zstruct.sources.ase.corrections import CORRECTIONS
from zstruct.sources.ase.source import ASESource
from zstruct.sources.normalize.elements import element_table
from zstruct.sources.normalize.normalize import ReadOptions, normalize

CASES = Path(__file__).parents[2] / "data" / "cases"


@pytest.fixture
def written(tmp_path):
    def write(text, name="file"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def read(path, format=None, elements=None, given=(), exclude=()):
    source = ASESource(path, format=format)
    (raw,) = source.read(source.scan()[0])
    options = ReadOptions(units=dict(given), elements=element_table(elements), exclude=frozenset(exclude))
    packed, bad, *_ = normalize(raw, options, source.label)
    return packed, [b.reason for b in bad]


def test_every_row_is_a_format_of_ase():
    assert not {name for name in CORRECTIONS if name not in ioformats} - {"runnerdata", "aims-output"}


# Servers, what needs more to write or other programs to read, and what has its atoms elsewhere.
_NOT_SO = {"db", "mysql", "postgresql", "netcdftrajectory", "espresso-in", "mustem", "prismatic", "dftb"}
_NOT_SO |= {"castep-cell"}
WRITABLE = sorted(n for n, f in ioformats.items() if f.can_read and f.can_write and n not in _NOT_SO)
LABELS = {
    "energy": [-3.25],
    "free_energy": [-3.25],
    "forces": [[0.1, 0.2, 0.3], [-0.2, 0.1, 0.0], [0.1, -0.3, -0.3]],
    "stress": [[0.01, 0.02, 0.03, 0.001, 0.002, 0.003]],
}
OTHERS = {"charges", "magmoms", "magmom", "dipole", "initial_charges", "initial_magmoms", "energies"}


@pytest.mark.parametrize("name", WRITABLE)
@pytest.mark.parametrize("labelled", [False, True])
def test_what_a_file_does_not_have_is_missing(tmp_path, name, labelled):
    atoms = Atoms("TiO2", positions=[[1, 1, 1], [2.5, 1, 1], [1, 2.5, 1.2]])
    atoms.set_cell([[6, 0, 0], [1, 5, 0], [0.5, 0.5, 7]])
    atoms.pbc = True
    if labelled:
        results = {key: values if key == "forces" else values[0] for key, values in LABELS.items()}
        atoms.calc = SinglePointCalculator(atoms, **results)
    path = tmp_path / f"file.{name if name in ('xsd', 'xtd') else 'x'}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ase.io.write(path, atoms, format=name)
    try:
        packed, bad = read(path, name, ["O", "Ti"])
    except InputError as error:
        assert CORRECTIONS[name].refused in str(error)  # noqa: PT017
        return
    assert bad == []
    columns = packed.columns
    assert sorted(columns["numbers"].tolist()) == [8, 8, 22]
    order = np.argsort(columns["numbers"], kind="stable")
    assert columns["positions"][order] == pytest.approx(atoms.positions[[1, 2, 0]], abs=1e-2)
    assert abs(np.linalg.det(columns["cell"][0])) in (0.0, pytest.approx(atoms.cell.volume, rel=1e-3))
    assert not OTHERS & set(columns)
    for key, values in LABELS.items():
        assert labelled or key not in columns
        if key in columns and (key, name) != ("stress", "castep-geom"):
            assert columns[key] == pytest.approx(np.array(values), abs=1e-6)


def test_spins_of_castep_that_nobody_gave():
    for spins, left in (([0.0, 0.0], False), ([1.0, 0.0], True)):
        atoms = Atoms("CO", magmoms=spins)
        atoms.set_initial_magnetic_moments(spins)
        CORRECTIONS["castep-cell"].frame(atoms, "")
        assert atoms.has("initial_magmoms") is left


# LAMMPS


@pytest.mark.parametrize("reader", ["xsf", "ase:xsf"])
def test_xsf_goes_to_the_better_reader(tmp_path, reader):
    options = {"reader": reader, "progress": False}
    with pytest.raises(InputError, match=r"\.xsf, frame 0: the input does not say the unit of forces"):
        zstruct.build(CASES / "ase_written.xsf", tmp_path / "s.zarr", **options)
    options["units"] = {"forces": "Ha/A"}
    report = zstruct.build(CASES / "ase_written.xsf", tmp_path / "s.zarr", **options)
    assert zstruct.open(report.path)["forces"].values[0, 0] == pytest.approx(1.0)


DATA = """LAMMPS data file via write_data, version 1, timestep = 0{units}

2 atoms
2 atom types
0 5 xlo xhi
0 5 ylo yhi
0 5 zlo zhi
{masses}
Atoms # atomic

1 1 0 0 0
2 2 0 0 1

Velocities

1 1 0 0
2 0 0 0
"""
MASSES = "\nMasses\n\n1 47.867\n2 15.999\n"


def test_lammps_data(written):
    path = written(DATA.format(units="", masses=""))
    assert read(path, "lammps-data")[1][0].startswith("atom types are 1, 2")
    assert read(path, "lammps-data", ["Ti", "O"])[0].columns["numbers"].tolist() == [22, 8]
    beads = MASSES.replace("47.867", "72.0")
    assert read(written(DATA.format(units="", masses=beads)), "lammps-data")[1][0].startswith(
        "atom types are 1"
    )
    path = written(DATA.format(units=", units = real", masses=MASSES))
    packed, bad = read(path, "lammps-data")
    assert bad == []
    assert packed.columns["numbers"].tolist() == [22, 8]
    velocity = packed.columns["momenta"][0, 0] / 47.867
    assert velocity == pytest.approx(1.0 / units.fs)  # angstrom/fs; ASE would take it for angstrom/ps


# Names of atoms


GRO = """title
    {n}
    1MOL  {a:>5}    1   0.100   0.000   0.000
    1MOL  {b:>5}    2   0.200   0.000   0.000
   1.0 1.0 1.0
"""


def test_names_of_atoms_are_no_elements(written):
    packed, bad = read(written(GRO.format(n=2, a="CL", b="C1"), "a.gro"), "gromacs")
    assert bad == [
        "the atom type is CL, and the input does not say which elements; say it with elements="
        "{1: 'Ti', 2: 'O'}, or elements=['Ti', 'O'] for the types 1, 2, ..."
    ]
    packed, bad = read(written(GRO.format(n=2, a="CL", b="C1"), "a.gro"), "gromacs", {"CL": "Cl"})
    assert packed.columns["numbers"].tolist() == [17, 6]
    assert read(written(GRO.format(n=2, a="O", b="H1"), "a.gro"), "gromacs")[0].columns[
        "numbers"
    ].tolist() == [8, 1]


CONFIG = """text
{level} 1
5 0 0
0 5 0
0 0 5
{a} 1
0 0 0
1 2 3
{force}
"""


def test_dl_poly(written):
    path = written(CONFIG.format(level=2, a="O1", force="1000 0 0"))
    packed, bad = read(path, "dlp4")
    assert bad == []
    dalton_angstrom_per_ps2 = units._amu * 1e-10 / 1e-24 * units.J / units.m  # in eV/angstrom
    assert packed.columns["forces"][0, 0] == pytest.approx(1000 * dalton_angstrom_per_ps2, rel=1e-6)
    mass = ase.data.atomic_masses[8]
    assert packed.columns["momenta"][0] / mass == pytest.approx(
        np.array([1, 2, 3]) / (1000 * units.fs), rel=1e-6
    )
    path = written(CONFIG.format(level=2, a="OW", force="0 0 0"))
    assert read(path, "dlp4")[1][0].startswith("the atom type is OW")
    assert read(path, "dlp4", {"OW": "O"})[0].columns["numbers"].tolist() == [8]


# Quantities that ASE leaves unconverted


QBOX = """<?xml version="1.0" encoding="UTF-8"?>
<fpmd:simulation xmlns:fpmd="http://www.quantum-simulation.org/ns/fpmd/fpmd-1.0">
<release> 1.0 </release>
<species name="oxygen">
<symbol>O</symbol>
<atomic_number>8</atomic_number>
<mass>16.0</mass>
</species>
[qbox] <cmd>run 0 10</cmd>
<iteration count="1">
<etotal> -17.0 </etotal>
<atomset>
<unit_cell a="10 0 0" b="0 10 0" c="0 0 10" />
<atom name="O1" species="oxygen">
<position> 1.0 0 0 </position>
<velocity> 0.5 0 0 </velocity>
<force> 0.25 0 0 </force>
</atom>
</atomset>
<stress_tensor unit="GPa">
<sigma_xx> 1 </sigma_xx> <sigma_yy> 2 </sigma_yy> <sigma_zz> 3 </sigma_zz>
<sigma_xy> 4 </sigma_xy> <sigma_yz> 5 </sigma_yz> <sigma_xz> 6 </sigma_xz>
</stress_tensor>
</iteration>
</fpmd:simulation>
"""


def test_qbox(written):
    packed, bad = read(written(QBOX), "qbox")
    assert bad == []
    columns = packed.columns
    assert columns["energy"] == pytest.approx([-17 * units.Hartree])
    assert columns["positions"][0, 0] == pytest.approx(units.Bohr)
    assert columns["cell"][0, 0, 0] == pytest.approx(10 * units.Bohr)
    assert columns["forces"][0, 0] == pytest.approx(0.25 * units.Hartree / units.Bohr)
    assert columns["momenta"][0, 0] == pytest.approx(16 * 0.5 * units.Bohr / units.AUT)
    assert "stress" not in columns
    assert columns["sigma"].tolist() == [[1, 2, 3, 5, 6, 4]]


def test_fixed_units_are_not_contradicted(written):
    options = {"format": "qbox", "exclude": ["momenta"]}
    assert read(written(QBOX), given={"energy": "Ha"}, **options)[1] == []
    assert read(written(QBOX), given={"energy": "eV"}, **options)[1][0].startswith(
        "the input states 'Ha' as the unit of energy, but units= says 'eV'"
    )


def test_units_are_not_applied_to_what_ase_has_converted(tmp_path):
    path = write_output(tmp_path)
    plain = read(path, "castep-geom")[0].columns
    assert plain["forces"][0, 0] == pytest.approx(0.25)
    assert read(path, "castep-geom", given={"forces": "Ha/bohr"})[1][0].startswith(
        "the input states 'eV angstrom-1' as the unit of forces, but units= says 'Ha/bohr'"
    )


def test_what_ase_has_converted_is_not_said_to_be_converted(tmp_path):
    path = write_output(tmp_path)
    options = {"reader": "ase:castep-geom", "progress": False}
    report = zstruct.build(path, tmp_path / "s.zarr", **options)
    assert report.source_units == {}
    assert "source_units" not in zstruct.open(report.path)["forces"].attrs


def write_output(tmp_path):
    atoms = bulk("Cu")
    atoms.calc = SinglePointCalculator(
        atoms, free_energy=-1.0, energy=-1.0, forces=[[0.25, 0, 0]], stress=np.zeros(6)
    )
    path = tmp_path / "out"
    ase.io.write(path, atoms, format="castep-geom")
    return path


def test_velocities_in_who_knows_what(written):
    text = "1 1 5 0 1 0\n1 1 1 5 5 5\n0 0 0 0 63.546 1 2 3\n"
    packed, bad = read(written(text, "xyz.in"), "gpumd")
    assert bad == []
    assert packed.columns["numbers"].tolist() == [29]
    assert "momenta" not in packed.columns
    (raw,) = ASESource(written(text.replace("63.546", "72.0"), "xyz.in"), "gpumd").read(None)
    assert "the masses are those of no elements; read it with ase.io.read" in raw.bad[0].reason
    path = written("")
    atoms = bulk("Cu")
    atoms.set_momenta([[1, 2, 3]])
    ase.io.write(path, atoms, format="cfg")
    packed, bad = read(path, "cfg")
    assert bad == []
    assert "momenta" not in packed.columns


# Cells and energies that are none


def test_vectors_of_axes_that_do_not_repeat(written):
    path = written("")
    atoms = Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.1]], cell=[4, 5, 0], pbc=[True, True, False])
    ase.io.write(path, atoms, format="crystal")
    packed, bad = read(path, "crystal")
    assert bad == []
    assert packed.columns["cell"][0].tolist() == np.diag([4.0, 5.0, 0.0]).tolist()
    assert packed.columns["pbc"][0].tolist() == [True, True, False]


PDB = """CRYST1{a:9.3f}{a:9.3f}{a:9.3f}  90.00  90.00  90.00 P 1           1
ATOM      1  O   HOH A   1       0.000   0.000   0.000  1.00  0.00           O
END
"""


@pytest.mark.parametrize(("a", "periodic"), [(1.0, False), (7.0, True)])
def test_the_cell_that_stands_for_none(written, a, periodic):
    packed, bad = read(written(PDB.format(a=a)), "proteindatabank")
    assert bad == []
    assert packed.columns["cell"][0, 0, 0] == (a if periodic else 0.0)
    assert packed.columns["pbc"][0].tolist() == [periodic] * 3


RES = """TITL name {pressure} 100.0 -5.0 0 0 1 (P1) n - 1
CELL 1.0 4 4 4 90 90 90
LATT -1
SFAC O
O 1 0.0 0.0 0.0 1.0
END
"""


@pytest.mark.parametrize(("pressure", "name"), [("0.0", "energy"), ("-0.00", "energy"), ("50.0", "enthalpy")])
def test_an_enthalpy_is_no_energy(written, pressure, name):
    packed, bad = read(written(RES.format(pressure=pressure), "a.res"), "res")
    assert bad == []
    assert packed.columns[name].tolist() == [-5.0]
    assert {"energy", "enthalpy"} & set(packed.columns) == {name}


def test_centres_of_wannier_functions_are_no_atoms(written):
    text = """ Lattice Vectors (Ang)
    a_1 5 0 0
    a_2 0 5 0
    a_3 0 0 5

|   Site       Fractional Coordinate          Cartesian Coordinate (Ang)     |
+----------------------------------------------------------------------------+
| O    1   0.00000   0.00000   0.00000   |    0.00000   0.00000   0.00000    |
*----------------------------------------------------------------------------*
 Final State
  WF centre and spread    1  (  1.000000,  0.000000,  0.000000 )     1.0
  Sum of centres
"""
    packed, bad = read(written(text), "wout")
    assert bad == []
    assert packed.columns["numbers"].tolist() == [8]


# What is not read at all


CUBE = "a\nb\n1 0 0 0\n{n} 1.0 0 0\n{n} 0 1.0 0\n{n} 0 0 1.0\n8 8.0 0 0 0\n" + "1.0 " * 8


@pytest.mark.parametrize(
    ("format", "text", "reason"),
    [
        (
            "cube",
            CUBE.format(n=" -2"),
            r"voxels is negative \(-2\), so lengths are in angstrom",
        ),
        (
            "turbomole",
            "$coord angs\n0 0 0 o\n$end\n",
            "states that its coordinates are 'angs'",
        ),
        ("turbomole", "$coord frac\n0 0 0 o\n$end\n", "states that its coordinates are 'frac'"),
        (
            "sys",
            "set cell 5 0 0 0 5 0 0 0 5 angstrom\nspecies O o.xml\natom O1 O8 0 0 0 angstrom\n",
            "the file states that positions are in 'angstrom', which ASE overlooks",
        ),
        ("nwchem-in", "geometry noautosym units au\n O 0 0 0\nend\n", "lengths are in 'au', which ASE overl"),
        ("nwchem-in", "GEOMETRY UNITS BOHR\n O 0 0 0\nend\n", "lengths are in 'BOHR'"),
        (
            "gaussian-in",
            "#p PBE/6-31G units=au\n\ntext\n\n0 1\nO 0 0 0\n\n",
            "lengths are in 'au', which ASE",
        ),
        ("gaussian-in", "# PBE Units(AU,Deg)\n\ntext\n\n0 1\nO 0 0 0\n\n", "lengths are in 'AU'"),
        ("jsv", "cartesian_cell\n[space_group]  1 0 1\n", "a space group is one or two numbers"),
        ("lammps-dump-binary", "x", "write the dump as text"),
        ("netcdftrajectory", "x", "AMBER's NetCDF names no elements"),
        ("cp2k-dcd", "x", "DCD files name no elements"),
        ("gromos", "x", "GROMOS files name no elements"),
        ("xsf", "ATOMS\nH 0 0 0\n", "read it with reader='xsf'"),
        ("runnerdata", "begin\nend\n", "read it with reader='runner'"),
    ],
)
def test_files_that_are_refused(written, format, text, reason):
    with pytest.raises(InputError, match=reason):
        read(written(text), format)


def test_their_usual_kind_is_read(written):
    packed, bad = read(written(CUBE.format(n="  2")), "cube")
    assert (packed.columns["numbers"].tolist(), bad) == ([8], [])
    assert packed.columns["cell"][0, 0, 0] == pytest.approx(2 * units.Bohr)
    packed, bad = read(written("$coord\n1 0 0 o\n$end\n"), "turbomole")
    assert packed.columns["positions"][0, 0] == pytest.approx(units.Bohr)
    buffer = io.StringIO()
    ase.io.write(buffer, Atoms("O", cell=[5, 5, 5], positions=[[1, 0, 0]]), format="sys")
    packed, bad = read(written(buffer.getvalue()), "sys")
    assert bad == []
    assert packed.columns["positions"][0, 0] == pytest.approx(1.0, abs=1e-5)
