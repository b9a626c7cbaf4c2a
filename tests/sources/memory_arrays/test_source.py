"""Arrays in memory become the store that the same structures give as Atoms, or a sentence."""

import numpy as np
import pytest

import zstruct
from tests.conftest import tree_bytes
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.ragged import counts_to_offsets
from zstruct.sources import Source
from zstruct.sources.memory_arrays.source import ArraySource
from zstruct.store.store import Store
from zstruct.units import factor


def arrays_of(frames):
    """What `frames` hold, in arrays of one row for each atom or structure."""
    results = [atoms.calc.results for atoms in frames]
    return {
        "numbers": np.concatenate([atoms.numbers for atoms in frames]),
        "positions": np.concatenate([atoms.positions for atoms in frames]),
        "offsets": counts_to_offsets([len(atoms) for atoms in frames]),
        "cell": np.array([atoms.cell.array for atoms in frames]),
        "pbc": np.array([atoms.pbc for atoms in frames]),
        "energy": np.array([result["energy"] for result in results]),
        "forces": np.concatenate([result["forces"] for result in results]),
        "stress": np.array([result.get("stress", np.full(6, np.nan)) for result in results]),
    }


def waters(n, **more):
    """`n` molecules of water in positions that differ."""
    positions = np.arange(9.0).reshape(3, 3) + np.arange(n)[:, None, None]
    return {"positions": positions, "numbers": [8, 1, 1], **more}


def built(path, arrays, **options):
    """The store that is built from arrays."""
    source = arrays if isinstance(arrays, Source) else zstruct.sources.arrays(**arrays)
    zstruct.build(source, path / "s.zarr", progress=False, overwrite=True, **options)
    return Store(path / "s.zarr")


@pytest.mark.parametrize("workers", [1, 3])
def test_arrays_give_the_store_of_their_atoms(tmp_path, frames, small_chunks, monkeypatch, workers):
    zstruct.build(frames, tmp_path / "atoms.zarr", progress=False)
    monkeypatch.setattr("zstruct.sources.memory_arrays.source.SLICE_BYTES", 2000)
    monkeypatch.setattr("zstruct.sources.memory_arrays.source._BLOCK_BYTES", 500)
    source = zstruct.sources.arrays(**arrays_of(frames), label="atoms")
    pieces = source.scan()
    assert len(pieces) > 3
    assert [piece.stop for piece in pieces[:-1]] == [piece.start for piece in pieces[1:]]
    assert sum(len(list(source.read(piece))) for piece in pieces) > 2 * len(pieces)
    zstruct.build(source, tmp_path / "arrays.zarr", workers=workers, progress=False)
    assert tree_bytes(tmp_path / "arrays.zarr") == tree_bytes(tmp_path / "atoms.zarr")


def test_a_cluster_is_sent_no_arrays(tmp_path, frames, cluster, monkeypatch):
    monkeypatch.setattr(ArraySource, "__reduce__", lambda self: pytest.fail("it was sent"))
    store = built(tmp_path, arrays_of(frames), workers=cluster)
    np.testing.assert_array_equal(store.read("forces"), arrays_of(frames)["forces"])


def test_a_source_says_what_it_has(frames):
    source = zstruct.sources.arrays(**arrays_of(frames))
    assert isinstance(source, Source)
    assert (source.label, source.fingerprint()) == ("arrays", None)
    atoms = sum(map(len, frames))
    assert repr(source) == f"arrays(30 structures of {atoms} atoms: forces, energy, stress)"
    assert repr(zstruct.sources.arrays(**waters(1))) == "arrays(1 structure of 3 atoms: no labels)"


def _memory_map(values, path):
    file = path / f"{len(list(path.glob('*.npy')))}.npy"
    np.save(file, values)
    return np.load(file, mmap_mode="r")


def _tensor(values, path):
    return pytest.importorskip("torch").tensor(values, requires_grad=values.dtype == np.float64)


@pytest.mark.parametrize(
    "form",
    [
        lambda values, path: values.tolist(),
        lambda values, path: np.asfortranarray(values),
        lambda values, path: values.astype(values.dtype.newbyteorder(">")),
        lambda values, path: np.repeat(values, 2, axis=0)[::2],
        _memory_map,
        _tensor,
    ],
    ids=["lists", "columns first", "big-endian", "strides", "memory maps", "tensors"],
)
def test_whatever_becomes_an_array(tmp_path, frames, form):
    arrays = arrays_of(frames)
    store = built(tmp_path, {key: form(values, tmp_path) for key, values in arrays.items()})
    for key in ("numbers", "positions", "offsets", "cell", "pbc", "energy", "forces", "stress"):
        np.testing.assert_array_equal(store.read(key), arrays[key])


def test_single_precision_stays_what_it_is(tmp_path):
    positions = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    source = zstruct.sources.arrays(
        positions=positions, numbers=np.ones(20, int), n_atoms=[20], energy=np.float32([0.1])
    )
    store = built(tmp_path, source, encoding="float32")
    assert store.read("positions").tobytes() == positions.tobytes()
    assert store.read("energy") == np.float32(0.1)


@pytest.mark.parametrize("name", ["positions", "forces", "energy"])
def test_units_of_single_precision_are_converted_in_double(tmp_path, name):
    values = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    labels = {"positions": values, "forces": values, "energy": values[:, 0]}
    source = zstruct.sources.arrays(numbers=np.ones(40, int), n_atoms=np.ones(40, int), **labels)
    units = {"positions": "bohr", "forces": "kcal/mol/angstrom", "energy": "hartree"}
    sizes = {"positions": 0.529177210903, "forces": 0.0433641042418009, "energy": 27.211386245988}
    store = built(tmp_path, source, units=units, encoding="float32")
    expected = (labels[name].astype(np.float64) * factor(name, units[name])).astype(store.dtype(name))
    np.testing.assert_allclose(expected, labels[name] * sizes[name], rtol=1e-6)
    np.testing.assert_array_equal(store.read(name), expected)


def test_single_precision_is_filtered_as_double(tmp_path):
    forces = np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]], dtype=np.float32)
    seen = []

    def where(frame):
        seen.append(frame["forces"].dtype)
        return True

    limit = np.linalg.norm(forces[0].astype(np.float64))
    source = zstruct.sources.arrays(positions=np.zeros((2, 3)), numbers=[1, 1], n_atoms=[1, 1], forces=forces)
    filters = {"where": where, "max_force": np.nextafter(limit, 0)}
    with pytest.raises(InputError, match="no structure is left"):
        built(tmp_path, source, filters=filters, encoding="float32")
    filters["max_force"] = limit
    assert built(tmp_path, source, filters=filters, encoding="float32").n_structures == 2
    assert seen == [np.float64] * 2


def test_structures_of_one_size_need_no_offsets(tmp_path):
    forces, charges = np.arange(36.0).reshape(4, 3, 3), np.arange(12.0).reshape(4, 3)
    shared = {"cell": np.eye(3) * 9, "pbc": True, "energy": np.arange(4.0)}
    store = built(tmp_path, waters(4, forces=forces, charges=charges, dipole=charges, **shared))
    assert store.read("n_atoms").tolist() == [3] * 4
    assert store.read("numbers").tolist() == [8, 1, 1] * 4
    np.testing.assert_array_equal(store.read("positions"), waters(4)["positions"].reshape(-1, 3))
    np.testing.assert_array_equal(store.read("forces"), forces.reshape(-1, 3))
    np.testing.assert_array_equal(store.read("charges"), charges.reshape(-1))
    np.testing.assert_array_equal(store.read("dipole"), charges)
    np.testing.assert_array_equal(store.read("cell"), np.broadcast_to(np.eye(3) * 9, (4, 3, 3)))
    assert store.read("pbc").all()
    numbers = np.array([[8, 1, 1], [1, 8, 1]])
    assert built(tmp_path, waters(2) | {"numbers": numbers}).read("numbers").tolist() == [8, 1, 1, 1, 8, 1]


def test_other_names_and_units_are_those_of_files(tmp_path):
    arrays = {
        "pos": np.ones((3, 3)),
        "Z": [1, 1, 8],
        "n_atoms": [1, 2],
        "REF_energy": [1.0, 2.0],
        "f": np.ones((3, 3)),
        "hlgap": [5.0, 6.0],
        "spare": [1, 2],
    }
    store = built(
        tmp_path,
        arrays,
        keys={"forces": "f"},
        units={"energy": "hartree", "length": "bohr"},
        exclude=["spare"],
    )
    bohr, hartree = 0.529177210903, 27.211386245988
    np.testing.assert_allclose(store.read("positions"), np.full((3, 3), bohr), rtol=1e-8)
    np.testing.assert_allclose(store.read("energy"), [hartree, 2 * hartree], rtol=1e-8)
    np.testing.assert_allclose(store.read("forces"), np.full((3, 3), hartree / bohr), rtol=1e-8)
    assert store.read("hlgap").tolist() == [5.0, 6.0]
    assert "spare" not in store.fields


def test_filters_see_the_structures(tmp_path):
    store = built(
        tmp_path,
        waters(4, energy=np.arange(4.0), forces=np.arange(36.0).reshape(4, 3, 3)),
        filters={"max_force": 45.0, "where": lambda frame: frame["energy"] > 0},
    )
    assert store.read("frame").tolist() == [1, 2]


def test_missing_is_nan_or_masked(tmp_path):
    nan = np.nan
    forces = np.ones((3, 3, 3))
    forces[1] = nan
    count = np.ma.array([5, 6, 7], mask=[True, False, False])
    energy = np.ma.array([1.0, nan, 3.0], mask=[False, False, True])
    charges = np.ma.array(np.ones((3, 3)), mask=[[False] * 3, [False] * 3, [True] * 3])
    store = built(tmp_path, waters(3, forces=forces, energy=energy, count=count, charges=charges))
    assert [store.coverage(name) for name in ("energy", "forces", "count", "charges")] == [1, 2, 2, 2]
    np.testing.assert_array_equal(store.read("energy"), [1.0, nan, nan])
    assert store.present("count").tolist() == [False, True, True]
    assert store.read("count")[1:].tolist() == [6, 7]
    np.testing.assert_array_equal(store.read("charges"), [1.0] * 6 + [nan] * 3)


def test_texts(tmp_path):
    kind = np.array(["a", None, "b"], dtype=object)
    residue = np.array([["OW", "HW", "HW"]] * 3)
    store = built(tmp_path, waters(3, config_type=["x", "y", "x"], kind=kind, residue=residue))
    assert [store.categories("config_type")[k] for k in store.read("config_type")] == ["x", "y", "x"]
    assert [k < 0 or store.categories("kind")[k] for k in store.read("kind")] == ["a", True, "b"]
    assert [store.categories("residue")[k] for k in store.read("residue")] == ["OW", "HW", "HW"] * 3


def test_symbols_and_types(tmp_path):
    symbols = waters(2) | {"numbers": ["O", "H", "H"]}
    assert built(tmp_path, symbols).read("numbers").tolist() == [8, 1, 1] * 2
    for numbers in ([b"O", b"H", b"H"], [8, 1, 1], [8.0, 1.0, 1.0]):
        for dtype in (object, None):
            given = waters(2) | {"numbers": np.array(numbers, dtype=dtype)}
            assert built(tmp_path, given).read("numbers").tolist() == [8, 1, 1] * 2, (numbers, dtype)
    types = waters(2) | {"numbers": np.array(["OW", "HW", "HW"], dtype=object)}
    store = built(tmp_path, types, elements={"OW": "O", "HW": "H"})
    assert store.read("numbers").tolist() == [8, 1, 1] * 2
    with pytest.raises(
        InputError, match="arrays, frame 0: atom types are OW, HW, and the input does not say"
    ):
        built(tmp_path, types)


@pytest.mark.parametrize(
    ("more", "levels", "expected"),
    [
        ({"mine": np.zeros((8, 4))}, {}, "atom"),
        ({"mine": np.zeros((2, 7))}, {}, "structure"),
        ({"mine": np.zeros((2, 4))}, {}, "atom"),  # a value for each of four atoms
        ({"mine": np.zeros((2, 4))}, {"mine": "structure"}, "structure"),
        ({"charge": np.zeros(2)}, {}, "structure"),
        ({"charge": np.zeros(8)}, {}, "atom"),
    ],
)
def test_rows_tell_what_an_array_belongs_to(tmp_path, more, levels, expected):
    positions = np.arange(24.0).reshape(2, 4, 3)
    source = zstruct.sources.arrays(positions=positions, numbers=[1, 1, 1, 1], levels=levels, **more)
    store = built(tmp_path, source)
    (field,) = [f for f in store.fields.values() if f.name in ("mine", "charges", "total_charge")]
    assert field.level == expected


def test_single_atoms_have_labels_of_structures_unless_said_otherwise(tmp_path):
    atoms = {"positions": np.zeros((4, 1, 3)), "numbers": [1], "mine": np.zeros(4), "yours": np.zeros(4)}
    store = built(
        tmp_path, zstruct.sources.arrays(**atoms, levels={"yours": "atom"}, forces=np.zeros((4, 3)))
    )
    levels = {name: store.fields[name].level for name in ("mine", "yours", "forces")}
    assert levels == {"mine": "structure", "yours": "atom", "forces": "atom"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"positions": None}, "arrays: there are no positions; there are numbers, energy"),
        ({"numbers": None}, "arrays: there are no numbers; there are positions, energy"),
        (
            {"positions": np.zeros((2, 5))},
            "arrays: positions are numbers of shape (atoms, 3), not float64 of",
        ),
        (
            {"positions": np.zeros((6, 3), bool)},
            "arrays: positions are numbers of shape (atoms, 3), not bool of",
        ),
        (
            {"numbers": np.ones(5, int)},
            "arrays: numbers have the shape (5,), and there are positions of 6 atoms",
        ),
        (
            {"numbers": np.ones(6, complex)},
            "arrays: numbers holds complex128 values, which can't be stored",
        ),
        (
            {"numbers": np.ones(6, bool)},
            "arrays: numbers are atomic numbers or symbols, not bool of shape (6,)",
        ),
        (
            {"numbers": [1, 1, 1, np.nan, 1, 1]},
            "arrays, frame 1: the number of atom 1 is nan: neither an atomic number nor a symbol",
        ),
        ({"numbers": [1, 1, 1, 1, 1, 1.5]}, "arrays, frame 1: the number of atom 3 is 1.5: neither"),
        ({"numbers": [1, None, 1, 1, 1, 1]}, "arrays, frame 0: the number of atom 1 is None: neither"),
        ({"numbers": [1, 2**80, 1, 1, 1, 1]}, "arrays, frame 0: the number of atom 1 is 12089258196146"),
        (
            {"numbers": np.array([1, "H", 1, 1, 1, 1], object)},
            "arrays: numbers are atomic numbers or symbols: some are these, and some those",
        ),
        ({"positions": np.zeros((6, 3), object)}, "arrays: positions are numbers of shape (atoms, 3), not"),
        ({"offsets": [0, np.nan, 6]}, "arrays: offsets are whole numbers in one row, not float64 of shape"),
        ({"offsets": None}, "arrays: there are 6 positions one after the other; say which are whose with"),
        ({"n_atoms": [2, 4]}, "arrays: offsets and n_atoms say the same thing: give one of them"),
        ({"offsets": [0, 2, 5]}, "arrays: offsets end at 5, and there are positions of 6 atoms"),
        ({"offsets": [1, 6]}, "arrays: offsets begin at 1, not at 0"),
        ({"offsets": []}, "arrays: offsets are whole numbers in one row, not float64 of shape (0,)"),
        ({"offsets": [0, 4, 2, 6]}, "arrays, frame 1: offsets go back from 4 to 2"),
        (
            {"offsets": None, "n_atoms": [2, 5]},
            "arrays: n_atoms add up to 7, and there are positions of 6 atoms",
        ),
        ({"offsets": None, "n_atoms": [7, -1]}, "arrays, frame 1: n_atoms is -1"),
        (
            {"offsets": None, "n_atoms": 6},
            "arrays: n_atoms are whole numbers in one row, not int64 of shape ()",
        ),
        (
            {"positions": np.zeros((2, 3, 3))},
            "arrays: positions of shape (2, 3, 3) say which atoms are whose;",
        ),
        ({"cell": np.eye(3)}, "arrays: there is a cell and no pbc; say whether structures repeat along its"),
        (
            {"cell": np.zeros((3, 3, 3)), "pbc": True},
            "arrays: cell is numbers of shape (2, 3, 3) or (3, 3), not",
        ),
        ({"pbc": [0, 1, 2]}, "arrays: pbc is True or False of shape (2, 3) or (3,), not int64 of shape (3,)"),
        (
            {"energy": np.zeros(3)},
            "arrays: energy is per structure, and has the shape (3,); there are 2 structures",
        ),
        (
            {"energy": -1.0},
            "arrays: energy is per structure, and has the shape (); there are 2 structures with 6",
        ),
        ({"forces": np.zeros((2, 3))}, "arrays: forces is per atom, and has the shape (2, 3); there are"),
        (
            {"mine": np.zeros(5)},
            "arrays: mine has the shape (5,), and there are 2 structures with 6 atoms: give",
        ),
        (
            {"mine": np.zeros(2, complex)},
            "arrays: mine holds complex128 values, which can't be stored; leave it",
        ),
        (
            {"mine": np.array([0, 2**63], np.uint64)},
            "arrays: mine has 9223372036854775808, which is too large",
        ),
        (
            {"pos": np.zeros((6, 3)), "positions": None, "POS": np.zeros((6, 3))},
            "arrays: 'pos' and 'POS' could",
        ),
        (
            {"levels": {"mine": "atom"}},
            "arrays: levels={'mine': 'atom'}: these are names of arrays, with 'atom'",
        ),
        (
            {"tags": np.ma.array(np.ones(6, int), mask=[1, 0, 0, 0, 0, 0])},
            "arrays: some values of tags are masked",
        ),
    ],
)
def test_what_does_not_fit_is_a_sentence(change, sentence):
    right = {
        "positions": np.zeros((6, 3)),
        "numbers": np.ones(6, int),
        "offsets": [0, 2, 6],
        "energy": [0.0, 1],
    }
    assert repr(zstruct.sources.arrays(**right)) == "arrays(2 structures of 6 atoms: energy)"
    with pytest.raises(InputError) as caught:
        zstruct.sources.arrays(**right | change)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("arrays", [{"positions": [[1, 2, 3], [4]]}, {"label": 3}, {"levels": [1]}], ids=str)
def test_what_is_no_array_is_a_sentence(arrays):
    with pytest.raises(ArgumentTypeError):
        zstruct.sources.arrays(**arrays)


def test_bad_structures_are_named_or_left_out(tmp_path):
    arrays = {
        "positions": np.zeros((8, 3)),
        "numbers": np.array([1, 1, 300, 400, 1, 1, 1, -1]),
        "n_atoms": [1, 1, 2, 0, 2, 1, 1],
    }
    arrays["positions"][4, 1] = np.nan
    with pytest.raises(InputError, match=r"^arrays, frame 2: 300 is no atomic number$"):
        built(tmp_path, arrays)
    zstruct.build(zstruct.sources.arrays(**arrays), tmp_path / "s.zarr", on_error="skip", progress=False)
    store = Store(tmp_path / "s.zarr")
    assert store.read("frame").tolist() == [0, 1, 5]
    assert [row[1:] for row in store.attrs["build"]["skipped"]] == [
        [2, "300 is no atomic number"],
        [3, "the structure has no atoms"],
        [4, "a position is NaN or infinite"],
        [6, "-1 is no atomic number"],
    ]


def test_labels_of_wrong_shapes_are_bad(tmp_path):
    with pytest.raises(
        InputError, match=r"arrays, frame 0: forces should be float values of shape \(3,\) per at"
    ):
        built(tmp_path, waters(2, forces=np.zeros((2, 3, 2))))


def test_no_structures(tmp_path):
    empty = {"positions": np.zeros((0, 3)), "numbers": np.zeros(0, int), "offsets": [0]}
    with pytest.raises(InputError, match="arrays: the arrays are empty"):
        built(tmp_path, empty)


def test_two_sources_of_arrays_are_one_store(tmp_path):
    sources = [
        zstruct.sources.arrays(**waters(2), label="first"),
        zstruct.sources.arrays(**waters(3), label="second"),
    ]
    zstruct.build(sources, tmp_path / "s.zarr", progress=False)
    store = Store(tmp_path / "s.zarr")
    assert store.categories("source") == ["first", "second"]
    assert store.read("frame").tolist() == [0, 1, 0, 1, 2]
