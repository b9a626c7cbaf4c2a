"""Stores that were extended: what is known of the first structures is not computed again."""

import fcntl
import os
import shutil

import numpy as np
import pytest
from ase import Atoms

import zstruct
from tests.conftest import tree_bytes
from tests.features.gaussians import CUTOFF, Gaussians, run
from zstruct import StaleGroupError, StoreExistsError
from zstruct.features import NeighborList, open_group
from zstruct.features import featurize_groups as assembling
from zstruct.features.statistics import FirstMoments
from zstruct.store import chunks
from zstruct.store.store import Store

#: A structure whose neighbours are hundreds of cells away.
THIN = Atoms("H", cell=[0.018, 9, 9], pbc=True)


def append(path, frames):
    zstruct.append(path, frames, progress=False)


def build(frames, path):
    zstruct.build(frames, path, progress=False)
    return path


@pytest.fixture
def seen(monkeypatch):
    """The numbers of atoms of which features, and of pairs of which derivatives are computed."""
    values, derivatives, found = Gaussians.values, Gaussians.derivatives, {"atoms": 0, "pairs": 0}

    def counted_values(self, structures, neighbors):
        found["atoms"] += len(neighbors)
        return values(self, structures, neighbors)

    def counted_pairs(self, structures, neighbors):
        found["pairs"] += neighbors.n_pairs
        return derivatives(self, structures, neighbors)

    monkeypatch.setattr(Gaussians, "values", counted_values)
    monkeypatch.setattr(Gaussians, "derivatives", counted_pairs)
    return found


def assert_as_computed_at_once(path, what, kinds, *args, **options):
    """Compute groups of a copy anew, of which nothing is known then, and compare."""
    whole = shutil.copytree(path, path.with_name("whole.zarr"))
    assert run(whole, what, *args, overwrite=True, **options).n_known == 0
    for kind in kinds:
        assert tree_bytes(path / kind) == tree_bytes(whole / kind), kind
    zstruct.verify(path)


@pytest.mark.parametrize(
    ("what", "options", "moments"),
    [
        pytest.param(Gaussians(), {"derivatives": True}, True, marks=pytest.mark.long),
        (Gaussians(), {"derivatives": True, "only": "forces", "dtype": "float64"}, True),
        (Gaussians(), {}, False),
        (NeighborList(CUTOFF), {}, True),
    ],
    ids=["derivatives", "of some", "features without moments", "neighbours"],
)
def test_what_is_new_is_computed_and_the_rest_is_there(
    tmp_path, structures, small_chunks, monkeypatch, seen, what, options, moments, long_run
):
    monkeypatch.setattr(chunks, "_CHUNK_BYTES", 4096)
    if not moments:  # of groups that do not have them
        monkeypatch.setattr(FirstMoments, "known", classmethod(lambda cls, attrs, n_shards: cls()))
    store = build(structures[:13], tmp_path / "s.zarr")
    first = run(store, what, **options)
    kinds = [group.partition("/")[0] for group in first.groups]
    n_atoms, n_pairs = first.n_atoms, first.n_pairs or 0
    twice = long_run or "only" in options
    for begin, end in ((13, 14), (14, 17)) if twice else ((13, 15),):
        append(store, structures[begin:end])
        with pytest.raises(StaleGroupError, match=r"run zstruct\.featurize again as before"):
            open_group(store, kinds[0], "gaussians" if "features" in kinds else "rc2.5")
        seen |= {"atoms": 0, "pairs": 0}
        report = run(store, what, **options)
        assert report.n_known == n_atoms
        assert f"for {report.n_atoms - n_atoms} new atom" in str(report)
        if isinstance(what, Gaussians):
            assert seen["atoms"] == report.n_atoms - n_atoms
        assert seen["pairs"] <= 2 * ((report.n_pairs or 0) - n_pairs)  # a structure may be in two shards
        n_atoms, n_pairs = report.n_atoms, report.n_pairs or 0
    assert_as_computed_at_once(store, what, kinds, **options)
    assert run(store, what, **options).computed == []


def test_full_shards_are_the_same_files(tmp_path, structures, small_chunks, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    store = build(structures[:13], tmp_path / "s.zarr")
    run(store, Gaussians(), True)
    before = {name: os.stat(store / name).st_ino for name in tree_bytes(store) if "/c/" in name}
    append(store, structures[13:])
    run(store, Gaussians(), True)
    for array in (
        "features/gaussians/values",
        "derivatives/gaussians/slopes",
        "derivatives/gaussians/counts",
    ):
        now = Store(store)
        n = [name for name in before if name.startswith(f"{array}/c/")]
        same = [name for name in n if os.stat(store / name).st_ino == before[name]]
        assert len(same) >= len(n) - 1 > 2, array
        assert now.shape(array)[0] > len(n) * now.grid(array).shard_rows - now.grid(array).shard_rows


def test_derivatives_may_be_asked_for_later(tmp_path, structures, small_chunks):
    store = build(structures[:8], tmp_path / "s.zarr")
    run(store, Gaussians())
    append(store, structures[8:10])
    run(store, Gaussians(), True)
    assert_as_computed_at_once(store, Gaussians(), ["features", "derivatives"], True)


@pytest.mark.parametrize("thin_first", [True, False])
def test_shifts_are_as_wide_as_they_have_to_be(tmp_path, structures, small_chunks, thin_first):
    frames = [THIN, *structures[:9]] if thin_first else [*structures[:9], THIN]
    store = build(frames[:-1], tmp_path / "s.zarr")
    run(store, NeighborList(CUTOFF))
    assert Store(store).dtype("neighbors/rc2.5/shifts") == (np.int16 if thin_first else np.int8)
    append(store, frames[-1:])
    run(store, NeighborList(CUTOFF))
    assert Store(store).dtype("neighbors/rc2.5/shifts") == np.int16
    assert_as_computed_at_once(store, NeighborList(CUTOFF), ["neighbors"])


def test_what_is_of_something_else_is_refused(tmp_path, structures, small_chunks, seen):
    store = build(structures[:6], tmp_path / "s.zarr")
    run(store, Gaussians())
    append(store, structures[6:8])
    with pytest.raises(StoreExistsError, match="computed by version 1 of Gaussians"):
        run(store, Gaussians((1.0,)))
    with pytest.raises(StoreExistsError, match="computed as float32"):
        run(store, Gaussians(), dtype="float64")
    seen["atoms"] = 0
    assert run(store, Gaussians(), overwrite=True).n_known == 0
    assert seen["atoms"] == Store(store).n_atoms
    # Another store in its place has nothing to do with what is known.
    groups = tmp_path / "features"
    os.rename(store / "features", groups)
    zstruct.build(structures[1:9], store, overwrite=True, progress=False)
    os.rename(groups, store / "features")
    with pytest.raises(StoreExistsError, match="from other content than the store has now"):
        run(store, Gaussians())


def test_an_interrupted_call_goes_on_only_with_the_group_that_it_began_with(
    tmp_path, structures, small_chunks, monkeypatch
):
    store = build(structures[:6], tmp_path / "s.zarr")
    run(store, Gaussians())
    append(store, structures[6:8])
    with monkeypatch.context() as patch:
        patch.setattr(assembling, "complete", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(store, Gaussians())
    n = Store(store).n_atoms
    zstruct.features.add(store, "gaussians", np.zeros((n, 2), np.float32), overwrite=True)
    with pytest.raises(StoreExistsError):
        run(store, Gaussians())
    run(store, Gaussians(), overwrite=True)
    assert_as_computed_at_once(store, Gaussians(), ["features"])


def _interrupted(*_):
    raise KeyboardInterrupt
