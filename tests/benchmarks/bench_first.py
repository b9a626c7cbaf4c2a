"""The first batch of a process, kernels compiled and torch loaded, against version 0.1 in the same run.

Opening 50,000 structures and loading a batch of them: what `import zstruct` and the first use of each module
take is part of it, what torch takes to load is not. Both versions read the same store, in processes in turn.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.common import checkout, machine, median, show, write_molecules

OLD = "0dab99b"
ALLOWED = 0.4  # of the time of the old version
REPEATS = 9
_N_STRUCTURES = 50_000
_BUILD = "import sys, zstruct; zstruct.build(*sys.argv[1:], progress=False)"
_CODE = """
import json, sys, time
import torch
began, cpu = time.perf_counter(), time.process_time()
import zstruct
next(iter(zstruct.ZarrStructureDataset(sys.argv[1]).loader(256, shuffle=True)))
print(json.dumps([time.perf_counter() - began, time.process_time() - cpu]))
"""


def main(scale: float = 1.0) -> None:
    """Start processes of both versions in turn, and compare medians."""
    print(machine())
    with tempfile.TemporaryDirectory(prefix="zstruct-bench-") as name:
        folder = Path(name)
        trees = {"old": folder / "old", "new": Path(__file__).parents[2]}
        checkout(OLD, trees["old"])
        text, store = folder / "molecules.xyz", folder / "molecules.zarr"
        write_molecules(text, int(_N_STRUCTURES * scale), 5, 29)
        _run(trees["old"], folder, _BUILD, text, store)
        found: dict[str, list[list[float]]] = {side: [] for side in trees}
        for k in range(1 + (3 if scale < 1 else REPEATS)):
            for side in ("old", "new", "new", "old"):
                seconds = json.loads(_run(trees[side], folder, _CODE, store))
                if k:  # the first ones compile
                    found[side].append(seconds)
    wall, cpu = ([median([each[k] for each in found[side]]) for side in trees] for k in (0, 1))
    rows = [
        [what, *(f"{seconds:.3f}" for seconds in of), f"{of[1] / of[0]:.2f}", allowed]
        for what, of, allowed in (("wall time", wall, ALLOWED), ("CPU time", cpu, ""))
    ]
    show(
        f"first batch of {int(_N_STRUCTURES * scale):,} structures of 5 to 29 atoms, against {OLD}; "
        f"medians of {len(found['new'])}",
        rows,
        ["", "0.1, s", "now, s", "ratio", "allowed"],
    )
    if wall[1] > ALLOWED * wall[0]:
        raise SystemExit(f"the first batch takes {wall[1] / wall[0]:.2f} of the time of {OLD}")


def _run(tree: Path, folder: Path, code: str, *arguments: Path) -> str:
    """Run code with the package of a tree; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "NUMBA_CACHE_DIR": str(folder / "kernels")}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
