"""A store of molecules to split."""

import shutil

import ase.build
import numpy as np
import pytest

import zstruct

MOLECULES = ["H2O", "CO2", "CH4", "NH3", "O2", "C2H6"]


def molecules(n=60):
    """Molecules of six formulas; every third has no label, the others one of two."""
    made = []
    for i in range(n):
        atoms = ase.build.molecule(MOLECULES[i * i % 7 % 6])
        atoms.info["serial"] = i // 4
        atoms.info["gap"] = 0.5 * i
        if i % 3:
            atoms.info["config_type"] = "cold" if i % 3 == 1 else "hot"
        made.append(atoms)
    return made


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    path = tmp_path_factory.mktemp("splits") / "molecules.zarr"
    zstruct.build(molecules(), path, progress=False)
    return path


@pytest.fixture
def path(built, tmp_path):
    """A store of sixty molecules that may be written to."""
    return shutil.copytree(built, tmp_path / "molecules.zarr")


def formulas(path):
    return zstruct.open(path).zs.formula.values


def check_exhaustive(parts, n):
    """Every structure is in exactly one part; indices are ascending int64."""
    assert sorted(i for part in parts for i in part.tolist()) == list(range(n))
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts)
