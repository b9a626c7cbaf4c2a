"""The decimal encoding and the small compression: bytes, and how fast they are read, on real data.

Each real set is made large by turning its structures at random and rounding to the decimals that it was
written with: numbers that nobody has stored yet, with the digits of real ones. Repeating them would flatter
the compressors.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

import zstruct
from tests.benchmarks.common import SYMBOLS, machine, median, show
from zstruct.store.shards import ArrayReader

_ROOT = Path(__file__).parents[2]
_SHARED = _ROOT.parent / "shared" / "data"
_SETS = ("3bpa_train_300K.xyz", "carbon_reduced_100.xyz", "qm7x_reduced_100.xyz", "qm9_reduced_100.xyz")
_KINDS = {
    "float64": {},
    "decimal": {"decimal": True},
    "decimal, small": {"decimal": True, "compression": "small"},
    "float32": {"dtype": "float32"},
}
_ATOMS = 1_000_000
_REPEATS = 9


def main(scale: float = 1.0) -> None:
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        sizes, speeds = [], []
        for name, text in _texts(folder, int(_ATOMS * scale)):
            stores = _stores(folder / name, text)
            sizes.append(_sizes(name, stores))
            speeds += _speeds(name, stores)
            shutil.rmtree(folder / name)
            text.unlink()
        show(
            "bytes, and of them as a multiple of those of lossy float32 (targets: decimal 1.11, small 1.04)",
            sizes,
            ["set", *_KINDS, *(f"{kind} / float32" for kind in list(_KINDS)[1:3])],
        )
        show(
            "read from the page cache, GB/s of float64; decimal against float64 (targets: 1.5; xarray 0.8)",
            speeds,
            ["set", "how", *_KINDS, "decimal / float64"],
        )
        _random(folder, int(100_000 * scale))
    finally:
        shutil.rmtree(folder)


def _texts(folder: Path, n_atoms: int) -> Iterator[tuple[str, Path]]:
    """Write every set, made large; yield names and files."""
    files = [_SHARED / name for name in _SETS] if _SHARED.is_dir() else []
    for file in files or sorted((_ROOT / "tests" / "data" / "sample").glob("*.xyz")):
        frames = [_plain(atoms) for atoms in ase.io.read(file, ":")]
        turn = np.random.default_rng(0)
        text = folder / file.name
        with text.open("w") as out:
            written = 0
            while written < n_atoms:
                symbols, vectors, head = frames[turn.integers(len(frames))]
                rotation = np.linalg.qr(turn.normal(size=(3, 3)))[0]
                rows = np.concatenate([part @ rotation.T for part in vectors], axis=1)
                lines = [
                    f"{s} " + " ".join(f"{x:.8f}" for x in row) for s, row in zip(symbols, rows, strict=True)
                ]
                out.write(
                    "\n".join([str(len(symbols)), head + f" energy={-turn.random() * 1e4:.8f}", *lines, ""])
                )
                written += len(symbols)
        yield file.stem, text


def _plain(atoms: Atoms) -> tuple[list[str], list[np.ndarray], str]:
    """Return symbols, what turns with the structure, and how the comment begins."""
    forces = atoms.arrays.get("force", None if atoms.calc is None else atoms.calc.results.get("forces"))
    vectors = [atoms.positions - atoms.positions.mean(axis=0)] + ([] if forces is None else [forces])
    columns = "species:S:1:pos:R:3" + ("" if forces is None else ":forces:R:3")
    return [chemical_symbols[z] for z in atoms.numbers], vectors, f"Properties={columns}"


def _stores(folder: Path, text: Path) -> dict[str, zstruct.Store]:
    folder.mkdir()
    for k, how in enumerate(_KINDS.values()):
        zstruct.build(text, folder / str(k), encoding=how, progress=False)
    return {kind: zstruct.Store(folder / str(k)) for k, kind in enumerate(_KINDS)}


def _sizes(name: str, stores: dict[str, zstruct.Store]) -> list[object]:
    nbytes = {kind: store.nbytes_stored() for kind, store in stores.items()}
    n = next(iter(stores.values())).n_atoms
    per_atom = [f"{size / n:.1f} B/atom" for size in nbytes.values()]
    return [name, *per_atom, *(f"{nbytes[kind] / nbytes['float32']:.3f}" for kind in list(_KINDS)[1:3])]


def _speeds(name: str, stores: dict[str, zstruct.Store]) -> list[list[object]]:
    """Time the direct reader in both precisions, xarray, and a first epoch."""
    rows = []
    for how in ("direct, float64", "direct, float32", "zstruct.open", "first epoch"):
        seconds: dict[str, list[float]] = {kind: [] for kind in stores}
        for _ in range(_REPEATS):
            for kind, store in stores.items():
                work = _work(how, store)
                began = time.perf_counter()
                work()
                seconds[kind].append(time.perf_counter() - began)
        took = {kind: median(values[1:]) for kind, values in seconds.items()}
        nbytes = next(iter(stores.values())).n_atoms * 24
        cells = [f"{nbytes / took[kind] / 1e9:.2f}" for kind in stores]
        rows.append([name, how, *cells, f"{took['float64'] / took['decimal']:.2f}"])
    return rows


def _work(how: str, store: zstruct.Store) -> Callable[[], object]:
    if how == "zstruct.open":
        opened = zstruct.open(store.path)
        return lambda: opened.positions.values
    if how == "first epoch":
        return lambda: [
            None
            for _ in zstruct.ZarrStructureDataset(store.path, cache="memory").loader(256, shuffle="block")
        ]
    out = np.zeros((store.n_atoms, 3), how.split()[-1])  # the system has given the memory before
    out += 1
    reader = ArrayReader(store, "positions")
    return lambda: reader.read_into(0, len(out), out)


def _random(folder: Path, n: int) -> None:
    """Bytes of random structures of 64 atoms in single precision."""
    draw = np.random.default_rng(0)
    source = zstruct.sources.arrays(
        positions=draw.random((64 * n, 3)) * 10,
        numbers=draw.choice([1, 6, 7, 8], 64 * n).astype(np.uint8),
        offsets=np.arange(n + 1) * 64,
        energy=draw.normal(size=n),
        forces=draw.normal(size=(64 * n, 3)),
    )
    rows = []
    for kind in ("fast", "small"):
        out = folder / kind
        zstruct.build(source, out, encoding={"dtype": "float32", "compression": kind}, progress=False)
        store = zstruct.Store(out)
        names = ("positions", "numbers", "energy", "forces", "n_atoms", "offsets")
        fields = sum(f.stat().st_size for name in names for f in (out / name).rglob("*") if f.is_file())
        rows.append([kind, f"{fields / n:.0f}", f"{store.nbytes_stored() / n:.0f}"])
    show(
        f"random float32, {n:,} structures of 64 atoms of {', '.join(SYMBOLS)}: bytes of each (target 1,339)",
        rows,
        ["compression", "positions, forces, numbers, energy", "the store"],
    )
