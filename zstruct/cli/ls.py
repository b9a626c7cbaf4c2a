"""``zstruct ls``."""

from __future__ import annotations

import argparse
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_labels, add_options, given
from zstruct.query import Choice
from zstruct.query.listing import parts_of_list

__all__ = ["add_ls"]


def add_ls(commands: Any) -> None:
    """Add the command."""
    ls = commands.add_parser(
        "ls",
        help="list structures with what is asked for of each",
        usage="%(prog)s [options] STORE [EXPRESSION]",
        epilog='example: zstruct ls train.zarr "Ti > 2 and fmax < 5" --columns formula,fmax --sort fmax',
        options=_options,
    )
    ls.set_defaults(run=_ls)


def _options(ls: Command) -> None:
    ls.add_argument("store", metavar="STORE")
    ls.add_argument(
        "select", nargs="?", default=None, metavar="EXPRESSION", help="which structures; by default all"
    )
    ls.add_argument(
        "--columns",
        type=parts_of_list,
        default=argparse.SUPPRESS,
        metavar="A,B,C",
        help="what to list of each: quantities, fields, elements, or expressions",
    )
    add_options(ls, zstruct.listing, omit=("select", "columns", "labels"))
    add_options(ls, Choice, only=("sample",))
    add_labels(ls)
    ls.add_argument("--csv", action="store_true", help="print CSV instead of a table")


def _ls(arguments: argparse.Namespace) -> int:
    options = given(arguments, zstruct.listing)
    if "sample" in arguments:  # picks of what all else leaves
        sample = given(arguments, Choice)["sample"]
        which = {"split": options.pop("split", None), "sample": sample}
        options["select"] = zstruct.Selection().select(options["select"], **which)
    found = zstruct.listing(**options)
    print(found.csv() if arguments.csv else found, end="" if arguments.csv else "\n")
    return 0
