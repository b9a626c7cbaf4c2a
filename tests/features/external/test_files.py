"""Files of NumPy, also as kinoml writes them: `DatasetProvider.to_dict_of_arrays` says how."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import zstruct
from zstruct import InputError
from zstruct.features import add


@pytest.fixture
def parts(sizes, rng):
    """Rows of each structure that are not of atoms."""
    return [rng.normal(size=(n % 4 + 1, 2)) for n in sizes]


def read(path, name="x"):
    return zstruct.Store(path).read(f"features/{name}/values")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_one_array_and_what_kinoml_puts_beside_it(store, sizes, rng, tmp_path, save, order):
    pytest.importorskip("torch")
    x, y = rng.normal(size=(11, 4)), rng.normal(size=11)
    indices = {"idx_train": np.arange(8), "idx_test": np.arange(8, 11)}
    save(tmp_path / "k.npz", X=np.asarray(x, order=order), y=y, **indices)
    report = add(store, "x", tmp_path / "k.npz")
    assert report.level == "structure"
    assert_array_equal(read(store), x)
    assert len(report.left_out) == 3
    assert report.left_out[0] == "y (11,)"
    assert report.left_out[1].startswith("idx_train, a part of a split, for zstruct.split(store, '")
    assert "left out: y (11,)" in str(report)
    parts = zstruct.split(store, tmp_path / "k.npz", name="default")
    data = zstruct.ZarrStructureDataset(store, features="x", split="test")
    assert parts.labels == ("train", "test")
    assert_array_equal(np.stack([sample["features"] for sample in data]), x[8:].astype("f4"))


@pytest.mark.parametrize("underscore", ["_", ""])
def test_arrays_of_systems_are_counted_as_numbers(store, parts, tmp_path, underscore):
    pytest.importorskip("torch")
    named = {f"X_s{k}{underscore}": part for k, part in reversed(list(enumerate(parts)))}
    np.savez(tmp_path / "k.npz", y=np.zeros(11), **named)  # X_s10_ comes after X_s2_
    with pytest.raises(InputError, match="pass level='row'"):
        add(store, "x", tmp_path / "k.npz")
    report = add(store, "x", str(tmp_path / "k.npz"), level="row")
    assert report.left_out == ("y (11,)",)
    assert_array_equal(read(store), np.concatenate(parts))
    assert_array_equal(
        zstruct.ZarrStructureDataset(store, features="x")[10]["features"], parts[10].astype("f4")
    )


@pytest.mark.parametrize("underscore", ["_", ""])
def test_several_arrays_of_each_system(store, sizes, tmp_path, underscore):
    named = {}
    for k, n in enumerate(sizes):
        named[f"X_s{k}_a0{underscore}"] = np.full((n, 5), k)
        named[f"X_s{k}_a1{underscore}"] = np.full(7, k + 100)
    np.savez(tmp_path / "k.npz", **named)
    with pytest.raises(InputError, match="has a0, a1: say which array to take, with key="):
        add(store, "x", tmp_path / "k.npz")
    report = add(store, "x", tmp_path / "k.npz", key="a0")
    assert (report.level, report.left_out) == ("atom", ("a1 of each structure",))
    assert_array_equal(read(store), np.repeat(np.arange(11), sizes)[:, None] * np.ones(5, int))
    assert add(store, "y", tmp_path / "k.npz", key="a1").level == "structure"
    assert_array_equal(read(store, "y")[:, 0], np.arange(11) + 100)


def test_arrays_of_any_names(store, sizes, per_atom, tmp_path):
    np.savez(tmp_path / "f.npz", soap=per_atom, mbtr=np.ones((11, 2)))
    with pytest.raises(InputError, match="has soap, mbtr: say which"):
        add(store, "x", tmp_path / "f.npz")
    with pytest.raises(InputError, match="has no 'acsf'; it has soap, mbtr"):
        add(store, "x", tmp_path / "f.npz", key="acsf")
    assert add(store, "x", tmp_path / "f.npz", key="soap").left_out == ("mbtr (11, 2)",)
    assert_array_equal(read(store), per_atom)


def test_three_axes_are_rows_of_structures(store, tmp_path):
    values = np.arange(11 * 4 * 3.0).reshape(11, 4, 3)
    np.savez(tmp_path / "f.npz", X=values)
    np.save(tmp_path / "f.npy", values)
    assert add(store, "x", tmp_path / "f.npz", level="row").n_rows == 44
    assert not add(store, "x", tmp_path / "f.npy", level="row").added
    assert_array_equal(read(store), values.reshape(44, 3))


def test_files_that_do_not_say_enough(store, parts, tmp_path):
    named = {f"X_s{k}_": part for k, part in enumerate(parts) if k != 4}
    np.savez(tmp_path / "gap.npz", **named)
    with pytest.raises(InputError, match="arrays of 10 structures, but none for structure 4"):
        add(store, "x", tmp_path / "gap.npz", level="row")
    np.savez(tmp_path / "two.npz", X_s0=parts[0], X_s0_=parts[0])
    with pytest.raises(InputError, match="two arrays of one structure"):
        add(store, "x", tmp_path / "two.npz", level="row")
    np.savez(tmp_path / "both.npz", X_s0_=parts[0], X=parts[0])
    with pytest.raises(InputError, match="has X as well as X_s0_"):
        add(store, "x", tmp_path / "both.npz", level="row")
    np.savez(tmp_path / "none.npz", y=np.ones(11))
    with pytest.raises(InputError, match="nothing that could be features"):
        add(store, "x", tmp_path / "none.npz")


def test_nothing_is_unpickled(store, tmp_path):
    values = np.array([[1.0]] * 11, dtype=object)
    np.savez(tmp_path / "f.npz", X=values)
    np.save(tmp_path / "f.npy", values, allow_pickle=True)
    for name in ("f.npz", "f.npy"):
        with pytest.raises(InputError, match="only a pickle has, which are never loaded"):
            add(store, "x", tmp_path / name)


def test_other_files(store, tmp_path):
    (tmp_path / "f.npz").write_bytes(b"none")
    (tmp_path / "f.npy").write_bytes(b"none")
    for name, sentence in {
        "f.npz": "can't be read as an .npz file",
        "f.npy": "can't be read as an .npy file",
        "missing.npz": "there is no file",
        "f.csv": "features come from files called .npz, .npy or .parquet",
    }.items():
        with pytest.raises(InputError, match=sentence):
            add(store, "x", tmp_path / name)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(data=st.data(), compressed=st.booleans())
def test_damaged_files_are_refused_or_right(store, sizes, tmp_path, data, compressed):
    x = np.arange(44.0).reshape(11, 4)
    (np.savez_compressed if compressed else np.savez)(tmp_path / "f.npz", X=x)
    content = bytearray((tmp_path / "f.npz").read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (tmp_path / "f.npz").write_bytes(content)
    try:
        add(store, "x", tmp_path / "f.npz", overwrite=True)
    except InputError as refused:
        said = str(refused)
        assert "f.npz" in said or "rows of values" in said
    else:
        assert_array_equal(read(store), x)
