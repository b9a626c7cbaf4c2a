"""Stores to report on, and where pictures of pages are kept."""

import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct

#: What would be markup, a script, an end of a script, or an end of an attribute, if it were not text.
HOSTILE = (
    '<img src=x onerror="window.hit=1">',
    "</script><script>window.hit=2</script>",
    "<!--<script>",
    "'\"><svg/onload=window.hit=3>",
    "&lt;b&gt; & \u2028 $1 ${window.hit=4} `",
)


def hostile(rng, i):
    """Structure i of a set with hostile labels: crystals and molecules, some without forces."""
    n = int(rng.integers(2, 9))
    atoms = Atoms(rng.choice([1, 6, 8, 22], n), rng.uniform(0, 5, (n, 3)))
    if i % 2:
        atoms.set_cell(np.diag([5.0, 6.0, 7.0]) + rng.normal(0, 0.2, (3, 3)))
        atoms.pbc = True
    results = {"energy": float(-3 * n + rng.normal())}
    if i % 5:
        results["forces"] = rng.normal(size=(n, 3))
        if i % 2:
            results["stress"] = rng.normal(0, 0.01, 6)
    atoms.info["config_type"] = HOSTILE[i % len(HOSTILE)]
    atoms.info["<i onmouseover=alert(1)>"] = float(i)
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


@pytest.fixture(scope="session")
def structures():
    """Sixty structures; the last two are copies of the first two, turned and moved."""
    rng = np.random.default_rng(20261130)
    made = [hostile(rng, i) for i in range(58)]
    for i in (0, 2):
        copy = made[i].copy()
        copy.rotate(33, (1, 2, 3))
        copy.positions += 1.5
        copy.calc = SinglePointCalculator(copy, energy=made[i].calc.results["energy"] + 0.5 * len(copy))
        made.append(copy)
    return made


@pytest.fixture(scope="session")
def path(tmp_path_factory, structures):
    """Their store, with splits and a map (not to be changed)."""
    out = tmp_path_factory.mktemp("report") / "<b>hostile&.zarr"
    zstruct.build(structures, out, progress=False)
    zstruct.split(out, {"train": range(40), "</td><u>test": range(40, 60)}, name="default")
    values = np.random.default_rng(3).normal(size=(60, 2))
    zstruct.features.add(out, "pca", values, level="structure", feature_names=["<s>one", "two"])
    return out


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Where screenshots are kept: in ``$ZSTRUCT_SCREENSHOTS``, or among the files of the tests."""
    folder = os.environ.get("ZSTRUCT_SCREENSHOTS")
    made = tmp_path_factory.mktemp("pictures") if folder is None else Path(folder)
    made.mkdir(exist_ok=True)
    return made
