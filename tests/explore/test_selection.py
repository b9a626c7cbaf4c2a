import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import zstruct
from zstruct.explore.selection import picked, row_blocks


def assert_holds(part, expected):
    """A Dataset holds exactly these structures, and nobody else's atoms."""
    assert part.sizes["structure"] == len(expected)
    assert part.sizes["atom"] == sum(map(len, expected))
    assert part.n_atoms.values.tolist() == [len(atoms) for atoms in expected]
    assert part.offsets.values.tolist() == np.cumsum([0, *map(len, expected)])[:-1].tolist()
    assert part.config_type.fillna("").values.tolist() == [a.info.get("config_type", "") for a in expected]
    assert part.energy.values.tolist() == [a.calc.results["energy"] for a in expected]
    assert part.numbers.values.tolist() == [z for a in expected for z in a.numbers.tolist()]
    assert part.positions.values.tolist() == [row for a in expected for row in a.positions.tolist()]


@pytest.mark.parametrize(
    "which",
    [
        slice(None),
        slice(3, 17),
        slice(30, 99),
        slice(20, 3),
        slice(-5, None),
        slice(2, 30, 7),
        slice(None, None, -1),
        slice(-1, -20, -6),
        range(4, 9),
        [5],
        [3, 4, 5],
        [39, 0, 7, 7, -1],
        np.array([1, 9, 30], dtype=np.uint16),
        [],
        (),
    ],
    ids=str,
)
def test_isel_picks_structures_and_their_atoms(ds, structures, which):
    expected = structures[which] if isinstance(which, slice) else [structures[i] for i in which]

    assert_holds(ds.zs.isel(structure=which), expected)


@pytest.mark.parametrize("i", [0, 17, -1, np.int32(5), np.array(6)])
def test_an_integer_keeps_the_dimension(ds, structures, i):
    assert_holds(ds.zs.isel(i), [structures[int(i)]])


def test_masks(ds, structures):
    keep = ds.energy < -10
    values = keep.values
    expected = [atoms for atoms, ok in zip(structures, values, strict=True) if ok]

    assert_holds(ds.zs.isel(keep), expected)
    assert_holds(ds.zs.isel(values), expected)
    assert_holds(ds.zs.isel(values.tolist()), expected)
    assert_holds(ds.zs.where(keep), expected)
    assert_holds(ds.zs.where(values.tolist()), expected)
    assert_holds(ds.zs.where(np.zeros(40, dtype=bool)), [])


@given(data=st.data())
@settings(max_examples=15)
def test_selections_can_be_repeated(path, structures, data):
    part, expected = zstruct.open(path), structures
    for _ in range(data.draw(st.integers(1, 4))):
        n = len(expected)
        how = data.draw(st.sampled_from(["slice", "mask", "list"]))
        if how == "slice":
            which = data.draw(st.slices(n))
            expected = expected[which]
        elif how == "mask":
            which = data.draw(
                st.lists(st.booleans(), min_size=n, max_size=n).map(lambda m: np.array(m, bool))
            )
            expected = [expected[i] for i in np.flatnonzero(which)]
        else:
            which = data.draw(st.lists(st.integers(-n, n - 1), max_size=20)) if n else []
            expected = [expected[i] for i in which]
        part = part.zs.isel(which)
    assert_holds(part, expected)


def test_plain_xarray_may_select_and_sort_structures(ds, structures):
    by_energy = sorted(structures, key=lambda atoms: atoms.calc.results["energy"])

    low = ds.sortby("energy").isel(structure=slice(0, 12))

    assert low.sizes["atom"] == ds.sizes["atom"]
    assert low.zs.n_atoms == sum(map(len, by_energy[:12]))
    assert low.zs.formula.values.tolist() == [a.get_chemical_formula("hill") for a in by_energy[:12]]
    assert_holds(low.zs.isel(slice(None)), by_energy[:12])
    assert_holds(low.zs.isel([3, 1]), [by_energy[3], by_energy[1]])


def test_slices_stay_lazy_and_small(ds):
    part = ds.zs.isel(slice(10, 14))

    assert part.positions.chunks is not None
    assert part.positions.nbytes < ds.positions.nbytes / 4
    assert part.zs.isel([3, 0, 2]).positions.chunks is not None


def test_own_variables_and_attributes_follow(ds):
    ds = ds.assign_coords(label=("structure", np.arange(40) * 10)).assign(
        twice=2 * ds.positions, by_axis=("xyz", [1, 2, 3])
    )

    part = ds.zs.isel([4, 2])

    assert part.label.values.tolist() == [40, 20]
    np.testing.assert_array_equal(part.twice.values, 2 * part.positions.values)
    assert part.by_axis.values.tolist() == [1, 2, 3]
    assert list(part.data_vars) == list(ds.data_vars)
    assert part.forces.attrs["units"] == "eV angstrom-1"


def test_attributes_that_no_longer_hold_are_dropped(ds):
    part = ds.zs.isel(slice(1, 4))

    assert part.attrs["n_structures"] == 3
    assert part.attrs["n_atoms"] == part.sizes["atom"]
    assert not {"digest", "species"} & set(part.attrs)
    assert part.energy.attrs["coverage"] == 3
    assert "coverage" not in part.forces.attrs
    assert not {"digest", "actual_range"} & set(part.energy.attrs)
    assert ds.attrs["n_structures"] == ds.energy.attrs["coverage"] == 40
    assert {"digest", "actual_range"} <= set(ds.energy.attrs)


@pytest.mark.parametrize(
    ("which", "sentence"),
    [
        (40, "there is no structure 40: the Dataset has 40"),
        (-41, "there is no structure -41"),
        ([0, 3, 99], "there is no structure 99"),
        (np.ones(39, dtype=bool), r"the mask has the shape \(39,\), but there are 40 structures"),
        (True, "the mask has the shape"),
        ([0.5, 1.0], "structures are picked by an integer, .* not by float64"),
        (["a"], "not by <U1 values"),
        ([[1, 2]], r"of shape \(1, 2\)"),
        (xr.DataArray([True, False], dims="atom"), "over structures, not over"),
    ],
    ids=str,
)
def test_refuses_what_picks_no_structures(ds, which, sentence):
    with pytest.raises(IndexError, match=sentence):
        ds.zs.isel(which)


def test_where_refuses_integers(ds):
    with pytest.raises(IndexError, match="where takes a boolean mask, not int64"):
        ds.zs.where([1, 2])


def test_says_what_a_dataset_has_lost(ds):
    with pytest.raises(zstruct.InputError, match=r"lost offsets and n_atoms, .*keep both"):
        ds[["forces"]].zs.reduce("forces", "sum")
    with pytest.raises(zstruct.InputError, match="lost offsets"):
        ds.drop_vars("offsets").zs.reduce("forces", "sum")
    with pytest.raises(zstruct.InputError, match="should have the dimension structure"):
        ds.isel(structure=3).zs.formula  # noqa: B018
    with pytest.raises(zstruct.InputError, match=r"forces is over atom and structure at once"):
        ds[["energy", "forces"]].where(ds.energy < -10).zs.reduce("forces", "sum")
    with pytest.raises(zstruct.InputError, match="no longer integers"):
        ds.assign_coords(n_atoms=ds.n_atoms.where(ds.energy < -10)).zs.composition  # noqa: B018
    with pytest.raises(zstruct.InputError, match="offsets point behind the 10 atoms"):
        ds.isel(atom=slice(10)).zs.composition  # noqa: B018


def test_says_that_plain_xarray_opened_it(path):
    with pytest.raises(zstruct.InputError, match=r"open the store with zstruct\.open"):
        xr.open_zarr(path).zs.isel(0)


def test_without_fields_over_atoms_offsets_are_not_needed(ds, structures):
    part = ds[["energy"]].zs.isel([3, 1])

    assert part.energy.values.tolist() == [structures[i].calc.results["energy"] for i in (3, 1)]


@given(which=st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_picked_means_what_numpy_means(which):
    structures = np.arange(10)

    np.testing.assert_array_equal(structures[picked(which, 10)], structures[which])


@given(
    counts=st.lists(st.integers(0, 5), max_size=12),
    block=st.integers(1, 20),
    chunk=st.none() | st.integers(1, 7),
)
def test_row_blocks_are_whole_structures(counts, block, chunk):
    offsets = np.cumsum([0, *counts])
    rows = np.arange(offsets[-1], dtype=np.int8)
    variable = xr.Variable("atom", rows)
    if chunk is not None and len(rows):
        variable = variable.chunk({"atom": chunk})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zstruct.explore.selection._BLOCK_BYTES", block)
        blocks = list(row_blocks(variable, offsets))

    assert [i for which, _, _ in blocks for i in range(which.start, which.stop)] == list(range(len(counts)))
    for which, values, edges in blocks:
        for k, i in enumerate(range(which.start, which.stop)):
            np.testing.assert_array_equal(values[edges[k] : edges[k + 1]], rows[offsets[i] : offsets[i + 1]])
