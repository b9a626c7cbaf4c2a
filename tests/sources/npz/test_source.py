"""NPZ files of every kind that people have, and what is wrong with some."""

import io
import warnings
import zipfile

import numpy as np
import pytest
from ase.units import kcal, mol
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import zstruct
from tests.sources.headers import HEADERS
from zstruct.errors import InputError
from zstruct.sources import NPZSource, expand

KCAL = kcal / mol
RNG = np.random.default_rng(0)


def built(tmp_path, path, **options):
    zstruct.build(path, tmp_path / "out.zarr", progress=False, overwrite=True, **options)
    return zstruct.Store(tmp_path / "out.zarr")


def saved(tmp_path, compressed=False, **arrays):
    path = tmp_path / "a.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


def padded(n=5, most=4, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, most + 1, n)
    there = np.arange(most) < counts[:, None]
    return {
        "Z": np.where(there, rng.integers(1, 9, (n, most)), 0),
        "R": np.where(there[..., None], rng.normal(size=(n, most, 3)), 0),
        "F": np.where(there[..., None], rng.normal(size=(n, most, 3)), 0),
        "E": rng.normal(size=n),
        "N": counts,
    }


def atoms_of(arrays, name):
    there = np.arange(arrays["Z"].shape[1]) < arrays["N"][:, None]
    return arrays[name][there]


ETHANOL = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])


def md17(n=4):
    return {
        "z": ETHANOL.astype(np.uint8),
        "R": RNG.normal(size=(n, 9, 3)),
        "E": RNG.normal(-97208, 4, (n, 1)),
        "F": RNG.normal(size=(n, 9, 3)),
        "name": np.array(b"ethanol"),
        "theory": np.array(b"unknown"),
        "md5": np.array(b"0123456789abcdef"),
        "type": np.array(b"d"),
    }


@pytest.mark.parametrize("compressed", [False, True])
def test_md17_is_in_kcal(tmp_path, compressed):
    arrays = md17()
    store = built(tmp_path, saved(tmp_path, compressed, **arrays))
    assert store.read("numbers").tolist() == ETHANOL.tolist() * 4
    assert np.array_equal(store.read("positions"), arrays["R"].reshape(-1, 3))
    np.testing.assert_allclose(store.read("energy"), arrays["E"].reshape(-1) * KCAL, rtol=1e-14)
    np.testing.assert_allclose(store.read("forces"), arrays["F"].reshape(-1, 3) * KCAL, rtol=1e-14)
    assert not store.read("pbc").any()


def test_revised_md17_is_in_kcal(tmp_path):
    n = 3
    arrays = {
        "nuclear_charges": ETHANOL.astype(np.uint8),
        "coords": RNG.normal(size=(n, 9, 3)),
        "energies": RNG.normal(size=n),
        "forces": RNG.normal(size=(n, 9, 3)),
        "old_indices": np.arange(n)[::-1].copy(),
        "old_energies": RNG.normal(size=n),
        "old_forces": RNG.normal(size=(n, 9, 3)),
    }
    store = built(tmp_path, saved(tmp_path, **arrays))
    np.testing.assert_allclose(store.read("energy"), arrays["energies"] * KCAL, rtol=1e-14)
    np.testing.assert_allclose(store.read("forces"), arrays["forces"].reshape(-1, 3) * KCAL, rtol=1e-14)
    assert store.read("old_indices").tolist() == [2, 1, 0]
    assert np.array_equal(store.read("old_energies"), arrays["old_energies"])
    assert store.fields["old_energies"].unit == "kcal/mol"


@pytest.mark.parametrize(
    "change",
    [
        {"E": md17()["E"] * KCAL},  # the same in eV
        {"E": md17()["E"] / 627.5},  # in hartree
        {"E": md17()["E"] + 97208},  # of binding
        {"md5": None},
        {"z": np.array([79] * 9)},
    ],
)
def test_what_only_looks_like_md17_needs_a_unit(tmp_path, change):
    arrays = {key: value for key, value in (md17() | change).items() if value is not None}
    path = saved(tmp_path, **arrays)
    with pytest.raises(InputError, match=r"does not say the unit of (energy|forces).*units=\{'"):
        built(tmp_path, path)
    store = built(tmp_path, path, units={"energy": "meV", "length": "angstrom"})
    np.testing.assert_allclose(store.read("energy"), arrays["E"].reshape(-1) / 1000, rtol=1e-14)


def test_sgdml_says_its_units(tmp_path):
    arrays = md17() | {"e_unit": np.array("eV"), "r_unit": np.array("bohr")}
    store = built(tmp_path, saved(tmp_path, **arrays))
    assert np.array_equal(store.read("energy"), arrays["E"].reshape(-1))
    np.testing.assert_allclose(store.read("positions"), arrays["R"].reshape(-1, 3) * 0.529177210, rtol=1e-8)
    np.testing.assert_allclose(store.read("forces"), arrays["F"].reshape(-1, 3) / 0.529177210, rtol=1e-8)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("column", [False, True])
def test_padded_arrays(tmp_path, compressed, column):
    arrays = padded(50)
    given_arrays = arrays | {"Q": RNG.integers(-1, 2, 50), "D": RNG.normal(size=(50, 3))}
    if column:
        given_arrays = given_arrays | {key: given_arrays[key][:, None] for key in ("E", "N", "Q")}
    store = built(tmp_path, saved(tmp_path, compressed, **given_arrays), units="ase")
    assert np.array_equal(np.diff(store.read("offsets")), arrays["N"])
    assert np.array_equal(store.read("numbers"), atoms_of(arrays, "Z"))
    assert np.array_equal(store.read("positions"), atoms_of(arrays, "R"))
    assert np.array_equal(store.read("forces"), atoms_of(arrays, "F"))
    assert np.array_equal(store.read("energy"), arrays["E"])
    assert np.array_equal(store.read("total_charge"), given_arrays["Q"].reshape(-1))
    assert np.array_equal(store.read("dipole"), given_arrays["D"])
    assert store.read("frame").tolist() == list(range(50))


def test_without_counts_atoms_are_where_a_number_is(tmp_path):
    arrays = padded(20)
    store = built(tmp_path, saved(tmp_path, **{k: v for k, v in arrays.items() if k != "N"}), units="ase")
    assert np.array_equal(np.diff(store.read("offsets")), arrays["N"])
    assert np.array_equal(store.read("forces"), atoms_of(arrays, "F"))


def test_counts_must_agree_with_numbers(tmp_path):
    arrays = padded(5)
    arrays["N"][3] += 1 if arrays["N"][3] < 4 else -1
    path = saved(tmp_path, **arrays)
    with pytest.raises(InputError, match=r"a.npz, frame 3: it is said to have \d atoms, and has \d atomic"):
        built(tmp_path, path, units="ase")
    report = zstruct.build(path, tmp_path / "b.zarr", units="ase", on_error="skip", progress=False)
    assert report.n_structures == 4


@pytest.mark.parametrize("how", ["offsets", "n_atoms", "both"])
def test_packed_arrays(tmp_path, how):
    counts = np.array([1, 3, 2])
    arrays = {
        "positions": RNG.normal(size=(6, 3)),
        "numbers": np.array([1, 8, 1, 1, 6, 8]),
        "energy": np.array([1.0, 2.0, 3.0]),
        "forces": RNG.normal(size=(6, 3)).astype(np.float32),
        "cell": np.eye(3)[None].repeat(3, 0),
        "pbc": np.array([[True] * 3, [False] * 3, [True, False, True]]),
        "smiles": np.array(["[H]", "O", "C=O"]),
        "charges": RNG.normal(size=6),
        "spin": np.arange(3),
    }
    if how != "n_atoms":
        arrays["offsets"] = np.array([0, 1, 4, 6])
    if how != "offsets":
        arrays["n_atoms"] = counts
    store = built(tmp_path, saved(tmp_path, **arrays), units="ase")
    assert np.diff(store.read("offsets")).tolist() == counts.tolist()
    for name in ("positions", "numbers", "energy", "forces", "cell", "pbc", "charges", "spin"):
        assert np.array_equal(store.read(name), arrays[name]), name
    smiles = np.array(store.categories("smiles"))[store.read("smiles")]
    assert smiles.tolist() == ["[H]", "O", "C=O"]


def test_any_archive_by_names(tmp_path):
    arrays = padded(6)
    path = saved(
        tmp_path, xyz=arrays["R"], el=arrays["Z"], U0=arrays["E"], grad=-arrays["F"], count=arrays["N"]
    )
    with pytest.raises(InputError, match=r"no array is known as the positions; say .*keys=.* U0, count, el"):
        built(tmp_path, path)
    keys = {"positions": "xyz", "numbers": "el", "n_atoms": "count", "energy": "U0"}
    store = built(tmp_path, path, keys=keys, units={"energy": "kcal/mol"})
    np.testing.assert_allclose(store.read("energy"), arrays["E"] * KCAL, rtol=1e-14)
    assert np.array_equal(store.read("positions"), atoms_of(arrays, "R"))
    with pytest.raises(InputError, match=r"keys=\{'positions': 'R'\}: there is no such array; there are U0"):
        built(tmp_path, path, keys=keys | {"positions": "R"})


def test_a_gradient_is_minus_the_forces(tmp_path):
    arrays = padded(4)
    path = saved(
        tmp_path, coordinates=arrays["R"], species=arrays["Z"], energies=arrays["E"], gradient=arrays["F"]
    )
    store = built(tmp_path, path, units="ase")
    assert np.array_equal(store.read("forces"), -atoms_of(arrays, "F"))
    assert np.array_equal(store.read("energy"), arrays["E"])


def test_names_that_could_be_the_same_are_asked_for(tmp_path):
    arrays = padded(4)
    path = saved(tmp_path, **arrays, positions=arrays["R"])
    with pytest.raises(
        InputError, match=r"'positions' and 'R' could both be the positions; say which, keys="
    ):
        built(tmp_path, path)


def test_objects_are_not_unpickled(tmp_path):
    arrays = padded(4)
    bomb = np.array([{"a": 1}] * 4, dtype=object)
    path = saved(tmp_path, **arrays, notes=bomb)
    with pytest.raises(InputError, match=r"notes: its values are pickled .* exclude=\['notes'\]"):
        built(tmp_path, path, units="ase")
    assert "notes" not in built(tmp_path, path, units="ase", exclude=["notes"]).fields
    with pytest.raises(InputError, match="positions: its values are pickled Python objects"):
        built(tmp_path, saved(tmp_path, **(arrays | {"R": bomb})), units="ase")


def test_a_label_of_atoms_has_a_row_for_each(tmp_path):
    path = saved(tmp_path, **padded(5), charges=np.zeros(5))
    with pytest.raises(
        InputError, match=r"charges: it should have a row for each atom, .*exclude=\['charges'\]"
    ):
        built(tmp_path, path, units="ase")
    assert "charges" not in built(tmp_path, path, units="ase", exclude=["charges"]).fields


def test_a_cell_needs_pbc(tmp_path):
    arrays = padded(4) | {"cell": np.eye(3)}
    path = saved(tmp_path, **arrays)
    with pytest.raises(InputError, match=r"nothing says whether the structure repeats .*exclude=\['cell'\]"):
        built(tmp_path, path, units="ase")
    assert not built(tmp_path, path, units="ase", exclude=["cell"]).read("cell").any()
    store = built(tmp_path, saved(tmp_path, **arrays, pbc=np.array(True)), units="ase")
    assert store.read("pbc").all()
    assert np.array_equal(store.read("cell"), np.eye(3)[None].repeat(4, 0))
    wrong = saved(tmp_path, **arrays, pbc=np.full((4, 3), 2))
    with pytest.raises(InputError, match="frame 0: pbc is neither True nor False"):
        built(tmp_path, wrong, units="ase")


def test_what_has_no_rows_is_named(tmp_path):
    path = saved(tmp_path, **padded(4), theory=np.array("PBE"), grid=np.zeros((7, 2)))
    report = zstruct.build(path, tmp_path / "a.zarr", units="ase", progress=False)
    assert "left out: grid, theory, with a row neither for each atom nor for each structure" in str(report)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"N": np.array([1, 2, 3])}, r"left out|frame"),
        ({"N": np.array([1, 2, 3, 9])}, "frame 3: n_atoms is 9, and there are places for 4 atoms"),
        ({"N": np.array([1, 2, 3, -1])}, "frame 3: n_atoms is -1"),
        ({"N": np.array([1, 2, 3, 1.5])}, "n_atoms should be whole numbers, and some are not"),
        ({"R": np.zeros((4, 4))}, r"positions should be numbers of shape \(atoms, 3\)"),
        ({"R": np.zeros((0, 4, 3)), "Z": np.zeros((0, 4), int), "N": np.zeros(0, int)}, "no structures"),
        (
            {"Z": np.zeros((4, 3), int)},
            r"4 structures with 4 places for atoms, and the numbers have the shape",
        ),
        ({"Z": np.full((4, 4), 300)}, "frame 0: .*300 is no atomic number|it is said to have"),
        ({"R": np.zeros((16, 3))}, "there are positions of 16 atoms"),
    ],
)
def test_what_does_not_fit_is_a_sentence(tmp_path, change, reason):
    path = saved(tmp_path, **(padded(4) | change))
    if "left out" in reason:  # an array of another length is no count
        zstruct.build(path, tmp_path / "b.zarr", units="ase", progress=False)
        return
    with pytest.raises(InputError, match=reason):
        built(tmp_path, path, units="ase")


def test_packed_arrays_that_do_not_fit(tmp_path):
    arrays = {"positions": np.zeros((5, 3)), "numbers": np.ones(5, int)}
    for extra, reason in [
        ({}, r"5 atoms one after the other, and nothing says which are whose; say .*'offsets'"),
        ({"offsets": np.array([0, 2])}, "offsets end at 2, and there are positions of 5 atoms"),
        ({"offsets": np.array([0, 3, 2, 5])}, "frame 1: offsets go back from 3 to 2"),
        ({"offsets": np.array([1, 5])}, "offsets begin at 1, not at 0"),
        ({"n_atoms": np.array([2, 2])}, "n_atoms add up to 4, and there are positions of 5 atoms"),
        ({"n_atoms": np.array([2, 3]), "offsets": np.array([0, 1, 5])}, "offsets and n_atoms do not agree"),
    ]:
        with pytest.raises(InputError, match=reason):
            built(tmp_path, saved(tmp_path, **arrays, **extra), units="ase")


def test_slices_are_read_on_their_own(tmp_path, monkeypatch):
    arrays = padded(300, 7)
    path = saved(tmp_path, **arrays)
    monkeypatch.setattr("zstruct.sources.array_files.source.SLICE_BYTES", 4000)
    monkeypatch.setattr("zstruct.sources.array_files.source.BLOCK_BYTES", 1000)
    source = NPZSource(path)
    pieces = source.scan()
    assert len(pieces) > 5
    blocks = [block for piece in pieces[::-1] for block in source.read(piece)]
    blocks.sort(key=lambda block: block.frames[0])
    assert np.concatenate([block.frames for block in blocks]).tolist() == list(range(300))
    joined = np.concatenate([block.atom["forces"][0].values for block in blocks])
    assert np.array_equal(joined, atoms_of(arrays, "F"))
    assert np.array_equal(built(tmp_path, path, units="ase").read("forces"), joined)


def test_compressed_archives_are_read_in_order(tmp_path, monkeypatch):
    arrays = padded(300, 7)
    monkeypatch.setattr("zstruct.sources.array_files.source.BLOCK_BYTES", 1000)
    source = NPZSource(saved(tmp_path, True, **arrays))
    (piece,) = source.scan()
    blocks = list(source.read(piece))
    assert len(blocks) > 20
    assert np.array_equal(np.concatenate([b.atom["forces"][0].values for b in blocks]), atoms_of(arrays, "F"))
    assert np.array_equal(np.concatenate([b.structure["energy"][0].values for b in blocks]), arrays["E"])


def test_fortran_order_and_byte_order_do_not_matter(tmp_path):
    arrays = padded(9)
    path = saved(tmp_path, **(arrays | {"R": np.asfortranarray(arrays["R"]), "F": arrays["F"].astype(">f8")}))
    store = built(tmp_path, path, units="ase")
    assert np.array_equal(store.read("positions"), atoms_of(arrays, "R"))
    assert np.array_equal(store.read("forces"), atoms_of(arrays, "F"))


def test_symbols_in_place_of_numbers(tmp_path):
    z = np.array([["O", "H", "H"], ["C", "O", ""]])
    path = saved(tmp_path, symbols=z, coords=np.arange(18.0).reshape(2, 3, 3))
    assert built(tmp_path, path).read("numbers").tolist() == [8, 1, 1, 6, 8]


def test_archives_are_known_by_name(tmp_path):
    path = saved(tmp_path, **padded(4))
    (source,), _ = expand(str(path))
    assert isinstance(source, NPZSource)
    assert repr(source) == f"NPZSource({str(path)!r})"


def damaged(tmp_path, data):
    """A build of damaged bytes is whole and right, or one clear sentence."""
    path = tmp_path / "damaged.npz"
    path.write_bytes(data)
    try:
        store = built(tmp_path, path, units="ase")
    except InputError as error:
        assert "damaged.npz" in str(error)  # noqa: PT017
        return None
    return store


def bytes_of(compressed):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (np.savez_compressed if compressed else np.savez)(file, **padded(12))
    return file.getvalue()


PLAIN, COMPRESSED = bytes_of(False), bytes_of(True)
FAST = settings(
    max_examples=60,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@FAST
@given(cut=st.floats(0, 1, exclude_max=True), compressed=st.booleans())
def test_cut_archives_are_a_sentence(tmp_path, cut, compressed):
    data = COMPRESSED if compressed else PLAIN
    assert damaged(tmp_path, data[: int(cut * len(data))]) is None


@FAST
@given(data=st.data(), compressed=st.booleans())
def test_changed_bytes_never_make_wrong_numbers(tmp_path, data, compressed):
    whole = bytearray(COMPRESSED if compressed else PLAIN)
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    store = damaged(tmp_path, bytes(whole))
    if store is not None and "forces" in store.fields:
        arrays = padded(12)
        assert np.array_equal(store.read("positions"), atoms_of(arrays, "R"))
        assert np.array_equal(store.read("forces"), atoms_of(arrays, "F"))
        assert np.array_equal(store.read("numbers"), atoms_of(arrays, "Z"))


def test_a_zip_file_of_something_else(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(InputError, match=r"a.npz: there are no arrays in this archive"):
        built(tmp_path, path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"a.npz: the archive is damaged or cut off: .*not a zip file"):
        built(tmp_path, path)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("name", ["R", "z"])
def test_headers_of_strangers_are_a_sentence(tmp_path, name, header):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for key, values in {"R": np.zeros((2, 3, 3)), "z": np.ones(3, int), "E": np.zeros(2)}.items():
            with archive.open(f"{key}.npy", "w") as file:
                file.write(HEADERS[header]) if key == name else np.save(file, values)
    with pytest.raises(InputError, match=r"a\.npz: "):
        zstruct.build(path, tmp_path / "s.zarr", units={"energy": "eV"}, progress=False)
