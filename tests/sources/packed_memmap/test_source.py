import os
import warnings

import numpy as np
import pytest
from ase.units import kcal, mol

import zstruct
from tests.sources.headers import HEADERS
from zstruct.errors import InputError
from zstruct.sources import PackedMemmapSource, expand

COUNTS = [3, 1, 4, 2]


def packed(folder, charges=True, counts=COUNTS):
    """The files that mmml's own tools make."""
    rng = np.random.default_rng(0)
    n = sum(counts)
    folder.mkdir()
    arrays = {
        "Z_pack.int32": rng.integers(1, 9, n).astype(np.int32),
        "R_pack.f32": rng.normal(size=(n, 3)).astype(np.float32),
        "F_pack.f32": rng.normal(size=(n, 3)).astype(np.float32),
        "E.f64": rng.normal(size=len(counts)),
        "Qtot.f64": rng.integers(-1, 2, len(counts)).astype(np.float64),
    }
    for name, values in arrays.items():
        if charges or name != "Qtot.f64":
            values.tofile(folder / name)
    np.save(folder / "offsets.npy", np.cumsum([0, *counts]))
    np.save(folder / "n_atoms.npy", np.array(counts, dtype=np.int32))
    return arrays


def built(tmp_path, paths, **options):
    zstruct.build(paths, tmp_path / "out.zarr", progress=False, overwrite=True, **options)
    return zstruct.Store(tmp_path / "out.zarr")


def test_all_files_are_read(tmp_path):
    arrays = packed(tmp_path / "mm")
    store = built(tmp_path, tmp_path / "mm", units="ase")
    assert np.diff(store.read("offsets")).tolist() == COUNTS
    assert np.array_equal(store.read("numbers"), arrays["Z_pack.int32"])
    assert np.array_equal(store.read("positions"), arrays["R_pack.f32"].astype(float))
    assert np.array_equal(store.read("forces"), arrays["F_pack.f32"].astype(float))
    assert np.array_equal(store.read("energy"), arrays["E.f64"])
    assert np.array_equal(store.read("total_charge"), arrays["Qtot.f64"])
    assert not store.read("pbc").any()


def test_single_precision_stays_single(tmp_path):
    arrays = packed(tmp_path / "mm")
    store = built(tmp_path, tmp_path / "mm", units="ase", encoding="float32")
    assert store.read("positions").dtype == np.float32
    assert np.array_equal(store.read("positions"), arrays["R_pack.f32"])


def test_units_are_asked_for(tmp_path):
    arrays = packed(tmp_path / "mm")
    with pytest.raises(InputError, match=r"mm, frame 0: the input does not say the unit of (energy|forces)"):
        built(tmp_path, tmp_path / "mm")
    store = built(tmp_path, tmp_path / "mm", units={"energy": "kcal/mol", "length": "angstrom"})
    np.testing.assert_allclose(store.read("energy"), arrays["E.f64"] * kcal / mol, rtol=1e-14)
    np.testing.assert_allclose(store.read("forces"), arrays["F_pack.f32"] * (kcal / mol), rtol=1e-6)
    assert np.array_equal(store.read("positions"), arrays["R_pack.f32"].astype(float))


def test_charges_are_optional(tmp_path):
    packed(tmp_path / "mm", charges=False)
    assert "total_charge" not in built(tmp_path, tmp_path / "mm", units="ase").fields


def test_directories_are_inputs_as_a_whole(tmp_path):
    (tmp_path / "all").mkdir()
    for name in ("a1", "a10", "a2"):
        packed(tmp_path / "all" / name)
    (tmp_path / "all" / "notes.txt").write_text("nothing")
    for given in (tmp_path / "all", f"{tmp_path}/all/*", f"{tmp_path}/**/*"):
        sources, left = expand(str(given))
        assert [type(source) for source in sources] == [PackedMemmapSource] * 3
        assert [source.content.name for source in sources] == ["a1", "a2", "a10"]
        assert [name.endswith("notes.txt") for name in left] == [True]
    assert built(tmp_path, tmp_path / "all", units="ase").n_structures == 12


def test_the_reader_has_a_name(tmp_path):
    packed(tmp_path / "mm")
    assert built(tmp_path, tmp_path / "mm", units="ase", reader="packed-memmap").n_structures == 4
    (tmp_path / "mm" / "R_pack.f32").unlink()
    with pytest.raises(InputError, match=r"there is no R_pack\.f32 in this directory"):
        PackedMemmapSource(tmp_path / "mm").scan()
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(InputError, match="a packed memmap is a directory, and this is none"):
        PackedMemmapSource(tmp_path / "a.txt").scan()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Z_pack.int32", "Z_pack.int32 has 39 bytes, and offsets end at 10 atoms, which takes 40"),
        ("R_pack.f32", "R_pack.f32 has 119 bytes, and offsets end at 10 atoms, which takes 120"),
        ("E.f64", "E.f64 has 31 bytes, and there are 4 structures, which takes 32"),
        ("Qtot.f64", "Qtot.f64 has 31 bytes, and there are 4 structures, which takes 32"),
        ("offsets.npy", "offsets.npy is damaged"),
        ("n_atoms.npy", "n_atoms.npy is damaged"),
    ],
)
def test_files_that_are_cut_off(tmp_path, name, reason):
    packed(tmp_path / "mm")
    data = (tmp_path / "mm" / name).read_bytes()
    (tmp_path / "mm" / name).write_bytes(data[:-1])
    with pytest.raises(InputError, match=f"mm: {reason}"):
        built(tmp_path, tmp_path / "mm", units="ase")
    (tmp_path / "mm" / name).write_bytes(b"")
    with pytest.raises(InputError, match="mm: "):
        built(tmp_path, tmp_path / "mm", units="ase")


def test_tables_that_make_no_sense(tmp_path):
    packed(tmp_path / "mm")
    for name, values, reason in [
        ("offsets.npy", [0, 3, 2, 8, 10], "frame 1: offsets go back from 3 to 2"),
        ("offsets.npy", [[0, 10]], "offsets.npy should be whole numbers in one row"),
        ("offsets.npy", [], "offsets.npy should be whole numbers in one row"),
        ("offsets.npy", [0, 3, 4, np.nan], "offsets.npy should be whole numbers .*, not float64 of shape"),
        ("offsets.npy", ["0", "10"], "offsets.npy should be whole numbers .*, not str"),
        ("offsets.npy", [0, -4], "Z_pack.int32 has 40 bytes, and offsets end at -4 atoms, which takes -16"),
        ("offsets.npy", [0, 2**62], "which takes 18,446,744,073,709,551,616"),
        ("offsets.npy", [2, 3, 4, 8, 10], "offsets begin at 2, not at 0"),
        ("n_atoms.npy", [3, 1, 3, 3], "offsets and n_atoms do not agree"),
    ]:
        before = (tmp_path / "mm" / name).read_bytes()
        np.save(tmp_path / "mm" / name, np.array(values))
        with pytest.raises(InputError, match=reason):
            built(tmp_path, tmp_path / "mm", units="ase")
        (tmp_path / "mm" / name).write_bytes(before)
    z = np.fromfile(tmp_path / "mm" / "Z_pack.int32", dtype=np.int32)
    z[5] = 200
    z.tofile(tmp_path / "mm" / "Z_pack.int32")
    with pytest.raises(InputError, match="frame 2: 200 is no atomic number"):
        built(tmp_path, tmp_path / "mm", units="ase")


def test_files_that_are_missing_and_others_that_are_left_out(tmp_path):
    packed(tmp_path / "mm")
    (tmp_path / "mm" / "total_spin.f32").write_bytes(bytes(16))
    (tmp_path / "mm" / ".hidden").write_text("")
    report = zstruct.build(tmp_path / "mm", tmp_path / "a.zarr", units="ase", progress=False)
    assert report.remarks == {
        "left out: total_spin.f32, which packed memmap directories don't have": 4,
    }
    for name in ("Qtot.f64", "F_pack.f32", "E.f64", "n_atoms.npy"):
        (tmp_path / "mm" / name).unlink()
        assert built(tmp_path, tmp_path / "mm", units="ase").n_structures == 4, name
    (tmp_path / "mm" / "offsets.npy").unlink()
    with pytest.raises(InputError, match=r"mm: there is no offsets\.npy in this directory"):
        PackedMemmapSource(tmp_path / "mm").scan()


def test_flipped_bytes_of_tables(tmp_path):
    packed(tmp_path / "mm")
    whole = PackedMemmapSource(tmp_path / "mm")
    (expected,) = [raw for piece in whole.scan() for raw in whole.read(piece)]
    for name in ("offsets.npy", "n_atoms.npy"):
        path = tmp_path / "mm" / name
        data = path.read_bytes()
        for at in range(0, len(data), 1):
            path.write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
            source = PackedMemmapSource(tmp_path / "mm")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    found = [raw for piece in source.scan() for raw in source.read(piece)]
                except InputError as error:
                    assert str(error).startswith(f"{tmp_path}/mm")  # noqa: PT017
                    continue
            assert [raw.n_atoms.tolist() for raw in found] == [expected.n_atoms.tolist()], (name, at)
        path.write_bytes(data)


def test_files_may_be_links_but_nothing_else(tmp_path):
    arrays = packed(tmp_path / "mm")
    (tmp_path / "linked").mkdir()
    for file in (tmp_path / "mm").iterdir():
        (tmp_path / "linked" / file.name).symlink_to(file)
    (tmp_path / "all").symlink_to(tmp_path / "linked")
    assert np.array_equal(built(tmp_path, tmp_path / "all", units="ase").read("energy"), arrays["E.f64"])
    for name in ("offsets.npy", "n_atoms.npy", "Z_pack.int32", "E.f64"):
        for make in (os.mkfifo, os.mkdir, lambda path: os.symlink("/nowhere/at/all", path)):
            path = tmp_path / "linked" / name
            path.unlink()
            make(path)
            with pytest.raises(InputError, match=rf"linked: {name} is no file, or a link to none"):
                PackedMemmapSource(tmp_path / "linked").scan()
            path.rmdir() if path.is_dir() else path.unlink()
            path.symlink_to(tmp_path / "mm" / name)


@pytest.mark.parametrize("dtype", ["<i4", ">i8", "<u8", ">u2"])
def test_offsets_of_any_integers(tmp_path, dtype):
    arrays = packed(tmp_path / "mm")
    np.save(tmp_path / "mm" / "offsets.npy", np.cumsum([0, *COUNTS]).astype(dtype))
    store = built(tmp_path, tmp_path / "mm", units="ase")
    assert np.diff(store.read("offsets")).tolist() == COUNTS
    assert np.array_equal(store.read("energy"), arrays["E.f64"])


def test_directories_of_nothing(tmp_path):
    packed(tmp_path / "mm", counts=[])
    with pytest.raises(InputError, match="mm: there are no structures: the arrays are empty"):
        built(tmp_path, tmp_path / "mm", units="ase")
    packed(tmp_path / "atoms", counts=[2, 0, 1])
    with pytest.raises(InputError, match=r"atoms, frame 1: .*no atoms"):
        built(tmp_path, tmp_path / "atoms", units="ase")


def test_arrays_of_another_precision_or_of_another_kind(tmp_path):
    arrays = packed(tmp_path / "mm")
    folder = tmp_path / "mm"
    for name, values, reason in [
        ("R_pack.f32", arrays["R_pack.f32"].astype(float), "R_pack.f32 has 240 bytes, .* takes 120"),
        ("E.f64", arrays["E.f64"].astype(np.float32), "E.f64 has 16 bytes, .* takes 32"),
        ("Z_pack.int32", arrays["R_pack.f32"][:, 0], "no atomic number"),
        ("R_pack.f32", np.full(30, np.nan, np.float32), "a position is NaN"),
    ]:
        before = (folder / name).read_bytes()
        values.tofile(folder / name)
        with pytest.raises(InputError, match=rf"mm.*{reason}"):
            built(tmp_path, folder, units="ase")
        (folder / name).write_bytes(before)


def test_a_file_that_becomes_shorter_is_a_sentence(tmp_path):
    packed(tmp_path / "mm")
    source = PackedMemmapSource(tmp_path / "mm")
    pieces = source.scan()
    with source.arrays() as arrays:
        table = source.table(arrays)
        os.truncate(tmp_path / "mm" / "F_pack.f32", 8)
        with pytest.raises(InputError, match=r"mm: F_pack\.f32 became shorter while it was read"):
            table.block(arrays, 0, pieces[0].stop)


def test_a_changed_file_is_noticed(tmp_path):
    packed(tmp_path / "mm")
    source = PackedMemmapSource(tmp_path / "mm")
    before = source.fingerprint()
    assert before["size"] == sum(f.stat().st_size for f in (tmp_path / "mm").iterdir())
    (tmp_path / "mm" / "E.f64").write_bytes(np.zeros(4).tobytes())
    assert source.fingerprint() != before


@pytest.mark.parametrize("header", HEADERS)
def test_headers_of_strangers_are_a_sentence(tmp_path, header):
    folder = tmp_path / "packed"
    folder.mkdir()
    for name, data in {
        "offsets.npy": HEADERS[header],
        "Z_pack.int32": bytes(12),
        "R_pack.f32": bytes(36),
    }.items():
        (folder / name).write_bytes(data)
    with pytest.raises(zstruct.InputError, match=r"packed: offsets\.npy"):
        zstruct.build(folder, tmp_path / "s.zarr", progress=False)
