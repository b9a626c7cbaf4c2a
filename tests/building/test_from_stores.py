"""Stores as inputs of builds: what comes out is what their own inputs would have given."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

import zstruct
from tests.building.test_round_trip import assert_same_store
from tests.conftest import extxyz_text, random_atoms, shrink_chunks, tree_bytes
from zstruct import InputError
from zstruct.building import shards as shards_module
from zstruct.sources import Raw, RawColumn, Slice
from zstruct.store.files import shard_path
from zstruct.store.store import Store

OLD = Path(__file__).parents[1] / "data" / "store-0.1.zip"


def rich_frames(seed, n=24):
    """Structures that have all kinds of fields, some of them not all of these."""
    rng = np.random.default_rng(seed)
    frames = [random_atoms(rng, labels=bool(k % 4)) for k in range(n)]
    for k, atoms in enumerate(frames):
        atoms.info |= {"config_type": f"group {(k + seed) % 3}", "a/b": k / 4, "a.b": f"text {k % 5}"}
        if k % 3 == seed % 3:
            atoms.info |= {"charge": k - 4, "count": k, "ok": bool(k % 2), "large": 2**53 + 1 + k}
            atoms.arrays["site"] = np.arange(len(atoms))
            atoms.set_initial_magnetic_moments(rng.normal(size=(len(atoms), 3)))
        if seed == 2:
            atoms.info["only here"] = rng.normal(size=4)
    return frames


def build(inputs, out, **options):
    zstruct.build(inputs, out, progress=False, **options)
    return out


def shards(path):
    """Return the files of shards of the content, by their paths."""
    files, others = tree_bytes(path).items(), ("shards/", "history/")
    return {name: content for name, content in files if "/c/" in name and not name.startswith(others)}


def assert_same_values(a, b):
    """As `assert_same_store`, but for the order of texts."""
    a, b = Store(a), Store(b)
    assert a.columns == b.columns
    for name, field in a.columns.items():
        if field.kind != "category":
            assert a.read(name).tobytes() == b.read(name).tobytes(), name
            continue
        texts = [np.array([*store.categories(name), None])[store.read(name)] for store in (a, b)]
        assert texts[0].tolist() == texts[1].tolist()


@pytest.fixture(scope="module")
def two_once(tmp_path_factory):
    """Structures of two inputs, and a store of each."""
    frames, folder = [rich_frames(1), rich_frames(2)], tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patch:
        shrink_chunks(patch)
        return frames, [build(some, folder / f"{k}.zarr") for k, some in enumerate(frames)]


@pytest.fixture
def two(two_once, small_chunks):
    """The same, to be read only."""
    return two_once


@pytest.fixture
def own(two, tmp_path):
    """Structures of two inputs, and a store of each to be changed."""
    return two[0], [shutil.copytree(path, tmp_path / path.name) for path in two[1]]


def test_of_one_store_comes_the_same(tmp_path, two):
    for store in two[1]:
        again = build(store, tmp_path / "again.zarr", overwrite=True)
        assert_same_store(store, again)
        assert shards(store) == shards(again)
        zstruct.verify(again)
        assert Store(again).attrs["species"] == Store(store).attrs["species"]
        for name in Store(store).fields:
            assert Store(again).array_attrs(name) == Store(store).array_attrs(name)


def test_of_two_stores_comes_what_their_inputs_give_together(tmp_path, two):
    frames, stores = two
    both = build([*frames[0], *frames[1]], tmp_path / "both.zarr")
    merged = build(stores, tmp_path / "merged.zarr")
    zstruct.verify(merged)
    a, b = Store(both), Store(merged)
    assert a.columns == b.columns
    n = len(frames[0])
    assert b.read("frame").tolist() == [*range(n), *range(len(frames[1]))]  # each counts its own
    for name in a.columns:
        assert a.array_attrs(name) | {"digest": "", "actual_range": ""} == b.array_attrs(name) | {
            "digest": "",
            "actual_range": "",
        }
        if name != "frame":
            assert a.read(name).tobytes() == b.read(name).tobytes(), name
            assert a.array_attrs(name).get("actual_range") == b.array_attrs(name).get("actual_range")
    for name in ("config_type", "source", "formula"):
        assert a.categories(name) == b.categories(name)
    assert {"a_b", "a_b_2", "has_count", "has_ok"} <= set(b.columns)


def test_stores_files_and_atoms_mix(tmp_path, two):
    frames, stores = two
    file = tmp_path / "some.xyz"
    plain = [random_atoms(np.random.default_rng(9)) for _ in range(7)]
    file.write_text(extxyz_text(plain))
    mixed = build([stores[0], file, stores[1], frames[0][3]], tmp_path / "mixed.zarr")
    apart = build([*frames[0], *plain, *frames[1], frames[0][3]], tmp_path / "apart.zarr")
    zstruct.verify(mixed)
    a, b = Store(mixed), Store(apart)
    assert a.columns == b.columns
    for name in set(a.columns) - {"source", "frame"}:
        assert a.read(name).tobytes() == b.read(name).tobytes(), name
    texts = a.categories("source")
    assert [texts[c] for c in a.read("source")[[0, 24, 31, 55]]] == ["atoms", str(file), "atoms", "atoms"]


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
def test_any_positions_in_any_order(tmp_path, two, seed, ascending):
    positions = np.random.default_rng(seed).integers(0, 24, 30).tolist()
    positions = sorted(positions) if ascending else positions
    cut = build(two[1][0], tmp_path / "cut.zarr", select=positions)
    taken = zstruct.open(two[1][0]).zs.to_ase()
    expected = build([taken[k] for k in positions], tmp_path / "t.zarr")
    assert_same_values(expected, cut)
    assert not ascending or Store(cut).digest == Store(expected).digest
    zstruct.verify(cut)


@pytest.mark.parametrize(
    ("select", "chosen"),
    [
        ("Ti and n_atoms > 3", lambda atoms: 22 in atoms.numbers and len(atoms) > 3),
        (np.arange(24) % 2 == 1, None),
        pytest.param(slice(4, 20), None, marks=pytest.mark.long),
        pytest.param("n_atoms > 0", lambda atoms: True, marks=pytest.mark.long),
    ],
)
def test_a_selection(tmp_path, two, select, chosen):
    cut = build(two[1][0], tmp_path / "cut.zarr", select=select)
    taken = zstruct.open(two[1][0]).zs.to_ase()
    if chosen is None:
        expected = list(np.array([*taken, None], dtype=object)[:-1][select])
    else:
        expected = [atoms for atoms in taken if chosen(atoms)]
    assert_same_store(build(expected, tmp_path / "expected.zarr"), cut)


def test_an_expression_selects_from_each_of_several_stores(tmp_path, two):
    cut = build(two[1], tmp_path / "cut.zarr", select="Ti")
    first, second = (build(s, tmp_path / f"cut{k}.zarr", select="Ti") for k, s in enumerate(two[1]))
    assert Store(cut).n_structures == Store(first).n_structures + Store(second).n_structures
    assert_same_store(build([first, second], tmp_path / "joined.zarr"), cut)


def test_a_part_of_a_split(tmp_path, own):
    zstruct.split(own[1][0], [0.5, 0.5], name="default", labels=["train", "test"])
    chosen = zstruct.Selection().select(split="test")
    cut = build(own[1][0], tmp_path / "cut.zarr", select=chosen)
    rows = zstruct.open_split(own[1][0])["test"]
    assert_same_store(build(own[1][0], tmp_path / "rows.zarr", select=rows), cut)


def test_views_are_inputs(tmp_path, two):
    view = zstruct.StructureReader(two[1][0]).select("C")
    cut = build(view, tmp_path / "view.zarr")
    assert_same_store(build(Store(two[1][0]), tmp_path / "cut.zarr", select="C"), cut)


@pytest.mark.parametrize(
    "frames", ["-1", "::-1", *(pytest.param(key, marks=pytest.mark.long) for key in ("3", "2:9", "::2"))]
)
def test_structures_behind_an_at(tmp_path, two, frames):
    cut = build(f"{two[1][0]}@{frames}", tmp_path / "cut.zarr")
    key = slice(*(int(part) if part else None for part in frames.split(":")))
    if ":" not in frames:
        key = slice(int(frames), int(frames) + 1 or None)
    assert_same_store(build(two[1][0], tmp_path / "rows.zarr", select=np.arange(24)[key]), cut)


def counts(frame):
    return "count" in frame


@pytest.mark.parametrize(
    "filters", [{"max_force": 1.2}, counts, pytest.param({"max_energy": -5.0}, marks=pytest.mark.long)]
)
def test_filters(tmp_path, two, filters):
    cut = build(two[1], tmp_path / "cut.zarr", filters=filters)
    taken = [atoms for store in two[1] for atoms in zstruct.open(store).zs.to_ase()]
    expected = build(taken, tmp_path / "expected.zarr", filters=filters)
    a, b = Store(cut), Store(expected)
    assert 0 < a.n_structures < 48
    assert a.attrs["build"]["dropped"] == b.attrs["build"]["dropped"]
    assert_same_values(expected, cut)


def test_a_shuffle(tmp_path, two):
    frames, stores = two
    mixed = build([*stores, frames[0][0]], tmp_path / "mixed.zarr", encoding={"shuffle_seed": 3})
    taken = [atoms for store in stores for atoms in zstruct.open(store).zs.to_ase()]
    apart = build([*taken, frames[0][0]], tmp_path / "apart.zarr", encoding={"shuffle_seed": 3})
    assert Store(mixed).read("positions").tobytes() == Store(apart).read("positions").tobytes()
    assert Store(mixed).read("large").tobytes() == Store(apart).read("large").tobytes()
    zstruct.verify(mixed)


def test_single_precision(tmp_path, two):
    narrow = build(two[1][0], tmp_path / "narrow.zarr", encoding="float32")
    positions = Store(narrow).read("positions")
    assert positions.dtype == np.float32
    assert np.array_equal(positions, Store(two[1][0]).read("positions").astype(np.float32))
    wide = build([narrow, two[1][1]], tmp_path / "wide.zarr")
    assert Store(wide).dtype("positions") == np.float64
    large = build([Atoms("H", info={"x": 1.0}, positions=[[1e300, 0, 0]])], tmp_path / "large.zarr")
    with pytest.raises(InputError, match=r"large\.zarr: positions has a number that single precision makes"):
        build(large, tmp_path / "none.zarr", encoding="float32")


@pytest.fixture
def everything_is_worth_it(monkeypatch):
    from zstruct.store import savings

    monkeypatch.setattr(savings, "_WORTH_BYTES", -(2**60))


def decimal_of(path, name="positions"):
    return Store(path).profile(name).codec.decimal


def test_decimals_stay_decimals(tmp_path, two, everything_is_worth_it):
    frames, stores = two
    first = build(frames[0], tmp_path / "decimal.zarr", encoding="decimal")
    assert decimal_of(first).digits == 8
    again = build(first, tmp_path / "again.zarr")
    assert shards(again) == shards(first)
    merged = build([first, stores[1]], tmp_path / "merged.zarr")
    assert decimal_of(merged) == decimal_of(first)
    shuffled = build(first, tmp_path / "shuffled.zarr", select=np.arange(24)[::-1])
    assert decimal_of(shuffled) == decimal_of(first)
    odd = build([Atoms("H", positions=[[1 / 3, 0, 0]])], tmp_path / "odd.zarr")
    mixed = build([first, odd], tmp_path / "mixed.zarr")
    assert decimal_of(mixed) is None
    assert Store(mixed).read("positions")[-1, 0] == 1 / 3
    asked = build(stores, tmp_path / "asked.zarr", encoding="decimal")
    assert decimal_of(asked) == decimal_of(first)
    for path in (again, merged, shuffled, mixed, asked):
        zstruct.verify(path)


def test_names_that_were_unfit_meet_again_under_their_own(tmp_path, small_chunks):
    first = build([Atoms("H", info={"a.b": 1.0})], tmp_path / "1.zarr")
    second = build(
        [Atoms("H", info={"a/b": 2.0, "A_b": 3.0, "source": "x", "dos": 1.5})], tmp_path / "2.zarr"
    )
    merged = Store(build([first, second], tmp_path / "merged.zarr"))
    said = {name: merged.array_attrs(name).get("original_name", name) for name in merged.fields}
    own = {
        said[name]: merged.read(name).tolist()
        for name in merged.fields
        if said[name] in ("a.b", "a/b", "A_b")
    }
    assert [own["a.b"][0], own["a/b"][1], own["A_b"][1]] == [1.0, 2.0, 3.0]
    taken = zstruct.open(merged).zs.to_ase()
    assert taken[0].info["a.b"] == 1.0
    assert taken[1].info["source"] == "x"


def test_fields_are_left_out_and_renamed(tmp_path, two):
    store = two[1][0]
    cut = build(store, tmp_path / "cut.zarr", exclude=["a/b", "forces"], keys={"weight": "total_charge"})
    fields = set(Store(cut).fields)
    assert not {"a_b_2", "forces", "total_charge"} & fields
    assert Store(cut).array_attrs("a_b")["original_name"] == "a.b"
    assert "weight" in fields
    with pytest.raises(InputError, match=r"exclude=\['froces'\]: no input has 'froces'; they have .*forces"):
        build(store, tmp_path / "none.zarr", exclude=["froces"])


class Stated:
    """A source of one structure that has a property in some unit."""

    label, runs_in = "stated", "here"

    def __init__(self, unit):
        self.unit = unit

    def fingerprint(self):
        return None

    def scan(self):
        return [Slice(0, 1, 0, 1)]

    def read(self, piece):
        one = np.ones(1, dtype=np.int64)
        atom = {"numbers": [RawColumn(one.astype(np.uint8))], "positions": [RawColumn(np.zeros((1, 3)))]}
        yield Raw(one - 1, one, atom, {"gap": [RawColumn(np.array([1.5]), unit=self.unit)]})


def test_units_that_differ_are_converted(tmp_path):
    units = ("eV", "meV", "", "furlong")
    stores = [build(Stated(unit), tmp_path / f"{k}.zarr") for k, unit in enumerate(units)]
    assert Store(stores[1]).array_attrs("gap")["units"] == "meV"
    merged = Store(build(stores[:2], tmp_path / "merged.zarr"))
    assert merged.array_attrs("gap")["units"] == "eV"
    assert merged.read("gap").tolist() == [1.5, 0.0015]
    for odd in stores[2:]:
        with pytest.raises(InputError, match="the property 'gap' comes in different units, 'eV' and "):
            build([stores[0], odd], tmp_path / "none.zarr")


def test_stores_of_version_0_1(tmp_path):
    shutil.unpack_archive(OLD, tmp_path)
    old = tmp_path / "store-0.1.zarr"
    new = build(old, tmp_path / "new.zarr")
    zstruct.verify(new)
    assert Store(new).attrs["encoding-version"] == "1.1"
    assert "formula" in Store(new).fields
    expected = build(zstruct.open(old).zs.to_ase(), tmp_path / "expected.zarr")
    assert Store(new).columns == Store(expected).columns
    for name, field in Store(new).columns.items():
        if field.kind != "category":
            assert Store(new).read(name).tobytes() == Store(expected).read(name).tobytes(), name


def test_a_zip_file_and_a_pattern(tmp_path, own):
    for store in own[1]:
        zstruct.split(store, [0.5, 0.5], name="default")
    shutil.make_archive(str(tmp_path / "packed"), "zip", own[1][0])
    assert_same_store(own[1][0], build(tmp_path / "packed.zip", tmp_path / "out" / "again.zarr"))
    merged = build(f"{tmp_path}/?.zarr", tmp_path / "out" / "merged.zarr")
    assert_same_store(build(own[1], tmp_path / "out" / "both.zarr"), merged)
    with pytest.raises(InputError, match="none of the files here is known by its name"):
        build(tmp_path / "out", tmp_path / "none.zarr")  # stores in a directory have to be named


def test_stores_that_are_elsewhere(folder_in_memory, two, tmp_path, long_run):
    fsspec = pytest.importorskip("fsspec")
    here, there = two[1]
    fsspec.filesystem("memory").put(f"{there}/", f"{folder_in_memory}/1.zarr/", recursive=True)
    expected = build(two[1], tmp_path / "both.zarr")
    for k, path in enumerate(("1.zarr", "*.zarr") if long_run else ("*.zarr",)):
        assert_same_store(expected, build([here, f"{folder_in_memory}/{path}"], tmp_path / f"{k}.zarr"))


def test_on_a_cluster(tmp_path, cluster):
    stores = [build(rich_frames(k), tmp_path / f"{k}.zarr") for k in (1, 2)]
    there = build(stores, tmp_path / "there.zarr", workers=cluster, select="C")
    here = build(stores, tmp_path / "here.zarr", workers=1, select="C")
    assert tree_bytes(there) == tree_bytes(here)


def test_a_store_can_be_cut_in_its_place(tmp_path, own):
    store = own[1][0]
    expected = build(store, tmp_path / "cut.zarr", select="C")
    build(store, store, select="C", overwrite=True)
    assert_same_store(expected, store)
    with pytest.raises(InputError, match=r"is in this store: choose another target"):
        build(store, store / "inside.zarr")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"select": "Ti and n_atoms > 100"}, 'is selected: where "Ti and n_atoms > 100"'),
        ({"select": "nonsense > 3"}, "nonsense"),
        (
            {"filters": {"where": lambda frame: frame["nothing"]}},
            r"0\.zarr, frame 0: the filter given as where=",
        ),
    ],
)
def test_what_can_not_be_selected_is_a_sentence(tmp_path, two, options, sentence):
    with pytest.raises(InputError, match=sentence):
        build(two[1][0], tmp_path / "none.zarr", **options)
    assert not (tmp_path / "none.zarr").exists()


def test_positions_are_of_one_store_and_files_have_none(tmp_path, two):
    with pytest.raises(InputError, match="positions, where= and samples select from one store"):
        build(two[1], tmp_path / "none.zarr", select=[1, 2])
    with pytest.raises(InputError, match="select= chooses among structures of stores"):
        build(two[0][0], tmp_path / "none.zarr", select="Ti")
    with pytest.raises(InputError, match="the file is given twice"):
        build([two[1][0], two[1][0]], tmp_path / "none.zarr")


def test_damage_is_told(tmp_path, own):
    file = shard_path(own[1][0], "positions", 1, 2)
    content = bytearray(file.read_bytes())
    content[5] ^= 1
    file.write_bytes(content)
    with pytest.raises(zstruct.CorruptStoreError, match=r"0\.zarr: .* of positions can't be decoded"):
        build(own[1][0], tmp_path / "none.zarr")
    assert not (tmp_path / "none.zarr").exists()


def test_a_shard_of_another_array_is_told(tmp_path, own):
    file = shard_path(own[1][0], "forces", 0, 2)
    shutil.copyfile(shard_path(own[1][0], "positions", 0, 2), file)
    with pytest.raises(zstruct.CorruptStoreError, match="shard 0 of forces is not the one that was built"):
        build(own[1], tmp_path / "none.zarr")


def test_shards_of_the_first_store_are_not_encoded_again(tmp_path, two, monkeypatch):
    again = []
    write = shards_module.write_pieces

    def writing(folder, spec, shard, *rest, **options):
        again.append((spec.path, shard))
        return write(folder, spec, shard, *rest, **options)

    monkeypatch.setattr(shards_module, "write_pieces", writing)
    merged = build(two[1], tmp_path / "merged.zarr")
    first, both = shards(two[1][0]), shards(merged)
    n = Store(two[1][0]).n_atoms // 32
    assert n > 1
    assert min(shard for name, shard in again if name == "positions") == n
    for k in range(n):
        assert both[f"positions/c/{k}/0"] == first[f"positions/c/{k}/0"]
    zstruct.verify(merged)
    symbols = [symbol for atoms in (*two[0][0], *two[0][1]) for symbol in atoms.symbols]
    assert Store(merged).attrs["species"] == {s: symbols.count(s) for s in ("H", "C", "O", "Ti")}


def test_an_input_that_is_replaced_meanwhile_is_named(tmp_path, own):
    def meddle(frame):
        if not done:
            done.append(build(own[1][1], own[1][0], overwrite=True))
        return True

    done = []
    with pytest.raises(zstruct.ChangedInputError, match=r"0\.zarr"):
        build(own[1][0], tmp_path / "none.zarr", filters=meddle, workers=1)
    assert not (tmp_path / "none.zarr").exists()


def test_of_a_reader_with_other_labels_these_are_taken(tmp_path, small_chunks):
    store = build(rich_frames(1), tmp_path / "s.zarr", encoding="decimal")
    given, rng = Store(store), np.random.default_rng(0)
    energy, forces = rng.normal(size=24), np.round(rng.normal(size=(given.n_atoms, 3)), 3)
    energy[3] = np.nan
    zstruct.labels.add(store, "other", energy=energy, forces=forces)
    reader = zstruct.StructureReader(store, labels="other")
    for encoding in ("decimal", {"shuffle_seed": 2}):
        order = np.random.default_rng(2).permutation(24) if isinstance(encoding, dict) else np.arange(24)
        made = Store(build(reader, tmp_path / "a.zarr", encoding=encoding, overwrite=True))
        zstruct.verify(made.path)
        assert made.read("energy").tobytes() == energy[order].tobytes()
        assert "stress" not in made.fields  # another truth
        assert made.coverage("energy") == 23
    beside = zstruct.StructureReader(store, labels={"t": "other"})
    both = Store(build(beside.select(range(5, 24)), tmp_path / "b.zarr"))
    assert both.read("t_forces").tobytes() == forces[given.read("offsets")[5] :].tobytes()
    assert both.read("energy").tobytes() == given.read("energy")[5:].tobytes()


def test_a_reader_with_a_transform_is_refused(tmp_path):
    store = build(rich_frames(1), tmp_path / "s.zarr")
    data = zstruct.StructureReader(store, transform=zstruct.transforms.AddNoise(0.1))
    with pytest.raises(InputError, match="has a transform, and structures are taken as they are stored"):
        build(data, tmp_path / "a.zarr")
