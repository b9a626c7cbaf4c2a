"""Imports go downwards, each library has its importers, and `import zstruct` stays light."""

import contextlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]

# For each contract, an import that it does not allow.
OFFENCES = {
    "Imports go downwards": ("schema", "import zstruct.store.spec"),
    "No circles among siblings": ("jit/registry", "import zstruct.jit.compiler"),
    "Training reads: the dataset, then how a batch is made, then where its rows are": (
        "loading/cache/blocks", "import zstruct.loading.gather.gather",
    ),
    "A build goes from step to step": ("building/parse", "import zstruct.building.plan"),
    "No format of sources knows another": ("sources/runner/source", "import zstruct.sources.xsf.lines"),
    "No layout knows another": ("layouts/mace", "import zstruct.layouts.graph"),
    "No transform knows another, but for those that are made of others": (
        "transforms/noise", "import zstruct.transforms.wrap_and_center",
    ),
    "No descriptor knows another": ("features/acsf", "import zstruct.features.chebyshev"),
    "Only the store imports zarr and its codecs": ("loading/reader", "import zarr"),
    "Only parallel imports Dask": ("building/build", "import distributed"),
    "Nothing imports Dask but through its scheduler": ("parallel", "import dask"),
    "Only jit imports Numba": ("stats/kernels", "import numba"),
    "Instructions of the processor are for kernels alone": ("loading/reader", "from llvmlite import ir"),
    "Only explore imports xarray, pandas and matplotlib": ("stats/summary", "import pandas"),
    "ASE is for what comes in and goes out, and for its tables": ("store/store", "from ase import Atoms"),
    "Only the layout of torch_geometric imports it": ("layouts/graph", "import torch_geometric.data"),
    "Torch is for the tensor side alone": ("loading/reader", "import torch"),
}  # fmt: skip

LONG = pytest.mark.long
HEAVY = ("torch", "numba", "dask", "ase", "zarr", "xarray", "scipy", "pandas", "matplotlib")


def _modules_after(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_zstruct_is_light():
    assert not _modules_after("import zstruct").intersection(HEAVY)


def test_importing_zstruct_is_quick():
    code = "import time; t = time.perf_counter(); import zstruct; print(time.perf_counter() - t)"
    seconds = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(seconds) < 0.15


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import zstruct; zstruct.build", {"torch", "numba", "dask", "ase", "xarray", "zarr"}),
        pytest.param(
            "import zstruct; zstruct.sources.expand", {"torch", "numba", "dask", "ase", "zarr"}, marks=LONG
        ),
        ("import zstruct; zstruct.open", {"torch", "numba", "ase", "matplotlib"}),
        pytest.param(
            "import zstruct; zstruct.split",
            {"torch", "numba", "dask", "ase", "xarray", "zarr"},
            marks=LONG,
        ),
        (
            "import zstruct; zstruct.StructureReader",
            {"torch", "numba", "dask", "ase", "xarray", "zarr", "scipy"},
        ),
        ("import zstruct; zstruct.ZarrStructureDataset", {"numba", "dask", "ase", "xarray", "zarr"}),
        pytest.param(
            "import zstruct; zstruct.fit_references",
            {"torch", "numba", "dask", "ase", "xarray", "zarr"},
            marks=LONG,
        ),
        pytest.param(
            "import zstruct; zstruct.statistics",
            {"torch", "numba", "dask", "ase", "xarray", "zarr"},
            marks=LONG,
        ),
        ("import zstruct.cli", {"torch", "numba", "dask", "ase", "zarr", "xarray"}),
    ],
)
def test_each_name_loads_only_what_it_needs(code, absent):
    if "torch" not in absent:
        pytest.importorskip("torch")
    assert not _modules_after(code) & absent


def test_public_names_exist_and_unknown_ones_do_not():
    pytest.importorskip("torch")
    import zstruct

    for name in zstruct.__all__:
        assert getattr(zstruct, name) is not None
    assert set(zstruct.__all__) <= set(dir(zstruct))
    with pytest.raises(AttributeError, match="no attribute 'bild'"):
        zstruct.bild  # noqa: B018


def test_without_torch_the_dataset_names_the_extra():
    code = """
import sys
sys.modules["torch"] = None
import zstruct  # noqa: E402
try:
    zstruct.ZarrStructureDataset
except zstruct.MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "zstruct[torch]" in done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A folder with a copy of the package and of its contracts."""
    folder = tmp_path_factory.mktemp("contracts")
    shutil.copytree(ROOT / "zstruct", folder / "zstruct", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def _broken(package):
    """Return the contracts that a package breaks."""
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [command, "--no-cache", "--no-logo"], cwd=package, capture_output=True, text=True, check=False
    )
    assert "Contracts: " in done.stdout, done.stdout + done.stderr
    assert (done.returncode == 0) == (" BROKEN" not in done.stdout)
    return set(re.findall("^(.*) BROKEN", done.stdout, re.MULTILINE))


def test_the_package_keeps_its_contracts(package):
    pytest.importorskip("importlinter")
    assert _broken(package) == set()


def test_an_offence_is_known_for_each_contract():
    assert set(OFFENCES) == {contract["name"] for contract in SETTINGS["contracts"]}


@contextlib.contextmanager
def _offending(package, contracts):
    """Have the modules of a package do what these contracts forbid."""
    before = {}
    for contract in contracts:
        module, offence = OFFENCES[contract]
        file = package / "zstruct" / f"{module}.py"
        before.setdefault(file, file.read_text())
        file.write_text(f"{file.read_text()}\n\ndef _offence():\n    {offence}\n")
    try:
        yield
    finally:
        for file, text in before.items():
            file.write_text(text)


def test_all_contracts_can_be_broken(package):
    pytest.importorskip("importlinter")
    with _offending(package, OFFENCES):
        assert _broken(package) == set(OFFENCES)


@pytest.mark.long
@pytest.mark.parametrize("contract", OFFENCES)
def test_contracts_are_broken_by_what_they_forbid(package, contract):
    pytest.importorskip("importlinter")
    with _offending(package, [contract]):
        assert contract in _broken(package)
