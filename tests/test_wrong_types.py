"""Values of wrong types, for every option of every public function: a sentence of ours, or it works."""

import inspect
import itertools
import linecache
import os
import random
import traceback
from decimal import Decimal
from pathlib import Path

import ase.build
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

import zstruct
from zstruct.errors import ZstructError
from zstruct.explore import format_summary, summarize
from zstruct.features import ACSF, Chebyshev, NeighborList, Structures, group_names, neighbor_list, open_group

PACKAGE = os.path.dirname(zstruct.__file__)


ODD = [
    None,
    True,
    0,
    -1,
    10**30,
    1.5,
    float("nan"),
    float("-inf"),
    1j,
    Decimal(1),
    "",
    "x",
    "\udcff",
    "a\0b",
    "x" * 5000,
    b"x",
    [],
    [1],
    ["x"],
    [None],
    [[1, 2], [3]],
    (),
    ("a", "b", "c"),
    {},
    {"a": 1},
    {"H": "x"},
    {1: "a"},
    set(),
    range(3),
    int,
    len,
    ...,
    Path("x"),
    np.array(3),
    np.arange(5),
    np.array(["a"]),
    np.array([None]),
    object(),
]


def made(folder):
    """A store with a group of every kind, and what makes it."""
    frames = [ase.build.molecule(name) for name in ("H2O", "CH4", "O2", "CO")]
    for k, atoms in enumerate(frames):
        atoms.calc = SinglePointCalculator(atoms, energy=-k - 1.0, forces=np.ones((len(atoms), 3)))
    path = folder / "s.zarr"
    zstruct.build(frames, path, progress=False)
    zstruct.featurize(path, NeighborList(3.0), progress=False)
    zstruct.featurize(path, Chebyshev(["H", "C", "O"], 2, 3.0, 1, 2.0), name="cheb", progress=False)
    zstruct.split(path, [0.5, 0.5], name="default")
    zstruct.fit_references(path, ridge=1.0, name="default")
    zstruct.statistics(path, name="all")
    return frames, os.fspath(path)


def _nothing(structures, neighbors):
    """Stands for a descriptor of somebody's own."""


def cases(folder):
    """Yield what is called, its name, and arguments that are right."""
    frames, path = made(folder)
    fresh = map("new-{}.zarr".format, itertools.count())
    quiet = {"progress": False}
    structures, rows = Structures.of(frames[:1]), {"store": path}
    reader = zstruct.StructureReader(path)
    yield zstruct.build, lambda: {"paths": frames[:1], "out": next(fresh), **quiet}
    yield zstruct.Filters, lambda: {"max_force": 9.0}
    yield zstruct.Encoding, lambda: {"dtype": "float32"}
    yield zstruct.open, lambda: {"path": path}
    yield zstruct.verify, lambda: {"path": path}
    yield zstruct.rewrite, lambda: {**rows, "out": next(fresh), **quiet}
    yield zstruct.Store, lambda: {"path": path}
    yield zstruct.featurize, lambda: {**rows, "descriptor": NeighborList(3.0), **quiet}
    yield zstruct.split, lambda: {**rows, "sizes": [0.5, 0.5]}
    yield zstruct.farthest, lambda: {"n": 2, "features": "cheb"}
    yield zstruct.leverage, lambda: {"n": 2, "features": "cheb"}
    yield zstruct.project, lambda: {**rows, "features": "cheb"}
    yield zstruct.outliers, lambda: {**rows, "features": "cheb"}
    yield zstruct.kfold, lambda: {**rows, "k": 2}
    yield zstruct.open_split, lambda: rows
    yield zstruct.statistics, lambda: rows
    yield zstruct.open_statistics, lambda: rows
    yield zstruct.fit_references, lambda: {**rows, "ridge": 1.0}
    yield zstruct.isolated_references, lambda: rows
    yield zstruct.open_references, lambda: rows
    yield zstruct.References.given, lambda: {"energies": {"H": 1.0}}
    yield summarize, lambda: {"path": path}
    yield format_summary, lambda: {"summary": summarize(path)}
    yield group_names, lambda: rows
    yield open_group, lambda: {**rows, "kind": "neighbors", "name": "rc3"}
    yield NeighborList, lambda: {"cutoff": 3.0}
    yield neighbor_list, lambda: {"structures": structures, "cutoff": 3.0}
    orders, cutoffs = {"rad_order": 1, "ang_order": 1}, {"rad_cutoff": 3.0, "ang_cutoff": 2.0}
    yield Chebyshev, lambda: {"species": ["H"], **orders, **cutoffs}
    yield ACSF, lambda: {"species": ["H"], "r_cut": 3.0}
    yield zstruct.StructureReader, lambda: {"path": path}
    yield reader.batches, lambda: {"batch_size": 2}
    mixture = zstruct.MixtureReader([reader, reader])
    yield zstruct.MixtureReader, lambda: {"parts": [reader]}
    yield zstruct.loading.Proportions, dict
    yield mixture.batches, lambda: {"batch_size": 2}
    yield mixture.take, lambda: {"indices": [0, 1]}
    yield mixture.locate, lambda: {"structures": [0, 1]}
    yield mixture.select, dict
    store, dataset, statistics = zstruct.Store(path), zstruct.open(path), zstruct.statistics(path)
    for method in (store.read, store.shape, store.dtype, store.grid, store.coverage, store.array_attrs):
        yield method, lambda: {"name": "energy"}
    yield store.group_names, lambda: {"kind": "features"}
    yield store.array_names, lambda: {"group": "neighbors/rc3"}
    yield store.group_attrs, lambda: {"group": "neighbors/rc3"}
    yield statistics.merge, lambda: {"other": statistics}
    yield zstruct.open_split(path).__getitem__, lambda: {"label": "train"}
    yield dataset.zs.isel, lambda: {"structure": 0}
    yield dataset.zs.where, lambda: {"mask": dataset.energy < 0}
    yield dataset.zs.has, lambda: {"field": "energy"}
    yield dataset.zs.to_ase, lambda: {"structure": 0}
    yield dataset.zs.to_dataframe, dict
    yield dataset.zs.to_chemiscope, dict
    yield zstruct.report, lambda: {**rows, "tolerance": None}
    yield zstruct.live_report, lambda: {**rows, "out": next(fresh), "sample": 2}
    for plot in (dataset.zs.plot_energies, dataset.zs.plot_forces, dataset.zs.plot_sizes):
        yield plot, dict
    named = {"name": "mine", "cutoff": 3.0, "feature_names": ["a"]}
    yield zstruct.features.register, lambda: {"what": _nothing, **named}
    yield reader.take, lambda: {"indices": [0, 1]}


def cases_of_torch(folder):
    """The same, of what needs torch."""
    _, path = made(folder)
    data = zstruct.ZarrStructureDataset(path)
    batch = data.take([0, 1])
    yield zstruct.ZarrStructureDataset, lambda: {"path": path}
    yield data.loader, lambda: {"batch_size": 2}
    yield data.get_atoms, lambda: {"index": 0}
    mixture = zstruct.Mixture({"a": data, "b": data}, weights=[2, 1])
    yield mixture.loader, lambda: {"batch_size": 2}
    yield mixture.__getitem__, lambda: {"index": 0}
    yield mixture.get_atoms, lambda: {"index": 0}
    yield data.__getitem__, lambda: {"index": 0}
    yield zstruct.layouts.graph, lambda: {"samples": batch}
    yield zstruct.layouts.padded, lambda: {"samples": batch}
    transforms = zstruct.transforms
    yield transforms.RandomRotation, dict
    yield transforms.RandomReflection, dict
    yield transforms.AddNoise, lambda: {"std": 0.1}
    yield transforms.Wrap, dict
    yield transforms.Center, dict
    samplers = zstruct.loading.order.samplers
    yield samplers.ShuffleSampler, lambda: {"n": 4}
    parts = [samplers.ShuffleSampler(4)]
    yield zstruct.loading.order.MixtureSampler, lambda: {"parts": parts, "shares": [1]}


def told(error):
    """Return whether an error is one of those that are allowed, and raised by a `raise` of ours."""
    if isinstance(error, ZstructError):
        return bool(str(error))
    last = traceback.extract_tb(error.__traceback__)[-1]
    statement = range(last.lineno, last.end_lineno + 1)
    ours = last.filename.startswith(PACKAGE) and any(
        "raise " in linecache.getline(last.filename, line) for line in statement
    )
    # IndexError is what iteration over sequences needs.
    return isinstance(error, TypeError | ValueError | IndexError) and ours and bool(str(error))


def faults_in(function, right, n, tried):
    """Call a function with so many odd values for each of its arguments; return what went wrong."""
    found = []
    parameters = inspect.signature(function).parameters.values()
    options = [each.name for each in parameters if each.kind != each.VAR_KEYWORD]
    for name, value in [(name, value) for name in options for value in random.sample(ODD, tried)]:
        if callable(value) and name in USERS:
            continue
        n.append(name)
        try:
            result = function(**{**right(), name: value})
            if hasattr(result, "__next__") or type(result).__name__ == "StructureLoader":
                list(itertools.islice(result, 3))
        except Exception as error:  # noqa: BLE001
            if not told(error):
                last = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{os.path.basename(last.filename)}:{last.lineno}"
                called = getattr(function, "__qualname__", repr(function))
                found.append(
                    f"{called}({name}={value!r:.30}): {type(error).__name__}: {error!s:.200} ({where})"
                )
    return found


#: Functions of users, whose errors are theirs.
USERS = ("layout", "transform", "featurizer", "observation_model")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("of", [cases, cases_of_torch])
def test_values_of_wrong_types_are_sentences_or_work(of, tmp_path, monkeypatch, long_run):
    if of is cases_of_torch:
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    n = []
    tried = len(ODD) if long_run else len(ODD) // 9  # others every time
    faults = [fault for function, right in of(tmp_path) for fault in faults_in(function, right, n, tried)]
    assert len(n) > 50 * tried
    assert not faults, "\n".join([f"{len(faults)} of {len(n)}", *faults])
