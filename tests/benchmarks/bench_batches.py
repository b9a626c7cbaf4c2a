"""Batches for training: layouts, padding, epochs, transforms; and statistics of whole stores.

The environment variable PARTS chooses some of the parts, separated by commas: layouts, narrow, padding,
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
from tests.benchmarks.common import columns_of, fresh, machine, median, show
from tests.benchmarks.files import REPEATS, SECONDS, Files, Ours, epoch_rate, for_some_time, median_rates
from tests.benchmarks.findings import Finding, conclude
from zstruct.layouts import physnet
from zstruct.layouts.graph import graph
from zstruct.layouts.padded import padded
from zstruct.loading import Batches, Shuffle
from zstruct.transforms import AddNoise, RandomRotation

BATCH = 256
RECOMMENDED = 32  # batches in a bucket
_EPOCHS = "whole shuffled epochs, every structure once, warm; in parentheses relative to batches of as many"
_SHOWN = {
    "rotation": "`RandomRotation`",
    "noise": "`AddNoise`",
    "rotation + noise": "`[RandomRotation, AddNoise]`",
}
#: Tables by title, their columns by what is read, cells by side.
tables: dict[str, dict[str, dict[str, str]]] = {}


def main(scale: float = 1.0) -> None:
    print(machine())
    print(f"torch {torch.__version__}")
    chosen = os.environ.get("PARTS", "layouts,narrow,padding,epochs,transforms,statistics").split(",")
    findings: list[Finding] = []
    tables.clear()
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        for name, make, n, parts in (
            ("A", workloads.solids, 100_000, (_layouts, _narrow, _epochs, _transforms)),
            ("Q", workloads.molecules, 200_000, (_layouts, _narrow, _padding, _epochs)),
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
    for title, columns in tables.items():
        header, rows = columns_of(columns)
        show(title, rows, header)
    conclude(findings)


def _layouts(files: Files) -> list[Finding]:
    """Shuffled batches in each layout, from indices to tensors or arrays, and the bytes made for them."""
    dataset = Ours(files.path(Ours)).dataset
    fixed, bucketed = (
        list(dataset.loader(Batches(BATCH, bucket=size), Shuffle(seed=0)).batch_sampler)
        for size in (None, RECOMMENDED * BATCH)
    )
    chosen = [("graph", graph, fixed), ("padded", padded, fixed), ("physnet", physnet, fixed)]
    chosen += [(f"{name}, NumPy", functools.partial(of, as_numpy=True), fixed) for name, of, _ in chosen]
    if np.ptp(np.diff(files.structures.offsets)):  # else there is nothing to sort
        chosen += [(f"{name}, bucketed", of, bucketed) for name, of, _ in chosen[1:3]]
    sides: dict[str, Callable[[], float]] = {}
    sizes: dict[str, float] = {}
    for name, layout, batches in chosen:

        def make(indices: np.ndarray, layout: Callable[[Any], Mapping[str, Any]] = layout) -> list[Any]:
            return list(layout(dataset.take(indices)).values())

        # All batches once: this warms up, too.
        sizes[name] = sum(_bytes(array) for indices in batches for array in make(indices)) / len(dataset)
        sides[name] = functools.partial(for_some_time, itertools.cycle(batches), make, SECONDS)
    rates = median_rates(sides)
    findings, speeds, flows = [], {}, {}
    for name in rates:
        base = "graph, NumPy" if name.endswith("NumPy") else "graph"
        flow, of_graph = rates[name] * sizes[name], rates[base] * sizes[base]
        speeds[name] = f"{rates[name]:,.0f}"
        flows[name] = f"{flow / 1e9:.2f}" + (f" ({flow / of_graph:.2f})" if name != base else "")
        if name != base:
            theirs = f"{base} {of_graph / 1e9:.2f} GB/s"
            # Batches of similar sizes have fewer bytes: they are compared, but not asked for.
            target = None if name.endswith("bucketed") else 1 / 1.5
            findings.append(
                Finding(f"bytes/s, {name}", files.name, f"{flow / 1e9:.2f} GB/s", theirs, flow / of_graph,
                        target, False)
            )  # fmt: skip
    table = tables.setdefault(f"layouts: batches of {BATCH}, take and collate, one thread, warm", {})
    table |= {f"{files.name}, structures/s": speeds, f"{files.name}, GB/s": flows}
    return findings


def _narrow(files: Files) -> list[Finding]:
    """Shuffled batches with fewer bytes for each atom: numbers as uint8, and ``ptr`` alone."""
    order = np.random.default_rng(6).permutation(len(files.structures))
    batches = [order[k : k + BATCH] for k in range(0, len(order) - BATCH + 1, BATCH)]
    wide, narrow = Ours(files.path(Ours)).dataset, Ours(files.path(Ours), numbers="uint8").dataset
    pointed = functools.partial(graph, index="ptr")
    readers: dict[str, Callable[[Any], Any]] = {
        "take": wide.take,
        "take, narrow": narrow.take,
        "take and graph": lambda indices: graph(wide.take(indices)),
        "take and graph, narrow": lambda indices: pointed(narrow.take(indices)),
    }
    sides = {}
    for name, read in readers.items():
        for indices in batches:
            read(indices)
        sides[name] = functools.partial(for_some_time, itertools.cycle(batches), read, SECONDS)
    rates = median_rates(sides)
    cells, findings = {}, []
    for name in readers:
        of = name.removesuffix(", narrow")
        cells[name] = f"{rates[name]:,.0f}" + (f" ({rates[name] / rates[of]:.2f})" if name != of else "")
        if name != of:
            speeds = f"{rates[name]:,.0f}/s", f"{of} {rates[of]:,.0f}/s"
            findings.append(Finding(name, files.name, *speeds, rates[name] / rates[of], 1.4, False))
    title = f"narrow batches of {BATCH}, one thread, warm; in parentheses relative to wide ones"
    tables.setdefault(title, {})[f"{files.name}, structures/s"] = cells
    return findings


def _bytes(array: torch.Tensor | np.ndarray) -> int:
    """Return the bytes made for a batch: none for an array that batches share, which is read-only."""
    return array.nbytes if isinstance(array, torch.Tensor) or array.flags.writeable else 0


def _padding(files: Files) -> list[Finding]:
    """How much of a padded epoch is padding, with buckets of so many batches, and how fast it is."""
    dataset = Ours(files.path(Ours)).dataset
    sides: dict[str, Callable[[], float]] = {}
    wasted: dict[str, float] = {}
    for n in (0, 8, 16, RECOMMENDED, 64):
        loader = dataset.loader(Batches(BATCH, bucket=n * BATCH or None), Shuffle(seed=0), layout="padded")
        name = f"{n} batches" if n else "no buckets"
        efficiency = loader.padding_efficiency()
        masks = [batch["mask"] for batch in loader]
        real = sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)
        if abs(real - efficiency) > 1e-12:
            raise RuntimeError(f"{name}: padding_efficiency() is {efficiency}, but masks say {real}")
        wasted[name] = 1 - efficiency
        sides[name] = functools.partial(epoch_rate, lambda loader=loader: loader)
    rates = median_rates(sides)
    rows = [[name.removesuffix(" batches"), f"{wasted[name]:.2%}", f"{rates[name]:,.0f}"] for name in rates]
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
        by_atoms: dataset.loader(Batches(max_atoms=budget), shuffle=True),
        f"{fixed}, bucketed": dataset.loader(Batches(BATCH, bucket=RECOMMENDED * BATCH), shuffle=True),
    }
    for name, loader in loaders.items():
        files.check_epoch(f"batches of {name}", loader)
    rates = median_rates(
        {name: functools.partial(epoch_rate, lambda of=loader: of) for name, loader in loaders.items()}
    )
    cells = {}
    for name, title in (
        (fixed, f"batches of {BATCH}"),
        (by_atoms, f"up to as many atoms as {BATCH} have on average"),
        (f"{fixed}, bucketed", f"batches of {BATCH} in buckets"),
    ):
        cells[title] = f"{rates[name]:,.0f}" + (
            f" ({rates[name] / rates[fixed]:.2f})" if name != fixed else ""
        )
    tables.setdefault(_EPOCHS, {})[f"{files.name}, structures/s"] = cells
    speeds = f"{rates[by_atoms]:,.0f}/s", f"fixed batches {rates[fixed]:,.0f}/s"
    return [Finding("atom-budget epoch", files.name, *speeds, rates[by_atoms] / rates[fixed], 1 / 1.2, False)]


def _transforms(files: Files) -> list[Finding]:
    """What transforms add to the gather of a batch: of all fields, and of those alone that turn."""
    order = np.random.default_rng(6).permutation(len(files.structures))
    batches = [order[k : k + BATCH] for k in range(0, len(order) - BATCH + 1, BATCH)]
    findings, columns = [], {}
    for fields in (list(workloads.FIELDS), ["positions", "forces"]):
        gather, added = _added(files, fields, batches)
        names = ", ".join(fields)
        columns[names] = {"gather": f"{1e6 * gather:,.0f}"}
        columns[names] |= {
            f"{_SHOWN[name]}, on top": f"{1e6 * of:,.0f} ({of / gather:.0%})" for name, of in added.items()
        }
        both = added["rotation + noise"]
        findings.append(
            Finding(f"rotation + noise, {names}", files.name, f"{1e6 * both:,.0f} us",
                    f"gather {1e6 * gather:,.0f} us", gather / both, 4, False)
        )  # fmt: skip
    header, rows = columns_of(columns)
    show(f"{files.title}; transforms, microseconds of a batch of {BATCH}, one thread, warm", rows, header)
    return findings


def _added(files: Files, fields: list[str], batches: list[np.ndarray]) -> tuple[float, dict[str, float]]:
    """Return the seconds that gathering a batch takes, and what transforms add to them."""
    rotation, noise = RandomRotation(seed=1), AddNoise(0.01, seed=1)
    steps = {"gather": None, "rotation": rotation, "noise": noise, "rotation + noise": [rotation, noise]}
    sides: dict[str, Callable[[], float]] = {}
    doubles = {name: torch.float64 for name in fields if name == "energy"}
    for name, transform in steps.items():
        dataset = zstruct.ZarrStructureDataset(
            files.path(Ours), fields, doubles, cache="memory", transform=transform
        )
        dataset.cache_warmup()
        sides[name] = functools.partial(for_some_time, itertools.cycle(batches), dataset.take, SECONDS)
    seconds = {name: BATCH / rate for name, rate in median_rates(sides).items()}
    gather = seconds.pop("gather")
    return gather, {name: of - gather for name, of in seconds.items()}


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
    columns: dict[str, dict[str, str]] = {}
    findings = []
    few, peaks = n // 4, {}  # of fewer structures, too: memory that is bounded does not grow with them
    for m in (few, n):
        path = folder / f"{m}.zarr"
        bench_open.synthetic(path, m, atoms=(20, 20))
        for function, target in (("statistics", 5), ("fit_references", 3)):
            runs = []
            for _ in range(REPEATS):
                output, peak = fresh(_WHOLE_STORE, path, function)
                seconds, found = output.split()
                if int(found) != m:
                    raise RuntimeError(f"{function} found {found} structures of {m:,}")
                runs.append((float(seconds), peak))
            took, peaks[function, m] = (median(each) for each in zip(*runs, strict=True))
            cell = f"{took:.2f} s, {peaks[function, m]:,.0f} MiB"
            columns.setdefault(f"{m:,} structures", {})[f"`zstruct.{function}`"] = cell
            if m == n:
                more, less = peaks[function, n], peaks[function, few]
                memory = f"{more:,.0f} MiB", f"{less:,.0f} MiB for {few:,}", less / more, None, False
                speed = f"{took:.2f} s", f"{target} s asked for", target / took, 1, False
                findings.append(Finding(f"zstruct.{function}", f"{n:,}", *speed))
                findings.append(Finding(f"zstruct.{function}, memory", f"{n:,}", *memory))
        shutil.rmtree(path)
    title = "structures of 20 atoms with forces; the first call in a process with two cores, page cache warm"
    header, rows = columns_of(columns)
    show(title, rows, header)
    return findings
