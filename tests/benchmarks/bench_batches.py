"""Batches for training: layouts, padding, epochs, transforms; and statistics of whole stores.

The environment variable PARTS chooses some of the parts, separated by commas: layouts, padding,
epochs, transforms, statistics.
"""

import functools
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import zstruct
from tests.benchmarks import bench_open, workloads
from tests.benchmarks.common import fresh, machine, median, show
from tests.benchmarks.files import REPEATS, SECONDS, Files, Ours, epoch_rate, for_some_time, median_rates
from tests.benchmarks.findings import Finding, conclude
from zstruct.loading.collate import graph, padded, physnet
from zstruct.loading.transforms import AddNoise, RandomRotation

BATCH = 256
RECOMMENDED = 32  # batches in a bucket


def main(scale: float = 1.0) -> None:
    print(machine())
    print(f"torch {torch.__version__}")
    chosen = os.environ.get("PARTS", "layouts,padding,epochs,transforms,statistics").split(",")
    findings: list[Finding] = []
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        for name, make, n, parts in (
            ("A", workloads.solids, 100_000, (_layouts, _epochs, _transforms)),
            ("Q", workloads.molecules, 200_000, (_layouts, _padding, _epochs)),
        ):
            asked = [part for part in parts if part.__name__.strip("_") in chosen]
            if asked:
                files = Files(name, make(int(n * scale)), folder / name)
                for part in asked:
                    findings += part(files)
                files.close()
                shutil.rmtree(files.folder)
        if "statistics" in chosen:
            findings += _statistics(folder, int(1_000_000 * scale))
    finally:
        shutil.rmtree(folder)
    conclude(findings)


def _dataset(files: Files, **options: Any) -> zstruct.ZarrStructureDataset:
    """Return the structures as a dataset that has all of them in memory."""
    return zstruct.ZarrStructureDataset(files.path(Ours), cache="memory", **options)


def _layouts(files: Files) -> list[Finding]:
    """Shuffled batches in each layout, from indices to tensors; bytes are those of what comes out."""
    dataset = Ours(files.path(Ours)).dataset
    fixed = list(dataset.loader(BATCH, shuffle=True, seed=0).batch_sampler)
    bucketed = list(
        dataset.loader(BATCH, shuffle=True, seed=0, bucket_size=RECOMMENDED * BATCH).batch_sampler
    )
    sides: dict[str, Callable[[], float]] = {}
    sizes: dict[str, float] = {}
    for name, layout, batches in (
        ("graph", graph, fixed),
        ("padded", padded, fixed),
        ("padded, bucketed", padded, bucketed),
        ("physnet", physnet, fixed),
        ("physnet, bucketed", physnet, bucketed),
        ("graph, NumPy", functools.partial(graph, as_numpy=True), fixed),
        ("padded, NumPy", functools.partial(padded, as_numpy=True), fixed),
        ("physnet, NumPy", functools.partial(physnet, as_numpy=True), fixed),
    ):

        def read(indices: np.ndarray, layout: Callable[[Any], Mapping[str, Any]] = layout) -> int:
            return sum(array.nbytes for array in layout(dataset.take(indices)).values())

        # All batches once: this warms up, too.
        sizes[name] = sum(map(read, batches)) / len(dataset)
        sides[name] = functools.partial(for_some_time, itertools.cycle(batches), read, SECONDS)
    rates = median_rates(sides)
    flow = {name: rates[name] * sizes[name] for name in rates}
    rows = [
        [name, f"{rates[name]:,.0f}", f"{sizes[name]:,.0f}", f"{flow[name] / 1e9:.2f}",
         f"{flow[name] / flow['graph']:.2f}"]
        for name in rates
    ]  # fmt: skip
    header = ["", "structures/s", "bytes/structure", "GB/s", "of graph's"]
    show(f"{files.title}; batches of {BATCH}, take and collate, one thread, warm", rows, header)
    theirs = f"graph {flow['graph'] / 1e9:.2f} GB/s"
    return [
        Finding(f"bytes per second, {name}", files.name, f"{flow[name] / 1e9:.2f} GB/s", theirs,
                flow[name] / flow["graph"], 1 / 1.5, False)
        for name in rates if name.startswith(("padded", "physnet"))
    ]  # fmt: skip


def _padding(files: Files) -> list[Finding]:
    """How much of a padded epoch is padding, with buckets of so many batches, and how fast it is."""
    dataset = Ours(files.path(Ours)).dataset
    sides: dict[str, Callable[[], float]] = {}
    wasted: dict[str, float] = {}
    for n in (0, 8, 16, RECOMMENDED, 64):
        loader = dataset.loader(BATCH, shuffle=True, seed=0, layout="padded", bucket_size=n * BATCH or None)
        name = f"{n} batches" if n else "no buckets"
        efficiency = loader.padding_efficiency()
        masks = [batch["mask"] for batch in loader]
        real = sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)
        if abs(real - efficiency) > 1e-12:
            raise RuntimeError(f"{name}: padding_efficiency() is {efficiency}, but masks say {real}")
        wasted[name] = 1 - efficiency
        sides[name] = functools.partial(epoch_rate, lambda loader=loader: loader)
    rates = median_rates(sides)
    rows = [[name, f"{wasted[name]:.2%}", f"{rates[name]:,.0f}"] for name in rates]
    show(
        f"{files.title}; padded epoch, batches of {BATCH}, shuffled", rows,
        ["batches in a bucket", "padding", "structures/s"],
    )  # fmt: skip
    waste = wasted[f"{RECOMMENDED} batches"]
    return [
        Finding(f"padding, buckets of {RECOMMENDED} batches", files.name, f"{waste:.2%}", "5% asked for",
                0.05 / waste, 1, False)
    ]  # fmt: skip


def _epochs(files: Files) -> list[Finding]:
    """Shuffled epochs in the graph layout, each checked to hold every structure exactly once."""
    dataset = Ours(files.path(Ours)).dataset
    budget = BATCH * round(np.diff(files.structures.offsets).mean())
    fixed, by_atoms = f"{BATCH} structures", f"up to {budget:,} atoms"
    loaders = {
        fixed: dataset.loader(BATCH, shuffle=True),
        by_atoms: dataset.loader(max_atoms=budget, shuffle=True),
        f"{fixed}, bucketed": dataset.loader(BATCH, shuffle=True, bucket_size=RECOMMENDED * BATCH),
    }
    for name, loader in loaders.items():
        files.check_epoch(f"batches of {name}", loader)
    rates = median_rates(
        {name: functools.partial(epoch_rate, lambda of=loader: of) for name, loader in loaders.items()}
    )
    rows = [
        [
            name,
            f"{len(dataset) / len(loader):.1f}",
            f"{rates[name]:,.0f}",
            f"{rates[name] / rates[fixed]:.2f}",
        ]
        for name, loader in loaders.items()
    ]
    header = ["batches of", "structures in one", "structures/s", "of fixed"]
    show(f"{files.title}; shuffled epoch through a loader, every structure once, warm", rows, header)
    speeds = f"{rates[by_atoms]:,.0f}/s", f"fixed batches {rates[fixed]:,.0f}/s"
    return [Finding("atom-budget epoch", files.name, *speeds, rates[by_atoms] / rates[fixed], 1 / 1.2, False)]


def _transforms(files: Files) -> list[Finding]:
    """What transforms add to the gather of a batch, positions and forces in single precision."""
    steps = {"rotation": [RandomRotation(seed=1)], "noise": [AddNoise(0.01, seed=1)]}
    steps["rotation + noise"] = steps["rotation"] + steps["noise"]
    datasets = {
        "gather": _dataset(files, fields=("positions", "forces")),
        **{
            name: _dataset(files, fields=("positions", "forces"), transform=transform)
            for name, transform in steps.items()
        },
    }
    order = np.random.default_rng(6).permutation(len(files.structures))
    batches = [order[k : k + BATCH] for k in range(0, len(order) - BATCH + 1, BATCH)]
    sides: dict[str, Callable[[], float]] = {}
    for name, dataset in datasets.items():
        for indices in batches:
            dataset.take(indices)
        sides[name] = functools.partial(for_some_time, itertools.cycle(batches), dataset.take, SECONDS)
    seconds = {name: BATCH / rate for name, rate in median_rates(sides).items()}
    gather = seconds.pop("gather")
    rows = [["gather", f"{1e6 * gather:,.0f}", "-"]]
    rows += [
        [f"{name}, on top", f"{1e6 * (of - gather):,.0f}", f"{of / gather - 1:.0%}"]
        for name, of in seconds.items()
    ]
    title = f"{files.title}; a batch of {BATCH}, positions and forces in float32, one thread, warm"
    show(title, rows, ["", "microseconds", "of the gather"])
    added = seconds["rotation + noise"] - gather
    return [
        Finding("rotation + noise, a quarter of the gather", files.name, f"{1e6 * added:,.0f} us",
                f"gather {1e6 * gather:,.0f} us", gather / added / 4, 1, False)
    ]  # fmt: skip


_WHOLE_STORE = """
    import os, sys, time, zstruct

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    path, function = sys.argv[1:]
    began = time.perf_counter()
    found = getattr(zstruct, function)(path)
    print(time.perf_counter() - began, found.structures if function == "statistics" else found.n_structures)
"""


def _statistics(folder: Path, n: int) -> list[Finding]:
    """Statistics and reference energies of structures of 20 atoms, first calls in processes of two cores."""
    rows, findings = [], []
    targets = {"statistics": 5, "fit_references": 3}
    # A quarter of the structures as well: memory that is bounded is about the same.
    for m in (n // 4, n):
        path = folder / f"{m}.zarr"
        bench_open.synthetic(path, m, atoms=(20, 20))
        data = m * 20 * (1 + 2 * 3 * 8) / 2**20  # numbers, positions and forces
        for function, target in targets.items():
            runs = []
            for repeat in range(REPEATS + 1):
                output, peak = fresh(_WHOLE_STORE, path, function)
                seconds, found = output.split()
                if int(found) != m:
                    raise RuntimeError(f"{function} found {found} structures of {m:,}")
                if repeat:  # the first one may have had kernels to compile
                    runs.append((float(seconds), peak))
            took, peak = (median(each) for each in zip(*runs, strict=True))
            rows.append([f"zstruct.{function}", f"{m:,}", f"{took:.2f}", f"{peak:,.0f}", f"{data:,.0f}"])
            if m == n:
                findings.append(
                    Finding(f"zstruct.{function}", f"{n:,}", f"{took:.2f} s", f"{target} s asked for",
                            target / took, 1, False)
                )  # fmt: skip
        shutil.rmtree(path)
    show(
        "structures of 20 atoms with forces; the first call in a process with two cores, page cache warm",
        rows, ["", "structures", "s", "peak MiB", "MiB per atom in the store"],
    )  # fmt: skip
    return findings
