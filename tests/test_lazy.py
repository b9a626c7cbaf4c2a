"""Names of packages that load their modules when they are asked for."""

import gc
import importlib
import pkgutil
import subprocess
import sys

import pytest

from zstruct.lazy import load_module

PACKAGES = ["features", "query", "sources", "stats", "transforms"]


@pytest.mark.parametrize("package", PACKAGES)
def test_all_names_are_there_and_listed(package):
    module = importlib.import_module(f"zstruct.{package}")
    for name in module.__all__:
        assert getattr(module, name) is vars(module)[name]
        assert name in dir(module)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_takes_the_place_of_a_name(package):
    module = importlib.import_module(f"zstruct.{package}")
    assert not {found.name for found in pkgutil.iter_modules(module.__path__)} & set(module.__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_other_names_are_refused(package):
    module = importlib.import_module(f"zstruct.{package}")
    with pytest.raises(AttributeError, match=f"'zstruct.{package}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_garbage_waits_for_a_module(tmp_path, monkeypatch):
    (tmp_path / "zstruct_looks.py").write_text("import gc; collects = gc.isenabled()")
    (tmp_path / "zstruct_fails.py").write_text("import zstruct_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)

    assert not load_module("zstruct_looks").collects
    assert gc.isenabled()
    with pytest.raises(ModuleNotFoundError):
        load_module("zstruct_fails")
    assert gc.isenabled()


def test_garbage_that_others_let_wait_goes_on_waiting():
    gc.disable()
    try:
        load_module("zstruct.schema")
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_reader_loads_nothing_that_selects_sums_up_or_transforms():
    code = "import sys, zstruct; zstruct.StructureReader; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "zstruct.loading.reader" in loaded
    modules = {
        "loading.derived.extras",
        "query.binding",
        "query.table",
        "splits",
        "stats",
        "transforms",
        "building",
        "sources",
    }
    assert not {f"zstruct.{name}" for name in modules} & loaded
