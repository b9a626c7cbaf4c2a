import os
import pickle

import pytest

from zstruct.errors import InputError
from zstruct.sources.content import Content, FileContent, MemoryContent, RemoteContent, as_file, content_of

DATA = b"1\n\nHe 0 0 0\n"


@pytest.fixture
def contents(tmp_path):
    """The same bytes in all places."""
    path = tmp_path / "he.xyz"
    path.write_bytes(DATA)
    return {
        "file": FileContent(str(path)),
        "memory": MemoryContent("a.tar::he.xyz", "he.xyz", DATA),
        "remote": RemoteContent(f"file://{path}"),
    }


@pytest.mark.parametrize("kind", ["file", "memory", "remote"])
def test_bytes_are_the_same_wherever_they_are(contents, kind):
    content = pickle.loads(pickle.dumps(contents[kind]))
    assert isinstance(content, Content)
    assert content.name == "he.xyz"
    assert content.fingerprint()["size"] == len(DATA)
    with content.open() as stream:
        assert stream.read(4) == DATA[:4]
        stream.seek(0)
        assert stream.read() == DATA
    with as_file(content) as path:
        assert os.path.basename(path) == "he.xyz"
        with open(path, "rb") as file:
            assert file.read() == DATA
    assert os.path.exists(path) == (kind == "file")


def test_paths_and_urls_become_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = content_of("a.xyz")
    assert (found.label, found.path) == ("a.xyz", str(tmp_path / "a.xyz"))
    remote = content_of("s3://bucket/folder/a.xyz?version=1", {"anon": True})
    assert (remote.name, remote.path) == ("a.xyz", None)
    assert "anon" not in repr(remote)  # options may be secrets
    assert content_of(remote) is remote


@pytest.mark.parametrize("where", ["nothing.xyz", "file:///nothing/there.xyz", "nosuch://a/b.xyz"])
def test_what_is_not_there_is_a_sentence(where):
    content = content_of(where)
    for ask in (content.fingerprint, content.open):
        with pytest.raises(InputError, match=where):
            ask()


def test_changes_show_in_the_fingerprint(tmp_path):
    assert MemoryContent("a", "a", b"1").fingerprint() != MemoryContent("a", "a", b"2").fingerprint()
    path = tmp_path / "a"
    path.write_bytes(b"1")
    before = FileContent(str(path)).fingerprint()
    os.utime(path, (1, 1))
    assert FileContent(str(path)).fingerprint() != before
