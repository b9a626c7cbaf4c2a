"""An S3 server on loopback, for tests of stores that are elsewhere."""

import gc

import pytest


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """An empty bucket; the environment points every client at it."""
    moto_server = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"bucket-{abs(hash(tmp_path))}"  # the server's buckets outlive it
    s3fs.S3FileSystem().mkdir(name)
    yield name
    s3fs.S3FileSystem.clear_instance_cache()
    gc.collect()  # what complains of unclosed sockets does so here, not after the last test
    server.stop()
