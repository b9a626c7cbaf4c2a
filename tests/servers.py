"""Servers on loopback, S3's and of HTTP, and files in memory, for tests of stores that are elsewhere."""

import gc
import http.server
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest

# How often a server looks whether it is to stop: every test waits for that.
SECONDS_BETWEEN_LOOKS = 0.02


class Folder(http.server.BaseHTTPRequestHandler):
    """Gives the files of a folder, whole or in the parts that are asked for."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and content are two writes, and the second would wait

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        path = Path(self.server.folder, self.path.partition("?")[0].lstrip("/"))
        if not path.is_file():
            return self.say(404, b"none", {}, body)
        data, asked = path.read_bytes(), self.headers.get("Range")
        if asked is None:
            return self.say(200, data, {}, body)
        first, last = asked.removeprefix("bytes=").split("-")
        start = int(first) if first else max(0, len(data) - int(last))
        stop = min(len(data), int(last) + 1) if first and last else len(data)
        part = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}
        return self.say(206, data[start:stop], part, body)

    def say(self, status, data, headers, body):
        self.send_response(status)
        for name, value in {"Accept-Ranges": "bytes", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def served_folder(tmp_path):
    """The URL of the folder of the test."""
    pytest.importorskip("aiohttp")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Folder)
    server.folder = tmp_path
    thread = threading.Thread(target=server.serve_forever, args=(SECONDS_BETWEEN_LOOKS,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def s3_server():
    """The URL of a server that speaks as S3 does."""
    moto_server = pytest.importorskip("moto.server")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@contextmanager
def new_bucket(server, folder):
    """Make an empty bucket, named after a folder; the environment points every client at it."""
    s3fs = pytest.importorskip("s3fs")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", server)
        s3fs.S3FileSystem.clear_instance_cache()
        name = f"bucket-{abs(hash(folder))}"  # the server's buckets outlive it
        s3fs.S3FileSystem().mkdir(name)
        yield name
        s3fs.S3FileSystem.clear_instance_cache()
        gc.collect()  # what complains of unclosed sockets does so here, not after the last test


@pytest.fixture
def bucket(tmp_path, s3_server):
    """An empty bucket of the test's own."""
    with new_bucket(s3_server, tmp_path) as name:
        yield name


@pytest.fixture
def s3_folder(bucket):
    """The URL of an empty bucket."""
    return f"s3://{bucket}"


@pytest.fixture
def folder_in_memory():
    """The URL of an empty folder in the memory of this process, for what is not about a server."""
    fsspec = pytest.importorskip("fsspec")
    url = f"memory://{uuid.uuid4().hex}"
    yield url
    files = fsspec.filesystem("memory")
    if files.exists(url):
        files.rm(url, recursive=True)
