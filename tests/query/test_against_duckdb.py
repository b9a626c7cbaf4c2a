"""Random expressions of random tables select what DuckDB selects."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.query.tables import MemoryTable
from zstruct.query.binding import bound
from zstruct.query.evaluation import holding

duckdb = pytest.importorskip("duckdb")

WORDS = ("bulk", "slab", "it's", "")
quarters = st.integers(-12, 12).map(lambda k: k / 4)  # sums and products of a few of these are exact


def optional(values):
    return st.none() | values


@st.composite
def tables(draw):
    n = draw(st.integers(1, 12))
    column = lambda values: st.lists(values, min_size=n, max_size=n)  # noqa: E731
    structures = draw(column(st.lists(st.sampled_from(["Ti", "O", "In"]), min_size=1, max_size=5)))
    columns = {
        "x": [0.5, *draw(column(optional(quarters)))[1:]],
        "y": [0.0, *draw(column(optional(quarters)))[1:]],
        "k": [1, *draw(column(optional(st.integers(-4, 4))))[1:]],
        "m": [2, *draw(column(optional(st.integers(-4, 4))))[1:]],
        "ok": [True, *draw(column(optional(st.booleans())))[1:]],
        "label": ["bulk", *draw(column(optional(st.sampled_from(WORDS))))[1:]],
        "other": ["slab", *draw(column(optional(st.sampled_from(WORDS))))[1:]],
    }
    return MemoryTable(columns, structures, coded=draw(st.booleans()))


# Each strategy yields pairs: what we write, and the same in SQL.
_names = st.sampled_from(
    [
        ("x", "x"),
        ("y", "y"),
        ("k", "k"),
        ("m", "m"),
        ("field('k')", "k"),
        ("Ti", "n_Ti"),
        ("In", "n_In"),
        ("n_atoms", "n_atoms"),
        ("index", "pos"),
    ]
)
_numbers = st.one_of(
    _names,
    st.integers(-3, 5).map(lambda v: (str(v), f"({v}::BIGINT)")),
    quarters.map(lambda v: (repr(v), f"({v}::DOUBLE)")),
)


def _calculated(inner):
    return st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(
            lambda t: (f"({t[0][0]} {t[1]} {t[2][0]})", f"({t[0][1]} {t[1]} {t[2][1]})")
        ),
        st.tuples(inner, st.sampled_from("+-"), inner, st.sampled_from("+-"), inner).map(
            lambda t: (
                f"({t[0][0]} {t[1]} {t[2][0]} {t[3]} {t[4][0]})",
                f"(({t[0][1]} {t[1]} {t[2][1]}) {t[3]} {t[4][1]})",
            )
        ),
        inner.map(lambda v: (f"(-{v[0]})", f"(-{v[1]})")),
        inner.map(lambda v: (f"abs({v[0]})", f"abs({v[1]})")),
    )


numbers = st.recursive(_numbers, _calculated, max_leaves=4)


def quoted(text):
    return '"' + text.replace('"', '""') + '"', "'" + text.replace("'", "''") + "'"


texts = st.sampled_from([("label", "label"), ("other", "other")]) | st.sampled_from(WORDS).map(quoted)
signs = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])


def listed(values):
    return st.lists(values, min_size=1, max_size=4)


def _member(t):
    value, word, items = t
    ours, theirs = ", ".join(item[0] for item in items), ", ".join(item[1] for item in items)
    return f"{value[0]} {word} ({ours})", f"({value[1]} {word} ({theirs}))"


def _chain(t):
    (a, b, c), (first, second) = t
    return f"{a[0]} {first} {b[0]} {second} {c[0]}", f"({a[1]} {first} {b[1]} AND {b[1]} {second} {c[1]})"


words_of_in = st.sampled_from(["in", "not in"])
_conditions = st.one_of(
    st.tuples(numbers, signs, numbers).map(
        lambda t: (f"{t[0][0]} {t[1]} {t[2][0]}", f"({t[0][1]} {t[1]} {t[2][1]})")
    ),
    st.tuples(
        st.tuples(numbers, numbers, numbers),
        st.sampled_from([("<", "<="), ("<=", "<="), (">", ">="), (">", ">")]),
    ).map(_chain),
    st.tuples(texts, st.sampled_from(["==", "!="]), texts).map(
        lambda t: (f"{t[0][0]} {t[1]} {t[2][0]}", f"({t[0][1]} {t[1]} {t[2][1]})")
    ),
    st.tuples(numbers, words_of_in, listed(numbers)).map(_member),
    st.tuples(texts, words_of_in, listed(texts)).map(_member),
    st.sampled_from(
        [
            ("Ti", "(n_Ti > 0)"),
            ("ok", "ok"),
            ("true", "true"),
            ("false", "false"),
            ("has(x)", "(x IS NOT NULL)"),
            ("has(k)", "(k IS NOT NULL)"),
            ("has(ok)", "(ok IS NOT NULL)"),
            ("has(label)", "(label IS NOT NULL)"),
            ("has(forces)", "false"),
            ("only(Ti, O)", "(n_Ti + n_O = n_atoms)"),
            ("formula == 'TiO2'", "(n_Ti = 1 AND n_O = 2 AND n_In = 0)"),
            ("n_elements == 2", "((n_Ti > 0)::INT + (n_O > 0)::INT + (n_In > 0)::INT = 2)"),
        ]
    ),
)


def _joined(inner):
    return st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda t: (f"({t[0][0]} {t[1]} {t[2][0]})", f"({t[0][1]} {t[1]} {t[2][1]})")
        ),
        inner.map(lambda v: (f"not {v[0]}", f"(NOT {v[1]})")),
        st.tuples(inner, st.sampled_from(["==", "!="]), inner).map(
            lambda t: (f"(({t[0][0]}) {t[1]} ({t[2][0]}))", f"({t[0][1]} {t[1]} {t[2][1]})")
        ),
    )


# Without "Ti" or a comparison of conditions with it: an element by itself is a number there.
conditions = st.recursive(_conditions, _joined, max_leaves=5)


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect() as opened:
        opened.execute("SET ieee_floating_point_ops = false")  # so that a division by zero may be NULL
        opened.execute("SET error_on_division_by_zero = false")
        opened.execute("SET threads = 1")
        yield opened


def written(value):
    return "NULL" if value is None else quoted(value)[1] if isinstance(value, str) else repr(value)


def selected_by_duckdb(connection, table, condition):
    n = len(table)
    types = {"x": "DOUBLE", "y": "DOUBLE", "k": "BIGINT", "m": "BIGINT", "ok": "BOOLEAN", "label": "VARCHAR"}
    types |= {"other": "VARCHAR", "pos": "BIGINT", "n_atoms": "BIGINT"}
    types |= {"n_Ti": "BIGINT", "n_O": "BIGINT", "n_In": "BIGINT"}
    columns = table.columns | {"pos": list(range(n)), "n_atoms": [len(s) for s in table.structures]}
    columns |= {f"n_{e}": [s.count(e) for s in table.structures] for e in ("Ti", "O", "In")}
    rows = zip(*(map(written, columns[name]) for name in types), strict=True)
    values = ", ".join(f"({', '.join(row)})" for row in rows)
    casts = ", ".join(f"{name}::{kind} AS {name}" for name, kind in types.items())
    table_of_them = f"(SELECT {casts} FROM (VALUES {values}) AS v({', '.join(types)}))"
    found = connection.execute(f"SELECT pos FROM {table_of_them} WHERE {condition} ORDER BY pos").fetchall()
    return [pos for (pos,) in found]


def compares_an_element(ours):
    return "(Ti) ==" in ours or "(Ti) !=" in ours or "== (Ti)" in ours or "!= (Ti)" in ours


@settings(max_examples=400)
@given(table=tables(), condition=conditions.filter(lambda pair: not compares_an_element(pair[0])))
def test_random_expressions_select_what_duckdb_selects(connection, table, condition):
    ours, theirs = condition
    found = holding(bound(ours, table), table).tolist()
    assert found == selected_by_duckdb(connection, table, theirs), ours
