"""Dumps of LAMMPS: boxes and positions of all kinds, units of all styles, elements on the user's word."""

import gzip
import io
import re
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import units
from ase.calculators.lammps import convert
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from tests.sources.lines.reading import blocks_of, both_ways, cuts, damaged, frames_of, in_slices, read
from zstruct import cli
from zstruct.errors import InputError
from zstruct.sources import expand
from zstruct.sources.content import MemoryContent
from zstruct.sources.lammps.headers import columns_named
from zstruct.sources.lammps.source import LAMMPSDumpSource
from zstruct.sources.lammps.styles import STYLES

CASES = Path(__file__).parents[2] / "data" / "cases"
TYPES = (CASES / "lammps_types.dump").read_text()
ELEMENT = (CASES / "lammps_element.dump").read_text()
PIECES = [b"ITEM: TIMESTEP\n", b"ITEM: TIME\n1\n", b"ITEM:", b"ITEM: ATOMS id\n", b"id ", b"1 1\n"]


def source_of(text, name="a.dump"):
    text = text if isinstance(text, bytes) else text.encode()
    return LAMMPSDumpSource(MemoryContent(name, name, text))


def frame_of(rng, k, kind="", columns="id type x y z fx fy fz", n=None, time=False):
    """Return a frame as text, its origin, its cell, and the parts of it at which the atoms are."""
    n = n or k % 5 + 1
    kind = kind or ("orthogonal", "triclinic", "general")[k % 3]
    origin = rng.normal(size=3)
    cell = np.diag(rng.uniform(3, 9, 3))
    if kind == "triclinic":
        cell[np.tril_indices(3, -1)] = rng.uniform(-2, 2, 3)
    elif kind == "general":
        cell += rng.uniform(-1, 1, (3, 3))
    parts = rng.uniform(-0.5, 1.5, (n, 3))
    if kind == "general":
        box = "".join("{!r} {!r} {!r} {!r}\n".format(*cell[i].tolist(), float(origin[i])) for i in range(3))
        head = "abc origin pp pp fs"
    else:
        xy, xz, yz = cell[1, 0], cell[2, 0], cell[2, 1]
        low = origin + np.array([min(0, xy, xz, xy + xz), min(0, yz), 0])
        high = origin + np.diag(cell) + np.array([max(0, xy, xz, xy + xz), max(0, yz), 0])
        tilts = [f" {t!r}" for t in (float(xy), float(xz), float(yz))] if kind == "triclinic" else [""] * 3
        box = "".join(f"{float(a)!r} {float(b)!r}{t}\n" for a, b, t in zip(low, high, tilts, strict=True))
        head = "xy xz yz pp pp fs" if kind == "triclinic" else "pp pp fs"
    positions = origin + parts @ cell
    values = {"id": np.arange(1, n + 1), "type": rng.integers(1, 3, n), "element": ["Si"] * n}
    values |= {name: np.array(["OW", "HW"])[rng.integers(0, 2, n)] for name in ("typelabel", "note")}
    for i, axis in enumerate("xyz"):
        values |= {axis: positions[:, i], f"{axis}u": positions[:, i]}
        values |= {f"{axis}s": parts[:, i], f"{axis}su": parts[:, i]}
    words = columns.split()
    table = [[values.get(w, rng.normal(size=n))[i] for w in words] for i in rng.permutation(n)]
    words_of = [[v if isinstance(v, str) else repr(v.item()) for v in row] for row in table]
    rows = "".join(" ".join(row) + "\n" for row in words_of)
    text = f"ITEM: TIME\n{0.5 * k}\n" if time else ""
    text += f"ITEM: TIMESTEP\n{10 * k}\nITEM: NUMBER OF ATOMS\n{n}\nITEM: BOX BOUNDS {head}\n{box}"
    return f"{text}ITEM: ATOMS {columns}\n{rows}", origin, cell, parts


def text_of(n, seed=0):
    rng = np.random.default_rng(seed)
    kinds = ["id type x y z fx fy fz", "id element type xs ys zs q vx vy vz", "type x fx y fy z fz c_pe"]
    kinds += ["id mol typelabel xsu ysu zsu ix iy iz mass", "element xu yu zu", "id type note x y z"]
    text = "".join(frame_of(rng, k, columns=kinds[k // 4 % 6], time=k % 8 > 5)[0] for k in range(n))
    return ("ITEM: UNITS\nmetal\n" + text).encode()


def test_types_are_no_elements(tmp_path):
    path, options = CASES / "lammps_types.dump", {"overwrite": True, "progress": False, "units": "metal"}
    with pytest.raises(InputError, match=r"types\.dump, frame 0: atom types are 1, 2, and the input does"):
        zstruct.build(path, tmp_path / "s.zarr", **options)
    for elements in ({1: "Ti", 2: "O"}, ["Ti", "O"]):
        report = zstruct.build(path, tmp_path / "s.zarr", elements=elements, **options)
        assert report.species == {"O": 1, "Ti": 1}
    store = zstruct.open(report.path)
    assert store["numbers"].values.tolist() == [22, 8]
    assert store["forces"].values.tolist() == [[0.1, 0, 0], [-0.1, 0, 0]]
    assert "energy" not in store
    assert store["cell"].values.tolist() == [(np.eye(3) * 5).tolist()]
    assert store["timestep"].values.tolist() == [0]


def test_on_the_command_line(tmp_path, capsys):
    store = str(tmp_path / "s.zarr")
    arguments = ["build", str(CASES / "lammps_types.dump"), store, "--quiet"]
    assert cli.main([*arguments, "--unit", "metal"]) == 1
    assert "atom types are 1, 2, and the input does not say which elements" in capsys.readouterr().err
    assert cli.main([*arguments, "--unit", "metal", "--element", "1=Ti", "--element", "2=O"]) == 0
    assert "species: O 1, Ti 1" in capsys.readouterr().out


def test_elements_that_nothing_asks_for(tmp_path):
    options = {"units": "metal", "elements": ["Ti"], "progress": False}
    with pytest.raises(InputError, match=r"elements=\.\.\.: no input has atom types"):
        zstruct.build(CASES / "lammps_element.dump", tmp_path / "s.zarr", **options)


def test_units_are_asked_for_unless_they_are_stated(tmp_path):
    _, bad = read(source_of(ELEMENT))
    assert bad[0].startswith("the input does not say the unit of ")
    packed, bad = read(source_of(ELEMENT), "real")
    assert bad == {}
    assert packed.columns["numbers"].tolist() == [14, 8]
    assert packed.columns["forces"][0, 0] == pytest.approx(0.1 * units.kcal / units.mol)
    assert "energy" not in packed.columns
    packed, bad = read(source_of("ITEM: UNITS\nreal\n" + ELEMENT))
    assert bad == {}
    assert packed.columns["forces"][0, 0] == pytest.approx(0.1 * units.kcal / units.mol)
    _, bad = read(source_of("ITEM: UNITS\nreal\n" + ELEMENT), {"forces": "eV/A"})
    assert bad[0].startswith("the input states 'kcal/mol/angstrom' as the unit of forces, but units= says")
    assert read(source_of("ITEM: UNITS\nnano\n" + ELEMENT), "real")[1]
    with pytest.raises(InputError, match="states units of style 'lj', which can't be converted"):
        read(source_of("ITEM: UNITS\nlj\n" + ELEMENT))
    for first, style in (("", "none"), ("ITEM: UNITS\nmetal\n", "metal")):
        with pytest.raises(InputError, match=f"units of style '{style}' first and of style 'real'"):
            read(source_of(first + ELEMENT + "ITEM: UNITS\nreal\n" + ELEMENT))


@pytest.mark.parametrize("style", sorted(STYLES))
def test_styles_of_units_as_ase_converts_them(style):
    text = (
        f"ITEM: UNITS\n{style}\n"
        + frame_of(np.random.default_rng(0), 4, "orthogonal", "id element x y z vx vy vz fx fy fz q mass")[0]
    )
    packed, bad = read(source_of(text))
    raw = frames_of(blocks_of(source_of(text.replace(style, "metal"))))[0]
    assert bad == {}
    kinds = {"positions": "distance", "cell": "distance", "velocities": "velocity", "forces": "force"}
    for name, quantity in {**kinds, "charges": "charge", "masses": "mass"}.items():
        size = convert(1.0, quantity, style, "ASE") * (units.fs if quantity == "velocity" else 1.0)
        assert packed.columns[name] == pytest.approx(size * np.array(raw[name][0]), rel=1e-6), name


@pytest.mark.parametrize("kind", ["orthogonal", "triclinic", "general"])
@pytest.mark.parametrize("stem", ["", "u", "s", "su"])
def test_boxes_and_positions(kind, stem, monkeypatch):
    rng = np.random.default_rng(5)
    columns = "id element " + " ".join(axis + stem for axis in "xyz") + " fx fy fz"
    text, origin, cell, parts = frame_of(rng, 7, kind, columns, n=6)
    found = both_ways(source_of("ITEM: UNITS\nmetal\n" + text), monkeypatch)[0]
    assert np.array(found["cell"][0][0]) == pytest.approx(cell, abs=1e-12)
    assert np.array(found["positions"][0]) == pytest.approx(origin + parts @ cell, abs=1e-12)
    assert found["pbc"][0] == [[True, True, False]]
    assert found["timestep"][0] == [70]
    if kind != "general" or stem in ("", "u"):
        there = ase.io.read(io.StringIO(text), format="lammps-dump-text")
        assert np.array(found["cell"][0][0]) == pytest.approx(there.cell.array)
        own = there.positions + (origin if stem in ("s", "su") else 0)  # ASE leaves the origin out of these
        assert np.array(found["positions"][0]) == pytest.approx(own)
        assert np.array(found["forces"][0]) == pytest.approx(there.get_forces())


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_what_ase_reads(seed, n):
    rng = np.random.default_rng(seed)
    text, *_ = frame_of(rng, int(rng.integers(2)), "", "id type x y z vx vy vz fx fy fz q", n=n)
    packed, bad = read(source_of("ITEM: UNITS\nmetal\n" + text), elements={"1": "H", "2": "He"})
    assert bad == {}
    there = ase.io.read(io.StringIO(text), format="lammps-dump-text")
    assert packed.columns["numbers"].tolist() == there.numbers.tolist()
    assert packed.columns["positions"] == pytest.approx(there.positions)
    assert packed.columns["forces"] == pytest.approx(there.get_forces())
    assert packed.columns["charges"] == pytest.approx(there.get_initial_charges())
    assert packed.columns["pbc"][0].tolist() == there.pbc.tolist()
    assert packed.columns["velocities"] * 1e3 == pytest.approx(there.get_velocities() * units.fs * 1e3)


def test_columns():
    words = "id type element x y z xu yu zu vx vz vy q mass fx fy c_1[1] numbers"
    columns = columns_named(words.split())
    assert columns.steps[3] == ("positions", 3)
    assert ("charges", 1) in columns.steps
    assert ("masses", 1) in columns.steps
    assert ("xu", 1) in columns.steps
    assert ("input_numbers", 1) in columns.steps
    assert columns.apart == (("velocities", ("vx", "vy", "vz")),)


def test_ids_that_have_gaps_stay(monkeypatch):
    text = ELEMENT.replace("\n1 1 Si", "\n7 1 Si")
    found = both_ways(source_of(ELEMENT + text + ELEMENT), monkeypatch)
    assert found[1]["id"][0] == [2, 7]
    assert found[1]["numbers"][0] == [8, 14]
    assert "id" not in found[0]


def test_masses_in_a_dump_are_no_elements():
    text = TYPES
    for old, new in (("type x", "type mass x"), ("1 1 0", "1 1 72.0 0"), ("2 2 0", "2 2 16.0 0")):
        text = text.replace(old, new)
    assert read(source_of(text), "metal")[1][0].startswith("atom types are 1, 2")
    packed, _ = read(source_of(text), "metal", {"1": "Ti", "2": "O"})
    assert packed.columns["numbers"].tolist() == [22, 8]
    assert packed.columns["masses"].tolist() == [72.0, 16.0]
    only = text.replace("id type", "id").replace("1 1 72", "1 72").replace("2 2 16", "2 16")
    assert read(source_of(only), "metal")[1][0].startswith(
        "line 9: the dump has masses, but neither elements nor types"
    )


def test_names_that_are_no_elements_are_types(monkeypatch):
    text = ELEMENT.replace(" Si ", " SIT ")
    found = both_ways(source_of(text), monkeypatch)
    assert found[0]["types"][0] == ["SIT", "O"]
    assert read(source_of(text), "metal", {"SIT": "Si"})[0].columns["numbers"].tolist() == [14, 8]
    labels = ELEMENT.replace("element", "typelabel")
    assert read(source_of(labels), "metal")[0].columns["numbers"].tolist() == [14, 8]


def test_a_box_that_does_not_say_where_it_repeats(monkeypatch):
    text = ELEMENT.replace("BOUNDS pp pp pp", "BOUNDS")
    found = both_ways(source_of(text), monkeypatch)
    assert found[0]["pbc"][0] == [[True] * 3]
    assert "taken as periodic along all three" in found[0]["remarks"][0]


def test_detection(tmp_path):
    names = ["dump.lammpstrj", "dump.100", "b.dump", "c.lammpstrj.gz", "other"]
    for name in names:
        data = ELEMENT.encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    (tmp_path / "d.dump").write_text("something else")
    sources, left = expand(tmp_path)
    assert {Path(s.label).name for s in sources if isinstance(s, LAMMPSDumpSource)} == set(names[:-1])
    assert {Path(name).name for name in left} == {"other", "d.dump"}
    assert isinstance(expand(tmp_path / "other")[0][0], LAMMPSDumpSource)
    assert isinstance(expand(tmp_path / "other", reader="ase:lammps-dump-text")[0][0], LAMMPSDumpSource)
    assert read(sources[0], "metal")[1] == {}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("TIMESTEP\n0", "TIMESTEP\nzero", "line 2: timestep is 'zero', it should be a whole number"),
        ("ATOMS\n2\n", "ATOMS\n3\n", "line 9: ITEM: ATOMS has 2 of 3 lines"),
        ("ATOMS\n2\n", "ATOMS\n1\n", "line 11: '2' stands where an ITEM should begin"),
        ("ATOMS\n2\n", "ATOMS\n0\n", "line 4: the frame has no atoms"),
        ("ATOMS\n2\n", "ATOMS\n2 2\n", "line 4: ITEM: NUMBER OF ATOMS is followed by 2 words"),
        ("pp pp pp", "pp pp", "line 5: 'pp pp' is no kind of box"),
        ("0 5\n0 5\n0 5", "0 5\n0 5 1\n0 5", "line 7: the box has 3 numbers, it should have 2"),
        ("0 5\n0 5\n0 5", "0 5\n0 five\n0 5", "line 7: 'five' is not a number"),
        ("0 5\n0 5\n0 5", "0 5\n0 5", "line 5: ITEM: BOX BOUNDS has 2 of 3 lines"),
        (" x y z", " x y w", "line 9: the columns of atoms have no positions"),
        (" x y z", " x y z x", "line 9: the column 'x' is there twice"),
        ("id type element", "id a b", "line 9: the dump has neither elements nor types"),
        (" id type element x y z fx fy fz", "", "line 9: the line ITEM: ATOMS names no columns"),
        ("0 0 1 -0.1", "0 0 -0.1", "line 11: atom 2 of 2 has 8 columns, it should have 9"),
        ("0 0 1 -0.1", "0 0 one -0.1", "line 11: 'one' is not a number"),
        ("2 2 O", "1 2 O", "line 10: an id is there twice"),
        ("2 2 O", "2.5 2 O", "the id is '2.5', it should be a whole number"),
        ("ITEM: ATOMS", "ITEM: ENTRIES", "line 9: there is no ITEM: ENTRIES id type"),
    ],
)  # fmt: skip
def test_a_bad_frame_and_the_good_one_behind_it(old, new, reason, monkeypatch):
    assert old in ELEMENT
    found = both_ways(source_of(ELEMENT.replace(old, new, 1) + ELEMENT), monkeypatch)
    assert re.match(reason, found[0]), found[0]
    assert found[1]["forces"][0] == [[0.1, 0, 0], [-0.1, 0, 0]]


def test_both_ways_and_slices_agree(monkeypatch):
    text = text_of(60)
    found = both_ways(source_of(text), monkeypatch)
    assert list(found) == list(range(60))
    assert all(isinstance(known, dict) for known in found.values())
    for nbytes in (400, 3000):
        sliced, n = in_slices(source_of(text), nbytes, monkeypatch)
        assert n > 2
        assert repr(dict(sorted(sliced.items()))) == repr(found)


def test_every_cut(monkeypatch, long_run):
    text = text_of(3, seed=1) + frame_of(np.random.default_rng(3), 6, time=True)[0].encode()
    whole = frames_of(blocks_of(source_of(text)))
    for at in cuts(20, len(text), long_run):
        found = both_ways(source_of(text[:at]), monkeypatch)
        frames = sorted(found)
        for frame in frames[:-1]:
            assert found[frame] == whole[frame] or at - len(text) < 0, frame
        for frame in frames[:-2]:
            assert found[frame] == whole[frame]


@pytest.mark.parametrize(
    "seed", [*range(15), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(15, 60))]
)
def test_accidents(seed, monkeypatch):
    found = both_ways(source_of(damaged(text_of(20, seed=seed), seed, PIECES)), monkeypatch)
    assert found
