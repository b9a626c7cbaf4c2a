"""What names mean in a table of structures: elements, quantities, fields and their components."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

from zstruct.aliases import by_alias
from zstruct.query import syntax
from zstruct.query.conditions import Compare, Constant, Flag, Given
from zstruct.query.messages import Complaints, shortened
from zstruct.query.operands import (
    ConditionOperand,
    FieldOfTexts,
    FormulaOperand,
    NumberOperand,
    Operand,
)
from zstruct.query.quantities import ELEMENTS, FORMULA, INDEX, QUANTITIES, Quantity
from zstruct.query.table import Table
from zstruct.query.values import ATOMS, COLUMN, ROWS, Computed, Count, Norm, Position, Stored, Value
from zstruct.schema import ATOM, FIELDS, LABELS, STRUCTURE, Field
from zstruct.text import nearest

__all__ = ["Names", "count_of", "lack_of", "quantity_of", "single"]

_LISTED = 24  # names


class Names:
    """What the names of one expression mean in a table.

    Parameters
    ----------
    table
        The structures.
    complain
        Raises errors about the expression.
    """

    def __init__(self, table: Table, complain: Complaints):
        #: Atomic numbers of all elements that were named.
        self.elements: set[int] = set()
        self._table, self._complain = table, complain

    def count(self, *elements: int) -> Value:
        """Return the number of atoms of some elements, given by atomic numbers."""
        self.elements.update(elements)
        return count_of(elements, self._table)

    def quantity(self, name: str, node: syntax.Node) -> Value:
        """Return a quantity of the table of quantities."""
        quantity = QUANTITIES[name]
        lost = self._lost(name)
        if lost:
            self._complain.of_name(
                f"{name} needs {' and '.join(lost)}, and {lack_of(lost, self._table)}", node
            )
        return Position() if name == INDEX else quantity_of(quantity, self._table)

    def _lost(self, name: str) -> list[str]:
        """Return the fields that a quantity needs and nobody has."""
        lost = [need for need in QUANTITIES[name].needs if need not in {*self._table.fields, "n_atoms"}]
        return [] if lost == ["numbers"] and self._table.formulas is not None else lost

    def name(self, node: syntax.Name, beside_text: bool = False) -> Operand:
        """Return what a name is; `beside_text`, where a text in quotes may have been meant."""
        name, fields = node.name, self._table.fields
        if not node.stored:
            if name in ELEMENTS:
                return NumberOperand(self.count(ELEMENTS[name]))
            if name == FORMULA:
                return FormulaOperand()
            if name in QUANTITIES:
                return NumberOperand(self.quantity(name, node))
        if name not in fields:
            self._no_field(node, beside_text)
        field = fields[name]
        if field.level == ATOM:
            self._complain.of(
                f"{name} is a field of atoms, and conditions are on structures{_instead_of(name)}", node
            )
        if field.shape:
            self._complain.of(
                f"{name} has {_sizes(field)} values in each structure; name one, as in {_example(field)}",
                node,
            )
        if field.kind == "category":
            return FieldOfTexts(name)
        return ConditionOperand(Flag(name)) if field.kind == "bool" else NumberOperand(Stored(name))

    def component(self, node: syntax.Component) -> Operand:
        """Return one value of a field that has several."""
        name = node.of.name
        if not node.of.stored and (name in ELEMENTS or name in QUANTITIES):
            self._complain.of(f"{name} is one number, without components", node)
        if name not in self._table.fields:
            self._no_field(node.of)
        field = self._table.fields[name]
        if field.level == ATOM:
            self._complain.of(
                f"{name} is a field of atoms, and conditions are on structures{_instead_of(name)}", node
            )
        if not field.shape:
            self._complain.of(f"{name} is one value, without components", node)
        if field.kind == "category":
            self._complain.of(f"{name} has several texts, which can't be compared", node)
        if len(node.indices) != len(field.shape):
            self._complain.of(
                f"{name} has {_sizes(field)} values in each structure; write {_example(field)}", node
            )
        place = []
        for index, dim, size in zip(node.indices, field.dims[1:], field.shape, strict=True):
            labels = LABELS.get(dim, ())
            if isinstance(index, str) and index not in labels:
                has = f": they are {', '.join(labels)}" if labels else f", but numbers from 0 to {size - 1}"
                self._complain.of_name(
                    f"the components of {name} have no label {shortened(index)!r}{has}", node
                )
            at = labels.index(index) if isinstance(index, str) else index
            if at >= size:
                self._complain.of(f"{name} has the components 0 to {size - 1}, not {at}", node)
            place.append(at)
        if field.kind == "bool":
            return ConditionOperand(Flag(name, tuple(place), cost=ROWS))
        return NumberOperand(Stored(name, tuple(place)))

    def only(self, node: syntax.Call) -> Operand:
        """Return whether there are no other elements."""
        elements = []
        for one in node.arguments:
            if not isinstance(one, syntax.Name) or one.stored or one.name not in ELEMENTS:
                self._complain.of(
                    f"only takes chemical symbols, as in only(Ti, O), and {self._complain.said(one)} is none",
                    one,
                )
            elements.append(ELEMENTS[one.name])
        if not elements:
            self._complain.of("only takes chemical symbols, as in only(Ti, O)", node)
        count = self.count(*dict.fromkeys(elements))
        return ConditionOperand(Compare(count, "==", self.quantity("n_atoms", node)))

    def has(self, node: syntax.Call) -> Operand:
        """Return whether a quantity or a field is given."""
        one = single(node, self._complain, "the name of a quantity or a field, as in has(stress)")
        if not isinstance(one, syntax.Name):
            self._complain.of(
                f"has takes the name of a quantity or a field, and {self._complain.said(one)} is none", one
            )
        name, fields = one.name, self._table.fields
        if not one.stored:
            if name in ELEMENTS:
                self._complain.of(
                    f"write {name} to ask for the element, or has(field('{name}')) for a field", node
                )
            if name in (FORMULA, INDEX):
                return ConditionOperand(Constant(True))
            if name in QUANTITIES:
                lost = self._lost(name)
                if lost and not any(map(self._table.obstacle, lost)):
                    return ConditionOperand(Constant(False))
                value = self.quantity(name, one)
                return ConditionOperand(Given(value, value.cost))
        if name not in fields:
            if name in FIELDS and self._table.obstacle(name) is None:  # nobody has it
                return ConditionOperand(Constant(False))
            self._no_field(one)
        level = fields[name].level
        in_atoms = level == ATOM and fields[name].kind in ("float", "category")
        return ConditionOperand(Given(name, ATOMS if in_atoms else ROWS))

    def norm(self, node: syntax.Call) -> Operand:
        """Return the norm of a field."""
        one = single(node, self._complain, "the name of a field, as in norm(dipole)")
        if isinstance(one, syntax.Name) and (
            one.stored or (one.name not in ELEMENTS and one.name not in QUANTITIES)
        ):
            if one.name not in self._table.fields:
                self._no_field(one)
            field = self._table.fields[one.name]
            numeric = field.kind in ("float", "int") and field.level == STRUCTURE
            if numeric and len(field.shape) == 1 and field.dims[1] != "voigt":
                return NumberOperand(Norm(one.name))
        self._complain.of(
            f"norm takes a field with a vector in each structure, and {self._complain.said(one)} is none", one
        )

    def _no_field(self, node: syntax.Name, beside_text: bool = False) -> NoReturn:
        """Raise for a name that is nothing the structures have."""
        name, fields = node.name, self._table.fields
        obstacle = self._table.obstacle(name)
        if obstacle is not None:
            self._complain.of(f"{name} can't be asked for: {obstacle}", node)
        what = "field" if node.stored else "quantity"
        reason = f"{self._table.name} has no {what} {shortened(name)!r}"
        usable = [one for one, field in fields.items() if field.level == STRUCTURE]
        known: Sequence[str] = list(fields) if node.stored else [*QUANTITIES, *usable, *ELEMENTS]
        alias = by_alias(name, STRUCTURE)
        near = alias.name if alias is not None and alias.name in fields else nearest(name, known)
        if near is None or near in ELEMENTS:  # gap is epsgap rather than gallium
            parts = [one for one in usable if len(name) > 2 and name.casefold() in one.casefold()]
            near = min(parts, key=len, default=near)
        if beside_text:
            reason += f"; a text is in quotes: '{shortened(name)}'"
        elif name.casefold() in ("null", "none", "nan", "na"):
            reason += "; has(x) asks whether a value is given"
        elif near is not None and near != name:
            reason += f"; did you mean {near}?"
        else:
            listed = list(fields) if node.stored else [*usable, *(q for q in QUANTITIES if not self._lost(q))]
            listed = list(dict.fromkeys(listed))
            more = ", ..." if len(listed) > _LISTED else ""
            reason += f"; it has {', '.join(listed[:_LISTED])}{more}"
        self._complain.of_name(reason, node)


def quantity_of(quantity: Quantity, table: Table) -> Value:
    """Return a quantity that is computed by a function of its own."""
    cost = ROWS
    if table.known(quantity.name) is not None:
        cost = COLUMN
    elif quantity.level == ATOM:
        cost = COLUMN if quantity.needs == ("numbers",) and table.formulas is not None else ATOMS
    return Computed(quantity, cost)


def lack_of(fields: Iterable[str], table: Table) -> str:
    """Return why structures lack some fields, for sentences."""
    obstacles = (table.obstacle(name) for name in fields)
    return next((one for one in obstacles if one is not None), f"{table.name} has none")


def count_of(elements: Iterable[int], table: Table) -> Value:
    """Return the number of atoms of some elements, given by atomic numbers."""
    return Count(tuple(elements), ATOMS if table.formulas is None else COLUMN)


def single(node: syntax.Call, complain: Complaints, takes: str) -> syntax.Node:
    """Return the one argument of a function."""
    if len(node.arguments) != 1:
        complain.of(f"{node.function} takes {takes}", node)
    return node.arguments[0]


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
