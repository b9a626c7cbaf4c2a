"""What may stand where a build writes, and what it must not touch."""

import shutil

import pytest

import zstruct
from tests.conftest import tree_bytes
from zstruct import InputError, StoreExistsError
from zstruct.building import publication
from zstruct.features import NeighborList
from zstruct.store.store import Store


@pytest.fixture
def built(tmp_path, frames):
    out = tmp_path / "s.zarr"
    zstruct.build(frames[:3], out, progress=False)
    return out


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("resume", [False, True])
def test_a_directory_of_others_where_a_build_works_stays(tmp_path, frames, link, resume):
    work = theirs = tmp_path / "s.zarr.building"
    if link:
        theirs = tmp_path / "theirs"
        work.symlink_to(theirs)
    (theirs / "parts").mkdir(parents=True)
    (theirs / "parts" / "thesis.tex").write_text("...")
    (theirs / "manifest.json").write_text("{}")
    before = tree_bytes(theirs)
    with pytest.raises(InputError, match=r"s\.zarr\.building .*move what is there away"):
        zstruct.build(frames, tmp_path / "s.zarr", progress=False, resume=resume)
    assert tree_bytes(theirs) == before
    assert not (tmp_path / "s.zarr").exists()


def _write_groups(path):
    return {
        "featurize": lambda: zstruct.featurize(path, NeighborList(2.0), progress=False),
        "split": lambda: zstruct.split(path, [0.5, 0.5], name="default"),
        "statistics": lambda: zstruct.statistics(path, name="all", progress=False),
        "references": lambda: zstruct.fit_references(path, name="default", progress=False),
    }


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("what", ["featurize", "split", "statistics"])
def test_a_directory_of_others_where_groups_are_made_stays(built, tmp_path, what, link):
    work = theirs = tmp_path / "s.zarr.featurizing"
    if link:
        theirs = tmp_path / "theirs"
        work.symlink_to(theirs)
    (theirs / "keeping").mkdir(parents=True)
    (theirs / "keeping" / "thesis.tex").write_text("...")
    (theirs / "job.json").write_text("{}")
    before = tree_bytes(theirs), tree_bytes(built)
    with pytest.raises(InputError, match=r"s\.zarr\.featurizing .*move what is there away"):
        _write_groups(built)[what]()
    assert (tree_bytes(theirs), tree_bytes(built)) == before


@pytest.mark.parametrize("what", ["featurize", "split"])
def test_groups_are_not_written_through_a_link(built, tmp_path, what):
    kind = "neighbors" if what == "featurize" else "splits"
    theirs = tmp_path / "theirs"
    (theirs / "rc2").mkdir(parents=True)
    (theirs / "rc2" / "thesis.tex").write_text("...")
    (built / kind).symlink_to(theirs)
    before = tree_bytes(theirs)
    with pytest.raises(InputError, match="symbolic link"):
        _write_groups(built)[what]()
    assert tree_bytes(theirs) == before


@pytest.mark.parametrize(
    "name", ["notes.txt", "positions/notes.txt", "positions/c/0/notes.txt", "plots/c", ".git/config", "c/0"]
)
def test_overwrite_keeps_files_that_are_no_part_of_the_store(built, frames, name):
    (built / name).parent.mkdir(parents=True, exist_ok=True)
    (built / name).write_text("...")
    before = tree_bytes(built)
    with pytest.raises(StoreExistsError, match=f"holds {name}, which is no part of a store"):
        zstruct.build(frames, built, overwrite=True, progress=False)
    assert tree_bytes(built) == before
    (built / name).unlink()
    zstruct.build(frames, built, overwrite=True, progress=False)
    assert Store(built).n_structures == 30


@pytest.mark.filterwarnings("ignore:the structures of .* have only:UserWarning")
def test_overwrite_replaces_stores_with_groups_and_what_systems_leave(built, frames):
    for write in _write_groups(built).values():
        write()
    (built / ".DS_Store").write_text("...")
    zstruct.build(frames, built, overwrite=True, progress=False)
    assert Store(built).n_structures == 30


@pytest.mark.parametrize("text", ["[]", "null", '{"attributes": 3}', '{"attributes": null}', "[" * 100_000])
def test_what_only_looks_like_a_store_is_refused(tmp_path, frames, text):
    out = tmp_path / "s.zarr"
    out.mkdir()
    (out / "zarr.json").write_text(text)
    with pytest.raises(StoreExistsError, match="is not a zstruct store"):
        zstruct.build(frames, out, overwrite=True, progress=False)
    assert (out / "zarr.json").read_text() == text


def test_overwriting_a_link_replaces_the_store_that_it_points_to(built, tmp_path, frames):
    link = tmp_path / "links" / "link.zarr"
    link.parent.mkdir()
    link.symlink_to("../s.zarr")
    with pytest.raises(StoreExistsError, match="overwrite=True"):
        zstruct.build(frames, link, progress=False)
    zstruct.build(frames, link, overwrite=True, progress=False)
    assert link.is_symlink()
    assert Store(link).n_structures == Store(built).n_structures == 30
    assert {entry.name for entry in tmp_path.iterdir()} == {"links", "s.zarr"}
    assert [entry.name for entry in link.parent.iterdir()] == ["link.zarr"]


def test_a_link_to_what_is_no_store_is_refused(tmp_path, frames):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.tex").write_text("...")
    link = tmp_path / "link.zarr"
    link.symlink_to(theirs)
    with pytest.raises(StoreExistsError, match="is not a zstruct store"):
        zstruct.build(frames, link, overwrite=True, progress=False)
    assert (theirs / "thesis.tex").read_text() == "..."


def test_links_in_a_store_that_is_replaced_lose_nothing_behind_them(built, tmp_path, frames):
    theirs = tmp_path / "theirs"
    shutil.copytree(built / "positions", theirs)
    shutil.rmtree(built / "positions")
    (built / "positions").symlink_to(theirs)
    before = tree_bytes(theirs)
    zstruct.build(frames, built, overwrite=True, progress=False)
    assert tree_bytes(theirs) == before
    zstruct.verify(built)


def test_a_build_that_was_killed_before_it_replaced_the_same_content_is_no_finished_one(
    tmp_path, xyz_file, monkeypatch
):
    out = tmp_path / "s.zarr"
    zstruct.build(xyz_file, out, progress=False)
    again = {"encoding": {"compression": "small"}, "overwrite": True, "progress": False}

    def interrupted(*paths):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(publication, "exchange", interrupted)
        with pytest.raises(KeyboardInterrupt):
            zstruct.build(xyz_file, out, **again)
    assert Store(out).attrs["build"]["options"]["compression"] == "fast"
    zstruct.build(xyz_file, out, **again)
    assert Store(out).attrs["build"]["options"]["compression"] == "small"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["s.zarr", "train.xyz"]
