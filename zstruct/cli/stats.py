"""``zstruct stats``."""

from __future__ import annotations

import argparse
import json
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_labels, add_options, given

__all__ = ["add_stats"]


def add_stats(commands: Any) -> None:
    """Add the command."""
    stats = commands.add_parser(
        "stats", help="sum up structures, energies and forces of a store", options=_options
    )
    stats.set_defaults(run=_stats)


def _options(stats: Command) -> None:
    stats.add_argument("store", metavar="STORE")
    add_options(stats, zstruct.statistics, omit=("quantiles", "labels"))
    add_labels(stats)
    stats.add_argument("--json", action="store_true", help="print JSON instead of a table")
    stats.set_defaults(progress=True)


def _stats(arguments: argparse.Namespace) -> int:
    found = zstruct.statistics(**given(arguments, zstruct.statistics))
    print(json.dumps(found.to_dict(), indent=2) if arguments.json else found)
    return 0
