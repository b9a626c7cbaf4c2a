"""Values of wrong types, for everything that loads: a sentence of ours, or a meaning."""

import inspect
import traceback

import numpy as np
import pytest

from zstruct import StructureReader, layouts, transforms
from zstruct.errors import ZstructError
from zstruct.loading import Batches, Cache, Edges, Forces, Ranks, Shuffle, Threads
from zstruct.store.store import Store

torch = pytest.importorskip("torch")

from zstruct import ZarrStructureDataset  # noqa: E402

OBJECTS = [Batches, Cache, Edges, Forces, Ranks, Shuffle, Threads]
VALUES = [
    None, True, 0, -1, 3.5, float("nan"), float("inf"), 10**30, "", "3", b"x", [], [1], ["a"], {}, {"a": 1},
    {1: 2}, (1, 2), (), object(), np.zeros(3), np.array("x"), torch.zeros(2), range(3), {1, 2}, 1 + 2j,
    np.float32(2), np.int8(3), len,
]  # fmt: skip


def said_or_done(call):
    """Return what is wrong with how a call ended, if anything is."""
    try:
        call()
    except (ZstructError, TypeError, ValueError, KeyError, IndexError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        # A sentence is where the last frame is ours, and raises.
        ours = "/zstruct/" in last.filename.replace("\\", "/")
        lines = [last.line or ""]
        if ours:
            with open(last.filename) as file:
                text = file.read().splitlines()
            lines = text[last.lineno - 1 : (last.end_lineno or last.lineno)]
        if not ours or not any("raise" in line for line in lines):
            return f"{error!r} at {last.filename}:{last.lineno}"
    except Exception as error:  # noqa: BLE001 (whatever it is, it is no sentence)
        return repr(error)
    return None


def check(name, made):
    wrong = {f"{name}={value!r}": found for value in VALUES if (found := said_or_done(lambda: made(value)))}  # noqa: B023
    assert not wrong


OF_DATASETS = [
    name
    for name in inspect.signature(ZarrStructureDataset).parameters
    if name not in ("path", "storage_options")
]
# A number of worker processes is one that torch starts; another library checks its own options.
OF_LOADERS = [
    name
    for name in inspect.signature(ZarrStructureDataset.loader).parameters
    if name not in ("self", "num_workers", "options", "device")
]
OF_OBJECTS = [(kind, name) for kind in OBJECTS for name in inspect.signature(kind).parameters]
OF_VIEWS = [
    (view, name)
    for view in ("select", "with_forces")
    for name in inspect.signature(getattr(ZarrStructureDataset, view)).parameters
    if name != "self"
]
OF_BATCHES = [name for name in inspect.signature(StructureReader.batches).parameters if name != "self"]


@pytest.mark.slow
@pytest.mark.parametrize("option", OF_DATASETS)
def test_of_datasets(plain, option):
    store = Store(plain.path)
    check(option, lambda value: ZarrStructureDataset(store, **{option: value}))


@pytest.mark.slow
@pytest.mark.parametrize("option", OF_LOADERS)
def test_of_loaders(plain, option):
    data = ZarrStructureDataset(plain.path, ["numbers", "positions"])
    check(option, lambda value: next(iter(data.loader(**{option: value})), None))


@pytest.mark.parametrize(("kind", "option"), OF_OBJECTS)
def test_of_objects(kind, option):
    first = {"cutoff": 3.0, "fraction": 0.5, "size": 4, "world_size": 4}
    beside = {name: first[name] for name in inspect.signature(kind).parameters if name in first}
    check(f"{kind.__name__} {option}", lambda value: kind(**beside | {option: value}))


@pytest.mark.slow
@pytest.mark.parametrize(("view", "option"), OF_VIEWS)
def test_of_views(plain, view, option):
    data = ZarrStructureDataset(plain.path, ["numbers"])
    beside = {"fraction": 0.5} if view == "with_forces" else {}
    check(f"{view} {option}", lambda value: getattr(data, view)(**beside | {option: value}))


@pytest.mark.slow
@pytest.mark.parametrize("option", OF_BATCHES)
def test_of_batches(plain, option):
    reader = StructureReader(plain.path, ["numbers", "positions"])
    check(option, lambda value: next(iter(reader.batches(**{option: value})), None))


@pytest.mark.parametrize(
    "method", ["__getitem__", "take", "prefetch", "get_atoms", "categories", "set_epoch"]
)
def test_of_methods(plain, method):
    check(method, getattr(ZarrStructureDataset(plain.path), method))


GIVEN = {
    "AddNoise": {"std": 0.1},
    "CastUnits": {"units": {}},
    "Compose": {"transforms": []},
    "Denormalize": {"normalize": transforms.Normalize()},
    "OnBatch": {"function": lambda batch, *keys: batch},
    "OnSample": {"function": lambda sample, *rng: sample},
    "RandomApply": {"transform": transforms.Center()},
}
CLASSES = [
    name for name in transforms.__all__ if isinstance(getattr(transforms, name), type) and name != "Transform"
]
OF_TRANSFORMS = [
    (name, option)
    for name in CLASSES
    for option in inspect.signature(getattr(transforms, name)).parameters
    if option != "function"  # what it does is the user's; that it is one is checked below
]


@pytest.mark.parametrize(("name", "option"), OF_TRANSFORMS)
def test_of_transforms(plain, name, option):
    batch = StructureReader(plain.path).take([0, 1])
    made = getattr(transforms, name)
    check(f"{name} {option}", lambda value: made(**{**GIVEN.get(name, {}), option: value})(batch))


@pytest.mark.parametrize("name", ["OnBatch", "OnSample"])
def test_functions_are_callable(name):
    for value in VALUES[:-1]:
        with pytest.raises(TypeError, match=f"{name} takes a function, not"):
            getattr(transforms, name)(value)


OF_LAYOUTS = [
    (name, option)
    for name, layout in layouts.LAYOUTS.items()
    if name not in ("list", "pyg")
    for option in inspect.signature(layout).parameters
    if option not in ("samples", "as_numpy", "legacy", "dataset")
]


@pytest.mark.parametrize(("name", "option"), OF_LAYOUTS)
def test_of_layouts(plain, name, option):
    edges = {"neighbors": 3.0} if name in ("schnetpack", "mace", "fairchem") else {}
    batch = StructureReader(plain.path, **edges).take([0, 1])
    given = {"elements": [1, 6, 8, 22]} if name == "mace" else {}
    check(f"{name} {option}", lambda value: layouts.LAYOUTS[name](batch, **{**given, option: value}))
    check(name, lambda value: layouts.LAYOUTS[name](value))
