"""``zstruct references``."""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_labels, add_options, given

__all__ = ["add_references"]


def add_references(commands: Any) -> None:
    """Add the command."""
    references = commands.add_parser(
        "references", help="fit reference energies of the elements", options=_options
    )
    references.set_defaults(run=_references)


def _options(references: Command) -> None:
    references.add_argument("store", metavar="STORE")
    add_options(references, zstruct.fit_references, omit=("labels",))
    add_labels(references)
    references.add_argument("--isolated", action="store_true", help="read them from single atoms instead")
    add_options(references, zstruct.isolated_references, only=("by",))
    references.set_defaults(progress=True)


def _references(arguments: argparse.Namespace) -> int:
    if arguments.isolated:
        if {"split", "select", "ridge"} & vars(arguments).keys():
            raise zstruct.InputError("--isolated takes no --split, --select or --ridge")
        isolated = zstruct.isolated_references(**given(arguments, zstruct.isolated_references))
        of_labels = isinstance(isolated, dict)
        print("\n".join(f"{label}: {one}" for label, one in isolated.items()) if of_labels else isolated)
        return 0
    if "by" in arguments:
        raise zstruct.InputError("--by goes with --isolated")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what is printed says it
        print(zstruct.fit_references(**given(arguments, zstruct.fit_references)))
    return 0
