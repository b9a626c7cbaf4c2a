"""Coverage: 10,000 picks of 1,000,000 structures of 100 features, beside looking at all, and scikit-matter.

Features are normal numbers in 100 dimensions, the worst for what is known of distances; in 100 dimensions of
falling importance, the k-th with a deviation of 1/k; and in 200 clusters of ten dimensions each. Each row is
a process of its own; memory is its peak, of which Python with what it loads takes about 100 MiB.
"""

import importlib.util
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

import zstruct
from tests.benchmarks.common import fresh, machine, show

_N, _WIDTH, _PICKS = 1_000_000, 100, 10_000
_SMALL, _FEW = 50_000, 1_000  # what scikit-matter is given
_ROWS = 1 << 16  # that are made at a time
_PICK = """
import sys, time
import zstruct
path, name, how, n = sys.argv[1:]
store = zstruct.Store(path)
zstruct.warmup()
began = time.perf_counter()
picks = getattr(zstruct, how)(int(n), name).picks(store)
print(time.perf_counter() - began, picks.values[-1])
"""


def main(scale: float = 1.0) -> None:
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        n, picks = int(_N * scale), int(_PICKS * scale)
        path = _store(folder / "large.zarr", n)
        rows = []
        for name in _KINDS:
            for how in ("farthest", "leverage"):
                out, peak = fresh(_PICK, path, name, how, picks)
                rows.append((name, how, f"{float(out.split()[0]):.1f}", f"{peak:,.0f}"))
        show(f"{picks:,} of {n:,} x {_WIDTH}", rows, ("features", "", "s", "MiB"))
        _beside(_store(folder / "small.zarr", int(_SMALL * scale)), int(_FEW * scale))
    finally:
        shutil.rmtree(folder)


def _beside(path: Path, picks: int) -> None:
    """Print what picks take of looking at all each time, and of scikit-matter."""
    store, rows = zstruct.Store(path), []
    zstruct.warmup()
    for name in _KINDS:
        values = store.read(f"features/{name}/values").astype(np.float64)
        values = (values - values.mean(axis=0)) / values.std(axis=0)
        sampling = zstruct.farthest(picks, name, first=0)
        sides = {"zstruct": partial(lambda one: one.picks(store).structures, sampling)}
        sides["all, by NumPy"] = partial(_looked_through, values, picks)
        if importlib.util.find_spec("skmatter") is not None:
            sides["scikit-matter"] = partial(_of_scikit_matter, values, picks)
        expected = None
        for side, call in sides.items():
            began = time.perf_counter()
            found = np.asarray(call())
            seconds = time.perf_counter() - began
            expected = found if expected is None else expected
            same = int(np.argmin(np.append(found == expected, False)))
            rows.append((name, side, f"{seconds:.2f}", f"{same:,}"))
    title = f"{picks:,} of {store.n_structures:,} x {_WIDTH}"
    show(title, rows, ("features", "", "s", "picks that are the same"))


def _looked_through(values: np.ndarray, picks: int) -> np.ndarray:
    norms = np.einsum("ij,ij->i", values, values)
    near, found, last = np.full(len(values), np.inf), [0], 0
    for _ in range(picks - 1):
        near = np.minimum(near, norms + norms[last] - 2 * (values @ values[last]))
        last = int(np.argmax(near))
        found.append(last)
    return np.array(found)


def _of_scikit_matter(values: np.ndarray, picks: int) -> np.ndarray:
    import scipy.interpolate.interpnd as interpnd

    # Convex hulls beside it want a name that newer SciPy has not.
    vars(interpnd).setdefault("_ndim_coords_from_arrays", None)
    from skmatter.sample_selection import FPS

    return FPS(initialize=0, n_to_select=picks).fit(values).selected_idx_


def _normal(draw: np.random.Generator, n: int) -> np.ndarray:
    return draw.normal(size=(n, _WIDTH))


def _falling(draw: np.random.Generator, n: int) -> np.ndarray:
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(_WIDTH, _WIDTH)))[0]
    return (draw.normal(size=(n, _WIDTH)) / np.arange(1, _WIDTH + 1)) @ turn


def _clusters(draw: np.random.Generator, n: int) -> np.ndarray:
    fixed = np.random.default_rng(2)
    centres, axes = 3 * fixed.normal(size=(200, _WIDTH)), fixed.normal(size=(200, 10, _WIDTH))
    which = np.sort(draw.integers(0, 200, n))
    return centres[which] + np.concatenate(
        [draw.normal(size=(int(m), 10)) @ axes[k] for k, m in enumerate(np.bincount(which, minlength=200))]
    )


_KINDS = {"normal": _normal, "falling": _falling, "clusters": _clusters}


def _store(path: Path, n: int) -> Path:
    """Build a store of single atoms, with features of all kinds."""
    numbers, offsets = np.ones(n, np.uint8), np.arange(n + 1)
    source = zstruct.sources.arrays(numbers, np.zeros((n, 3)), offsets)
    zstruct.build(source, path, progress=False)
    for name, make in _KINDS.items():
        blocks = (
            make(np.random.default_rng([3, start]), min(_ROWS, n - start)).astype(np.float32)
            for start in range(0, n, _ROWS)
        )
        zstruct.features.add(path, name, blocks, level="structure")
    return path


if __name__ == "__main__":
    main()
