"""``zstruct append``: more structures for a store."""

from __future__ import annotations

import argparse
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given

__all__ = ["add_append"]

_EXAMPLE = "zstruct append train.zarr new/*.xyz"


def add_append(commands: Any) -> None:
    """Add the command."""
    append = commands.add_parser(
        "append",
        help="append structures to a store",
        usage="%(prog)s [options] STORE IN [IN ...]",
        epilog=f"example: {_EXAMPLE}",
        options=_options,
    )
    append.set_defaults(run=_append)


def _options(append: Command) -> None:
    append.add_argument("store", metavar="STORE", help="the store to extend")
    append.add_argument("paths", nargs="*", metavar="IN", help="files, stores, directories or globs")
    add_options(append, zstruct.append, omit=("filters", "split"))
    add_options(append, zstruct.Filters, omit=("where",))
    says = "to which part the new structures go (repeatable)"
    append.add_argument("--split", action="append", metavar="[NAME/]LABEL", help=says)


def _parts(texts: list[str]) -> dict[str, str] | None:
    """Return labels by the names of splits."""
    named = [text.rpartition("/") for text in texts]
    return {name or "default": label for name, _, label in named} or None


def _append(arguments: argparse.Namespace) -> int:
    if not arguments.paths:
        raise zstruct.InputError(f"nothing to append to {arguments.store}: write {_EXAMPLE}")
    filters = zstruct.Filters(**given(arguments, zstruct.Filters))
    options = given(arguments, zstruct.append) | {"split": _parts(arguments.split or [])}
    print(zstruct.append(**options, filters=filters))
    return 0
