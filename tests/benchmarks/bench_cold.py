"""First contact: fresh processes with an empty kernel cache, against version 0.1 in the same run.

Each step is a process of its own, and a chain of steps shares a cache that begins empty. Wall time is
that of the call, after the imports that it does not do itself; CPU-seconds are those of the whole
process. The old version is taken from the history of the repository.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from tests.benchmarks.common import checkout, machine, median, show, write_molecules

OLD = "0dab99b"
REPEATS = 3
_DESCRIPTOR = "zstruct.features.Chebyshev(['H', 'C', 'N', 'O'], 8, 5.0, 4, 4.0)"
# What is measured, what a step does, and the wall time allowed, as a part of the old version's.
STEPS = {
    "build": ("zstruct.build(xyz, out, progress=False)", 0.5),
    "first batch": ("next(iter(zstruct.ZarrStructureDataset(out).loader(32, shuffle=True)))", 0.5),
    "statistics": ("zstruct.statistics(out)", 0.4),
    "Chebyshev": (f"zstruct.featurize(out, {_DESCRIPTOR}, name='a', progress=False)", 0.7),
    "derivatives": (
        f"zstruct.featurize(out, {_DESCRIPTOR}, derivatives=True, name='b', progress=False)",
        None,
    ),
}
_CPU = 0.6  # of all steps together
_CODE = """
    import sys, time
    import zstruct
    import zstruct.features
    xyz, out = sys.argv[1:]
    {imports}
    began = time.perf_counter()
    {step}
    print(time.perf_counter() - began)
"""


def main(scale: float) -> None:
    """Run the chain with both versions in turn, and compare medians."""
    root = Path(__file__).parents[2]
    print(machine())
    with tempfile.TemporaryDirectory(prefix="zstruct-bench-") as folder:
        checkout(OLD, Path(folder) / "old")
        sides: dict[str, list[dict[str, tuple[float, float]]]] = {"old": [], "new": []}
        for k in range(1 if scale < 1 else REPEATS):
            for side, tree in (("old", Path(folder) / "old"), ("new", root)):
                sides[side].append(_chain(tree, Path(folder) / f"{side}-{k}"))
    rows, missed = [], []
    for step, (_, allowed) in STEPS.items():
        old, new = (median([chain[step][0] for chain in sides[side]]) for side in ("old", "new"))
        cpu = [median([chain[step][1] for chain in sides[side]]) for side in ("old", "new")]
        rows.append(
            [step, *(f"{x:.2f}" for x in (old, new, new / old)), allowed or "", *map("{:.2f}".format, cpu)]
        )
        if allowed and new > allowed * old:
            missed.append(step)
    old, new = (median([sum(cpu for _, cpu in chain.values()) for chain in sides[s]]) for s in ("old", "new"))
    rows.append(["CPU-seconds in all", "", "", f"{new / old:.2f}", _CPU, f"{old:.2f}", f"{new:.2f}"])
    show(
        f"200 structures of 5 to 20 atoms, against {OLD}; medians of {len(sides['new'])}",
        rows,
        ["", "0.1, s", "now, s", "ratio", "allowed", "0.1, CPU-s", "now, CPU-s"],
    )
    with tempfile.TemporaryDirectory(prefix="zstruct-bench-") as folder:
        began = time.perf_counter()
        environment = {**os.environ, "PYTHONPATH": str(root), "NUMBA_CACHE_DIR": folder}
        command = [sys.executable, "-m", "zstruct", "warmup"]
        subprocess.run(command, env=environment, capture_output=True, check=True)
        seconds = time.perf_counter() - began
        print(f"\n`zstruct warmup` compiles all kernels at once: {seconds:.0f} s with an empty cache.")
    if missed or new > _CPU * old:
        raise SystemExit(f"slower than allowed: {', '.join(missed) or 'CPU-seconds'}")


def _chain(tree: Path, folder: Path) -> dict[str, tuple[float, float]]:
    """Return wall time of the call and CPU-seconds of the process, by step."""
    folder.mkdir()
    write_molecules(folder / "small.xyz", 200, 5, 20)
    environment = {**os.environ, "PYTHONPATH": str(tree), "NUMBA_CACHE_DIR": str(folder / "cache")}
    found = {}
    for name, (step, _) in STEPS.items():
        imports = "from zstruct import ZarrStructureDataset" if name == "first batch" else ""
        code = textwrap.dedent(_CODE).format(step=step, imports=imports)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder / "small.xyz"), str(folder / "small.zarr")],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        found[name] = json.loads(done.stdout), cpu
    return found
