"""The server for this machine gives files of the page and the store, in parts, and no others."""

import http.client
import threading

import pytest

from zstruct.reporting.live_server import file_server


@pytest.fixture
def ask(tmp_path):
    """Ask for a path; returns status, content and headers."""
    for name, content in {
        "page/index.html": b"page",
        "x.zarr/c/0": bytes(range(200)),
        "secret": b"no",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "page/link").symlink_to(tmp_path / "secret")
    server = file_server(tmp_path, [tmp_path / "page", tmp_path / "x.zarr"])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)

    def asked(path, method="GET", **headers):
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers

    yield asked
    connection.close()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("asked", "part", "says"),
    [
        (None, slice(None), None),
        ("bytes=0-9", slice(0, 10), "bytes 0-9/200"),
        ("bytes=190-999", slice(190, 200), "bytes 190-199/200"),
        ("bytes=150-", slice(150, 200), "bytes 150-199/200"),
        ("bytes=-20", slice(180, 200), "bytes 180-199/200"),
        ("bytes=-999", slice(None), None),
        ("lines=1-2", slice(None), None),
    ],
)
def test_files_come_whole_or_in_part(ask, asked, part, says):
    headers = {} if asked is None else {"Range": asked}
    status, content, said = ask("/x.zarr/c/0", **headers)
    assert (status, content) == (206 if says else 200, bytes(range(200))[part])
    assert said["Content-Range"] == says
    assert ask("/x.zarr/c/0", "HEAD", **headers)[:2] == (status, b"")


def test_a_range_that_begins_behind_the_end_is_refused(ask):
    assert ask("/x.zarr/c/0", Range="bytes=200-210")[0] == 416


def test_the_page_is_what_a_folder_shows(ask):
    assert ask("/page/")[:2] == (200, b"page")


@pytest.mark.parametrize(
    "path", ["/secret", "/page/../secret", "/page/%2e%2e/secret", "/page/link", "/", "/x.zarr/none"]
)
def test_nothing_else_is_given(ask, path):
    assert ask(path)[0] == 404


def test_pages_of_other_names_get_nothing(ask):
    assert ask("/page/", Host="rebound.example")[0] == 403
