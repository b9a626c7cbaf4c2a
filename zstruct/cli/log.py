"""``zstruct log``: how a store came to be."""

from __future__ import annotations

import argparse
import json
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given

__all__ = ["add_log"]


def add_log(commands: Any) -> None:
    """Add the command."""
    log = commands.add_parser("log", help="show how a store came to be", options=_options)
    log.set_defaults(run=_log)


def _options(log: Command) -> None:
    log.add_argument("path", metavar="STORE")
    log.add_argument("--json", action="store_true", help="print a line of JSON for each step")
    add_options(log, zstruct.log)


def _log(arguments: argparse.Namespace) -> int:
    history = zstruct.log(**given(arguments, zstruct.log))
    if not arguments.json:
        print(history)
    else:
        for step in history:
            print(json.dumps(step.to_json()))
    return 0
