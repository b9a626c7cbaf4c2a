"""What stands on either side of a sign, once it is known what it is."""

from __future__ import annotations

from dataclasses import dataclass

from zstruct.query.conditions import Condition
from zstruct.query.values import Value

__all__ = [
    "ConditionOperand",
    "FieldOfTexts",
    "FormulaOperand",
    "NumberOperand",
    "Operand",
    "Word",
    "kind_of",
]


@dataclass(frozen=True)
class NumberOperand:
    """A number."""

    value: Value


@dataclass(frozen=True)
class ConditionOperand:
    """A condition, or a boolean field."""

    condition: Condition


@dataclass(frozen=True)
class FieldOfTexts:
    """A field of texts."""

    name: str


@dataclass(frozen=True)
class Word:
    """A text that is written."""

    text: str


@dataclass(frozen=True)
class FormulaOperand:
    """The formula of a structure."""


Operand = NumberOperand | ConditionOperand | FieldOfTexts | Word | FormulaOperand
_KINDS: dict[type, str] = {
    NumberOperand: "a number",
    ConditionOperand: "a condition",
    FieldOfTexts: "a text",
    Word: "a text",
    FormulaOperand: "a formula",
}


def kind_of(operand: Operand) -> str:
    """Return what an operand is, for sentences."""
    return _KINDS[type(operand)]
