"""``zstruct index``."""

from __future__ import annotations

import argparse
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given

__all__ = ["add_index"]


def add_index(commands: Any) -> None:
    """Add the command."""
    index = commands.add_parser(
        "index", help="keep columns in a store from which selections are answered", options=_options
    )
    index.set_defaults(run=_index)


def _options(index: Command) -> None:
    index.add_argument("store", metavar="STORE")
    add_options(index, zstruct.index)
    index.set_defaults(progress=True)


def _index(arguments: argparse.Namespace) -> int:
    print(zstruct.index(**given(arguments, zstruct.index)))
    return 0
