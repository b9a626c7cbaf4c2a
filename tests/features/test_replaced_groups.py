"""Groups are replaced while other processes read them: a reader gets the old, the new, or is told so."""

import time

import numpy as np
import pytest

import zstruct
from tests.features.gaussians import Gaussians, run
from zstruct.features import NeighborList, open_group
from zstruct.store.store import Store


def _replace(path, stop):
    k = 0
    while not stop.is_set():
        zstruct.featurize(
            path, NeighborList(2.0 + 0.5 * (k % 2)), name="list", overwrite=True, progress=False
        )
        run(path, Gaussians((1.0 + k % 2,)), overwrite=True)
        zstruct.split(path, [[0.5, 0.5], [0.2, 0.8]][k % 2], name="default", overwrite=True)
        k += 1


def _read(path, seed, reads, results):
    """Read one group after the other, opened anew each time; report what was read and what was said."""
    replaced, wrong = 0, []
    rng = np.random.default_rng(seed)
    for _ in range(reads):
        what = ("list", "features", "split", "dataset", "open")[int(rng.integers(5))]
        try:
            if what == "list":
                group = open_group(path, "neighbors", "list")
                rows = group.store.read(group.array("indices"))
                good = (
                    len(rows) == group.attrs["n_pairs"] == int(group.store.read(group.array("counts")).sum())
                )
            elif what == "features":
                group = open_group(path, "features", "gaussians")
                good = np.isfinite(group.store.read(group.array("values"))).all()
            elif what == "split":
                good = set(zstruct.open_split(path).codes) <= {0, 1}
            elif what == "dataset":
                taken = zstruct.StructureReader(path, features="gaussians", neighbors="list").take(range(4))
                good = taken is not None
            else:
                good = np.isfinite(zstruct.open(path).zs.features("gaussians").values).all()
            if not good:
                wrong.append(f"{what}: mixed")
        except zstruct.ChangedInputError as error:
            replaced += 1
            if "was replaced after" not in str(error):
                wrong.append(f"{what}: {error}")
        except Exception as error:  # noqa: BLE001  # whatever it is, it is counted
            wrong.append(f"{what}: {type(error).__name__}: {error}")
    results.put((replaced, wrong))


@pytest.mark.slow
def test_readers_of_what_is_replaced_never_hear_that_it_is_missing_or_damaged(small, spawner, long_run):
    zstruct.featurize(small, NeighborList(2.0), name="list", progress=False)
    run(small, Gaussians((1.0,)))
    zstruct.split(small, [0.5, 0.5], name="default")
    reads = 200 if long_run else 25
    stop, results = spawner.Event(), spawner.Queue()
    readers = [
        spawner.Process(target=_read, args=(small, seed, reads, results)) for seed in range(2 * long_run)
    ]
    writer = spawner.Process(target=_replace, args=(small, stop))
    for process in (writer, *readers):
        process.start()
    if not long_run:  # here, where all that it needs is loaded
        _read(small, 0, reads, results)
    found = [results.get(timeout=120) for _ in readers or [None]]
    stop.set()
    for process in (writer, *readers):
        process.join(60)
    assert writer.exitcode == 0
    assert [wrong for _, several in found for wrong in several] == []
    assert sum(replaced for replaced, _ in found) < reads * len(found) * 0.6  # most get through
    zstruct.verify(small)


def test_what_was_open_is_refused_once_it_is_replaced(small):
    run(small, Gaussians((1.0,)))
    opened = open_group(small, "features", "gaussians")
    before = opened.store.read(opened.array("values"))
    run(small, Gaussians((2.0,)), overwrite=True)
    with pytest.raises(zstruct.ChangedInputError, match=r"features/gaussians of .* was replaced after"):
        opened.store.read(opened.array("values"))
    again = open_group(opened.store, "features", "gaussians")
    assert again.descriptor == Gaussians((2.0,))
    assert not np.array_equal(again.store.read(again.array("values")), before)


def test_a_store_that_is_replaced_is_not_mixed_with_the_old_one(small, structures):
    opened = Store(small)
    opened.read("energy")
    zstruct.build(structures, small, overwrite=True, progress=False, encoding={"shuffle_seed": 1})
    with pytest.raises(zstruct.ChangedInputError, match="was replaced after this store was opened"):
        opened.read("energy")


def test_a_group_that_plain_readers_do_not_see_yet_is_read(small, monkeypatch):
    run(small, Gaussians((1.0,)))
    real = zstruct.store.group_publication.exchange

    def exchange(a, b):
        assert "gaussians" not in Store(small).root_document["consolidated_metadata"]["metadata"]
        assert open_group(small, "features", "gaussians").descriptor == Gaussians((1.0,))
        return real(a, b)

    monkeypatch.setattr("zstruct.store.group_publication.exchange", exchange)
    run(small, Gaussians((2.0,)), overwrite=True)
    assert open_group(small, "features", "gaussians").descriptor == Gaussians((2.0,))


def test_a_reader_waits_between_two_renames(small, monkeypatch):
    import threading

    run(small, Gaussians((1.0,)))
    monkeypatch.setattr("zstruct.store.group_publication.exchange", lambda a, b: False)
    real, gap = zstruct.store.group_publication.os.rename, threading.Event()

    def rename(a, b):
        real(a, b)
        if "replaced." in str(b):
            gap.set()
            time.sleep(0.1)

    monkeypatch.setattr("zstruct.store.group_publication.os.rename", rename)
    writer = threading.Thread(target=run, args=(small, Gaussians((2.0,))), kwargs={"overwrite": True})
    writer.start()
    assert gap.wait(60)
    assert open_group(small, "features", "gaussians").descriptor == Gaussians((2.0,))
    writer.join()
