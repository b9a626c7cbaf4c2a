import os

import numpy as np
import pytest

from zstruct.loading.cache import placement
from zstruct.loading.cache.placement import choose_placement

MB = 1 << 20


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """10 GB of memory, 4 GB of it free as shared memory."""
    monkeypatch.setattr(placement, "available_bytes", lambda: 10_000 * MB)
    monkeypatch.setattr(placement, "free_bytes", lambda directory: 4_000 * MB)


@pytest.mark.parametrize(
    ("nbytes", "budget", "flat", "shared", "said"),
    [
        (10 * MB, None, True, False, "memory, 0 bytes decoded"),
        (1_000 * MB, None, True, True, "shared in /dev/shm, 0 bytes decoded"),
        (3_000 * MB, None, True, False, "memory, 0 bytes decoded"),
        (9_000 * MB, None, False, False, "memory, the last 5.24 GB of 9.44 GB, 0 bytes decoded"),
        (1_000 * MB, 500 * MB, False, False, "memory, the last 524 MB of 1.05 GB, 0 bytes decoded"),
    ],
)
def test_auto(nbytes, budget, flat, shared, said):
    chosen = choose_placement("auto", budget, nbytes, 8)
    assert (chosen.flat, bool(chosen.directories)) == (flat, shared)
    assert chosen.describe(nbytes, 0) == said


def test_the_offsets_of_a_large_store_are_shared_all_the_same():
    chosen = choose_placement("auto", None, 9_000 * MB, 800 * MB)
    assert not chosen.flat
    assert chosen.directories == ("/dev/shm",)


def test_auto_without_shared_memory(monkeypatch):
    monkeypatch.setattr(placement, "free_bytes", lambda directory: 0)
    assert choose_placement("auto", None, 1_000 * MB, 8).directories == ()


def test_the_caller_s_choice(tmp_path, monkeypatch):
    assert choose_placement("memory", None, 1_000 * MB, 8).directories == ()
    assert choose_placement("shared", None, 1_000 * MB, 8).directories[0] == "/dev/shm"
    assert choose_placement("shared", None, 9_000 * MB, 8).directories[-1] == "/dev/shm"  # no room there
    assert choose_placement(tmp_path, None, 9_000 * MB, 8).directories == (str(tmp_path),)
    nothing = choose_placement(None, None, 10 * MB, 8)
    assert (nothing.flat, nothing.budget) == (False, 0)
    assert nothing.describe(10 * MB, 1000) == "none, 1 kB decoded"


def test_choices_that_make_no_sense(tmp_path):
    with pytest.raises(ValueError, match="'shared', None or an existing directory, not 'shard'"):
        choose_placement("shard", None, 1, 8)
    with pytest.raises(ValueError, match=r"a shared cache holds all 1,000 bytes .* than bytes=10; raise"):
        choose_placement("shared", 10, 1000, 8)
    with pytest.raises(ValueError, match="must not be negative, but are -1"):
        choose_placement("memory", -1, 1000, 8)


def test_the_memory_of_this_machine(monkeypatch):
    monkeypatch.undo()
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < placement.available_bytes() <= total


def test_an_arena_that_is_there_is_preferred(tmp_path, monkeypatch):
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    arrays = {"x": (np.dtype("f4"), (10,))}
    there = placement.Arena(arrays, str(second), {})
    found = placement.Placement(True, (str(first), str(second)), 0).arena(arrays, {})
    assert os.path.samefile(found.path, there.path)
