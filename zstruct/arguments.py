"""Options as users give them: one table of what each takes, numbers of any kind, or a sentence.

An option of one name means the same wherever it is taken. What only one function takes, and what
depends on a store, is checked there. This module knows nothing of what options are for.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from zstruct.elements import SYMBOLS, atomic_number
from zstruct.errors import ArgumentTypeError, InputError

__all__ = [
    "FLAG",
    "KEPT",
    "OPTIONS",
    "Option",
    "array_of",
    "check",
    "choice",
    "count",
    "integer",
    "names",
    "real",
    "require",
    "shown",
    "whole",
]


@dataclass(frozen=True, slots=True)
class Option:
    """What an option takes.

    Parameters
    ----------
    says
        That in words: "a whole number from 1, or None".
    takes
        Whether a value is of the right type; it is called with anything.
    within
        Whether a value of that type is one of those that make sense.
    read
        Makes a value of a text that was typed.
    choices
        All values that are texts, if these are few.
    """

    says: str
    takes: Callable[[Any], bool]
    within: Callable[[Any], bool] = lambda value: True
    read: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()


def check(**given: Any) -> None:
    """Refuse values that the options of these names don't take; see `OPTIONS`.

    Raises
    ------
    ArgumentTypeError
        If a value is of another type.
    InputError
        If it is of the type, but makes no sense.

    Examples
    --------
    >>> check(shuffle_seed=4, progress=False)
    >>> check(shuffle_seed=True)
    Traceback (most recent call last):
    zstruct.errors.ArgumentTypeError: shuffle_seed is a whole number from 0, or None, not True
    """
    for name, value in given.items():
        require(name, OPTIONS[name], value)


def require(name: str, option: Option, value: Any) -> None:
    """Refuse a value that an option doesn't take.

    Raises
    ------
    ArgumentTypeError
        If it is of another type.
    InputError
        If it is of the type, but makes no sense.
    """
    if not option.takes(value):
        raise ArgumentTypeError(f"{name} is {option.says}, not {shown(value)}")
    if not option.within(value):
        raise InputError(f"{name} is {option.says}, not {shown(value)}")


def shown(value: Any) -> str:
    """Return a value for a message: what it looks like, or of what type it is where that is long.

    Examples
    --------
    >>> shown("a"), shown(list(range(1000)))
    ("'a'", "a list: '[0, 1, 2, 3, 4, 5, 6, 7, 8...'")
    """
    try:
        text = repr(value).encode("utf-8", "backslashreplace").decode()
    except Exception:  # noqa: BLE001 (whatever a stranger's class does)
        return f"a {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"a {type(value).__name__}: '{text[:28]}...'"


def integer(value: Any) -> int | None:
    """Return an integer of any kind as Python's, and None for what is none, such as a boolean."""
    if isinstance(value, bool | np.bool_) or str(getattr(value, "dtype", "")) in ("bool", "torch.bool"):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def element_number(value: Any) -> int | None:
    """Return the atomic number that a chemical symbol in any case or an integer of any kind stands for.

    None is returned for what is no element; zero, ASE's dummy atom, is one.

    Examples
    --------
    >>> element_number("ti"), element_number(8), element_number("X"), element_number(119)
    (22, 8, 0, None)
    """
    number = atomic_number(value) if isinstance(value, str) else integer(value)
    return number if number is not None and 0 <= number < len(SYMBOLS) else None


@overload
def whole(name: str, value: None, least: int | None = None, most: int | None = None) -> None: ...
@overload
def whole(name: str, value: Any, least: int | None = None, most: int | None = None) -> int: ...
def whole(name: str, value: Any, least: int | None = None, most: int | None = None) -> int | None:
    """Return an integer of any kind as Python's, and None as it is.

    Parameters
    ----------
    name
        Of the option.
    value
        What the user gave.
    least, most
        The smallest and the largest that make sense.

    Raises
    ------
    TypeError
        If it is anything else, a boolean too.
    InputError
        If it is too small or too large.

    Examples
    --------
    >>> whole("batch_size", np.int64(32)), whole("max_atoms", None)
    (32, None)
    """
    found = integer(value)
    if found is None:
        if value is not None:
            raise ArgumentTypeError(f"{name} is a whole number, not {shown(value)}")
        return None
    if (least is not None and found < least) or (most is not None and found > most):
        limits = f" from {least:,}" if least is not None else ""
        limits += f" up to {most:,}" if most is not None else ""
        raise InputError(f"{name} is a whole number{limits}, not {shown(value)}")
    return found


def count(name: str, value: Any, least: int = 0, most: int | None = None) -> int:
    """Return an integer of any kind as Python's, as `whole` does, but None is none.

    Raises
    ------
    TypeError
        If it is anything else.
    InputError
        If it is too small or too large.
    """
    if value is None:
        raise ArgumentTypeError(f"{name} is a whole number, not None")
    return whole(name, value, least, most)


@overload
def real(name: str, value: None) -> None: ...
@overload
def real(name: str, value: Any) -> float: ...
def real(name: str, value: Any) -> float | None:
    """Return a number of any kind as Python's float, and None as it is.

    Raises
    ------
    TypeError
        If it is no number, or a boolean.
    ValueError
        If it is NaN, or larger than floats are.
    """
    if value is None:
        return None
    if not _is_real(value):
        raise ArgumentTypeError(f"{name} is a number, not {shown(value)}")
    if not _is_float(value):
        raise InputError(f"{name} is a number, not {shown(value)}")
    return float(value)


def names(name: str, value: Any) -> list[str]:
    """Return a number of names, given in anything that can be iterated over once, but not in one text.

    Raises
    ------
    TypeError
        If it is anything else.

    Examples
    --------
    >>> names("exclude", ("tags", "momenta"))
    ['tags', 'momenta']
    """
    if isinstance(value, str):
        raise ArgumentTypeError(f"{name} is a list of names: write {name}=[{shown(value)}]")
    if (
        not isinstance(value, Iterable)
        or isinstance(value, bytes | Mapping)
        or getattr(value, "ndim", 1) == 0
    ):
        raise ArgumentTypeError(f"{name} is a list of names, not {shown(value)}")
    found = []
    for one in value:
        if not isinstance(one, str):
            raise ArgumentTypeError(f"{name} is a list of names, and {shown(one)} is none")
        found.append(str(one))
    return found


def array_of(name: str, value: Any) -> NDArray[Any]:
    """Return lists of any depth as an array.

    Raises
    ------
    TypeError
        If they are of different lengths.
    """
    try:
        return np.asarray(value)
    except ValueError:
        raise ArgumentTypeError(f"{name} is in rows of one length, not {shown(value)}") from None


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def _is_float(value: Any) -> bool:
    """Return whether a number is one that floats can hold, infinity too, and not NaN."""
    try:
        return not math.isnan(float(value))
    except OverflowError:
        return False


def _is_finite(value: Any) -> bool:
    return _is_float(value) and math.isfinite(float(value))


def _whole(least: int | None = None, none: bool = True) -> Option:
    says = f"a whole number{'' if least is None else f' from {least}'}{', or None' if none else ''}"

    def within(value: Any) -> bool:
        return value is None or least is None or (integer(value) or 0) >= least

    return Option(says, lambda value: (none and value is None) or integer(value) is not None, within, int)


def _number(says: str, within: Callable[[Any], bool] = _is_finite) -> Option:
    return Option(
        f"{says}, or None",
        lambda value: value is None or _is_real(value),
        lambda value: value is None or within(value),
        float,
    )


def choice(*choices: str | None) -> Option:
    """Return what takes one of some texts, or None if that is among them."""
    return Option(
        " or ".join(map(repr, choices)),
        lambda value: value is None or isinstance(value, str),
        lambda value: value in choices,
        choices=tuple(choice for choice in choices if choice is not None),
    )


def _texts(
    says: str, values: Callable[[Any], bool], within: Callable[[Any], bool] = lambda _: True
) -> Option:
    """Return what takes a mapping from texts, or None."""

    def takes(value: Any) -> bool:
        if value is None:
            return True
        return isinstance(value, Mapping) and all(isinstance(k, str) and values(v) for k, v in value.items())

    return Option(says, takes, lambda value: value is None or all(map(within, value.values())))


def _is_label(value: Any) -> bool:
    pair = isinstance(value, tuple) and len(value) == 2 and all(map(_is_text, value))
    return value is None or _is_text(value) or pair


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_not_negative(value: Any) -> bool:
    return _is_finite(value) and bool(value >= 0)


#: What is so or not.
FLAG = Option("True or False", lambda value: isinstance(value, bool | np.bool_))
_TEXT = Option("a text, or None", lambda value: value is None or isinstance(value, str))

#: Of how many structures to keep something.
KEPT = Option(
    "a number of structures, or True for all",
    lambda value: isinstance(value, bool | np.bool_) or integer(value) is not None,
    lambda value: (integer(value) or 0) >= 0,
)
_KEYS = _texts("a mapping of fields to names in the input, both texts", _is_text)

#: What every option takes that more than one function has, or that needs nothing but itself to be checked.
OPTIONS: Mapping[str, Option] = {
    "progress": FLAG,
    "shortest_distance": FLAG,
    "supercells": FLAG,
    "overwrite": FLAG,
    "resume": FLAG,
    "derivatives": FLAG,
    "as_numpy": FLAG,
    "fmax": FLAG,
    "atoms": FLAG,
    "composition": FLAG,
    "drop_last": FLAG,
    "pin_memory": FLAG,
    "decimal": FLAG,
    "reencode": FLAG,
    "repeat": FLAG,
    "skip_duplicates": FLAG,
    "reader": _TEXT,
    "allow_pickle": FLAG,
    "storage_options": Option(
        "a mapping of options of fsspec, or None",
        lambda value: value is None or (isinstance(value, Mapping) and all(map(_is_text, value))),
    ),
    "on_error": choice("raise", "skip"),
    "compression": choice("fast", "small", "raw"),
    "only": choice("forces", None),
    "shuffle_seed": _whole(0),
    "seed": _whole(none=False),
    "bins": _whole(1, none=False),
    "split": Option("a label, or (name of the split, label)", _is_label),
    "keys": _KEYS,
    "units": Option(
        "the name of a system of units, or a mapping of fields and quantities to units, both texts",
        lambda value: _is_text(value) or _KEYS.takes(value),
    ),
    "atomic_energies": _texts(
        "a mapping of chemical symbols to energies, numbers of eV", _is_real, _is_finite
    ),
    "max_energy": _number("a number of eV per atom"),
    "max_force": _number("a number of eV/angstrom"),
    "max_force_component": _number("a number of eV/angstrom"),
    "ridge": _number("a number above zero", lambda value: _is_finite(value) and value > 0),
    "tolerance": Option("a number from 0", _is_real, _is_not_negative, float),
    "vacuum": Option("a number of angstrom from 0", _is_real, _is_not_negative, float),
}
