"""One stress from what inputs bring, in any form and any cell: properties of random tensors."""

import numpy as np
import pytest
from ase.stress import full_3x3_to_voigt_6_stress as to_voigt
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sources.normalize.test_normalize import block
from zstruct.errors import InputError
from zstruct.sources.normalize.normalize import ReadOptions, normalize
from zstruct.sources.source import RawColumn

FORMS = {"voigt": to_voigt, "full": lambda t: t, "nine": lambda t: t.ravel(order="F")}


@st.composite
def tensors(draw):
    """A cell of either hand, and a symmetric stress."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cell = rng.normal(size=(3, 3)) * rng.uniform(2, 20)
    stress = rng.normal(size=(3, 3)) * 10 ** rng.uniform(-4, 1)
    return cell, stress + stress.T


def read(cell, properties):
    structure = {key: [RawColumn(value[None])] for key, value in properties.items()}
    structure |= {"cell": [RawColumn(cell[None])], "pbc": [RawColumn(np.ones((1, 3), bool))]}
    packed, bad = normalize(block((1,), structure=structure), ReadOptions(), "in.xyz")
    assert not bad, bad[0].reason
    return packed


@given(tensors(), st.sampled_from(sorted(FORMS)), st.sampled_from(["full", "nine"]), st.booleans())
@settings(max_examples=60)
def test_any_form_is_the_same_stress(given_, form, virial_form, both):
    cell, stress = given_
    virial = FORMS[virial_form](-abs(np.linalg.det(cell)) * stress)
    properties = {"Stress": FORMS[form](stress), "REF_stress": to_voigt(stress)}
    if both:
        properties["virials"] = virial
    packed = read(cell, properties)
    assert packed.columns["stress"][0].tolist() == to_voigt(stress).tolist()
    assert "virial" not in packed.columns
    alone = read(cell, {"virials": virial})
    np.testing.assert_allclose(alone.columns["stress"][0], to_voigt(stress), rtol=1e-12)


@given(tensors(), st.sampled_from([-1.0, 0.5, 1.01, 160.21766208]))
@settings(max_examples=40)
def test_other_virials_are_refused(given_, factor):
    cell, stress = given_
    virial = -abs(np.linalg.det(cell)) * stress * factor
    with pytest.raises(InputError, match=r"contradict each other.*exclude=\['Virial'\]"):
        read(cell, {"stress": to_voigt(stress), "Virial": virial})
