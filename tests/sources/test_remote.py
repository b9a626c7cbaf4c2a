"""Inputs behind URLs: the same stores as from files, and sentences where something is in the way."""

import contextlib
import functools
import gc
import gzip
import http.server
import importlib
import io
import json
import pickle
import random
import sys
import threading
import traceback

import ase.db
import ase.io
import numpy as np
import pytest

import zstruct
from tests.conftest import extxyz_text, random_atoms
from tests.servers import SECONDS_BETWEEN_LOOKS
from zstruct.errors import ChangedInputError, InputError, StoreAccessError
from zstruct.sources import source as source_module
from zstruct.sources.content import content_of
from zstruct.sources.inputs import expand
from zstruct.sources.remote import _ANSWERS, is_pattern, told
from zstruct.sources.xyz import source as xyz_module

# The servers and their clients leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

XSF = "# total energy = -4.5 eV\nMOLECULE\nPRIMCOORD\n2 1\nH 0 0 0 0 0 0.5\nH 0 0 0.7 0 0 -0.5\n"


class Answer(http.server.BaseHTTPRequestHandler):
    """Gives files of a dictionary, in parts or not, to whoever says the word."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        server = self.server
        server.asked.append((self.command, self.path, self.headers.get("Range")))
        path = self.path.partition("?")[0]
        if server.status:
            return self.say(server.status, b"no", {}, body)
        if server.word and self.headers.get("Authorization") != server.word:
            return self.say(401, b"who are you?", {}, body)
        if path.endswith("/"):
            names = [name for name in server.files if name.startswith(path) and name != path]
            page = "".join(f'<a href="{name}">x</a>' for name in names)
            return self.say(200, page.encode(), {"Content-Type": "text/html"}, body)
        if path not in server.files:
            return self.say(404, b"none", {}, body)
        data = server.files[path]
        headers = {"ETag": f'"{hash(data)}"'}
        if server.parts and (asked := self.headers.get("Range")):
            first, last = asked.removeprefix("bytes=").split("-")
            stop = min(len(data), int(last) + 1) if last else len(data)
            headers["Content-Range"] = f"bytes {first}-{stop - 1}/{len(data)}"
            return self.say(206, data[int(first) : stop], headers, body)
        return self.say(200, data, headers, body)

    def say(self, status, data, headers, body):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def answering():
    """A server on loopback."""
    pytest.importorskip("aiohttp")
    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    found.url = f"http://127.0.0.1:{found.server_port}"
    thread = threading.Thread(target=found.serve_forever, args=(SECONDS_BETWEEN_LOOKS,))
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()
    gc.collect()


@pytest.fixture
def server(answering):
    """A server on loopback; its files are a dictionary."""
    from fsspec.implementations.http import HTTPFileSystem

    found = answering
    found.files, found.asked, found.parts, found.status, found.word = {}, [], True, 0, ""
    yield found
    _ANSWERS.clear()
    HTTPFileSystem.clear_instance_cache()
    if "s3fs" in sys.modules:
        sys.modules["s3fs"].S3FileSystem.clear_instance_cache()


@pytest.fixture
def small_slices(monkeypatch):
    for module in (source_module, xyz_module):
        monkeypatch.setattr(module, "SLICE_BYTES", 2000)


def built(paths, tmp_path, **options):
    report = zstruct.build(paths, tmp_path / "s.zarr", progress=False, overwrite=True, **options)
    store = zstruct.open(report.path)
    return report, store


def same(store, frames):
    """Compare a store with the structures that it should have."""
    assert store.sizes["structure"] == len(frames)
    np.testing.assert_array_equal(store.positions.values, np.concatenate([a.positions for a in frames]))
    np.testing.assert_array_equal(store.energy.values, [a.get_potential_energy() for a in frames])


def database(path, frames):
    with ase.db.connect(path) as rows:
        for atoms in frames:
            rows.write(atoms)
    return path.read_bytes()


EXPORTED = {"e.parquet": "pyarrow", "f.h5": "h5py", "g.npz": "numpy"}
FORMATS = ["a.xyz", "b.xyz.gz", "c.traj", "d.db", *EXPORTED]


@pytest.fixture(scope="module")
def in_format(tmp_path_factory):
    """What returns a file with the structures of `frames` by its name; each is made once."""
    folder, rng = tmp_path_factory.mktemp("formats"), np.random.default_rng(20261120)
    frames = [random_atoms(rng) for _ in range(30)]

    @functools.cache
    def store():
        zstruct.build(frames, folder / "all.zarr", progress=False)
        return folder / "all.zarr"

    @functools.cache
    def made(name):
        if name == "d.db":
            return database(folder / name, frames)
        if name == "c.traj":
            ase.io.write(folder / name, frames)
        elif name in EXPORTED:
            pytest.importorskip(EXPORTED[name])
            zstruct.export(store(), folder / name, exclude=["source", "frame"], progress=False)
        else:
            text = extxyz_text(frames).encode()
            return gzip.compress(text) if name.endswith(".gz") else text
        return (folder / name).read_bytes()

    return made


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        *((name, True) for name in FORMATS),
        *((name, False) for name in ("a.xyz", "d.db", "f.h5")),
        *(pytest.param(name, False, marks=pytest.mark.long) for name in FORMATS if name[0] not in "adf"),
    ],
)
def test_formats_over_http(server, tmp_path, frames, in_format, small_slices, name, parts):
    server.files["/" + name], server.parts = in_format(name), parts
    url = f"{server.url}/{name}"
    report, store = built(url, tmp_path)
    same(store, frames)
    assert set(store["source"].values.tolist()) == {url}
    if name == "a.xyz":
        assert len(expand(url)[0][0].scan()) > 3
    if not parts:  # what comes as a whole is copied, not asked for again and again
        assert sum(asked[0] == "GET" and asked[2] is None for asked in server.asked) <= 2
    assert report.n_skipped == 0


def test_requests_that_fail_keep_nothing_alive(server):
    server.files["/a.bin"] = bytes(1000)
    stream = content_of(f"{server.url}/a.bin").open()
    server.status = 500
    with pytest.raises(StoreAccessError) as caught:
        stream.read(1000)
    came = [frame for frame, _ in traceback.walk_tb(caught.value.__cause__.__traceback__)]
    waited = [frame for frame in came if frame.f_code.co_name == "sync"]
    assert [frame.f_locals for frame in waited] == [{}]


@pytest.mark.parametrize("name", ["f.h5", "e.parquet", "g.npz"])
def test_the_same_call_goes_on_after_a_server_failed(
    server, tmp_path, frames, in_format, monkeypatch, name, long_run
):
    server.files["/" + name] = in_format(name)
    answer = Answer.answer

    def failing(self, *, body):
        self.server.status = 503 if len(self.server.asked) == failing.after else 0
        answer(self, body=body)

    monkeypatch.setattr(Answer, "answer", failing)
    failing.after = -1
    built(f"{server.url}/{name}", tmp_path)
    n, url = len(server.asked), f"{server.url}/{name}"
    assert n > 3
    for k in range(n) if long_run else random.sample(range(n), 1):
        server.asked.clear()
        failing.after = k
        with contextlib.suppress(StoreAccessError):
            built(url, tmp_path)
        _, store = built(url, tmp_path)
        same(store, frames)


def test_xsf_over_http(server, tmp_path):
    server.files["/x.xsf"] = XSF.encode()
    _, store = built(f"{server.url}/x.xsf", tmp_path)
    assert store.energy.values.tolist() == [-4.5]


@pytest.mark.parametrize(
    "name",
    ["a.xyz", "d.db", *(pytest.param(name, marks=pytest.mark.long) for name in ("b.xyz.gz", "c.traj"))],
)
def test_formats_in_a_bucket(bucket, tmp_path, frames, in_format, small_slices, name):
    import s3fs

    s3fs.S3FileSystem().pipe(f"{bucket}/{name}", in_format(name))
    _, store = built(f"s3://{bucket}/{name}", tmp_path)
    same(store, frames)


@pytest.mark.parametrize("where", ["server", pytest.param("bucket", marks=pytest.mark.long)])
def test_worker_processes_open_files_themselves(request, where, tmp_path, frames, monkeypatch):
    place = request.getfixturevalue(where)
    monkeypatch.setattr(importlib.import_module("zstruct.building.making"), "_PROCESSES_FROM", 0)
    for k in range(3):
        traj = io.BytesIO()
        ase.io.write(traj, frames[10 * k : 10 * k + 10], format="traj")
        if where == "server":
            place.files[f"/{k}.traj"] = traj.getvalue()
        else:
            importlib.import_module("s3fs").S3FileSystem().pipe(f"{place}/{k}.traj", traj.getvalue())
    monkeypatch.setattr("zstruct.building.manifest._JOB_BYTES", 0)
    root = place.url if where == "server" else f"s3://{place}"
    _, store = built([f"{root}/{k}.traj" for k in range(3)], tmp_path, workers=2)
    same(store, frames)


def test_patterns_and_prefixes_of_a_bucket(bucket, tmp_path, frames):
    import s3fs

    files = s3fs.S3FileSystem()
    for name in ("set/f10.xyz", "set/f2.xyz", "set/more/f1.xyz", "set/notes.txt", "set/.hidden.xyz"):
        files.pipe(f"{bucket}/{name}", extxyz_text(frames[:1]).encode())
    files.pipe(f"{bucket}/set/old.zarr/zarr.json", b"{}")
    files.pipe(f"{bucket}/set/old.zarr/c/0.xyz", b"1\n\nHe 0 0 0\n")
    root = f"s3://{bucket}/set"

    def names(given):
        return [s.label.removeprefix(root) for s in expand(given)[0]]

    assert names(f"{root}/*.xyz")[-2:] == ["/f2.xyz", "/f10.xyz"]
    assert names(f"{root}/f?.xyz") == ["/f2.xyz"]
    for given in (root, root + "/"):
        assert names(given) == ["/f2.xyz", "/f10.xyz", "/more/f1.xyz"]
        assert expand(given)[1] == [f"{root}/notes.txt", f"{root}/old.zarr"]
    _, store = built(root, tmp_path)
    same(store, frames[:1] * 3)
    with pytest.raises(InputError, match="no file matches this pattern"):
        expand(f"{root}/*.nothing")
    with pytest.raises(zstruct.StoreFormatError, match="can't open the store"):
        expand(f"{root}/old.zarr/")
    with pytest.raises(InputError, match="none of the files here is known by its name"):
        expand(f"s3://{bucket}/nowhere/")


def test_patterns_over_http(server):
    server.files |= {"/d/f2.xyz": b"1\n\nHe 0 0 0\n", "/d/f10.xyz": b"1\n\nHe 0 0 0\n", "/d/x.log": b""}
    found = [s.label for s in expand(f"{server.url}/d/*.xyz")[0]]
    assert found == [f"{server.url}/d/f2.xyz", f"{server.url}/d/f10.xyz"]
    found, left = expand(f"{server.url}/d/")
    assert [s.label for s in found] == [f"{server.url}/d/f2.xyz", f"{server.url}/d/f10.xyz"]
    assert left == [f"{server.url}/d/x.log"]


def test_files_of_this_machine_and_chains(tmp_path, frames):
    import zipfile

    (tmp_path / "a.xyz").write_text(extxyz_text(frames))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.xyz", "in/a.xyz")
    for url in (f"file://{tmp_path}/a.xyz", f"zip://in/a.xyz::file://{tmp_path}/a.zip"):
        same(built(url, tmp_path)[1], frames)
        assert content_of(url).name == "a.xyz"
    assert [s.label for s in expand(f"file://{tmp_path}/*.xyz")[0]] == [f"file://{tmp_path}/a.xyz"]


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (404, InputError, "no such file"),
        (403, InputError, "forbids it .*403"),
        (401, InputError, "forbids it .*401"),
        (500, StoreAccessError, "500"),
    ],
)
def test_what_a_server_refuses_is_a_sentence(server, tmp_path, status, kind, message):
    server.status = status
    for name in ("a.xyz", "a"):
        with pytest.raises(kind, match=f"{server.url}/{name}: can't be read: .*{message}"):
            built(f"{server.url}/{name}", tmp_path)
    assert not (tmp_path / "s.zarr").exists()


def test_a_server_that_is_not_there(tmp_path, server):
    server.files["/a.xyz"] = b"1\n\nHe 0 0 0\n"
    with pytest.raises(StoreAccessError, match="there is no connection to its server"):
        built("http://127.0.0.1:9/a.xyz", tmp_path)
    assert not isinstance(StoreAccessError(""), InputError)  # so that on_error="skip" does not skip it
    report, _ = built([f"{server.url}/a.xyz", f"{server.url}/b.xyz"], tmp_path, on_error="skip")
    assert [where for where, _, _ in report.skipped] == [f"{server.url}/b.xyz"]


def test_secrets_are_told_nowhere(server, tmp_path, capsys):
    server.files["/a.xyz"] = b"1\n\nHe 0 0 0\n"
    server.word = "Basic bWU6cGFzc3cwcmQ="  # me:passw0rd
    url = server.url.replace("://", "://me:passw0rd@") + "/a.xyz?X-Amz-Signature=abc123&part=1"
    report, store = built(url, tmp_path)
    label = f"{server.url}/a.xyz?X-Amz-Signature=***&part=1"
    assert store["source"].values.tolist() == [label]
    content = content_of(url, {"client_kwargs": {}})
    assert pickle.loads(pickle.dumps(content)) == content
    said = [repr(content), str(report), repr(expand(url)), json.dumps(zstruct.Store(report.path).attrs)]
    server.word = "Basic other"
    with pytest.raises(InputError) as caught:
        built(url, tmp_path)
    said.append(str(caught.value))
    with pytest.raises(InputError) as caught:
        content_of(url.replace("a.xyz", "b.xyz")).open()
    said.append(str(caught.value))
    said += [path.read_text() for path in (tmp_path / "s.zarr").rglob("zarr.json")]
    for text in said:
        assert "passw0rd" not in text
        assert "abc123" not in text


def test_what_changes_meanwhile_is_noticed(server, tmp_path, monkeypatch):
    server.files["/a.xyz"] = b"1\n\nHe 0 0 0\n"
    module = importlib.import_module("zstruct.building.making")
    real = module._parse

    def changing(*args):
        parts = real(*args)
        server.files["/a.xyz"] = b"1\n\nNe 0 0 0\n"
        return parts

    monkeypatch.setattr(module, "_parse", changing)
    with pytest.raises(ChangedInputError, match=r"a\.xyz"):
        built(f"{server.url}/a.xyz", tmp_path)


def test_a_bucket_that_changes_is_noticed_although_listings_are_kept(bucket, frames):
    import s3fs

    files = s3fs.S3FileSystem()
    files.pipe(f"{bucket}/a.xyz", b"1\n\nHe 0 0 0\n")
    (source,), _ = expand(f"s3://{bucket}/*.xyz")
    before = source.fingerprint()
    assert before["size"] == 12
    s3fs.S3FileSystem(anon=False, skip_instance_cache=True).pipe(f"{bucket}/a.xyz", b"1\n\nNe 0 0 0\n")
    assert source.fingerprint() != before


def test_a_file_that_shrinks_while_it_is_read(server):
    server.files["/a.xyz"] = b"x" * 1000
    stream = content_of(f"{server.url}/a.xyz").open()
    server.files["/a.xyz"] = b"x" * 10
    with pytest.raises(InputError, match="became another file while it was read"):
        stream.read(1000)


@pytest.mark.parametrize("parts", [True, False])
def test_streams_seek_and_read_as_files_do(server, rng, parts):
    data = rng.bytes(3 << 20)
    server.files["/a.bin"], server.parts = data, parts
    with content_of(f"{server.url}/a.bin").open() as stream:
        here = io.BytesIO(data)
        for _ in range(50):
            place, n = int(rng.integers(0, len(data) + 10)), int(rng.integers(0, 1 << 18))
            assert stream.seek(place) == here.seek(place)
            assert stream.read(n) == here.read(n)
            assert stream.tell() == here.tell()
        assert stream.seek(-10, 2) == len(data) - 10
        assert stream.read() == data[-10:]
        assert stream.read(1) == b""


def test_twice_the_same_url_is_refused(server):
    with pytest.raises(InputError, match="is given twice"):
        expand([f"{server.url}/a.xyz", f"{server.url}/a.xyz"])


def test_storage_options_are_for_urls(xyz_file):
    with pytest.raises(InputError, match="storage_options are for URLs, and there is none"):
        expand(xyz_file, options=zstruct.sources.options.SourceOptions(storage_options={"anon": True}))


def test_options_of_the_command_line(bucket, tmp_path, monkeypatch, capsys):
    import os

    import s3fs

    from zstruct.cli import main

    s3fs.S3FileSystem().pipe(f"{bucket}/a.xyz", b"1\n\nHe 0 0 0\n")
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    s3fs.S3FileSystem.clear_instance_cache()
    said = [
        f"--storage-option={pair}" for pair in (f"endpoint_url={endpoint}", "key=testing", "secret=testing")
    ]
    out = str(tmp_path / "s.zarr")
    assert main(["build", f"s3://{bucket}/a.xyz", out, "--quiet", *said]) == 0
    assert zstruct.open(out).sizes["structure"] == 1


@pytest.mark.parametrize(
    ("url", "advice"),
    [("https://host/a.xyz", r"pip install 'zstruct\[http\]'"), ("gs://b/a.xyz", "pip install gcsfs")],
)
def test_missing_packages_are_named(monkeypatch, url, advice):
    def missing(url, **options):
        raise ImportError("pip install gcsfs")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(zstruct.MissingExtraError, match=f"{url}: this kind of URL needs a package: {advice}"):
        content_of(url).open()


def test_told_and_patterns():
    assert told("s3://bucket/a.xyz") == "s3://bucket/a.xyz"
    assert told("ftp://me@host/a") == "ftp://host/a"
    assert told("zip://a.xyz::https://me:w@h/x.zip?token=1") == "zip://a.xyz::https://h/x.zip?token=***"
    assert is_pattern("s3://b/a?.xyz")
    assert not is_pattern("https://host/a?.xyz")
