"""What is typed on a command line, as values for the functions of zstruct."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zstruct

__all__ = [
    "add_select_option",
    "add_storage_option",
    "from_json",
    "numbers",
    "pairs",
    "part",
    "storage_options",
    "value",
]


def add_storage_option(parser: argparse.ArgumentParser) -> None:
    """Add what stores behind servers need."""
    parser.add_argument(
        "--storage-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of a URL, for fsspec, as in anon=true (repeatable)",
    )


def add_select_option(parser: argparse.ArgumentParser) -> None:
    """Add what chooses structures."""
    parser.add_argument(
        "--select",
        metavar="EXPRESSION",
        help="only structures for which this holds, as in 'Ti and n_atoms <= 60'",
    )


def storage_options(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Return what was given, or None."""
    given = pairs("--storage-option", arguments.storage_option)
    return {name: _from_text(text) for name, text in given.items()} or None


def _from_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def part(text: str | None) -> str | tuple[str, str] | None:
    """Return LABEL, or NAME/LABEL as a pair."""
    if text is None or "/" not in text:
        return text
    name, _, label = text.partition("/")
    return name, label


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


def numbers(texts: dict[str, str]) -> dict[str, float]:
    """Return energies that were given as texts."""
    try:
        return {name: float(value) for name, value in texts.items()}
    except ValueError as error:
        raise zstruct.InputError(f"--atomic-energy: {error}") from None
