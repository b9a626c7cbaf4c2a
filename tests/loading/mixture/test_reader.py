"""Several stores as one: every structure as its own store has it, whichever way batches are made."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from tests.mixed import FIELDS, check
from zstruct import InputError, MixtureReader, StructureReader, UnknownNameError
from zstruct.errors import ArgumentTypeError
from zstruct.jit.kernel import compiled_always
from zstruct.loading import Batches, Proportions, Shuffle
from zstruct.loading.mixture import parts
from zstruct.store.shards import ArrayReader

FIRST = {"a": 0, "b": 41, "c": 64}
TEXTS = ["bulk", "slab", "gas"]
ONCE = [name for name in FIELDS if name != "gap"]  # which has other units: parts are put together for it


def readers(three, fields=ONCE, names="abc", **options):
    return {
        name: StructureReader(three[name].path, [f for f in fields if f in three[name].columns], **options)
        for name in names
    }


def whole(batch):
    return {**batch.columns, "ptr": batch.offsets}


def which(places):
    stores = [max((name for name in FIRST if FIRST[name] <= place), key=FIRST.get) for place in places]
    return [(name, place - FIRST[name]) for name, place in zip(stores, places, strict=True)]


@pytest.fixture(scope="module")
def at_once(three):
    mixture = MixtureReader(readers(three, cache="memory"))
    mixture.cache_warmup()
    assert mixture._pipeline._gather(np.arange(65)) is not None
    return mixture


@given(places=st.lists(st.integers(0, 64), max_size=20), compiled=st.booleans(), data=st.data())
@settings(max_examples=25)
def test_whichever_way_batches_are_made_they_have_what_was_written(three, at_once, places, compiled, data):
    fields = data.draw(st.sampled_from([ONCE, FIELDS]))
    options = data.draw(st.sampled_from([{"cache": "memory"}, {"cache": None}, {"cache": {"bytes": 2000}}]))
    mixture = at_once if fields is ONCE and options["cache"] == "memory" else None
    mixture = mixture or MixtureReader(readers(three, fields, **options))
    if compiled:
        with compiled_always():
            batches = [mixture.take(places) for _ in range(2)]
    else:
        batches = [mixture.take(places) for _ in range(2)]
    for batch in batches:
        check(whole(batch), which(places), three, TEXTS, fields)
        assert batch.structures.tolist() == places
        assert batch.columns["head"].tolist() == ["abc".index(name) for name, _ in which(places)]
        assert batch.columns["head"].dtype == np.int64
        assert batch.batch.tolist() == np.repeat(np.arange(len(places)), batch.n_atoms).tolist()
        assert batch.per_atom == {"numbers", "positions", "forces"}
        assert list(batch.columns)[: len(fields) + 1] == [*mixture.fields]
        for column in batch.columns.values():
            assert column.flags.writeable
            assert column.flags.c_contiguous


def test_both_ways_give_the_same_columns(three, at_once):
    places = [3, 50, 64, 41, 0]
    one, other = at_once.take(places), MixtureReader(readers(three, cache=None)).take(places)
    assert list(one.columns) == list(other.columns)
    assert one.wide == other.wide == {"energy"}
    for name, column in one.columns.items():
        np.testing.assert_array_equal(column, other.columns[name], strict=True)


def test_one_call_makes_a_batch_once_all_is_decoded(at_once, monkeypatch):
    monkeypatch.setattr(ArrayReader, "read_into", None)
    monkeypatch.setattr(type(at_once._pipeline), "_by_parts", None)
    assert len(at_once.take(np.arange(65))) == 65


def test_stores_larger_than_memory_are_gathered_at_once_where_blocks_are_there(three, monkeypatch):
    mixture = MixtureReader(readers(three, cache={"where": "memory", "bytes": 6000}))
    places = [0, 1, 42, 64]
    mixture.take(places)
    monkeypatch.setattr(type(mixture._pipeline), "_by_parts", None)
    check(whole(mixture.take(places)), which(places), three, TEXTS, ONCE)


def test_each_has_references_of_its_own(three):
    given = {"H": -1.0, "C": -20.0, "O": -300.0}
    options = {"fields": ["numbers", "energy"], "cache": "memory"}
    plain = MixtureReader(readers(three, **options)).take(np.arange(65))
    found = {}
    for cache in ("memory", None):
        own = readers(three, **options | {"cache": cache})
        own["a"] = StructureReader(three["a"].path, ["numbers", "energy"], references=given, cache=cache)
        mixture = MixtureReader(own)
        mixture.cache_warmup()
        assert (mixture._pipeline._gather(np.arange(2)) is not None) == (cache == "memory")
        found[cache] = mixture.take(np.arange(65)).columns["energy"]
    atoms = np.add.reduceat(
        np.array([0, -1.0, *[0] * 4, -20, 0, -300])[plain.columns["numbers"]], plain.offsets[:-1]
    )
    expected = plain.columns["energy"] - np.where(np.arange(65) < 41, atoms, 0)
    np.testing.assert_allclose(found["memory"], expected, rtol=1e-14)
    np.testing.assert_array_equal(found["memory"], found[None])

    own["a"] = StructureReader(three["a"].path, ["numbers", "energy"], references={"H": 0.0}, cache="memory")
    for _ in range(2):
        with pytest.raises(InputError, match="there is no reference energy of"):
            MixtureReader(own).take(np.arange(65))


def test_each_is_transformed_as_it_says(three):
    def moved(batch):
        batch.columns["positions"] += 1.0
        return batch

    own = readers(three)
    own["b"] = StructureReader(
        three["b"].path, own["b"].fields, transform=zstruct.transforms.OnBatch(moved), cache="memory"
    )
    plain, found = MixtureReader(readers(three)).take([3, 50, 64]), MixtureReader(own).take([3, 50, 64])
    difference = found.columns["positions"] - plain.columns["positions"]
    there = np.repeat([0.0, 1.0, 0.0], plain.n_atoms)
    np.testing.assert_allclose(difference, np.tile(there[:, None], 3), atol=1e-6)


def test_edges_find_their_atoms(three):
    own = readers(three, neighbors={"cutoff": 3.0, "carry": ["edge_vec", "edge_shift"]})
    places = [50, 3, 64, 4, 41]
    batch = MixtureReader(own).take(places)
    (pairs,) = batch.pairs
    assert pairs.offsets[-1] == pairs.index.shape[1] == len(pairs.columns["edge_vec"])
    for row, (name, i) in enumerate(which(places)):
        (alone,) = own[name].take([i]).pairs
        mine = slice(*pairs.offsets[row : row + 2])
        np.testing.assert_array_equal(pairs.index[:, mine] - batch.offsets[row], alone.index)
        for column in ("edge_vec", "edge_shift"):
            np.testing.assert_array_equal(pairs.columns[column][mine], alone.columns[column])


def test_forces_of_some_structures(three):
    mixture = MixtureReader(readers(three)).with_forces(0.5, seed=3)
    batch = mixture.take(np.arange(65))
    assert batch.columns["use_forces"].sum() == 20 + 1  # half of a, one of c, and b has none
    assert not batch.columns["use_forces"][41:64].any()
    mixture.set_epoch(1)
    assert mixture.take(np.arange(65)).columns["use_forces"].tolist() != batch.columns["use_forces"].tolist()
    part = readers(three)
    part["a"] = part["a"].with_forces(0.0)
    used = MixtureReader(part).take(np.arange(65)).columns["use_forces"]
    assert used.tolist() == [False] * 64 + [True]  # of the others, those that there are
    with pytest.raises(InputError, match="no part has any"):
        MixtureReader(readers(three, names="b")).with_forces(0.5)


@given(st.lists(st.one_of(st.just("n_atoms > 4"), st.just("H"), st.integers(0, 2**32)), max_size=3))
@settings(max_examples=25)
def test_views_of_views(three, steps):
    mixture, rows = MixtureReader(readers(three, ["numbers", "energy"])), np.arange(65)
    n_atoms = np.concatenate([three[name].counts for name in "abc"])
    hydrogens = np.array([(three[name].value("numbers", i) == 1).any() for name, i in which(range(65))])
    for step in steps:
        if isinstance(step, str):
            mixture, rows = (
                mixture.select(step),
                rows[(n_atoms[rows] > 4) if ">" in step else hydrogens[rows]],
            )
        else:  # any order, some twice
            places = np.random.default_rng(step).integers(0, len(rows), len(rows)) if len(rows) else []
            by_index = step % 2 and len(rows)
            mixture, rows = (mixture[places] if by_index else mixture.select(places)), rows[places]
    assert mixture.structures.tolist() == rows.tolist()
    assert mixture.n_atoms.tolist() == n_atoms[rows].tolist()
    assert mixture.take(np.arange(len(rows))).structures.tolist() == rows.tolist()
    assert sorted(
        np.concatenate([[], *[b.structures for b in mixture.batches(9, Shuffle(seed=1))]])
    ) == sorted(rows)


def test_what_is_drawn_of_a_view_in_any_order_is_that_of_the_view(three):
    mixture = MixtureReader(readers(three, ["numbers"]), weights=[1, 1, 0], window=10)
    places = np.random.default_rng(3).permutation(64)[:40]
    view = mixture[places]
    batches = list(view.batches(10, Shuffle("full", seed=2)))
    assert {*np.concatenate([batch.structures for batch in batches])} <= {*places.tolist()}
    for batch in batches:
        assert np.bincount(batch.columns["head"]).tolist() == [5, 5]


def test_views_leave_the_whole_as_it_was(three):
    mixture = MixtureReader(readers(three))
    assert len(mixture[::2]) == 33
    assert len(mixture.select(lambda_mask(mixture))) == 10
    assert len(mixture) == 65
    assert mixture[3]["head"] == 0
    assert mixture.parts[0].structures.tolist() == list(range(41))


def lambda_mask(mixture):
    mask = np.zeros(len(mixture), bool)
    mask[40:50] = True
    return mask


def test_structures_are_found_in_their_stores(three):
    mixture = MixtureReader(readers(three)).select("n_atoms > 4")[::-1]
    numbers = mixture.take(np.arange(len(mixture))).structures
    part, structure = mixture.locate(numbers)
    assert [("abc"[p], s) for p, s in zip(part, structure, strict=True)] == which(mixture.structures)
    for row in (0, 5):
        atoms = mixture.get_atoms(row)
        assert atoms == mixture.parts[part[row]].get_atoms(
            mixture.parts[part[row]].structures.tolist().index(structure[row])
        )
    with pytest.raises(IndexError):
        mixture.locate([65])


def test_it_pickles_and_says_how_it_came_about(three):
    weights = {"a": 2, "b": 1, "c": 0}
    mixture = MixtureReader(readers(three), weights=weights, window=30).select("n_atoms > 2")
    said = repr(mixture)
    for part in (
        "a: ",
        " structures of '",
        'a.zarr\' where "n_atoms > 2"',
        "3 heads, a, b, c",
        "by weights, a 0.667",
    ):
        assert part in said
    assert "b 0.333, c 0, in each 30 structures" in mixture._repr_html_()
    again = pickle.loads(pickle.dumps(mixture))
    assert repr(again) == said
    places = np.arange(len(mixture))[::-1].copy()
    np.testing.assert_array_equal(
        again.take(places).columns["positions"], mixture.take(places).columns["positions"]
    )
    orders = [
        np.concatenate([batch.structures for batch in each.batches(8, Shuffle(seed=3), epoch=2)]).tolist()
        for each in (mixture, again)
    ]
    assert orders[0] == orders[1]


def test_it_says_what_is_done_to_each_part(three):
    own = readers(three, ["numbers", "energy"])
    own["a"] = StructureReader(
        three["a"].path, ["numbers", "energy"], references={"H": 1.0, "C": 1.0, "O": 1.0}
    )
    own["b"] = StructureReader(three["b"].path, ["numbers", "energy"], neighbors=3.0).select("n_atoms > 2")
    with pytest.raises(InputError):
        MixtureReader(own)
    own["b"] = readers(three, ["numbers", "energy"], "b")["b"].select("n_atoms > 2")
    assert "a.zarr' (energies less those of 3 elements, given), b: " in repr(MixtureReader(own))


def test_a_list_is_one_dataset_of_one_head(three):
    given = list(readers(three).values())
    mixture = MixtureReader(given)
    assert mixture.heads == ("default",)
    assert mixture.take([0, 50, 64]).columns["head"].tolist() == [0, 0, 0]
    assert mixture.names == ("part 0", "part 1", "part 2")
    assert mixture.take([0]).origin.heads == ()  # nobody said that name


def test_a_head_may_have_several_stores(three):
    a, b, c = readers(three).values()
    for said in ({"x": [a, b], "y": c}, [("x", a), ("x", b), ("y", c)]):
        mixture = MixtureReader(said, weights={"x": 1, "y": 1}, window=32)
        assert mixture.heads == ("x", "y")
        assert mixture.take([0, 50, 64]).columns["head"].tolist() == [0, 0, 1]
        heads = np.concatenate([b.columns["head"] for b in mixture.batches(16, Shuffle(seed=1))])
        assert np.bincount(heads[:64]).tolist() == [32, 32]


def test_the_same_store_twice(three):
    (a,) = readers(three, names="a", cache="memory").values()
    mixture = MixtureReader({"x": a, "y": a})
    assert len(mixture.caches) == 1
    batch = mixture.take([0, 41, 40, 81])
    assert batch.columns["head"].tolist() == [0, 1, 0, 1]
    assert batch.columns["energy"][0] == batch.columns["energy"][1]
    assert batch.structures.tolist() == [0, 41, 40, 81]


def test_heads_that_stores_have_are_kept(three, make_store, tmp_path):
    own = [
        make_store(
            tmp_path / f"{k}.zarr",
            np.ones(3, int),
            {
                "numbers": np.ones(3, np.uint8),
                "positions": np.zeros((3, 3)),
                "head": np.array(codes, np.int32),
            },
            texts={"head": texts},
        ).path
        for k, (codes, texts) in enumerate([([0, 1, 0], ["pbe", "scan"]), ([0, 1, 1], ["b3lyp", "pbe"])])
    ]
    mixture = MixtureReader(own)
    assert mixture.heads == ("pbe", "scan", "b3lyp")
    assert mixture.take(np.arange(6)).columns["head"].tolist() == [0, 1, 0, 2, 0, 0]
    assert mixture.categories("head") == ["pbe", "scan", "b3lyp"]
    with pytest.raises(
        InputError, match=r"x is to be the head of .*0.zarr, which says by a field of its own"
    ):
        MixtureReader({"x": own[0], "y": own[1]})
    with pytest.raises(InputError, match=r"0.zarr has a field 'head', and .*a.zarr has none"):
        MixtureReader([own[0], three["a"].path])


def test_empty_parts(three):
    own = readers(three)
    own["b"] = own["b"].select("n_atoms > 99")
    mixture = MixtureReader(own)
    assert mixture.take([41, 0]).columns["head"].tolist() == [2, 0]
    assert len(list(mixture.batches(5))) == 9
    nothing = mixture.select("n_atoms > 99")
    assert (len(nothing), list(nothing.batches(5)), len(nothing.take([]))) == (0, [], 0)
    with pytest.raises(InputError, match="b has no structures, and the weight 1"):
        MixtureReader(own, weights=[1, 1, 1])
    assert len(list(MixtureReader(own, temperature=3.0).batches(42))) == 1
    with pytest.raises(InputError, match="c has no structures, and the weight 1: give it 0"):
        MixtureReader(readers(three), weights=[1, 1, 1])[:64]


def test_what_is_there_beside_fields_is_there_in_all(three):
    own = readers(three)
    own["b"] = StructureReader(three["b"].path, own["b"].fields, neighbors=3.0)
    with pytest.raises(
        InputError, match="a has none, and b has edges within 3 angstrom with edge_shift: give"
    ):
        MixtureReader(own)
    own["a"] = StructureReader(three["a"].path, own["a"].fields, neighbors=4.0)
    with pytest.raises(
        InputError, match="a has edges within 4 angstrom with edge_shift, and b has edges within 3"
    ):
        MixtureReader(own)
    own = readers(three)
    own["c"] = StructureReader(three["c"].path, [*own["c"].fields, "atoms"])
    with pytest.raises(InputError, match="'atoms' are among the fields of a or of c"):
        MixtureReader(own)


def test_units_of_transforms_are_those_of_all(three):
    cast = zstruct.transforms.CastUnits({"energy": "meV"})
    own = readers(three, ["numbers", "energy"])
    own["b"] = StructureReader(three["b"].path, ["numbers", "energy"], transform=cast)
    with pytest.raises(InputError, match=r"CastUnits gives the units of the store in a, and .*meV.* in b"):
        MixtureReader(own)
    both = MixtureReader(readers(three, ["numbers", "energy"], transform=cast))
    plain = MixtureReader(readers(three, ["numbers", "energy"]))
    np.testing.assert_allclose(
        both.take([3, 64]).columns["energy"], 1e3 * plain.take([3, 64]).columns["energy"]
    )


def test_what_a_function_adds_is_there_in_all(three):
    def sizes(batch):
        batch.columns["size"] = batch.n_atoms.astype(float)
        return batch

    step = zstruct.transforms.OnBatch(sizes)
    both = MixtureReader(readers(three, ["numbers"], transform=step))
    assert both.take([3, 64, 50]).columns["size"].tolist() == both.n_atoms[[3, 64, 50]].tolist()
    own = readers(three, ["numbers"])
    own["b"] = StructureReader(three["b"].path, ["numbers"], transform=step)
    with pytest.raises(InputError, match="size comes with structures of b, and not with those of a, c"):
        MixtureReader(own).take([0])


def test_dtypes_are_made_one(three):
    own = readers(three, ["numbers", "positions"])
    own["b"] = StructureReader(
        three["b"].path, ["numbers", "positions"], {"positions": "float64", "numbers": "uint8"}
    )
    mixture = MixtureReader(own)
    mixture.cache_warmup()
    columns = mixture.take([0, 50]).columns
    assert (columns["positions"].dtype, columns["numbers"].dtype) == (np.float64, np.int64)
    own["b"] = StructureReader(three["b"].path, ["numbers", "positions"], {"numbers": "uint8"})
    mixture = MixtureReader(own)  # which blocks keep in the same dtype
    mixture.cache_warmup()
    assert mixture._pipeline._gather(np.arange(2)) is not None
    assert mixture.take([0, 50]).columns["numbers"].tolist() == columns["numbers"].tolist()


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda a: MixtureReader([]), InputError, "at least one part"),
        (lambda a: MixtureReader(5), ArgumentTypeError, "a mixture is of datasets, readers or stores, by"),
        (lambda a: MixtureReader(a), ArgumentTypeError, "a mixture is of datasets"),
        (lambda a: MixtureReader([a, 5]), ArgumentTypeError, "part 1 is a dataset, a reader, or a store"),
        (lambda a: MixtureReader({1: a}), ArgumentTypeError, "the name of a head is a text, not 1"),
        (lambda a: MixtureReader({"a": a}, weight=[1]), ArgumentTypeError, "is it weights?"),
        (
            lambda a: MixtureReader({"a": a}, {"b": 1}),
            UnknownNameError,
            "weights names 'b', which is no part",
        ),
        (
            lambda a: MixtureReader({"a": a}).select(where=np.ones(41, bool)),
            InputError,
            "by a mask as select",
        ),
        (
            lambda a: MixtureReader({"a": a}).categories("energy"),
            UnknownNameError,
            "those are config_type, head",
        ),
        (lambda a: MixtureReader({"a": a}).take([41]), IndexError, "structure 41 is out of range"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(three, call, error, sentence):
    with pytest.raises(error, match=sentence):
        call(readers(three, names="a")["a"])


def test_a_closed_part_and_a_closed_mixture(three):
    own = readers(three)
    mixture = MixtureReader(own)
    own["b"].close()
    with pytest.raises(InputError, match="b is closed"):
        MixtureReader(own)
    with mixture:
        assert len(mixture.take([50])) == 1  # it goes on with what it has
    with pytest.raises(ValueError, match="this MixtureReader is closed"):
        mixture.take([0])
    assert repr(mixture) == "MixtureReader(closed)"


def test_a_store_that_changed_is_noticed(make_store, three, tmp_path):
    columns = {"numbers": np.ones(40, np.uint8), "energy": np.arange(40.0)}
    path = make_store(tmp_path / "s.zarr", np.ones(40, int), columns).path
    own = readers(three, ["numbers", "energy"], "a") | {"s": StructureReader(path, ["numbers", "energy"])}
    mixture = MixtureReader(own)
    assert mixture.take([41, 0]).columns["energy"][0] == 0
    path.rename(tmp_path / "old.zarr")
    with pytest.raises(zstruct.ChangedInputError, match=r"s\.zarr is gone"):
        mixture.take([0, 80])
    assert mixture.take([42, 0]).columns["energy"][0] == 1  # what is in memory is the old one's


def test_parts_share_the_memory_that_there_is(three, monkeypatch):
    own = readers(three)
    sizes = {name: sum(cache.nbytes for cache in reader.caches) for name, reader in own.items()}
    assert MixtureReader(own).parts[0].pipeline is own["a"].pipeline  # what is decoded is shared
    monkeypatch.setattr(parts, "available_bytes", lambda: sum(sizes.values()))  # half of it is too little
    own["c"] = StructureReader(three["c"].path, own["c"].fields, cache={"bytes": 1e9})  # as somebody asked
    mixture = MixtureReader({**own, "d": own["a"]})
    a, b, c, d = mixture.parts
    assert a.pipeline is d.pipeline is not own["a"].pipeline
    assert c.pipeline is own["c"].pipeline
    assert sum(part.caches[0].cache_bytes for part in (a, b)) <= sum(sizes.values()) // 2
    check(whole(mixture.take([3, 50, 64, 68])), which([3, 50, 64, 3]), three, TEXTS, ONCE)


@pytest.mark.parametrize("weights", [None, [1, 1, 1]])
def test_memory_is_bounded(three, weights):
    room = {"a": 500, "b": 300, "c": 100}
    own = {
        name: StructureReader(
            three[name].path, ["numbers", "positions"], cache={"where": "memory", "bytes": room[name]}
        )
        for name in "abc"
    }
    mixture = MixtureReader(own, weights=weights)
    for batch in mixture.batches(3, Shuffle("block", seed=1)):
        assert len(batch) in (2, 3)
        # Beside those that the latest batch needs: it is held together, whatever that takes.
        for name, part in zip("abc", mixture.parts, strict=True):
            (cache,) = part.caches
            assert cache.decoded_bytes <= room[name] + 3 * 16 * 13 * 2


def test_labels_of_one_store_are_missing_in_others(three):
    path = three["c"].path
    zstruct.labels.add(path, "teacher", energy=np.array([7.0]))
    own = readers(three, ["numbers", "energy"])
    own["c"] = StructureReader(path, ["numbers", "energy", "t_energy"], labels={"t": "teacher"})
    for _ in range(2):
        columns = MixtureReader(own).take([64, 0]).columns
        assert columns["has_t_energy"].tolist() == [True, False]
        np.testing.assert_array_equal(columns["t_energy"], [7.0, np.nan])


def test_an_epoch_has_its_proportions_at_any_cut(three):
    mixture = MixtureReader(
        readers(three, ["numbers", "energy"]), Proportions([2, 1, 1], window=8, length=64)
    )
    batches = list(mixture.batches(Batches(16), Shuffle(seed=4)))
    for batch in batches:
        assert np.bincount(batch.columns["head"]).tolist() == [8, 4, 4]
    again = list(mixture.batches(Batches(max_atoms=40), Shuffle(seed=4)))
    assert sum(map(len, again)) == 64
    assert max(int(batch.offsets[-1]) for batch in again) <= 40
    with pytest.raises(InputError, match="proportions of its parts, and the shuffle weights of structures"):
        next(mixture.batches(4, Shuffle(weights=np.ones(65))))
    once = MixtureReader(readers(three, ["numbers"]))
    assert len(list(once.batches(65, Shuffle(weights=np.ones(65))))) == 1
