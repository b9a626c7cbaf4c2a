"""Bytes that versions of a store share are counted, named, and kept apart from what removing one frees."""

import fcntl
import shutil
from pathlib import Path

import numpy as np
import pytest

import zstruct
from tests.conftest import random_atoms
from zstruct import cli
from zstruct.store import usage
from zstruct.store.usage import Usage


@pytest.fixture
def versions(tmp_path, monkeypatch, small_chunks):
    """A store, and a version of it that has more structures."""
    monkeypatch.chdir(tmp_path)

    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    frames = [random_atoms(np.random.default_rng(k)) for k in range(60)]
    zstruct.build(frames[:50], "a.zarr", progress=False)
    return zstruct.append("a.zarr", frames[50:], out="b.zarr", progress=False)


def bytes_of(path):
    return sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())


def test_links_are_counted_and_what_removing_frees(versions, tmp_path, capsys):
    a, b = Usage.of("a.zarr"), Usage.of("b.zarr")
    assert a.nbytes_shared == b.nbytes_shared == versions.nbytes_shared > 0
    assert (a.nbytes, b.nbytes) == (bytes_of("a.zarr"), bytes_of("b.zarr"))
    assert b.shared_with == {str(tmp_path / "a.zarr"): versions.nbytes_shared}
    both = a.nbytes + b.nbytes - a.nbytes_shared
    seen = {(f.stat().st_ino, f.stat().st_size) for f in tmp_path.rglob("*.zarr/**/*") if f.is_file()}
    assert both == sum(size for _, size in seen)
    assert cli.main(["info", "a.zarr"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "removing this one frees" in out
    shutil.rmtree("b.zarr")
    assert sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file()) == both - b.nbytes_freed
    assert Usage.of("a.zarr") == Usage(a.nbytes, 0, {})
    cli.main(["info", "a.zarr"])
    assert "removing" not in capsys.readouterr().out


def test_versions_elsewhere_are_not_named(versions, tmp_path):
    (tmp_path / "old").mkdir()
    Path("a.zarr").rename("old/a.zarr")
    shared = Usage.of("b.zarr")
    assert (shared.nbytes_shared, shared.shared_with) == (versions.nbytes_shared, {})


def test_clones_are_told_by_their_extents(tmp_path, monkeypatch):
    """As a file system with clones answers: the extents of a file, two at a time."""
    disk = {
        "a.zarr/x/c/0": [(100, 60, usage._SHARED), (900, 10, 0), (300, 30, usage._SHARED)],
        "b.zarr/x/c/0": [(100, 60, usage._SHARED), (500, 40, 0)],
        "c.zarr/x/c/0": [(700, 100, usage._SHARED)],
    }
    for name in disk:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(bytes(100))
        (tmp_path / Path(name).parts[0] / "zarr.json").touch()

    def answer(file, request, asked):
        assert request == usage._FIEMAP
        start = usage._HEAD.unpack_from(asked)[0]
        extents = disk.get(str(Path(file.name).relative_to(tmp_path)), [])
        places = np.cumsum([0, *(length for _, length, _ in extents)]).tolist()
        some = [k for k in range(len(extents)) if places[k] >= start][:2]
        for i, k in enumerate(some):
            physical, length, flags = extents[k]
            flags |= usage._LAST * (k == len(extents) - 1)
            values = places[k], physical, length, 0, 0, flags, 0, 0, 0
            usage._EXTENT.pack_into(asked, usage._HEAD.size + i * usage._EXTENT.size, *values)
        usage._HEAD.pack_into(asked, 0, start, 0, 0, len(some), usage._EXTENTS, 0)
        return 0

    monkeypatch.setattr(fcntl, "ioctl", answer)
    assert Usage.of(tmp_path / "a.zarr") == Usage(100, 90, {str(tmp_path / "b.zarr"): 60})
