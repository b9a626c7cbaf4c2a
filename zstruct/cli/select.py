"""``zstruct select``: some structures of a store as a store of their own."""

from __future__ import annotations

import argparse
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given
from zstruct.query import Choice

__all__ = ["add_select"]

_EXAMPLE = 'zstruct select train.zarr "Ti and fmax < 5" cut.zarr'
_OPTIONS = ("encoding", "overwrite", "resume", "workers", "progress", "storage_options")


def add_select(commands: Any) -> None:
    """Add the command."""
    select = commands.add_parser(
        "select",
        help="write some structures of a store into a store of their own",
        usage="%(prog)s [options] STORE [EXPRESSION] OUT",
        epilog=f"example: {_EXAMPLE}",
        options=_options,
    )
    select.set_defaults(run=_select)


def _options(select: Command) -> None:
    select.add_argument(
        "words",
        nargs="*",
        metavar="STORE [EXPRESSION] OUT",
        help="the store, which structures, the store to make",
    )
    add_options(select, Choice, omit=("which", "elements", "where"))
    add_options(select, zstruct.build, only=set(_OPTIONS) - {"encoding"})
    add_options(select, zstruct.Encoding)


def _select(arguments: argparse.Namespace) -> int:
    if len(arguments.words) not in (2, 3):
        raise zstruct.InputError(f"a store, which of its structures, and the store to make: write {_EXAMPLE}")
    store, *expression, out = arguments.words
    selection = zstruct.Selection().select(*expression, **given(arguments, Choice))
    if not selection:
        raise zstruct.InputError(f"nothing says which structures of {store} to take: write {_EXAMPLE}")
    options = {name: value for name, value in given(arguments, zstruct.build).items() if name in _OPTIONS}
    encoding = zstruct.Encoding(**given(arguments, zstruct.Encoding))
    print(zstruct.build(store, out, select=selection, encoding=encoding, **options))
    return 0
