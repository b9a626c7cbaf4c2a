"""Check that public docstrings are numpydoc: what is documented exists, and sections are whole and in order.

    python docs/check_docstrings.py

Public is what can be reached from ``zstruct`` by the ``__all__`` of modules. Which of numpydoc's checks apply
stands in ``pyproject.toml``.
"""

import inspect
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpydoc.validate import validate

import zstruct

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def public_names() -> list[str]:
    """Return the dotted names of public functions, classes and their methods, each by the shortest."""
    found: dict[int, str] = {}
    for name, thing in _reachable("zstruct", zstruct):
        known = found.setdefault(id(thing), name)
        found[id(thing)] = min(known, name, key=lambda n: (n.count("."), n))
    return sorted(found.values())


def _reachable(name: str, thing: Any) -> Iterator[tuple[str, Any]]:
    if inspect.ismodule(thing):
        for key in thing.__all__:
            yield from _reachable(f"{name}.{key}", getattr(thing, key))
    elif inspect.isclass(thing):
        yield name, thing
        for key, member in vars(thing).items():
            if not key.startswith("_") and isinstance(
                member, property | staticmethod | classmethod | type(public_names)
            ):
                yield f"{name}.{key}", member
    elif inspect.isroutine(thing):
        yield name, thing


def complaints(name: str, checks: set[str]) -> list[str]:
    """Return what numpydoc has to say against the docstring of a name.

    Parameters that a summary explains need no section; one that is there has to have all of them.
    """
    result = validate(name)
    has_section = "Parameters\n" in inspect.cleandoc(result["docstring"] or "")
    return [
        f"{result['file']}:{result['file_line']}: {name}: {code} {message}"
        for code, message in result["errors"]
        if code in checks and (code != "PR01" or has_section)
    ]


def main() -> int:
    """Print all complaints, and return whether there are any."""
    checks = set(tomllib.loads(PYPROJECT.read_text())["tool"]["numpydoc_validation"]["checks"])
    names = public_names()
    found = [complaint for name in names for complaint in complaints(name, checks)]
    print(*found, f"{len(found)} complaints about {len(names)} public docstrings", sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
