"""A disk that is full, or a limit that is reached: which file, what is safe, and the same call goes on."""

import errno
import os
import subprocess
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest

import zstruct
from tests.conftest import extxyz_text, random_atoms, tree_bytes
from tests.kills import ended
from zstruct.disk import (
    WholeFile,
    allocate,
    bytes_within,
    load,
    naming,
    save_array,
    sync_tree,
    writing,
)
from zstruct.errors import WriteError
from zstruct.features import Chebyshev, NeighborList

WHERE = {errno.ENOSPC: "free some space there", errno.EDQUOT: "quota", errno.EFBIG: r"ulimit -f"}
CALLS = """
    zstruct.build("train.xyz", "new.zarr", progress=False)
    zstruct.build("train.xyz", "old.zarr", overwrite=True, encoding="float32", progress=False)
    zstruct.featurize("old.zarr", Chebyshev(["H", "C", "O", "Ti"], 4, 3.5, 2, 2.5), True, progress=False)
    zstruct.featurize("old.zarr", NeighborList(4.0), progress=False)
    zstruct.split("old.zarr", [0.5, 0.5], name="default")
    zstruct.statistics("old.zarr", name="all")
"""
SCOPE = {"zstruct": zstruct, "Chebyshev": Chebyshev, "NeighborList": NeighborList}


def _limited(limit, answers):
    """Make the calls where no file may be longer; send the sentences of those that fail."""
    import resource

    zstruct.StructureReader("old.zarr")[0]  # what is compiled is kept in files, too
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    sentences = []
    for call in textwrap.dedent(CALLS).split("\n"):
        try:
            exec(call, SCOPE)
        except WriteError as error:
            sentences.append(str(error))
    answers.send(sentences)


@pytest.fixture
def workplace(tmp_path, rng, monkeypatch):
    """An input, a store of it, and the store once more, to compare."""
    frames = [random_atoms(rng, 8, periodic=bool(k % 2)) for k in range(600)]
    (tmp_path / "train.xyz").write_text(extxyz_text(frames))
    monkeypatch.chdir(tmp_path)
    zstruct.build("train.xyz", "old.zarr", progress=False)
    return tmp_path


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="limits are those of Linux")
@pytest.mark.parametrize("limit", [100, pytest.param(3_000, marks=pytest.mark.long), 20_000])
def test_limits_of_files_are_sentences_and_nothing_is_lost(workplace, spawner, limit):
    before = tree_bytes("old.zarr")
    answer, answers = spawner.Pipe(duplex=False)
    assert ended(spawner, _limited, limit, answers) == 0
    sentences = answer.recv()
    assert len(sentences) >= {100: 6, 3_000: 4, 20_000: 3}[limit], sentences
    for sentence in sentences:
        assert sentence.startswith("can't write /")
        assert "file too large; raise the limit of the size of files (ulimit -f)" in sentence
        assert "run the same call again" in sentence
        assert sentence.endswith((" as it was", "nothing of the store is lost"))
    zstruct.verify("old.zarr")
    if len(sentences) == 6:
        assert tree_bytes("old.zarr").items() >= before.items()
        assert not os.path.exists("new.zarr")
    # With room, the same calls do what they would have done.
    for call in textwrap.dedent(CALLS).split("\n"):
        exec(call, SCOPE)
    zstruct.verify("old.zarr")
    zstruct.verify("new.zarr")
    assert sorted(os.listdir()) == ["new.zarr", "old.zarr", "train.xyz"]


@pytest.mark.parametrize("number", WHERE)
def test_a_full_disk_in_a_build_and_its_end(workplace, monkeypatch, number):
    """The shard that no longer fits is named; what is whole is used by the same call."""
    from zstruct.store import write

    real, written = write._encoded, []

    def full(spec, *given):
        if len(written) == 5:
            raise OSError(number, os.strerror(number))
        written.append(spec.path)
        yield from real(spec, *given)

    with monkeypatch.context() as patch:
        patch.setattr(write, "_encoded", full)
        with pytest.raises(
            WriteError, match=r"can't write /.*new\.zarr\.building/store/.*partial: "
        ) as caught:
            zstruct.build("train.xyz", "new.zarr", progress=False, workers=1)
    assert WHERE[number].replace("\\", "") in str(caught.value)
    assert os.strerror(number).lower() in str(caught.value)
    assert "what is whole stays in " in str(caught.value)
    assert not os.path.exists("new.zarr")
    again = []
    with monkeypatch.context() as patch:
        patch.setattr(write, "_encoded", lambda spec, *given: again.append(spec.path) or real(spec, *given))
        zstruct.build("train.xyz", "new.zarr", progress=False, workers=1)
    assert not set(again) & set(written)
    assert len(again) > 3
    zstruct.verify("new.zarr")


def test_a_small_disk(workplace, tmp_path):
    """On a file system of one megabyte, where mapped files and NumPy's writing run out of room, too."""
    small = tmp_path / "small"
    small.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(small)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("file systems can't be mounted here")
    try:
        with pytest.raises(
            WriteError, match=f"can't write {small}.*no space left on device; free some space"
        ):
            zstruct.build("train.xyz", small / "new.zarr", progress=False)
        assert os.listdir(small) == ["new.zarr.building"]
        subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
        report = zstruct.build("train.xyz", small / "new.zarr", progress=False)
        assert report.n_structures == 600
        zstruct.verify(small / "new.zarr")
        used = sum(f.stat().st_blocks * 512 for f in small.rglob("*"))
        subprocess.run(["mount", "-o", f"remount,size={used // 1024 + 60}k", str(small)], check=True)
        descriptor = Chebyshev(["H", "C", "O", "Ti"], 4, 3.5, 2, 2.5)
        with pytest.raises(WriteError, match="no space left on device; free some space"):
            zstruct.featurize(small / "new.zarr", descriptor, derivatives=True, progress=False)
        zstruct.verify(small / "new.zarr")
        subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
        zstruct.featurize(small / "new.zarr", descriptor, derivatives=True, progress=False)
        zstruct.verify(small / "new.zarr")
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)  # its files may be mapped still


def test_errors_get_the_name_of_the_file():
    with pytest.raises(OSError, match="x") as caught, naming("/data/file"):
        raise OSError(errno.EFBIG, "x")
    assert caught.value.filename == "/data/file"
    with pytest.raises(OSError, match="x") as caught, naming("/data/file"):
        raise OSError(errno.EFBIG, "x", "/other")
    assert caught.value.filename == "/other"


def test_other_errors_pass():
    for error in (OSError(errno.EMFILE, "x"), OSError("x"), KeyError("x"), WriteError("x")):
        with pytest.raises(type(error)) as caught, writing("/data", "all is safe"):
            raise error
        assert caught.value is error


@pytest.mark.parametrize("array", [np.arange(5), np.zeros((0, 3)), np.ones((4, 3))[:, ::2], np.array(True)])
def test_arrays_are_saved_as_numpy_does(tmp_path, array):
    save_array(tmp_path / "a.npy", array)
    np.save(tmp_path / "b.npy", np.ascontiguousarray(array))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_room_is_made_for_a_mapped_file(tmp_path):
    array = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.int64, (100_000,))
    assert (tmp_path / "a.npy").stat().st_blocks * 512 < 800_000
    allocate(tmp_path / "a.npy")
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 800_000
    assert not array.any()


@pytest.mark.parametrize("shared", [False, True])
def test_a_file_replaces_another_only_when_it_is_whole(tmp_path, shared):
    path = tmp_path / "a"
    path.write_bytes(b"before")

    def half(whole):
        whole.file.write(b"half")
        whole.file.flush()
        assert whole.partial.read_bytes() == b"half"
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"), WholeFile(path, shared=shared) as whole:
        half(whole)
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["a"]

    with WholeFile(path, shared=shared) as whole:
        whole.file.write(b"after")
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert os.listdir(tmp_path) == ["a"]


def test_files_that_several_write_at_once_are_those_of_one_of_them(tmp_path):
    path = tmp_path / "a"
    with WholeFile(path, shared=True) as one, WholeFile(path, shared=True) as other:
        one.file.write(b"1" * 100)
        other.file.write(b"2" * 100)
    assert path.read_bytes() == b"1" * 100  # the outer block ends last
    assert os.listdir(tmp_path) == ["a"]


def test_what_was_to_be_durable_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(os, "fsync", lambda fd: done.append("on disk"))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: done.append("named") or replace(a, b))

    for durable in (True, False):
        with WholeFile(tmp_path / "a", durable=durable) as whole:
            whole.file.write(b"a")

    assert done == ["on disk", "named", "named"]


def test_errors_name_the_file_and_leave_nothing(tmp_path):
    with pytest.raises(OSError, match="full") as caught, WholeFile(tmp_path / "a") as whole:
        raise OSError(errno.ENOSPC, "full")
    assert caught.value.filename == str(whole.partial)
    assert os.listdir(tmp_path) == []


def in_memory(file, size):
    """Return whether the system has a file in memory; skip where it does not tell."""
    if not hasattr(os, "RWF_NOWAIT"):
        pytest.skip("the system does not tell")
    place, part = 0, bytearray(1 << 20)
    while place < size:
        try:
            place += os.preadv(file, [part], place, os.RWF_NOWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            pytest.skip(f"the file system does not tell: {error}")
    return True


@pytest.fixture
def on_disk(tmp_path):
    """A folder that is on a disk, where there is one: those of other tests may be in memory."""
    with tempfile.TemporaryDirectory(
        dir="/var/tmp" if os.access("/var/tmp", os.W_OK) else tmp_path
    ) as folder:
        yield Path(folder)


def test_a_file_is_loaded_into_memory(on_disk):
    path = on_disk / "rows"
    content = np.random.default_rng(0).bytes(3_000_001)
    path.write_bytes(content)
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if in_memory(file.fileno(), len(content)):
            pytest.skip("the file system keeps its files in memory")

        load(path)

        assert in_memory(file.fileno(), len(content))
    assert path.read_bytes() == content


def test_a_file_that_is_not_there_is_not_loaded(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "rows")


def test_a_tree_is_on_the_disk_when_its_files_are_and_then_its_folders(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("x", "a/y", "a/b/z"):
        (tmp_path / name).write_text(name)
    synced = []
    monkeypatch.setattr("zstruct.disk.sync_to_disk", lambda path: synced.append(path))
    sync_tree(tmp_path)
    assert {os.path.basename(path) for path in synced[:3]} == {"x", "y", "z"}
    assert {Path(path) for path in synced[3:]} == {tmp_path, tmp_path / "a", tmp_path / "a" / "b"}

    def fail(path):
        raise OSError(errno.EIO, "broken", os.fspath(path))

    monkeypatch.setattr("zstruct.disk.sync_to_disk", fail)
    with pytest.raises(OSError, match="broken"):
        sync_tree(tmp_path)


def test_bytes_of_a_folder_are_those_of_its_files_and_of_no_folder_that_is_linked(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "c").write_bytes(b"123")
    (tmp_path / "d").write_bytes(b"45")
    (inner / "around").symlink_to(tmp_path)
    (inner / "again").symlink_to(inner / "c")

    assert bytes_within(tmp_path) == 3 + 3 + 2
    assert bytes_within(tmp_path / "a") == 3 + 3
    assert bytes_within(tmp_path / "none") == bytes_within(tmp_path / "d") == 0
