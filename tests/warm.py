"""What the process has done that all others are forked from which tests start by ``forkserver``.

Such a process begins where this one is: all is imported, and kernels that are on disk are loaded. To start
one takes milliseconds in place of seconds. Importing this does the work, so pytest must not collect it.
"""

import tempfile
from importlib.util import find_spec
from pathlib import Path

import tests.conftest
from zstruct.jit import cache
from zstruct.jit.kernel import compiled_always
from zstruct.precompilation import FAMILIES


def once(folder: Path) -> None:
    """Do once, on a few atoms, what is done in processes that are killed."""
    import numpy as np
    from ase import Atoms

    import zstruct

    frames, quiet = [Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.7]]) for _ in range(2)], {"progress": False}
    (folder / "a.xyz").write_text(tests.conftest.extxyz_text(frames))
    store = folder / "a.zarr"
    zstruct.build(folder / "a.xyz", store, **quiet)
    zstruct.append(store, folder / "a.xyz", repeat=True, **quiet)
    zstruct.split(store, [0.5, 0.5], name="default")
    zstruct.featurize(store, zstruct.features.NeighborList(2.0), **quiet)
    zstruct.features.add(store, "x", np.zeros((8, 1)))
    zstruct.labels.add(store, "x", energy=np.zeros(4))
    zstruct.StructureReader(store).take([0])
    zstruct.rewrite(store, folder / "b.zarr", encoding="decimal", **quiet)
    for format in ("xyz", "deepmd-npy"):
        zstruct.export(store, folder / format, format, **quiet)
    if find_spec("torch"):  # which takes seconds to load, and tests of workers need it
        list(zstruct.ZarrStructureDataset(store, neighbors=2.0).loader(2, threads=0))


if all(cache.is_kept(family) for family in FAMILIES):  # else each compiles what it needs
    with compiled_always(), tempfile.TemporaryDirectory() as place:
        once(Path(place))
