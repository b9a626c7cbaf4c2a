"""XSF: hand-written files, real files against their text, and mutilated ones."""

import bz2
import contextlib
import gzip
import lzma
import pickle
import random
import re
from pathlib import Path

import ase.io
import numpy as np
import pytest

import zstruct
from zstruct.errors import InputError
from zstruct.jit.kernel import compiled_always
from zstruct.sources.normalize.normalize import ReadOptions, normalize
from zstruct.sources.source import Source
from zstruct.sources.xsf import source as xsf
from zstruct.sources.xsf.source import XSFSource
from zstruct.sources.xyz.source import XYZSource

CRYSTAL = """\
# total energy = -4981.94 eV

CRYSTAL
PRIMVEC
  3.0 0.0 0.0
  0.5 4.0 0.0
  0.0 0.0 5.0
PRIMCOORD
2 1
Ti 0.0 0.0 0.1  0.5 -0.25 1e-3
O  1.5 2.0 2.5 -0.5  0.25 -1e-3
"""
CASES = Path(__file__).parents[2] / "data" / "cases"
EV = {"forces": "eV/angstrom"}
MOLECULE = "#total energy: -1.5\nATOMS\n8 0 0 0\n1 0 0.5 0.75\nH 0 -0.5 0.75\n"


def frame(k, energy=None, cell=True, inside=None, n=1):
    text = "" if energy is None else f"# total energy = {energy} eV\n"
    text += f"PRIMVEC {k}\n{k + 2} 0 0\n0 4 0\n0 0 5\n" if cell else ""
    text += "" if inside is None else f"# total energy = {inside} eV\n"
    return text + f"PRIMCOORD {k}\n{n} 1\n" + f"He {k} 0 0\n" * n


def write(tmp_path, text, name="a.xsf"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path):
    source = XSFSource(path)
    return [raw for piece in source.scan() for raw in source.read(piece)]


def packed(path, **options):
    (raw,) = read(path)
    block, bad = normalize(raw, ReadOptions(**options), "a.xsf")
    assert bad == []
    return block


def faults(path):
    return {b.frame: b.reason for raw in read(path) for b in raw.bad}


def energies(path):
    (raw,) = read(path)
    if "energy" not in raw.structure:
        return [None] * len(raw.frames)
    (column,) = raw.structure["energy"]
    here = np.ones(len(column.values), bool) if column.present is None else column.present
    return [float(v) if h else None for v, h in zip(column.values, here, strict=True)]


def test_a_crystal(tmp_path):
    block = packed(write(tmp_path, CRYSTAL))
    assert block.columns["energy"].tolist() == [-4981.94]
    assert block.columns["numbers"].tolist() == [22, 8]
    assert block.columns["positions"].tolist() == [[0, 0, 0.1], [1.5, 2, 2.5]]
    assert block.columns["forces"].tolist() == [[0.5, -0.25, 1e-3], [-0.5, 0.25, -1e-3]]
    assert block.columns["cell"].tolist() == [[[3, 0, 0], [0.5, 4, 0], [0, 0, 5]]]
    assert block.columns["pbc"].tolist() == [[True, True, True]]


def test_a_molecule_with_atomic_numbers(tmp_path):
    block = packed(write(tmp_path, MOLECULE))
    assert block.columns["numbers"].tolist() == [8, 1, 1]
    assert block.columns["energy"].tolist() == [-1.5]
    assert "forces" not in block.columns
    assert not block.columns["cell"].any()
    assert not block.columns["pbc"].any()


@pytest.mark.parametrize(
    ("keyword", "pbc"),
    [("CRYSTAL", "TTT"), ("SLAB", "TTF"), ("POLYMER", "TFF"), ("MOLECULE", "FFF"), ("crystal", "TTT")],
)
def test_periodicity(tmp_path, keyword, pbc):
    block = packed(write(tmp_path, CRYSTAL.replace("CRYSTAL", keyword)))
    assert block.columns["pbc"].tolist() == [[c == "T" for c in pbc]]


@pytest.mark.parametrize(
    "comment",
    [
        "# total energy = -4981.94 eV",
        "#total energy=-4981.94",
        "#  TOTAL   ENERGY :  -4981.94   EV",
        "## Total energy = -4.98194E+03 eV  (PBE)",
        "# total_energy (eV) = -4981.94",
        "# total energy = -4981.94eV",
    ],
)
def test_energy_comments(tmp_path, comment):
    assert energies(write(tmp_path, comment + CRYSTAL[28:])) == [-4981.94]


def test_comments_that_are_none_of_ours(tmp_path):
    text = CRYSTAL[28:].replace(
        "PRIMCOORD", "# total energy is lowest here\n# band energy = 3 eV\n\nPRIMCOORD"
    )
    path = write(tmp_path, text.replace("O  1.5", "# an atom \xe5\n\nO  1.5").encode("latin-1"))
    assert energies(path) == [None]
    assert packed(path, units=EV).columns["numbers"].tolist() == [22, 8]


@pytest.mark.parametrize("unit", ["Ha", "Hartree", "Ry", "kcal/mol", "eV/atom", "eV per atom", "meV"])
def test_other_units_are_refused(tmp_path, unit):
    found = faults(write(tmp_path, CRYSTAL.replace("94 eV", f"94 {unit}")))
    assert re.match(rf"line 1: the energy is in '{unit}'", found[0])


def test_energy_behind_a_lone_structure(tmp_path):
    assert energies(write(tmp_path, CRYSTAL[28:] + "# total energy = -7 eV\n")) == [-7.0]
    assert energies(write(tmp_path, CRYSTAL + "# total energy = -4981.94 eV\n")) == [-4981.94]
    assert "two different energies" in faults(write(tmp_path, CRYSTAL + "# total energy = -7 eV\n"))[0]


def test_sections_that_are_not_ours(tmp_path):
    convvec = "CONVVEC\n9 0 0\n0 9 0\n0 0 9\nCONVCOORD\n1 1\nAu 0 0 0\n"
    values = "BEGIN_DATAGRID_3D_y\n2 2 2\n0 0 0\nEND_DATAGRID_3D\n"
    grid = f"BEGIN_BLOCK_DATAGRID_3D\nx\n{values}END_BLOCK_DATAGRID_3D\n"
    info = "BEGIN_INFO\n  anything goes\nEND_INFO\n"
    text = info + CRYSTAL.replace("PRIMCOORD", grid + convvec + "PRIMCOORD") + grid
    assert packed(write(tmp_path, text)).columns["numbers"].tolist() == [22, 8]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_and_byte_order_mark(tmp_path, newline):
    for text in (CRYSTAL.replace("\n", newline), "\ufeff" + CRYSTAL, CRYSTAL.rstrip("\n")):
        assert packed(write(tmp_path, text)).columns["energy"].tolist() == [-4981.94]


@pytest.mark.parametrize(("suffix", "module"), [(".gz", gzip), (".bz2", bz2), (".xz", lzma)])
def test_compressed(tmp_path, suffix, module):
    data = module.compress(CRYSTAL.encode())
    assert packed(write(tmp_path, data, "a.xsf" + suffix)).columns["energy"].tolist() == [-4981.94]
    for broken in (data[:-9], data[:20] + b"\xff\x00\xff" + data[23:]):
        with pytest.raises(InputError):
            read(write(tmp_path, broken, "b.xsf" + suffix))


# The specification, and what other programs write


def test_exponents_of_fortran(tmp_path):
    block = packed(CASES / "energy_D.xsf")
    assert block.columns["energy"].tolist() == [-150.0]
    text = CRYSTAL.replace("1e-3", "1d-3").replace("5.0\n", "5.0D0\n").replace("-0.25", "-.25d+0")
    found, expected = packed(write(tmp_path, text)), packed(write(tmp_path, CRYSTAL, "b.xsf"))
    for name in ("positions", "forces", "cell", "energy"):
        assert found.columns[name].tolist() == expected.columns[name].tolist()


def test_dim_group(tmp_path):
    block = packed(CASES / "dim_group.xsf")
    assert block.columns["cell"].tolist() == [[[5, 0, 0], [0, 6, 0], [0, 0, 7]]]
    assert block.columns["pbc"].tolist() == [[True] * 3]
    assert block.columns["numbers"].tolist() == [1, 8]
    for group, axes in (("\n2 1", "TTF"), (" 1 1", "TFF"), ("\n0 1", "FFF")):
        block = packed(write(tmp_path, CRYSTAL.replace("CRYSTAL", f"dim-group{group}")))
        assert block.columns["pbc"].tolist() == [[c == "T" for c in axes]]


def test_comments_at_the_end_of_lines(tmp_path):
    block = packed(CASES / "trailing_comment.xsf")
    assert block.columns["positions"].tolist() == [[0, 0, 0], [0, 0, 1]]
    lines = CRYSTAL.splitlines()[2:]
    text = "\n".join(f"{line} # {k} of {len(lines)}" for k, line in enumerate(lines))
    text = text.replace("# 0 of", "# total energy = -4981.94 eV #")
    found, expected = packed(write(tmp_path, text)), packed(write(tmp_path, CRYSTAL, "b.xsf"))
    for name in ("numbers", "positions", "forces", "cell", "energy"):
        assert found.columns[name].tolist() == expected.columns[name].tolist()


def test_the_unit_of_forces_is_asked_for():
    path = CASES / "ase_written.xsf"
    (raw,) = read(path)
    assert raw.bad == []
    block, bad = normalize(raw, ReadOptions(), "a.xsf")
    assert len(block) == 0
    assert bad[0].frame == 0
    assert "unit of forces" in bad[0].reason
    assert "units={'forces': ...}" in bad[0].reason
    # ASE wrote it from forces in eV/angstrom, and reads it as the specification has it.
    forces = ase.io.read(path).get_forces()
    assert np.allclose(forces[:, 0], [1.0, -0.5, -0.5], atol=1e-12)
    block = packed(path, units={"forces": "Ha/angstrom"})
    assert np.allclose(block.columns["forces"], forces, rtol=1e-8, atol=0)
    assert packed(path, units=EV).columns["forces"][0, 0] == 0.03674932247496
    without, bad = normalize(raw, ReadOptions(exclude=frozenset({"forces"})), "a.xsf")
    assert (len(without), bad) == (1, [])


def test_an_energy_anywhere_makes_a_file_aenets(tmp_path, monkeypatch):
    monkeypatch.setattr(xsf, "_BLOCK_ATOMS", 1)
    forced = [frame(k).replace(f"He {k} 0 0", f"He {k} 0 0 1 2 3") for k in (1, 2, 3)]
    path = write(tmp_path, "ANIMSTEPS 3\nCRYSTAL\n" + "".join(forced))
    units = [column.unit for raw in read(path) for column in raw.atom["forces"]]
    assert units == [""] * 3
    text = path.read_text().replace("PRIMCOORD 3", "# total energy = -3 eV\nPRIMCOORD 3")
    units = [column.unit for raw in read(write(tmp_path, text)) for column in raw.atom["forces"]]
    assert units == [None] * 3


@pytest.mark.parametrize("source", [XSFSource, XYZSource])
def test_a_broken_archive_is_named(source):
    path = CASES / "broken.gz"
    with pytest.raises(InputError, match=r"broken\.gz: decompression failed"):
        list(source(path).read(source(path).scan()[0]))


def test_compression_is_known_by_content(tmp_path):
    path = write(tmp_path, gzip.compress(CRYSTAL.encode()), "a.xsf")
    assert packed(path).columns["energy"].tolist() == [-4981.94]
    path = write(tmp_path, CRYSTAL, "b.xsf.gz")
    assert packed(path).columns["energy"].tolist() == [-4981.94]


# Animations


def test_energies_lead_their_frames(tmp_path):
    text = "ANIMSTEPS 3\nCRYSTAL\n" + frame(1, -1) + frame(2, -2) + frame(3, -3)
    path = write(tmp_path, text)
    assert energies(path) == [-1, -2, -3]
    block = packed(path)
    assert block.columns["cell"][:, 0, 0].tolist() == [3, 4, 5]
    assert block.columns["positions"][:, 0].tolist() == [1, 2, 3]
    assert block.columns["frame"].tolist() == [0, 1, 2]


def test_energies_inside_their_frames(tmp_path):
    text = "ANIMSTEPS 3\nCRYSTAL\n" + frame(1) + frame(2, inside=-2) + frame(3)
    assert energies(write(tmp_path, text)) == [None, -2, None]


def test_first_energy_above_everything(tmp_path):
    text = "# total energy = -1 eV\nANIMSTEPS 2\nCRYSTAL\n" + frame(1) + frame(2, -2)
    assert energies(write(tmp_path, text)) == [-1, -2]


def test_gap_among_leading_energies(tmp_path):
    text = "ANIMSTEPS 3\nCRYSTAL\n" + frame(1, -1) + frame(2) + frame(3, -3)
    assert energies(write(tmp_path, text)) == [-1, None, -3]


@pytest.mark.parametrize(
    "text",
    [
        "ANIMSTEPS 2\nCRYSTAL\n" + frame(1) + frame(2, -2),
        "ANIMSTEPS 2\nCRYSTAL\n" + frame(1) + frame(2, -2) + "# total energy = -3 eV\n",
        "ANIMSTEPS 2\nCRYSTAL\n" + frame(1) + frame(2) + "# total energy = -3 eV\n",
        "ANIMSTEPS 2\nCRYSTAL\n" + frame(1, -1) + frame(2, -2) + "# total energy = -3 eV\n",
        "# total energy = -1 eV\nANIMSTEPS 2\nCRYSTAL\n" + frame(1) + frame(2),
    ],
)
def test_energies_that_could_be_of_either_neighbour_are_refused(tmp_path, text):
    with pytest.raises(InputError, match="can't be told to which frame this energy belongs"):
        read(write(tmp_path, text))


def test_a_fixed_cell_serves_all_frames(tmp_path):
    text = "ANIMSTEPS 2\nSLAB\nPRIMVEC\n3 0 0\n0 4 0\n0 0 5\n" + frame(1, cell=False) + frame(2, cell=False)
    block = packed(write(tmp_path, text))
    assert block.columns["cell"][:, 0, 0].tolist() == [3, 3]
    assert block.columns["pbc"].tolist() == [[True, True, False]] * 2


def test_a_moving_molecule(tmp_path):
    text = "ANIMSTEPS 2\nATOMS 1\nH 0 0 0\nH 0 0 1\nATOMS 2\nH 0 0 0 0 0 1\nH 0 0 2 0 0 -1\n"
    block = packed(write(tmp_path, text), units=EV)
    assert block.columns["positions"][:, 2].tolist() == [0, 1, 0, 2]
    assert block.present["forces"].tolist() == [False, True]
    assert block.columns["forces"][2:].tolist() == [[0, 0, 1], [0, 0, -1]]


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (frame(2).replace("He", "Hx"), "line 1[0-9]: atom 1 is 'Hx', which is no chemical element"),
        (frame(2, n=2).replace("\n2 1\n", "\n3 1\n"), "PRIMCOORD announces 3 atoms, but there are 2"),
        (frame(2, n=3).replace("\n3 1\n", "\n2 1\n"), "found 'He 2 0 0' behind the 2 atoms"),
        (frame(2).replace("0 4 0", "0 4"), "PRIMVEC needs three lines of three numbers"),
        (frame(2, cell=False), "frame 2 has no PRIMVEC of its own"),
        (frame(2, -5, inside=-6), "two different energies"),
        ("", "PRIMVEC 3 stands where that of frame 2 should"),
    ],
)
def test_one_bad_frame_leaves_the_others(tmp_path, second, reason):
    text = "ANIMSTEPS 3\nCRYSTAL\n" + frame(1, -1) + second + frame(3, -3)
    (raw,) = read(write(tmp_path, text))
    assert raw.frames.tolist() == [0, 2]
    assert raw.structure["energy"][0].values.tolist() == [-1, -3]
    assert [b.frame for b in raw.bad] == [1]
    assert re.search(reason, raw.bad[0].reason)


def test_an_energy_inside_a_bad_frame_stays_there(tmp_path):
    bad = frame(2, inside=-2).replace("0 4 0", "0 4")
    text = "ANIMSTEPS 3\nCRYSTAL\n" + frame(1, -1) + bad + frame(3)
    assert energies(write(tmp_path, text)) == [-1, None]


def test_missing_frames_are_announced(tmp_path):
    found = faults(write(tmp_path, "ANIMSTEPS 5\nCRYSTAL\n" + frame(1) + frame(2)))
    assert list(found) == [2]
    assert "announces 5 frames, but the file ends behind frame 2" in found[2]


def test_more_frames_than_announced(tmp_path):
    found = faults(write(tmp_path, "ANIMSTEPS 1\nCRYSTAL\n" + frame(1) + frame(2)))
    assert "another structure begins, but ANIMSTEPS announces 1" in found[1]


def test_long_animations_come_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(xsf, "_BLOCK_ATOMS", 10)
    text = "ANIMSTEPS 25\nCRYSTAL\n" + "".join(frame(k, -k, n=2) for k in range(1, 26))
    blocks = read(write(tmp_path, text))
    assert [len(b.frames) for b in blocks] == [5] * 5
    assert np.concatenate([b.structure["energy"][0].values for b in blocks]).tolist() == [
        -k for k in range(1, 26)
    ]
    monkeypatch.setattr(xsf, "_BLOCK_ATOMS", 1)
    assert energies(write(tmp_path, CRYSTAL[28:] + "# total energy = -7 eV\n")) == [-7.0]


# Faults


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("2 1\n", "3 1\n", "line 8: PRIMCOORD announces 3 atoms, but there are 2|line 9: PRIMCOORD"),
        ("2 1\n", "1 1\n", "found 'O 1.5 2.0 2.5 -0.5 0.25 -1e-3' behind the 1 atoms"),
        ("2 1\n", "-2 1\n", "PRIMCOORD announces -2 atoms"),
        ("2 1\n", "0 1\n", "PRIMCOORD announces 0 atoms"),
        ("2 1\n", "two 1\n", "PRIMCOORD needs the number of atoms, but there is 'two 1'"),
        ("2 1\n", "1e1 1\n", "PRIMCOORD needs the number of atoms"),
        ("2 1\n", "9" * 18 + " 1\n", "but there are 2"),
        ("2 1\n", "9" * 30 + " 1\n", "PRIMCOORD needs the number of atoms"),
        ("Ti 0.0", "Tx 0.0", "atom 1 is 'Tx', which is no chemical element"),
        ("Ti 0.0", "119 0.0", "atom 1 is '119'"),
        ("Ti 0.0", "-3 0.0", "atom 1 is '-3'"),
        ("O  1.5", "O  1.5x", "'1.5x' is not a number"),
        ("O  1.5", "O  1_5", "'1_5' is not a number"),
        ("O  1.5", "O  \u0661", "is not a number"),
        ("O  1.5", "O  1.5D", "'1.5D' is not a number"),
        ("CRYSTAL\n", "DIM-GROUP\n4 1\n", "DIM-GROUP needs the number of directions"),
        ("CRYSTAL\n", "DIM-GROUP\n", "DIM-GROUP needs the number of directions"),
        ("  0.5 -0.25 1e-3", "", r"atom 2 has 6 numbers \(atom 1 has 3\)"),
        ("0.1  0.5", "0.5", r"atom 2 has 6 numbers \(atom 1 has 5\)|atom 1 has 5 numbers"),
        ("PRIMVEC\n", "", "where a keyword"),
        ("  0.5 4.0 0.0\n", "", "PRIMVEC needs three lines of three numbers"),
        ("0.5 4.0 0.0", "0.5 4.0 z", "'z' is not a number"),
        ("CRYSTAL\n", "", "none of CRYSTAL, SLAB, POLYMER and MOLECULE"),
        ("# total energy = -4981.94 eV", "# total energy = lots", "the energy 'lots' is not a number"),
        ("# total energy = -4981.94 eV", "# total energy = nan eV", "is not a number"),
        ("# total energy = -4981.94 eV", "# total energy = 1.2.3 eV", "is not a number"),
        ("CRYSTAL\n", "CRYSTAL\n# total energy = -1 eV\n", "two different energies"),
        ("CRYSTAL\n", "CRYSTAL\nANIMSTEPS\n", "ANIMSTEPS needs the number of frames"),
        ("CRYSTAL\n", "HELLO\n", "found 'HELLO' where a keyword"),
    ],
)
@pytest.mark.parametrize("way", [contextlib.nullcontext, compiled_always])
def test_faults_name_line_and_reason(tmp_path, old, new, reason, way):
    assert old in CRYSTAL
    with way():
        found = faults(write(tmp_path, CRYSTAL.replace(old, new, 1)))
    assert list(found) == [0]
    assert re.match(r"line \d+: ", found[0])
    assert re.search(reason, found[0])


def test_crystal_without_cell(tmp_path):
    assert (
        "PRIMVEC, the lattice vectors, is missing"
        in faults(write(tmp_path, "CRYSTAL\nPRIMCOORD\n1 1\nH 0 0 0\n"))[0]
    )


def test_second_structure_without_animsteps(tmp_path):
    path = write(tmp_path, CRYSTAL + CRYSTAL)
    (raw,) = read(path)
    assert raw.frames.tolist() == [0]
    assert list(faults(path)) == [1]


def test_every_truncation_is_a_fault_or_an_error(tmp_path):
    for end in range(len(CRYSTAL.rstrip()) - 5):
        try:
            blocks = read(write(tmp_path, CRYSTAL[:end]))
        except InputError:
            continue
        assert all(len(b.frames) == 0 and b.bad for b in blocks), CRYSTAL[:end]


@pytest.mark.parametrize("data", [b"", b"\0" * 50, "CRYSTAL".encode("utf-16")])
def test_not_a_text_file(tmp_path, data):
    with pytest.raises(InputError, match=r"a\.xsf: (the file is empty|this is not a text file)"):
        read(write(tmp_path, data))


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="can't be opened"):
        XSFSource(tmp_path / "none.xsf").scan()


def test_nothing_but_comments(tmp_path):
    assert "the file ends before any atoms" in faults(write(tmp_path, "# hello\n\n"))[0]


def test_source_protocol(tmp_path):
    source = pickle.loads(pickle.dumps(XSFSource(write(tmp_path, CRYSTAL))))
    assert isinstance(source, Source)
    assert source.runs_in == "processes"
    assert set(source.fingerprint()) == {"size", "mtime_ns"}
    (piece,) = source.scan()
    assert piece.nbytes == len(CRYSTAL)


# Real files


def test_real_files_hold_what_their_text_says(shared_data):
    files = sorted((shared_data / "tio2_xsf").glob("*.xsf"))
    assert len(files) == 100
    for path in files:
        lines = path.read_text().splitlines()
        rows = [w for w in (line.split() for line in lines) if len(w) == 7 and w[0] in ("Ti", "O")]
        cell = [[float(x) for x in line.split()] for line in lines[lines.index("PRIMVEC") + 1 :][:3]]
        block = packed(path)
        assert block.n_atoms.tolist() == [len(rows)]
        assert block.columns["energy"].tolist() == [float(re.search(r"energy = (\S+) eV", lines[0])[1])]
        assert block.columns["numbers"].tolist() == [{"Ti": 22, "O": 8}[w[0]] for w in rows]
        assert block.columns["positions"].tolist() == [[float(x) for x in w[1:4]] for w in rows]
        assert block.columns["forces"].tolist() == [[float(x) for x in w[4:]] for w in rows]
        assert block.columns["cell"].tolist() == [cell]
        assert block.columns["pbc"].all()
    atoms = ase.io.read(path)
    assert np.array_equal(atoms.positions, block.columns["positions"])
    assert np.array_equal(atoms.cell.array, block.columns["cell"][0])


def test_mutilated_files_raise_nothing_but_input_errors(tmp_path):
    rng = random.Random(7)
    animation = "ANIMSTEPS 3\nCRYSTAL\n" + frame(1, -1) + frame(2, -2, n=2) + frame(3, -3)
    path = tmp_path / "a.xsf"
    for k in range(900):
        data = bytearray((CRYSTAL, MOLECULE, animation)[k % 3].encode())
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            change = rng.randrange(4)
            if change == 0:
                data[at] = rng.randrange(256)
            elif change == 1:
                del data[at : at + rng.randint(1, 20)]
            elif change == 2:
                data[at:at] = data[rng.randrange(len(data)) :][: rng.randint(1, 40)]
            else:
                data[at] = rng.choice(b"0123456789 \n\t#-+.eEnaif_")
        path.write_bytes(bytes(data) or b"#")
        try:
            for raw in read(path):
                normalize(raw, ReadOptions(), "a.xsf")
                assert all(b.reason for b in raw.bad)
                assert np.array_equal(raw.frames, np.unique(raw.frames))
        except InputError:
            pass


# Whole builds


@pytest.mark.parametrize("reader", [None, "xsf", "ase:xsf"])
def test_every_way_to_name_the_format_asks_for_the_unit(tmp_path, reader):
    path = CASES / "ase_written.xsf"
    with pytest.raises(InputError, match=r"ase_written\.xsf, frame 0: .*unit of forces"):
        zstruct.build(path, tmp_path / "a.zarr", reader=reader, progress=False)
    units = {"forces": "hartree/angstrom"}
    zstruct.build(path, tmp_path / "a.zarr", reader=reader, units=units, progress=False)
    ds = zstruct.open(tmp_path / "a.zarr")
    assert np.allclose(ds.forces.values[:, 0], [1.0, -0.5, -0.5], atol=1e-12)
    assert ds.forces.attrs["source_units"] == "hartree/angstrom"


def test_a_broken_archive_does_not_end_a_build_that_skips(tmp_path):
    inputs = [CASES / "broken.gz", CASES / "dim_group.xsf"]
    report = zstruct.build(inputs, tmp_path / "a.zarr", reader="xsf", on_error="skip", progress=False)
    assert report.n_structures == 1
    ((label, frame, reason),) = report.skipped
    assert label.endswith("broken.gz")
    assert frame is None
    assert "decompression failed" in reason
