"""Killed at any step, an export leaves the old file, or the new one, or none, never half."""

import signal

import pytest
from ase.build import bulk, molecule

import zstruct
from tests.conftest import tree_bytes
from tests.kills import count_steps, ended, moments
from zstruct.exporters import TextExporter, structures
from zstruct.exporters.deepmd import DeePMDExporter


@pytest.fixture
def store(tmp_path):
    frames = [molecule("H2O") if k % 2 else bulk("Cu", cubic=True) for k in range(24)]
    zstruct.build(frames, tmp_path / "a.zarr", progress=False)
    return tmp_path / "a.zarr"


def _export(store, target, format, kill_at=0):
    structures._BLOCK_BYTES = 400
    steps = count_steps(kill_at, [(TextExporter, "append"), (DeePMDExporter, "write")])
    zstruct.export(store, target, format, overwrite=True, workers=1, progress=False)
    store.with_name("steps").write_text(str(len(steps)))


def _content(path):
    return tree_bytes(path) if path.is_dir() else path.read_bytes() if path.exists() else None


@pytest.mark.parametrize(("name", "format"), [("out.xyz", "xyz"), ("out", "deepmd-npy")])
def test_killed_at_any_step(spawner, tmp_path, store, name, format, long_run):
    target = tmp_path / name
    zstruct.export(store, target, format, select=[0, 1], progress=False)
    old = _content(target)
    assert ended(spawner, _export, store, target, format) == 0
    new, total = _content(target), int((tmp_path / "steps").read_text())
    assert old != new
    steps = moments(total, 3, long_run)
    zstruct.export(store, target, format, select=[0, 1], overwrite=True, progress=False)
    killed, seen = 0, []
    for step in steps:
        killed += ended(spawner, _export, store, target, format, step) == -signal.SIGKILL
        seen.append(_content(target))
        assert seen[-1] in (old, new), f"half a file after step {step}"
        zstruct.export(store, target, format, select=[0, 1], overwrite=True, progress=False)
        assert _content(target) == old
        assert {path.name for path in tmp_path.iterdir()} == {"a.zarr", name, "steps"}
    assert killed >= len(steps) - 1
    assert old in seen
    assert new in seen


def test_killed_where_nothing_was(spawner, tmp_path, store):
    target = tmp_path / "out.xyz"
    assert ended(spawner, _export, store, target, None, 6) == -signal.SIGKILL
    assert not target.exists()
    assert (tmp_path / "out.xyz.exporting").is_dir()
    zstruct.export(store, target, progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {"a.zarr", "out.xyz"}
