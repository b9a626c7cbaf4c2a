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
    add_options(append, zstruct.append, omit=("filters",))
    add_options(append, zstruct.Filters, omit=("where",))


def _append(arguments: argparse.Namespace) -> int:
    if not arguments.paths:
        raise zstruct.InputError(f"nothing to append to {arguments.store}: write {_EXAMPLE}")
    filters = zstruct.Filters(**given(arguments, zstruct.Filters))
    print(zstruct.append(**given(arguments, zstruct.append), filters=filters))
    return 0
