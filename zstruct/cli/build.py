"""``zstruct build``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given

__all__ = ["add_build"]

_EXAMPLE = "zstruct build data/*.xyz train.zarr"
_PATHS = "files, directories or globs, and last the store to make"


def add_build(commands: Any) -> None:
    """Add the command."""
    build = commands.add_parser(
        "build",
        help="build a store from files",
        usage="%(prog)s [options] IN [IN ...] OUT",
        epilog=f"example: {_EXAMPLE}",
        options=_options,
    )
    build.set_defaults(run=_build)


def _options(build: Command) -> None:
    build.add_argument("paths", nargs="*", metavar="IN ... OUT", help=_PATHS)
    add_options(build, zstruct.build, omit=("filters", "encoding"))
    add_options(build, zstruct.Filters, omit=("where",))
    add_options(build, zstruct.Encoding)


def _build(arguments: argparse.Namespace) -> int:
    inputs, out = _paths(arguments.paths)
    options = given(arguments, zstruct.build) | {"paths": inputs}
    filters = zstruct.Filters(**given(arguments, zstruct.Filters))
    encoding = zstruct.Encoding(**given(arguments, zstruct.Encoding))
    print(zstruct.build(out=out, filters=filters, encoding=encoding, **options))
    return 0


def _paths(paths: Sequence[str]) -> tuple[list[str], str]:
    """Return inputs and target; say which of them is missing."""
    if not paths:
        raise zstruct.InputError(f"no inputs, and no store to make: write {_EXAMPLE}")
    *inputs, out = paths
    if not inputs and out.rstrip("/").endswith((".zarr", ".zip")):
        raise zstruct.InputError(f"nothing to build {out} from: write zstruct build IN ... {out}")
    if not inputs:
        raise zstruct.InputError(
            f"no store to make of {out}: it comes last, as in zstruct build {out} new.zarr"
        )
    if os.path.isfile(out):
        raise zstruct.InputError(f"{out} is a file: the store to make comes last, as in {_EXAMPLE}")
    return inputs, out
