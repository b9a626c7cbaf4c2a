"""The grammar: what is written becomes which tree, and what is none is said where it is."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zstruct.errors import ArgumentTypeError, InputError
from zstruct.query import parse
from zstruct.query.parser import DEEPEST
from zstruct.query.syntax import (
    And,
    Arithmetic,
    Call,
    Comparison,
    Component,
    Membership,
    Name,
    Negative,
    Not,
    Number,
    Or,
    Text,
    Truth,
)

A, B, C, ONE, TWO = Name("a"), Name("b"), Name("c"), Number(1), Number(2)


@pytest.mark.parametrize(
    ("expression", "tree"),
    [
        ("a and b or not c", Or((And((A, B)), Not(C)))),
        ("a and (b or c)", And((A, Or((B, C))))),
        ("a or b or c", Or((A, B, C))),
        ("not a == 1", Not(Comparison(A, (("==", ONE),)))),
        ("a - b - 1 < c", Comparison(Arithmetic(A, (("-", B), ("-", ONE))), (("<", C),))),
        ("a + b * c", Arithmetic(A, (("+", Arithmetic(B, (("*", C),))),))),
        ("(a + b) * c", Arithmetic(Arithmetic(A, (("+", B),)), (("*", C),))),
        ("-a * b", Arithmetic(Negative(A), (("*", B),))),
        ("a - -1", Arithmetic(A, (("-", Number(-1)),))),
        ("1 < a <= 2", Comparison(ONE, (("<", A), ("<=", TWO)))),
        ("a in (1, b)", Membership(A, (ONE, B))),
        ("a in (1,)", Membership(A, (ONE,))),
        ("not a in (1)", Not(Membership(A, (ONE,)))),
        ("a not in ('b')", Membership(A, (Text("b"),), negated=True)),
        ("only(Ti, O)", Call("only", (Name("Ti"), Name("O")))),
        ("field('B') > 1", Comparison(Name("B", stored=True), ((">", ONE),))),
        ("stress[xx] > 1", Comparison(Component(Name("stress"), ("xx",)), ((">", ONE),))),
        ("field('a')[x, 0]", Component(Name("a", stored=True), ("x", 0))),
        ("a == true", Comparison(A, (("==", Truth(True)),))),
        ("In in (1, 2)", Membership(Name("In"), (ONE, TWO))),
        (" a\n\tand\r\n b ", And((A, B))),
        ("a==b", Comparison(A, (("==", B),))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_trees(expression, tree):
    assert parse(expression) == tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e-3", 1e-3),
        ("1_0.2_5E+1", 102.5),
        ("-9223372036854775808", -(2**63)),
        ("+3", 3),
    ],
)
def test_numbers(text, value):
    found = parse(text)

    assert found == Number(value)
    assert type(found.value) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'bulk'", "bulk"),
        ('"bulk"', "bulk"),
        ("'it''s'", "it's"),
        ('"it\'s"', "it's"),
        ("''", ""),
        (r"'a\n'", r"a\n"),
        ("'é\n'", "é\n"),
    ],
)
def test_texts(text, value):
    assert parse(text) == Text(value)


@given(st.text())
def test_any_text_can_be_written(value):
    assert parse("'" + value.replace("'", "''") + "'") == Text(value)


@given(st.text(max_size=30) | st.text("(Ti)<>=!&|'\"[] and or not in 1.e-+*/,", max_size=40))
def test_whatever_is_written_is_a_tree_or_a_sentence(expression):
    try:
        parse(expression)
    except InputError as error:
        str(error).encode()  # can be printed


@pytest.mark.parametrize(
    ("expression", "reason", "mark"),
    [
        ("Ti O", "something is missing between Ti and O", "   ^"),
        ("Ti and", "the expression ends where something should follow and", "      ^"),
        ("and Ti", "a value or a condition should begin here", "^^^"),
        ("Ti and and O", "a value or a condition should follow and", "       ^^^"),
        ("(Ti or O", "this bracket is not closed", "^"),
        ("Ti or O)", "this bracket closes none", "       ^"),
        ("Ti = 2", "write == here", "   ^"),
        ("Ti => 3", "write >= here", "   ^^"),
        ("Ti =< 3", "write <= here", "   ^^"),
        ("Ti <> 2", "write != here", "   ^^"),
        ("Ti && O", "write and here", "   ^^"),
        ("Ti | O", "write or here", "   ^"),
        ("!Ti", "write not here", "^"),
        ("Ti ≤ 2", "write <= here", "   ^"),
        ("energy < \N{MINUS SIGN}3", "write - here", "         ^"),
        ("Ti AND O", "write and in small letters", "   ^^^"),
        ("x is null", "write has(x)", "  ^^"),
        ("x between 1 and 2", "write a <= x <= b", "  ^^^^^^^"),
        ("1 < x > 0", "go in one direction", "      ^"),
        ("x == 1 == 2", "go in one direction", "       ^^"),
        ("x in 3", "in is followed by a list in round brackets", "     ^"),
        ("x in [1, 2]", "in is followed by a list in round brackets", "     ^"),
        ("x in ()", "the list is empty", "     ^^"),
        ("x in (1 2)", "something is missing between 1 and 2", "        ^"),
        ("[1]", "lists are in round brackets", "^"),
        ("Ti, O", "write and where both conditions should hold", "  ^"),
        ("(1, 2) < 3", "a comma separates what is in a list", "  ^"),
        ("x ** 2 > 1", "there is no **: write x * x", "  ^^"),
        ("x // 2 > 1", "there is no //", "  ^^"),
        ("x ^ 2 > 1", "there are no powers", "  ^"),
        ("x % 2 > 1", "the character '%' means nothing", "  ^"),
        ("config_type == 'bulk", "this text has no closing quote", "               ^^^^^"),
        ("config_type == “bulk”", "write plain quotes", "               ^"),
        ("größe > 1", "means nothing in an expression; in names of fields it became _", "  ^"),
        ("Ti\0O", "the character U+0000 means nothing", "  ^"),
        ("Ti\N{NO-BREAK SPACE}> 2", "U+00A0 (no-break space)", "  ^"),
        ("Ti > 60and O", "'60and' is no number", "     ^^^^^"),
        ("x < 1.2.3", "'1.2.3' is no number", "    ^^^^^"),
        ("x < 1__0", "'1__0' is no number", "    ^^^^"),
        ("x < 1e", "'1e' is no number", "    ^^"),
        ("x < 0x10", "'0x10' is no number", "    ^^^^"),
        ("x < 1e999", "larger than floats", "    ^^^^^"),
        ("x < " + "9" * 400, "larger than floats", "    " + "^" * 96),
        ("field(B) > 1", "field takes the name of one field in quotes", "^^^^^^^^"),
        ("stress[-1] > 1", "a component is a label or a number from 0", "       ^"),
        ("stress.xx > 1", "'.' means nothing here; a component is stress[xx]", "      ^"),
        ("(a + b)[x] > 1", "only quantities of several values have components", "       ^"),
        ("stress[xx > 1", "this bracket is not closed", "      ^"),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_wrong_is_said_and_shown(expression, reason, mark):
    with pytest.raises(InputError) as caught:
        parse(expression)

    said, line, under = str(caught.value).split("\n")
    assert reason in said
    assert under == "  " + mark
    assert line[len(under) - mark.count("^") : len(under)].strip("\N{REPLACEMENT CHARACTER}") in expression


def test_the_line_of_several_that_is_meant_is_shown():
    with pytest.raises(InputError) as caught:
        parse("Ti > 2\n  and O O\n  and H")

    assert str(caught.value).endswith("\n    and O O\n          ^")


def test_of_a_long_line_the_part_that_is_meant_is_shown():
    with pytest.raises(InputError) as caught:
        parse("Ti and " * 100 + "and" + " and O" * 100)

    _, line, under = str(caught.value).split("\n")
    assert line.startswith("  ...")
    assert line.endswith("...")
    assert len(line) < 120
    assert line[under.index("^") : len(under)] == "and"


@pytest.mark.parametrize("expression", ["", " ", "\n\t"])
def test_nothing_is_no_expression(expression):
    with pytest.raises(InputError, match="the expression is empty"):
        parse(expression)


@pytest.mark.parametrize("expression", [None, 3, b"Ti", ["Ti"]], ids=str)
def test_only_a_text_is_an_expression(expression):
    with pytest.raises(ArgumentTypeError, match="an expression is a text"):
        parse(expression)


@pytest.mark.parametrize("opening", ["(", "not ", "-", "abs(", "not -(", "only(x in ("])
def test_what_is_nested_too_deep_is_a_sentence(opening):
    with pytest.raises(InputError, match=f"nested more than {DEEPEST} deep"):
        parse(opening * 2_000 + "Ti")


def test_what_is_nested_as_deep_as_it_may_be_needs_few_frames():
    expression = "(" * DEEPEST + "Ti" + ")" * DEEPEST
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(_depth() + 600)
    try:
        assert parse(expression) == Name("Ti")
    finally:
        sys.setrecursionlimit(limit)


def _depth():
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def test_long_expressions_are_no_deeper():
    terms = 3_000
    found = parse(" and ".join(["Ti > 1 + 2 + 3"] * terms))

    assert isinstance(found, And)
    assert len(found.operands) == terms


def test_the_grammar_of_the_page_lets_a_comma_follow_the_last():
    assert parse("only(Ti, O,)").arguments == parse("only(Ti, O)").arguments
    assert parse("dipole[0,] > 1").first == parse("dipole[0] > 1").first
    assert parse("field('B',) > 1").first == parse("field('B') > 1").first
    assert parse("x in (1, 2,)").values == parse("x in (1, 2)").values


@pytest.mark.parametrize(
    "expression", ["Ti {0}", "{0} Ti", "1{0}", "'{0}' x", "x < {0} {0}", "x[0 {0}]", "{0} <", "({0} y"]
)
def test_long_words_are_cut_short_in_sentences(expression):
    with pytest.raises(InputError) as caught:
        parse(expression.format("a" * 100_000))

    assert len(str(caught.value)) < 500
