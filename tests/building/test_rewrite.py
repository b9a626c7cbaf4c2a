"""Stores that are rewritten in another form: what is in them stays, bit for bit."""

import importlib
import json
import os
import shutil
import signal
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import zstruct
from tests.building.frames import some_frames
from tests.conftest import tree_bytes
from tests.kills import count_steps, ended, moments, shrink
from zstruct.building import rewrite_decimals, rewrite_shards
from zstruct.building.rewrite_plan import Form
from zstruct.disk import bytes_within
from zstruct.schema import FIELDS
from zstruct.store import savings
from zstruct.store.chunk_codec import ChunkCodec
from zstruct.store.chunks import ChunkGrid
from zstruct.store.decimals import Decimal
from zstruct.store.files import shard_path
from zstruct.store.spec import ArraySpec, spec_of
from zstruct.store.write import content_digest, create, finish, write_array

OLD = Path(__file__).parents[1] / "data" / "store-0.1.zip"
SHARES = {"splits", "statistics", "references", "features", "derivatives", "neighbors", "index"}


def rewritten(store, out, **options):
    return zstruct.rewrite(store, out, progress=False, **options)


def all_arrays(store):
    """Return the paths of all arrays of a store and its groups."""
    groups = [f"{kind}/{name}" for kind in store.kinds() for name in store.group_names(kind)]
    return [name for group in ["", *groups] for name in store.array_names(group)]


def assert_same_values(a, b):
    """Whatever is read from two stores is the same, bit for bit."""
    a, b = zstruct.Store(a), zstruct.Store(b)
    assert all_arrays(a) == all_arrays(b)
    for name in all_arrays(a):
        one, other = a.read(name), b.read(name)
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes()), name
        said, now = a.array_attrs(name), b.array_attrs(name)
        assert {**said, "digest": ""} == {**now, "digest": ""}
    zstruct.verify(b)


def shards(path):
    """Return the files of the shards of a store but for tables of shards, and its history."""
    files = tree_bytes(path).items()
    return {
        name: content
        for name, content in files
        if "/c/" in name and "shards/" not in name and not name.startswith("history/")
    }


def but_history(path):
    """Return the files of a store, and its root document, without its history."""
    files = {name: content for name, content in tree_bytes(path).items() if not name.startswith("history/")}
    root = json.loads(files["zarr.json"])
    listed = root["consolidated_metadata"]["metadata"]
    root["consolidated_metadata"]["metadata"] = {
        name: said for name, said in listed.items() if name.split("/")[0] != "history"
    }
    return {**files, "zarr.json": root}


def decimal_of(path, name):
    return zstruct.Store(path).profile(name).codec.decimal


@pytest.fixture
def everything_is_worth_it(monkeypatch):
    """Arrays become decimals however little that saves."""
    monkeypatch.setattr(savings, "_WORTH_BYTES", -(2**60))


@pytest.fixture
def text(tmp_path):
    """A file of decimals."""
    (tmp_path / "some.xyz").write_text(some_frames(150))
    return tmp_path / "some.xyz"


@pytest.fixture
def old(tmp_path):
    """A store of version 0.1 with groups of all kinds."""
    shutil.unpack_archive(OLD, tmp_path)
    return tmp_path / "store-0.1.zarr"


@pytest.mark.parametrize(
    "encoding",
    [
        pytest.param({"decimal": True}, id="decimal"),
        pytest.param({"compression": "raw"}, id="raw"),
        pytest.param({"compression": "small"}, id="small", marks=pytest.mark.long),
        pytest.param({"decimal": True, "compression": "small"}, id="both", marks=pytest.mark.long),
        pytest.param({}, id="as it is", marks=pytest.mark.long),
    ],
)
def test_it_is_what_a_build_would_have_made_and_back_again(text, tmp_path, encoding):
    zstruct.build(text, tmp_path / "plain", progress=False)
    zstruct.build(text, tmp_path / "built", encoding=encoding, progress=False)
    form = {"encoding": "decimal"} if encoding.get("decimal") else {}
    form |= {"compression": encoding["compression"]} if "compression" in encoding else {}
    report = rewritten(tmp_path / "plain", tmp_path / "there", **form)
    there, built = (but_history(tmp_path / name) for name in ("there", "built"))
    if encoding.keys() == {"compression"}:  # nobody looked at what decimals would save now
        del there["zarr.json"], built["zarr.json"]
    assert there == built
    assert ("positions" in report.decimals) == bool(encoding.get("decimal"))
    rewritten(tmp_path / "there", tmp_path / "back", encoding="plain", compression="fast")
    assert shards(tmp_path / "back") == shards(tmp_path / "plain")
    if "compression" not in encoding:  # of another, other shares are known
        assert but_history(tmp_path / "back") == but_history(tmp_path / "plain")
    assert_same_values(tmp_path / "plain", tmp_path / "there")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["back", "built", "plain", "some.xyz", "there"]


def test_groups_come_along(full, tmp_path):
    report = rewritten(full, tmp_path / "same")
    assert tree_bytes(tmp_path / "same") == tree_bytes(full)
    assert {group.split("/")[0] for group in report.groups} == SHARES
    report = rewritten(full, tmp_path / "small", compression="small")
    assert zstruct.Store(tmp_path / "small").profile("features/chebyshev/values").codec.compressor == "zstd"
    sizes = [sum(map(len, shards(path).values())) for path in (tmp_path / "small", full)]
    assert sizes[0] < sizes[1]
    assert_same_values(full, tmp_path / "small")
    assert zstruct.Store(tmp_path / "small").digest == zstruct.Store(full).digest


def test_with_other_chunks_groups_belong_to_the_new_digest(full, tmp_path):
    report = rewritten(full, tmp_path / "out", chunks={"atom": 5, "structure": 3})
    there, now = zstruct.Store(full), zstruct.Store(tmp_path / "out")
    assert there.digest != now.digest
    assert now.grid("positions") == ChunkGrid(5, 10)
    assert now.grid("energy") == now.grid("offsets") == ChunkGrid(3, 6)
    assert now.grid("features/chebyshev/values") == there.grid("features/chebyshev/values")
    for group in report.groups:
        assert now.group_attrs(group)["store_digest"] == now.digest
    assert_same_values(full, tmp_path / "out")
    split = zstruct.open_split(tmp_path / "out")
    assert np.array_equal(split["train"], zstruct.open_split(full)["train"])
    rewritten(tmp_path / "out", tmp_path / "back", chunks={"atom": 16, "structure": 4})
    assert shards(tmp_path / "back") == shards(full)
    assert zstruct.Store(tmp_path / "back").digest == there.digest


def test_groups_that_are_stale_stay_so(full, tmp_path, frames):
    shutil.copytree(full / "splits", tmp_path / "splits")
    zstruct.build(frames[:8], tmp_path / "other.zarr", progress=False)
    shutil.move(tmp_path / "splits", tmp_path / "other.zarr" / "splits")
    rewritten(tmp_path / "other.zarr", tmp_path / "out", chunks=2)
    with pytest.raises(zstruct.StaleGroupError):
        zstruct.open_split(tmp_path / "out")


def test_groups_that_nobody_knows_are_left_out_and_named(full, tmp_path):
    shutil.copytree(full / "splits", full / "strange")
    report = rewritten(full, tmp_path / "out")
    assert report.left_out == ["strange"]
    assert "left out, as no groups of zstruct: strange" in str(report)
    assert not (tmp_path / "out" / "strange").exists()


@pytest.mark.parametrize(
    "form",
    [
        {"encoding": "decimal"},
        {"chunks": 4},
        pytest.param({}, marks=pytest.mark.long),
        pytest.param({"compression": "small"}, marks=pytest.mark.long),
    ],
)
def test_stores_of_version_0_1(old, tmp_path, form, everything_is_worth_it):
    report = rewritten(old, tmp_path / "out", **form)
    assert_same_values(old, tmp_path / "out")
    now = zstruct.Store(tmp_path / "out")
    assert now.attrs["encoding-version"] == "1.0"
    if "chunks" not in form:
        assert now.digest == zstruct.Store(old).digest
    if "encoding" in form:
        assert decimal_of(tmp_path / "out", "positions") == Decimal(8, "int32")
        assert now.attrs["build"]["decimals"]["positions"]["digits"] == 8
        rewritten(tmp_path / "out", tmp_path / "back", encoding="plain")
        assert shards(tmp_path / "back") == shards(old)
    assert report.groups


def test_what_is_in_a_zip_file(old, tmp_path):
    shutil.make_archive(str(tmp_path / "packed"), "zip", old)
    report = rewritten(tmp_path / "packed.zip", tmp_path / "out")
    assert shards(tmp_path / "out") == shards(old)
    assert len(report.groups) == 6
    assert report.nbytes_before > 10_000
    assert_same_values(old, tmp_path / "out")


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_is_on_a_server(bucket, text, tmp_path):
    s3fs = pytest.importorskip("s3fs")
    zstruct.build(text, tmp_path / "plain", progress=False)
    zstruct.split(tmp_path / "plain", [0.5, 0.5], name="default")
    s3fs.S3FileSystem().put(str(tmp_path / "plain"), f"{bucket}/plain", recursive=True)
    report = rewritten(zstruct.Store(f"s3://{bucket}/plain"), tmp_path / "same")
    assert tree_bytes(tmp_path / "same") == tree_bytes(tmp_path / "plain")
    assert report.nbytes_before > 10_000
    rewritten(f"s3://{bucket}/plain", tmp_path / "there", encoding="decimal", storage_options={"anon": False})
    rewritten(tmp_path / "plain", tmp_path / "here", encoding="decimal")
    assert tree_bytes(tmp_path / "there") == tree_bytes(tmp_path / "here")


def test_on_a_cluster(text, tmp_path, cluster):
    zstruct.build(text, tmp_path / "plain", progress=False)
    rewritten(tmp_path / "plain", tmp_path / "there", encoding="decimal", workers=cluster)
    rewritten(tmp_path / "plain", tmp_path / "here", encoding="decimal", workers=1)
    assert tree_bytes(tmp_path / "there") == tree_bytes(tmp_path / "here")


# Numbers at the edges of what decimals are.

NAN, PAYLOAD = np.nan, np.array([0x7FF8000000000001]).view(np.float64)[0]
LARGE = [2.0**31 - 1, -(2.0**31), 2.0**31, 2.0**50, 2.0**50 + 1, np.inf]
EDGES = [0.0, -0.0, NAN, PAYLOAD, 1.0, 0.1, *LARGE, 1e-12, 1e-13, 1 / 3]
DECIMALS = st.builds(lambda k, d: k / 10.0**d, st.integers(-(2**31), 2**31), st.sampled_from([0, 3, 8]))


def made_of(path, values, decimal=None):
    """Write a store of structures of one hydrogen atom, whose energies are some numbers."""
    n = len(values)
    dims = {"offsets": "structure_edge", "n_atoms": "structure"}
    columns = {"numbers": np.ones(n, np.uint8), "positions": np.zeros((n, 3)), "energy": values}
    edges = {"offsets": np.arange(n + 1), "n_atoms": np.ones(n, np.int32)}
    arrays = [
        (ArraySpec(name, (dims[name],), rows.shape, rows.dtype.name, {}, 0, ChunkGrid(4, 8)), rows)
        for name, rows in edges.items()
    ]
    for name, rows in columns.items():
        spec = spec_of(FIELDS[name], name, n, {"coverage": n})
        codec = ChunkCodec.chosen(spec.dtype, "fast", decimal if name == "energy" else None)
        arrays.append((ArraySpec(**{**vars(spec), "grid": ChunkGrid(4, 8), "codec": codec}), rows))
    create(path, [spec for spec, _ in arrays], {"n_structures": n, "n_atoms": n})
    written = [write_array(path, spec, rows) for spec, rows in arrays]
    attrs = {"species": {"H": n}, "build": {}, "digest": content_digest(written)}
    finish(path, attrs, written)
    return path


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=arrays(
        np.float64,
        st.integers(1, 30),
        elements=st.one_of(st.sampled_from(EDGES), DECIMALS),
        fill=st.nothing(),
    )
    | arrays(np.float64, st.integers(1, 30), elements=st.floats(width=64))
    | st.integers(1, 30).map(lambda n: np.full(n, NAN))
)
def test_any_numbers_come_back(tmp_path, everything_is_worth_it, values):
    for name in ("a", "b", "c"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    given_store = made_of(tmp_path / "a", values)
    report = rewritten(given_store, tmp_path / "b", encoding="decimal", workers=1)
    there = zstruct.Store(tmp_path / "b").read("energy")
    assert there.tobytes() == values.tobytes()
    assert ("energy" in report.decimals) != ("energy" in report.kept)
    if "energy" in report.decimals:
        assert not np.signbit(values[values == 0]).any()
        assert np.isfinite(values[~np.isnan(values)]).all()
    rewritten(tmp_path / "b", tmp_path / "c", encoding="plain", workers=1)
    assert shards(tmp_path / "c") == shards(given_store)
    zstruct.verify(tmp_path / "b")


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (2.0**31 - 1, Decimal(0, "int32")),
        (-(2.0**31 - 1), Decimal(0, "int32")),
        (2.0**31, Decimal(0, "int64")),
        (-(2.0**31), Decimal(0, "int64")),
        (0.1, Decimal(1, "int32")),
        (-0.0, "there is -0.0, whose sign would be lost"),
        (PAYLOAD, "there is a NaN of another kind than NumPy's, which would be lost"),
        (1 / 3, "there are other numbers"),
        (np.inf, "there are other numbers"),
    ],
)
def test_one_number_in_the_last_shard_decides_for_all(tmp_path, everything_is_worth_it, last, expected):
    values = np.array([*range(20), NAN, last])
    report = rewritten(made_of(tmp_path / "a", values), tmp_path / "b", encoding="decimal")
    if isinstance(expected, Decimal):
        assert decimal_of(tmp_path / "b", "energy") == expected
    else:
        assert decimal_of(tmp_path / "b", "energy") is None
        assert report.kept["energy"] == expected
        assert f"no decimals, as {expected}: energy" in str(report)
    assert zstruct.Store(tmp_path / "b").read("energy").tobytes() == values.tobytes()


def test_numbers_of_two_shards_that_no_decimals_hold_together_stay(tmp_path, everything_is_worth_it):
    values = np.array([2.0**49] * 8 + [1e-12] * 8)
    report = rewritten(made_of(tmp_path / "a", values), tmp_path / "b", encoding="decimal")
    assert report.kept["energy"] == "there are other numbers"


def test_what_is_decimal_stays_so_with_other_chunks(tmp_path, everything_is_worth_it):
    values = np.arange(21) / 8
    path = made_of(tmp_path / "a", values, Decimal(3, "int64"))
    rewritten(path, tmp_path / "b", chunks=6)
    assert decimal_of(tmp_path / "b", "energy") == Decimal(3, "int64")
    assert zstruct.Store(tmp_path / "b").read("energy").tobytes() == values.tobytes()
    assert zstruct.Store(tmp_path / "b").attrs["build"]["decimals"]["energy"]["digits"] == 3


# Kills.


def _rewrite(given_store, out, options, kill_at):
    shrink()
    steps = count_steps(kill_at)
    zstruct.rewrite(given_store, out, progress=False, **options)
    (out.parent / "steps").write_text(str(len(steps)))


@pytest.fixture(scope="module")
def many_once(tmp_path_factory):
    """What `many` is copied from."""
    path = tmp_path_factory.mktemp("many") / "many"
    path.with_name("some.xyz").write_text(some_frames(300))
    with pytest.MonkeyPatch.context() as patch:
        _larger_chunks(patch)
        zstruct.build(path.with_name("some.xyz"), path, progress=False)
        zstruct.split(path, [0.5, 0.5], name="default")
        zstruct.featurize(path, zstruct.features.NeighborList(2.0), progress=False)
    return path


def _larger_chunks(patch):
    patch.setattr("zstruct.store.chunks._CHUNK_ROWS", {"atom": 128, "structure": 32})
    patch.setattr("zstruct.store.chunks._CHUNKS_PER_SHARD", 2)


@pytest.fixture
def many(tmp_path, many_once, monkeypatch):
    """A store of many shards, with groups."""
    _larger_chunks(monkeypatch)
    return shutil.copytree(many_once, tmp_path / "many")


@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_at_any_step_resumes_to_the_same_bytes(spawner, tmp_path, many, overwrite, long_run):
    options = {"encoding": "decimal", "overwrite": overwrite}
    before = tree_bytes(many)
    assert ended(spawner, _rewrite, many, tmp_path / "whole", options, 0) == 0
    expected, total = tree_bytes(tmp_path / "whole"), int((tmp_path / "steps").read_text())
    steps = moments(total, 2, long_run, end=50)
    kills = 0
    for step in steps:
        out = tmp_path / f"out{step}"
        work = out.with_name(f"{out.name}.building")
        if overwrite:  # the same content
            shutil.copytree(many, out)
        kills += ended(spawner, _rewrite, many, out, options, step) == -signal.SIGKILL
        if out.exists():
            assert tree_bytes(out) in (expected, before)
        assert out.exists() or not overwrite
        if tree_bytes(out) != expected or (work.exists() and list(work.iterdir())):
            assert ended(spawner, _rewrite, many, out, options, 0) == 0
            assert not work.exists()
        assert tree_bytes(out) == expected, f"not the same after step {step}"
    assert kills >= max(1, len(steps) - 4)
    assert tree_bytes(many) == before


def test_resuming_does_nothing_again_that_was_done(many, tmp_path, monkeypatch):
    real, done = rewrite_shards.write_shard, []

    def interrupted(folder, spec, shard, rows, **options):
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append((spec.path, shard))
        return real(folder, spec, shard, rows, **options)

    def fail(*args):
        raise AssertionError("looked at again")

    with monkeypatch.context() as patch:
        patch.setattr(rewrite_shards, "write_shard", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rewritten(many, tmp_path / "out", encoding="decimal", workers=1)
    again = []

    def counted(folder, spec, shard, rows, **options):
        again.append((spec.path, shard))
        return real(folder, spec, shard, rows, **options)

    with monkeypatch.context() as patch:
        patch.setattr(rewrite_shards, "write_shard", counted)
        patch.setattr(rewrite_decimals.DecimalRange, "of", fail)
        rewritten(many, tmp_path / "out", encoding="decimal", workers=1)
    assert len(again) >= 3
    assert not {*again} & {*done}
    zstruct.verify(tmp_path / "out")


def test_another_form_begins_anew(many, tmp_path, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    for options in ({"compression": "small"}, {"resume": False}):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        with monkeypatch.context() as patch:
            patch.setattr(rewrite_shards, "write_shard", interrupted)
            with pytest.raises(KeyboardInterrupt):
                rewritten(many, tmp_path / "out", encoding="decimal")
        assert (tmp_path / "out.building").exists()
        rewritten(many, tmp_path / "out", **options)
        rewritten(many, tmp_path / "straight", overwrite=True, **options)
        assert tree_bytes(tmp_path / "out") == tree_bytes(tmp_path / "straight")
        assert not (tmp_path / "out.building").exists()


def test_a_build_takes_no_store_of_a_rewrite_for_its_own(many, tmp_path, monkeypatch, frames):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importlib.import_module("zstruct.building.rewrite"), "check_readable", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rewritten(many, tmp_path / "out")
    zstruct.build(frames[:3], tmp_path / "out", progress=False)
    assert zstruct.Store(tmp_path / "out").n_structures == 3
    assert zstruct.Store(tmp_path / "out").kinds() == ["index"]


# What is refused.


def test_a_store_that_changes_meanwhile_is_named(many, tmp_path, monkeypatch):
    real = rewrite_shards.write_shard

    def meddle(*args, **options):
        zstruct.split(many, [0.3, 0.7], name="default", overwrite=True)
        return real(*args, **options)

    monkeypatch.setattr(rewrite_shards, "write_shard", meddle)
    with pytest.raises(zstruct.ChangedInputError, match="many"):
        rewritten(many, tmp_path / "out", compression="small", workers=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", [{}, {"encoding": "decimal"}, {"chunks": 40}])
def test_damage_is_not_copied(many, tmp_path, form):
    file = shard_path(many, "positions", 1, 2)
    content = bytearray(file.read_bytes())
    content[30] ^= 1
    file.write_bytes(content)
    with pytest.raises(zstruct.CorruptStoreError, match="of positions can't be decoded"):
        rewritten(many, tmp_path / "out", **form)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", [{}, {"compression": "small"}])
def test_a_shard_of_another_array_is_not_copied(old, tmp_path, form):
    energy = old / "energy" / "c" / "0"
    shutil.copy(old / "frame" / "c" / "0", energy)  # format 1.0 has no checksums of shards
    with pytest.raises(zstruct.CorruptStoreError, match="energy does not have the content"):
        rewritten(old, tmp_path / "out", **form)


def test_a_disk_without_room_is_told_before_anything_is_written(text, tmp_path, monkeypatch):
    zstruct.build(text, tmp_path / "plain", progress=False)
    usage = namedtuple("usage", "total used free")(10**6, 10**6, 20_000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage)
        with pytest.raises(
            zstruct.WriteError,
            match=r"can't rewrite .*plain as .*out: it takes about [\d.]+ kB, and 20 kB are free there; free",
        ):
            rewritten(tmp_path / "plain", tmp_path / "out", encoding="decimal")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plain", "some.xyz"]
    rewritten(tmp_path / "plain", tmp_path / "out", encoding="decimal")


def test_decimals_need_about_as_much_more_room_as_they_saved(text, tmp_path, monkeypatch):
    zstruct.build(text, tmp_path / "decimal", encoding="decimal", progress=False)
    zstruct.build(text, tmp_path / "plain", progress=False)
    asked = []

    def usage(path):
        asked.append(path)
        return namedtuple("usage", "free")(0)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(zstruct.WriteError) as caught:
        rewritten(tmp_path / "decimal", tmp_path / "out", encoding="plain")
    needed = float(str(caught.value).split("about ")[1].split(" kB")[0]) * 1000
    plain = zstruct.Store(tmp_path / "plain")
    index = bytes_within(tmp_path / "plain" / "index")
    assert needed == pytest.approx(sum(map(plain.nbytes_of_files, plain.array_names())) + index, rel=0.1)
    assert asked


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"encoding": "zip"}, "encoding is 'decimal' or 'plain' or None, not 'zip'"),
        ({"encoding": 1}, "encoding is 'decimal' or 'plain' or None, not 1"),
        ({"compression": "tiny"}, "compression is 'fast' or 'small' or 'raw' or None, not 'tiny'"),
        ({"chunks": 0}, "chunks is a whole number from 1, not 0"),
        ({"chunks": True}, "chunks is a whole number, not True"),
        ({"chunks": {"pair": 5}}, "'pair' is neither of them"),
        ({"chunks": {"atom": None}}, r"chunks\['atom'\] is a whole number, not None"),
        ({"chunks": {"atom": 0}}, r"chunks\['atom'\] is a whole number from 1, not 0"),
        ({"encodings": "plain"}, "rewrite has no option 'encodings'; is it encoding"),
        ({"overwrite": 1}, "overwrite is True or False"),
        ({"storage_options": {"anon": True}}, "storage_options"),
    ],
)
def test_options_that_make_no_sense(full_once, tmp_path, options, sentence):
    with pytest.raises(zstruct.InputError, match=sentence):
        rewritten(full_once, tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_chunks_that_nobody_could_read():
    spec = ArraySpec("features", ("atom", "feature"), (10**9, 100), "float64", {}, 0, ChunkGrid(64, 64))
    with pytest.raises(zstruct.InputError, match=r"chunks of 2,000,000 rows of features would have 1\.6 GB"):
        Form(chunks=2_000_000).grid(spec)


@pytest.mark.parametrize("out", ["full.zarr", "full.zarr/inside", ".", "link.zarr"])
def test_a_store_is_never_written_over_itself(full, tmp_path, out):
    (tmp_path / "link.zarr").symlink_to(full)
    before = tree_bytes(full)
    with pytest.raises(zstruct.InputError, match="itself, or in it, or around it"):
        rewritten(full, tmp_path / out, compression="small", overwrite=True)
    assert tree_bytes(full) == before


def test_what_is_there_is_replaced_only_if_asked_for(full, tmp_path, frames):
    zstruct.build(frames[:2], tmp_path / "out", progress=False)
    with pytest.raises(zstruct.StoreExistsError, match="overwrite=True"):
        rewritten(full, tmp_path / "out")
    rewritten(full, tmp_path / "out", overwrite=True)
    assert tree_bytes(tmp_path / "out") == tree_bytes(full)
    assert sorted(os.listdir(tmp_path)) == ["full.zarr", "out"]
