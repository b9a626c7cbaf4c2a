"""``zstruct rewrite``."""

from __future__ import annotations

import argparse
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given

__all__ = ["add_rewrite"]


def add_rewrite(commands: Any) -> None:
    """Add the command."""
    rewrite = commands.add_parser(
        "rewrite",
        help="write a store again in another form",
        epilog="example: zstruct rewrite train.zarr archive.zarr --encoding decimal --compression small",
        options=_options,
    )
    rewrite.set_defaults(run=_rewrite)


def _options(rewrite: Command) -> None:
    rewrite.add_argument("store", metavar="STORE")
    rewrite.add_argument("out", metavar="OUT")
    add_options(rewrite, zstruct.rewrite)


def _rewrite(arguments: argparse.Namespace) -> int:
    print(zstruct.rewrite(**given(arguments, zstruct.rewrite)))
    return 0
