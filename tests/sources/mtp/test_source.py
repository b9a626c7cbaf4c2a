"""MLIP's .cfg: what is in it, signs checked by finite differences, and damage."""

import gzip
import re

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

import zstruct
from tests.sources.lines.reading import blocks_of, both_ways, cuts, damaged, frames_of, in_slices, read
from zstruct.errors import InputError
from zstruct.sources.content import MemoryContent, content_of
from zstruct.sources.mtp.source import MTPSource, is_mtp_file
from zstruct.sources.mtp.structure import columns_named
from zstruct.voigt import full_to_voigt

HEAD = " AtomData:  id type       cartes_x      cartes_y      cartes_z           fx          fy          fz\n"
STRESS = " PlusStress:  xx          yy          zz          yz          xz          xy\n"
SMALL = f"""BEGIN_CFG
 Size
    2
 Supercell
         4.0      0.0      0.0
         0.5      4.0      0.0
         0.0      0.0      8.0
{HEAD}             1    0       0.0      0.25      0.0    0.1    -0.2    0.3
             2    1       1.5     -1.5      1.0   -0.1     0.2   -0.3
 Energy
     -13.5
{STRESS}     1.28     -0.64     2.56     0.128     -0.256     0.064
 Feature   EFS_by       VASP
 Feature   mindist      3.856142
END_CFG

"""
PIECES = [
    b"BEGIN_CFG\n",
    b"END_CFG\n",
    b"Size\n",
    b"Supercell\n",
    b"Energy\n",
    b" Feature a\n",
    b"Feature\n",
    b"1 2 3\n",
]


def source_of(text, name="train.cfg"):
    text = text if isinstance(text, bytes) else text.encode()
    return MTPSource(MemoryContent(name, name, text))


def text_of(n, seed=0):
    rng = np.random.default_rng(seed)
    text = ""
    for k in range(n):
        size = k % 4 + 1
        text += f"BEGIN_CFG\n Size\n {size}\n"
        if vectors := k % 5 and min(k % 5, 3):
            rows = rng.normal(size=(vectors, 3)).tolist()
            text += " Supercell\n" + "".join(" {!r} {!r} {!r}\n".format(*row) for row in rows)
        rest = " site_en charge" * (k % 6 == 5)
        text += HEAD if k % 6 < 5 else HEAD.rstrip("\n") + rest + "\n"
        for i, x in enumerate(rng.normal(size=(size, 8)).tolist()):
            words = [str(i + 1), str(int(rng.integers(3))), *map(repr, x[: 8 if rest else 6])]
            text += "  " + "  ".join(words) + "\n"
        text += f" Energy\n  {rng.normal()!r}\n" if k % 3 else ""
        text += f"{STRESS} {' '.join(map(repr, rng.normal(size=6).tolist()))}\n" if k % 2 else ""
        text += f" Feature   EFS_by\tVASP {k % 2}\n Feature step {k}\n" if k % 3 else ""
        text += f" Feature step {k}\n Feature note a\n Feature note b c\n" if k % 7 == 0 else ""
        text += "END_CFG\n" + "\n" * (k % 2)
    return text.encode()


def test_what_is_in_it(tmp_path):
    packed, bad = read(source_of(SMALL), elements={"0": "Al", "1": "O"})
    assert bad == {}
    columns = packed.columns
    assert columns["numbers"].tolist() == [13, 8]
    assert columns["positions"].tolist() == [[0, 0.25, 0], [1.5, -1.5, 1]]
    assert columns["forces"].tolist() == [[0.1, -0.2, 0.3], [-0.1, 0.2, -0.3]]
    assert columns["cell"].tolist() == [[[4, 0, 0], [0.5, 4, 0], [0, 0, 8]]]
    assert columns["pbc"].all()
    assert columns["energy"].tolist() == [-13.5]
    assert columns["stress"] == pytest.approx(-np.array([[1.28, -0.64, 2.56, 0.128, -0.256, 0.064]]) / 128)
    assert packed.categories["EFS_by"] == ["VASP"]
    assert columns["mindist"].tolist() == [3.856142]
    (tmp_path / "a.cfg.gz").write_bytes(gzip.compress(SMALL.encode()))
    assert is_mtp_file(content_of(tmp_path / "a.cfg.gz"))
    with pytest.raises(InputError, match=r"frame 0: atom types are 0, 1, and .*'O'\] for the types 0, 1"):
        zstruct.build(tmp_path / "a.cfg.gz", tmp_path / "s.zarr", progress=False)
    report = zstruct.build(tmp_path / "a.cfg.gz", tmp_path / "s.zarr", elements=["Al", "O"], progress=False)
    assert report.species == {"Al": 1, "O": 1}


def test_the_sign_of_the_stress_by_finite_differences():
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell.array * [0.97, 1.0, 1.02] + 0.05 * np.eye(3, k=1), scale_atoms=True)
    atoms.rattle(0.05, seed=1)

    def energy(strain):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        strained.calc = EMT()
        return strained.get_potential_energy()

    # MLIP adds -dE_i/dr_j (x) r_ij up: minus the derivative of the energy by the strain.
    plus = np.zeros((3, 3))
    for a in range(3):
        for b in range(3):
            strain = np.zeros((3, 3))
            strain[a, b] = strain[b, a] = 1e-5 if a == b else 0.5e-5
            plus[a, b] = -(energy(strain) - energy(-strain)) / 2e-5
    rows = "".join(" {!r} {!r} {!r}\n".format(*v) for v in atoms.cell.array.tolist())
    lines = "".join(
        " {} 0 {!r} {!r} {!r}\n".format(i + 1, *p) for i, p in enumerate(atoms.positions.tolist())
    )
    six = " ".join(map(repr, full_to_voigt(plus).tolist()))
    text = f"BEGIN_CFG\n Size\n 4\n Supercell\n{rows} AtomData: id type cartes_x cartes_y cartes_z\n{lines}"
    packed, bad = read(source_of(f"{text}{STRESS} {six}\nEND_CFG\n"), elements={"0": "Cu"})
    assert bad == {}
    atoms.calc = EMT()
    assert packed.columns["stress"][0] == pytest.approx(atoms.get_stress(), abs=1e-8)


def test_columns_of_atoms():
    words = "id type direct_x direct_y direct_z fx fy fz site_en charge magmom_x magmom_y magmom_z nbh_grades"
    assert columns_named(words.split()) == (
        ("id", 1), ("type", 1), ("direct", 3), ("forces", 3), ("energies", 1), ("charges", 1), ("magmoms", 3),
        ("nbh_grades", 1),
    )  # fmt: skip


def test_unusual_but_right(monkeypatch):
    text = SMALL.replace(" Size\n    2\n", "Size 2\n").replace("Supercell", "SuperCell")
    text = text.replace("Energy\n     -13.5", "Energy -13.5")
    lines = text.split("\n")
    at = lines.index(HEAD.rstrip("\n"))
    lines[at + 1 : at + 3] = lines[at + 2], "", lines[at + 1]  # ids in another order
    found = both_ways(source_of("\n".join(lines) + SMALL), monkeypatch)
    assert repr(found[0]) == repr(found[1])
    ghost = SMALL.replace("fz\n", "fz ghost\n").replace("0.3\n", "0.3 true\n")
    found = both_ways(source_of(ghost), monkeypatch)
    assert found[0]["ghost"][0] == [True, True]
    parts = SMALL.replace("cartes", "direct")
    positions = read(source_of(parts), elements={"0": "Al", "1": "O"})[0].columns["positions"]
    assert positions[1] == pytest.approx([1.5 * 4 - 1.5 * 0.5, -6, 8])


@pytest.mark.parametrize("vectors", [0, 1, 2])
def test_fewer_vectors_are_fewer_periodic_directions(vectors, monkeypatch):
    head, rest = SMALL.split(" Supercell\n")
    rows = rest.split("\n")
    text = head + " Supercell\n" * (vectors > 0) + "\n".join(rows[:vectors] + rows[3:])
    found = both_ways(source_of(text), monkeypatch)
    assert found[0]["pbc"][0] == [[k < vectors for k in range(3)]]
    packed, _ = read(source_of(text), elements={"0": "Al", "1": "O"})
    assert "stress" not in packed.columns
    assert packed.columns["virial"][0, 0].tolist() == [1.28, 0.064, -0.256]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("    2\n", "    3\n", r"line 11: 'Energy' .*|line 11: atom 3 of 3 has 1 columns, it should have 8"),
        ("    2\n", "    0\n", "line 3: Size is '0', it should be the number of atoms"),
        ("    2\n", "    two\n", "line 3: Size is 'two', it should be a whole number"),
        (" Size\n    2\n", "", "line 6: the atoms come before Size says how many there are"),
        (" 4.0      0.0      0.0", " 4.0      0.0", "line 5: a vector of the Supercell has 2 numbers"),
        (
            "cartes_y      cartes_z",
            "cartes_z      cartes_y",
            "line 8: the columns of positions are not",
        ),
        ("cartes_x      cartes_y      cartes_z", "a b c", "line 8: the columns of atoms have no positions"),
        ("fx          fy          fz", "fx fy fy", "line 8: the columns of forces are not x, y, z"),
        ("id type ", "id id ", "line 8: the column 'id' is there twice"),
        ("0.25", "O.25", r"line 9: 'O\.25' is not a number"),
        ("    1       1.5", "    one       1.5", "line 10: the type is 'one', it should be a whole number"),
        ("             2    1", "             3    1", "line 9: the ids of atoms are not 1 to 2, each once"),
        ("-13.5", "-13.5 eV", "line 12: Energy is followed by 2 words, it should be 1"),
        ("xz          xy", "xz", "line 13: PlusStress has other components than xx, yy, zz, yz, xz, xy"),
        ("     0.064", "", "line 14: PlusStress: is followed by 5 words, it should be 6"),
        (
            "PlusStress:",
            "Virial:",
            "line 13: the structure has a Virial, which MLIP",
        ),
        ("PlusStress:", "Stress:", "line 13: the structure has a Stress of the old sign"),
        (" Feature   EFS_by       VASP\n", " Feature\n", "line 15: a Feature without a name"),
        (" Energy\n", " Free\n", "line 11: 'Free' is no keyword of this format"),
        ("END_CFG\n", "END_CFG\nx\n", "line 18: 'x' stands behind the end of a structure"),
        ("END_CFG\n", "", r"the structure ends before its end \(there is no line 'END_CFG'\)"),
        ("Energy\n     -13.5\n", "Energy\n     1\n Energy\n     1\n", "line 13: Energy is there twice"),
    ],
)
def test_a_bad_structure_and_the_good_one_behind_it(old, new, reason, monkeypatch):
    assert old in SMALL
    found = both_ways(source_of(SMALL.replace(old, new, 1) + SMALL), monkeypatch)
    assert re.match(reason, found[0]), found[0]
    assert found[1]["energy"][0] == [-13.5]


def test_what_precedes_all_structures(monkeypatch):
    found = both_ways(source_of("\nhello\n" + SMALL), monkeypatch)
    assert found[None] == "line 2: 'hello' stands before the first structure ('BEGIN_CFG')"
    assert found[0]["energy"][0] == [-13.5]
    assert both_ways(source_of("hello"), monkeypatch) == {
        0: "the file ends before any structure begins (a line 'BEGIN_CFG')"
    }


def test_both_ways_and_slices_agree(monkeypatch):
    text = text_of(60)
    found = both_ways(source_of(text), monkeypatch)
    assert list(found) == list(range(60))
    assert all(isinstance(known, dict) for known in found.values())
    for nbytes in (200, 3000):
        sliced, n = in_slices(source_of(text), nbytes, monkeypatch)
        assert n > 2
        assert repr(dict(sorted(sliced.items()))) == repr(found)


def test_every_cut(monkeypatch, long_run):
    text = text_of(3, seed=1) + SMALL.encode()
    whole = frames_of(blocks_of(source_of(text)))
    for at in cuts(1, len(text), long_run):
        found = both_ways(source_of(text[:at]), monkeypatch)
        frames = sorted(found)
        for frame in frames[:-1]:
            assert found[frame] == whole[frame]
        assert isinstance(found[frames[-1]], str) or found[frames[-1]] == whole[frames[-1]]


@pytest.mark.parametrize(
    "seed", [*range(15), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(15, 60))]
)
def test_accidents(seed, monkeypatch):
    found = both_ways(source_of(damaged(text_of(12, seed=seed), seed, PIECES)), monkeypatch)
    assert found
