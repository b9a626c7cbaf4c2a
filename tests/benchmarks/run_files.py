"""Outputs of programs, and records of projects, as files: crystals drawn at random, as many as are wanted."""

import gzip
import json
import pickle
from pathlib import Path

import numpy as np

from tests.sources.vasp import runs

ATOMS = 50


def outcar(n: int, folder: Path) -> Path:
    """Write an OUTCAR of a run of so many steps."""
    text = runs.outcar(_steps(n), counts=(ATOMS // 2, ATOMS // 2))
    return _written(folder, "OUTCAR", text)


def vasprun(n: int, folder: Path) -> Path:
    """Write the vasprun.xml of a run of so many steps."""
    text = runs.vasprun(_steps(n), symbols=("O ",) * (ATOMS // 2) + ("Ti",) * (ATOMS // 2))
    return _written(folder, "vasprun.xml", text)


def cp2k_pair(n: int, folder: Path) -> Path:
    """Write the positions and the forces of a run of CP2K."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for kind in ("pos", "frc"):
        with open(folder / f"run-{kind}-1.xyz", "w") as file:
            for k in range(n):
                rows = "".join(
                    f"{'Ti' if i % 2 else ' O'}{x:20.10f}{y:20.10f}{z:20.10f}\n"
                    for i, (x, y, z) in enumerate(rng.uniform(0, 9, (ATOMS, 3)).tolist())
                )
                file.write(f"{ATOMS:8d}\n i = {k:8d}, time = {k:12.3f}, E = {-k - 0.5:20.10f}\n{rows}")
    return folder


def cp2k_output(n: int, folder: Path) -> Path:
    """Write what CP2K prints of so many runs of one geometry each, one after the other."""
    rng = np.random.default_rng(0)
    vectors = "".join(
        f" CELL| Vector {a} [angstrom]: {row}    |{a}| =       9.000000\n"
        for a, row in zip("abc", ("9.0 0.0 0.0", "0.0 9.0 0.0", "0.0 0.0 9.0"), strict=True)
    )
    head = (
        " DBCSR| CPU Multiplication driver                                           XSMM\n"
        "  **** **** ******  **  PROGRAM STARTED AT               2023-01-04 08:28:06.815\n"
        " CP2K| version string:                                          CP2K version 2023.1\n"
        f" GLOBAL| Run type                                                   ENERGY_FORCE\n{vectors}"
        " CELL| Periodicity                                                          XYZ\n"
        " MODULE QUICKSTEP: ATOMIC COORDINATES IN ANGSTROM\n\n"
        "   Atom Kind Element         X             Y             Z       Z(eff)     Mass\n"
    )
    elements = ("O    8", 16.0, "Ti  22", 47.9)
    parts = []
    for k in range(n):
        rows = zip(rng.uniform(0, 9, (ATOMS, 3)).tolist(), rng.normal(size=(ATOMS, 3)).tolist(), strict=True)
        coordinates, forces = [], []
        for i, ((x, y, z), (fx, fy, fz)) in enumerate(rows, start=1):
            kind, mass = elements[2 * (i % 2)], elements[2 * (i % 2) + 1]
            coordinates.append(f"{i:7d} {i % 2 + 1:4d} {kind}{x:14.6f}{y:14.6f}{z:14.6f}  6.0000 {mass}\n")
            forces.append(f"{i:7d} {i % 2 + 1:6d}      {kind[:2]}{fx:15.8f}{fy:15.8f}{fz:15.8f}\n")
        parts += [
            head,
            *coordinates,
            "\n\n  *** SCF run converged in    10 steps ***\n\n"
            f" ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:  {-k - 0.5:20.15f}\n\n"
            " ATOMIC FORCES in [a.u.]\n\n # Atom   Kind   Element          X              Y              Z\n",
            *forces,
            " SUM OF ATOMIC FORCES          -0.00000000    -0.00000000    -0.00000000     0.00000000\n\n"
            "  **** **** ******  **  PROGRAM ENDED AT                 2023-01-04 08:28:10.815\n",
        ]
    return _written(folder, "cp2k.out", "".join(parts))


def pymatgen_json(n: int, folder: Path) -> Path:
    """Write records of structures of pymatgen with their labels."""
    rng = np.random.default_rng(0)
    lattice = {"matrix": (9 * np.eye(3)).tolist(), "pbc": [True, True, True], "a": 9.0, "volume": 729.0}
    records = []
    for k in range(n):
        xyz, abc = rng.uniform(0, 9, (ATOMS, 3)), rng.uniform(0, 1, (ATOMS, 3))
        sites = [
            {"species": [{"element": "Ti" if i % 2 else "O", "occu": 1}], "abc": abc[i].tolist(), "xyz": row}
            for i, row in enumerate(xyz.tolist())
        ]
        structure = {"@module": "pymatgen.core.structure", "@class": "Structure", "charge": 0}
        structure |= {"lattice": lattice, "sites": sites}
        records.append({"structure": structure, "energy": -float(k), "forces": xyz.tolist()})
    return _written(folder, "all.json", json.dumps(records))


def pacemaker(n: int, folder: Path) -> Path:
    """Write a data frame as pacemaker takes it."""
    import pandas as pd
    from ase import Atoms

    rng = np.random.default_rng(0)
    atoms = [
        Atoms([8, 22] * (ATOMS // 2), rng.uniform(0, 9, (ATOMS, 3)), cell=[9] * 3, pbc=True) for _ in range(n)
    ]
    forces = [rng.normal(size=(ATOMS, 3)) for _ in range(n)]
    table = pd.DataFrame({"ase_atoms": atoms, "energy": rng.normal(size=n), "forces": forces})
    folder.mkdir()
    with gzip.open(folder / "all.pckl.gzip", "wb", compresslevel=1) as file:
        pickle.dump(table, file, protocol=4)
    return folder / "all.pckl.gzip"


def _steps(n: int) -> list[runs.Ionic]:
    return runs.steps(np.random.default_rng(0), n, ATOMS)


def _written(folder: Path, name: str, text: str) -> Path:
    folder.mkdir()
    (folder / name).write_text(text)
    return folder / name
