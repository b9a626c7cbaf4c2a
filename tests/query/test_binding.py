"""What names mean in a table, and what is said where they mean nothing or can't be used so."""

import numpy as np
import pytest

from tests.query.tables import MemoryTable
from zstruct.errors import InputError, UnknownNameError
from zstruct.query.binding import bound
from zstruct.query.evaluation import holding
from zstruct.schema import FIELDS, Field

TABLE = MemoryTable(
    {
        "energy": [-1.0, None, -3.0],
        "total_charge": [0.0, 1.0, None],
        "converged": [True, False, None],
        "config_type": ["bulk", None, "slab"],
        "B": [5.0, 0.5, 0.0],
        "frame": [2**53, 2**53 + 1, 3],
    },
    [["Ti", "O", "O"], ["In"], ["H", "H", "O", "B"]],
    name="the store x.zarr",
)
_DOS = Field("dos", ("structure", "dos_component"), "float", "float64", "", "dos", "none", (3,))
_GRID = Field("grid", ("structure", "grid_component"), "category", "int32", "", "grid", "none", (2,))
for _field in (
    FIELDS["stress"],
    FIELDS["cell"],
    FIELDS["pbc"],
    FIELDS["dipole"],
    FIELDS["forces"],
    _DOS,
    _GRID,
):
    TABLE.fields[_field.name] = _field
    TABLE._present[_field.name] = np.ones(3, dtype=bool)
TABLE._rows["stress"] = np.arange(18.0).reshape(3, 6) - 9
TABLE._rows["cell"] = np.array([np.eye(3), np.zeros((3, 3)), np.diag([2.0, 3.0, 4.0])])
TABLE._rows["pbc"] = np.array([[True, True, False], [False] * 3, [True] * 3])
TABLE._rows["dipole"] = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0], [np.nan, 1.0, 1.0]])
TABLE._rows["dos"] = np.arange(9.0).reshape(3, 3)


def selected(expression):
    return holding(bound(expression, TABLE), TABLE).tolist()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Ti", [0]),
        ("not Ti", [1, 2]),
        ("H > 1", [2]),
        ("Ti + O == n_atoms", [0]),
        ("In", [1]),
        ("B", [2]),
        ("field('B') > 1", [0]),
        ("only(Ti, O)", [0]),
        ("only(Ti, O, In)", [0, 1]),
        ("n_elements >= 2", [0, 2]),
        ("formula == 'TiO2'", [0]),
        ("formula == 'OTiO'", [0]),
        ("formula != 'O2Ti'", [1, 2]),
        ("formula in ('HOHB', 'In')", [1, 2]),
        ("'In' == formula", [1]),
        ("energy < 0", [0, 2]),
        ("not energy < -2", [0]),
        ("energy_per_atom > -0.5", [0]),
        ("has(energy)", [0, 2]),
        ("not has(energy_per_atom)", [1]),
        ("has(stress)", [0, 1, 2]),
        ("has(polarizability)", []),
        ("not has(magmoms)", [0, 1, 2]),
        ("has(volume)", [0, 2]),
        ("has(index) and has(formula)", [0, 1, 2]),
        ("has(field('B'))", [0, 1, 2]),
        ("converged", [0]),
        ("not converged", [1]),
        ("converged == false", [1]),
        ("converged != (energy < -2)", [0]),
        ("config_type == 'slab'", [2]),
        ("config_type != 'slab'", [0]),
        ("'slab' in (config_type)", [2]),
        ("abs(energy) == 3", [2]),
        ("index >= 1", [1, 2]),
        ("frame == 9007199254740993", [1]),
        ("frame - 9007199254740992 == 1", [1]),
        ("frame * 9007199254740993 > 1e31", [0, 1]),
        ("frame in (9007199254740993, 3.0)", [1, 2]),
        ("stress[xx] > 0", [2]),
        ("stress[0] > 0", [2]),
        ("smax == 9", [0]),
        ("pressure > 0", [0, 1]),
        ("cell[a, x] == 2", [2]),
        ("abs(volume_per_atom - 6) < 1e-9", [2]),
        ("volume == 1", [0]),
        ("pbc[c]", [2]),
        ("not pbc[c]", [0, 1]),
        ("n_periodic == 2", [0]),
        ("norm(dipole) == 5", [0]),
        ("has(dipole) and not norm(dipole) >= 0", []),
        ("dipole[y] == 1", [2]),
        ("dos[2] == 5", [1]),
        ("energy / 0 == 1 or not energy / 0 == 1", []),
        ("1e308 * 10 > n_atoms", [0, 1, 2]),
        ("1e308 * 10 - 1e308 * 10 == 0", []),
        ("1 < 2", [0, 1, 2]),
        ("'a' == 'b'", []),
        ("n_atoms in (1, O + 2)", [1]),
        ("n_atoms not in (1, 3)", [2]),
    ],
)
def test_names_mean(expression, expected):
    assert selected(expression) == expected


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("enrgy < 0", "the store x.zarr has no quantity 'enrgy'; did you mean energy?"),
        ("natoms < 0", "did you mean n_atoms?"),
        ("ti", "did you mean Ti?"),
        ("Energy < 0", "did you mean energy?"),
        ("charge > 0", "did you mean total_charge?"),
        ("verg > 0", "did you mean converged?"),
        ("type == 'bulk'", "did you mean config_type?"),
        ("zzz > 0", "it has energy, total_charge, converged"),
        ("energy == null", "has(x) asks whether a value is given"),
        ("config_type == bulk", "a text is in quotes: 'bulk'"),
        ("config_type in (bulk, slab)", "a text is in quotes: 'bulk'"),
        ("formula == TiO2", "a text is in quotes: 'TiO2'"),
        ("free_energy < 0", "has no quantity 'free_energy'; did you mean energy?"),
        ("field('forcs') < 0", "has no field 'forcs'; did you mean forces?"),
        ("has(strss)", "did you mean stress?"),
        ("nrm(dipole) > 1", "there is no function nrm; did you mean norm?"),
        ("max(dipole) > 1", "there is no function max; there are field, has, only, abs, norm"),
        ("stress[qq] > 0", "have no label 'qq': they are xx, yy, zz, yz, xz, xy"),
        ("dos[x] > 0", "have no label 'x', but numbers from 0 to 2"),
    ],
)
def test_names_of_nothing_are_named_with_the_nearest(expression, reason):
    with pytest.raises(UnknownNameError) as caught:
        bound(expression, TABLE)

    assert reason in str(caught.value)
    assert str(caught.value).splitlines()[1] == f"  {expression}"


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("energy", "energy is a number, not a condition; compare it, as in energy > 0"),
        ("config_type", "config_type is a text, not a condition; compare it, as in config_type == 'bulk'"),
        ("formula", "formula is a formula, not a condition; compare it, as in formula == 'TiO2'"),
        ("Ti + O", "Ti + O is a number, not a condition"),
        ("Ti and 3", "3 is a number, not a condition"),
        ("not 'a'", "'a' is a text, not a condition"),
        ("n_atoms == 'a'", "n_atoms is a number and 'a' is a text: they can't be compared"),
        ("config_type == 3", "config_type is a text and 3 is a number: they can't be compared"),
        ("config_type in ('a', 3)", "config_type is a text and 3 is a number: they can't be compared"),
        ("Ti == true", "Ti is a number and true is a condition: they can't be compared"),
        ("config_type < 'a'", "texts are compared by == and != only, not by <"),
        ("converged < true", "conditions are compared by == and != only, not by <"),
        ("config_type < 3", "config_type is a text and 3 is a number: they can't be compared"),
        ("config_type + 1 > 2", "config_type is a text, not a number"),
        ("-converged > 2", "converged is a condition, not a number"),
        ("(energy < 0) + 1 > 2", "is a condition, not a number"),
        ("abs(config_type) > 2", "config_type is a text, not a number"),
        ("formula == config_type", "formula is compared with a formula in quotes only"),
        ("formula == 3", "formula is a formula and 3 is a number: they can't be compared"),
        ("formula == 'water'", "'water' is no chemical formula"),
        ("formula == 'Ca(OH)2'", "is no chemical formula; write one as 'TiO2', without brackets"),
        ("formula == 'Xx2'", "is no chemical formula"),
        ("formula == ''", "is no chemical formula"),
        ("forces > 1", "forces is a field of atoms, and conditions are on structures: fmax is the largest"),
        ("numbers == 22", "a chemical symbol is the number of its atoms"),
        ("forces[x] > 1", "forces is a field of atoms"),
        ("stress > 1", "stress has 6 values in each structure; name one, as in stress[xx]"),
        ("cell > 1", "cell has 3 x 3 values in each structure; name one, as in cell[a, x]"),
        ("cell[a] > 1", "cell has 3 x 3 values in each structure; write cell[a, x]"),
        ("dos > 1", "name one, as in dos[0]"),
        ("dos[3] > 1", "dos has the components 0 to 2, not 3"),
        ("grid[0] == 'a'", "grid has several texts, which can't be compared"),
        ("energy[0] > 1", "energy is one value, without components"),
        ("Ti[0] > 1", "Ti is one number, without components"),
        ("fmax[x] > 1", "fmax is one number, without components"),
        ("has(Ti)", "write Ti to ask for the element, or has(field('Ti')) for a field"),
        ("has(energy < 0)", "has takes the name of a quantity or a field, and energy < 0 is none"),
        ("has()", "has takes the name of a quantity or a field"),
        ("only()", "only takes chemical symbols"),
        ("only('Ti')", "only takes chemical symbols, as in only(Ti, O), and 'Ti' is none"),
        ("only(energy)", "and energy is none"),
        ("abs(1, 2) > 1", "abs takes a number"),
        ("norm(stress) > 1", "norm takes a field with a vector in each structure, and stress is none"),
        ("norm(energy) > 1", "and energy is none"),
        ("norm(forces) > 1", "and forces is none"),
        ("norm(fmax) > 1", "and fmax is none"),
    ],
)
def test_what_makes_no_sense_is_said_and_shown(expression, reason):
    with pytest.raises(InputError) as caught:
        bound(expression, TABLE)

    said, line, mark = str(caught.value).splitlines()
    assert reason in said
    assert line == f"  {expression}"
    assert set(mark.strip()) == {"^"}


def test_quantities_that_need_what_nobody_has_say_so():
    bare = MemoryTable({"energy": [1.0]}, [["H"]], name="the store y.zarr")

    with pytest.raises(UnknownNameError, match="fmax needs forces, and the store y"):
        bound("has(energy) and fmax < 1", bare)
    assert holding(bound("has(fmax)", bare), bare).tolist() == []


def test_what_is_dear_is_read_last_and_only_where_it_matters():
    structures = [["Ti"], ["O"], ["H"], ["Ti", "O"]]
    table = MemoryTable({"energy": [1.0, None, 3.0, 4.0], "weight": [1.0] * 4}, structures)
    asked = []
    atoms = table.atoms
    table.atoms = lambda name, which: asked.append((name, which.tolist())) or atoms(name, which)

    found = holding(bound("(Ti or O) and energy > 2 and not n_elements > 5", table), table)

    assert found.tolist() == [3]
    assert table.read == ["energy"]
    # The energies leave two; "O" is asked of the one without Ti, whose counts are known by then.
    assert asked[0] == ("numbers", [2, 3])
    assert asked[1:] == [("numbers", [3])]


def test_what_decides_early_spares_the_rest():
    table = MemoryTable({"energy": [1.0], "weight": [1.0]}, [["H"]])

    assert holding(bound("energy > 0 or weight / Ti > 3", table), table).tolist() == [0]
    assert table.read == ["energy"]


def test_whole_numbers_of_each_structure_are_judged_by_themselves():
    big = [2**62 + 1, 2**62 + 2, 2**62 + 3]
    three = MemoryTable({"big": big, "x": [1, 1, 1]}, [["H"]] * 3)
    four = MemoryTable({"big": [*big, 2**62], "x": [1, 1, 1, 4]}, [["H"]] * 4)

    def chosen(expression, table):
        return holding(bound(expression, table), table).tolist()

    assert chosen("x * big == 4611686018427387905", three) == [0]
    assert chosen("x * big == 4611686018427387905", four) == [0]
    assert chosen("x * big in (4611686018427387905, 4611686018427387907)", four) == [0, 2]
    assert chosen("x * big > 9e18", four) == [3]
    assert chosen("big + 4611686018427387901 == 9223372036854775806", three) == [0]
    assert chosen("big + 4611686018427387902 != 9223372036854775807", four) == [1, 2, 3]


def test_a_field_called_as_the_dummy_atom_is_a_field():
    table = MemoryTable({"X": [1.0, 3.0]}, [["H"]] * 2)

    assert holding(bound("X > 2", table), table).tolist() == [1]
    assert holding(bound("has(X)", table), table).tolist() == [0, 1]
    with pytest.raises(UnknownNameError, match="has no quantity 'X'"):
        bound("X > 2", TABLE)
    with pytest.raises(InputError, match="only takes chemical symbols"):
        bound("only(Ti, X)", TABLE)


@pytest.mark.parametrize(
    "expression",
    [
        "{0}", "{0} > 1", "{0}(x)", "field('{0}') > 1", "has({0})", "norm({0}) > 1", "only({0})",
        "stress[{0}] > 1", "formula == '{0}'", "config_type == {0}", "energy == '{0}'", "{0}[0] > 1",
    ],
)  # fmt: skip
def test_long_names_are_cut_short_in_sentences(expression):
    with pytest.raises(InputError) as caught:
        bound(expression.format("a" * 100_000), TABLE)

    assert len(str(caught.value)) < 1000
