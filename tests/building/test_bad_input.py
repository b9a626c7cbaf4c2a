"""Everything that can be wrong with a file: a sentence with file and frame, or skipped and reported."""

import gzip
import re
import shutil

import numpy as np
import pytest

import zstruct
from tests.conftest import extxyz_text, random_atoms
from zstruct import InputError
from zstruct.store.store import Store

GOOD = (
    '1\nLattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5\nH 0 0 0 0 0 0.5\n'
)
HEAD = "Properties=species:S:1:pos:R:3:forces:R:3"
FRAMES = {
    "NaN position": (f"1\n{HEAD} energy=1\nH nan 0 0 0 0 0\n", "position is NaN"),
    "infinite position": (f"1\n{HEAD} energy=1\nH 0 inf 0 0 0 0\n", "position is NaN or infinite"),
    "too many atoms announced": (f"3\n{HEAD} energy=1\nH 0 0 0 0 0 0\n", "frame 1"),
    "too few atoms announced": (f"1\n{HEAD} energy=1\nH 0 0 0 0 0 0\nH 0 0 1 0 0 0\n", "frame 1"),
    "no atoms": (f"0\n{HEAD} energy=1\n", "atoms"),
    "unknown species": (f"1\n{HEAD} energy=1\nQq 0 0 0 0 0 0\n", "Qq"),
    "zero volume": (f'1\nLattice="1 0 0 2 0 0 0 0 1" {HEAD}\nH 0 0 0 0 0 0\n', "zero volume"),
    "periodic without a vector": (f'1\n{HEAD} pbc="T F F"\nH 0 0 0 0 0 0\n', "length zero"),
    "forces of two columns": ("1\nProperties=species:S:1:pos:R:3:forces:R:2\nH 0 0 0 0 0\n", "forces"),
    "text for a number": (f"1\n{HEAD} energy=1\nH 0 0 zero 0 0 0\n", "'zero'"),
    "text for the energy": (f"1\n{HEAD} energy=low\nH 0 0 0 0 0 0\n", "energy"),
    "infinite energy": (f"1\n{HEAD} energy=inf\nH 0 0 0 0 0 0\n", "energy: a value is infinite"),
    "NaN in some forces": (f"1\n{HEAD} energy=1\nH 0 0 0 0 nan 0\n", "forces: some values are NaN"),
    "a column too few": (f"1\n{HEAD} energy=1\nH 0 0 0 0 0\n", "atom"),
    "a column too many": (f"1\n{HEAD} energy=1\nH 0 0 0 0 0 0 7\n", "atom"),
    "asymmetric stress": (
        f'1\nLattice="3 0 0 0 3 0 0 0 3" {HEAD} stress="1 2 3 4 5 6 7 8 9"\nH 0 0 0 0 0 0\n',
        "stress is not symmetric",
    ),
}


@pytest.mark.parametrize("fault", FRAMES)
def test_a_bad_frame_is_named_or_skipped(tmp_path, fault):
    text, message = FRAMES[fault]
    path = tmp_path / "in.xyz"
    path.write_text(GOOD + text + GOOD)
    with pytest.raises(InputError, match=r"in\.xyz, frame [01]: ") as caught:
        zstruct.build(path, tmp_path / "s.zarr", progress=False)
    assert message in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["in.xyz"]
    report = zstruct.build(path, tmp_path / "s.zarr", on_error="skip", progress=False)
    store = Store(report.path)
    assert report.n_structures >= 1
    assert report.n_skipped >= 1
    assert set(store.read("energy").tolist()) == {-1.5}
    assert set(store.read("forces").ravel().tolist()) == {0.0, 0.5}
    zstruct.verify(report.path)


FILES = {
    "empty": (b"", "empty"),
    "blank": (b"\n  \n", "empty"),
    "binary": (bytes(range(256)) * 40, "text"),
    "cut in a frame": (GOOD.encode()[:-10], "frame 0"),
    "gzip cut short": (gzip.compress(GOOD.encode() * 1000)[:-40], "compressed|decompress|gzip"),
}


@pytest.mark.parametrize("fault", FILES)
def test_a_bad_file_is_named_or_skipped(tmp_path, fault):
    content, message = FILES[fault]
    bad = tmp_path / ("bad.xyz.gz" if "gzip" in fault else "bad.xyz")
    bad.write_bytes(content)
    good = tmp_path / "good.xyz"
    good.write_text(GOOD)
    with pytest.raises(InputError, match=rf"bad\.xyz.*({message})"):
        zstruct.build([bad, good], tmp_path / "s.zarr", progress=False)
    report = zstruct.build([bad, good], tmp_path / "s.zarr", on_error="skip", progress=False)
    assert report.n_skipped == 1
    assert report.skipped[0][0] == str(bad)
    assert set(Store(report.path).categories("source")) <= {str(bad), str(good)}
    assert Store(report.path).read("energy")[-1] == -1.5


@pytest.mark.parametrize(
    "seed", [*range(16), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(16, 60))]
)
def test_damaged_files_never_slip_through(tmp_path, seed):
    """Whatever bytes change, what is stored is what an undamaged frame says, or what ASE reads."""
    rng = np.random.default_rng(seed)
    frames = [random_atoms(rng) for _ in range(12)]
    content = bytearray(extxyz_text(frames).encode())
    at = int(rng.integers(len(content)))
    how = int(rng.integers(4))
    if how == 0:
        content[at] = int(rng.integers(256))
    elif how == 1:
        del content[at : at + int(rng.integers(1, 200))]
    elif how == 2:
        content[at:at] = content[: int(rng.integers(1, 200))]
    else:
        del content[at:]
    path = tmp_path / "in.xyz"
    path.write_bytes(content)
    try:
        report = zstruct.build(path, tmp_path / "s.zarr", on_error="skip", progress=False)
    except InputError:
        return  # a sentence: nothing could be used
    zstruct.verify(report.path)
    store = Store(report.path)
    before = bytes(content[:at]).count(b"Properties=") - 1  # frames that end before the damage
    kept = store.read("frame").tolist()
    assert set(range(max(0, before))) <= set(kept)
    positions = np.split(store.read("positions"), store.read("offsets")[1:-1])
    for i, frame in enumerate(kept):
        if frame < before:
            np.testing.assert_array_equal(positions[i], frames[frame].positions)


@pytest.mark.parametrize("kind", ["folder", "tar", "tar.gz", "zip"])
def test_where_nothing_can_be_read_all_reasons_are_listed(tmp_path, kind):
    """Names that occur nowhere in nothing are no reason."""
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "a.xyz").write_text("3\nwater\nO 0 0 0\n")
    (folder / "b.xyz").write_text("1\n\nQq 0 0 0\n")
    path = folder
    if kind != "folder":
        formats = {"tar": "tar", "tar.gz": "gztar", "zip": "zip"}
        path = shutil.make_archive(str(tmp_path / "all"), formats[kind], folder)
    with pytest.raises(
        InputError, match=r"no structure is left to store:\nskipped 2 bad frames or inputs"
    ) as caught:
        zstruct.build(path, tmp_path / "s.zarr", keys={"energy": "E"}, on_error="skip", progress=False)
    for reason in (r"a.xyz, frame 0: .*ends after 1 of 3", r"b.xyz, frame 0: .*'Qq'"):
        assert re.search(reason, str(caught.value)), caught.value
    assert not (tmp_path / "s.zarr").exists()


def test_where_filters_leave_nothing_they_are_named(tmp_path):
    (tmp_path / "a.xyz").write_text("1\nenergy=5.0\nH 0 0 0\n")
    with pytest.raises(InputError, match=r"no structure is left to store:\ndropped: 1 by max_energy"):
        zstruct.build(tmp_path / "a.xyz", tmp_path / "s.zarr", filters={"max_energy": 1.0}, progress=False)
