"""Files that the page of recipes speaks of: those of ASE, VASP, MACE, aenet, DeePMD, fairchem and others."""

import io
import shutil
import tarfile
from pathlib import Path

import ase.io
import numpy as np

import zstruct
from tests.sources.vasp.runs import steps, vasprun

CASES = Path(__file__).parent / "data" / "cases"
OWN = """1
Properties=species:S:1:pos:R:3 E_pbe=-325.9 E_hf=-325.1
O  0.00  0.00  0.12
"""
FREE = """1
Properties=species:S:1:pos:R:3 config_type=IsolatedAtom REF_energy={energy}
{symbol} 0 0 0
"""
WATER = """3
Properties=species:S:1:pos:R:3:REF_forces:R:3 config_type=Default REF_energy=-470.1
O  0.00  0.00  0.12   0.0  0.0 -1.2
H  0.00  0.76 -0.48   0.0  0.9  0.6
H  0.00 -0.76 -0.48   0.0 -0.9  0.6
"""


def write(folder):
    """Write them, a few structures each; `data` is in the folder already."""
    surfaces = folder / "data" / "surfaces.xyz"
    frames = ase.io.read(surfaces, ":8")
    ase.io.write(folder / "relax.traj", frames)
    text = vasprun(steps(np.random.default_rng(0))).encode()
    with tarfile.open(folder / "runs.tar.gz", "w:gz") as runs:
        for name in ("a", "b"):
            told = tarfile.TarInfo(f"runs/{name}/vasprun.xml")
            told.size = len(text)
            runs.addfile(told, io.BytesIO(text))
    atoms = FREE.format(symbol="H", energy=-13.6) + FREE.format(symbol="O", energy=-432.1)
    (folder / "mace_train.xyz").write_text(atoms + WATER)
    (folder / "own.xyz").write_text(OWN)
    (folder / "broken.xyz").write_text(OWN + OWN.replace("0.12", "nan"))
    shutil.copy(CASES / "schnetpack_units.db", folder / "qm9.db")
    store = folder / "few.zarr"
    zstruct.build(frames, store, progress=False)
    written = {
        "xsf": "xsf",
        "systems": "deepmd-npy",
        "omat.aselmdb": "aselmdb",
        "train.h5": "hdf5-flat",
        "val.h5": "hdf5-flat",
    }
    for name, kind in written.items():
        zstruct.export(store, folder / name, kind, exclude=["source", "frame"], progress=False)
    numbers = np.array([8, 1, 1])
    np.savez(
        folder / "aspirin.npz", z=numbers, R=np.random.default_rng(0).normal(size=(5, 3, 3)), E=np.arange(5.0)
    )
    shutil.rmtree(store)
