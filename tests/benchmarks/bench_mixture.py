"""Mixtures of three stores, against one store of the same structures: batches, loaders, references, edges.

The environment variable PARTS chooses some of the parts: batches, epochs, steps, separated by commas.
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

import zstruct
from tests.benchmarks import workloads
from tests.benchmarks.common import machine, show
from tests.benchmarks.files import SECONDS, epoch_rate, for_some_time, median_rates
from tests.benchmarks.findings import Finding, conclude
from tests.benchmarks.workloads import FIELDS, Structures
from zstruct.layouts.graph import graph
from zstruct.loading import Shuffle
from zstruct.transforms import RandomRotation

SIZES = (256, 1024)
#: What a mixture is asked to have of the speed of one store, by the structures of a batch.
TARGETS = {256: 0.75, 1024: 0.9}
_WEIGHTS = {"weights": [2, 1, 1]}


def main(scale: float = 1.0) -> None:
    print(machine())
    chosen = os.environ.get("PARTS", "batches,epochs,steps").split(",")
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    findings: list[Finding] = []
    try:
        for name, structures in (
            ("A", workloads.solids(int(100_000 * scale))),
            ("Q", workloads.molecules(int(200_000 * scale))),
        ):
            paths = _written(folder / name, structures)
            for part in (_batches, _epochs, _steps):
                if part.__name__.strip("_") in chosen:
                    findings += part(name, paths)
    finally:
        shutil.rmtree(folder)
    conclude(findings)


def _written(folder: Path, structures: Structures) -> dict[str, list[Path]]:
    """Write the structures as one store, and as three of which the last one lacks the forces."""
    folder.mkdir()
    n = len(structures)
    found: dict[str, list[Path]] = {"one": [], "three": [], "lacking": []}
    for side, edges in (("one", [0, n]), ("three", [0, n // 3, 2 * n // 3, n]), ("lacking", [2 * n // 3, n])):
        for k, (start, stop) in enumerate(itertools.pairwise(edges)):
            arrays = _between(structures, start, stop)
            if side == "lacking":
                del arrays["forces"]
            path = folder / f"{side}-{k}.zarr"
            source = zstruct.sources.arrays(**arrays)
            zstruct.build(source, path, encoding="float32", progress=False)
            found[side].append(path)
    return found


def _between(structures: Structures, start: int, stop: int) -> dict[str, Any]:
    first, last = structures.offsets[start], structures.offsets[stop]
    arrays = {
        "offsets": structures.offsets[start : stop + 1] - first,
        "energy": structures.energy[start:stop],
    }
    return arrays | {name: getattr(structures, name)[first:last] for name in FIELDS if name != "energy"}


def _datasets(paths: list[Path], **options: Any) -> list[zstruct.ZarrStructureDataset]:
    found = []
    for path in paths:
        there = zstruct.Store(path).fields
        data = zstruct.ZarrStructureDataset(
            path, [name for name in FIELDS if name in there], cache="memory", **options
        )
        data.cache_warmup()
        found.append(data)
    return found


def _sides(paths: Mapping[str, list[Path]], **options: Any) -> dict[str, Any]:
    (one,) = _datasets(paths["one"], **options)
    return {"one store": one, "three stores": zstruct.Mixture(_datasets(paths["three"], **options))}


def _batches(name: str, paths: Mapping[str, list[Path]]) -> list[Finding]:
    """Shuffled batches, as packed structures and as tensors."""
    sides = _sides(paths)
    lacking = [*paths["three"][:2], *paths["lacking"]]
    sides["three, one without forces"] = zstruct.Mixture(_datasets(lacking))
    findings = []
    for what, made in (("packed", lambda batch: batch), ("tensors", graph)):
        findings += _compared(f"{what}, batches of {{}}", name, sides, made, TARGETS)
    return findings


def _compared(
    measure: str,
    name: str,
    sides: Mapping[str, Any],
    made: Callable[[Any], object],
    targets: Mapping[int, float],
) -> list[Finding]:
    order = np.random.default_rng(4).permutation(len(sides["one store"]))
    findings = []
    for size in SIZES:
        cut = [order[k : k + size].copy() for k in range(0, len(order) - size, size)]
        runs = {
            side: functools.partial(_some, itertools.cycle(cut), data, made) for side, data in sides.items()
        }
        for run in runs.values():
            run()
        rates = median_rates(runs)
        rows = [[side, f"{rate:,.0f}", f"{rate / rates['one store']:.2f}"] for side, rate in rates.items()]
        show(f"{name}: {measure.format(size)}", rows, ["", "structures/s", "of one store"])
        others = list(sides)[1:]
        findings += [_finding(measure.format(size), name, one, rates, targets.get(size)) for one in others]
    return findings


def _some(pieces: Any, data: Any, made: Callable[[Any], object]) -> float:
    return for_some_time(pieces, lambda piece: made(data.take(piece)), SECONDS)


def _finding(measure: str, name: str, side: str, rates: Mapping[str, float], target: float | None) -> Finding:
    ours, theirs = f"{side} {rates[side]:,.0f}/s", f"one store {rates['one store']:,.0f}/s"
    return Finding(measure, name, ours, theirs, rates[side] / rates["one store"], target, False)


def _epochs(name: str, paths: Mapping[str, list[Path]]) -> list[Finding]:
    """Whole shuffled epochs through loaders: every structure once, and in proportion."""
    sides = _sides(paths)
    in_proportion = zstruct.Mixture(sides["three stores"].parts, **_WEIGHTS)
    findings = []
    for size in SIZES:
        loaders = {side: data.loader(size, Shuffle("full", seed=1)) for side, data in sides.items()}
        loaders["three, by weights"] = in_proportion.loader(size, Shuffle("full", seed=1))
        runs = {
            side: functools.partial(epoch_rate, lambda loader=loader: loader)
            for side, loader in loaders.items()
        }
        rates = median_rates(runs)
        rows = [[side, f"{rate:,.0f}", f"{rate / rates['one store']:.2f}"] for side, rate in rates.items()]
        measure = f"epoch, batches of {size}"
        show(f"{name}: {measure}", rows, ["", "structures/s", "of one store"])
        findings += [_finding(measure, name, side, rates, TARGETS[size]) for side in list(rates)[1:]]
    return findings


def _steps(name: str, paths: Mapping[str, list[Path]]) -> list[Finding]:
    """What is done to batches: references, a rotation, edges."""
    findings = []
    references = dict.fromkeys("HCNO", -1.0)
    for what, options in (
        ("references", {"references": references}),
        ("rotation", {"transform": RandomRotation(seed=1)}),
        ("edges", {"neighbors": 2.0}),
    ):
        sides = _sides(paths, **options)
        findings += _compared(f"{what}, batches of {{}}", name, sides, lambda batch: batch, {})
    return findings
