"""From the text of an expression to its tree, by the grammar on the page on selecting: one method a rule.

Nothing is evaluated, and nothing is known of what names mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from zstruct.arguments import shown
from zstruct.errors import ArgumentTypeError, InputError
from zstruct.query.messages import pointed, shortened
from zstruct.query.syntax import (
    And,
    Arithmetic,
    Call,
    Comparison,
    Component,
    Membership,
    Name,
    Negative,
    Node,
    Not,
    Number,
    Or,
    Text,
    Truth,
)
from zstruct.query.tokens import KEYWORDS, Token, tokens

__all__ = ["DEEPEST", "parse"]

#: How deep brackets, `not` and signs may be nested.
DEEPEST = 32

_COMPARING = ("<", "<=", ">", ">=", "==", "!=")
# Words of other languages that may follow a value, and what to write instead.
_FOREIGN = {
    "is": "write has(x) or not has(x) to ask whether a value is given, and == to compare",
    "isnull": "write not has(x)",
    "between": "write a <= x <= b",
    "like": "texts are compared by == and !=, or looked up with in",
    "contains": "texts are compared by == and !=, or looked up with in",
    "if": "there is no if: combine conditions with and, or, not",
}


def parse(expression: str) -> Node:
    """Return the tree of an expression.

    Raises
    ------
    ArgumentTypeError
        If it is no text.
    InputError
        If it is not one of the language; points at the place.

    Examples
    --------
    >>> parse("Ti > 2")
    Comparison(first=Name(name='Ti', stored=False), rest=(('>', Number(value=2)),))
    """
    if not isinstance(expression, str):
        raise ArgumentTypeError(f"an expression is a text, not {shown(expression)}")
    if not expression.strip():
        raise InputError('the expression is empty; write, say, "n_atoms <= 60"')
    return _Parser(str(expression)).whole()


class _Parser:
    def __init__(self, expression: str):
        self._expression = expression
        self._tokens = tokens(expression)
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._or()
        token = self._next
        if token.kind != "end":
            self._misplaced(token)
        return node

    def _or(self) -> Node:
        return self._joined("or", self._and, Or)

    def _and(self) -> Node:
        return self._joined("and", self._not, And)

    def _joined(self, word: str, operand: Callable[[], Node], joined: type[And] | type[Or]) -> Node:
        found = [operand()]
        while self._take("keyword", word):
            found.append(operand())
        return found[0] if len(found) == 1 else joined(tuple(found), span=self._span(found[0]))

    def _not(self) -> Node:
        token = self._take("keyword", "not")
        if token is None:
            return self._comparison()
        with self._deeper(token):
            node = self._not()
        return Not(node, span=(token.start, node.span[1]))

    def _comparison(self) -> Node:
        first = self._sum()
        negated = self._next.text == "not" and self._tokens[self._at + 1].text == "in"
        if negated:
            self._at += 1
        if self._take("keyword", "in"):
            values = self._list()
            return Membership(first, values, negated, span=self._span(first))
        signs, rest = [], []
        while (token := self._take("sign", *_COMPARING)) is not None:
            signs.append(token)
            rest.append((token.text, self._sum()))
        for token in signs[1:]:
            if token.text[0] != signs[0].text[0] or token.text in ("==", "!="):
                self._fail(
                    "comparisons in a row go in one direction, as in 0 < x <= 4: join others by and",
                    token.start,
                    token.stop,
                )
        return Comparison(first, tuple(rest), span=self._span(first)) if rest else first

    def _list(self) -> tuple[Node, ...]:
        opening = self._next
        if not self._take("sign", "("):
            self._fail(
                "in is followed by a list in round brackets, as in x in (1, 2)", opening.start, opening.stop
            )
        with self._deeper(opening):
            values = self._separated(opening)
        if not values:
            self._fail("the list is empty", opening.start, self._tokens[self._at - 1].stop)
        return values

    def _separated(self, opening: Token) -> tuple[Node, ...]:
        """Return what is between brackets, the first of which is taken, separated by commas."""
        found: list[Node] = []
        while not self._take("sign", ")"):
            found.append(self._or())
            if not self._take("sign", ",") and self._next.text != ")":
                self._unclosed(opening)
        return tuple(found)

    def _sum(self) -> Node:
        return self._calculation(self._product, "+", "-")

    def _product(self) -> Node:
        return self._calculation(self._signed, "*", "/")

    def _calculation(self, operand: Callable[[], Node], *signs: str) -> Node:
        first, rest = operand(), []
        while (token := self._take("sign", *signs)) is not None:
            if token.text in "*/" and self._next.text == token.text and self._next.start == token.stop:
                instead = "x * x" if token.text == "*" else "a / b, which keeps fractions"
                self._fail(f"there is no {token.text * 2}: write {instead}", token.start, token.stop + 1)
            rest.append((token.text, operand()))
        return Arithmetic(first, tuple(rest), span=self._span(first)) if rest else first

    def _signed(self) -> Node:
        token = self._take("sign", "+", "-")
        if token is None:
            return self._primary()
        with self._deeper(token):
            node = self._signed()
        span = (token.start, node.span[1])
        if token.text == "+":
            return node
        return Number(-node.value, span=span) if isinstance(node, Number) else Negative(node, span=span)

    def _primary(self) -> Node:
        token = self._next
        self._at += 1
        span = (token.start, token.stop)
        if token.kind == "number":
            return Number(self._number(token), span=span)
        if token.kind == "text":
            quote = token.text[0]
            return Text(token.text[1:-1].replace(quote * 2, quote), span=span)
        if token.kind == "keyword" and token.text in ("true", "false"):
            return Truth(token.text == "true", span=span)
        if token.kind == "name":
            return self._named(token)
        if token.text == "(":
            with self._deeper(token):
                node = self._or()
            if not self._take("sign", ")"):
                self._unclosed(token)
            return node
        self._at -= 1
        self._no_value(token)

    def _named(self, token: Token) -> Node:
        """Return what begins with a name: a quantity, a component of one, or a function of something."""
        node: Node
        opening = self._take("sign", "(")
        if opening is None:
            node = Name(token.text, span=(token.start, token.stop))
        else:
            with self._deeper(opening):
                arguments = self._separated(opening)
            span = (token.start, self._tokens[self._at - 1].stop)
            if token.text != "field":
                return Call(token.text, arguments, span=span)
            if len(arguments) != 1 or not isinstance(arguments[0], Text):
                self._fail("field takes the name of one field in quotes, as in field('B')", *span)
            node = Name(arguments[0].value, True, span=span)
        opening = self._take("sign", "[")
        if opening is None:
            return node
        indices: list[str | int] = []
        while not self._take("sign", "]"):
            word = self._next
            whole = word.kind == "number" and word.text.isdecimal()
            if word.kind != "name" and not whole:
                self._fail(
                    "a component is a label or a number from 0, as in stress[xx]", word.start, word.stop
                )
            self._at += 1
            indices.append(int(self._number(word)) if whole else word.text)
            if not self._take("sign", ",") and self._next.text != "]":
                self._unclosed(opening)
        return Component(node, tuple(indices), span=(token.start, self._tokens[self._at - 1].stop))

    def _number(self, token: Token) -> int | float:
        text = token.text.replace("_", "")
        value = float(text)
        if math.isinf(value):
            self._fail("this number is larger than floats are", token.start, token.stop)
        return int(text) if text.isdecimal() else value

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self, kind: str, *texts: str) -> Token | None:
        """Return the next word and go on if it is one of some, else return None."""
        token = self._next
        if token.kind != kind or token.text not in texts:
            return None
        self._at += 1
        return token

    def _span(self, first: Node) -> tuple[int, int]:
        """Return the place from a node to the last word that was taken."""
        return first.span[0], self._tokens[self._at - 1].stop

    @contextmanager
    def _deeper(self, token: Token) -> Iterator[None]:
        if self._depth == DEEPEST:
            self._fail(
                f"brackets, not and signs are nested more than {DEEPEST} deep here", token.start, token.stop
            )
        self._depth += 1
        yield
        self._depth -= 1

    def _fail(self, reason: str, start: int, stop: int) -> NoReturn:
        raise InputError(pointed(reason, self._expression, start, stop))

    def _unclosed(self, opening: Token) -> NoReturn:
        token = self._next
        if opening.text == "(" and token.kind != "end" and token.text not in ("]", ","):
            self._misplaced(token)
        if token.text == "," and opening.text == "(":
            self._fail("a comma separates what is in a list: write x in (1, 2)", token.start, token.stop)
        self._fail("this bracket is not closed", opening.start, opening.stop)

    def _no_value(self, token: Token) -> NoReturn:
        """Raise where a value or a condition should begin, and does not."""
        if token.kind == "end":
            before = self._tokens[self._at - 1]
            self._fail(
                f"the expression ends where something should follow {shortened(before.text)}", *token[2:]
            )
        if token.text == "[":
            reason = "lists are in round brackets, as in x in (1, 2)"
        elif self._at and self._tokens[self._at - 1].text not in ("(", ",", "["):
            reason = f"a value or a condition should follow {shortened(self._tokens[self._at - 1].text)}"
        else:
            reason = "a value or a condition should begin here"
        self._fail(reason, token.start, token.stop)

    def _misplaced(self, token: Token) -> NoReturn:
        """Raise where an expression could end, and does not."""
        word = token.text.lower()
        if token.text in (")", "]"):
            reason = "this bracket closes none"
        elif token.kind == "name" and word in KEYWORDS:
            reason = f"write {word} in small letters"
        elif token.kind == "name" and word in _FOREIGN:
            reason = _FOREIGN[word]
        elif token.text == "[":
            reason = "only quantities of several values have components, as stress[xx]"
        elif token.text == ",":
            reason = "write and where both conditions should hold, or where one should"
        elif token.text in _COMPARING:  # after a list: x in (1, 2) < 3
            reason = "join conditions by and or or"
        else:
            before, after = shortened(self._tokens[self._at - 1].text), shortened(token.text)
            reason = f"something is missing between {before} and {after}: and, or, or a sign"
        self._fail(reason, token.start, token.stop)
