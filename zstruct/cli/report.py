"""``zstruct report``."""

from __future__ import annotations

import argparse
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given
from zstruct.errors import InputError

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
    report.add_argument(
        "-o", "--out", default=argparse.SUPPRESS, metavar="FILE", help="the file of HTML to write"
    )
    report.add_argument(
        "--live", action="store_true", help="write a page that reads the store itself, as zstruct live does"
    )
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
    options = given(arguments, zstruct.report)
    if arguments.live:
        print(_live(options))
        return 0
    if "out" not in options:
        raise InputError(
            "say where to write the page, -o FILE, or --live for one that reads the store itself"
        )
    print(zstruct.report(**options))
    return 0


def _live(options: dict[str, Any]) -> zstruct.LiveReport:
    others = sorted(options.keys() - {"store", "out", "by", "progress"})
    if others:
        raise InputError(
            f"a page that reads the store itself has no use for {', '.join(others)}: with --live give -o and "
            "--by only; zstruct live has more options"
        )
    return zstruct.live_report(**{name: value for name, value in options.items() if name != "progress"})
