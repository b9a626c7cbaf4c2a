"""``zstruct features-add``."""

from __future__ import annotations

import argparse
from typing import Any

from zstruct.cli.options import Command, add_options, given

__all__ = ["add_features_add"]


def add_features_add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        "features-add",
        help="keep features from a file in a store",
        usage="%(prog)s [options] STORE NAME FILE",
        options=_options,
    )
    command.set_defaults(run=_features_add)


def _options(command: Command) -> None:
    from zstruct.features import add

    command.add_argument("store", metavar="STORE")
    command.add_argument("name", metavar="NAME", help="what the features are called: features/NAME")
    command.add_argument("values", metavar="FILE", help=".npy, .npz or .parquet, also as kinoml writes them")
    add_options(command, add)


def _features_add(arguments: argparse.Namespace) -> int:
    from zstruct.features import add

    print(add(**given(arguments, add)))
    return 0
