"""Selections of a store: choices one after the other, what they say of themselves, and what can't be."""

import pickle
import threading
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from tests.conftest import random_atoms
from zstruct.errors import ArgumentTypeError, InputError, StaleGroupError, UnknownNameError
from zstruct.query import Choice, Selection, StoreTable, positions_of
from zstruct.query.binding import bound
from zstruct.query.evaluation import holding
from zstruct.stats.references import References
from zstruct.stats.scan import Part
from zstruct.store.store import Store

N = 60


def _structures():
    rng = np.random.default_rng(7)
    found = []
    for i in range(N):
        atoms = random_atoms(rng, labels=False)
        results = {"energy": float(rng.normal(-10, 3))} if i % 5 else {}
        if i % 3:
            results["forces"] = rng.normal(size=(len(atoms), 3))
            atoms.arrays["spin"] = rng.normal(size=len(atoms))
            atoms.arrays["site"] = rng.choice(["bulk", "edge"], len(atoms))
        if i % 4:
            atoms.info |= {"config_type": "abc"[i % 3], "k": i, "ok": bool(i % 2)}
        from ase.calculators.singlepoint import SinglePointCalculator

        atoms.calc = SinglePointCalculator(atoms, **results)
        found.append(atoms)
    return found


@pytest.fixture(scope="module")
def structures():
    return _structures()


@pytest.fixture(scope="module")
def store(tmp_path_factory, structures):
    """A store of sixty structures, in chunks of 16 atoms or 4 structures, two to a shard."""
    from zstruct.store import chunks

    out = tmp_path_factory.mktemp("query") / "mixed.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "_CHUNK_ROWS", {"atom": 16, "structure": 4})
        patch.setattr(chunks, "_CHUNKS_PER_SHARD", 2)
        zstruct.build(structures, out, progress=False)
    zstruct.split(out, [0.5, 0.5], name="default")
    zstruct.split(out, [10, 50], labels=["few", "most"], by="order", name="mine")
    return Store(out)


def chosen(store, *arguments, **keywords):
    return Selection().select(*arguments, **keywords).structures(store).tolist()


def those(structures, test):
    return [i for i, atoms in enumerate(structures) if test(atoms)]


def largest(atoms):
    return np.linalg.norm(atoms.calc.results["forces"], axis=1).max()


has_forces = lambda atoms: "forces" in atoms.calc.results  # noqa: E731
has_energy = lambda atoms: "energy" in atoms.calc.results  # noqa: E731

EXPRESSIONS = {
    "Ti and O": lambda a: {"Ti", "O"} <= set(a.symbols),
    "fmax < 2": lambda a: has_forces(a) and largest(a) < 2,
    "not fmax < 2": lambda a: has_forces(a) and largest(a) >= 2,
    "has(forces)": has_forces,
    "has(spin)": has_forces,
    "not has(site)": lambda a: not has_forces(a),
    "energy_per_atom < -3": lambda a: has_energy(a) and a.calc.results["energy"] / len(a) < -3,
    "n_periodic == 0": lambda a: not a.pbc.any(),
    "volume > 200": lambda a: a.cell.rank == 3 and a.cell.volume > 200,
    "k > 30": lambda a: a.info.get("k", 0) > 30,
    "not k > 30": lambda a: "k" in a.info and a.info["k"] <= 30,
    "not ok": lambda a: a.info.get("ok") is False,
    "config_type != 'a'": lambda a: a.info.get("config_type", "a") != "a",
    "n_elements == 1": lambda a: len(set(a.symbols)) == 1,
    "only(H, C)": lambda a: set(a.symbols) <= {"H", "C"},
    "max_force_component > 1.5": lambda a: has_forces(a) and np.abs(a.calc.results["forces"]).max() > 1.5,
    "H + C > O and n_atoms > 2": lambda a: (
        sum(s in "HC" for s in a.symbols) > list(a.symbols).count("O") and len(a) > 2
    ),
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_select_what_the_structures_say(store, structures, expression):
    assert chosen(store, expression) == those(structures, EXPRESSIONS[expression])


@pytest.mark.parametrize(
    "expression", ["Ti and O", "n_elements == 2", "formula == 'TiO'", "only(H, C) and fmax < 3"]
)
def test_stores_without_a_table_of_formulas_are_asked_for_their_atoms(store, expression, monkeypatch):
    expected = chosen(store, expression)
    monkeypatch.setattr(StoreTable, "formulas", None)

    assert chosen(store, expression) == expected


def test_positions_are_those_of_what_is_selected_from(store):
    once = Selection().select([5, 3, 3, -1])

    assert once.structures(store).tolist() == [5, 3, 3, N - 1]
    assert once.select([1, 0]).structures(store).tolist() == [3, 5]
    assert once.select("index > 1").structures(store).tolist() == [3, N - 1]
    assert once.select([True, False, False, True]).structures(store).tolist() == [5, N - 1]
    assert once.select(slice(None, None, -1)).structures(store).tolist() == [N - 1, 3, 3, 5]
    assert once.select(2).structures(store).tolist() == [3]
    assert once.select([]).structures(store).tolist() == []


@settings(max_examples=60)
@given(rows=st.lists(st.integers(0, N - 1), max_size=30), expression=st.sampled_from(sorted(EXPRESSIONS)))
def test_any_view_is_selected_from_as_its_structures_are(store, structures, rows, expression):
    found = Selection().select(expression).structures(store, np.array(rows, dtype=np.int64))

    expected = [i for i in rows if EXPRESSIONS[expression](structures[i])]
    assert found.tolist() == expected


def test_choices_narrow_each_other(store):
    both = Selection().select("Ti").select("fmax < 3")

    assert both.structures(store).tolist() == chosen(store, "Ti and fmax < 3")
    assert Selection().select("Ti", max_force=3.0, split="train").structures(store).tolist() == sorted(
        set(chosen(store, "Ti")) & set(chosen(store, max_force=3.0)) & set(chosen(store, split="train"))
    )


def test_splits(store):
    parts = zstruct.open_split(store)

    assert chosen(store, split="val") == parts["val"].tolist()
    assert chosen(store, split=("mine", "few")) == list(range(10))
    assert Selection().select([3, 50, 2]).select(split=("mine", "few")).structures(store).tolist() == [3, 2]


def test_limits_let_pass_what_has_no_such_label(store, structures):
    assert chosen(store, max_force=2.0) == those(structures, lambda a: not has_forces(a) or largest(a) <= 2)
    assert chosen(store, max_force_component=1.5) == those(
        structures, lambda a: not has_forces(a) or np.abs(a.calc.results["forces"]).max() <= 1.5
    )
    per_atom = lambda a: a.calc.results["energy"] / len(a)  # noqa: E731
    assert chosen(store, max_energy=-3) == those(structures, lambda a: not has_energy(a) or per_atom(a) <= -3)


def test_a_limit_of_energies_may_be_one_of_energies_less_those_of_free_atoms(store, structures):
    references = {"H": -1.0, "C": -2.0, "O": -3.0, "Ti": -4.0}
    found = Selection().select(max_energy=0.5).structures(store, references=References.given(references))

    def passes(atoms):
        free = sum(references[symbol] for symbol in atoms.symbols)
        return not has_energy(atoms) or (atoms.calc.results["energy"] - free) / len(atoms) <= 0.5

    assert found.tolist() == those(structures, passes)


def test_an_element_without_a_reference_is_named(store):
    with pytest.raises(InputError, match="no reference energy of Ti"):
        Selection().select(max_energy=0.5).structures(
            store, references=References.given({"H": -1.0, "C": -2.0, "O": -3.0})
        )


def test_elements_are_all_that_may_be_there(store, structures):
    assert chosen(store, elements=["O", "H"]) == those(structures, lambda a: set(a.symbols) <= {"H", "O"})


def test_where_is_a_function_of_the_store_or_a_mask_of_it(store):
    mask = np.arange(N) % 7 == 0

    assert chosen(store, where=mask) == np.flatnonzero(mask).tolist()
    assert chosen(store, where=lambda opened: opened.read("n_atoms") > 4) == chosen(store, "n_atoms > 4")
    assert Selection().select([14, 3, 7]).select(where=mask).structures(store).tolist() == [14, 7]


def test_nothing_selects_everything(store):
    everything = list(range(N))

    assert Selection().structures(store).tolist() == everything
    assert not Selection().select()
    assert len(Selection().select("n_atoms > 0").structures(store)) == N
    assert Selection().structures(store, np.array([4, 2])).tolist() == [4, 2]


def test_a_selection_is_chosen_from_by_another(store):
    first, second = Selection().select("Ti"), Selection().select([2, 0]).select("fmax < 9", max_force=8.0)

    both = first.select(second, split="train")

    assert both == first.select([2, 0]).select("fmax < 9", max_force=8.0).select(split="train")
    assert first.select(which=second) == first.select(second)
    assert first.select(Selection()) == first


def test_equal_selections_are_equal():
    def made(largest=3.0):
        return Selection().select("Ti", max_force=largest).select([1, 2], where=[True, False]).select(0)

    assert made() == made()
    assert hash(made()) == hash(made())
    assert len({made(), made(), made(2.0)}) == 2
    assert Selection().select([1, 0]) != Selection().select([True, False])
    assert Selection().select("Ti") != "Ti"
    assert Choice("Ti") == Choice("Ti") != Choice("O")


def test_two_expressions_are_joined_by_and(store):
    for select in (Selection().select, zstruct.StructureReader(store).select):
        with pytest.raises(ArgumentTypeError, match="not 2: join conditions by and, as in select"):
            select("Ti", "O")


def test_a_function_of_something_else_is_told_what_it_is_given(store):
    with pytest.raises(InputError, match=r"here it is a function of the zstruct.Store, in ds.zs.select of"):
        Selection().select(where=lambda ds: ds.energy < 0).structures(store)


def test_a_selection_by_a_function_alone_reads_well():
    assert str(Selection().select(where=len).select("Ti", where=len)) == (
        'with where=len, then where "Ti", where=len'
    )


@pytest.fixture(scope="module")
def referenced(tmp_path_factory, structures):
    """A store that was built with energies of free atoms, and these."""
    energies = {"H": -1.0, "C": -2.0, "O": -3.0, "Ti": -4.0}
    out = tmp_path_factory.mktemp("query") / "referenced.zarr"
    zstruct.build(structures, out, filters={"atomic_energies": energies}, progress=False)
    return Store(out), energies


def test_a_limit_of_energies_is_the_same_by_every_route(referenced, structures):
    built, energies = referenced

    def passes(atoms, free):
        total = sum(free[symbol] for symbol in atoms.symbols)
        return not has_energy(atoms) or (atoms.calc.results["energy"] - total) / len(atoms) <= 0.5

    less = those(structures, lambda a: passes(a, energies))
    whole = those(structures, lambda a: passes(a, dict.fromkeys(energies, 0.0)))
    selection = Selection().select(max_energy=0.5)
    reader = zstruct.StructureReader(built)

    assert less != whole
    assert selection.structures(built).tolist() == less
    assert reader.select(max_energy=0.5).structures.tolist() == less
    assert reader.select(selection).structures.tolist() == less
    assert zstruct.open(built.path).zs.select(max_energy=0.5).structure.values.tolist() == less
    assert zstruct.open(built.path, select=selection).structure.values.tolist() == less
    assert Part.of(built, select=selection).structures.tolist() == less
    assert selection.structures(built, references=False).tolist() == whole
    unreferenced = zstruct.StructureReader(built, references=False)
    assert unreferenced.select(selection).structures.tolist() == whole
    with pytest.raises(ArgumentTypeError, match=r"references are those that zstruct.open_references returns"):
        selection.structures(built, references=True)


def test_an_element_that_the_build_has_no_energy_of_is_named(referenced, monkeypatch):
    built, _ = referenced
    monkeypatch.delitem(built.attrs["atomic_energies"], "Ti")

    with pytest.raises(InputError, match="they have none of Ti, but of H, C, O; references=False"):
        Selection().select(max_energy=0.5).structures(built)


def test_selections_say_how_they_came_about():
    selection = (
        Selection()
        .select("Ti > 2", split="train")
        .select("config_type == 'bulk'", max_force=10, elements=["Ti", "O"])
        .select([1, 2, 3], split=("mine", "val"), where=len)
        .select(np.arange(5) > 2)
        .select(slice(5, None, 2))
        .select(range(100))
        .select('config_type == "it\'s"')
    )

    assert repr(selection) == (
        'Selection().select("Ti > 2", split="train")'
        '.select("config_type == \'bulk\'", elements=("Ti", "O"), max_force=10.0)'
        '.select([1, 2, 3], split=("mine", "val"), where=len)'
        ".select(<mask of 2 of 5>).select(slice(5, None, 2)).select(<100 positions>)"
        ".select('config_type == \"it\\'s\"')"
    )
    assert str(selection).startswith('where "Ti > 2", split="train", then where "config_type == \'bulk\'"')
    assert repr(Selection()) == "Selection()"


def test_selections_pickle(store):
    selection = Selection().select("Ti", split="train").select([1, 0]).select(where=partial(_larger, least=2))

    again = pickle.loads(pickle.dumps(selection))

    assert repr(again) == repr(selection)
    assert again.structures(store).tolist() == selection.structures(store).tolist()


def test_a_function_goes_along_whatever_it_is(store):
    least = 3

    again = pickle.loads(
        pickle.dumps(Selection().select(where=lambda opened: opened.read("n_atoms") > least))
    )

    assert again.structures(store).tolist() == chosen(store, "n_atoms > 3")
    assert pickle.loads(pickle.dumps(again)).structures(store).tolist() == chosen(store, "n_atoms > 3")


def test_a_function_that_can_not_go_along_is_named_when_it_is_needed(store):
    lock = threading.Lock()

    def locked(opened):
        with lock:
            return opened.read("n_atoms") > 3

    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(Selection().select(where=locked)))))

    assert "where=test_a_function_that_can_not_go_along" in repr(again)
    with pytest.raises(InputError, match="can't go to another process: define it in a module"):
        again.structures(store)


def _larger(store, least):
    return store.read("n_atoms") > least


def test_what_was_given_may_change_afterwards(store):
    positions = np.array([1, 2])
    selection = Selection().select(positions)
    positions[:] = 7

    assert selection.structures(store).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        ({"which": "Ti and"}, InputError, "the expression ends"),
        ({"which": len}, ArgumentTypeError, "give a function as where="),
        ({"which": 2.5}, ArgumentTypeError, "structures are selected by an expression, a slice"),
        ({"which": [[1, 2]]}, ArgumentTypeError, "structures are selected by an expression, a slice"),
        ({"which": slice("a")}, ArgumentTypeError, "a slice is of whole numbers"),
        ({"which": slice(1, 2, 0)}, ArgumentTypeError, "a slice is of whole numbers"),
        ({"where": "Ti"}, ArgumentTypeError, "where is a function: give an expression as select"),
        ({"where": 3}, ArgumentTypeError, "where is a function of the store"),
        ({"split": 3}, ArgumentTypeError, "split is a label"),
        ({"elements": "Ti"}, ArgumentTypeError, "elements is a list of names"),
        ({"elements": ["ti"]}, UnknownNameError, "no chemical symbol; did you mean Ti"),
        ({"elements": ["X"]}, UnknownNameError, "no chemical symbol"),
        ({"elements": []}, InputError, "elements names at least one"),
        ({"max_force": -1}, InputError, "max_force is a limit of what is never negative"),
        ({"max_force": "a"}, ArgumentTypeError, "max_force is a number"),
        ({"max_energy": np.nan}, InputError, "max_energy is a number"),
    ],
)
def test_choices_that_make_no_sense_are_refused_at_once(arguments, error, reason):
    with pytest.raises(error, match=reason):
        Choice(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        ({"which": [N]}, IndexError, "there is no structure 60: there are 60 structures"),
        ({"which": [-N - 1]}, IndexError, "there is no structure -61"),
        ({"which": [True, False]}, IndexError, "the mask is one of 2 structures, and there are 60"),
        ({"which": "fmx < 3"}, UnknownNameError, "did you mean fmax"),
        ({"which": "smax < 3"}, UnknownNameError, "smax needs stress, and the store .* has none"),
        ({"split": "vl"}, InputError, "has no part 'vl'; it has train, val"),
        ({"split": ("other", "val")}, InputError, "other"),
        ({"where": lambda store: [1, 2]}, InputError, "where is a boolean for each of the 60 structures"),
        ({"where": lambda store: 1 / 0}, InputError, "the filter given as where= raised ZeroDivisionError"),
    ],
)
def test_what_a_store_has_not_is_said(store, arguments, error, reason):
    with pytest.raises(error, match=reason):
        Selection().select(**arguments).structures(store)


def test_limits_of_labels_that_nobody_has(tmp_path):
    zstruct.build(
        [random_atoms(np.random.default_rng(0), 2, labels=False)], tmp_path / "x.zarr", progress=False
    )

    with pytest.raises(InputError, match=r"max_force needs forces, and the store .* has none"):
        Selection().select(max_force=1.0).structures(Store(tmp_path / "x.zarr"))


def test_a_split_of_other_content_is_stale(tmp_path, structures):
    path = tmp_path / "x.zarr"
    zstruct.build(structures[:4], path, progress=False)
    zstruct.split(path, [0.5, 0.5], name="default")
    kept = path / "splits"
    saved = tmp_path / "splits"
    kept.rename(saved)
    zstruct.build(structures[4:8], path, progress=False, overwrite=True)
    saved.rename(kept)

    with pytest.raises(StaleGroupError):
        Selection().select(split="train").structures(Store(path))


def test_positions():
    assert positions_of(slice(-2, None), 5).tolist() == [3, 4]
    assert positions_of(np.uint8(3), 5).tolist() == [3]
    assert positions_of(range(2), 5).tolist() == [0, 1]


def reads(store, monkeypatch):
    """Return the list that every read of a store adds itself to: the array and its rows."""
    found, read = [], Store.read

    def counted(self, name, start=0, stop=None):
        if not name.startswith("shards/"):  # looked at once for each shard
            found.append((name, start, self.shape(name)[0] if stop is None else stop))
        return read(self, name, start, stop)

    monkeypatch.setattr(Store, "read", counted)
    return found


def test_an_expression_reads_only_what_it_needs(store, monkeypatch):
    found = reads(store, monkeypatch)

    chosen(store, "energy_per_atom < -3 and k > 3")

    assert {name for name, _, _ in found} == {"energy", "n_atoms", "k", "has_k"}


@pytest.fixture
def scanning(monkeypatch):
    """Selections are answered without the index that a store may have."""
    monkeypatch.setattr("zstruct.query.table.index_of", lambda store: None)


@pytest.mark.usefixtures("scanning")
def test_atoms_are_read_only_of_structures_that_are_not_decided(store, structures, monkeypatch):
    left = those(structures, lambda a: {"Ti", "O"} <= set(a.symbols) and len(a) <= 3)
    offsets = store.read("offsets")
    found = reads(store, monkeypatch)

    chosen(store, "fmax < 10 and Ti and O and n_atoms <= 3")

    assert not any(name == "numbers" for name, _, _ in found)  # formulas say it
    rows = {row for name, start, stop in found if name == "forces" for row in range(start, stop)}
    needed = {row for i in left for row in range(offsets[i], offsets[i + 1])}
    assert needed <= rows
    # Chunks of 16 rows are read together where no chunk lies between.
    assert len(rows) < store.n_atoms
    assert all(min(abs(row - other) for other in needed) <= 16 for row in rows)


@pytest.mark.usefixtures("scanning")
def test_nothing_left_reads_no_atoms(store, monkeypatch):
    found = reads(store, monkeypatch)

    assert chosen(store, "fmax < 10 and n_atoms > 1000") == []
    assert {name for name, _, _ in found} == {"n_atoms"}


def test_elements_are_counted_once_for_all_of_an_expression(store, monkeypatch):
    monkeypatch.setattr(StoreTable, "formulas", None)
    found = reads(store, monkeypatch)

    chosen(store, "Ti >= 0 and O >= 0 and H + C >= 0 and only(H, C, O, Ti)")

    rows = sum(stop - start for name, start, stop in found if name == "numbers")
    assert rows == store.n_atoms


@pytest.mark.usefixtures("scanning")
def test_large_tables_are_asked_block_by_block(store, monkeypatch):
    from zstruct.query import evaluation, table

    expected = {expression: chosen(store, expression) for expression in EXPRESSIONS}
    monkeypatch.setattr(evaluation, "_BLOCK", 7)
    monkeypatch.setattr(evaluation, "_BLOCK_OF_ATOMS", 7)
    monkeypatch.setattr(table, "_PIECE_ATOMS", 20)
    found = reads(store, monkeypatch)

    assert {expression: chosen(store, expression) for expression in EXPRESSIONS} == expected
    longest = max(stop - start for name, start, stop in found if name in ("forces", "spin"))
    assert longest <= 20 + 16 + 8  # a piece, a gap of a chunk, and a structure


def test_a_table_of_some_structures_reads_them(store):
    rows = np.array([3, 3, 9, 40])
    table = StoreTable(store, rows)

    assert table.rows("n_atoms", 0, 4).tolist() == store.read("n_atoms")[rows].tolist()
    assert holding(bound("index == 2", table), table).tolist() == [2]
    assert table.positions(np.array([1, 2])).tolist() == [1, 2]


def test_views_of_readers_are_selections_and_are_kept_as_splits_that_say_so(store):
    view = zstruct.StructureReader(store.path, ["energy"]).select("Ti").select("fmax < 3", max_energy=2.0)

    assert repr(view.selection) == 'Selection().select("Ti").select("fmax < 3", max_energy=2.0)'
    assert view.structures.tolist() == view.selection.structures(store).tolist()
    parts = zstruct.split(view, [1.0], labels=["chosen"], name="views", overwrite=True)
    assert parts.recipe["selection"] == str(view.selection)
    again = zstruct.open_split(store.path, "views")
    assert again["chosen"].tolist() == view.structures.tolist()
    assert again.recipe == parts.recipe
    folds = zstruct.kfold(view, 2)
    assert folds[0].recipe["selection"] == str(view.selection)
    assert "selection" not in zstruct.split(store, [1.0], labels=["all"]).recipe


@settings(max_examples=30)
@given(expression=st.sampled_from(sorted(EXPRESSIONS)), first=st.sampled_from(sorted(EXPRESSIONS)))
def test_readers_and_datasets_of_xarray_select_the_same(store, expression, first):
    view = zstruct.StructureReader(store, ["energy"]).select(first).select(expression)
    dataset = zstruct.open(store).zs.select(first).zs.select(expression)

    assert view.structures.tolist() == dataset.structure.values.tolist()
    assert str(view.selection) == dataset.attrs["selection"]


def test_positions_without_a_sign_do_not_wrap(store):
    last = np.array([2**64 - 1], np.uint64)

    for select in (
        Selection().select(last).structures,
        lambda opened: zstruct.open(opened.path).zs.select(last),
    ):
        with pytest.raises(IndexError, match="there is no structure"):
            select(store)
    with pytest.raises(IndexError, match="there is no structure"):
        zstruct.open(store.path).zs.isel(last)
