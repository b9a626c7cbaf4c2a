"""Random structures, with all that ASE lets them carry, and what makes two of them equal."""

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from hypothesis import strategies as st

from zstruct.schema import PROVENANCE

finite = st.floats(allow_nan=False, allow_infinity=False, width=64)


def rows(n, k=3, elements=finite):
    return st.lists(elements, min_size=n * k, max_size=n * k).map(lambda v: np.array(v).reshape(n, k))


@st.composite
def random_atoms(draw):
    """Atoms with any finite numbers, and any of the things that ASE lets them carry."""
    n = draw(st.integers(1, 4))
    atoms = Atoms(draw(st.lists(st.integers(1, 118), min_size=n, max_size=n)), draw(rows(n)))
    if draw(st.booleans()):
        atoms.set_cell(np.diag(draw(st.lists(st.floats(1, 1e6), min_size=3, max_size=3))))
        atoms.pbc = draw(st.lists(st.booleans(), min_size=3, max_size=3))
    column = rows(n, 1).map(np.ravel)
    integers = st.integers(-(2**31), 2**31)
    per_atom = {
        "tags": st.lists(integers, min_size=n, max_size=n).map(np.array),
        "momenta": rows(n),
        "masses": column,
        "initial_charges": column,
        "initial_magmoms": column,
        "velocities": rows(n),
        "spin": rows(n, 2),
        "flags": st.lists(st.booleans(), min_size=n, max_size=n).map(np.array),
        "site type": st.lists(st.text("ab", min_size=1), min_size=n, max_size=n).map(np.array),
    }
    for name, strategy in per_atom.items():
        if draw(st.booleans()):
            atoms.arrays[name] = draw(strategy)
    info = {
        "config_type": st.text(max_size=5),
        "<R2>": finite,
        "n_k": integers,
        "ok": st.booleans(),
        "spectrum": rows(1, 5).map(np.ravel),
        "grid": st.lists(integers, min_size=2, max_size=2).map(np.array),
        "id": st.integers(-(2**63), 2**63 - 1),
        "total_charge": finite,
        "head": st.sampled_from(["pbe", "r2scan"]),
        # Names of ours, which mean something else here.
        "source": st.text("ab", max_size=3),
        "frame": finite,
        "Formula": st.text("CH4", max_size=3),
        "labels": st.booleans(),
        "has_forces": st.booleans(),
        "input_source": integers,
        "Config_Type2": st.booleans(),
        "config_type2": st.booleans(),
    }
    for name, strategy in info.items():
        if draw(st.booleans()):
            atoms.info[name] = draw(strategy)
    if draw(st.booleans()):
        atoms.set_constraint(FixAtoms(draw(st.sets(st.integers(0, n - 1), min_size=1).map(sorted))))
    results = {
        "energy": finite,
        "free_energy": finite,
        "forces": rows(n),
        "stress": rows(1, 6).map(np.ravel),
        "dipole": rows(1).map(np.ravel),
        "magmom": finite,
        "magmoms": column,
        "charges": column,
        "energies": column,
    }
    found = {name: draw(strategy) for name, strategy in results.items() if draw(st.booleans())}
    if found:
        atoms.calc = SinglePointCalculator(atoms, **found)
    return atoms


def assert_same_value(a, b):
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert a.dtype.kind == b.dtype.kind
        assert a.shape == b.shape
        assert a.tolist() == b.tolist()
        a = a + 0.0 if a.dtype.kind == "f" else a  # the sign of zero is not kept
        assert a.dtype.kind == "U" or a.tobytes() == b.tobytes()
    else:
        assert a == b
        assert repr(a + 0.0 if isinstance(a, float) else a) == repr(b)


def assert_same(a, b):
    """Two Atoms are equal, bit for bit."""
    info = {key: value for key, value in b.info.items() if key not in PROVENANCE.values()}
    results = [{} if x.calc is None else x.calc.results for x in (a, b)]
    for left, right in ((a.arrays, b.arrays), (a.info, info), results):
        assert left.keys() == right.keys()
        for key in left:
            assert_same_value(left[key], right[key])
    assert_same_value(a.cell.array, b.cell.array)
    assert_same_value(a.pbc, b.pbc)
    assert [c.todict() for c in a.constraints] == [c.todict() for c in b.constraints]
