"""Options that belong together are a small class that checks itself: short forms, signatures, sentences.

`as_options` makes the object of what the user typed. `takes` gives a method the signature and the
documentation of such a class, so that its fields are the one list of these options. A keyword that nothing
takes gets a sentence with the nearest one, or with its place. Nothing is known here of what options are for.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from zstruct.errors import ArgumentTypeError
from zstruct.text import nearest

__all__ = ["as_options", "keywords", "refuse", "takes"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")
Owner = TypeVar("Owner")
First = TypeVar("First")
Options = TypeVar("Options", covariant=True)

_HEADING = "Parameters\n----------\n"
_NEXT = re.compile(r"\n\n(?=[A-Z][a-z ]+\n-{4,}\n)")  # before the heading of a section


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
        parameters = inspect.signature(kind).parameters.values()
        missing = [one.name for one in parameters if one.default is one.empty and one.name not in given]
        refuse(kind.__name__, given, _keywords_of(kind))
        if missing:
            raise ArgumentTypeError(f"{kind.__name__} needs {' and '.join(missing)}")
        return made(**given)
    return made(given)


class _Taker(Protocol[P, Options]):
    """Makes a method of options of one that takes their object last."""

    @overload
    def __call__(self, function: Callable[[Owner, Options], R]) -> Callable[Concatenate[Owner, P], R]: ...
    @overload
    def __call__(
        self, function: Callable[[Owner, First, Options], R]
    ) -> Callable[Concatenate[Owner, First, P], R]: ...


def takes(
    options: Callable[P, Options], moved: Mapping[str, str] | None = None, **objects: type
) -> _Taker[P, Options]:
    """Let a method take the options of a class, as keywords, where it is written to take their object.

    The method has the object as its last parameter. What decorates it has the parameters of the class in
    that place, and their descriptions at the end of its own.

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
        By the method, for keywords that it doesn't have.

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
        asked = inspect.signature(options).parameters.values()
        names = [one.name for one in before]
        known = [*names[1:], *(one.name for one in asked)]

        @functools.wraps(function)
        def method(*given: Any, **named: Any) -> Any:
            if not named.keys() <= set(known):
                made = function.__name__ == "__init__"
                refuse(type(given[0]).__name__ if made else function.__name__, named, known, objects, moved)
            head, rest = given[: len(names)], given[len(names) :]
            among = {name: named.pop(name) for name in names[len(head) :] if name in named}
            return function(*head, **among, **{last.name: options(*rest, **named)})

        method.__signature__ = own.replace(parameters=[*before, *asked])  # type: ignore[attr-defined]
        method.__doc__ = _with_parameters(function.__doc__, options.__doc__)
        return method

    return decorate


def keywords(**objects: type) -> Callable[[F], F]:
    """Return a decorator of functions, and of classes: a keyword that they don't have gets a sentence.

    The signature stays what it is, for people and for programs.

    Parameters
    ----------
    **objects
        Which options are objects, see `as_options`: their fields are looked for there.

    Raises
    ------
    ArgumentTypeError
        By what was decorated, for keywords that it doesn't have.

    Examples
    --------
    >>> @keywords(window=complex)
    ... def smooth(*, width=1, window=None): ...
    >>> smooth(wdith=3)
    Traceback (most recent call last):
    zstruct.errors.ArgumentTypeError: smooth has no option 'wdith'; is it width?
    >>> smooth(imag=3)
    Traceback (most recent call last):
    zstruct.errors.ArgumentTypeError: smooth has imag in window: window=complex(imag=...)
    """

    def decorated(function: F) -> F:
        made: Any = vars(function)["__init__"] if isinstance(function, type) else function
        own = _keywords_of(made)
        allowed = frozenset(own)

        @functools.wraps(made)
        def checked(*args: Any, **given: Any) -> Any:
            if not allowed.issuperset(given):
                refuse(function.__name__, given, own, objects)
            return made(*args, **given)

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
    places = {
        part: f"{option}: {option}={kind.__name__}({part}=...)"
        for option, kind in (objects or {}).items()
        for part in _keywords_of(kind)
    }
    for name in given:
        if name in known:
            continue
        if name in (moved or {}):
            raise ArgumentTypeError(f"{function} has no option {name!r}; write {(moved or {})[name]}")
        if name in places:
            raise ArgumentTypeError(f"{function} has {name} in {places[name]}")
        near = nearest(name, [*known, *places])
        if near is None:
            raise ArgumentTypeError(f"{function} has no option {name!r}; it has {', '.join(known)}")
        where = "" if near in known else f" in {places[near]}"
        raise ArgumentTypeError(f"{function} has no option {name!r}; is it {near}{where}?")


def _keywords_of(function: Callable[..., Any]) -> list[str]:
    """Return the names by which arguments can be given."""
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    parameters = inspect.signature(function).parameters.values()
    return [one.name for one in parameters if one.kind in named and one.name != "self"]


def _with_parameters(own: str | None, options: str | None) -> str | None:
    """Return a docstring with the parameters of another at the end of its own."""
    if not own or not options:  # as with python -OO
        return own
    own, options = inspect.cleandoc(own), inspect.cleandoc(options)
    _, found, rest = options.partition(_HEADING)
    if not found:
        return own
    parameters = _NEXT.split(rest, maxsplit=1)[0].rstrip()
    before, heading, after = own.partition(_HEADING)
    if heading:
        described, *others = _NEXT.split(after, maxsplit=1)
        return "\n\n".join([f"{before}{heading}{described.rstrip()}\n{parameters}", *others]) + "\n"
    summary, *others = _NEXT.split(own, maxsplit=1)
    return "\n\n".join([summary.rstrip(), _HEADING + parameters, *others]) + "\n"
