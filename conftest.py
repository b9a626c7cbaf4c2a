"""What pytest must know before it collects: how much is run, and what is skipped without torch.

``pytest --long`` runs what can go on for ever at length: ten times as many examples of each property as its
settings say, a kill at every step, and the tests marked ``long``. Without it, properties are tried on a
quarter of these examples, others every time, so that the run takes minutes.
"""

import gc
import importlib
import os
import shutil
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec

import pytest
from hypothesis import is_hypothesis_test, settings

EXAMPLES, LONG_EXAMPLES, FEWEST_EXAMPLES = 0.25, 10, 3  # of those that a property's settings say
REPORTED = ("zarr", "numcodecs", "numpy", "xarray", "dask", "numba", "pandas", "ase")

# Tests run side by side, one on each core: more threads of torch and NumPy would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Thousands of stores are written, and each is waited for until it is on the disk, if there is one.
MEMORY, ROOM = "/dev/shm", 8 << 30
OURS = None  # what is removed when all passed
if "TMPDIR" not in os.environ and os.path.isdir(MEMORY) and shutil.disk_usage(MEMORY).free > ROOM:
    OURS = os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="zstruct-", dir=MEMORY)

# What an example takes says nothing: kernels are compiled and modules imported in it, and machines are busy.
settings.register_profile("zstruct", deadline=None)
settings.load_profile("zstruct")

FAILED = pytest.StashKey[bool]()

WITHOUT_TORCH = find_spec("torch") is None
# Their examples make tensors.
collect_ignore_glob = ["zstruct/layouts/*", "zstruct/transforms/transform.py"] if WITHOUT_TORCH else []


def pytest_addoption(parser):
    """Add the option that says how much is run."""
    parser.addoption("--long", action="store_true", help="run long tests, and the others at length")


def pytest_report_header():
    """Say with which versions the tests are run."""
    return "with " + ", ".join(f"{name} {version(name)}" for name in REPORTED)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Without torch, skip the tests and examples of modules that can't be imported without."""
    report = yield
    if WITHOUT_TORCH and report.failed and "No module named 'torch'" in report.longreprtext:
        report.outcome = "skipped"
        name = ".".join(collector.path.relative_to(collector.config.rootpath).with_suffix("").parts)
        sys.modules.pop(name, None)  # pytest leaves there what it could import of it
        report.longrepr = (str(collector.path), None, "Skipped: needs torch")
    return report


@pytest.fixture(autouse=True)
def registries(request):
    """Forget what the example of a docstring registers: tests that come later don't expect it."""
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    tables = [
        importlib.import_module(f"zstruct.{package}.registry").__dict__[name]
        for package, name in (("features", "_REGISTERED"), ("layouts", "LAYOUTS"), ("sources", "_READERS"))
    ]
    before = [dict(table) for table in tables]
    yield
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)


def pytest_collection_modifyitems(config, items):
    """Choose between a run of some minutes and a long one, and give examples the time that they take."""
    long_run = config.getoption("long")
    for function in {getattr(item, "function", None) for item in items}:
        if is_hypothesis_test(function):
            said = function._hypothesis_internal_use_settings  # there is no public way to change it
            n = said.max_examples
            n = n * LONG_EXAMPLES if long_run else max(min(n, FEWEST_EXAMPLES), round(n * EXAMPLES))
            function._hypothesis_internal_use_settings = settings(said, max_examples=n)
    if not long_run:
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_collection_finish():
    """Let alone what is there by now: many tests collect garbage, and look for it among what they made.

    The interpreter itself looks less often, which takes a tenth less time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_unconfigure(config):
    """Give the memory of temporary files back; those of tests that failed stay."""
    if OURS is not None and not config.stash.get(FAILED, False):
        shutil.rmtree(OURS, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """Remember whether something failed."""
    session.config.stash[FAILED] = exitstatus == pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def long_run(pytestconfig):
    """Whether tests that can go on for ever do so at length."""
    return pytestconfig.getoption("long")
