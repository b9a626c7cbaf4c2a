"""Stores of what is in memory, arrays and Atoms, against atompack: structures per second.

Random structures with energy and forces, in single precision, which is what atompack has. It is given
one molecule object for each structure, as it takes them; zstruct is given the arrays, and once Atoms.
"""

import shutil
import tempfile
from pathlib import Path

import zstruct
from tests.benchmarks.common import costs, machine, show
from tests.benchmarks.peers import Atompack
from tests.benchmarks.workloads import molecules, solids

_PEER = "atompack"


def main(scale: float = 1.0) -> None:
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        for name, structures in (
            ("64 atoms", solids(int(100_000 * scale))),
            ("5-29 atoms", molecules(int(200_000 * scale))),
        ):
            _compare(name, structures, folder)
    finally:
        shutil.rmtree(folder)


def _compare(name, structures, folder: Path) -> None:
    frames = list(structures.atoms())

    def built(source, out, encoding="float32"):
        zstruct.build(source, out, encoding=encoding, progress=False)

    sides = {
        "zstruct, arrays": lambda out: built(structures.source(), out),
        "zstruct, arrays, stored as float64": lambda out: built(structures.source(), out, None),
        "zstruct, ase.Atoms": lambda out: built(frames, out),
    }
    if Atompack.installed():
        sides[_PEER] = lambda out: Atompack.write(out, structures)
    found = costs(sides, folder)
    rows = []
    for side, cost in found.items():
        row = [side, *(f"{len(structures) / seconds:,.0f}" for seconds in (cost.wall, cost.cpu))]
        if _PEER in found:
            peer = found[_PEER]
            row += [f"{peer.wall / cost.wall:.2f}", f"{peer.cpu / cost.cpu:.2f}"]
        rows.append(row)
    header = [
        "",
        "structures/s",
        "per CPU-second",
        *([f"x {_PEER}", f"x {_PEER}, CPU"] if _PEER in found else []),
    ]
    show(f"{len(structures):,} structures of {name}, into a file on disk", rows, header)
