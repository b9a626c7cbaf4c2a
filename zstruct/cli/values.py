"""What is typed on a command line, as values for the functions of zstruct."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zstruct

__all__ = [
    "criteria",
    "from_json",
    "numbers",
    "pairs",
    "part",
    "rows",
    "sampling",
    "settings",
    "units",
    "value",
    "which",
]

_SAMPLINGS = ("farthest", "leverage")


def settings(option: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return what an option gives as NAME=VALUE, by name; a value that is JSON is what it says."""
    return {name: _from_text(text) for name, text in pairs(option, texts).items()}


def _from_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def part(text: str) -> str | tuple[str, str]:
    """Return LABEL, or NAME/LABEL as a pair."""
    name, slash, label = text.partition("/")
    return (name, label) if slash else text


def sampling(text: str) -> Any:
    """Return HOW:N:FEATURES, and OPTION=VALUE after further colons, as a sampling."""
    how, n, features, *options = [*text.split(":"), "", ""]
    if how not in _SAMPLINGS or not n.isdigit() or not features:
        raise zstruct.InputError(
            f"--sample {text}: write how ({' or '.join(_SAMPLINGS)}), how many and by which features, as in "
            "farthest:1000:cheb"
        )
    given = settings("--sample", [one for one in options if one])
    if isinstance(given.get("beside"), str):
        given["beside"] = part(given["beside"])
    return getattr(zstruct, how)(int(n), features, **given)


def which(text: str) -> Any:
    """Return which structures make a part: all others, a sampling, or those of an expression."""
    if text == "...":
        return ...
    return sampling(text) if text.split(":")[0] in _SAMPLINGS else text


def criteria(text: str) -> str | list[str]:
    """Return names separated by commas as a list, and a single one as it is."""
    return text.split(",") if "," in text else text


def rows(text: str) -> int | dict[str, int]:
    """Return a number of rows, or DIMENSION=N separated by commas as a mapping."""
    if "=" not in text:
        return int(text)
    return {name: int(number) for name, _, number in (one.partition("=") for one in text.split(","))}


def from_json(text: str) -> dict[str, Any]:
    """Return the parameters that a text, or the file that it names, gives as JSON."""
    try:
        source = text if text.lstrip().startswith("{") else Path(text).read_text()
        parameters = json.loads(source)
    except (OSError, ValueError) as error:
        raise zstruct.InputError(f"--params {text}: {error}") from None
    if not isinstance(parameters, dict):
        raise zstruct.InputError(f"--params {text}: parameters are a JSON object")
    return parameters


def value(text: str) -> Any:
    """Return JSON as what it is, names separated by commas as a list, and anything else as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text.split(",") if "," in text else text


def pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Return what an option gives as NAME=VALUE, by name."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise zstruct.InputError(f"{option} {text}: write it as NAME=VALUE")
        found[name] = value
    return found


def numbers(option: str, texts: Sequence[str]) -> dict[str, float]:
    """Return what an option gives as NAME=NUMBER, by name."""
    try:
        return {name: float(value) for name, value in pairs(option, texts).items()}
    except ValueError as error:
        raise zstruct.InputError(f"{option}: {error}") from None


def units(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Return units by field and quantity; a text without "=" names a system of them."""
    systems = [text for text in texts if "=" not in text]
    if len(systems) > 1:
        raise zstruct.InputError(f"{option} {f' {option} '.join(systems)}: give one system of units")
    system = {"system": systems[0]} if systems else {}
    return system | pairs(option, [text for text in texts if "=" in text])
