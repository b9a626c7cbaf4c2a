"""``zstruct label``."""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import sys
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given
from zstruct.cli.values import pairs, value

__all__ = ["add_label"]

_EPILOG = """\
HOW is the place of a class, or of a function, in a module that can be imported from
here: MODULE:NAME. What it is, zstruct.label says. Examples:

  zstruct label train.zarr emt ase.calculators.emt:EMT --version 1
  zstruct label train.zarr lj ase.calculators.lj:LennardJones --param rc=5.0 --version 1
  zstruct label train.zarr mace mace.calculators:mace_mp --param model=small --workers 1
  zstruct label train.zarr mine my_model:labels --max-atoms 4096
"""


def add_label(commands: Any) -> None:
    """Add the command."""
    label = commands.add_parser(
        "label",
        help="compute labels and keep them in a store beside its own",
        usage="%(prog)s [options] STORE NAME HOW",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        options=_options,
    )
    label.set_defaults(run=_label)


def _options(label: Command) -> None:
    label.add_argument("data", metavar="STORE")
    label.add_argument("name", metavar="NAME", help="what the labels are called: labels/NAME")
    label.add_argument("how", metavar="HOW", help="what makes a calculator of ASE, or a function of batches")
    label.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of what is called, as in rc=5.0 (repeatable)",
    )
    add_options(label, zstruct.label, omit=("levels", "on_error"))
    label.add_argument(
        "--on-error",
        choices=("missing", "raise"),
        default=argparse.SUPPRESS,
        help="what becomes of a structure that fails",
    )


def _label(arguments: argparse.Namespace) -> int:
    how = _found(arguments.how)
    typed = {name: value(text) for name, text in pairs("--param", arguments.param).items()}
    if typed:
        how = functools.partial(how, **typed)
    print(zstruct.label(**given(arguments, zstruct.label) | {"how": how}))
    return 0


def _found(place: str) -> Any:
    """Return what is at a place in a module."""
    module, colon, name = place.partition(":")
    if not (module and colon and name):
        raise zstruct.InputError(f"{place!r}: write it as MODULE:NAME, as in ase.calculators.emt:EMT")
    here = os.getcwd()
    sys.path.insert(0, here)  # as for scripts, and for processes that are started
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise zstruct.InputError(f"{place!r} can't be imported: {error}") from error
    return found
