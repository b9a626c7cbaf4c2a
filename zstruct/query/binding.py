"""Whether what an expression does with its names makes sense.

A tree becomes a condition that can be asked of a table of structures, or a sentence that points at what
is wrong. Nothing is read here but what the table says of its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from zstruct.elements import parsed_formula
from zstruct.query import syntax
from zstruct.query.conditions import All, Anyone, Compare, Condition, Constant, IsNumber, IsText, SameText
from zstruct.query.messages import Complaints, shortened
from zstruct.query.names import Names, single
from zstruct.query.operands import (
    ConditionOperand,
    FieldOfTexts,
    FormulaOperand,
    NumberOperand,
    Operand,
    Word,
    kind_of,
)
from zstruct.query.parser import parse
from zstruct.query.table import Table
from zstruct.query.values import Absolute, Arithmetic, Count, Literal, Value
from zstruct.text import nearest

__all__ = ["FUNCTIONS", "Asked", "Bound", "bound", "to_read"]

#: What functions there are, and what they return.
FUNCTIONS: Mapping[str, str] = {
    "field": "the field of this name, where the name means something else by itself: `field('B')`",
    "has": "whether the structure has a quantity or a field, also one of atoms: `has(stress)`, `has(forces)`",
    "only": "whether the structure has no other elements: `only(Ti, O)`",
    "abs": "a number without its sign: `abs(total_charge)`",
    "norm": "the norm of a vector: `norm(dipole)`",
}


@dataclass(frozen=True)
class Bound:
    """A condition, and the atomic numbers of all elements that are counted in it."""

    condition: Condition
    elements: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Asked:
    """What an expression is that need be no condition, and the elements that are counted in it."""

    operand: Operand
    elements: frozenset[int] = frozenset()


def bound(expression: str, table: Table) -> Bound:
    """Return the condition that an expression is, asked of a table.

    Raises
    ------
    InputError
        If it is not one of the language, or makes no sense; points at the place.
    UnknownNameError
        If the structures have no such quantity; names the nearest.
    ArgumentTypeError
        If it is no text.
    """
    binder = _Binder(expression, table)
    condition = binder.condition(parse(expression))
    return Bound(condition, binder.elements)


def to_read(expression: str, table: Table) -> Asked:
    """Return the number, text, formula or condition that an expression is, to be read of structures.

    Raises
    ------
    InputError, UnknownNameError, ArgumentTypeError
        As for `bound`.
    """
    binder = _Binder(expression, table)
    return Asked(binder.operand(parse(expression)), binder.elements)


class _Binder:
    def __init__(self, expression: str, table: Table):
        self._complain = Complaints(expression)
        self._names = Names(table, self._complain)

    @property
    def elements(self) -> frozenset[int]:
        """The atomic numbers of all elements that were named."""
        return frozenset(self._names.elements)

    def condition(self, node: syntax.Node) -> Condition:
        """Return the condition that a node is; an element by itself is there."""
        operand = self.operand(node)
        if isinstance(operand, ConditionOperand):
            return operand.condition
        if isinstance(operand, NumberOperand) and isinstance(operand.value, Count):
            return Compare(operand.value, ">", Literal(0))
        said = self._complain.said(node)
        how = {"a number": f"{said} > 0", "a text": f"{said} == 'bulk'", "a formula": f"{said} == 'TiO2'"}
        kind = kind_of(operand)
        reason = f"{said} is {kind}, not a condition"
        if isinstance(node, syntax.Name | syntax.Component):
            reason += f"; compare it, as in {how[kind]}"
        self._complain.of(reason, node)

    def operand(self, node: syntax.Node, beside_text: bool = False) -> Operand:
        """Return what a node is; `beside_text`, where a text in quotes may have been meant."""
        match node:
            case syntax.Number():
                return NumberOperand(Literal(node.value))
            case syntax.Text():
                return Word(node.value)
            case syntax.Truth():
                return ConditionOperand(Constant(node.value))
            case syntax.Name():
                return self._names.name(node, beside_text)
            case syntax.Component():
                return self._names.component(node)
            case syntax.Call():
                return self._call(node)
            case syntax.Negative():
                return NumberOperand(Arithmetic(Literal(0), (("-", self._number(node.of)),)))
            case syntax.Arithmetic():
                rest = tuple((sign, self._number(one)) for sign, one in node.rest)
                return NumberOperand(Arithmetic(self._number(node.first), rest))
            case syntax.Comparison():
                return ConditionOperand(self._comparison(node))
            case syntax.Membership():
                return ConditionOperand(self._membership(node))
            case syntax.Not():
                return ConditionOperand(self.condition(node.of).opposite())
            case syntax.And():
                return ConditionOperand(All(tuple(map(self.condition, node.operands))))
            case syntax.Or():
                return ConditionOperand(Anyone(tuple(map(self.condition, node.operands))))

    def _number(self, node: syntax.Node) -> Value:
        operand = self.operand(node)
        if not isinstance(operand, NumberOperand):
            self._complain.of(f"{self._complain.said(node)} is {kind_of(operand)}, not a number", node)
        return operand.value

    def _comparison(self, node: syntax.Comparison) -> Condition:
        found = []
        left_node, left = node.first, self.operand(node.first)
        for sign, right_node in node.rest:
            right = self.operand(right_node, isinstance(left, FieldOfTexts | FormulaOperand))
            place = (left_node, right_node)
            if sign in ("==", "!="):
                same = self._same(left, right, place)
                found.append(same if sign == "==" else same.opposite())
            elif isinstance(left, NumberOperand) and isinstance(right, NumberOperand):
                found.append(Compare(left.value, sign, right.value))
            else:
                self._refuse_order(left, right, place, sign)
            left_node, left = right_node, right
        return found[0] if len(found) == 1 else All(tuple(found))

    def _same(self, left: Operand, right: Operand, place: tuple[syntax.Node, syntax.Node]) -> Condition:
        """Return that two operands are equal."""
        match left, right:
            case NumberOperand(), NumberOperand():
                return Compare(left.value, "==", right.value)
            case ConditionOperand(one), ConditionOperand(other):
                return Anyone((All((one, other)), All((one.opposite(), other.opposite()))))
            case (FieldOfTexts(name), Word(text)) | (Word(text), FieldOfTexts(name)):
                return IsText(name, frozenset([text]))
            case FieldOfTexts(name), FieldOfTexts(other_name):
                return SameText(name, other_name)
            case Word(text), Word(other_text):
                return Constant(text == other_text)
            case (FormulaOperand(), Word(text)):
                return self._is_formula(text, place[1])
            case (Word(text), FormulaOperand()):
                return self._is_formula(text, place[0])
        kinds = kind_of(left), kind_of(right)
        if "a formula" in kinds and kinds != ("a formula", "a number"):
            reason = "formula is compared with a formula in quotes only, as in formula == 'TiO2'"
        else:
            reason = self._unlike(left, right, place)
        self._complain.of(reason, *place)

    def _refuse_order(
        self, left: Operand, right: Operand, place: tuple[syntax.Node, syntax.Node], sign: str
    ) -> NoReturn:
        kinds = {kind_of(left), kind_of(right)}
        if len(kinds) == 1:
            reason = f"{kinds.pop()[2:]}s are compared by == and != only, not by {sign}"
        else:
            reason = self._unlike(left, right, place)
        self._complain.of(reason, *place)

    def _unlike(self, left: Operand, right: Operand, place: tuple[syntax.Node, syntax.Node]) -> str:
        first, second = map(self._complain.said, place)
        return f"{first} is {kind_of(left)} and {second} is {kind_of(right)}: they can't be compared"

    def _membership(self, node: syntax.Membership) -> Condition:
        of = self.operand(node.of)
        whole: set[int] = set()
        floats: set[float] = set()
        texts: set[str] = set()
        found: list[Condition] = []
        for one in node.values:
            operand = self.operand(one, isinstance(of, FieldOfTexts | FormulaOperand))
            if isinstance(of, FieldOfTexts) and isinstance(operand, Word):
                texts.add(operand.text)
            elif (
                isinstance(of, NumberOperand)
                and isinstance(operand, NumberOperand)
                and isinstance(one, syntax.Number)
            ):
                if isinstance(one.value, int) and -(2**63) <= one.value < 2**63:
                    whole.add(one.value)
                else:
                    floats.add(float(one.value))
            else:
                found.append(self._same(of, operand, (node.of, one)))
        if isinstance(of, NumberOperand):
            found += [IsNumber(of.value, tuple(sorted(some))) for some in (whole, floats) if some]
        if isinstance(of, FieldOfTexts) and texts:
            found.append(IsText(of.name, frozenset(texts)))
        condition = found[0] if len(found) == 1 else Anyone(tuple(found))
        return condition.opposite() if node.negated else condition

    def _is_formula(self, text: str, node: syntax.Node) -> Condition:
        counts = parsed_formula(text)
        if counts is None:
            self._complain.of(
                f"{self._complain.said(node)} is no chemical formula; write one as 'TiO2', without brackets",
                node,
            )
        exactly = [Compare(self._names.count(z), "==", Literal(n)) for z, n in counts.items()]
        total = Compare(self._names.quantity("n_atoms", node), "==", Literal(sum(counts.values())))
        return All((total, *exactly))

    def _call(self, node: syntax.Call) -> Operand:
        calls: dict[str, Callable[[syntax.Call], Operand]] = {
            "only": self._names.only,
            "has": self._names.has,
            "abs": self._abs,
            "norm": self._names.norm,
        }
        if node.function in calls:
            return calls[node.function](node)
        near = nearest(node.function, FUNCTIONS)
        meant = f"did you mean {near}?" if near else f"there are {', '.join(FUNCTIONS)}"
        self._complain.of_name(f"there is no function {shortened(node.function)}; {meant}", node)

    def _abs(self, node: syntax.Call) -> Operand:
        return NumberOperand(
            Absolute(self._number(single(node, self._complain, "a number, as in abs(total_charge)")))
        )
