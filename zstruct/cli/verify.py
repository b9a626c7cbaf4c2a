"""``zstruct verify``."""

from __future__ import annotations

import argparse
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given

__all__ = ["add_verify"]


def add_verify(commands: Any) -> None:
    """Add the command."""
    verify = commands.add_parser(
        "verify", help="check every checksum and invariant of a store", options=_options
    )
    verify.set_defaults(run=_verify)


def _options(verify: Command) -> None:
    verify.add_argument("path", metavar="STORE")
    add_options(verify, zstruct.verify)


def _verify(arguments: argparse.Namespace) -> int:
    zstruct.verify(**given(arguments, zstruct.verify))
    print(f"{arguments.path}: every checksum and invariant holds")
    return 0
