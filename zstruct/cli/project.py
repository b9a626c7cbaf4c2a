"""``zstruct project``."""

from __future__ import annotations

import argparse
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given

__all__ = ["add_project"]


def add_project(commands: Any) -> None:
    """Add the command."""
    project = commands.add_parser(
        "project", help="keep a map of all structures, made of their features", options=_options
    )
    project.set_defaults(run=_project)


def _options(project: Command) -> None:
    project.add_argument("store", metavar="STORE")
    project.add_argument("features", metavar="FEATURES", help="the name of stored features")
    add_options(project, zstruct.project)


def _project(arguments: argparse.Namespace) -> int:
    print(zstruct.project(**given(arguments, zstruct.project)))
    return 0
