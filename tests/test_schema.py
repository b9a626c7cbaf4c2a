"""The field table: look-up, inference, merging, names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zstruct import schema
from zstruct.errors import InputError
from zstruct.schema import FIELDS, SIZES, Field


def test_every_row_is_consistent():
    for name, field in FIELDS.items():
        assert field.name == name
        assert field.dims[0] in ("atom", "structure")
        assert field.shape == tuple(SIZES[d] for d in field.dims[1:])
        assert field.row_bytes == np.zeros(field.shape, field.dtype).nbytes
        assert Field.from_json({**{s: getattr(field, s) for s in Field.__slots__}}) == field


def test_provenance_keeps_its_names():
    assert schema.resolve_name("source") == "input_source"


@pytest.mark.parametrize(
    ("kind", "shape", "dims", "rotates"),
    [
        ("float", (), ("structure",), "scalar"),
        ("float", (3,), ("structure", "xyz"), "none"),
        ("int", (3,), ("structure", "p_component"), "none"),
        ("float", (3, 3), ("structure", "xyz", "xyz_2"), "none"),
        ("float", (2, 4), ("structure", "p_component_0", "p_component_1"), "none"),
        ("category", (), ("structure",), "scalar"),
    ],
)
def test_inference_from_shape(kind, shape, dims, rotates):
    field = schema.infer("p", "structure", kind, shape)
    assert (field.dims, field.rotates, field.shape) == (dims, rotates, shape)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("int", "float", "float"),
        ("float", "int", "float"),
        ("int", "category", "category"),
        ("category", "bool", "category"),
        ("bool", "float", "category"),
        ("bool", "int", "category"),
    ],
)
def test_merging_kinds_keeps_every_value(a, b, expected):
    one, two = (schema.infer("p", "atom", kind, ()) for kind in (a, b))
    assert schema.merge(one, two).kind == expected
    assert schema.merge(two, one).kind == expected


def test_merging_shapes_is_refused_with_advice():
    one, two = schema.infer("p", "atom", "float", ()), schema.infer("p", "atom", "float", (3,))
    with pytest.raises(
        InputError, match=r"one value per atom and 3 values per atom; leave it out with exclude"
    ):
        schema.merge(one, two)


@given(st.lists(st.text(min_size=1, max_size=6), unique=True, max_size=30))
def test_safe_names_are_distinct_and_safe(names):
    table = schema.safe_names(names)
    assert list(table) == names
    assert len(set(table.values())) == len(names)
    for name, safe in table.items():
        assert safe.isidentifier()
        assert safe.isascii()
        assert safe == name or safe not in schema.RESERVED | FIELDS.keys()
