"""``zstruct featurize``."""

from __future__ import annotations

import argparse
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options, given
from zstruct.cli.values import from_json, pairs, value

__all__ = ["add_featurize"]

_EPILOG = """\
DESCRIPTOR is chebyshev, which is the default, acsf, or neighbors for neighbour
lists. Parameters that are not given are of common size, the species those of
the store; all are printed then. Examples:

  zstruct featurize train.zarr
  zstruct featurize train.zarr chebyshev --param species=Ti,O
  zstruct featurize train.zarr neighbors --param cutoff=5
"""


def add_featurize(commands: Any) -> None:
    """Add the command."""
    featurize = commands.add_parser(
        "featurize",
        help="compute a descriptor and keep it in a store",
        usage="%(prog)s [options] STORE [DESCRIPTOR]",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        options=_options,
    )
    featurize.set_defaults(run=_featurize)


def _options(featurize: Command) -> None:
    featurize.add_argument("store", metavar="STORE")
    featurize.add_argument(
        "descriptor", nargs="?", default="chebyshev", metavar="DESCRIPTOR", help="see below"
    )
    featurize.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the descriptor, as in rad_order=10 or species=H,O (repeatable)",
    )
    featurize.add_argument("--params", metavar="JSON", help="parameters, as JSON or a file with it")
    add_options(featurize, zstruct.featurize)


def _featurize(arguments: argparse.Namespace) -> int:
    from zstruct.features.defaults import completed
    from zstruct.features.registry import by_name, check_known

    check_known(arguments.descriptor)
    typed = from_json(arguments.params) if arguments.params else {}
    for name, text in pairs("--param", arguments.param).items():
        typed[name] = value(text)
    store = zstruct.Store(arguments.store)
    parameters = completed(arguments.descriptor, typed, store)
    descriptor = by_name(arguments.descriptor, parameters)
    if parameters != typed:
        said = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
        print(f"{arguments.descriptor} with {said}")
    print(zstruct.featurize(**given(arguments, zstruct.featurize) | {"descriptor": descriptor}))
    return 0
