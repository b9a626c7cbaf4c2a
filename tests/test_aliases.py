"""Other names of fields: each is one field's, and none reaches what is ours."""

import pytest

from zstruct.aliases import ALIASES, by_alias
from zstruct.schema import FIELDS


def test_aliases_are_of_fields():
    assert set(ALIASES) <= set(FIELDS)


@pytest.mark.parametrize("level", ["atom", "structure"])
def test_no_alias_means_two_fields_of_one_level(level):
    rows = [field for field in FIELDS.values() if field.level == level]
    names = [one.casefold() for row in rows for one in (row.name, *ALIASES.get(row.name, ()))]
    assert len(names) == len(set(names))


def test_provenance_can_not_be_reached_by_name():
    assert by_alias("source", "structure") is None
