"""Options that belong together are a small class that checks itself: short forms, signatures, sentences.

`as_options` makes the object of what the user typed. `takes` gives a method the signature and the
documentation of such a class, so that its fields are the one list of these options. `keywords` is for all
other public functions. A call that doesn't fit gets a sentence: with the nearest keyword or its place, or
with what is missing. Nothing is known here of what options are for.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from zstruct.docstrings import with_parameters
from zstruct.errors import ArgumentTypeError
from zstruct.text import nearest

__all__ = ["as_options", "keywords", "refuse", "set_fields", "takes"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")
Owner = TypeVar("Owner")
First = TypeVar("First")
Options = TypeVar("Options", covariant=True)

_PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_BOUND = ("self", "cls")  # what Python gives by itself


def as_options(kind: type[T], given: Any) -> T:
    """Return options that belong together as the object that checks them.

    Parameters
    ----------
    kind
        Its class.
    given
        One of these, or its fields by name; anything else is the short form, its first field. None
        leaves all as they are.

    Raises
    ------
    ArgumentTypeError
        If one of the names is none of its fields, or one that it needs is not there.

    Examples
    --------
    >>> as_options(complex, {"imag": 2.0}), as_options(complex, 3), as_options(complex, None)
    (2j, (3+0j), 0j)
    """
    if isinstance(given, kind):
        return given
    made: Callable[..., T] = kind
    if given is None:
        return made()
    if isinstance(given, Mapping) and all(isinstance(name, str) for name in given):
        fault = _misfit(kind.__name__, inspect.signature(kind), (), given)
        if fault is not None:
            raise fault
        return made(**given)
    return made(given)


def set_fields(options: Any, **values: Any) -> None:
    """Put what was checked into the fields of options, which are frozen."""
    for name, value in values.items():
        object.__setattr__(options, name, value)


class _Taker(Protocol[P, Options]):
    """Makes a function of options of one that takes their object last."""

    @overload
    def __call__(self, function: Callable[[Options], R]) -> Callable[P, R]: ...
    @overload
    def __call__(self, function: Callable[[Owner, Options], R]) -> Callable[Concatenate[Owner, P], R]: ...
    @overload
    def __call__(
        self, function: Callable[[Owner, First, Options], R]
    ) -> Callable[Concatenate[Owner, First, P], R]: ...


def takes(
    options: Callable[P, Options], moved: Mapping[str, str] | None = None, **objects: type
) -> _Taker[P, Options]:
    """Let a function or a method take the options of a class where it is written to take their object.

    It has the object as its last parameter. What is made of it has the parameters of the class in that place,
    and their descriptions at the end of its own; what a class inherits comes after what it adds. It takes
    such an object as well, alone, unless there are options that can't be left out.

    Parameters
    ----------
    options
        A dataclass.
    moved
        What to write in place of keywords that others take.
    **objects
        As for `keywords`.

    Raises
    ------
    ArgumentTypeError
        By the function, for keywords that it doesn't have, and for want of what it needs.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Limits:
    ...     low: float = 0.0
    ...     high: float = 1.0
    >>> class Dial:
    ...     @takes(Limits)
    ...     def turn(self, limits: Limits) -> float:
    ...         return limits.high - limits.low
    >>> Dial().turn(high=3.0)
    3.0
    >>> Dial().turn(hihg=3.0)
    Traceback (most recent call last):
    zstruct.errors.ArgumentTypeError: turn has no option 'hihg'; is it high?
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(function)
        *before, last = own.parameters.values()
        kinds = _kinds_of(options)
        inherited = {name for kind in kinds[1:] for name in inspect.signature(kind).parameters}
        asked = sorted(
            inspect.signature(options).parameters.values(), key=lambda one: (one.kind, one.name in inherited)
        )
        names = [one.name for one in before]
        signature = own.replace(parameters=[*before, *asked])

        @functools.wraps(function)
        def method(*given: Any, **named: Any) -> Any:
            made = function.__name__ == "__init__" and given
            called = type(given[0]).__name__ if made else function.__name__
            # Where a function makes the object, it says by itself what more values by place are for.
            judged = given if isinstance(options, type) else given[: len(names) + 1]
            fault = _misfit(called, signature, judged, named, objects, moved)
            if fault is not None:
                raise fault
            head, rest = given[: len(names)], given[len(names) :]
            among = {name: named.pop(name) for name in names[len(head) :] if name in named}
            return function(*head, **among, **{last.name: _whole(called, options, rest, named)})

        method.__signature__ = signature  # type: ignore[attr-defined]
        for kind in kinds:
            method.__doc__ = with_parameters(method.__doc__, kind.__doc__)
        return method

    return decorate


def keywords(moved: Mapping[str, str] | None = None, /, **objects: type) -> Callable[[F], F]:
    """Return a decorator of functions, and of classes: a call that they don't take gets a sentence.

    The signature stays what it is, for people and for programs. A call that fits costs nothing but one more.

    Parameters
    ----------
    moved
        What to write in place of keywords that there were once.
    **objects
        Which options are objects, see `as_options`: their fields are looked for there.

    Raises
    ------
    ArgumentTypeError
        By what was decorated, for keywords that it doesn't have, for want of what it needs, and for too much.

    Examples
    --------
    >>> @keywords(window=complex)
    ... def smooth(values, *, width=1, window=None): ...
    >>> smooth([1], wdith=3)
    Traceback (most recent call last):
    zstruct.errors.ArgumentTypeError: smooth has no option 'wdith'; is it width?
    >>> smooth([1], imag=3)
    Traceback (most recent call last):
    zstruct.errors.ArgumentTypeError: smooth has imag in window: window=complex(imag=...)
    >>> smooth()
    Traceback (most recent call last):
    zstruct.errors.ArgumentTypeError: smooth needs values
    """

    def decorated(function: F) -> F:
        made: Any = vars(function)["__init__"] if isinstance(function, type) else function

        @functools.wraps(made)
        def checked(*args: Any, **given: Any) -> Any:
            try:
                return made(*args, **given)
            except TypeError:
                # Whether the call was at fault is looked for only now: most calls fit, and some are hot.
                own = type(args[0]) if args and made is not function else function  # a subclass, perhaps
                fault = _misfit(own.__name__, inspect.signature(made), args, given, objects, moved)
                if fault is None:
                    raise
                raise fault from None

        if not isinstance(function, type):
            return checked  # type: ignore[return-value]
        function.__init__ = checked  # type: ignore[misc]
        return function

    return decorated


def refuse(
    function: str,
    given: Iterable[str],
    known: Collection[str],
    objects: Mapping[str, type] | None = None,
    moved: Mapping[str, str] | None = None,
) -> None:
    """Raise if one of some keywords is none of those that a function takes.

    Parameters
    ----------
    function
        Its name.
    given
        The keywords.
    known
        Those that it takes.
    objects
        Which of these are objects, whose fields are looked for, too.
    moved
        What to write in place of keywords that others take.

    Raises
    ------
    ArgumentTypeError
        Says what to write instead, or names the nearest keyword or else all of them.

    Examples
    --------
    >>> refuse("open", ["path"], ["path", "mode"])
    >>> refuse("open", ["fast"], ["path", "mode"], moved={"fast": "mode='fast'"})
    Traceback (most recent call last):
    zstruct.errors.ArgumentTypeError: open has no option 'fast'; write mode='fast'
    """
    fault = _unknown(function, given, known, objects, moved)
    if fault is not None:
        raise fault


def _unknown(
    function: str,
    given: Iterable[str],
    known: Collection[str],
    objects: Mapping[str, type] | None,
    moved: Mapping[str, str] | None,
) -> ArgumentTypeError | None:
    """Return what to say of the first keyword that a function doesn't take; None if it takes all."""
    places = {
        part: f"{option}: {option}={kind.__name__}({part}=...)"
        for option, kind in (objects or {}).items()
        for part in _keywords_of(kind)
    }
    moved = moved or {}
    for name in given:
        if name in known:
            continue
        if name in moved:
            return ArgumentTypeError(f"{function} has no option {name!r}; write {moved[name]}")
        if name in places:
            return ArgumentTypeError(f"{function} has {name} in {places[name]}")
        near = nearest(name, [*known, *places, *moved])
        if near is None:
            has = f"it has {', '.join(known)}" if known else "it has none"
            return ArgumentTypeError(f"{function} has no option {name!r}; {has}")
        if near not in known and near not in places:
            return ArgumentTypeError(f"{function} has no option {name!r}; write {moved[near]}")
        where = "" if near in known else f" in {places[near]}"
        return ArgumentTypeError(f"{function} has no option {name!r}; is it {near}{where}?")
    return None


def _misfit(
    function: str,
    signature: inspect.Signature,
    args: Sequence[Any],
    given: Mapping[str, Any],
    objects: Mapping[str, type] | None = None,
    moved: Mapping[str, str] | None = None,
) -> ArgumentTypeError | None:
    """Return what to say of a call that a signature doesn't take; None if it does."""
    try:
        signature.bind(*args, **given)
    except TypeError:
        pass
    else:
        return None
    parameters = signature.parameters.values()
    placed = [one.name for one in parameters if one.kind in _PLACED]
    known = [one.name for one in parameters if one.kind in _NAMED and one.name not in _BOUND]
    if inspect.Parameter.VAR_KEYWORD not in {one.kind for one in parameters}:
        fault = _unknown(function, given, known, objects, moved)
        if fault is not None:
            return fault
    if len(args) > len(placed):
        first = [name for name in placed if name not in _BOUND]
        by_name = [name for name in known if name not in first]
        more = f"; give {', '.join(by_name)} by name" if by_name else ""
        return ArgumentTypeError(f"{function} takes {', '.join(first) or 'nothing'} by place{more}")
    twice = [name for name in placed[: len(args)] if name in given]
    if twice:
        return ArgumentTypeError(f"{function} is given {twice[0]} twice, by place and name")
    there = {*placed[: len(args)], *given}
    missing = [
        one.name
        for one in parameters
        if one.kind in {*_PLACED, *_NAMED} and one.default is one.empty and one.name not in there
    ]
    *others, last = missing
    return ArgumentTypeError(f"{function} needs {', '.join(others)}{' and ' if others else ''}{last}")


def _kinds_of(options: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Return a class of options and those that it inherits options from, or else what makes them."""
    if not isinstance(options, type):
        return [options]
    return [kind for kind in options.__mro__ if kind is options or is_dataclass(kind)]


def _whole(function: str, kind: Any, rest: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Return the object of options of these values, which may be that object already."""
    first = rest[0] if rest else named.get(next(iter(_keywords_of(kind))))
    if not isinstance(kind, type) or not isinstance(first, kind):
        return kind(*rest, **named)
    if len(rest) + len(named) > 1:
        raise ArgumentTypeError(f"{function} takes {kind.__name__}(...) alone: put all in it")
    return first


@functools.cache
def _keywords_of(function: Callable[..., Any]) -> list[str]:
    """Return the names by which arguments can be given."""
    parameters = inspect.signature(function).parameters.values()
    return [one.name for one in parameters if one.kind in _NAMED and one.name not in _BOUND]
