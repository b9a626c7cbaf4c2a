"""Outputs of CP2K: structures of single geometries, in what units, and what is refused."""

import gzip
import re

import numpy as np
import pytest
from ase.units import Bohr, GPa, Hartree
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from zstruct.errors import InputError
from zstruct.sources.content import MemoryContent
from zstruct.sources.cp2k.source import CP2KOutputSource
from zstruct.sources.inputs import expand

ENERGY = -17.123456789012345


def table(rows, elements=(("O", 8), ("H", 1), ("H", 1)), ghost=()):
    """The table of coordinates."""
    lines = " MODULE QUICKSTEP:  ATOMIC COORDINATES IN angstrom\n\n"
    lines += "  Atom  Kind  Element       X           Y           Z          Z(eff)       Mass\n\n"
    for k, ((symbol, number), row) in enumerate(zip(elements, rows, strict=True), start=1):
        x, y, z = row
        charge = 0.0 if k in ghost else 6.0
        lines += f"{k:>8d} {min(k, 2):>5d} {symbol:<2s}{number:>4d}{x:>12.6f}{y:>12.6f}{z:>12.6f}"
        lines += f"{charge:>10.2f}     15.9994\n"
    return lines + "\n\n"


def forces_of(rows, version):
    if version > 2024:
        lines = "".join(
            f" FORCES| {k:>6d}{x:>16.8E}{y:>16.8E}{z:>16.8E}  1.0E-02\n"
            for k, (x, y, z) in enumerate(rows, 1)
        )
        head = " FORCES| Atomic forces [hartree/bohr]\n FORCES|   Atom  x  y  z  |f|\n"
        return f"{head}{lines} FORCES| Sum  0.0 0.0 0.0\n\n"
    lines = "".join(
        f"{k:>7d}      1      H      {x:>15.8f}{y:>15.8f}{z:>15.8f}\n" for k, (x, y, z) in enumerate(rows, 1)
    )
    sums = " SUM OF ATOMIC FORCES          -0.00000000    -0.00000000    -0.00000000     0.00000000\n\n"
    return f" ATOMIC FORCES in [a.u.]\n\n # Atom   Kind   Element    X        Y       Z\n{lines}{sums}"


def stress_of(version, unit="GPa"):
    if version > 7:
        rows = "".join(
            f" STRESS|      {a} {b} {c} {d}\n" for a, b, c, d in zip("xyz", "146", "425", "653", strict=True)
        )
        head = f" STRESS| Analytical stress tensor [{unit}]\n STRESS|      x      y      z\n"
        return f"{head}{rows} STRESS| 1/3 Trace 2.0\n"
    rows = "".join(
        f"  {a}     {b}   {c}   {d}\n" for a, b, c, d in zip("XYZ", "146", "425", "653", strict=True)
    )
    return f" STRESS TENSOR [{unit}]\n\n            X               Y               Z\n{rows}\n"


def output(
    positions, forces, version=2023, cell="10.000", periodic=" CELL| Periodicity     XYZ\n", end=True, **words
):
    """An output of CP2K."""
    label = "[hartree]" if version > 2024 else "[a.u.]:" if version > 7 else "(a.u.):"
    rows = (f"{a} [angstrom]: {' '.join(cell if a == b else '0.000' for b in 'abc')}" for a in "abc")
    vectors = "".join(f" CELL| Vector {row}   |{row[0]}| =      10.000\n" for row in rows)
    return f""" DBCSR| CPU Multiplication driver                                           XSMM
  **** **** ******  **  PROGRAM STARTED AT               2022-01-04 08:28:06.815
 CP2K| version string:                                          CP2K version {version}.1
 GLOBAL| Run type                                                   {words.get("run", "ENERGY_FORCE")}
{vectors}{periodic}
 DFT| Multiplicity                                                             2
 DFT| Charge                                                                  -1
{table(positions)}
  *** {words.get("scf", "SCF run converged in    10 steps")} ***
 ENERGY| Total FORCE_EVAL ( QS ) energy {label}          {ENERGY:.15f}

{forces_of(forces, version)}{stress_of(version)}{words.get("more", "")}
""" + ("  **** **** ******  **  PROGRAM ENDED AT                 2022-01-04 08:28:10.815\n" if end else "")


def read(text):
    source = CP2KOutputSource(MemoryContent("cp2k.out", "cp2k.out", text.encode()))
    return list(source.read(source.scan()[0]))


def only(text):
    (raw,) = read(text)
    return raw


@pytest.fixture
def vectors(rng):
    return np.round(rng.normal(size=(2, 3, 3)), 6)


@pytest.mark.parametrize("version", [6, 8, 2023, 2025])
def test_labels(tmp_path, vectors, version):
    path = tmp_path / "run.out"
    path.write_text(output(*vectors, version=version))
    ((source,), _) = expand(path)
    assert isinstance(source, CP2KOutputSource)
    report = zstruct.build(path, tmp_path / "s.zarr", progress=False)
    store = zstruct.open(report.path)
    assert store.numbers.values.tolist() == [8, 1, 1]
    np.testing.assert_array_equal(store.positions.values, vectors[0])
    np.testing.assert_allclose(store.forces.values, vectors[1] * Hartree / Bohr, rtol=1e-9)
    np.testing.assert_allclose(store.energy.values, ENERGY * Hartree, rtol=1e-14)
    np.testing.assert_allclose(store.stress.values[0], -GPa * np.array([1, 2, 3, 5, 6, 4]), rtol=1e-12)
    assert store.cell.values[0].tolist() == np.diag([10.0] * 3).tolist()
    assert store.pbc.values.all()
    assert (store.total_charge.item(), store.spin_multiplicity.item()) == (-1, 2)
    assert report.noted == {}
    assert [remark[:39] for remark in report.remarks] == ["CP2K prints cells with three decimals: "[:39]]


@pytest.mark.parametrize(
    ("periodic", "pbc", "said"),
    [
        (" CELL| Periodicity     XY\n", [True, True, False], True),
        (" POISSON| Periodicity     NONE\n", [False] * 3, True),
        ("", [True] * 3, False),
    ],
)
def test_along_which_vectors_the_cell_repeats(vectors, periodic, pbc, said):
    raw = only(output(*vectors, cell="10.0000001", periodic=periodic))
    assert raw.structure["pbc"][0].values.tolist() == [pbc]
    assert [("does not say along which" in remark) for remark in raw.remarks] == ([] if said else [True])


@pytest.mark.parametrize("unit", ["GPa", "kbar", "bar"])
def test_the_unit_of_the_stress_is_the_stated_one(vectors, unit):
    raw = only(output(*vectors).replace("tensor [GPa]", f"tensor [{unit}]"))
    assert raw.structure["stress"][0].unit == unit


def test_electrons_that_did_not_converge(vectors):
    raw = only(output(*vectors, scf="WARNING in qs_scf.F:542 :: SCF run NOT converged"))
    assert raw.notes["unconverged"].tolist() == [True]


def test_the_run_behind_one_that_failed(vectors):
    failed = output(*vectors)
    failed = failed[: failed.index(" ENERGY|")]
    raw = only(failed + output(vectors[1], vectors[0]))
    np.testing.assert_array_equal(raw.atom["positions"][0].values, vectors[1])


def test_runs_of_one_file_after_the_other(vectors):
    raw = only(output(*vectors) + output(vectors[1], vectors[0], cell="12.000"))
    assert raw.frames.tolist() == [0, 1]
    assert raw.structure["cell"][0].values[:, 0, 0].tolist() == [10, 12]


def test_runs_that_move_atoms_are_refused(vectors):
    more = " ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:   -17.2\n"
    with pytest.raises(
        InputError, match=r"cp2k\.out: .*type MD\) has 2 energies, and positions of 1 .*-pos-1\.xyz"
    ):
        read(output(*vectors, run="MD", more=more))


def test_where_a_file_may_end(vectors):
    text = output(*vectors, end=False)
    with pytest.raises(InputError, match="no structure with an energy in it: the calculation was stopped"):
        read(text[: text.index(" ENERGY|")])
    raw = only(text)
    assert (raw.notes["cut"].tolist(), raw.bad) == ([True], [])
    start = text.index(" ATOMIC FORCES")
    for end in range(start + 25, text.index(" SUM OF ATOMIC"), 40):
        raw = only(text[:end])
        assert "the file ends inside of this structure" in raw.bad[0].reason
    start = text.index(" STRESS| Analytical")
    for end in range(start + 40, text.index(" STRESS| 1/3"), 20):
        assert "the file ends inside of this structure" in only(text[:end]).bad[0].reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda t: t.replace("      6.00     15.9994\n", "      0.00     15.9994\n", 1),
            "atom 0 .O. is a ghost",
        ),
        (
            lambda t: t.replace("      2      1      H   ", "      3      1      H   "),
            "not those of all atoms in",
        ),
        (lambda t: t.replace("  Atom  Kind  Element", "  Atom  Kind  ATM_TYP"), "not that of QUICKSTEP"),
        (lambda t: t.replace("-17.12", "-17.x12"), "'-17.x12.*' is not a number"),
    ],
)
def test_what_can_not_be_used(vectors, change, reason):
    text = output(*vectors)
    changed = change(text)
    assert changed != text
    raw = only(changed)
    assert len(raw.bad) == 1
    assert re.search(reason, raw.bad[0].reason)


def test_compressed_and_left_out_of_directories(tmp_path, vectors):
    (tmp_path / "a.out.gz").write_bytes(gzip.compress(output(*vectors).encode()))
    assert zstruct.build(tmp_path / "a.out.gz", tmp_path / "s.zarr", progress=False).n_structures == 1
    (tmp_path / "b.xyz").write_text("1\n\nHe 0 0 0\n")
    sources, left = expand(tmp_path)
    assert [type(source).__name__ for source in sources] == ["XYZSource"]  # logs there are known by no name
    assert any(name.endswith("a.out.gz") for name in left)


@settings(max_examples=40)
@given(data=st.data())
def test_damage_is_said_or_harmless(data):
    rows = np.round(np.random.default_rng(0).normal(size=(2, 3, 3)), 6)
    text = output(*rows)
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 100)))
    text = text[:start] + data.draw(st.text("0123456789.-= \n|[]", max_size=6)) + text[stop:]
    try:
        found = read(text)
    except InputError:
        return
    for raw in found:
        columns = [column for columns in raw.atom.values() for column in columns]
        assert {len(column.values) for column in columns} <= {int(raw.n_atoms.sum())}
