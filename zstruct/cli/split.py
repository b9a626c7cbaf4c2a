"""``zstruct split``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given
from zstruct.cli.values import pairs, which

__all__ = ["add_split"]


def add_split(commands: Any) -> None:
    """Add the command."""
    split = commands.add_parser(
        "split", help="divide a store into parts and keep them in it", options=_options
    )
    split.set_defaults(run=_split)


def _options(split: Command) -> None:
    split.add_argument("store", metavar="STORE")
    split.add_argument("--sizes", metavar="A,B,C", help="fractions, or whole numbers, separated by commas")
    split.add_argument("--file", metavar="NPZ", help="a file of indices instead of sizes")
    split.add_argument(
        "--part",
        action="append",
        metavar="LABEL=WHICH",
        help="a part, instead of sizes: an expression, HOW:N:FEATURES as in farthest:1000:cheb, or ... for "
        "all that is in no other part (repeatable)",
    )
    add_options(split, zstruct.split, omit=("storage_options",))  # it is kept, so the store is here
    add_options(split, zstruct.statistics, only=("select",))
    split.set_defaults(name="default")


def _split(arguments: argparse.Namespace) -> int:
    options = given(arguments, zstruct.split) | {"sizes": _sizes(arguments)}
    if "select" in arguments:
        from zstruct.stats.scan import Part

        options["store"] = Part.of(arguments.store, select=arguments.select)
    print(f"{arguments.store}: splits/{arguments.name}: {zstruct.split(**options)}")
    return 0


def _sizes(arguments: argparse.Namespace) -> Path | list[float] | dict[str, Any]:
    if [arguments.sizes, arguments.file, arguments.part].count(None) != 2:
        raise zstruct.InputError("give either --sizes, --file or --part")
    if arguments.file is not None:
        return Path(arguments.file)
    if arguments.part is not None:
        return {label: which(text) for label, text in pairs("--part", arguments.part).items()}
    try:
        return [int(x) if x.strip().isdigit() else float(x) for x in arguments.sizes.split(",")]
    except ValueError:
        raise zstruct.InputError(
            f"--sizes {arguments.sizes}: give numbers separated by commas, as in 0.8,0.1,0.1"
        ) from None
