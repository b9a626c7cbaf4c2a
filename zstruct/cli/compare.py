"""``zstruct compare``."""

from __future__ import annotations

import argparse
import json
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given

__all__ = ["add_compare"]


def add_compare(commands: Any) -> None:
    """Add the command."""
    compare = commands.add_parser(
        "compare",
        help="tell the errors of labels against others, or against the store's own",
        usage="%(prog)s [options] STORE A [B]",
        options=_options,
    )
    compare.set_defaults(run=_compare)


def _options(compare: Command) -> None:
    compare.add_argument("store", metavar="STORE")
    compare.add_argument("a", metavar="A", help="the labels that are judged")
    compare.add_argument(
        "b", nargs="?", default=None, metavar="B", help="those that they are judged by: the store's own"
    )
    add_options(compare, zstruct.compare, omit=("b", "by", "quantiles"))
    compare.add_argument(
        "--by",
        type=lambda text: [name for name in text.split(",") if name],
        default=argparse.SUPPRESS,
        metavar="A,B,C",
        help="what errors are also told by, as in element,config_type,split",
    )
    compare.add_argument("--json", action="store_true", help="print JSON instead of a table")
    compare.set_defaults(progress=True)


def _compare(arguments: argparse.Namespace) -> int:
    found = zstruct.compare(**given(arguments, zstruct.compare))
    print(json.dumps(found.to_dict(), indent=2) if arguments.json else found)
    return 0
