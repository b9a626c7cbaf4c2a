"""Features in stores: how fast they get there and back, in how much memory; how soon the first are there."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import zstruct
from tests.benchmarks.common import alternate, fresh, median, show
from tests.benchmarks.feature_workloads import organic, rutile
from tests.benchmarks.findings import Finding
from zstruct.features import Chebyshev, NeighborList, Structures
from zstruct.geometry.pieces import visit
from zstruct.parallel import cpu_count

REPEATS = 5
TIO2 = Chebyshev(["Ti", "O"], 10, 6.5, 3, 6.5)
# Of an atom with 110 neighbours, for each triplet in float64, as aenet keeps them; not measured here.
TRIPLET_BYTES = 1.9e6

_FEATURIZE = """
    import sys, time, zstruct
    from zstruct.features import Chebyshev

    began = time.perf_counter()
    descriptor = Chebyshev(["Ti", "O"], 10, 6.5, 3, 6.5)
    zstruct.featurize(sys.argv[1], descriptor, name="fresh", progress=False)
    print(time.perf_counter() - began)
"""


def featurize(scale: float) -> list[Finding]:
    """Chebyshev features of a million atoms, and derivatives of fewer, into a store."""
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        return _values(folder / "values.zarr", scale) + _derivatives(folder / "derivatives.zarr", scale)
    finally:
        shutil.rmtree(folder)


def _values(path: Path, scale: float) -> list[Finding]:
    structures = list(rutile(np.random.default_rng(0), int(13_889 * scale)))
    zstruct.build(structures, path, progress=False)
    packed, n_threads = Structures.of(structures), cpu_count()
    del structures
    # First, for afterwards there are two groups in the store.
    output, peak = fresh(_FEATURIZE, path)
    seconds = alternate(
        {
            "kernels": lambda: visit(
                lambda row, part, neighbors: TIO2.values(part, neighbors),
                packed, TIO2.cutoff, n_threads=n_threads,
            ),
            "featurize": lambda: zstruct.featurize(path, TIO2, overwrite=True, progress=False),
        },
        REPEATS,
    )  # fmt: skip
    rates = {name: packed.n_atoms / median(each) for name, each in seconds.items()}
    share = rates["featurize"] / rates["kernels"]
    rows = [
        ["kernels, results not kept", f"{rates['kernels']:,.0f}", "1.00", "-"],
        ["featurize", f"{rates['featurize']:,.0f}", f"{share:.2f}", "-"],
    ]
    in_fresh = packed.n_atoms / float(output)
    rows.append(
        [
            "featurize in a fresh process",
            f"{in_fresh:,.0f}",
            f"{in_fresh / rates['kernels']:.2f}",
            f"{peak:,.0f}",
        ]
    )
    title = f"Chebyshev features of {packed.n_atoms:,} atoms of TiO2 into a store, {n_threads} threads"
    show(title, rows, ["", "atoms/s", "share", "peak MiB"])
    return [
        Finding("featurize", "TiO2", f"{rates['featurize']:,.0f} atoms/s", f"kernels {rates['kernels']:,.0f}",
                share, 0.6, False),
        Finding("memory of featurize", "TiO2", f"{peak:,.0f} MiB", "1,024 MiB allowed",
                1024 / peak, 1, False),
    ]  # fmt: skip


def _derivatives(path: Path, scale: float) -> list[Finding]:
    n = max(4, int(300 * scale))
    zstruct.build(rutile(np.random.default_rng(0), n), path, progress=False)
    rows, per_atom = [], {}
    for dtype in ("float32", "float64"):
        options = {"derivatives": True, "name": dtype, "dtype": dtype, "progress": False}
        report = zstruct.featurize(path, TIO2, **options)  # once: it is the disk that is measured
        files = (f for f in (path / "derivatives" / dtype).rglob("*") if f.is_file())
        per_atom[dtype] = sum(f.stat().st_size for f in files) / report.n_atoms
        dense = report.n_pairs / report.n_atoms * TIO2.n_features * 3 * np.dtype(dtype).itemsize
        speed = report.n_atoms / report.seconds
        rows.append([dtype, f"{speed:,.0f}", f"{per_atom[dtype]:,.0f}", f"{dense:,.0f}"])
    title = f"values and derivatives of {report.n_atoms:,} atoms of TiO2 into a store"
    show(title, rows, ["", "atoms/s", "bytes/atom of derivatives", "as dense arrays"])
    ours = f"{per_atom['float64']:,.0f} B"
    return [
        Finding("derivatives of an atom, float64", "TiO2", ours, f"aenet's triplets {TRIPLET_BYTES:,.0f} B",
                TRIPLET_BYTES / per_atom["float64"], 10, False),
        Finding("derivatives of an atom, float64", "TiO2", ours, f"dense {dense:,.0f} B",
                dense / per_atom["float64"], None, False),
    ]  # fmt: skip


def loader(scale: float) -> list[Finding]:
    """Epochs of molecules with neighbours or features, stored or computed for each batch."""
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    plain, full = folder / "plain.zarr", folder / "full.zarr"
    descriptor = Chebyshev(["H", "C", "N", "O"], 10, 5.0, 3, 4.0)
    sides: dict[str, tuple[Path, dict[str, Any]]] = {
        "fields alone": (plain, {}),
        "neighbours computed": (plain, {"neighbors": 5.0}),
        "neighbours stored": (full, {"neighbors": 5.0}),
        "features computed": (plain, {"features": descriptor}),
        "features stored": (full, {"features": "chebyshev"}),
    }
    try:
        n = max(2000, int(50_000 * scale))
        zstruct.build(organic(np.random.default_rng(0), n), plain, progress=False)
        shutil.copytree(plain, full)
        zstruct.featurize(full, descriptor, progress=False)
        pairs = zstruct.featurize(full, NeighborList(5.0), progress=False).n_pairs

        def opened(side: str) -> zstruct.ZarrStructureDataset:
            path, options = sides[side]
            return zstruct.ZarrStructureDataset(path, ["numbers", "positions"], cache="memory", **options)

        kept = {side: opened(side).loader(256, shuffle=True) for side in sides}
        _check({side: loader.dataset for side, loader in kept.items()})
        measures: dict[str, Callable[[str], object]] = {
            "warm": lambda side: _epoch(kept[side]),
            "first": lambda side: _epoch(opened(side).loader(256, shuffle="block")),
        }
        rates = {}
        for epoch, measure in measures.items():
            for side in sides:
                measure(side)
            seconds = alternate({side: lambda s=side, m=measure: m(s) for side in sides}, REPEATS)
            rates[epoch] = {side: n / median(each) for side, each in seconds.items()}
    finally:
        shutil.rmtree(folder)
    rows = [[side, *(f"{rates[epoch][side]:,.0f}" for epoch in measures)] for side in sides]
    title = f"{n:,} molecules of 5-29 atoms, {pairs / n:.0f} pairs within 5 A, loaders with batches of 256"
    show(f"{title}; structures/s", rows, ["", "warm epoch", "opening and first epoch"])
    for epoch in measures:
        for what in ("neighbours", "features"):
            (low, slower), (high, faster) = sorted(
                (rates[epoch][f"{what} {how}"], how) for how in ("stored", "computed")
            )
            print(f"{epoch} epoch: {what} are faster {faster} than {slower}, {high / low:.2f} times")
    return [
        Finding(f"loader, {side}", f"{epoch} epoch", f"{rates[epoch][side]:,.0f}/s", "100,000/s asked for",
                rates[epoch][side] / 100_000, 1 if epoch == "warm" else None, False)
        for epoch in measures
        for side in ("neighbours computed", "features stored")
    ]  # fmt: skip


def _epoch(batches: Any) -> int:
    return sum(len(batch["ptr"]) - 1 for batch in batches)


def _check(datasets: dict[str, Any]) -> None:
    """Raise unless what is stored is what is computed."""
    indices = np.arange(64)
    graphs = {side: zstruct.layouts.graph(data.take(indices)) for side, data in datasets.items()}
    edges = [graphs[f"neighbours {how}"]["edge_index"] for how in ("stored", "computed")]
    values = [graphs[f"features {how}"]["features"] for how in ("stored", "computed")]
    if not torch.equal(*edges) or not torch.allclose(*values, rtol=1e-6, atol=1e-6):
        raise RuntimeError("stored neighbours or features are others than computed ones")


_FIRST = """
    import sys, time
    import numpy as np
    from zstruct.features import Chebyshev

    places = np.stack(np.meshgrid(*[range(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    atoms = {
        "numbers": np.where(np.arange(64) % 3, 8, 22),
        "positions": 2.2 * places + np.random.default_rng(0).normal(0, 0.1, (64, 3)),
        "cell": 8.8 * np.eye(3),
        "pbc": np.ones(3, bool),
    }
    began = time.perf_counter()
    Chebyshev(["Ti", "O"], 10, 6.5, 3, 6.5).compute(atoms, derivatives=True)
    print(time.perf_counter() - began)
"""

_COLD = """
    import json, os, sys, time
    os.environ["NUMBA_CACHE_DIR"] = sys.argv[1]

    seconds, last = {}, time.perf_counter()
    def done(step):
        global last
        now = time.perf_counter()
        seconds[step], last = now - last, now

    import numba
    import numpy as np
    from zstruct.features import ACSF, Chebyshev, Structures, neighbor_list
    from zstruct.features.statistics import by_species
    done("imports")

    atoms = {"numbers": np.array([22, 8, 8]), "positions": np.array([[0, 0, 0], [1.9, 0, 0], [0, 1.9, 0.1]])}
    packed = Structures.of(atoms)
    near = neighbor_list(packed, 6.0)
    done("neighbour list")
    angular = [(0.01, 1, 1)]
    for name, descriptor in (
        ("Chebyshev", Chebyshev(["Ti", "O"], 10, 6.0, 3, 6.0)),
        ("ACSF", ACSF(["Ti", "O"], 6.0, [(0.1, 0.0)], [1.0], angular, angular)),
    ):
        values = descriptor.values(packed, near)
        done(f"{name} values")
        descriptor.derivatives(packed, near)
        done(f"{name} derivatives")
        moves, strain = np.zeros((3, 3)), np.zeros((1, 3, 3))
        descriptor.vjp(packed, near, values, moves, strain)
        done(f"{name} VJP")
        descriptor.jvp(packed, near, moves)
        descriptor.hvp(packed, near, values, moves, moves.copy())
        done(f"{name} second order")
    by_species(values.astype("float32"), packed.numbers)
    done("statistics")
    print(json.dumps(seconds))
"""


def start(scale: float) -> list[Finding]:
    """The first call of a process, with Numba's cache warm and with none."""
    fresh(_FIRST)  # so that the cache is warm
    calls, processes = [], []
    for _ in range(REPEATS):
        began = time.perf_counter()
        calls.append(float(fresh(_FIRST)[0]))
        processes.append(time.perf_counter() - began)
    call, process = median(calls), median(processes)
    with tempfile.TemporaryDirectory(prefix="zstruct-bench-") as cache:
        steps = json.loads(fresh(_COLD, cache)[0])
    total = sum(steps.values())
    rows = [["first call, cache warm", f"{call:.2f}"], ["the whole process, cache warm", f"{process:.2f}"]]
    rows += [[f"compile: {step}", f"{seconds:.2f}"] for step, seconds in steps.items() if seconds > 0.01]
    rows.append(["compile: in all", f"{total:.2f}"])
    show(
        "Starting: list, Chebyshev values and derivatives of 64 atoms; compiling all kernels", rows, ["", "s"]
    )
    return [
        Finding("first call", "Chebyshev", f"{call:.2f} s", "2 s allowed", 2 / call, 1, False),
        Finding("cold compile", "all kernels", f"{total:.1f} s", "40 s allowed", 40 / total, 1, False),
    ]
