"""Appending to a store that is elsewhere: the server copies, the root document comes last.

Where the server matters it is one of S3 on loopback. Else it is a file system in memory that does what an
object store does: it copies, writes what is not there yet, and renames nothing.
"""

import tempfile
from pathlib import Path

import numpy as np
import pytest

import zstruct
from tests.building.test_from_stores import build
from tests.conftest import extxyz_text, random_atoms, tree_bytes
from zstruct import BuildLockedError, ChangedInputError, InputError, StoreExistsError
from zstruct.store import remote_folder
from zstruct.store.store import Store

fsspec = pytest.importorskip("fsspec")

# The server and its clients leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


def append(store, inputs, **options):
    return zstruct.append(store, inputs, progress=False, **options)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where versions are made on this machine, which is empty when they are there."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def files_of(url):
    """Return the file system of a URL, which knows what others have changed."""
    fs, _ = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()
    return fs


def sent(store, url):
    """Copy a store of this machine; return its URL."""
    files_of(url).put(f"{store}/", f"{url}/", recursive=True)
    return url


@pytest.fixture
def there(request, tmp_path, monkeypatch, small_chunks, scratch):
    """The URL of a store of decimals, with a file to append and what is expected of that."""
    folder = request.getfixturevalue(getattr(request, "param", "folder_in_memory"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zstruct.store.savings._WORTH_BYTES", -(2**60))
    rng = np.random.default_rng(9)
    frames = [random_atoms(rng, 4, labels=False) for _ in range(14)]
    Path("a.xyz").write_text(extxyz_text(frames[:10]))
    Path("b.xyz").write_text(extxyz_text(frames[10:]))
    build("a.xyz", "a.zarr", encoding="decimal")
    append("a.zarr", "b.xyz", out="b.zarr")
    return sent("a.zarr", f"{folder}/a.zarr")


def tags(url):
    """Return the files of a store that is on a server, with what the server says of their content."""
    return {name: said["ETag"] for name, said in files_of(url).find(url, detail=True).items()}


def fetched(url, name):
    """Return a copy of a store that is elsewhere."""
    files_of(url).get(f"{url}/", f"{name}/", recursive=True)
    return name


class Traffic:
    """What passes between this machine and the server, and what that copies by itself."""

    def __init__(self, monkeypatch):
        self.copied, self.sent = [], []
        put, copy = remote_folder.RemoteFolder.put, remote_folder.RemoteFolder.copy

        def counted_put(folder, files):
            self.sent += files
            put(folder, files)

        def counted_copy(folder, names, other):
            self.copied += names
            copy(folder, names, other)

        monkeypatch.setattr(remote_folder.RemoteFolder, "put", counted_put)
        monkeypatch.setattr(remote_folder.RemoteFolder, "copy", counted_copy)


@pytest.mark.parametrize("there", ["s3_folder"], indirect=True)
def test_the_new_version_is_the_one_that_is_made_here(there, scratch, monkeypatch):
    traffic, before = Traffic(monkeypatch), tags(there)
    out = there.replace("a.zarr", "b.zarr")
    report = append(there, "b.xyz", out=out)
    assert (report.path, report.n_added, report.n_structures) == (out, 4, 14)
    assert tree_bytes(fetched(out, "fetched.zarr")) == tree_bytes("b.zarr")
    zstruct.verify("fetched.zarr")
    here = [f for f in Path("b.zarr").rglob("c/**/*") if f.is_file() and f.stat().st_nlink > 1]
    assert len(traffic.copied) == len(here) > 5
    assert report.nbytes_shared == sum(f.stat().st_size for f in here)
    assert report.nbytes == Store("b.zarr").nbytes_stored()
    assert traffic.sent[-1] == "zarr.json"
    assert (
        sum(Path("b.zarr", name).stat().st_size for name in traffic.sent)
        == report.nbytes - report.nbytes_shared
    )
    assert not set(traffic.copied) & set(traffic.sent)
    assert list(scratch.iterdir()) == []
    assert {name[-6:] for name in files_of(out).ls(there.removesuffix("/a.zarr"))} == {"a.zarr", "b.zarr"}
    assert tags(there) == before
    assert [step.did for step in zstruct.log(out)] == ["build", "append"]
    lock = remote_folder.RemoteFolder(f"{out}.lock", None)
    assert [lock.create("", b"mine"), lock.create("", b"another's")] == [True, False]
    assert lock.read("") == b"mine"


@pytest.mark.parametrize("joined", [False, True], ids=["of structures", "of a store"])
def test_groups_come_along(joined, folder_in_memory, full, tmp_path, scratch, monkeypatch):
    there, new = sent(full, f"{folder_in_memory}/full.zarr"), f"{folder_in_memory}/new.zarr"
    inputs = [random_atoms(np.random.default_rng(k)) for k in range(3)]
    if joined:
        inputs = build(full, tmp_path / "cut.zarr", select=[6, 1, 2])
    traffic = Traffic(monkeypatch)
    report = append(there, inputs, out=new, split="val")
    expected = append(full, inputs, out=tmp_path / "new.zarr", split="val")
    assert report.groups.followed == expected.groups.followed
    assert report.groups.stale == expected.groups.stale
    assert ("features/chebyshev" in report.groups.followed) == joined
    assert any(name.startswith("features/chebyshev/values/c/") for name in traffic.copied)
    made = fetched(new, tmp_path / "fetched.zarr")
    assert tree_bytes(made) == tree_bytes(tmp_path / "new.zarr")
    zstruct.verify(made)


@pytest.mark.parametrize("indexed", [True, False])
def test_what_is_there_is_not_read_for_an_index(
    indexed, folder_in_memory, tmp_path, small_chunks, scratch, monkeypatch
):
    monkeypatch.setattr("zstruct.indexing.columns._CHUNK_ROWS", 4)
    frames = [random_atoms(np.random.default_rng(k), periodic=True) for k in range(27)]
    with monkeypatch.context() as patch:
        if not indexed:
            patch.setattr("zstruct.building.making.put_index", lambda *given: None)
        build(frames[:23], tmp_path / "a.zarr")  # all shards of offsets are full
    if indexed:
        zstruct.index(tmp_path / "a.zarr", shortest_distance=True)
    there, new = sent(tmp_path / "a.zarr", f"{folder_in_memory}/a.zarr"), f"{folder_in_memory}/b.zarr"
    before, read, found = Store(tmp_path / "a.zarr"), Store.read, []

    def noted(store, name, start=0, stop=None):
        if store.path.startswith("memory://") and name in before.fields:
            rows = before.grid(name).shard_rows
            assert start >= before.shape(name)[0] // rows * rows, name
            found.append(name)
        return read(store, name, start, stop)

    monkeypatch.setattr(Store, "read", noted)
    append(there, frames[23:], out=new)
    assert found
    made = fetched(new, tmp_path / "fetched.zarr")
    append(tmp_path / "a.zarr", frames[23:], out=tmp_path / "b.zarr")
    here = tree_bytes(tmp_path / "b.zarr")
    if indexed:
        assert tree_bytes(made) == here
    else:
        assert Store(made).group_names("index") == []
        assert tree_bytes(made).keys() < here.keys()


def test_what_was_interrupted_goes_on_and_others_are_refused(there, scratch, tmp_path, monkeypatch):
    out = there.replace("a.zarr", "b.zarr")

    def lost(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(remote_folder.RemoteFolder, "put", lost)
        with pytest.raises(KeyboardInterrupt):
            append(there, "b.xyz", out=out)
    with pytest.raises(zstruct.StoreFormatError):
        Store(out)
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path))  # another machine
        with pytest.raises(BuildLockedError, match=r"remove memory://.*\.building"):
            append(there, "b.xyz", out=out)
    append(there, "b.xyz", out=out)
    assert tree_bytes(fetched(out, "fetched.zarr")) == tree_bytes("b.zarr")
    with pytest.raises(StoreExistsError, match=r"b\.zarr exists; remove it yourself"):
        append(there, "b.xyz", out=out)
    assert list(scratch.iterdir()) == []


def test_what_changes_meanwhile_is_not_published(there, scratch, monkeypatch):
    out, send = there.replace("a.zarr", "b.zarr"), remote_folder.RemoteFolder.put

    def replaced(folder, files):
        send(folder, files)
        build("b.xyz", "other.zarr", overwrite=True)
        files_of(there).put("other.zarr/zarr.json", f"{there}/zarr.json")

    monkeypatch.setattr(remote_folder.RemoteFolder, "put", replaced)
    with pytest.raises(ChangedInputError, match="was replaced meanwhile"):
        append(there, "b.xyz", out=out)
    assert files_of(out).find(out) == []
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("out", "options", "sentence"),
    [
        (None, {}, "two stores can't change places in one step, .*give the new version another URL"),
        ("b.zarr", {}, r"by copies that the server makes; to have one here, build it"),
        ("memory://b.zarr", {}, "is elsewhere than"),
        ("s3://bucket/b.zarr", {"overwrite": True}, "nothing is replaced behind URLs"),
    ],
)
def test_what_can_not_be_done_there_is_refused(out, options, sentence, tmp_path, monkeypatch):
    pytest.importorskip("s3fs")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=sentence):
        append("s3://bucket/a.zarr", "b.xyz", out=out, **options)
    assert list(tmp_path.iterdir()) == []


def test_content_that_came_in_before_and_bad_inputs_leave_nothing(there, scratch):
    out = there.replace("a.zarr", "b.zarr")
    for inputs, sentence in (
        ("a.xyz", "came in before"),
        ("none.xyz", "none.xyz"),
        (there, "the store itself"),
    ):
        with pytest.raises(InputError, match=sentence):
            append(there, inputs, out=out)
    assert list(scratch.iterdir()) == []
    append(there, "b.xyz", out=out)
