"""Small blocks read as one: what is joined says of every structure what its own block said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zstruct.sources.joined import can_be_joined, joined
from zstruct.sources.source import BadFrame, Raw, RawColumn

_VALUES = {
    "float": lambda rows, k: RawColumn(np.arange(rows) + 0.5 + k),
    "unit": lambda rows, k: RawColumn(np.arange(rows) + 0.25 + k, unit="hartree"),
    "int": lambda rows, k: RawColumn(np.arange(rows) + k),
    "vector": lambda rows, k: RawColumn(np.full((rows, 3), float(k))),
    "text": lambda rows, k: RawColumn(np.arange(rows, dtype=np.int32) % 2, texts=["a", f"t{k}"]),
    "fault": lambda rows, k: RawColumn(np.zeros(rows), fault="it can't be stored"),
    "half": lambda rows, k: RawColumn(np.arange(rows) - 1.5, np.arange(rows) % 2 == 0),
}


@st.composite
def _blocks(draw):
    blocks = []
    for k in range(draw(st.integers(1, 6))):
        n_atoms = np.array(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
        raw = Raw(np.arange(len(n_atoms)), n_atoms)
        for table, rows in ((raw.atom, int(n_atoms.sum())), (raw.structure, len(n_atoms))):
            for name in draw(st.lists(st.sampled_from("xyz"), unique=True)):
                # Per atom, a property is there or not for all atoms of a structure.
                kinds = [kind for kind in _VALUES if table is raw.structure or kind != "half"]
                chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=2))
                table[name] = [_VALUES[kind](rows, k) for kind in chosen]
        blocks.append(raw)
    return blocks


def _said(raw: Raw) -> list[dict[tuple[str, str], list[str]]]:
    """Return, for each structure, all that the columns of a block say of it."""
    edges = np.concatenate([[0], np.cumsum(raw.n_atoms)])
    found = []
    for i in range(len(raw.n_atoms)):
        said: dict[tuple[str, str], list[str]] = {}
        for level, table in (("atom", raw.atom), ("structure", raw.structure)):
            rows = slice(edges[i], edges[i + 1]) if level == "atom" else slice(i, i + 1)
            for name, columns in table.items():
                for column in columns:
                    if column.present is not None and not column.present[i]:
                        continue
                    values = column.values[rows].tolist()
                    if column.texts is not None:
                        values = [column.texts[code] for code in values]
                    said.setdefault((level, name), []).append(f"{values} {column.unit} {column.fault}")
        found.append({key: sorted(values) for key, values in said.items()})
    return found


@given(_blocks())
def test_every_structure_says_what_it_said(blocks):
    before = [_said(raw) for raw in blocks]
    raw = joined(blocks)
    assert _said(raw) == [said for each in before for said in each]
    assert raw.frames.tolist() == [f for each in blocks for f in each.frames.tolist()]
    assert [_said(each) for each in blocks] == before


def test_blocks_of_one_form_give_one_column_without_a_mask():
    blocks = [Raw(np.array([0]), np.array([2]), {"q": [RawColumn(np.full(2, k))]}) for k in range(3)]
    (column,) = joined(blocks).atom["q"]
    assert column.present is None
    assert column.values.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    "more",
    [
        {"bad": [BadFrame(0, "no")]},
        {"notes": {"cut": np.array([True])}},
        {"remarks": {"odd": np.array([True])}},
        {"types": RawColumn(np.array([1]))},
        {"structure": {"energy_unit": [RawColumn(np.zeros(1, np.int32), texts=["eV"])]}},
    ],
)
def test_what_speaks_of_its_own_block_is_not_joined(more):
    assert can_be_joined(Raw(np.array([0]), np.array([1])))
    assert not can_be_joined(Raw(np.array([0]), np.array([1]), **more))
    assert not can_be_joined(Raw(np.zeros(0, np.int64), np.zeros(0, np.int64)))
