"""``ds.zs.select``: the language of selections, asked of a Dataset however it was made."""

import pickle

import numpy as np
import pytest
import xarray as xr

import zstruct
from zstruct.errors import InputError, UnknownNameError
from zstruct.explore.dataset_table import DatasetTable
from zstruct.query import Choice, Selection, chosen
from zstruct.store.store import Store

EXPRESSIONS = (
    "Ti and not O",
    "H + C > 1 and n_elements >= 2",
    "only(H, O)",
    "formula == 'H' or formula != 'TiO' and O",
    "fmax < 2 and energy_per_atom < -2",
    "not fmax < 2",
    "has(forces) and not has(site)",
    "not has(tags)",
    "has(site)",
    "config_type in ('bulk', 'liquid')",
    "config_type != 'bulk'",
    "n_k > 4",
    "not n_k > 4 or index < 3",
    "not converged",
    "has(converged)",
    "spectrum[2] > 0",
    "norm(spectrum) > 2",
    "volume > 100 and n_periodic == 2",
    "cell[a, x] > 4 or pbc[c]",
    "R2 > 0",
    "frame >= 10",
    "max_force_component > 1 and volume_per_atom < 80",
)


@pytest.fixture(scope="module")
def opened(path, request):
    return zstruct.open(path, chunks=getattr(request, "param", "atom"))


def labels(dataset):
    return dataset.structure.values.tolist()


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("opened", ["atom", None, {}], indirect=True, ids=str)
def test_a_dataset_selects_what_its_store_does(path, expression, opened):
    expected = Selection().select(expression).structures(Store(path))
    found = opened.zs.select(expression)

    assert labels(found) == expected.tolist()
    assert found.sizes["atom"] == int(found.n_atoms.sum())


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_part_selects_what_its_structures_of_the_store_do(path, ds, expression):
    rows = np.array([31, 5, 6, 5, 0, 22, 38])
    expected = Selection().select(expression).structures(Store(path), rows)

    found = ds.zs.isel(rows).zs.select(expression)
    sorted_by_xarray = ds.isel(structure=rows).zs.select(expression)

    assert labels(found) == labels(sorted_by_xarray) == expected.tolist()
    assert found.sizes["atom"] == int(found.n_atoms.sum())


def test_where_of_an_expression_selects(ds):
    xr.testing.assert_identical(ds.zs.where("Ti and fmax < 3"), ds.zs.select("Ti and fmax < 3"))
    with pytest.raises(UnknownNameError, match="did you mean fmax"):
        ds.zs.where("fmx < 3")


@pytest.mark.parametrize(
    ("changed", "limit"),
    [
        (lambda ds: ds, 3),
        (lambda ds: ds.assign(forces=2 * ds.forces), 6),
        (lambda ds: ds.compute().assign(forces=2 * ds.forces), 6),
        (lambda ds: ds.assign(score=ds.energy), 3),
        (lambda ds: ds.drop_vars("cell"), 3),
        (lambda ds: ds.sortby("energy"), 3),
    ],
)
def test_the_index_is_asked_for_variables_of_the_store_only(ds, monkeypatch, changed, limit):
    expected = set(labels(ds.zs.select("fmax < 3 and Ti")))
    found = changed(ds)

    assert set(labels(found.zs.select(f"Ti and fmax < {limit}"))) == expected
    table = DatasetTable(found)
    assert (table.known("fmax") is not None) == (
        limit == 3 and found.structure.values.tolist() == [*range(40)]
    )
    assert table.known("volume") is None or "cell" in found


def test_atoms_go_along(ds, structures):
    found = ds.zs.select("Ti and fmax < 3")

    expected = [structures[i] for i in labels(found)]
    assert len(expected) > 2
    assert found.numbers.values.tolist() == [z for atoms in expected for z in atoms.numbers.tolist()]
    assert found.positions.values.tolist() == [row for atoms in expected for row in atoms.positions.tolist()]


def test_what_was_added_can_be_asked_for(ds):
    scored = ds.assign(
        score=("structure", np.arange(40.0)),
        batch=("structure", np.array(["a", "b"] * 20, dtype=object)),
        charge=("atom", np.ones(ds.sizes["atom"])),
    )

    assert labels(scored.zs.select("score > 30 and batch == 'b'")) == [31, 33, 35, 37, 39]
    assert labels(scored.zs.select("has(charge) and index < 2")) == [0, 1]


def test_a_dataset_that_was_never_a_store_can_be_asked():
    water = xr.Dataset(
        {
            "numbers": ("atom", np.array([8, 1, 1, 22, 8, 8], dtype=np.uint8)),
            "n_atoms": ("structure", [3, 3]),
            "offsets": ("structure", [0, 3]),
        }
    )

    assert water.zs.select("Ti and formula == 'TiO2'").numbers.values.tolist() == [22, 8, 8]
    assert water.zs.select("O == 1").numbers.values.tolist() == [8, 1, 1]


def test_keywords(path, ds):
    parts = zstruct.split(path, [0.5, 0.5], name="half", labels=["a", "b"])

    assert labels(ds.zs.select(split=("half", "a"))) == parts["a"].tolist()
    assert labels(ds.zs.select("Ti", split=("half", "b"))) == [
        i for i in Selection().select("Ti").structures(Store(path)) if i in parts["b"]
    ]
    for keywords in (
        {"max_force": 2.0},
        {"max_energy": -3.0},
        {"max_force_component": 1.0},
        {"elements": ["H", "O"]},
    ):
        expected = Selection().select(**keywords).structures(Store(path))
        assert labels(ds.zs.select(**keywords)) == expected.tolist()


def test_a_part_without_structures_of_a_split_is_empty(path, ds):
    parts = zstruct.split(path, [0.5, 0.5], name="half", labels=["a", "b"])
    one = ds.zs.isel(parts["a"])

    assert one.zs.select(split=("half", "b")).sizes["structure"] == 0
    with pytest.raises(InputError, match="has no part 'c'; it has a, b"):
        one.zs.select(split=("half", "c"))


def test_references_of_the_build_are_taken_off_energies(tmp_path, structures):
    energies = {"H": -3.0, "C": -1.0, "O": -2.0, "Ti": -5.0}
    zstruct.build(structures, tmp_path / "x.zarr", filters={"atomic_energies": energies}, progress=False)

    def passes(atoms):
        free = sum(energies[symbol] for symbol in atoms.symbols)
        return (atoms.calc.results["energy"] - free) / len(atoms) <= 0.5

    expected = [i for i, atoms in enumerate(structures) if passes(atoms)]
    assert labels(zstruct.open(tmp_path / "x.zarr").zs.select(max_energy=0.5)) == expected
    assert 0 < len(expected) < 40


def test_where_is_a_function_of_the_dataset_or_a_mask(ds):
    expected = np.flatnonzero(ds.energy.values < -10).tolist()

    assert labels(ds.zs.select(where=lambda data: data.energy < -10)) == expected
    assert labels(ds.zs.select(where=ds.energy < -10)) == expected
    assert labels(ds.zs.select(ds.energy < -10)) == expected
    assert labels(ds.zs.select(where=(ds.energy < -10).values, split=None)) == expected


def test_masks_of_other_structures_are_refused(ds):
    mask = ds.sortby("energy").energy < -10

    with pytest.raises(IndexError, match="of other structures"):
        ds.zs.select(where=mask)
    with pytest.raises(IndexError, match="of other structures"):
        ds.zs.select(mask)


def test_positions_are_those_in_the_dataset(ds):
    part = ds.zs.isel([5, 3, 9])

    assert labels(part.zs.select([2, 0])) == [9, 5]
    assert labels(part.zs.select("index >= 1")) == [3, 9]
    assert labels(part.zs.select(slice(1, None)).zs.select(-1)) == [9]


def test_a_selection_says_how_it_came_about(ds):
    once = ds.zs.select("Ti", max_force=9.0)

    assert once.attrs["selection"] == 'where "Ti", max_force=9.0'
    assert once.zs.select("O").attrs["selection"] == 'where "Ti", max_force=9.0, then where "O"'
    assert 'where "Ti", max_force=9.0' in repr(once)
    assert "selection" not in ds.zs.select().attrs
    assert pickle.loads(pickle.dumps(once)).attrs["selection"] == once.attrs["selection"]


def test_what_a_dataset_has_not_is_said(ds):
    with pytest.raises(UnknownNameError, match="this Dataset has no quantity 'fmx'; did you mean fmax"):
        ds.zs.select("fmx < 10")
    with pytest.raises(UnknownNameError, match="fmax needs forces, and this Dataset has none"):
        ds.drop_vars("forces").zs.select("fmax < 10")
    with pytest.raises(InputError, match="lost offsets"):
        ds.drop_vars("offsets").zs.select("fmax < 10")


def test_atoms_are_read_only_of_structures_that_are_not_decided(path, monkeypatch):
    ds = zstruct.open(path)
    read, found = Store.read, []

    def counted(self, name, start=0, stop=None):
        if not name.startswith("shards/"):  # looked at once for each shard
            found.append(name)
        return read(self, name, start, stop)

    monkeypatch.setattr(Store, "read", counted)
    positions = chosen(Choice("fmax < 3 and n_atoms > 1000"), DatasetTable(ds))

    assert positions.tolist() == []
    assert set(found) == {"n_atoms", "index/default/fmax"}


def test_a_store_may_be_opened_selected(path):
    expected = zstruct.open(path).zs.select("Ti and fmax < 3")

    xr.testing.assert_identical(zstruct.open(path, select="Ti and fmax < 3"), expected)
    with pytest.raises(UnknownNameError, match="did you mean fmax"):
        zstruct.open(path, select="fmx < 3")


def test_a_selection_is_taken_and_what_it_says_is_kept(path, ds):
    selection = Selection().select("Ti", max_force=9.0).select(slice(1, 4))

    expected = ds.zs.select("Ti", max_force=9.0).zs.select(slice(1, 4))

    assert ds.zs.select(selection).identical(expected)
    assert labels(expected) == selection.structures(Store(path)).tolist()
    xr.testing.assert_identical(zstruct.open(path, select=selection), zstruct.open(path).zs.select(selection))
    assert labels(ds.zs.select(selection, max_energy=-5.0)) == labels(expected.zs.select(max_energy=-5.0))


def test_the_dtype_says_what_a_variable_is_and_no_attribute_that_it_inherited(ds):
    with xr.set_options(keep_attrs=True):
        made = ds.assign(
            small=ds.n_atoms < 4,
            is_bulk=ds.config_type == "bulk",
            as_number=ds.converged.astype(int),
            twice=ds.converged * 2,
            thirds=ds.converged / 3,
            n_directions=ds.pbc.sum("cell_vector"),
        )

    def found(mask):
        return np.flatnonzero(mask).tolist()

    assert labels(made.zs.select("small")) == found(ds.n_atoms.values < 4)
    assert labels(made.zs.select("is_bulk")) == found(ds.config_type.values == "bulk")
    assert labels(made.zs.select("as_number == 1")) == found(ds.converged.values)
    assert labels(made.zs.select("twice > 1 and thirds < 1")) == found(ds.converged.values)
    assert labels(made.zs.select("n_directions == 2")) == found(ds.pbc.values.sum(axis=1) == 2)
    for name in ("as_number", "twice", "thirds", "n_directions"):
        with pytest.raises(InputError, match=f"{name} is a number, not a condition"):
            made.zs.select(name)
    with pytest.raises(InputError, match="is_bulk is a condition and 'True' is a text"):
        made.zs.select("is_bulk == 'True'")


def test_floats_that_stand_for_booleans_are_conditions_until_they_are_calculated_with(ds):
    kind = {"kind": "bool"}
    flags = np.array([1.0, 0.0, np.nan, 1.0] * 10)
    made = ds.assign(flag=("structure", flags, kind), half=("structure", flags / 2, kind))

    assert labels(made.zs.select("flag and index < 4")) == [0, 3]
    assert labels(made.zs.select("not flag and index < 4")) == [1]
    assert labels(made.zs.select("half > 0.2 and index < 4")) == [0, 3]
    assert made.zs.to_dataframe(["half"]).half[:2].tolist() == [0.5, 0.0]


def test_whole_numbers_without_a_sign_do_not_wrap(ds):
    most = np.full(40, 2**64 - 1, np.uint64)
    made = ds.assign(u=("structure", most), n=("structure", np.full(40, 200, np.uint8)))

    assert labels(made.zs.select("u < 0")) == []
    assert labels(made.zs.select("u > 18e18 and n * n == 40000")) == list(range(40))
    assert labels(
        made.assign_coords(n_atoms=ds.n_atoms.astype(np.uint8)).zs.select("n_atoms * 200 >= 400")
    ) == labels(ds.zs.select("n_atoms >= 2"))


def test_a_function_of_the_store_is_told_that_it_is_given_a_dataset(ds):
    with pytest.raises(InputError, match="here it is a function of the Dataset, in datasets and readers"):
        ds.zs.select(where=lambda store: store.read("energy") < 0)


@pytest.mark.parametrize(
    ("selected", "reason"),
    [
        (
            {"which": "spectrum[2] > 0"},
            r"spectrum can't be asked for: .* dimensions \(spectrum_component, st",
        ),
        ({"which": "volume > 0"}, "volume needs cell, and cell of this Dataset has the dimensions"),
        ({"which": "has(volume)"}, "volume needs cell, and cell of this Dataset has the dimensions"),
        ({"which": "has(forces)"}, "forces can't be asked for: .* and atom comes first"),
        ({"max_force": 1.0}, r"forces of this Dataset .* first: ds.transpose\('structure', 'atom', ...\)"),
    ],
)
def test_dimensions_in_another_order_are_said(ds, selected, reason):
    turned = ds.transpose("xyz", "spectrum_component", ...)

    with pytest.raises(InputError, match=reason):
        turned.zs.select(**selected)
    again = turned.transpose("structure", "atom", ...)
    assert labels(again.zs.select(**selected)) == labels(ds.zs.select(**selected))


def test_what_has_no_structures_is_not_selected_from():
    with pytest.raises(InputError, match="this Dataset has no dimension structure: there is nothing"):
        xr.Dataset().zs.select("Ti")


def test_elements_are_asked_of_formulas_and_no_atoms_are_cut_out(ds, monkeypatch):
    cuts, part = [], DatasetTable._part
    monkeypatch.setattr(DatasetTable, "_part", lambda self, *given: cuts.append(given) or part(self, *given))

    chosen(Choice("Ti >= 0 and O >= 0 and H + C >= 0 and only(H, C, O, Ti)"), DatasetTable(ds))

    assert cuts == []


def test_an_empty_text_is_a_text(tmp_path, structures):
    made = [atoms.copy() for atoms in structures[:3]]
    for atoms, text in zip(made, ("bulk", "", None), strict=True):
        atoms.info = {} if text is None else {"label": text}
    zstruct.build(made, tmp_path / "x.zarr", progress=False)

    for select in (
        lambda text: Selection().select(text).structures(Store(tmp_path / "x.zarr")).tolist(),
        lambda text: labels(zstruct.open(tmp_path / "x.zarr").zs.select(text)),
    ):
        assert select("label == ''") == [1]
        assert select("label != ''") == [0]
        assert select("not has(label)") == [2]
