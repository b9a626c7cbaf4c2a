"""LMDB files page by page: what the library has written is read, and damage is a sentence."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zstruct.sources.ase.lmdb_pages import LMDBPages, PagesError

lmdb = pytest.importorskip("lmdb")


def written(path, seed, n, sizes):
    """Write n random entries, delete some, and return what is left."""
    rng = random.Random(seed)
    truth = {}
    with lmdb.open(str(path), subdir=False, map_size=1 << 28, lock=False) as env:
        for k in range(0, n, 100):
            with env.begin(write=True) as txn:
                for _ in range(min(100, n - k)):
                    key = str(rng.randrange(10**6)).encode()
                    truth[key] = rng.randbytes(rng.choice(sizes))
                    txn.put(key, truth[key])
        with env.begin(write=True) as txn:
            for key in list(truth)[::7]:
                txn.delete(key)
                del truth[key]
    return truth


@pytest.mark.parametrize(
    ("n", "sizes"),
    [(0, [1]), (5, [10]), (300, [3, 100, 2030, 2040, 2050, 5000]), (2000, [3, 30])],
)
def test_keys_and_values(tmp_path, n, sizes):
    path = tmp_path / "a.lmdb"
    truth = written(path, n, n, sizes)
    with LMDBPages(str(path)) as pages:
        assert list(pages) == sorted(truth)
        assert pages.n_entries == len(truth)
        assert {key: pages.get(key) for key in truth} == truth
        assert pages.get(b"") is None
        assert b"zzz" not in pages


def test_the_newer_of_two_states(tmp_path):
    path = tmp_path / "a.lmdb"
    for k in range(4):
        with lmdb.open(str(path), subdir=False, lock=False) as env, env.begin(write=True) as txn:
            txn.put(b"key", b"%d" % k)
        with LMDBPages(str(path)) as pages:
            assert pages.get(b"key") == b"%d" % k


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "too short"),
        (lambda data: b"x" * 9000, "this is no LMDB file"),
        (lambda data: data[:-4096], "cut off, or still being copied"),
        (lambda data: data[:20] + b"\x63" + data[21:], "an LMDB file of version 99, and 1 is read"),
    ],
)
def test_what_is_no_lmdb(tmp_path, change, message):
    path = tmp_path / "a.lmdb"
    written(path, 0, 50, [100])
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(PagesError, match=message):
        LMDBPages(str(path))


@settings(max_examples=60)
@given(st.data())
def test_damage_is_a_sentence(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damage") / "a.lmdb"
    truth = written(path, 1, 120, [3, 100, 5000])
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(damaged) // 64 - 1)) * 64 + data.draw(st.sampled_from(range(24)))
        damaged[at] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        with LMDBPages(str(path)) as pages:
            keys = list(pages)
            for key in (*keys, *truth):
                pages.get(key)
    except PagesError:
        pass
