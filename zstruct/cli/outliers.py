"""``zstruct outliers``."""

from __future__ import annotations

import argparse
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_labels, add_options, given

__all__ = ["add_outliers"]


def add_outliers(commands: Any) -> None:
    """Add the command."""
    outliers = commands.add_parser(
        "outliers",
        help="find structures far from what the others are",
        usage="%(prog)s [options] STORE [EXPRESSION]",
        options=_options,
    )
    outliers.set_defaults(run=_outliers)


def _options(outliers: Command) -> None:
    outliers.add_argument("store", metavar="STORE")
    outliers.add_argument(
        "select", nargs="?", default=None, metavar="EXPRESSION", help="which structures; by default all"
    )
    add_options(outliers, zstruct.outliers, omit=("select", "labels"))
    add_labels(outliers)
    outliers.add_argument(
        "--csv", action="store_true", help="print a row for each structure and kind instead"
    )


def _outliers(arguments: argparse.Namespace) -> int:
    found = zstruct.outliers(**given(arguments, zstruct.outliers))
    print(found.csv() if arguments.csv else found, end="" if arguments.csv else "\n")
    return 0
