"""``zstruct report``."""

from __future__ import annotations

import argparse
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given

__all__ = ["add_report"]


def add_report(commands: Any) -> None:
    """Add the command."""
    report = commands.add_parser(
        "report",
        help="write a page about a store, with structures that can be turned",
        epilog="example: zstruct report train.zarr -o report.html",
        options=_options,
    )
    report.set_defaults(run=_report)


def _options(report: Command) -> None:
    report.add_argument("store", metavar="STORE")
    report.add_argument("-o", "--out", required=True, metavar="FILE", help="the file of HTML to write")
    add_options(report, zstruct.report, omit=("out",))
    report.add_argument(
        "--no-duplicates",
        dest="tolerance",
        action="store_const",
        const=None,
        default=argparse.SUPPRESS,
        help="don't look for duplicates",
    )
    report.set_defaults(progress=True)


def _report(arguments: argparse.Namespace) -> int:
    print(zstruct.report(**given(arguments, zstruct.report)))
    return 0
