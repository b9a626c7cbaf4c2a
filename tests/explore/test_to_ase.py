import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zstruct
from tests.strategies import assert_same, random_atoms


@given(frames=st.lists(random_atoms(), min_size=1, max_size=20))
@settings(max_examples=8, suppress_health_check=list(HealthCheck))
def test_round_trip_is_exact(tmp_path_factory, frames):
    out = tmp_path_factory.mktemp("trip") / "x.zarr"
    zstruct.build(frames, out, progress=False)

    back = zstruct.open(out).zs.to_ase()

    assert len(back) == len(frames)
    for k, (a, b) in enumerate(zip(frames, back, strict=True)):
        assert_same(a, b)
        assert b.info["zstruct_frame"] == k
        assert b.info["zstruct_source"] == "atoms"


def test_a_text_keeps_what_is_at_its_end(tmp_path):
    atoms = Atoms("H", info={"note": "x\0", "other": "y "})
    zstruct.build([atoms], tmp_path / "x.zarr", progress=False)

    for back in (
        zstruct.open(tmp_path / "x.zarr").zs.to_ase(0),
        zstruct.StructureReader(tmp_path / "x.zarr").get_atoms(0),
    ):
        assert_same(atoms, back)


def test_what_is_asked_for(ds, structures):
    assert_same(structures[7], ds.zs.to_ase(7))
    assert_same(structures[-2], ds.zs.to_ase(np.int64(-2)))
    for which, expected in (
        (slice(3, 6), structures[3:6]),
        ([30, 2], [structures[30], structures[2]]),
        ([5], [structures[5]]),
        (ds.config_type == "bulk", [a for a in structures if a.info.get("config_type") == "bulk"]),
        (None, structures),
    ):
        made = ds.zs.to_ase(which)
        assert len(made) == len(expected)
        for a, b in zip(expected, made, strict=True):
            assert_same(a, b)
    with pytest.raises(IndexError, match="no structure 40"):
        ds.zs.to_ase(40)


def test_parts_remember_what_is_missing(ds, structures):
    part = ds.zs.isel([8, 3, 4]).zs.isel([1, 2])

    for a, b in zip([structures[3], structures[4]], part.zs.to_ase(), strict=True):
        assert_same(a, b)


def test_plainly_sorted_structures_keep_their_atoms(ds, structures):
    by_energy = sorted(structures, key=lambda atoms: atoms.calc.results["energy"])

    for a, b in zip(by_energy, ds.sortby("energy").zs.to_ase(), strict=True):
        assert_same(a, b)


def test_calculator_serves_the_results(ds, structures):
    atoms = ds.zs.to_ase(5)

    assert atoms.get_potential_energy() == structures[5].get_potential_energy()
    np.testing.assert_array_equal(atoms.get_forces(), structures[5].get_forces())


def test_constraints_of_single_axes_come_back(tmp_path):
    atoms = Atoms("H4", np.arange(12.0).reshape(4, 3))
    atoms.set_constraint([FixCartesian([0, 2], mask=[True, False, True]), FixAtoms([3])])
    zstruct.build([atoms], tmp_path / "x.zarr", progress=False)

    back = zstruct.open(tmp_path / "x.zarr").zs.to_ase(0)

    moved = []
    for a in (atoms, back):
        a.set_positions(a.positions + 1.0)
        moved.append(a.positions.tolist())
    assert moved[0] == moved[1]


def test_names_that_mean_something_else_here_are_kept_apart(tmp_path):
    atoms = Atoms("H", info={"source": "paper", "frame": 7, "n_atoms": 3})
    zstruct.build([atoms], tmp_path / "x.zarr", progress=False)

    info = zstruct.open(tmp_path / "x.zarr").zs.to_ase(0).info

    assert info == {
        "zstruct_source": "atoms", "zstruct_frame": 0, "source": "paper", "frame": 7, "n_atoms": 3
    }  # fmt: skip


def test_own_variables_go_along(ds):
    ds = ds.assign(
        error=("structure", np.arange(40.0)),
        rank=("atom", np.arange(ds.sizes["atom"])),
        skip=("xyz", [1, 2, 3]),
    )

    atoms = ds.zs.to_ase(3)

    assert atoms.info["error"] == 3.0
    assert atoms.arrays["rank"].tolist() == list(range(int(ds.offsets[3]), int(ds.offsets[4])))
    assert "skip" not in atoms.info


def test_single_precision(tmp_path, structures):
    zstruct.build(structures, tmp_path / "x.zarr", encoding="float32", progress=False)

    back = zstruct.open(tmp_path / "x.zarr").zs.to_ase(1)

    np.testing.assert_array_equal(back.positions, structures[1].positions.astype(np.float32))
    np.testing.assert_array_equal(back.calc.results["forces"], structures[1].get_forces().astype(np.float32))
    assert back.calc.results["energy"] == structures[1].get_potential_energy()
