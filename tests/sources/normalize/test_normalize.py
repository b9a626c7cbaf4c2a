"""From input properties to fields: names, units, shapes and faults, on blocks built by hand."""

import ase.stress
import numpy as np
import pytest

from zstruct.errors import InputError
from zstruct.sources.normalize.normalize import ReadOptions, normalize
from zstruct.sources.remarks import Remarks
from zstruct.sources.source import BadFrame, Raw, RawColumn

HARTREE, BOHR = 27.21138602, 0.52917721067
CELL = np.array([[4.0, 0, 0], [1, 5, 0], [0, 2, 6]])  # volume 120
VOIGT = [1.0, 2.0, 3.0, 0.25, 0.5, 0.75]
FULL = np.array([[1.0, 0.75, 0.5], [0.75, 2.0, 0.25], [0.5, 0.25, 3.0]])


def block(n_atoms=(2, 1), atom=None, structure=None, bad=(), positions=None):
    """A block with plain geometry; properties are given as column, list of columns or values."""
    counts = np.array(n_atoms, dtype=np.int64)
    total = int(counts.sum())
    positions = np.arange(3.0 * total).reshape(-1, 3) if positions is None else positions
    raw = Raw(np.arange(len(counts)) + 10, counts, bad=list(bad))
    raw.atom = {"numbers": [RawColumn(np.ones(total, np.uint8))], "positions": [RawColumn(positions)]}
    for table, given in ((raw.atom, atom), (raw.structure, structure)):
        for key, value in (given or {}).items():
            value = value if isinstance(value, (list, RawColumn)) else RawColumn(np.asarray(value))
            table[key] = value if isinstance(value, list) else [value]
    return raw


def fields(raw, keys=(), units=(), exclude=()):
    packed, bad = normalize(raw, ReadOptions(dict(keys), dict(units), frozenset(exclude)), "in.xyz")
    assert bad == raw.bad
    return packed


def faults(raw, **options):
    packed, bad = normalize(raw, ReadOptions(**options), "in.xyz")
    assert len(packed) + len(bad) == len(raw.n_atoms)
    return {b.frame: b.reason for b in bad}


def some(values, present):
    return RawColumn(np.asarray(values), np.array(present, dtype=bool))


def texts(codes, names, present=None):
    return RawColumn(np.array(codes, np.int32), None if present is None else np.array(present), list(names))


# Names


@pytest.mark.parametrize(
    "key", ["forces", "force", "REF_forces", "dft_forces", "DFT_force", "Forces", "FORCE"]
)
def test_aliases_of_forces(key):
    f = np.arange(9.0).reshape(3, 3)
    assert np.array_equal(fields(block(atom={key: f})).columns["forces"], f)


@pytest.mark.parametrize(
    "key", ["energy", "Energy", "REF_energy", "ENERGY", "DFT_energy", "potential_energy"]
)
def test_aliases_of_energy(key):
    packed = fields(block(structure={key: [RawColumn(np.array([-1, -2]))]}))
    assert packed.columns["energy"].tolist() == [-1.0, -2.0]
    assert packed.columns["energy"].dtype == np.float64


def test_free_energy_is_not_energy():
    assert "energy" not in fields(block(structure={"free_energy": np.ones(2)})).columns


def test_two_candidates_are_refused_and_both_are_named():
    raw = block(structure={"energy": np.array([1.0, 2]), "REF_energy": np.array([1.0, 3])})
    with pytest.raises(
        InputError, match=r"in.xyz, frame 11: 'energy' and 'REF_energy' could both be"
    ) as info:
        normalize(raw, ReadOptions(), "in.xyz")
    assert info.value.frame == 11


def test_candidates_that_agree_are_one():
    raw = block(structure={"energy": np.array([1.0, np.nan]), "REF_energy": np.array([1.0, np.nan])})
    packed = fields(raw)
    assert packed.columns["energy"][0] == 1.0
    assert packed.present["energy"].tolist() == [True, False]


def test_candidates_in_different_structures_are_joined():
    raw = block(structure={"energy": some([1.0, 0], [1, 0]), "REF_energy": some([0, 3.0], [0, 1])})
    packed = fields(raw)
    assert packed.columns["energy"].tolist() == [1.0, 3.0]
    assert "energy" not in packed.present


def test_one_key_with_two_values_says_where_to_look():
    raw = block(structure={"energy": [RawColumn(np.zeros(2)), RawColumn(np.ones(2))]})
    with pytest.raises(InputError, match="two different values of 'energy'"):
        normalize(raw, ReadOptions(), "in.xyz")


def test_equal_texts_are_no_contradiction():
    raw = block(structure={"head": [texts([0, 1], "ab"), texts([1, 0], "ba")]})
    packed = fields(raw)
    assert [packed.categories["head"][c] for c in packed.columns["head"]] == ["a", "b"]


def test_keys_choose_and_the_other_is_kept_under_another_name():
    raw = block(structure={"energy": np.array([1.0, 2]), "REF_energy": np.array([5.0, 6])})
    packed = fields(raw, keys={"energy": "REF_energy"})
    assert packed.columns["energy"].tolist() == [5.0, 6.0]
    assert packed.columns["input_energy"].tolist() == [1.0, 2.0]


def test_keys_name_new_fields():
    packed = fields(block(structure={"gap": np.array([1.0, 2])}), keys={"band_gap": "gap"})
    assert packed.columns["band_gap"].tolist() == [1.0, 2.0]
    assert "gap" not in packed.columns


def test_exclude_resolves_an_ambiguity():
    raw = block(structure={"energy": np.array([1.0, 2]), "REF_energy": np.array([5.0, 6])})
    assert fields(raw, exclude=["energy"]).columns["energy"].tolist() == [5.0, 6.0]


@pytest.mark.parametrize(
    "options",
    [
        {"keys": {"positions": "x"}},
        {"keys": {"cell": "x"}},
        {"keys": {"source": "x"}},
        {"keys": {"offsets": "x"}},
        {"keys": {"energy": 1}},
        {"keys": {"energy": "E", "free_energy": "E"}},
        {"exclude": frozenset({"numbers"})},
        {"exclude": frozenset({"positions"})},
        {"units": {"energy": "eV/A"}},
        {"units": {"gap": "eV"}},
    ],
)
def test_bad_options_are_refused(options):
    with pytest.raises(InputError):
        ReadOptions(**options)


def test_charge_by_level():
    packed = fields(block(atom={"charge": np.array([0.5, 0.5, 0])}, structure={"charge": np.array([1, 0])}))
    assert packed.columns["charges"].tolist() == [0.5, 0.5, 0.0]
    assert packed.columns["total_charge"].tolist() == [1.0, 0.0]


def test_names_that_mean_something_else_here():
    packed = fields(
        block(
            atom={"Z": np.ones(3), "cell": np.ones(3), "source": np.arange(3)},
            structure={"source": texts([0, 1], "ab"), "forces": np.ones(2), "frame": np.array([7, 8])},
        )
    )
    assert packed.columns["frame"].tolist() == [10, 11]
    assert packed.columns["input_frame"].tolist() == [7, 8]
    assert packed.categories["input_source_structure"] == ["a", "b"]
    assert packed.columns["input_source"].tolist() == [0, 1, 2]
    assert packed.columns["input_forces"].tolist() == [1.0, 1.0]
    assert packed.columns["Z"].tolist() == [1.0, 1.0, 1.0]
    assert packed.columns["cell"].shape == (2, 3, 3)


def test_one_name_on_both_levels_never_hides_a_third():
    raw = block(atom={"x": np.ones(3)}, structure={"x": np.zeros(2), "x_structure": np.full(2, 5.0)})
    packed = fields(raw)
    assert packed.columns["x"].tolist() == [1, 1, 1]
    assert packed.columns["x_structure"].tolist() == [5, 5]
    assert packed.columns["x_structure_"].tolist() == [0, 0]


# Units


def test_units_are_converted():
    raw = block(atom={"forces": np.ones((3, 3))}, structure={"energy": np.array([1.0, 2.0])})
    packed = fields(raw, units={"energy": "Ha", "forces": "Ha/Bohr"})
    assert packed.columns["energy"] == pytest.approx([HARTREE, 2 * HARTREE])
    assert packed.columns["forces"] == pytest.approx(np.full((3, 3), HARTREE / BOHR))


def test_units_follow_the_field_not_the_key():
    packed = fields(block(structure={"REF_energy": np.array([2, 4])}), units={"energy": "meV"})
    assert packed.columns["energy"].tolist() == [0.002, 0.004]


def test_positions_in_bohr_need_a_word_on_the_cell():
    raw = block(structure={"cell": np.stack([CELL, CELL]), "pbc": np.ones((2, 3), bool)})
    with pytest.raises(InputError, match="not for the cell"):
        normalize(raw, ReadOptions(units={"positions": "Bohr"}), "in.xyz")
    packed = fields(raw, units={"positions": "Bohr", "cell": "Bohr"})
    assert packed.columns["cell"][0, 0, 0] == pytest.approx(4 * BOHR)
    assert packed.columns["positions"][1, 0] == pytest.approx(3 * BOHR)
    assert len(fields(block(), units={"positions": "Bohr"})) == 2


# Stress and virial


@pytest.mark.parametrize("given", [VOIGT, FULL, FULL.T.ravel()])
def test_stress_in_every_form(given):
    packed = fields(block((1,), structure={"stress": np.array([given])}))
    assert packed.columns["stress"].tolist() == [VOIGT]


def test_voigt_order_is_that_of_ase():
    packed = fields(block((1,), structure={"stress": FULL[None]}))
    assert np.array_equal(ase.stress.full_3x3_to_voigt_6_stress(FULL), packed.columns["stress"][0])


@pytest.mark.parametrize("key", ["stress", "virial"])
def test_asymmetric_tensors_are_bad(key):
    skew = FULL + np.array([[0, 0.1, 0], [0, 0, 0], [0, 0, 0]])
    raw = block((1, 1), structure={key: np.stack([FULL, skew]), "cell": np.stack([CELL, CELL])})
    found = faults(raw)
    assert list(found) == [11]
    assert f"the {key} is not symmetric" in found[11]


def test_rounding_in_the_last_digits_is_no_asymmetry():
    near = FULL + np.array([[0, 1e-5, 0], [0, 0, 0], [0, 0, 0]])
    assert faults(block((1,), structure={"stress": near[None]})) == {}


def test_virial_becomes_minus_stress_times_volume():
    raw = block(
        (1,), structure={"virial": 120.0 * FULL[None], "cell": CELL[None], "pbc": np.ones((1, 3), bool)}
    )
    packed = fields(raw)
    assert packed.columns["stress"] == pytest.approx(-np.array([VOIGT]))
    assert "virial" not in packed.columns


def test_nine_numbers_of_a_virial_are_in_fortran_order():
    odd = np.arange(9.0)
    packed = fields(block((1,), structure={"virial": odd[None]}))
    assert np.array_equal(packed.columns["virial"][0], odd.reshape(3, 3, order="F"))


def test_virial_without_volume_stays_and_units_apply_before():
    raw = block(
        (1, 1),
        structure={"virials": np.stack([FULL, FULL]), "cell": np.stack([CELL, np.zeros((3, 3))])},
    )
    packed = fields(raw, units={"virial": "Ha"})
    assert packed.columns["stress"][0] == pytest.approx(-np.array(VOIGT) * HARTREE / 120)
    assert packed.present["stress"].tolist() == [True, False]
    assert packed.present["virial"].tolist() == [False, True]
    assert packed.columns["virial"][1] == pytest.approx(FULL * HARTREE)


def stresses(stress, virial, has_stress=(1, 1)):
    cells = np.stack([CELL, CELL])
    return block((1, 1), structure={"stress": some(stress, has_stress), "virial": virial, "cell": cells})


def test_a_stress_and_its_virial_are_one():
    virial = -120.0 * np.stack([FULL, FULL]) * (1 + 2e-4)
    packed = fields(stresses([VOIGT, [0.0] * 6], virial, has_stress=[1, 0]))
    assert packed.columns["stress"][0].tolist() == VOIGT
    assert packed.columns["stress"][1] == pytest.approx(np.array(VOIGT), rel=3e-4)
    assert "virial" not in packed.columns


@pytest.mark.parametrize(
    ("factor", "hint"),
    [
        (120.0, ", but they have opposite signs; leave one out"),
        (-60.0, "volume; leave one out"),
        (
            -120.0 / 160.21766208,
            r" \(the stress seems to be in GPa: units={'stress': 'GPa'}\); leave one out",
        ),
        (120.0 / 1602.1766208, r"opposite signs \(the stress seems to be in kbar"),
    ],
)
def test_a_stress_and_a_virial_that_contradict_each_other(factor, hint):
    raw = stresses([VOIGT, VOIGT], np.stack([-120 * FULL, factor * FULL]))
    with pytest.raises(InputError, match=f"in.xyz, frame 11: the stress and the virial contradict.*{hint}"):
        normalize(raw, ReadOptions(), "in.xyz")
    assert "virial" not in fields(raw, exclude=["virial"]).columns
    assert fields(raw, exclude=["stress"]).columns["stress"][1] == pytest.approx(
        np.array(VOIGT) * factor / -120
    )


def test_a_stress_of_nan_is_none_beside_a_virial():
    packed = fields(stresses([VOIGT, [np.nan] * 6], -120 * np.stack([FULL, FULL])))
    assert packed.columns["stress"][1] == pytest.approx(np.array(VOIGT))


def test_one_tensor_in_two_forms_is_one():
    nine = np.stack([FULL.T.ravel(), FULL.T.ravel()])
    structure = {"stress": nine, "dft_stress": np.array([VOIGT, VOIGT]) * (1 + 1e-8)}
    packed = fields(block((1, 1), structure=structure))
    assert packed.columns["stress"].tolist() == [VOIGT, VOIGT]
    structure["dft_stress"][1, 0] *= 1.001
    with pytest.raises(InputError, match="frame 11: 'stress' and 'dft_stress' could both be the stress"):
        normalize(block((1, 1), structure=structure), ReadOptions(), "in.xyz")


def test_one_value_in_two_units_is_one():
    raw = block(structure={"energy": [RawColumn(np.array([1.0, 2.0]), unit="Ha")]})
    raw.structure["REF_energy"] = [RawColumn(np.array([1.0, 2.0]) * HARTREE)]
    assert fields(raw).columns["energy"] == pytest.approx([HARTREE, 2 * HARTREE])
    raw.structure["REF_energy"] = [RawColumn(np.array([1.0, 2.0]))]
    with pytest.raises(InputError, match="'energy' and 'REF_energy' could both be the energy"):
        normalize(raw, ReadOptions(), "in.xyz")


def test_keys_that_differ_in_case_are_two_candidates():
    raw = block(structure={"Energy": some([1.0, 0], [1, 0]), "energy": some([0, 2.0], [0, 1])})
    assert fields(raw).columns["energy"].tolist() == [1.0, 2.0]
    raw = block(structure={"Energy": np.array([1.0, 5.0]), "energy": np.array([1.0, 2.0])})
    with pytest.raises(InputError, match="frame 11: 'Energy' and 'energy' could both be the energy"):
        normalize(raw, ReadOptions(), "in.xyz")


def test_group_labels_whose_keys_differ_in_case_are_both_kept():
    raw = block(
        (1, 1, 1, 1),
        structure={
            "Config_type": texts([0, 1, 1, 2], ["a", "b", "c"], [True, True, True, False]),
            "config_type": texts([0, 0, 0, 1], ["a", "d"], [True, True, False, True]),
        },
    )
    packed = fields(raw)
    label = packed.categories["config_type"]
    assert [label[c] for c in packed.columns["config_type"]] == ["a", "a", "b", "d"]
    (other,) = set(packed.columns) - {"numbers", "positions", "cell", "pbc", "frame", "config_type"}
    assert packed.present[other].tolist() == [False, True, False, False]
    assert packed.categories[other][packed.columns[other][1]] == "b"


# NaN and infinity


def test_all_nan_is_missing():
    raw = block(
        atom={"forces": np.array([[np.nan] * 3, [np.nan] * 3, [1.0, 2, 3]])},
        structure={"energy": np.array([np.nan, 1.0]), "stress": np.full((2, 6), np.nan)},
    )
    packed = fields(raw)
    assert packed.present["forces"].tolist() == [False, True]
    assert packed.present["energy"].tolist() == [False, True]
    assert packed.present["stress"].tolist() == [False, False]


@pytest.mark.parametrize(
    ("atom", "structure", "reason"),
    [
        ({"forces": np.array([[0, 0, np.nan], [0, 0, 0], [0, 0, 0]])}, {}, "forces: some values are NaN"),
        ({"forces": np.array([[0, 0, 0], [0, 0, -np.inf], [0, 0, 0]])}, {}, "forces: a value is infinite"),
        ({}, {"energy": np.array([np.inf, 0])}, "energy: a value is infinite"),
        (
            {},
            {"stress": np.array([[1, 1, 1, 0, 0, np.nan], [1, 1, 1, 0, 0, 0]])},
            "stress: some values are NaN",
        ),
        (
            {},
            {"stress": np.array([np.full((3, 3), np.inf), np.eye(3)]), "cell": np.stack([CELL, CELL])},
            "stress: a value is infinite",
        ),
        ({"charges": np.array([0, np.nan, 0])}, {}, "charges: some values are NaN"),
    ],
)
def test_nan_in_part_and_infinity_are_bad(atom, structure, reason):
    found = faults(block(atom=atom, structure=structure))
    assert list(found) == [10]
    assert reason in found[10]


@pytest.mark.parametrize("name", ["stress", "virial"])
def test_infinite_stress_without_a_volume_is_missing(name):
    none = np.array([[np.inf, 0, np.nan], [0, -np.inf, 0], [np.nan, 0, np.inf]])
    raw = block((1, 1, 1), structure={name: np.stack([none, none, FULL])})
    raw.structure["cell"] = [RawColumn(np.stack([np.zeros((3, 3)), [[3, 0, 0], [0, 3, 0], [0, 0, 0]], CELL]))]
    remarks = Remarks()
    packed, bad = normalize(raw, ReadOptions(), "in.xyz", remarks)
    assert not bad
    assert packed.present["stress"].tolist() == [False, False, True]
    assert "virial" not in packed.columns or not packed.present["virial"].any()
    (said,) = remarks.told().items()
    assert said == (f"the {name} is infinite and there is no cell, so no volume: taken as missing", 2)


def test_unknown_properties_may_be_nan():
    packed = fields(block(structure={"gap": np.array([np.nan, np.inf])}))
    assert np.isnan(packed.columns["gap"][0])
    assert "gap" not in packed.present


def test_rows_of_structures_that_lack_a_property_are_missing_values():
    raw = block(
        atom={"spin": some([7.0, 7, 1], [0, 1])},
        structure={"gap": some([99.0, 1], [0, 1]), "note": texts([1, 0], "ab", [False, True])},
    )
    packed = fields(raw)
    assert np.isnan(packed.columns["gap"][0])
    assert packed.columns["note"][0] == -1
    assert np.isnan(packed.columns["spin"][:2]).all()
    assert packed.categories["note"][packed.columns["note"][1]] == "a"


# Geometry


def geometry(cells, pbcs):
    n = len(cells)
    return block((1,) * n, structure={"cell": np.array(cells, float), "pbc": np.array(pbcs, bool)})


def test_periodic_without_any_lattice_vector_is_not():
    raw = geometry([np.zeros((3, 3)), CELL], [[1, 1, 1], [1, 1, 1]])
    remarks = Remarks()
    packed, bad = normalize(raw, ReadOptions(), "in.xyz", remarks)
    assert (bad, packed.columns["pbc"].tolist()) == ([], [[False] * 3, [True] * 3])
    assert remarks.told() == {"periodic, but without any lattice vector: taken as not periodic": 1}


def test_left_handed_cells_have_a_volume():
    swapped = CELL[[1, 0, 2]]
    raw = geometry([swapped], [[1, 1, 1]])
    raw.structure["virial"] = [RawColumn(-120.0 * FULL[None])]
    packed = fields(raw)
    assert packed.columns["cell"].tolist() == [swapped.tolist()]
    assert packed.columns["stress"] == pytest.approx(np.array([VOIGT]))


def test_no_cell_is_not_periodic():
    packed = fields(block())
    assert not packed.columns["cell"].any()
    assert packed.columns["pbc"].dtype == bool
    assert not packed.columns["pbc"].any()


def test_absent_cells_are_zero():
    cells = RawColumn(np.stack([CELL, np.full((3, 3), 9.0)]), np.array([True, False]))
    pbc = RawColumn(np.ones((2, 3), bool), np.array([True, False]))
    packed = fields(block(structure={"cell": cells, "pbc": pbc}))
    assert not packed.columns["cell"][1].any()
    assert not packed.columns["pbc"][1].any()
    assert "cell" not in packed.present


@pytest.mark.parametrize(
    ("cell", "pbc"),
    [
        (CELL, [1, 1, 1]),
        ([[3, 0, 0], [0, 3, 0], [0, 0, 0]], [1, 1, 0]),
        ([[0, 0, 0], [0, 0, 0], [0, 0, 8]], [0, 0, 1]),
        ([[3, 0, 0], [0, 3, 0], [3, 3, 0]], [1, 1, 0]),
        ([[-3, 0, 0], [0, 3, 0], [0, 0, 3]], [0, 0, 0]),
        ([[-3, 0, 0], [0, 3, 0], [0, 0, 3]], [1, 1, 1]),
        ([[1e-3, 0, 0], [0, 1e3, 0], [0, 0, 1]], [1, 1, 1]),
        ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], [0, 0, 0]),
    ],
)
def test_good_cells(cell, pbc):
    assert faults(geometry([cell], [pbc])) == {}


@pytest.mark.parametrize(
    ("cell", "pbc", "reason"),
    [
        (np.zeros((3, 3)), [1, 0, 0], "along a lattice vector of length zero"),
        ([[3, 0, 0], [0, 3, 0], [0, 0, 0]], [1, 1, 1], "along a lattice vector of length zero"),
        ([[3, 0, 0], [6, 0, 0], [0, 0, 1]], [1, 1, 0], "zero volume"),
        ([[3, 0, 0], [0, 3, 0], [3, 3, 0]], [1, 1, 1], "zero volume"),
        ([[3, 0, 0], [0, 3, 0], [0, 0, np.nan]], [1, 1, 0], "NaN, infinite or absurdly large element"),
        ([[np.inf, 0, 0], [0, 3, 0], [0, 0, 1]], [0, 0, 0], "NaN, infinite or absurdly large element"),
    ],
)
def test_bad_cells(cell, pbc, reason):
    raw = geometry([CELL, cell, CELL], [[1, 1, 1], pbc, [0, 0, 0]])
    raw.structure["virial"] = [RawColumn(np.stack([FULL] * 3))]
    found = faults(raw)
    assert list(found) == [11]
    assert reason in found[11]


def test_huge_cells_raise_no_warning():
    raw = geometry([np.eye(3) * 1e200], [[1, 1, 1]])
    raw.structure["virial"] = [RawColumn(FULL[None])]
    normalize(raw, ReadOptions(), "in.xyz")


def test_positions_must_be_finite():
    xyz = np.zeros((3, 3))
    xyz[2, 1] = np.nan
    assert faults(block(positions=xyz)) == {11: "a position is NaN or infinite"}


@pytest.mark.parametrize("name", ["forces", "positions", "spin_density"])
def test_values_too_large_for_the_precision_asked_for(name):
    values = np.full((3, 3), 3.4e38)
    values[2, 1] = -1e39
    raw = block(atom={name: values})
    assert faults(raw) == {}
    assert faults(raw, dtype="float64") == {}
    assert faults(raw, dtype="float32") == {
        11: f"{name}: a value such as 1e+39 is too large for float32; store in encoding='float64'"
    }


def test_infinity_that_was_given_is_no_matter_of_precision():
    assert faults(block(atom={"x": np.array([np.inf, np.nan, 1.0])}), dtype="float32") == {}


def test_structures_need_atoms():
    raw = block((2, 0, 1), atom={"forces": np.ones((3, 3))})
    assert faults(raw) == {11: "the structure has no atoms"}


def test_a_block_of_nothing_but_bad_frames():
    raw = Raw(np.zeros(0, np.int64), np.zeros(0, np.int64), bad=[BadFrame(3, "odd")])
    packed, bad = normalize(raw, ReadOptions(), "in.xyz")
    assert len(packed) == 0
    assert bad == [BadFrame(3, "odd")]
    assert packed.columns["positions"].shape == (0, 3)


# Shapes and kinds


def test_collinear_or_vector_moments():
    assert fields(block(atom={"magmoms": np.ones(3)})).fields["magmoms"].shape == ()
    packed = fields(block(atom={"magmoms": np.ones((3, 3))}, structure={"magmom": np.ones((2, 3))}))
    assert packed.fields["magmoms"].dims == ("atom", "xyz")
    assert packed.fields["magmom"].rotates == "vector"


def test_mixed_moments_can_not_be_one_array():
    columns = [some(np.ones(3), [1, 0]), some(np.ones((3, 3)), [0, 1])]
    raw = block(atom={"REF_magmoms": columns})
    with pytest.raises(InputError, match=r"exclude=\['REF_magmoms'\]"):
        normalize(raw, ReadOptions(), "in.xyz")
    assert "magmoms" not in fields(raw, exclude=["REF_magmoms"]).columns


def test_unknown_property_in_two_shapes_is_refused_by_its_name_in_the_input():
    raw = block(structure={"dos": [some(np.ones((2, 4)), [1, 0]), some(np.ones((2, 5)), [0, 1])]})
    with pytest.raises(InputError, match=r"in.xyz: the property 'dos'.*exclude=\['dos'\]"):
        normalize(raw, ReadOptions(), "in.xyz")


def test_lists_of_one_number_are_numbers():
    assert fields(block(structure={"energy": np.array([[1.0], [2.0]])})).columns["energy"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("structure", "reason"),
    [
        ({"energy": np.ones((2, 3))}, r"energy should be float values of shape \(\)"),
        ({"energy": np.ones(2, bool)}, "energy should be float values"),
        ({"energy": texts([0, 0], ["n/a"])}, r"has text \('n/a'\)"),
        ({"stress": np.ones((2, 4))}, "stress should be"),
        ({"dipole": np.ones(2)}, "dipole should be"),
    ],
)
def test_wrong_shapes_and_kinds_are_bad(structure, reason):
    raw = block(structure=structure)
    packed, bad = normalize(raw, ReadOptions(), "in.xyz")
    assert len(packed) == 0
    assert [b.frame for b in bad] == [10, 11]
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(bad[0].reason)


def test_only_the_structures_with_a_wrong_shape_are_bad():
    raw = block(atom={"forces": [some(np.ones((3, 3)), [1, 0]), some(np.ones((3, 2)), [0, 1])]})
    assert list(faults(raw)) == [11]


def test_whole_numbers_stay_whole():
    packed = fields(block(atom={"tags": np.array([0.0, 1.0, 2.0])}))
    assert packed.columns["tags"].dtype == np.int64
    found = faults(block(atom={"tags": np.array([0.5, 1.0, 2.0])}))
    assert found == {10: "tags: the values should be whole numbers"}
    assert list(faults(block(atom={"tags": np.array([0, 1, np.nan])}))) == [11]


def test_whole_numbers_and_gaps():
    packed = fields(block(atom={"tags": some([np.nan, np.nan, 4.0], [0, 1])}))
    assert packed.columns["tags"][2] == 4
    assert packed.present["tags"].tolist() == [False, True]


def test_numbers_and_texts_of_one_name_become_texts():
    columns = [texts([0, 0], ["bulk"], [True, False]), some([0, 3], [0, 1])]
    packed = fields(block(structure={"config_type": columns, "note": columns}))
    for name in ("config_type", "note"):
        assert [packed.categories[name][c] for c in packed.columns[name]] == ["bulk", "3"]


def test_integers_and_floats_of_one_name_become_floats():
    packed = fields(block(structure={"k": [some([1, 0], [1, 0]), some([0, 2.5], [0, 1])]}))
    assert packed.columns["k"].tolist() == [1.0, 2.5]
    assert packed.fields["k"].kind == "float"


def test_what_can_not_be_stored_is_bad_unless_excluded():
    odd = RawColumn(np.zeros(2), np.array([False, True]), fault="the property 'odd' is a Thing")
    raw = block(structure={"odd": [odd], "energy": np.ones(2)})
    assert faults(raw) == {11: "the property 'odd' is a Thing"}
    assert len(fields(raw, exclude=["odd"])) == 2


def test_bad_frames_leave_and_the_rest_stays_in_order():
    raw = block(
        (1, 2, 3),
        atom={"forces": np.arange(18.0).reshape(6, 3)},
        structure={"energy": np.array([1.0, np.inf, 3.0])},
        bad=[BadFrame(9, "was bad before")],
    )
    packed, bad = normalize(raw, ReadOptions(), "in.xyz")
    assert [b.frame for b in bad] == [9, 11]
    assert packed.n_atoms.tolist() == [1, 3]
    assert packed.columns["frame"].tolist() == [10, 12]
    assert np.array_equal(packed.columns["forces"], np.arange(18.0).reshape(6, 3)[[0, 3, 4, 5]])


def test_a_frame_has_its_first_reason_only():
    raw = block((1,), atom={"forces": np.full((1, 3), np.inf)}, structure={"energy": np.array([np.inf])})
    assert len(faults(raw)) == 1


def test_one_text_among_numbers_costs_one_structure():
    texts = RawColumn(
        np.array([0, 1, 2, -1], np.int32), np.array([True, True, True, False]), ["1.5", "low", "-2"]
    )
    raw = block((1, 1, 1, 1), structure={"energy": texts})
    packed, bad = normalize(raw, ReadOptions(), "in.xyz")
    np.testing.assert_array_equal(packed.columns["energy"], [1.5, -2.0, np.nan])
    assert [(b.frame, "'low'" in b.reason) for b in bad] == [(11, True)]
