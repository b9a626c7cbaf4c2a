"""The notebooks and the demo run from beginning to end, on a copy that they may write into."""

import asyncio
import runpy
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def copy(tmp_path):
    """What notebooks find around them: themselves and the sample."""
    ignored = shutil.ignore_patterns(".*", "*.zarr")
    for part in ("notebooks", "tests/data/sample"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignored)
    return tmp_path


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Code of this checkout, and no settings or kernels of the user's."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")


def without_notices(text):
    """Leave out the lines that say that a kernel is compiled, which depends on what was run before."""
    return [line for line in text.splitlines() if not line.startswith("zstruct compiles ")]


@pytest.fixture(scope="module")
def kernel():
    """The process in which all notebooks run, one after the other: it has loaded torch and the rest."""
    manager = pytest.importorskip("jupyter_client").AsyncKernelManager(kernel_name="python3")
    yield manager
    if manager.has_kernel:
        asyncio.run(manager.shutdown_kernel(now=True))


def _one(path):
    """Return the case of a notebook; all but the first take a quarter of a minute and more."""
    marks = [pytest.mark.long] if path.stem != "01-quickstart" else []
    return pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", [_one(path) for path in NOTEBOOKS])
def test_notebooks_run(path, copy, environment, kernel):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("torch")
    notebook = nbformat.read(copy / "notebooks" / path.name, as_version=4)
    begin = f"%reset -f\n%cd -q {copy / 'notebooks'}"  # no names, and the folder is another one
    notebook.cells.insert(0, nbformat.v4.new_code_cell(begin))

    client = nbclient.NotebookClient(notebook, km=kernel, timeout=120)
    try:
        client.execute()
    finally:
        client.kc.stop_channels()

    said = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    warned = [output.text for output in said if output.get("name") == "stderr"]
    assert not without_notices("".join(warned))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_with_outputs_that_hold_anywhere(path):
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code), "run the notebook before storing it"
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    text = path.read_text()
    assert len(text) < 300_000
    assert not any(folder in text for folder in ("/home/", "/root/", "/Users/", "/tmp/", str(ROOT)))


@pytest.mark.slow
def test_demo_runs_again_and_again_without_warnings(copy, monkeypatch, long_run, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    times = 2 if long_run else 1  # the second run replaces its own store
    monkeypatch.chdir(copy)  # where it goes anyhow
    for _ in range(times):
        runpy.run_path("notebooks/demo.py", run_name="__main__")
    said = capsys.readouterr()
    assert not without_notices(said.err)
    assert "407 structures" in said.out
    assert said.out.count("saved demo/energy_per_atom.png") == times
    assert (copy / "demo" / "energy_per_atom.png").stat().st_size > 10_000
