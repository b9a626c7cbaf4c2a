"""The import direction, the two exclusive importers, and that `import zstruct` stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "zstruct"
LAYERS = [
    {"errors", "schema", "ragged", "text", "dealing", "arguments"},
    {"access", "disk", "jit", "trust"},
    {"metadata", "parallel", "working", "declarations"},
    {"catalog"},
    {"store"},
    {"publishing", "distance_kernels", "atoms", "grouping"},
    {"keeping", "verified_metadata", "distances"},
    {"sources", "building", "features", "splits", "verification"},
    {"scanning"},
    {"references"},
    {"stats", "isolated_atoms"},
    {"explore", "loading", "export"},
    {"collate", "transforms"},
    {"rehearsal"},
    {"cli", "__init__"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# Within a layer, these may use those.
BESIDE = {
    ("ragged", "schema"),
    ("ragged", "errors"),
    ("schema", "errors"),
    ("arguments", "errors"),
    ("building", "sources"),
}
EXCLUSIVE = {"zarr": {"store"}, "dask": {"parallel"}, "distributed": {"parallel"}}
HEAVY = ("torch", "numba", "dask", "ase", "zarr", "xarray", "scipy", "pandas", "matplotlib")


def _imports():
    """Yield (module, top-level part of zstruct it is in, imported name, only for types)."""
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        tree = ast.parse(file.read_text())
        typing_only = {
            id(node)
            for block in ast.walk(tree)
            if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
            for node in ast.walk(block)
        }
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: relative import"
                names = [
                    f"{node.module}.{a.name}" if node.module == "zstruct" else node.module for a in node.names
                ]
            for name in names:
                yield file, parts[0], name, id(node) in typing_only


def test_imports_never_go_upwards():
    checked = 0
    for file, importer, name, _ in _imports():
        if not name.startswith("zstruct."):
            continue
        imported = name.split(".")[1]
        if imported == importer or importer == "__init__":
            continue
        checked += 1
        downwards = LEVEL[imported] < LEVEL[importer]
        assert downwards or (importer, imported) in BESIDE, f"{file} imports {name}"
    assert checked > 50


def test_zarr_and_dask_have_one_importer_each():
    found = set()
    for file, importer, name, typing_only in _imports():
        allowed = EXCLUSIVE.get(name.split(".")[0])
        if allowed is None or typing_only:
            continue
        assert importer in allowed, f"{file} imports {name}"
        found.add(name.split(".")[0])
    assert found >= {"zarr", "distributed"}


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("sources/new.py", "from zstruct.building import build"),
        ("sources/new.py", "import zarr"),
        ("building/new.py", "from zstruct.explore import open"),
        ("building/new.py", "from distributed import Client"),
        ("loading/new.py", "import zarr"),
        ("explore/new.py", "from zstruct.loading import collate"),
        ("new.py", "import dask.array"),
        ("new.py", "from zstruct.sources import expand"),
    ],
)
def test_the_linter_enforces_it(file, line):
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--select",
        "TID",
        "--stdin-filename",
        f"zstruct/{file}",
        "-",
    ]
    done = subprocess.run(
        command, input=line, capture_output=True, text=True, check=False, cwd=PACKAGE.parent
    )
    assert done.returncode == 1
    assert "TID251" in done.stdout


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
    assert min(seconds) < 0.3


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
import zstruct
try:
    zstruct.ZarrStructureDataset
except zstruct.MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "zstruct[torch]" in done.stdout
