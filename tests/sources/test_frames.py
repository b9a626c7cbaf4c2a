"""Some frames of a file, as Python takes some of a list, whatever reads them and however it is cut."""

import gzip
import shutil

import ase.io
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zstruct
from tests.conftest import extxyz_text, random_atoms
from zstruct.errors import InputError
from zstruct.sources import source as source_module
from zstruct.sources.frames import SlicedSource, frames_of, split_name
from zstruct.sources.inputs import expand
from zstruct.sources.xyz import source as xyz_module
from zstruct.sources.xyz.source import XYZSource


@pytest.fixture(scope="module")
def structures():
    rng = np.random.default_rng(20261120)
    return [random_atoms(rng) for _ in range(30)]


@pytest.fixture
def frames(structures):
    return structures


@pytest.fixture(scope="module")
def written(tmp_path_factory, structures):
    """The thirty structures in formats that are cut into slices, streamed, or read by ASE."""
    folder = tmp_path_factory.mktemp("frames")
    text = extxyz_text(structures)
    (folder / "a.xyz").write_text(text)
    (folder / "b.xyz.gz").write_bytes(gzip.compress(text.encode()))
    ase.io.write(folder / "c.traj", structures)
    ase.io.write(folder / "d.db", structures)
    return folder


@pytest.fixture
def files(written, tmp_path):
    """A folder of these files, which may be changed."""
    return shutil.copytree(written, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def small_slices(monkeypatch):
    for module in (source_module, xyz_module):
        monkeypatch.setattr(module, "SLICE_BYTES", 1500)


def read(given):
    """Return the frame numbers of inputs, and their energies."""
    numbers, energies = [], []
    for source in expand(given)[0]:
        for piece in source.scan():
            for raw in source.read(piece):
                assert not raw.bad
                numbers += raw.frames.tolist()
                if len(raw.frames):
                    energies += raw.structure["energy"][0].values.tolist()
    return numbers, energies


SLICES = [
    "0",
    "3",
    "29",
    "-1",
    "-30",
    ":",
    "::",
    "-5:",
    "5:12",
    "0:1000:10",
    ":-25",
    "::-1",
    "20:3:-4",
    "-3::-9",
]


@pytest.mark.parametrize("name", ["a.xyz", "b.xyz.gz", "c.traj", "d.db"])
@pytest.mark.parametrize("text", SLICES)
def test_frames_are_those_of_a_list(files, frames, small_slices, name, text):
    wanted = frames_of(text)
    numbers = list(range(30))[wanted]
    numbers = [numbers] if isinstance(numbers, int) else numbers
    found, energies = read(f"{files}/{name}@{text}")
    assert found == numbers
    assert energies == [frames[k].get_potential_energy() for k in numbers]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.slices(30))
def test_any_slice(files, small_slices, wanted):
    text = ":".join("" if x is None else str(x) for x in (wanted.start, wanted.stop, wanted.step))
    numbers = list(range(30))[wanted]
    if numbers:
        assert read(f"{files}/a.xyz@{text}")[0] == numbers
    else:
        with pytest.raises(InputError, match=r"says (no frames|frames that are not there)"):
            read(f"{files}/a.xyz@{text}")


def test_slices_of_the_input_without_such_frames_are_not_read(files, small_slices):
    whole = XYZSource(files / "a.xyz").scan()
    assert len(whole) > 5
    (source,), _ = expand(f"{files}/a.xyz@3:5")
    assert len(source.scan()) <= 2


@pytest.mark.parametrize("text", ["30", "-31", "30:40", "5:5", "7:3", "100:"])
@pytest.mark.parametrize("name", ["a.xyz", "c.traj"])
def test_frames_that_are_not_there(files, small_slices, name, text):
    with pytest.raises(
        InputError, match=rf"{name}: '@{text}' says (frames that .* 30 frames|no frames at all)"
    ):
        read(f"{files}/{name}@{text}")


@pytest.mark.parametrize("text", ["x", "1:2:3:4", "1.5", "", "::0", " 3", "3 ", "1_0", "--1"])
def test_what_is_no_slice(files, text):
    with pytest.raises(InputError, match=r"a\.xyz: '@.*write @3 for one frame"):
        expand(f"{files}/a.xyz@{text}")


def test_names_with_an_at_are_names(files):
    (files / "a.xyz").rename(files / "a@3")
    (source,), _ = expand(f"{files}/a@3", reader="xyz")
    assert isinstance(source, XYZSource)
    (files / "a@3").rename(files / "me@home.xyz")
    assert read(f"{files}/me@home.xyz")[0] == list(range(30))
    assert read(f"{files}/me@home.xyz@2:4")[0] == [2, 3]
    for missing in ("nothing.xyz@3", "nothing@home.xyz"):
        with pytest.raises(InputError, match="there is no such file"):
            expand(f"{files}/{missing}")


def test_patterns_and_directories_of_slices(files):
    (files / "d.db").unlink()
    assert read(f"{files}/*@-1")[0] == [29, 29, 29]
    assert read(f"{files}@-1")[0] == [29, 29, 29]


def test_the_same_frames_twice_are_refused(files):
    path = f"{files}/a.xyz"
    assert read([f"{path}@0", f"{path}@5:7"])[0] == [0, 5, 6]
    for twice in ([path, f"{path}@3"], [f"{path}@3", path], [f"{path}@3", f"{path}@3"]):
        with pytest.raises(InputError, match="is given twice"):
            expand(twice)


def test_a_store_has_the_frames_and_their_numbers(files, frames):
    report = zstruct.build(
        [f"{files}/a.xyz@::-10", f"{files}/c.traj@:2"], files / "s.zarr", progress=False, workers=2
    )
    store = zstruct.open(report.path)
    assert store.frame.values.tolist() == [29, 19, 9, 0, 1]
    assert [s.rpartition("/")[2] for s in store["source"].values[2:4]] == ["a.xyz@::-10", "c.traj@:2"]
    np.testing.assert_array_equal(
        store.energy.values, [frames[k].get_potential_energy() for k in (29, 19, 9, 0, 1)]
    )


def test_bad_frames_count_where_they_are_asked_for(tmp_path):
    good = "1\nProperties=species:S:1:pos:R:3 energy=1\nHe 0 0 0\n"
    path = tmp_path / "a.xyz"
    path.write_text(good + good.replace("0 0 0", "0 0 x") + good + good)
    assert read(f"{path}@2:")[0] == [2, 3]
    with pytest.raises(InputError, match="frame 1"):
        zstruct.build(f"{path}@1:3", tmp_path / "s.zarr", progress=False)


def test_a_frame_at_which_reading_ends_is_not_passed_over(tmp_path, frames):
    """What is behind it can't be had, though it was itself not asked for."""
    ase.io.write(tmp_path / "a.xyz", frames[:9])
    text = (tmp_path / "a.xyz").read_text().splitlines(keepends=True)
    (tmp_path / "a.xyz").write_text("".join(text[:-1]))
    report = zstruct.build(f"{tmp_path}/a.xyz@1::2", tmp_path / "s.zarr", progress=False, on_error="skip")
    assert report.n_structures == 4
    assert report.n_skipped == 1


def test_urls_have_slices_too(files):
    assert read(f"file://{files}/a.xyz@-2:")[0] == [28, 29]


def test_split_name_and_repr(files):
    assert split_name("@3") == ("@3", None)
    source = SlicedSource(XYZSource(files / "a.xyz"), "3")
    assert repr(source).endswith("a.xyz'), '3')")
    assert source.fingerprint() == XYZSource(files / "a.xyz").fingerprint()
