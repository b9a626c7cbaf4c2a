"""Imports go downwards, each library has its importers, and `import zstruct` stays light."""

import subprocess
import sys

import pytest

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
        ("import zstruct; zstruct.build", {"torch", "numba", "dask", "ase", "xarray"}),
        ("import zstruct; zstruct.sources.expand", {"torch", "numba", "dask", "ase", "zarr"}),
        ("import zstruct; zstruct.open", {"torch", "numba", "ase", "matplotlib"}),
        ("import zstruct; zstruct.split", {"torch", "numba", "dask", "ase", "xarray"}),
        ("import zstruct; zstruct.StructureReader", {"torch", "dask", "ase", "xarray"}),
        ("import zstruct; zstruct.fit_references", {"torch", "numba", "dask", "ase", "xarray"}),
        ("import zstruct; zstruct.statistics", {"torch", "numba", "dask", "ase", "xarray"}),
        ("import zstruct.cli", {"torch", "numba", "dask", "ase", "zarr", "xarray"}),
    ],
)
def test_each_name_loads_only_what_it_needs(code, absent):
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
