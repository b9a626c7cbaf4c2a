"""Workloads that two versions of zstruct are compared by: the same code for both, names aside.

This runs with either version on the path, so it keeps to public names and short forms that last, and
asks what a version has only where something was renamed. It imports no benchmark that knows the insides
of this version.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

import zstruct
from tests.benchmarks import feature_workloads
from tests.benchmarks.common import write_molecules
from zstruct import features, transforms
from zstruct.features import ACSF, Chebyshev, neighbor_list

if find_spec("zstruct.geometry"):
    from zstruct.geometry.neighbors import neighbor_pieces
else:  # version 0.1
    from zstruct.features.neighbors import neighbor_pieces

# What has been renamed since versions that this may run with: 0.1 has `collate` and `features.pack`.
_layouts: Any = zstruct.layouts if find_spec("zstruct.layouts") else zstruct.collate
_packed: Any = getattr(features.Structures, "of", None) or features.pack

_BATCH = 256


class Text(NamedTuple):
    """An extended XYZ file of molecules, and how often it goes into the store that is read."""

    n_frames: int
    fewest: int
    most: int
    copies: int


TEXTS = {"A": Text(10_000, 64, 64, 8), "Q": Text(30_000, 5, 29, 6)}
_N_ORGANIC, _N_RUTILE = 20_000, 1000  # structures of the other stores
_LABELLED = ("positions", "forces", "numbers", "energy")
_FIELDS = {"A": _LABELLED, "Q": _LABELLED, "organic": ("positions", "numbers", "cell", "pbc")}
_ORGANIC = ["H", "C", "N", "O"]
_PAIRED = ("pyg", "schnetpack", "mace", "fairchem")  # layouts that have a place for neighbours
_STORED = Chebyshev(_ORGANIC, 10, 5.0, 3, 4.0)
_TIO2 = Chebyshev(["Ti", "O"], 10, 6.5, 3, 6.5)


class Seconds(NamedTuple):
    """What a call took, by the clock on the wall and of the processor."""

    wall: float
    cpu: float


class Unit(Protocol):
    """What is timed: the same work each time."""

    def time(self) -> Seconds:
        """Do it once."""


class Call:
    """A call in this process.

    Parameters
    ----------
    function
        What is timed; all threads of the process count.
    prepare
        What comes before each call and is not timed.
    """

    def __init__(self, function: Callable[[], object], prepare: Callable[[], object] = lambda: None):
        self._function, self._prepare = function, prepare

    def time(self) -> Seconds:
        self._prepare()
        wall, cpu = time.perf_counter(), time.process_time()
        self._function()
        return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


class Fresh:
    """Code in a process of its own, which begins with some modules imported.

    Parameters
    ----------
    imports
        Names of these modules; importing them is not timed.
    code
        What is timed; ``sys.argv`` has the arguments.
    arguments
        Of the code.
    """

    _SCRIPT = """
        import json, sys, time
        import {imports}
        wall, cpu = time.perf_counter(), time.process_time()
        {code}
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
    """

    def __init__(self, imports: str, code: str, *arguments: object):
        self._command = [
            sys.executable,
            "-c",
            textwrap.dedent(self._SCRIPT).format(imports=imports, code=code),
        ]
        self._command += map(str, arguments)

    def time(self) -> Seconds:
        done = subprocess.run(self._command, stdout=subprocess.PIPE, text=True, check=True)
        return Seconds(*json.loads(done.stdout))


def write_texts(folder: Path, scale: float) -> None:
    """Write the files that stores are built from."""
    for name, text in TEXTS.items():
        write_molecules(folder / f"{name}.xyz", int(text.n_frames * scale), text.fewest, text.most)


def write_stores(folder: Path, scale: float) -> None:
    """Build the stores that are read."""
    for name, text in TEXTS.items():
        parts = [folder / f"{name}-{k}.xyz" for k in range(text.copies)]
        for part in parts:  # a repetition so far away does not compress
            os.link(folder / f"{name}.xyz", part)
        zstruct.build(parts, folder / f"{name}.zarr")
    rng = np.random.default_rng(0)
    zstruct.build(feature_workloads.organic(rng, int(_N_ORGANIC * scale)), folder / "organic.zarr")
    zstruct.featurize(folder / "organic.zarr", _STORED)
    zstruct.build(feature_workloads.rutile(rng, int(_N_RUTILE * scale)), folder / "rutile.zarr")


class Workloads:
    """What makes the unit of each workload.

    Parameters
    ----------
    folder
        That of the texts and stores.
    scratch
        Where to write: two versions are at work at the same time.
    """

    def __init__(self, folder: Path, scratch: Path):
        self._folder, self._scratch = folder, scratch
        self._opened: dict[tuple[str, str], Any] = {}
        q = folder / "Q.zarr"
        both = transforms.RandomRotation(seed=1), transforms.AddNoise(0.01, seed=1)
        self._makers: dict[str, Callable[[], Unit]] = {
            "import": lambda: Fresh("sys", "import zstruct"),
            "first-batch": lambda: Fresh("torch", _FIRST_BATCH, q),
            "open": lambda: Call(lambda: _repeat(10, lambda: zstruct.open(q))),
            "dataset": lambda: Call(lambda: _repeat(10, lambda: self._new("Q"))),
            "statistics": lambda: Call(lambda: zstruct.statistics(q)),
            "references": lambda: Call(lambda: zstruct.fit_references(q)),
            "featurize": self._featurize,
            "rotation-noise": lambda: self._take("A", _BATCH, transform=list(both)),
            "take-neighbors": lambda: self._take("organic", _BATCH, neighbors=5.0),
            "take-features": lambda: self._take("organic", _BATCH, features="chebyshev"),
            "loader-neighbors": lambda: self._loader("organic", neighbors=5.0),
            "chebyshev-values": lambda: _values(_TIO2, 120),
            "chebyshev-derivatives": lambda: _derivatives(_TIO2, 30),
            "chebyshev-vjp": lambda: _pullback(_TIO2, 120),
            "acsf-values": lambda: _values(_acsf(), 20),
            "acsf-vjp": lambda: _pullback(_acsf(), 10),
        }
        for name, make, n, cutoff in (
            ("solids", feature_workloads.solids, 100, 6.0),
            ("molecules", feature_workloads.molecules, 1500, 5.0),
            ("water", feature_workloads.water, 1, 6.0),
            ("triclinic", feature_workloads.triclinic, 1000, 8.0),
        ):
            self._makers |= {
                f"neighbors-{name}": functools.partial(_neighbors, neighbor_list, make, n, cutoff),
                f"pieces-{name}": functools.partial(_neighbors, _count_pairs, make, n, cutoff),
            }
        for name in TEXTS:
            self._makers |= {
                f"build-{name}": functools.partial(self._build, name),
                f"take-{name}-256": functools.partial(self._take, name, 256),
                f"take-{name}-32": functools.partial(self._take, name, 32),
                f"one-{name}": functools.partial(self._one, name),
                f"loader-{name}": functools.partial(self._loader, name),
                f"first-epoch-{name}": functools.partial(self._first_epoch, name),
            }
        for name in ("graph", "padded", "physnet", *_PAIRED):
            if name != "pyg" or find_spec("torch_geometric"):
                self._makers[f"layout-{name}"] = functools.partial(self._layout, name)

    @property
    def names(self) -> list[str]:
        """The names of the workloads."""
        return sorted(self._makers)

    def unit(self, name: str) -> Unit:
        """Return what is timed for a workload."""
        return self._makers[name]()

    def _new(self, store: str, **options: Any) -> Any:
        path = self._folder / f"{store}.zarr"
        return zstruct.ZarrStructureDataset(path, _FIELDS[store], cache="memory", **options)

    def _data(self, store: str, **options: Any) -> Any:
        """Return a dataset, one for all who ask for the same, so that it is decoded once."""
        key = store, repr(options)
        if key not in self._opened:
            self._opened[key] = self._new(store, **options)
        return self._opened[key]

    def _build(self, text: str) -> Unit:
        out = self._scratch / "built.zarr"
        return Call(
            lambda: zstruct.build(self._folder / f"{text}.xyz", out),
            prepare=lambda: shutil.rmtree(out, ignore_errors=True),
        )

    def _take(self, store: str, size: int, **options: Any) -> Unit:
        data = self._data(store, **options)
        return Call(functools.partial(_each, data.take, _batches(len(data), size)))

    def _one(self, store: str) -> Unit:
        data = self._data(store)
        return Call(functools.partial(_each, data.__getitem__, _batches(len(data), 10_000)[0].tolist()))

    def _loader(self, store: str, **options: Any) -> Unit:
        loader = self._data(store, **options).loader(_BATCH, shuffle=True)
        return Call(lambda: _exhaust(loader))

    def _first_epoch(self, store: str) -> Unit:
        return Call(lambda: _exhaust(self._new(store).loader(_BATCH, shuffle="block")))

    def _layout(self, name: str) -> Unit:
        layout = getattr(_layouts, name)
        if name == "mace":
            layout = functools.partial(layout, elements=_ORGANIC)
        data = self._data("organic", neighbors=5.0) if name in _PAIRED else self._data("Q")
        packed = [data.take(indices) for indices in _batches(len(data), _BATCH)[:80]]
        return Call(functools.partial(_each, layout, packed))

    def _featurize(self) -> Unit:
        path = self._scratch / "rutile.zarr"

        def copy() -> None:
            shutil.rmtree(path, ignore_errors=True)
            shutil.copytree(self._folder / "rutile.zarr", path)

        return Call(lambda: zstruct.featurize(path, _TIO2), copy)


_FIRST_BATCH = (
    "import zstruct; next(iter(zstruct.ZarrStructureDataset(sys.argv[1]).loader(256, shuffle=True)))"
)


def _batches(n: int, size: int) -> list[np.ndarray]:
    """Return all of so many structures in random order, in batches."""
    order = np.random.default_rng(4).permutation(n)
    return [order[k : k + size] for k in range(0, n, size)]


def _each(function: Callable[[Any], object], arguments: Iterable[Any]) -> None:
    for argument in arguments:
        function(argument)


def _repeat(n: int, function: Callable[[], object]) -> None:
    for _ in range(n):
        function()


def _exhaust(loader: Iterable[Any]) -> None:
    for _ in loader:
        pass


def _acsf() -> Any:
    g2 = [(eta, 0.0) for eta in (0.003, 0.01, 0.03, 0.06, 0.1, 0.2, 0.4, 1.0)]
    g4 = [(eta, zeta, sign) for eta in (0.005, 0.03) for zeta in (1, 4) for sign in (1, -1)]
    return ACSF(["Ti", "O"], 6.0, g2_params=g2, g4_params=g4)


def _rutile(n: int) -> Any:
    return _packed(list(feature_workloads.rutile(np.random.default_rng(0), n)))


def _neighbors(function: Callable[..., object], make: Callable[..., Any], n: int, cutoff: float) -> Unit:
    packed = _packed(make(np.random.default_rng(0), n))
    return Call(lambda: function(packed, cutoff))


def _count_pairs(packed: Any, cutoff: float) -> int:
    return sum(piece.n_pairs for piece in neighbor_pieces(packed, cutoff))


def _values(descriptor: Any, n: int) -> Unit:
    packed = _rutile(n)
    return Call(lambda: descriptor.compute(packed, n_threads=1))


def _derivatives(descriptor: Any, n: int) -> Unit:
    packed = _rutile(n)
    return Call(lambda: descriptor.compute(packed, derivatives=True, n_threads=1))


def _pullback(descriptor: Any, n: int) -> Unit:
    """Forces from the gradient by the features, the neighbours being known."""
    packed = _rutile(n)
    near = neighbor_list(packed, descriptor.cutoff)
    gradient = np.random.default_rng(1).normal(size=(packed.n_atoms, descriptor.n_features))
    on_positions, on_strain = np.zeros((packed.n_atoms, 3)), np.zeros((len(packed), 3, 3))
    return Call(lambda: descriptor.vjp(packed, near, gradient, on_positions, on_strain))
