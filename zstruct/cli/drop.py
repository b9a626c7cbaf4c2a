"""``zstruct drop``: a store without some of its structures."""

from __future__ import annotations

import argparse
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given
from zstruct.query import Choice

__all__ = ["add_drop"]

_EXAMPLE = 'zstruct drop train.zarr "fmax > 50"'


def add_drop(commands: Any) -> None:
    """Add the command."""
    drop = commands.add_parser(
        "drop",
        help="drop structures of a store",
        usage="%(prog)s [options] STORE [EXPRESSION]",
        epilog=f"example: {_EXAMPLE}",
        options=_options,
    )
    drop.set_defaults(run=_drop)


def _options(drop: Command) -> None:
    drop.add_argument("store", metavar="STORE", help="the store")
    drop.add_argument("expression", nargs="?", metavar="EXPRESSION", help="which structures go")
    add_options(drop, Choice, omit=("which", "elements", "where"))
    add_options(drop, zstruct.drop, omit=("select",))


def _drop(arguments: argparse.Namespace) -> int:
    which = [] if arguments.expression is None else [arguments.expression]
    selection = zstruct.Selection().select(*which, **given(arguments, Choice))
    if not selection:
        raise zstruct.InputError(
            f"nothing says which structures of {arguments.store} to drop: write {_EXAMPLE}"
        )
    options = given(arguments, zstruct.drop)
    print(zstruct.drop(**options, select=selection))
    return 0
