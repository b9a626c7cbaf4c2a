"""Paths and URLs: what can be read with which options, and what is said where nothing can be."""

import errno
import gc
import http.server
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import zstruct
from tests.conftest import random_atoms
from tests.servers import SECONDS_BETWEEN_LOOKS
from zstruct.errors import InputError, MissingExtraError, StoreAccessError, StoreFormatError
from zstruct.explore import summarize
from zstruct.features import NeighborList, group_names, open_group
from zstruct.paths_and_urls import check_writable, is_url, path_of, refused

# The servers and their clients leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def closing():
    """Have sessions that were left open complain at the end of this file, where nobody listens."""
    yield
    from fsspec.implementations.http import HTTPFileSystem

    HTTPFileSystem.clear_instance_cache()
    if "s3fs" in sys.modules:
        sys.modules["s3fs"].S3FileSystem.clear_instance_cache()
    gc.collect()


@pytest.fixture(scope="module")
def _served(tmp_path_factory, s3_server):
    """A store here and its copy behind an S3 server, which only its options lead to."""
    s3fs = pytest.importorskip("s3fs")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # or it is asked for credentials
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        options = {"key": "testing", "secret": "testing", "endpoint_url": s3_server}
        s3fs.S3FileSystem.clear_instance_cache()
        files = s3fs.S3FileSystem(**options)
        files.makedirs("access", exist_ok=True)  # the server outlives this fixture
        here = tmp_path_factory.mktemp("access") / "s.zarr"
        rng = np.random.default_rng(1)
        frames = [random_atoms(rng, 4, periodic=True) for _ in range(20)]
        zstruct.build(frames, here, progress=False)
        zstruct.featurize(here, NeighborList(3.0), progress=False)
        zstruct.split(here, [0.5, 0.5], name="default")
        zstruct.fit_references(here, ridge=1.0, name="default")
        zstruct.statistics(here, name="all")
        files.put(str(here), "access/s.zarr", recursive=True)
        yield here, "s3://access/s.zarr", options
        s3fs.S3FileSystem.clear_instance_cache()
        gc.collect()


@pytest.fixture
def served(_served, closing):
    return _served


def _torch(path, **options):
    pytest.importorskip("torch")
    return zstruct.ZarrStructureDataset(path, ["energy"], **options)[3]["energy"].item()


READERS = {
    "Store": lambda path, **o: zstruct.Store(path, **o).read("energy").tolist(),
    "open": lambda path, **o: zstruct.open(path, **o).energy.values.tolist(),
    "summarize": lambda path, **o: summarize(path, **o)["digest"],
    "verify": lambda path, **o: zstruct.verify(path, **o),
    "StructureReader": lambda path, **o: zstruct.StructureReader(path, **o)[3]["energy"].tolist(),
    "ZarrStructureDataset": _torch,
    "split": lambda path, **o: list(map(len, zstruct.split(path, [0.5, 0.5], **o))),
    "kfold": lambda path, **o: len(zstruct.kfold(path, 2, **o)),
    "open_split": lambda path, **o: zstruct.open_split(path, **o)["train"].tolist(),
    "statistics": lambda path, **o: zstruct.statistics(path, **o).energy.mean,
    "open_statistics": lambda path, **o: zstruct.open_statistics(path, **o).energy.mean,
    "fit_references": lambda path, **o: dict(zstruct.fit_references(path, ridge=1.0, **o)),
    "open_references": lambda path, **o: dict(zstruct.open_references(path, **o)),
    "isolated_references": lambda path, **o: zstruct.isolated_references(path, **o),
    "group_names": lambda path, **o: group_names(path, **o),
    "open_group": lambda path, **o: open_group(path, "neighbors", "rc3", **o).cutoff,
}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_takes_storage_options(served, name):
    here, there, options = served
    read = READERS[name]
    if name == "isolated_references":  # this store has none: the same sentence, but for the path
        with pytest.raises(InputError, match=r"s3://access/s\.zarr has no structure of one atom"):
            read(there, storage_options=options)
    else:
        assert read(there, storage_options=options) == read(here)
    opened = zstruct.Store(there, options)
    if name != "Store":  # as a store that is open
        with pytest.raises(InputError, match="open already: pass storage_options where it is opened"):
            read(opened, storage_options=options)
    with pytest.raises(
        StoreAccessError, match="no credentials for its server; configure them, or pass storage"
    ):
        read(there)
    with pytest.raises(InputError, match=r"storage_options are for URLs, and .* is a local path"):
        read(here, storage_options=options)
    with pytest.raises(TypeError, match="storage_options is a mapping of options of fsspec, not 3"):
        read(there, storage_options=3)


def test_options_stay_with_the_store(served):
    import pickle

    here, there, options = served
    opened = pickle.loads(pickle.dumps(zstruct.Store(there, options)))
    assert opened.read("energy").tolist() == zstruct.Store(here).read("energy").tolist()
    ds = zstruct.open(there, storage_options=options)
    assert ds.zs.to_ase(2).get_potential_energy() == zstruct.open(here).zs.to_ase(2).get_potential_energy()
    data = zstruct.StructureReader(there, ["energy"], neighbors=3.0, split="val", storage_options=options)
    assert len(data) == 10
    assert data[:2].get_statistics().structures == 2
    assert "s3://access/s.zarr" in repr(data)


@pytest.mark.parametrize(
    ("url", "changed", "kind", "message"),
    [
        (
            "s3://access/none.zarr",
            {},
            StoreFormatError,
            r"can't open the store s3://access/none\.zarr: no such",
        ),
        ("s3://nowhere/s.zarr", {}, StoreFormatError, "no such file or directory"),
        (
            "s3://access/s.zarr",
            {"endpoint_url": "http://127.0.0.1:9"},
            StoreAccessError,
            "no connection to its",
        ),
        (
            "s3://access/s.zarr",
            {"endpoint_url": "http://x.invalid"},
            StoreAccessError,
            "no connection to its",
        ),
        ("s3://access/s.zarr", {"endpoint_url": "nonsense"}, StoreFormatError, "Invalid endpoint: nonsense"),
        ("s3://access/s.zarr", {"kex": "testing"}, InputError, "with these storage_options: .*'kex'"),
        ("nosuch://access/s.zarr", {}, StoreFormatError, "fsspec knows no such protocol"),
    ],
)
def test_what_a_server_refuses_is_a_sentence(served, monkeypatch, url, changed, kind, message):
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 2)  # of five, each after a longer pause
    options = served[2] | changed
    function = zstruct.Store if "connection" in message else zstruct.open  # clients try several times
    with pytest.raises(kind, match=message):
        function(url, storage_options=options)


def test_what_needs_a_package_names_it():
    with pytest.raises(MissingExtraError, match="gcsfs"):
        zstruct.open("gs://bucket/s.zarr")


@pytest.mark.parametrize(
    ("status", "kind"), [(401, StoreAccessError), (403, StoreAccessError), (500, StoreAccessError)]
)
def test_statuses_of_a_plain_server(closing, status, kind):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(status)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(SECONDS_BETWEEN_LOOKS,))
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/s.zarr"
        with pytest.raises(kind, match=rf"can't read {url}.*{status}"):
            zstruct.open(url)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_server_that_forbids_later_damages_nothing(served, monkeypatch):
    """What can't be reached while it is read is not said to be corrupt."""
    _, there, options = served
    opened = zstruct.Store(there, options)
    ds = zstruct.open(opened)
    from fsspec.asyn import AsyncFileSystem
    from s3fs import S3FileSystem

    async def forbidden(*args, **kwargs):
        raise PermissionError("Forbidden")

    assert issubclass(S3FileSystem, AsyncFileSystem)
    monkeypatch.setattr(S3FileSystem, "_cat_file", forbidden)
    for read in (lambda: opened.read("energy"), lambda: ds.energy.values):
        with pytest.raises(
            StoreAccessError, match=r"s3://access/s\.zarr: its server forbids it \(Forbidden\)"
        ):
            read()


def test_errors_of_the_system_say_which_store():
    for number, text in ((errno.EMFILE, "Too many open files"), (errno.EACCES, "Permission denied")):
        found = refused("/data/s.zarr", OSError(number, text))
        assert isinstance(found, StoreAccessError)
        assert str(found) == f"can't read /data/s.zarr: {text}"
    assert refused("/data/s.zarr", ValueError("checksum")) is None
    assert refused("s3://b/s.zarr", ValueError("checksum")) is None


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        (None, TypeError, "a store is given as a path or a URL, one text or pathlib.Path, not None"),
        (3, TypeError, "not 3"),
        (["a.zarr", "b.zarr"], TypeError, r"one text or pathlib\.Path, not \['a\.zarr', 'b\.zarr'\]"),
        (b"a.zarr", TypeError, "not in bytes"),
        (np.arange(10_000), TypeError, r"not array\("),
        ("", InputError, "can't be the path of a store"),
        ("a\0b", InputError, "can't be the path of a store"),
        (Path("s3://bucket/s.zarr"), InputError, "was a URL before pathlib took a slash out of it"),
        ("x" * 300, StoreFormatError, "name too long|no such file"),
        ("\udcff\ud800.zarr", StoreFormatError, "can't open the store|no such file"),
    ],
)
def test_paths_that_are_none(path, kind, message):
    for function in (zstruct.Store, zstruct.verify, zstruct.StructureReader):
        with pytest.raises(kind, match=message):
            function(path)
    with pytest.raises(kind):  # in words of its own
        zstruct.open(path)


def test_what_is_a_url():
    for url in (
        "s3://b/x",
        "https://h/x",
        "memory://x",
        "zip::s3://b/x.zip",
        "zip://::/data/x.zip",
        "a+b.c-d://x",
    ):
        assert is_url(url)
    for path in ("x.zarr", "/data/x", "C:/data/x", "C:\\data", "a:b", "./s3:/x", "~/x", "x//y"):
        assert not is_url(path)
    assert path_of("~/x") == os.path.expanduser("~/x")


def _dirs(path):
    return sorted(os.listdir(path))


WRITERS = {
    "build": lambda out: zstruct.build("train.xyz", out, progress=False),
    "featurize": lambda out: zstruct.featurize(out, NeighborList(3.0), progress=False),
    "split": lambda out: zstruct.split(out, [0.5, 0.5], name="default"),
    "kfold": lambda out: zstruct.kfold(out, 2, name="default"),
    "statistics": lambda out: zstruct.statistics(out, name="all"),
    "fit_references": lambda out: zstruct.fit_references(out, name="all"),
    "isolated_references": lambda out: zstruct.isolated_references(out, name="all"),
}


@pytest.mark.parametrize(
    "out", ["s3://bucket/out.zarr", "https://host.invalid/out.zarr", "memory://out.zarr"]
)
@pytest.mark.parametrize("name", WRITERS)
def test_what_writes_refuses_urls_at_once(tmp_path, xyz_file, monkeypatch, name, out):
    monkeypatch.chdir(tmp_path)
    before = _dirs(tmp_path)
    with pytest.raises(
        InputError, match=r"into local directories only, not into .*do it in one here and copy"
    ):
        WRITERS[name](out)
    assert _dirs(tmp_path) == before


def test_a_url_that_is_open_is_refused_at_once(served):
    opened = zstruct.Store(served[1], served[2])
    data = zstruct.StructureReader(opened)
    for given in (opened, data):
        for name in ("split", "kfold", "statistics", "fit_references", "isolated_references"):
            with pytest.raises(InputError, match="into local directories only"):
                WRITERS[name](given)


@pytest.mark.parametrize(
    "out", ["file:///tmp/out.zarr", Path("s3://bucket/out.zarr"), "x" * 300, "a\0b", "train.xyz/out.zarr"]
)
def test_other_places_that_can_not_be_written(tmp_path, xyz_file, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    before = _dirs(tmp_path)
    with pytest.raises(InputError) as caught:
        zstruct.build("train.xyz", out, progress=False)
    assert "\0" not in str(caught.value)
    assert _dirs(tmp_path) == before


def test_names_that_are_not_utf_8_are_written(tmp_path, xyz_file, monkeypatch):
    """Linux takes any bytes; so do builds, and the store reads back."""
    monkeypatch.chdir(tmp_path)
    out = os.fsdecode(b"\xff\xfe.zarr")
    report = zstruct.build("train.xyz", out, progress=False)
    assert len(zstruct.StructureReader(out)) == report.n_structures


def test_check_writable_returns_the_path(tmp_path):
    assert check_writable(tmp_path / "new.zarr", "a store is built") == str(tmp_path / "new.zarr")
