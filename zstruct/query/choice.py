"""`Choice`: what one call of `select` asks for, checked, shown and pickled. `evaluation` makes it."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import array_of, check, integer, names, real, shown
from zstruct.errors import ArgumentTypeError, InputError, UnknownNameError
from zstruct.query.positions import check_positions
from zstruct.query.quantities import ELEMENTS
from zstruct.text import nearest

__all__ = ["Choice"]

_FEW = 8  # positions that are all shown


@dataclass(frozen=True, eq=False, slots=True)
class Choice:
    """What one call of `select` asks for; a structure is chosen if all of it holds.

    Parameters
    ----------
    which
        An expression, as on the page on selecting. Or positions of structures in what is selected from: a
        list of integers in any order, negative ones from the end, a slice, or a boolean mask.
    split
        A label of the split "default", or the name of a split and a label.
    elements
        Chemical symbols; structures with any other element are left out.
    max_energy
        Largest energy per atom, in eV, less that of free atoms: the references of a dataset, or else the
        ``atomic_energies`` that the store was built with, or else nothing. As all limits, it does not apply
        to a structure that has no such label.
    max_force
        Largest norm of the force on any atom, in eV/angstrom.
    max_force_component
        Largest absolute component of any force, in eV/angstrom.
    where
        A function that returns a boolean for each structure, or such booleans: of the store and all its
        structures, and in ``ds.zs.select`` of the Dataset and those that it has.
    sample
        Of the structures for which all else holds, those that a sampling picks, in its order: what
        `zstruct.farthest` or `zstruct.leverage` returns. Needs a store with these features.

    Raises
    ------
    ArgumentTypeError
        If something is of a type that makes no sense there.
    InputError
        If an expression is none, or a limit can't be one.
    UnknownNameError
        If there is no such element.
    """

    which: Any = None
    _: KW_ONLY
    split: str | tuple[str, str] | None = None
    elements: Iterable[str] | None = None
    max_energy: float | None = None
    max_force: float | None = None
    max_force_component: float | None = None
    where: Any = None
    sample: Any = None

    def __post_init__(self) -> None:
        check(split=self.split)
        if isinstance(self.which, str):
            from zstruct.query.parser import parse  # a choice without an expression does without

            parse(self.which)
        elif callable(self.which):
            raise ArgumentTypeError(
                "select takes an expression or positions first; give a function as where=..."
            )
        elif isinstance(self.which, slice):
            parts = (self.which.start, self.which.stop, self.which.step)
            if any(part is not None and integer(part) is None for part in parts) or self.which.step == 0:
                raise ArgumentTypeError(f"a slice is of whole numbers, with a step, not {shown(self.which)}")
        elif self.which is not None:
            object.__setattr__(self, "which", check_positions(self.which))
        if isinstance(self.where, str):
            raise ArgumentTypeError(f"where is a function: give an expression as select({self.where!r})")
        if self.sample is not None:
            from zstruct.coverage.samplings import Sampling  # as above

            if not isinstance(self.sample, Sampling):
                raise ArgumentTypeError(
                    f"sample is what zstruct.farthest or zstruct.leverage returns, not {shown(self.sample)}"
                )
        if self.where is not None and not callable(self.where):
            object.__setattr__(self, "where", _mask(self.where))
        if self.elements is not None:
            object.__setattr__(self, "elements", _symbols(self.elements))
        for name in ("max_energy", "max_force", "max_force_component"):
            limit = real(name, getattr(self, name))
            object.__setattr__(self, name, limit)
            if limit is not None and limit < 0 and name != "max_energy":
                raise InputError(f"{name} is a limit of what is never negative, not {limit!r}")

    @property
    def conditions(self) -> Choice:
        """All that is asked for but the sample, which is picked of the structures for which it holds."""
        return self if self.sample is None else replace(self, sample=None)

    def __reduce__(self) -> tuple[Any, ...]:
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return _choice, (values | {"where": _carried(self.where)},)

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) is not None for one in fields(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Choice):
            return NotImplemented
        return all(_same(getattr(self, one.name), getattr(other, one.name)) for one in fields(self))

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        said = [] if self.which is None else [_said(self.which)]
        for one in fields(self)[1:]:
            value = getattr(self, one.name)
            if value is not None:
                said.append(f"{one.name}={_said(value)}")
        return ", ".join(said)

    def __repr__(self) -> str:
        return f"Choice({self})"


@dataclass(frozen=True, slots=True)
class _Carried:
    """A function on its way to another process, as bytes; None if there is no way for it."""

    name: str
    content: bytes | None

    def __call__(self, store: Any) -> Any:
        raise InputError(
            f"the function {self.name} that was given as where= can't go to another process: define it in a "
            "module, without what can't be pickled"
        )


def _carried(where: Any) -> Any:
    """Return a function so that any process can take it, and all else as it is."""
    if not callable(where) or isinstance(where, _Carried):
        return where
    import cloudpickle

    try:
        return _Carried(_said(where), cloudpickle.dumps(where))
    except Exception:  # noqa: BLE001 (whatever a stranger's object does)
        return _Carried(_said(where), None)


def _choice(values: dict[str, Any]) -> Choice:
    """Return a choice that was on its way."""
    where = values["where"]
    if isinstance(where, _Carried) and where.content is not None:
        where = pickle.loads(where.content)
    return Choice(**(values | {"where": where}))


def _mask(where: Any) -> NDArray[np.bool_]:
    given = array_of("where", where)
    if given.dtype != bool or given.ndim != 1:
        raise ArgumentTypeError(
            "where is a function of the store that returns a boolean for each of its structures, or such "
            f"booleans, not {shown(where)}"
        )
    return np.array(given)


def _symbols(elements: Any) -> tuple[str, ...]:
    found = names("elements", elements)
    for symbol in found:
        if symbol not in ELEMENTS:
            near = nearest(symbol, ELEMENTS)
            raise UnknownNameError(
                f"elements has {shown(symbol)}, which is no chemical symbol"
                + (f"; did you mean {near}?" if near else "")
            )
    if not found:
        raise InputError("elements names at least one element")
    return tuple(dict.fromkeys(found))


def _same(one: Any, other: Any) -> bool:
    """Return whether two values of a choice are equal."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return type(one) is type(other) and bool(one == other)


def _said(value: Any) -> str:
    """Return a value of a choice as it is written in Python, cut short."""
    if isinstance(value, str):
        return repr(value) if '"' in value or "\\" in value or not value.isprintable() else f'"{value}"'
    if isinstance(value, tuple):
        return f"({', '.join(map(_said, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, slice):
        parts = [value.start, value.stop, *([] if value.step is None else [value.step])]
        return f"slice({', '.join(map(str, parts))})"
    if isinstance(value, np.ndarray):
        if value.dtype == bool:
            return f"<mask of {np.count_nonzero(value):,} of {len(value):,}>"
        return str(value.tolist()) if len(value) <= _FEW else f"<{len(value):,} positions>"
    if isinstance(value, _Carried):
        return value.name
    if callable(value):
        return str(getattr(value, "__qualname__", f"<{type(value).__name__}>"))
    return repr(value)
