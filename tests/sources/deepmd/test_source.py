"""Systems of DeePMD-kit, as dpdata writes them; what is missing, damaged or does not fit is said."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

import zstruct
from tests.sources.headers import HEADERS
from tests.sources.lines.reading import blocks_of, frames_of, read
from zstruct.errors import InputError
from zstruct.sources import DeePMDSource, expand


def systems(n_each=5, sizes=(3, 4, 5), periodic=True):
    """LabeledSystems with atoms, cells and labels drawn at random."""
    dpdata = pytest.importorskip("dpdata")
    rng = np.random.default_rng(0)
    found = []
    for n in sizes:
        types = np.sort(rng.integers(0, 2, n))
        stress = rng.normal(size=(n_each, 3, 3))
        data = {
            "atom_names": ["O", "H"],
            "atom_numbs": [int((types == k).sum()) for k in range(2)],
            "atom_types": types,
            "orig": np.zeros(3),
            "cells": 8 * np.eye(3) + rng.normal(size=(n_each, 3, 3)),
            "coords": rng.normal(size=(n_each, n, 3)),
            "energies": rng.normal(size=n_each),
            "forces": rng.normal(size=(n_each, n, 3)),
            "virials": stress + stress.transpose(0, 2, 1),
        }
        if not periodic:
            data["nopbc"] = True
            data["cells"] = np.zeros((n_each, 3, 3))
            del data["virials"]
        found.append(dpdata.LabeledSystem(data=data))
    return found


def same(packed, system, exact=True):
    """Compare what was read with a system of dpdata, frame by frame."""
    data = system.data
    n, atoms = data["coords"].shape[:2]
    assert packed.n_atoms.tolist() == [atoms] * n
    numbers = np.array([{"O": 8, "H": 1}[name] for name in data["atom_names"]])[data["atom_types"]]
    assert packed.columns["numbers"].tolist() == np.tile(numbers, n).tolist()
    close = {"rel": 0, "abs": 0} if exact else {"rel": 1e-6}
    assert packed.columns["positions"] == pytest.approx(data["coords"].reshape(-1, 3), **close)
    assert packed.columns["forces"] == pytest.approx(data["forces"].reshape(-1, 3), **close)
    assert packed.columns["energy"] == pytest.approx(data["energies"], **close)
    assert packed.columns["cell"] == pytest.approx(data["cells"], **close)
    assert packed.columns["frame"].tolist() == list(range(n))
    if "virials" in data:
        volume = np.abs(np.linalg.det(data["cells"]))
        full = -data["virials"] / volume[:, None, None]
        voigt = np.stack([full[:, a, b] for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))], axis=1)
        assert packed.columns["stress"] == pytest.approx(voigt, rel=1e-12 if exact else 1e-4)
        assert packed.columns["pbc"].all()
    else:
        assert not packed.columns["pbc"].any()


@pytest.mark.parametrize("form", ["npy", "raw"])
@pytest.mark.parametrize("periodic", [True, False])
def test_what_dpdata_writes(tmp_path, form, periodic):
    (system,) = systems(n_each=7, sizes=(6,), periodic=periodic)
    if form == "npy":
        system.to("deepmd/npy", tmp_path / "s", set_size=3)
        assert len(list((tmp_path / "s").glob("set.*"))) == 3
    else:
        system.to("deepmd/raw", tmp_path / "s")
    packed, bad = read(DeePMDSource(tmp_path / "s"))
    assert bad == {}
    same(packed, system, exact=form == "npy")
    if form == "raw":  # dpdata writes as many digits as NumPy does
        there = np.loadtxt(tmp_path / "s" / "coord.raw").reshape(-1, 3)
        assert packed.columns["positions"].tolist() == there.tolist()


def test_single_precision_stays(tmp_path):
    (system,) = systems(sizes=(6,))
    system.to("deepmd/npy", tmp_path / "s", prec=np.float32)
    (raw,) = blocks_of(DeePMDSource(tmp_path / "s"))
    assert raw.atom["positions"][0].values.dtype == np.float32
    same(read(DeePMDSource(tmp_path / "s"))[0], system, exact=False)


def test_mixed_types_with_padding(tmp_path):
    dpdata = pytest.importorskip("dpdata")
    found = systems(sizes=(3, 4, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dpdata.MultiSystems(*found).to_deepmd_npy_mixed(str(tmp_path / "m"), atom_numb_pad=8)
    sources, _ = expand(tmp_path / "m")
    assert [type(source) for source in sources] == [DeePMDSource]
    packed, bad = read(sources[0])
    assert bad == {}
    assert sorted(packed.n_atoms.tolist()) == [3] * 5 + [4] * 5 + [5] * 5
    energies = packed.columns["energy"]
    for system in found:
        where = [int(np.flatnonzero(energies == e)[0]) for e in system.data["energies"]]
        for k, i in enumerate(where):
            rows = slice(packed.offsets[i], packed.offsets[i + 1])
            assert packed.columns["positions"][rows].tolist() == system.data["coords"][k].tolist()
            assert packed.columns["forces"][rows].tolist() == system.data["forces"][k].tolist()
            names = np.array(system.data["atom_names"])[system.data["atom_types"]]
            assert packed.columns["numbers"][rows].tolist() == [{"O": 8, "H": 1}[n] for n in names]


def test_systems_below_a_directory(tmp_path):
    for k, system in enumerate(systems()):
        system.to("deepmd/npy", tmp_path / "data" / f"group{k % 2}" / f"system{k}")
    (tmp_path / "data" / "readme.txt").write_text("x")
    sources, left = expand(tmp_path / "data")
    assert [Path(s.label).name for s in sources] == ["system0", "system2", "system1"]
    assert [Path(name).name for name in left] == ["readme.txt"]
    report = zstruct.build(tmp_path / "data", tmp_path / "s.zarr", progress=False)
    assert report.n_structures == 15
    again, _ = expand(str(tmp_path / "data" / "*" / "*"))
    assert [s.label for s in again] == [s.label for s in sources]


def test_types_without_names(tmp_path):
    (system,) = systems(sizes=(4,))
    system.to("deepmd/npy", tmp_path / "s")
    (tmp_path / "s" / "type_map.raw").unlink()
    _, bad = read(DeePMDSource(tmp_path / "s"))
    assert "the input does not say which elements" in bad[0]
    report = zstruct.build(tmp_path / "s", tmp_path / "s.zarr", elements=["O", "H"], progress=False)
    assert set(report.species) == {"O", "H"}
    (tmp_path / "s" / "type_map.raw").write_text("OW\nHW\n")
    packed, _ = read(DeePMDSource(tmp_path / "s"), elements={"OW": "O", "HW": "H"})
    same(packed, system)


def test_stress_of_a_real_calculation(tmp_path):
    dpdata = pytest.importorskip("dpdata")
    frames = []
    for k in range(3):
        atoms = bulk("Cu", cubic=True)
        atoms.set_cell(atoms.cell.array * [1.0, 0.98, 1.01], scale_atoms=True)
        atoms.rattle(0.05, seed=k)
        atoms.calc = EMT()
        atoms.get_potential_energy()
        frames.append(atoms)
    system = dpdata.LabeledSystem(frames[0], fmt="ase/structure")
    for atoms in frames[1:]:
        system.append(dpdata.LabeledSystem(atoms, fmt="ase/structure"))
    system.to("deepmd/npy", tmp_path / "s")
    packed, bad = read(DeePMDSource(tmp_path / "s"))
    assert bad == {}
    for k, atoms in enumerate(frames):
        assert packed.columns["stress"][k] == pytest.approx(atoms.get_stress(), abs=1e-12)


def written(folder, n=4, atoms=3, **arrays):
    rng = np.random.default_rng(0)
    (folder / "set.000").mkdir(parents=True)
    (folder / "type.raw").write_text("\n".join(str(k % 2) for k in range(atoms)))
    (folder / "type_map.raw").write_text("O H")
    table = {"coord": rng.normal(size=(n, 3 * atoms)), "box": np.tile(9 * np.eye(3).ravel(), (n, 1))}
    for name, values in {**table, "energy": rng.normal(size=(n, 1)), **arrays}.items():
        if values is not None:
            np.save(folder / "set.000" / name, values)
    return folder


def test_other_arrays(tmp_path):
    arrays = {
        "atom_ener": np.arange(12.0).reshape(4, 3),
        "atom_pref": np.ones((4, 3)),
        "fparam": np.arange(8.0).reshape(4, 2),
        "spin": np.arange(36.0).reshape(4, 9),
        "count": np.arange(4),
        "any": np.arange(36.0).reshape(4, 3, 3),
    }
    known = frames_of(blocks_of(DeePMDSource(written(tmp_path / "s", **arrays))))[2]
    assert known["energies"][0] == [6, 7, 8]
    assert known["atom_pref"][0] == [1, 1, 1]
    assert known["fparam"][0] == [[4, 5]]
    assert known["spin"][0] == [[18, 19, 20], [21, 22, 23], [24, 25, 26]]
    assert known["count"][0] == [2]
    assert known["any"][:2] == ([[18, 19, 20], [21, 22, 23], [24, 25, 26]], (3,))


def test_an_array_of_which_it_can_t_be_told(tmp_path):
    folder = written(tmp_path / "s", strange=np.zeros((4, 6)), dipole=np.ones((4, 3)))
    with pytest.raises(InputError, match=r"strange\.npy could have a value for each atom or several"):
        zstruct.build(folder, tmp_path / "s.zarr", units={"dipole": "e*A"}, progress=False)
    options = {"exclude": ["strange"], "progress": False}
    with pytest.raises(InputError, match="the input does not say the unit of dipole"):
        zstruct.build(folder, tmp_path / "s.zarr", **options)
    report = zstruct.build(folder, tmp_path / "s.zarr", units={"dipole": "D"}, **options)
    assert zstruct.open(report.path)["dipole"].shape == (4, 3)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"coord": np.zeros((4, 8))}, r"set\.000/coord\.npy has the shape \(4, 8\); for the 3 atoms"),
        ({"box": None}, r"there is no set\.000/box\.npy, and no file nopbc says that nothing is periodic"),
        ({"coord": None}, r"there is no set\.000/coord\.npy"),
        ({"energy": np.zeros(3)}, r"set\.000/energy\.npy has 3 structures, and coord\.npy has 4"),
        ({"energy": np.array(["a"] * 4)}, r"set\.000/energy\.npy is no array with a row for each structure"),
        ({"energy": np.array([None] * 4)}, r"set\.000/energy\.npy is damaged, or no array of numbers"),
        ({"energy": np.float64(1.0)}, r"set\.000/energy\.npy is no array with a row for each structure"),
        ({"real_atom_types": np.full((4, 3), 2)}, r"real_atom_types\.npy has the type 2, and type_map\.raw"),
    ],
)  # fmt: skip
def test_what_does_not_fit(tmp_path, arrays, reason):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = DeePMDSource(written(tmp_path / "s", **arrays))
    with pytest.raises(InputError, match=reason):
        read(source)


def test_types_that_make_no_sense(tmp_path):
    folder = written(tmp_path / "s")
    for text, reason in (
        ("", "type.raw is empty"),
        ("0 1 x", "type.raw should have whole numbers"),
        ("0 1 2", "type.raw has the type 2, and type_map.raw names 2"),
        ("0 1 -1", "type.raw has the type -1"),
    ):
        (folder / "type.raw").write_text(text)
        with pytest.raises(InputError, match=reason):
            read(DeePMDSource(folder))
    (folder / "type.raw").unlink()
    with pytest.raises(InputError, match=r"it has no type\.raw"):
        read(DeePMDSource(folder))


def test_every_cut_of_an_array(tmp_path):
    folder = written(tmp_path / "s")
    path = folder / "set.000" / "coord.npy"
    data = path.read_bytes()
    for at in range(0, len(data), 3):
        path.write_bytes(data[:at])
        with pytest.raises(InputError, match=r"set\.000/coord\.npy"):
            read(DeePMDSource(folder))


def test_flipped_bits_of_a_header(tmp_path):
    folder = written(tmp_path / "s")
    path = folder / "set.000" / "coord.npy"
    data = path.read_bytes()
    whole = read(DeePMDSource(folder))[0].columns["positions"]
    for at in range(128):
        for bit in range(0, 8, 3):
            path.write_bytes(data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                blocks = blocks_of(DeePMDSource(folder))
                if isinstance(blocks, str):
                    assert "coord.npy" in blocks
                    continue
                packed, bad = read(DeePMDSource(folder))
            assert len(packed) + len(bad) == 4
            assert packed.columns["positions"].shape == whole.shape or bad


def test_text_that_is_wrong(tmp_path):
    (system,) = systems(sizes=(4,))
    system.to("deepmd/raw", tmp_path / "s")
    path = tmp_path / "s" / "coord.raw"
    lines = path.read_text().splitlines()
    for line, reason in (
        ("1 2 3", r"coord\.raw, line 2: there are 3 numbers, it should be 12"),
        ("x " * 12, r"coord\.raw, line 2: 'x' is not a number"),
        ("", r"coord\.raw, line 2: there are 0 numbers"),
    ):
        path.write_text("\n".join([lines[0], line, *lines[2:]]))
        with pytest.raises(InputError, match=reason):
            read(DeePMDSource(tmp_path / "s"))
    path.write_text("\n".join(lines[:3]) + "\n\n")
    with pytest.raises(InputError, match=r"coord\.raw ends before \w+\.raw does"):
        read(DeePMDSource(tmp_path / "s"))
    path.write_text("\n".join(lines).replace("e", "D"))
    assert read(DeePMDSource(tmp_path / "s"))[1] == {}


def test_blocks_and_slices_make_no_difference(tmp_path, monkeypatch):
    from zstruct.sources.deepmd import source as module

    found = systems(n_each=11, sizes=(3,))[0]
    for form in ("npy", "raw"):
        if form == "npy":
            found.to("deepmd/npy", tmp_path / form, set_size=4)
        else:
            found.to("deepmd/raw", tmp_path / form)
        whole = frames_of(blocks_of(DeePMDSource(tmp_path / form)))
        with monkeypatch.context() as patch:
            patch.setattr(module, "SLICE_BYTES", 400)
            patch.setattr(module, "_BLOCK_BYTES", 700)
            parts = blocks_of(DeePMDSource(tmp_path / form))
        assert len(parts) > 3
        assert repr(frames_of(parts)) == repr(whole)


def test_fortran_order_and_other_byte_orders(tmp_path):
    folder = written(tmp_path / "s")
    whole = frames_of(blocks_of(DeePMDSource(folder)))
    path = folder / "set.000" / "coord.npy"
    values = np.load(path)
    for other in (np.asfortranarray(values), values.astype(">f8")):
        np.save(path, other)
        assert repr(frames_of(blocks_of(DeePMDSource(folder)))) == repr(whole)


def test_a_changed_file_is_noticed(tmp_path):
    folder = written(tmp_path / "s")
    before = DeePMDSource(folder).fingerprint()
    assert before == DeePMDSource(folder).fingerprint()
    np.save(folder / "set.000" / "energy", np.zeros((4, 2)))
    assert DeePMDSource(folder).fingerprint() != before


def test_molecules_have_no_cell(tmp_path):
    atoms = molecule("H2O")
    atoms.calc = EMT()
    folder = written(tmp_path / "s", coord=np.tile(atoms.positions.ravel(), (4, 1)), box=None)
    (folder / "nopbc").touch()
    packed, bad = read(DeePMDSource(folder))
    assert bad == {}
    assert not packed.columns["cell"].any()


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("name", ["coord", "energy"])
def test_headers_of_strangers_are_a_sentence(tmp_path, name, header):
    folder = tmp_path / "system" / "set.000"
    folder.mkdir(parents=True)
    (folder.parent / "type.raw").write_text("0 0")
    (folder.parent / "type_map.raw").write_text("H")
    (folder.parent / "nopbc").touch()
    np.save(folder / "coord", np.zeros((2, 6)))
    np.save(folder / "energy", np.zeros(2))
    (folder / f"{name}.npy").write_bytes(HEADERS[header])
    with pytest.raises(zstruct.InputError, match=rf"system: .*set\.000/{name}\.npy"):
        zstruct.build(folder.parent, tmp_path / "s.zarr", progress=False)
