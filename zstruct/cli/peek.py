"""``zstruct peek``: what a build would make of files."""

from __future__ import annotations

import argparse
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given

__all__ = ["add_peek"]


def add_peek(commands: Any) -> None:
    """Add the command."""
    peek = commands.add_parser(
        "peek",
        help="show what a build would make of files",
        epilog="example: zstruct peek data/*.xyz --key energy=E_pbe",
        options=_options,
    )
    peek.set_defaults(run=_peek)


def _options(peek: Command) -> None:
    peek.add_argument("paths", nargs="+", metavar="IN", help="files, directories, globs or URLs")
    add_options(peek, zstruct.peek)


def _peek(arguments: argparse.Namespace) -> int:
    report = zstruct.peek(**given(arguments, zstruct.peek))
    print(report)
    return 1 if all(one.problem and not one.fields for one in report.inputs) else 0
