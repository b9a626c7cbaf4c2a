"""``zstruct duplicates`` and ``zstruct leaks``."""

from __future__ import annotations

import argparse
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given

__all__ = ["add_duplicates", "add_leaks"]


def add_duplicates(commands: Any) -> None:
    """Add the command."""
    duplicates = commands.add_parser(
        "duplicates", help="find structures that are alike, within stores and between them", options=_stores
    )
    duplicates.set_defaults(run=_duplicates)


def add_leaks(commands: Any) -> None:
    """Add the command."""
    leaks = commands.add_parser(
        "leaks",
        help="find structures with a duplicate in another part of a split",
        usage="%(prog)s [options] STORE [SPLIT]",
        options=_split,
    )
    leaks.set_defaults(run=_leaks)


def _stores(duplicates: Command) -> None:
    duplicates.add_argument("stores", nargs="+", metavar="STORE")
    add_options(duplicates, zstruct.duplicates)
    _add_csv(duplicates)


def _split(leaks: Command) -> None:
    leaks.add_argument("store", metavar="STORE")
    leaks.add_argument("split", nargs="?", default="default", metavar="SPLIT", help="its name; default")
    add_options(leaks, zstruct.leaks, omit=("split",))
    _add_csv(leaks)


def _add_csv(command: Command) -> None:
    command.add_argument("--csv", action="store_true", help="print a row for each structure instead")
    command.set_defaults(progress=True)


def _duplicates(arguments: argparse.Namespace) -> int:
    return _print(zstruct.duplicates(**given(arguments, zstruct.duplicates)), arguments.csv)


def _leaks(arguments: argparse.Namespace) -> int:
    return _print(zstruct.leaks(**given(arguments, zstruct.leaks)), arguments.csv)


def _print(found: zstruct.Duplicates | zstruct.Leaks, csv: bool) -> int:
    print(found.csv() if csv else found, end="" if csv else "\n")
    return 0
