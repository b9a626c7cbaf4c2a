"""Files that are written without HDF5's library, as the library reads them."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zstruct.exporters import hdf5_groups
from zstruct.exporters.hdf5_groups import GroupsFile, Part, Texts

h5py = pytest.importorskip("h5py")

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=300)
DTYPES = ["<f8", "<f4", "<i8", "<i4", "u1", "?"]
TEXTS = ["", "a", "größer", "eight888", "of nine99", "x" * 9000]


@st.composite
def datasets(draw):
    """Return name, group, dtype, shape of a row, and whether it is of atoms; texts have no dtype."""
    return (
        draw(NAMES.filter(lambda name: name != ".")),
        draw(st.sampled_from(["", "inner/", "inner/most/"])),
        draw(st.sampled_from([*DTYPES, None])),
        draw(st.sampled_from([(), (3,), (3, 3), (0,), (700,)])),
        draw(st.booleans()),
    )


def paths_of(group):
    """Return the paths of all datasets in a group."""
    found = []
    group.visititems(lambda path, item: found.append(path) if hasattr(item, "shape") else None)
    return set(found)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    sizes=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=8), min_size=1, max_size=3),
    sets=st.lists(datasets(), max_size=6, unique_by=lambda one: one[:2]),
    seed=st.integers(0, 99),
    at_once=st.sampled_from([1, 3000, 1 << 24]),
)
def test_the_library_reads_what_was_given(tmp_path, monkeypatch, sizes, sets, seed, at_once):
    monkeypatch.setattr(hdf5_groups, "_AT_ONCE", at_once)
    rng = np.random.default_rng(seed)
    sets = [one for one in sets if f"{one[1]}{one[0]}" not in ("inner", "inner/most", "none")]
    texts = Texts(TEXTS)
    file = GroupsFile(tmp_path / "a.h5", "all", "é", ("none",))
    expected = []
    for n_atoms in map(np.array, sizes):
        offsets = np.concatenate([[0], np.cumsum(n_atoms)])
        first, parts = len(expected), []
        expected += [{} for _ in n_atoms]
        for name, group, dtype, row, of_atoms in sets:
            path, here = group + name, rng.random(len(n_atoms)) < 0.7
            n = offsets[-1] if of_atoms else len(n_atoms)
            if dtype is None:
                codes = rng.integers(-1, len(TEXTS), n)
                values = np.array([text.encode() for text in TEXTS], dtype=object)[codes]
                parts += texts.parts(path, codes, here, of_atoms)
            else:
                values = rng.integers(0, 2, (n, *row)).astype(dtype)
                parts.append(Part(path, values, here, of_atoms))
            for k in np.flatnonzero(here).tolist():
                rows = values[offsets[k] : offsets[k + 1]] if of_atoms else values[k]
                expected[first + k][path] = rows.tolist() if of_atoms and dtype is None else rows
        file.add(n_atoms, parts)
    file.end()
    with h5py.File(tmp_path / "a.h5") as found:
        assert list(found) == ["all"]
        assert sorted(found["all"]) == sorted(f"é{k}" for k in range(len(expected)))
        for k, wanted in enumerate(expected):
            group = found[f"all/é{k}"]
            assert paths_of(group) == set(wanted)
            assert len(group["none"]) == 0
            for path, values in wanted.items():
                read = group[path]
                if isinstance(values, (bytes, list)):
                    assert h5py.check_string_dtype(read.dtype).encoding == "utf-8"
                    assert read[()].tolist() == values
                else:
                    assert read.dtype == values.dtype
                    assert np.array_equal(read[()], values)


def test_the_library_goes_on_with_them(tmp_path):
    n = 300
    file = GroupsFile(tmp_path / "a.h5", "all")
    file.add(np.ones(n, dtype=int), [Part("k", np.arange(n), np.ones(n, dtype=bool))])
    file.end()
    with h5py.File(tmp_path / "a.h5", "r+") as found:
        found["all"].attrs["table"] = np.array([["a", "b"]], dtype=object)
        found["all"].attrs["large"] = np.arange(7000)
        for k in range(0, n, 2):
            del found[f"all/{k}"]
        for k in range(50):
            found[f"all/1/{k}"] = k
            found[f"all/new/{k}"] = "text"
        found["all/3/k"][...] = -1
    with h5py.File(tmp_path / "a.h5") as found:
        assert sorted(found["all"], key=str) == sorted([*map(str, range(1, n, 2)), "new"])
        assert len(found["all/1"]) == 51
        assert [found[f"all/{k}/k"][()] for k in (1, 3, 299)] == [1, -1, 299]
        assert found["all"].attrs["table"].tolist() == [["a", "b"]]
        assert found["all"].attrs["large"][-1] == 6999


@pytest.mark.parametrize("n", [1, 63, 64, 65, 4096, 4097, 64**3 + 1])
def test_indexes_of_any_depth(tmp_path, n):
    file = GroupsFile(tmp_path / "a.h5", "all", "name ")
    file.add(np.zeros(n, dtype=int), [Part("k", np.arange(n), np.ones(n, dtype=bool))])
    file.end()
    with h5py.File(tmp_path / "a.h5") as found:
        assert len(found["all"]) == n
        assert list(found["all"]) == sorted(f"name {k}" for k in range(n))
        for k in {0, 1, 9, 10, n // 2, n - 2, n - 1} & set(range(n)):
            assert found[f"all/name {k}/k"][()] == k
        assert "name 00" not in found["all"]
        assert f"name {n}" not in found["all"]
