"""Sections of docstrings that are written once: of options and functions, for the methods that take them.

Docstrings are numpydoc's. Nothing is known here of what they describe.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["documented", "with_parameters"]

F = TypeVar("F", bound=Callable[..., Any])

_PARAMETERS = "Parameters"
_ORDER = (_PARAMETERS, "Attributes", "Returns", "Raises", "Notes", "References", "Examples")
_BEFORE = re.compile(r"\n\n(?=[A-Z][a-z ]+\n-{4,}\n)")  # the heading of a section
_ENTRY = re.compile(r"\n(?=\S)")  # before the next parameter


def with_parameters(own: str | None, options: str | None) -> str | None:
    r"""Return a docstring with the parameters of another at the end of its own.

    Examples
    --------
    >>> with_parameters("Turn.", "Limits.\n\nParameters\n----------\nhigh\n    The most.")
    'Turn.\n\nParameters\n----------\nhigh\n    The most.\n'
    """
    if not own or not options:  # as with python -OO
        return own
    (summary, sections), (_, others) = _parts(own), _parts(options)
    if _PARAMETERS not in others:
        return inspect.cleandoc(own)
    said = [part[_PARAMETERS] for part in (sections, others) if _PARAMETERS in part]
    return _joined(summary, {_PARAMETERS: "\n".join(said), **_without(sections)})


def documented(function: Callable[..., Any]) -> Callable[[F], F]:
    """Return a decorator of methods that call a function: its sections follow what they say themselves.

    Those parameters are described that the method has. A section that it has itself stays as it is there.

    Parameters
    ----------
    function
        What it calls, which has the parameters of the method, under the same names, and perhaps more.
    """

    def decorated(method: F) -> F:
        if not method.__doc__ or not function.__doc__:
            return method
        (summary, own), (_, sections) = _parts(method.__doc__), _parts(function.__doc__)
        names = inspect.signature(method).parameters.keys()
        entries = _ENTRY.split(sections.pop(_PARAMETERS, ""))
        has = [entry for entry in entries if names >= {*re.split(r",\s*", entry.partition("\n")[0])}]
        given = {_PARAMETERS: "\n".join(has)} if has else {}
        method.__doc__ = _joined(summary, {**given, **sections, **own})
        return method

    return decorated


def _parts(text: str) -> tuple[str, dict[str, str]]:
    """Return what stands before the sections of a docstring, and these, by heading."""
    summary, *parts = _BEFORE.split(inspect.cleandoc(text))
    sections = {}
    for part in parts:
        heading, _, content = part.split("\n", 2)
        sections[heading] = content.rstrip()
    return summary.rstrip(), sections


def _without(sections: dict[str, str]) -> dict[str, str]:
    return {heading: content for heading, content in sections.items() if heading != _PARAMETERS}


def _joined(summary: str, sections: dict[str, str]) -> str:
    """Return a docstring of these parts, in the order that numpydoc asks for."""
    order = sorted(sections, key=_ORDER.index)
    parts = [f"{heading}\n{'-' * len(heading)}\n{sections[heading]}" for heading in order]
    return "\n\n".join([summary, *parts]) + "\n"
