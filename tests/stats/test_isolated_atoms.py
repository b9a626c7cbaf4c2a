"""Reference energies of isolated atoms: which structures these are, and levels of theory kept apart."""

import numpy as np
import pytest

import zstruct
from tests.stats.conftest import built, labelled
from zstruct import InputError, StoreExistsError

BOX = {"cell": np.eye(3) * 12, "pbc": True}


def marked(formula, energy, **info):
    atoms = labelled(formula, energy)
    atoms.info.update(info)
    return atoms


@pytest.fixture
def levels(tmp_path):
    """Two levels of theory, 7 eV apart for H and 30 eV for O, in two files and under two heads."""
    levels = {"pbe": (-13.6, -2042.0), "hf": (-20.6, -2012.0)}
    for level, (h, o) in levels.items():
        frames = [marked("H", h, head=level), marked("O", o, head=level), marked("OH", h + o - 5, head=level)]
        frames.append(marked("H", h + 5e-4, head=level))
        lines = []
        for atoms in frames:
            rows = [f"{s} {x} {y} {z}" for s, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)]
            energy = atoms.calc.results["energy"]
            lines += [str(len(atoms)), f"Properties=species:S:1:pos:R:3 head={level} energy={energy}", *rows]
        (tmp_path / f"{level}.xyz").write_text("\n".join(lines) + "\n")
    paths = [tmp_path / "pbe.xyz", tmp_path / "hf.xyz"]
    zstruct.build(paths, tmp_path / "levels.zarr", progress=False)
    return tmp_path / "levels.zarr"


def test_isolated_atoms(tmp_path):
    frames = [
        labelled("H", -13.6),
        labelled("H", -13.5995, **BOX),
        labelled("O", -2042.0, **BOX),
        labelled("C", -99.0, cell=np.eye(3) * 3, pbc=True),
        labelled("N"),
        labelled("OH", -2060.0),
    ]
    path = built(frames, tmp_path / "atoms.zarr")
    found = zstruct.isolated_references(path, name="default")
    assert dict(found) == {"H": -13.6, "O": -2042.0}
    assert found.n_structures == 3
    assert dict(zstruct.open_references(path)) == dict(found)
    assert dict(zstruct.isolated_references(path, vacuum=2.0)) == {"H": -13.6, "C": -99.0, "O": -2042.0}
    with pytest.raises(InputError, match="more than 50 angstrom away"):
        zstruct.isolated_references(built(frames[2:4], tmp_path / "solids.zarr"), vacuum=50)


def test_levels_of_theory_are_not_mixed(levels):
    with pytest.raises(InputError) as info:
        zstruct.isolated_references(levels)
    said = str(info.value)
    assert "lie more than 0.001 eV apart: H by 7.0005 eV (-20.600000 to -20.599500 in " in said
    assert "hf.xyz, -13.600000 to -13.599500 in " in said
    assert "O by 30 eV (-2042.000000 in " in said
    assert "by='head' | 'source'" in said
    assert "tolerance=" in said


@pytest.mark.parametrize("by", ["head", "source"])
def test_levels_are_told_apart(levels, by):
    found = zstruct.isolated_references(levels, by=by)
    energies = {label.rpartition("/")[2].removesuffix(".xyz"): dict(one) for label, one in found.items()}
    assert energies == {"pbe": {"H": -13.6, "O": -2042.0}, "hf": {"H": -20.6, "O": -2012.0}}
    assert [one.n_structures for one in found.values()] == [3, 3]


def test_sets_are_kept_by_label(levels):
    found = zstruct.isolated_references(levels, by="head", name="atoms")
    for label in ("pbe", "hf"):
        assert dict(zstruct.open_references(levels, f"atoms_{label}")) == dict(found[label])
    assert zstruct.isolated_references(levels, by="head", name="atoms", overwrite=True) == found
    with pytest.raises(StoreExistsError, match="'atoms_"):
        zstruct.isolated_references(levels, by="head", name="atoms")
    zstruct.verify(levels)


def test_the_lowest_may_be_asked_for(levels):
    assert dict(zstruct.isolated_references(levels, tolerance=40.0)) == {"H": -20.6, "O": -2042.0}
    with pytest.raises(
        InputError, match=r"of the head 'pbe' .* 0.0001 eV apart: H by 0.0005 eV .*by='source'"
    ):
        zstruct.isolated_references(levels, by="head", tolerance=1e-4)


def test_atoms_without_a_label_are_left_out(tmp_path):
    frames = [marked("H", -13.6, head="pbe"), labelled("H", -20.6), labelled("O", -2042.0)]
    path = built(frames, tmp_path / "some.zarr")
    with pytest.warns(UserWarning, match="2 isolated atoms of .* have no head and are left out"):
        found = zstruct.isolated_references(path, by="head")
    assert {label: dict(one) for label, one in found.items()} == {"pbe": {"H": -13.6}}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"by": "energy"},
            "by='energy': isolated atoms are told apart by a text .* has head, ",
        ),
        ({"by": "config_type"}, "by='config_type'"),
        ({"by": 3}, "by=3"),
        ({"tolerance": -1.0}, "tolerance is a number from 0, not -1.0"),
    ],
)
def test_bad_options_are_refused(levels, options, reason):
    with pytest.raises(InputError, match=reason):
        zstruct.isolated_references(levels, **options)
