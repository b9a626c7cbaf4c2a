"""Public names are what they are, whatever was imported first."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import zstruct

PACKAGE = Path(zstruct.__file__).parent
MODULES = sorted(
    name
    for name in {path.stem for path in PACKAGE.glob("*.py")}
    | {path.parent.name for path in PACKAGE.glob("*/*.py")}
    if not name.startswith("__")
)
# Forks of one process that has loaded what is slow to load, none of it ours: each imports in its own order.
CHECK = """
import importlib, os, pickle, sys, traceback
import numba, torch, xarray, zarr
modules, firsts = sys.argv[1].split(), sys.argv[2].split()
assert not any(name.startswith("zstruct") for name in sys.modules)

def look(first, deep):
    # What a name is: a module of this name, or a function, class or error.
    import types
    if deep:
        importlib.import_module(f"zstruct.{first}")
    import zstruct
    if not deep:
        getattr(zstruct, first)
    seen = {}
    for name in sorted({*zstruct.__all__, *modules}):
        value = getattr(zstruct, name)
        is_module = isinstance(value, types.ModuleType)
        assert is_module == (name in modules), f"zstruct.{name} is {value} after {first}"
        if name in modules:
            assert importlib.import_module(f"zstruct.{name}") is value, name
            assert getattr(zstruct, name) is value, name
        seen[name] = value.__name__ if is_module else getattr(value, "__qualname__", repr(value))
    from zstruct.transforms import RandomRotation
    assert RandomRotation is zstruct.transforms.RandomRotation is zstruct.transforms.RandomRotation
    assert zstruct.layouts.graph is zstruct.layouts.graph
    assert zstruct.stats.Moments and zstruct.loading.losses.loss
    assert zstruct.loading.order.samplers.ShuffleSampler and zstruct.features.torch.descriptor_values
    assert callable(zstruct.verify) and callable(zstruct.open)
    return repr(seen)

kept = None
for first in firsts:
    for deep in (True, False) if first in ("layouts", "stats", "transforms") else (True,):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                answer = look(first, deep)
            except BaseException:
                answer = "failed: " + traceback.format_exc()
            os.write(writer, answer.encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        if answer.startswith("failed") or kept not in (None, answer):
            sys.exit(answer)
        kept = answer
print(len(firsts))
"""


@pytest.mark.long
def test_names_are_the_same_whatever_was_imported_first():
    pytest.importorskip("torch")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHECK, " ".join(MODULES), " ".join(MODULES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(MODULES)
    assert len(MODULES) > 15


def test_no_public_name_is_that_of_a_module():
    modules = {"exporters", "features", "labels", "layouts", "loading", "sources", "stats", "transforms"}
    assert set(zstruct.__all__) & set(MODULES) == modules


@pytest.mark.parametrize("package", ["building", "explore", "features", "sources", "splits", "stats"])
def test_public_names_of_packages_are_no_modules_once_all_modules_are_imported(package):
    if package == "features":
        pytest.importorskip("torch")
    for path in (PACKAGE / package).glob("[!_]*.py"):
        importlib.import_module(f"zstruct.{package}.{path.stem}")
    imported = importlib.import_module(f"zstruct.{package}")
    assert [name for name in imported.__all__ if inspect.ismodule(getattr(imported, name))] == []


@pytest.mark.parametrize("name", ["bild", "_hidden", "Verify", "text.py"])
def test_what_is_not_there_is_said(name):
    with pytest.raises(AttributeError, match="has no attribute"):
        getattr(zstruct, name)


@pytest.mark.parametrize("command", ["info", "live", "ls", "references", "select"])
def test_commands_that_are_no_functions_are_said_in_python(command):
    with pytest.raises(AttributeError, match=f"no attribute '{command}'; in Python, zstruct.*\\(") as caught:
        getattr(zstruct, command)
    function = zstruct
    for name in str(caught.value).split("in Python, zstruct.")[1].split("(")[0].split("."):
        function = getattr(function, name)
    assert callable(function)


def test_python_dash_m_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "zstruct", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"zstruct {zstruct.__version__}\n"
