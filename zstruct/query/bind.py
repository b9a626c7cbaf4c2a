"""What the names of an expression are, and whether what is done with them makes sense.

A tree becomes a condition that can be asked of a table of structures, or a sentence that points at what
is wrong. Nothing is read here but what the table says of its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from zstruct.elements import NUMBERS, parsed_formula
from zstruct.errors import InputError, UnknownNameError
from zstruct.query import syntax
from zstruct.query.conditions import (
    All,
    Anyone,
    Compare,
    Condition,
    Constant,
    Flag,
    Given,
    IsNumber,
    IsText,
    SameText,
)
from zstruct.query.messages import pointed
from zstruct.query.parse import parse
from zstruct.query.quantities import FORMULA, INDEX, QUANTITIES, Quantity
from zstruct.query.table import Table
from zstruct.query.values import (
    ATOMS,
    COLUMN,
    ROWS,
    Absolute,
    Arithmetic,
    Computed,
    Count,
    Literal,
    Norm,
    Position,
    Stored,
    Value,
)
from zstruct.schema import ATOM, FIELDS, LABELS, STRUCTURE, Field, by_alias
from zstruct.text import nearest

__all__ = ["FUNCTIONS", "Bound", "bound", "count_of", "quantity_of"]

#: What functions there are, and what they return.
FUNCTIONS: Mapping[str, str] = {
    "field": "the field of this name, where the name means something else by itself: `field('B')`",
    "has": "whether the structure has a quantity or a field, also one of atoms: `has(stress)`, `has(forces)`",
    "only": "whether the structure has no other elements: `only(Ti, O)`",
    "abs": "a number without its sign: `abs(total_charge)`",
    "norm": "the norm of a vector: `norm(dipole)`",
}
_SHOWN = 40  # characters of the expression in a sentence
_LISTED = 24  # names


@dataclass(frozen=True)
class Bound:
    """A condition, and the atomic numbers of all elements that are counted in it."""

    condition: Condition
    elements: frozenset[int] = frozenset()


@dataclass(frozen=True)
class _Number:
    value: Value


@dataclass(frozen=True)
class _Condition:
    condition: Condition


@dataclass(frozen=True)
class _Texts:
    """A field of texts."""

    name: str


@dataclass(frozen=True)
class _Word:
    """A text that is written."""

    text: str


@dataclass(frozen=True)
class _Formula:
    """The formula of a structure."""


_Operand = _Number | _Condition | _Texts | _Word | _Formula
_KINDS: dict[type, str] = {
    _Number: "a number",
    _Condition: "a condition",
    _Texts: "a text",
    _Word: "a text",
    _Formula: "a formula",
}


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
    return Bound(condition, frozenset(binder.elements))


def quantity_of(quantity: Quantity, table: Table) -> Value:
    """Return a quantity that is computed by a function of its own."""
    cost = ROWS
    if quantity.level == ATOM:
        cost = COLUMN if quantity.needs == ("numbers",) and table.formulas is not None else ATOMS
    return Computed(quantity, cost)


def count_of(elements: Iterable[int], table: Table) -> Value:
    """Return the number of atoms of some elements, given by atomic numbers."""
    return Count(tuple(elements), ATOMS if table.formulas is None else COLUMN)


class _Binder:
    def __init__(self, expression: str, table: Table):
        self.elements: set[int] = set()
        self._expression, self._table = expression, table

    def condition(self, node: syntax.Node) -> Condition:
        """Return the condition that a node is; an element by itself is there."""
        operand = self._operand(node)
        if isinstance(operand, _Condition):
            return operand.condition
        if isinstance(operand, _Number) and isinstance(operand.value, Count):
            return Compare(operand.value, ">", Literal(0))
        said = self._said(node)
        how = {"a number": f"{said} > 0", "a text": f"{said} == 'bulk'", "a formula": f"{said} == 'TiO2'"}
        kind = _KINDS[type(operand)]
        reason = f"{said} is {kind}, not a condition"
        if isinstance(node, syntax.Name | syntax.Component):
            reason += f"; compare it, as in {how[kind]}"
        self._fail(reason, node)

    def _operand(self, node: syntax.Node, beside_text: bool = False) -> _Operand:
        match node:
            case syntax.Number():
                return _Number(Literal(node.value))
            case syntax.Text():
                return _Word(node.value)
            case syntax.Truth():
                return _Condition(Constant(node.value))
            case syntax.Name():
                return self._name(node, beside_text)
            case syntax.Component():
                return self._component(node)
            case syntax.Call():
                return self._call(node)
            case syntax.Negative():
                return _Number(Arithmetic(Literal(0), (("-", self._number(node.of)),)))
            case syntax.Arithmetic():
                rest = tuple((sign, self._number(one)) for sign, one in node.rest)
                return _Number(Arithmetic(self._number(node.first), rest))
            case syntax.Comparison():
                return _Condition(self._comparison(node))
            case syntax.Membership():
                return _Condition(self._membership(node))
            case syntax.Not():
                return _Condition(self.condition(node.of).opposite())
            case syntax.And():
                return _Condition(All(tuple(map(self.condition, node.operands))))
            case syntax.Or():
                return _Condition(Anyone(tuple(map(self.condition, node.operands))))

    def _number(self, node: syntax.Node) -> Value:
        operand = self._operand(node)
        if not isinstance(operand, _Number):
            self._fail(f"{self._said(node)} is {_KINDS[type(operand)]}, not a number", node)
        return operand.value

    def _comparison(self, node: syntax.Comparison) -> Condition:
        found = []
        left_node, left = node.first, self._operand(node.first)
        for sign, right_node in node.rest:
            right = self._operand(right_node, isinstance(left, _Texts | _Formula))
            place = (left_node, right_node)
            if sign in ("==", "!="):
                same = self._same(left, right, place)
                found.append(same if sign == "==" else same.opposite())
            elif isinstance(left, _Number) and isinstance(right, _Number):
                found.append(Compare(left.value, sign, right.value))
            else:
                self._refuse_order(left, right, place, sign)
            left_node, left = right_node, right
        return found[0] if len(found) == 1 else All(tuple(found))

    def _same(self, left: _Operand, right: _Operand, place: tuple[syntax.Node, syntax.Node]) -> Condition:
        """Return that two operands are equal."""
        match left, right:
            case _Number(), _Number():
                return Compare(left.value, "==", right.value)
            case _Condition(one), _Condition(other):
                return Anyone((All((one, other)), All((one.opposite(), other.opposite()))))
            case (_Texts(name), _Word(text)) | (_Word(text), _Texts(name)):
                return IsText(name, frozenset([text]))
            case _Texts(name), _Texts(other_name):
                return SameText(name, other_name)
            case _Word(text), _Word(other_text):
                return Constant(text == other_text)
            case (_Formula(), _Word(text)):
                return self._is_formula(text, place[1])
            case (_Word(text), _Formula()):
                return self._is_formula(text, place[0])
        kinds = _KINDS[type(left)], _KINDS[type(right)]
        if "a formula" in kinds and kinds != ("a formula", "a number"):
            reason = "formula is compared with a formula in quotes only, as in formula == 'TiO2'"
        else:
            reason = f"{self._said(place[0])} is {kinds[0]} and {self._said(place[1])} is {kinds[1]}"
            reason += ": they can't be compared"
        self._fail(reason, *place)

    def _refuse_order(
        self, left: _Operand, right: _Operand, place: tuple[syntax.Node, syntax.Node], sign: str
    ) -> NoReturn:
        kinds = {_KINDS[type(left)], _KINDS[type(right)]}
        if len(kinds) == 1:
            reason = f"{kinds.pop()[2:]}s are compared by == and != only, not by {sign}"
        else:
            reason = f"{self._said(place[0])} is {_KINDS[type(left)]} and {self._said(place[1])} is "
            reason += f"{_KINDS[type(right)]}: they can't be compared"
        self._fail(reason, *place)

    def _membership(self, node: syntax.Membership) -> Condition:
        of = self._operand(node.of)
        whole: set[int] = set()
        floats: set[float] = set()
        texts: set[str] = set()
        found: list[Condition] = []
        for one in node.values:
            operand = self._operand(one, isinstance(of, _Texts | _Formula))
            if isinstance(of, _Texts) and isinstance(operand, _Word):
                texts.add(operand.text)
            elif isinstance(of, _Number) and isinstance(operand, _Number) and isinstance(one, syntax.Number):
                if isinstance(one.value, int) and -(2**63) <= one.value < 2**63:
                    whole.add(one.value)
                else:
                    floats.add(float(one.value))
            else:
                found.append(self._same(of, operand, (node.of, one)))
        if isinstance(of, _Number):
            found += [IsNumber(of.value, tuple(sorted(some))) for some in (whole, floats) if some]
        if isinstance(of, _Texts) and texts:
            found.append(IsText(of.name, frozenset(texts)))
        condition = found[0] if len(found) == 1 else Anyone(tuple(found))
        return condition.opposite() if node.negated else condition

    def _is_formula(self, text: str, node: syntax.Node) -> Condition:
        counts = parsed_formula(text)
        if counts is None:
            self._fail(
                f"{self._said(node)} is no chemical formula; write one as 'TiO2', without brackets", node
            )
        exactly = [Compare(self._count(z), "==", Literal(n)) for z, n in counts.items()]
        total = Compare(self._quantity("n_atoms", node), "==", Literal(sum(counts.values())))
        return All((total, *exactly))

    def _count(self, *elements: int) -> Value:
        self.elements.update(elements)
        return count_of(elements, self._table)

    def _quantity(self, name: str, node: syntax.Node) -> Value:
        quantity = QUANTITIES[name]
        lost = self._lost(name)
        if lost:
            self._unknown(f"{name} needs {' and '.join(lost)}, and {self._table.name} has none", node)
        return Position() if name == INDEX else quantity_of(quantity, self._table)

    def _lost(self, name: str) -> list[str]:
        """Return the fields that a quantity needs and nobody has."""
        lost = [need for need in QUANTITIES[name].needs if need not in {*self._table.fields, "n_atoms"}]
        return [] if lost == ["numbers"] and self._table.formulas is not None else lost

    def _name(self, node: syntax.Name, beside_text: bool = False) -> _Operand:
        name, fields = node.name, self._table.fields
        if not node.stored:
            if name in NUMBERS:
                return _Number(self._count(NUMBERS[name]))
            if name == FORMULA:
                return _Formula()
            if name in QUANTITIES:
                return _Number(self._quantity(name, node))
        if name not in fields:
            self._no_field(node, beside_text)
        field = fields[name]
        if field.level == ATOM:
            self._fail(
                f"{name} is a field of atoms, and conditions are on structures{_instead_of(name)}", node
            )
        if field.shape:
            self._fail(
                f"{name} has {_sizes(field)} values in each structure; name one, as in {_example(field)}",
                node,
            )
        if field.kind == "category":
            return _Texts(name)
        return _Condition(Flag(name)) if field.kind == "bool" else _Number(Stored(name))

    def _component(self, node: syntax.Component) -> _Operand:
        name = node.of.name
        if not node.of.stored and (name in NUMBERS or name in QUANTITIES):
            self._fail(f"{name} is one number, without components", node)
        if name not in self._table.fields:
            self._no_field(node.of)
        field = self._table.fields[name]
        if field.level == ATOM:
            self._fail(
                f"{name} is a field of atoms, and conditions are on structures{_instead_of(name)}", node
            )
        if not field.shape:
            self._fail(f"{name} is one value, without components", node)
        if field.kind == "category":
            self._fail(f"{name} has several texts, which can't be compared", node)
        if len(node.indices) != len(field.shape):
            self._fail(f"{name} has {_sizes(field)} values in each structure; write {_example(field)}", node)
        place = []
        for index, dim, size in zip(node.indices, field.dims[1:], field.shape, strict=True):
            labels = LABELS.get(dim, ())
            if isinstance(index, str) and index not in labels:
                has = f": they are {', '.join(labels)}" if labels else f", but numbers from 0 to {size - 1}"
                self._unknown(f"the components of {name} have no label {index!r}{has}", node)
            at = labels.index(index) if isinstance(index, str) else index
            if at >= size:
                self._fail(f"{name} has the components 0 to {size - 1}, not {at}", node)
            place.append(at)
        if field.kind == "bool":
            return _Condition(Flag(name, tuple(place), cost=ROWS))
        return _Number(Stored(name, tuple(place)))

    def _call(self, node: syntax.Call) -> _Operand:
        calls: dict[str, Callable[[syntax.Call], _Operand]] = {
            "only": self._only,
            "has": self._has,
            "abs": self._abs,
            "norm": self._norm,
        }
        if node.function in calls:
            return calls[node.function](node)
        near = nearest(node.function, FUNCTIONS)
        meant = f"did you mean {near}?" if near else f"there are {', '.join(FUNCTIONS)}"
        self._unknown(f"there is no function {node.function}; {meant}", node)

    def _only(self, node: syntax.Call) -> _Operand:
        elements = []
        for one in node.arguments:
            if not isinstance(one, syntax.Name) or one.stored or one.name not in NUMBERS:
                self._fail(
                    f"only takes chemical symbols, as in only(Ti, O), and {self._said(one)} is none", one
                )
            elements.append(NUMBERS[one.name])
        if not elements:
            self._fail("only takes chemical symbols, as in only(Ti, O)", node)
        count = self._count(*dict.fromkeys(elements))
        return _Condition(Compare(count, "==", self._quantity("n_atoms", node)))

    def _has(self, node: syntax.Call) -> _Operand:
        one = self._single(node, "the name of a quantity or a field, as in has(stress)")
        if not isinstance(one, syntax.Name):
            self._fail(f"has takes the name of a quantity or a field, and {self._said(one)} is none", one)
        name, fields = one.name, self._table.fields
        if not one.stored:
            if name in NUMBERS:
                self._fail(f"write {name} to ask for the element, or has(field('{name}')) for a field", node)
            if name in (FORMULA, INDEX):
                return _Condition(Constant(True))
            if name in QUANTITIES:
                if self._lost(name):
                    return _Condition(Constant(False))
                value = self._quantity(name, one)
                return _Condition(Given(value, value.cost))
        if name not in fields:
            if name in FIELDS:  # nobody has it
                return _Condition(Constant(False))
            self._no_field(one)
        level = fields[name].level
        in_atoms = level == ATOM and fields[name].kind in ("float", "category")
        return _Condition(Given(name, ATOMS if in_atoms else ROWS))

    def _abs(self, node: syntax.Call) -> _Operand:
        return _Number(Absolute(self._number(self._single(node, "a number, as in abs(total_charge)"))))

    def _norm(self, node: syntax.Call) -> _Operand:
        one = self._single(node, "the name of a field, as in norm(dipole)")
        if isinstance(one, syntax.Name) and (
            one.stored or (one.name not in NUMBERS and one.name not in QUANTITIES)
        ):
            if one.name not in self._table.fields:
                self._no_field(one)
            field = self._table.fields[one.name]
            numeric = field.kind in ("float", "int") and field.level == STRUCTURE
            if numeric and len(field.shape) == 1 and field.dims[1] != "voigt":
                return _Number(Norm(one.name))
        self._fail(f"norm takes a field with a vector in each structure, and {self._said(one)} is none", one)

    def _single(self, node: syntax.Call, takes: str) -> syntax.Node:
        if len(node.arguments) != 1:
            self._fail(f"{node.function} takes {takes}", node)
        return node.arguments[0]

    def _no_field(self, node: syntax.Name, beside_text: bool = False) -> NoReturn:
        """Raise for a name that is nothing the structures have."""
        name, fields = node.name, self._table.fields
        what = "field" if node.stored else "quantity"
        reason = f"{self._table.name} has no {what} {name!r}"
        usable = [one for one, field in fields.items() if field.level == STRUCTURE]
        known: Sequence[str] = list(fields) if node.stored else [*QUANTITIES, *usable, *NUMBERS]
        alias = by_alias(name, STRUCTURE)
        near = alias.name if alias is not None and alias.name in fields else nearest(name, known)
        if beside_text:
            reason += f"; a text is in quotes: '{name}'"
        elif name.casefold() in ("null", "none", "nan", "na"):
            reason += "; has(x) asks whether a value is given"
        elif near is not None and near != name:
            reason += f"; did you mean {near}?"
        else:
            listed = list(fields) if node.stored else [*usable, *(q for q in QUANTITIES if not self._lost(q))]
            listed = list(dict.fromkeys(listed))
            more = ", ..." if len(listed) > _LISTED else ""
            reason += f"; it has {', '.join(listed[:_LISTED])}{more}"
        self._unknown(reason, node)

    def _said(self, node: syntax.Node) -> str:
        """Return what is written, cut short."""
        text = " ".join(self._expression[slice(*node.span)].split())
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

    def _fail(self, reason: str, *nodes: syntax.Node) -> NoReturn:
        raise InputError(pointed(reason, self._expression, nodes[0].span[0], nodes[-1].span[1]))

    def _unknown(self, reason: str, node: syntax.Node) -> NoReturn:
        raise UnknownNameError(pointed(reason, self._expression, *node.span))


def _instead_of(name: str) -> str:
    """Return what to write instead of a field of atoms."""
    if name == "forces":
        return ": fmax is the largest of them, and has(forces) asks whether there are some"
    if name == "numbers":
        return ": a chemical symbol is the number of its atoms, as in Ti > 2"
    return f": has({name}) asks whether they have it"


def _sizes(field: Field) -> str:
    return " x ".join(map(str, field.shape))


def _example(field: Field) -> str:
    """Return how one component of a field is named."""
    return f"{field.name}[{', '.join(LABELS.get(dim, ('0',))[0] for dim in field.dims[1:])}]"
