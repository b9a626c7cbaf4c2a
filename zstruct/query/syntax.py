"""The tree of an expression as it is written, before anyone knows what its names are."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "And",
    "Arithmetic",
    "Call",
    "Comparison",
    "Component",
    "Membership",
    "Name",
    "Negative",
    "Node",
    "Not",
    "Number",
    "Or",
    "Text",
    "Truth",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """What is somewhere in the expression: from character ``span[0]`` to the one before ``span[1]``."""

    span: tuple[int, int] = field(default=(0, 0), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Number(_Placed):
    """A number, whole if it is written so."""

    value: int | float


@dataclass(frozen=True, slots=True)
class Text(_Placed):
    """A text in quotes."""

    value: str


@dataclass(frozen=True, slots=True)
class Truth(_Placed):
    """``true`` or ``false``."""

    value: bool


@dataclass(frozen=True, slots=True)
class Name(_Placed):
    """A name; `stored` if it is that of a field whatever else is called so, ``field('B')``."""

    name: str
    stored: bool = False


@dataclass(frozen=True, slots=True)
class Component(_Placed):
    """One value of several that a structure has, by labels or numbers: ``stress[xx]``, ``cell[a, 0]``."""

    of: Name
    indices: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Call(_Placed):
    """A function of something: ``has(stress)``."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Negative(_Placed):
    """Minus something."""

    of: Node


@dataclass(frozen=True, slots=True)
class Arithmetic(_Placed):
    """A value and what is done to it from left to right: ``a - b + c``."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Comparison(_Placed):
    """Values in a row, each compared with the next: ``0 < Ti <= 4``."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Membership(_Placed):
    """Whether a value is one of some: ``x in (1, 2)``, or, negated, ``x not in (1, 2)``."""

    of: Node
    values: tuple[Node, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Not(_Placed):
    """The opposite of a condition."""

    of: Node


@dataclass(frozen=True, slots=True)
class And(_Placed):
    """All of some conditions."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or(_Placed):
    """Any of some conditions."""

    operands: tuple[Node, ...]


Node = (
    Number
    | Text
    | Truth
    | Name
    | Component
    | Call
    | Negative
    | Arithmetic
    | Comparison
    | Membership
    | Not
    | And
    | Or
)
