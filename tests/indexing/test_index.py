"""An index answers as a scan does, is that of one content, and comes and goes without a trace in it."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from zstruct.errors import BuildLockedError
from zstruct.query import Selection
from zstruct.query.index import index_of
from zstruct.store.group_publication import working_directory
from zstruct.store.store import Store

QUANTITIES = ("fmax", "volume", "shortest_distance")


def source(draw_from, n):
    """Structures of 1 to 6 atoms; some without forces, cell or energy, one without any force on it."""
    counts = draw_from.integers(1, 7, n)
    edges = np.concatenate([[0], np.cumsum(counts)])
    atoms = int(edges[-1])
    forces = draw_from.normal(0, 2, (atoms, 3))
    without = draw_from.random(n) < 0.2
    forces[np.repeat(without, counts)] = np.nan
    first = np.flatnonzero(~without)[0]
    forces[edges[first] : edges[first + 1]] = 0
    cells = draw_from.normal(0, 4, (n, 3, 3))
    cells[draw_from.random(n) < 0.2] = 0
    return zstruct.sources.arrays(
        positions=draw_from.normal(0, 3, (atoms, 3)),
        numbers=draw_from.choice([1, 8, 22], atoms).astype(np.uint8),
        offsets=edges,
        energy=np.where(draw_from.random(n) < 0.2, np.nan, draw_from.normal(-3, 2, n)),
        forces=forces,
        cell=cells,
        pbc=False,
    )


@pytest.fixture(scope="module")
def small_chunks():
    """Chunks of 4 structures, 2 to a shard, so that small stores have several of both."""
    from zstruct.store import chunks

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "_CHUNK_ROWS", {"atom": 16, "structure": 4})
        patch.setattr(chunks, "_CHUNKS_PER_SHARD", 2)
        patch.setattr("zstruct.indexing.columns._TASK_ATOMS", 8)
        patch.setattr("zstruct.indexing.columns._CHUNK_ROWS", 4)
        patch.setattr("zstruct.query.evaluation._BLOCK", 16)
        patch.setattr("zstruct.query.evaluation._BLOCK_OF_ATOMS", 16)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory, small_chunks):
    out = tmp_path_factory.mktemp("index") / "mixed.zarr"
    zstruct.build(source(np.random.default_rng(3), 61), out, progress=False)
    return Store(out)


def scanned(selection, store, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("zstruct.query.table.index_of", lambda store: None)
        return selection.structures(store).tolist()


limits = st.sampled_from(["0", "1", "2.5", "40", "1e300"])
comparisons = st.tuples(
    st.sampled_from(
        [*QUANTITIES, "volume_per_atom", "energy_per_atom", "n_atoms", "Ti", "max_force_component"]
    ),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    limits | st.sampled_from(["fmax", "volume / 9", "n_atoms"]),
).map(" ".join)
conditions = st.recursive(
    comparisons | st.sampled_from(["has(fmax)", "has(volume)", "O", "has(energy)", "fmax in (0, 1)"]),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({' '.join(t)})")
        | inner.map(lambda one: f"not {one}")
    ),
    max_leaves=4,
)


@settings(max_examples=150)
@given(
    expression=conditions, rows=st.none() | st.lists(st.integers(0, 60), max_size=9), limit=st.none() | limits
)
def test_indexes_answer_as_scans_do(store, expression, rows, limit):
    selection = Selection().select(rows) if rows is not None else Selection()
    selection = selection.select(expression, max_force=None if limit is None else float(limit))
    with pytest.MonkeyPatch.context() as patch:
        assert selection.structures(store).tolist() == scanned(selection, store, patch)


@pytest.mark.parametrize("also", [False, True])
def test_columns_are_what_atoms_and_cells_say(store, tmp_path, also):
    shutil.copytree(store.path, tmp_path / "s")
    report = zstruct.index(tmp_path / "s", shortest_distance=also)
    opened = Store(tmp_path / "s")
    offsets, forces, cells = (opened.read(name) for name in ("offsets", "forces", "cell"))
    norms = np.sqrt((forces**2).sum(axis=1))
    expected = {
        "formula": opened.read("formula"),
        "fmax": [norms[a:b].max() for a, b in itertools.pairwise(offsets)],
        "volume": [abs(np.linalg.det(cell)) or np.nan for cell in cells],
    }
    if also:
        pairs = [
            opened.read("positions", a, b)[:, None] - opened.read("positions", a, b)
            for a, b in itertools.pairwise(offsets.tolist())
        ]
        distances = [np.linalg.norm(d, axis=2) + np.diag([np.inf] * len(d)) for d in pairs]
        expected["shortest_distance"] = [d.min() for d in distances]

    assert opened.dtype("index/default/formula") == np.uint8
    assert list(report.columns) == [*expected]
    assert report.made == also
    assert not zstruct.index(tmp_path / "s").made
    for name, values in expected.items():
        np.testing.assert_allclose(opened.read(f"index/default/{name}"), values, rtol=1e-12)
    zstruct.verify(tmp_path / "s")


@pytest.mark.parametrize(
    "options",
    [
        {"encoding": {"shuffle_seed": 3}, "workers": 2},
        pytest.param({}, marks=pytest.mark.long),
        pytest.param({"encoding": "float32"}, marks=pytest.mark.long),
    ],
)
def test_builds_read_nothing_again(tmp_path, small_chunks, monkeypatch, options):
    path = tmp_path / "s"
    with monkeypatch.context() as patch:
        patch.setattr("zstruct.indexing.columns._work_out", None)
        zstruct.build(source(np.random.default_rng(7), 61), path, progress=False, **options)
    assert index_of(Store(path)).columns == {"formula", "fmax", "volume"}
    built = contents(path / "index")
    shutil.rmtree(path / "index")

    zstruct.index(path)

    assert contents(path / "index") == built


def contents(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_an_index_is_no_part_of_the_content_and_of_no_other(store, tmp_path, monkeypatch):
    other = tmp_path / "other.zarr"
    zstruct.build(source(np.random.default_rng(4), 61), other, progress=False)
    shutil.rmtree(other / "index")
    bare = Store(other)
    assert index_of(bare) is None
    selection = Selection().select("fmax < 2 and volume > 3")
    expected = selection.structures(bare).tolist()
    assert expected

    shutil.copytree(Path(store.path, "index"), other / "index")  # of another store

    assert index_of(Store(other)) is None
    assert selection.structures(Store(other)).tolist() == expected
    report = zstruct.index(other)
    assert report.made
    assert Store(other).digest == bare.digest
    assert index_of(bare) is not None  # whoever has it open uses it, too
    assert selection.structures(bare).tolist() == expected
    zstruct.verify(other)
    monkeypatch.setattr(Store, "read", without_atoms(Store.read))
    assert selection.structures(bare).tolist() == expected


def without_atoms(read):
    def checked(self, name, start=0, stop=None):
        assert name not in ("forces", "positions", "numbers", "cell")
        return read(self, name, start, stop)

    return checked


def test_other_labels_have_no_index(store, tmp_path):
    path = tmp_path / "s"
    shutil.copytree(store.path, path)
    forces = np.full(Store(path).shape("forces"), 0.5)
    zstruct.labels.add(path, "flat", forces=forces)
    found = zstruct.statistics(path, select="fmax < 0.87 and fmax > 0.86", labels="flat")

    assert found.structures == 61


def test_what_is_appended_is_worked_out_and_the_rest_is_shared(store, tmp_path, monkeypatch):
    first, second = source(np.random.default_rng(5), 40), source(np.random.default_rng(6), 30)
    zstruct.build(first, tmp_path / "a.zarr", progress=False)
    zstruct.index(tmp_path / "a.zarr", shortest_distance=True)
    zstruct.build([first, second], tmp_path / "whole.zarr", progress=False)
    asked = []
    work_out = zstruct.indexing.columns._work_out
    monkeypatch.setattr(
        "zstruct.indexing.columns._work_out", lambda task: asked.append(task.start) or work_out(task)
    )

    zstruct.append(tmp_path / "a.zarr", second, out=tmp_path / "b.zarr", progress=False)

    assert min(asked) == 40
    grown, whole = Store(tmp_path / "b.zarr"), Store(tmp_path / "whole.zarr")
    zstruct.index(tmp_path / "whole.zarr", shortest_distance=True)
    for name in ("formula", *QUANTITIES):
        here = grown.read(f"index/default/{name}")
        np.testing.assert_array_equal(here, whole.again().read(f"index/default/{name}"))
        old, new = (Path(path, "index/default", name, "c/0") for path in (tmp_path / "a.zarr", grown.path))
        assert old.read_bytes() == new.read_bytes()
    assert index_of(grown).columns == {"formula", *QUANTITIES}
    zstruct.verify(tmp_path / "b.zarr")


def test_codes_of_formulas_are_as_narrow_as_they_can_be(tmp_path):
    """Those of 200 pairs of elements fit into a byte, those of 325 don't."""
    pairs = np.array([*itertools.combinations_with_replacement(range(1, 26), 2)], np.uint8)

    def made(some):
        edges = np.arange(0, 2 * len(some) + 1, 2)
        return zstruct.sources.arrays(positions=np.zeros((edges[-1], 3)), numbers=some.ravel(), offsets=edges)

    zstruct.build(made(pairs[:200]), tmp_path / "a", progress=False)
    zstruct.append(tmp_path / "a", made(pairs[150:]), out=tmp_path / "b", progress=False)

    for name, dtype in (("a", np.uint8), ("b", np.uint16)):
        opened = Store(tmp_path / name)
        codes = opened.read("index/default/formula")
        assert codes.dtype == dtype
        np.testing.assert_array_equal(codes, opened.read("formula"))
    assert Selection().select("formula == 'Mn2'").structures(opened).tolist() == [374]


def test_what_nobody_has_is_in_no_index_or_missing(tmp_path):
    bare = zstruct.sources.arrays(positions=np.eye(3), numbers=np.array([1, 1, 8], np.uint8), offsets=[0, 3])
    zstruct.build(bare, tmp_path / "s", progress=False)
    opened = Store(tmp_path / "s")

    assert index_of(opened).columns == {"formula", "volume"}
    assert np.isnan(opened.read("index/default/volume")).all()
    assert Selection().select("not has(volume) and not has(fmax)").structures(opened).tolist() == [0]


def test_an_index_is_made_under_the_lock_of_the_store(store, tmp_path):
    shutil.copytree(store.path, tmp_path / "s")
    with working_directory(tmp_path / "s"), pytest.raises(BuildLockedError):
        zstruct.index(tmp_path / "s", shortest_distance=True)
