"""A store as a source: what readers of files would have found in it, and what tells that it changed."""

import pickle

import numpy as np
import pytest
from ase import Atoms

import zstruct
from zstruct import InputError
from zstruct.sources import StoreSource, expand
from zstruct.sources.normalize.normalize import ReadOptions, normalize
from zstruct.sources.store.columns import stored_columns
from zstruct.store.store import Store


@pytest.fixture
def path(tmp_path, frames):
    for k, atoms in enumerate(frames):
        atoms.info |= {"config_type": "ab"[k % 2], "a/b": k} | ({"charge": k} if k % 3 else {})
    zstruct.build(frames, tmp_path / "s.zarr", progress=False)
    return tmp_path / "s.zarr"


def test_it_is_found_by_its_path(path):
    (source,), ignored = expand(str(path))
    assert isinstance(source, StoreSource)
    assert (len(source), ignored, source.label) == (30, [], str(path))
    assert repr(source) == f"StoreSource({str(path)!r}: 30 structures)"
    assert pickle.loads(pickle.dumps(source)).store.digest == Store(path).digest
    (named,), _ = expand(str(path), reader="store")
    assert isinstance(named, StoreSource)


@pytest.mark.parametrize("chosen", [None, [3, 3, 1, 20]])
def test_what_it_reads_is_what_was_built(path, chosen):
    source = StoreSource(path, chosen=None if chosen is None else np.array(chosen))
    (piece,) = source.scan()
    (raw,) = source.read(piece)
    packed, bad = normalize(raw, ReadOptions(), source.label)
    rows = np.arange(30) if chosen is None else chosen
    store = Store(path)
    assert bad == []
    assert packed.columns["energy"].tobytes() == store.read("energy")[rows].tobytes()
    assert packed.columns["a/b"].tolist() == store.read("a_b")[rows].tolist()
    assert [packed.categories["config_type"][c] for c in packed.columns["config_type"]] == [
        "ab"[row % 2] for row in rows
    ]
    offsets = store.read("offsets")
    positions = np.concatenate([store.read("positions")[offsets[row] : offsets[row + 1]] for row in rows])
    assert packed.columns["positions"].tobytes() == positions.tobytes()
    assert packed.has("charge" if "charge" in packed.columns else "total_charge").tolist() == [
        row % 3 != 0 for row in rows
    ]


def test_a_look_first(path):
    said = str(zstruct.peek(str(path)))
    assert "store" in said
    assert "30" in said


def test_its_fingerprint_changes_with_it(path, frames):
    source = StoreSource(path)
    before = source.fingerprint()
    assert source.fingerprint() == before != source.taking(np.array([1])).fingerprint()
    zstruct.build(frames[:3], path, overwrite=True, progress=False)
    assert source.fingerprint() != before


def test_many_structures_are_several_slices(path, monkeypatch):
    from zstruct.sources.store import source

    monkeypatch.setattr(source, "_SLICE_BYTES", 5000)
    pieces = StoreSource(path).scan()
    assert len(pieces) > 2
    assert [piece.start for piece in pieces[1:]] == [piece.stop for piece in pieces[:-1]]
    assert pieces[-1].stop == 30


@pytest.mark.parametrize("text", ["30", "-31", "40:50"])
def test_frames_that_are_not_there(path, text):
    with pytest.raises(InputError, match="says structures that are not there: it has 30 structures"):
        expand(f"{path}@{text}")


def test_a_working_directory_is_no_store(tmp_path):
    work = tmp_path / "x.zarr.building"
    work.mkdir()
    (work / "lock").write_text("")
    with pytest.raises(InputError, match="working directory of what is under way"):
        expand(str(work))


def test_what_is_no_store_of_ours(tmp_path):
    (tmp_path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    with pytest.raises(zstruct.StoreFormatError, match="is a Zarr group, but not a zstruct store"):
        expand(str(tmp_path))


def test_two_that_would_be_one(tmp_path):
    frames = [Atoms("H", info={"gap": 1.0, "other": 2.0})]
    zstruct.build(frames, tmp_path / "s.zarr", progress=False)
    store = Store(tmp_path / "s.zarr")
    assert "weight" in stored_columns(store, {"weight": "gap"})
    with pytest.raises(InputError, match=r"'gap' and 'other' could both be gap"):
        stored_columns(store, {"gap": "other"})
