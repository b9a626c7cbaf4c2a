"""Do everything that needs a kernel once, on a few atoms, so that all are compiled and kept on disk.

The kernels are reached as users reach them, so that they are compiled for the very types of arrays
that come up later. A test sees to it that none is left out.
"""

from __future__ import annotations

import importlib
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from zstruct.jit import cache
from zstruct.jit.kernel import Kernel, compiled_always
from zstruct.keywords import keywords

__all__ = ["FAMILIES", "use_duplicates", "use_features", "use_stores", "use_the_rest", "warmup"]

#: The files of kernels.
FAMILIES = (
    "zstruct.coverage.kernels.distances",
    "zstruct.exporters.kernels.lines",
    "zstruct.feistel",
    "zstruct.geometry.kernels.distances",
    "zstruct.features.kernels.acsf",
    "zstruct.features.kernels.chebyshev",
    "zstruct.features.kernels.chebyshev_changes",
    "zstruct.geometry.kernels.neighbors",
    "zstruct.features.kernels.statistics",
    "zstruct.loading.gather.kernels",
    "zstruct.loading.gather.mixed_kernels",
    "zstruct.loading.order.kernels",
    "zstruct.layouts.kernels",
    "zstruct.similarity.kernels.fingerprints",
    "zstruct.similarity.kernels.reduction",
    "zstruct.similarity.kernels.superposition",
    "zstruct.loading.derived.kernels",
    "zstruct.transforms.kernels",
    "zstruct.sources.hdf5.dataset_kernels",
    "zstruct.sources.hdf5.group_kernels",
    "zstruct.sources.hdf5.link_kernels",
    "zstruct.sources.lines.kernels",
    "zstruct.sources.lines.table_kernels",
    "zstruct.sources.opcodes",
    "zstruct.sources.xsf.kernels",
    "zstruct.sources.xyz.kernels",
    "zstruct.stats.kernels",
    "zstruct.store.kernels",
)
# A thin cell, whose nearest images are many cells away, and one of another size.
_FRAMES = """\
2
Lattice=".9 0 0 0 4 0 0 0 9" Properties=species:S:1:pos:R:3:forces:R:3 energy=0 stress="1 0 0 0 1 0 0 0 1" a=b
O 0 0 0 0 0 0.25
H 0.1 0.2 0.9 0 0 -0.25
1
Lattice="4 0 0 0 4 0 0 0 9" Properties=species:S:1:pos:R:3:forces:R:3 energy=0 stress="1 0 0 0 1 0 0 0 1" a=c
H 0 0 0 0 0 0
"""


@keywords()
def warmup() -> list[Path]:
    """Compile all kernels now, rather than each when it is first needed.

    It takes about a minute, once: compiled kernels are kept on disk and found by later processes. What
    is there already is not compiled again. The folder is the one that ``NUMBA_CACHE_DIR`` names, or
    ``__pycache__`` in the package, or, where that can't be written, the user's cache.

    Returns
    -------
    list
        The folders that have the code, one for each file of kernels; none where it could be kept nowhere.

    Examples
    --------
    >>> import zstruct
    >>> folders = zstruct.warmup()  # doctest: +SKIP
    """
    with compiled_always(), tempfile.TemporaryDirectory(prefix="zstruct-warmup-") as folder:
        use_stores(Path(folder))
        use_duplicates(Path(folder))
        use_features()
        use_the_rest()
    return [place for family in FAMILIES for place in cache.folders(family) if place.is_dir()]


def kernels() -> list[Kernel]:
    """Return all kernels."""
    found = [
        value for family in FAMILIES for value in vars(importlib.import_module(family)).values()
    ]  # fmt: skip
    return [value for value in found if isinstance(value, Kernel) and value.__module__ in FAMILIES]


def use_stores(folder: Path) -> None:
    """Build a store, sum it up, compute features, and read batches of all kinds."""
    import zstruct
    from zstruct import transforms
    from zstruct.features import Chebyshev
    from zstruct.loading.order import MixtureSampler, SequentialSampler
    from zstruct.random import permuted, shuffled

    (folder / "some.xyz").write_text(_FRAMES)
    path = folder / "some.zarr"
    zstruct.build(str(folder / "some.xyz"), path, progress=False)
    zstruct.statistics(path)
    zstruct.featurize(path, Chebyshev(["H", "O"], 2, 3.0, 2, 3.0), derivatives=True, progress=False)
    noise = transforms.AddNoise(0.1)
    reflection = transforms.Compose([transforms.RandomReflection(1.0), noise])
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"neighbors": {"cutoff": 3.0, "carry": ["edge_vec"]}, "transform": transforms.Wrap()}, "graph"),
        ({"cache": None, "transform": transforms.AddNoise(0.1, p=0.5)}, "padded"),
        ({}, "physnet"),
        ({"transform": [transforms.RandomRotation(), noise], "dtype": "float32"}, "graph"),
        ({"transform": reflection, "dtype": "float32"}, "graph"),
    )
    for options, layout in cases:
        reader = zstruct.StructureReader(path, **options)
        reader.prefetch([0])
        for _ in range(2):  # a batch that is asked for its index has the next one made with it
            _ = next(iter(reader.batches(2))).batch
        next(iter(reader.batches(2, layout=layout)))
    plain = zstruct.StructureReader(path)
    noisy = zstruct.StructureReader(path, neighbors=3.0, transform=noise)
    for parts in ([plain, plain], [noisy, noisy]):
        mixture = zstruct.MixtureReader(parts)
        for _ in range(2):  # what is decoded is gathered at once
            mixture.take([0, 2])
    list(MixtureSampler([SequentialSampler(2)], [1.0]))
    shuffled(1)
    permuted(np.array([0]), 1 << 20)
    _use_decimals()


def use_duplicates(folder: Path) -> None:
    """Compare the structures of a store."""
    import zstruct

    path = folder / "same.zarr"
    cells = np.array([0.9 * np.eye(3), np.eye(3)])  # their nearest images are many cells away
    places, at = 0.1 * np.eye(3), [0, 2, 3]
    some = zstruct.sources.arrays([8, 1, 1], places, at, cell=cells, pbc=True, forces=np.eye(3))
    zstruct.build(some, path, units="ase", progress=False)
    zstruct.duplicates([path, path], supercells=True)


def _use_decimals() -> None:
    """Store numbers as whole ones of both sizes, and read them in both precisions."""
    from zstruct.store.decimals import Decimal

    numbers = np.array([0.25])
    for dtype in ("int32", "int64"):
        decimal = Decimal(2, dtype)
        whole = decimal.whole(numbers)
        for out in (numbers, numbers.astype(np.float32)):
            decimal.restore(whole, out)


def use_features() -> None:
    """Compute features, and their derivatives to second order, of a few atoms."""
    from zstruct.features import ACSF, Chebyshev, Structures, neighbor_list

    structures = Structures.of({"numbers": np.array([8, 1, 1]), "positions": 0.9 * np.eye(3)})
    near = neighbor_list(structures, 3.0)
    moves, strain = np.zeros((3, 3)), np.zeros((1, 3, 3))
    angular = [(0.01, 1.0, 1.0)]
    for descriptor in (
        Chebyshev(["H", "O"], 2, 3.0, 2, 3.0),
        ACSF(["H", "O"], 3.0, [(0.1, 0.0)], [1.0], angular, angular),
    ):
        values = descriptor.values(structures, near)
        descriptor.derivatives(structures, near)
        descriptor.vjp(structures, near, values, moves, strain)
        descriptor.jvp(structures, near, moves)
        descriptor.hvp(structures, near, values, moves, moves.copy())


def use_the_rest() -> None:
    """Call what is met only now and then."""
    from io import BytesIO

    from zstruct.coverage.farthest import farthest_of
    from zstruct.coverage.vectors import Vectors
    from zstruct.exporters.lines import Item, written
    from zstruct.sources.content import MemoryContent
    from zstruct.sources.hdf5.direct import use_kernels
    from zstruct.sources.lines.tables import NumberTable
    from zstruct.sources.pickles import loads
    from zstruct.sources.runner.source import RunnerSource
    from zstruct.sources.xsf.source import XSFSource
    from zstruct.sources.xyz import kernels as xyz_kernels

    with Vectors(9, 1, np.dtype(np.float64)) as vectors:
        vectors.put(0, np.arange(9.0)[:, None])
        farthest_of(vectors, 2)
        farthest_of(vectors, 2, beside=vectors)
    written(np.array([1]), [Item(rows=np.array([0.5]))])
    source = RunnerSource(MemoryContent("input.data", "input.data", b"begin\natom 0 0 0 H 0 0 0 0 0\nend\n"))
    list(source.read(source.scan()[0]))
    list(XSFSource(MemoryContent("a.xsf", "a.xsf", b"ATOMS\nH 0 0 0\n")).read(source.scan()[0]))
    loads(pickle.dumps(None), {}, "")
    use_kernels()
    NumberTable(BytesIO(b"0.5\n"), "a", "a", 1).take(1)
    xyz_kernels.refill(np.full(8, -1, np.int32), np.zeros(4, np.uint64), 1)
