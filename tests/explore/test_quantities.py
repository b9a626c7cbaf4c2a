"""Quantities of structures, against loops over the structures and against ASE."""

import numpy as np
import pytest
import xarray as xr
from ase.formula import Formula

import zstruct


def test_has_agrees_with_the_input(ds, structures):
    expected = {
        "energy": [True] * 40,
        "forces": ["forces" in a.calc.results for a in structures],
        "tags": ["tags" in a.arrays for a in structures],
        "site": ["site" in a.arrays for a in structures],
        "config_type": ["config_type" in a.info for a in structures],
        "n_k": ["n_k" in a.info for a in structures],
        "converged": ["converged" in a.info for a in structures],
        "numbers": [True] * 40,
        "n_atoms": [True] * 40,
    }
    order = [30, 2, 3, 8, 4]

    for field, truth in expected.items():
        assert ds.zs.has(field).dims == ("structure",)
        assert ds.zs.has(field).values.tolist() == truth, field
        assert ds.zs.isel(order).zs.has(field).values.tolist() == [truth[i] for i in order]
        assert ds.isel(structure=order).zs.has(field).values.tolist() == [truth[i] for i in order]


def test_has_reads_nothing_where_all_structures_have_it(ds):
    def fail(values):
        raise AssertionError("read")

    chunked = ds.energy.chunk()
    energy = xr.apply_ufunc(fail, chunked, dask="parallelized", output_dtypes=[float], keep_attrs=True)

    assert ds.assign(energy=energy).zs.has("energy").all()


def test_nan_is_a_value_in_a_field_that_is_never_missing(rng, tmp_path, structures):
    frames = [atoms.copy() for atoms in structures[:4]]
    for atoms in frames:
        atoms.arrays["q"] = np.full(len(atoms), np.nan)
        atoms.info["gap"] = np.nan
    zstruct.build(frames, tmp_path / "x.zarr", progress=False)

    ds = zstruct.open(tmp_path / "x.zarr")

    assert ds.zs.has("q").all()
    assert ds.zs.has("gap").all()
    assert np.isnan(ds.zs.isel([2, 1]).zs.to_ase(0).arrays["q"]).all()


def test_has_looks_at_every_atom_of_unknown_fields(tmp_path, structures):
    frames = [atoms.copy() for atoms in structures if len(atoms) > 2][:4]
    frames[1].arrays["q"] = np.array([np.nan, *[1.0] * (len(frames[1]) - 1)])
    zstruct.build(frames, tmp_path / "x.zarr", progress=False)

    assert zstruct.open(tmp_path / "x.zarr").zs.has("q").values.tolist() == [False, True, False, False]


@pytest.mark.parametrize("how", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("part", [slice(None), [30, 4, 5, 17], slice(3, 20)], ids=str)
def test_reduce_agrees_with_a_loop(ds, structures, how, part, monkeypatch):
    monkeypatch.setattr("zstruct.explore.selection._BLOCK_BYTES", 500)
    mine = np.array(structures, dtype=object)[part]
    expected = [getattr(np, how)(atoms.positions, axis=0) for atoms in mine]

    cut = ds.zs.isel(part).zs.reduce("positions", how)
    plain = ds.isel(structure=part).zs.reduce("positions", how)

    assert cut.dims == ("structure", "xyz")
    assert cut.attrs["units"] == "angstrom"
    assert cut.xyz.values.tolist() == ["x", "y", "z"]
    np.testing.assert_allclose(cut, expected, rtol=1e-13)
    xr.testing.assert_equal(cut, plain)


def test_reduce_takes_arrays(ds, structures):
    reduced = ds.zs.reduce(ds.positions.sel(xyz="z") ** 2, "sum")

    np.testing.assert_allclose(reduced, [(a.positions[:, 2] ** 2).sum() for a in structures])
    assert ds.zs.reduce(ds.numbers.compute() == 8, "sum").values.tolist() == [
        (a.numbers == 8).sum() for a in structures
    ]


def test_reduce_refuses_what_it_cannot_reduce(ds):
    with pytest.raises(KeyError, match="no field 'force'; it has positions, forces"):
        ds.zs.reduce("force", "sum")
    with pytest.raises(ValueError, match=r"values over the .* atoms"):
        ds.zs.reduce("energy", "sum")
    with pytest.raises(ValueError, match=r"values over the .* atoms"):
        ds.zs.reduce(ds.positions[:3], "sum")
    with pytest.raises(ValueError, match="reduce takes numbers; site holds object"):
        ds.zs.reduce("site", "max")
    with pytest.raises(ValueError, match="not 'median'"):
        ds.zs.reduce("forces", "median")


def test_fmax_is_the_largest_norm(ds, structures):
    expected = [
        np.linalg.norm(a.calc.results["forces"], axis=1).max() if "forces" in a.calc.results else np.nan
        for a in structures
    ]

    np.testing.assert_allclose(ds.zs.fmax, expected)
    assert ds.zs.fmax.attrs["units"] == "eV angstrom-1"


def test_volume_is_that_of_ase(ds, structures):
    expected = [a.get_volume() if a.cell.any() else np.nan for a in structures]

    assert ds.zs.volume.attrs["units"] == "angstrom3"
    np.testing.assert_allclose(ds.zs.volume, expected)
    np.testing.assert_allclose(ds.zs.volume_per_atom, np.array(expected) / [len(a) for a in structures])


def test_energy_per_atom(ds, structures):
    per_atom = ds.zs.energy_per_atom

    np.testing.assert_allclose(per_atom, [a.calc.results["energy"] / len(a) for a in structures])
    assert per_atom.attrs == {"long_name": "energy per atom", "units": "eV"}


@pytest.mark.parametrize("part", [slice(None), [30, 4, 5, 17], slice(3, 6), [0]], ids=str)
def test_composition_agrees_with_ase(ds, structures, part):
    mine = np.array(structures, dtype=object)[part]
    cut, plain = ds.zs.isel(part), ds.isel(structure=part)

    assert cut.zs.formula.values.tolist() == [a.get_chemical_formula("hill") for a in mine]
    assert cut.zs.elements == [s for s in ("H", "C", "O", "Ti") if any(s in a.symbols for a in mine)]
    assert cut.zs.composition.element.values.tolist() == cut.zs.elements
    for row, atoms in zip(cut.zs.composition, mine, strict=True):
        counted = {str(s): int(n) for s, n in zip(row.element.values, row.values, strict=True) if n}
        assert counted == dict(atoms.symbols.formula.count())
    assert plain.zs.elements == cut.zs.elements
    assert plain.zs.formula.values.tolist() == cut.zs.formula.values.tolist()


def test_elements_come_from_the_attributes_of_a_whole_store(ds):
    unread = ds.assign_attrs(species={"Xe": 1})

    assert unread.zs.elements == ["Xe"]


def test_no_structures_at_all(ds):
    none = ds.zs.isel([])

    assert none.zs.n_structures == none.zs.n_atoms == 0
    assert none.zs.elements == []
    assert none.zs.formula.shape == none.zs.fmax.shape == none.zs.has("forces").shape == (0,)
    assert none.zs.composition.shape == (0, 0)
    assert none.zs.reduce("positions", "mean").shape == (0, 3)
    assert none.zs.to_ase() == []


def test_many_distinct_compositions():
    """Products of the largest counts pass 2**63, so rows are told apart in steps."""
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 1000, (50, 30))
    counts[10] = counts[3]
    symbols = [zstruct.elements.SYMBOLS[z] for z in range(1, 31)]

    texts = zstruct.explore.composition.formulas(symbols, counts)

    assert texts[10] == texts[3]
    assert len(set(texts)) == 49
    for text, row in zip(texts, counts, strict=True):
        count = {s: n for s, n in zip(symbols, row.tolist(), strict=True) if n}
        assert Formula(text).count() == count
