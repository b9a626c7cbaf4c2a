"""``zstruct featurize``."""

from __future__ import annotations

import argparse
from typing import Any

import zstruct
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
    )
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
    featurize.add_argument("--derivatives", action="store_true", help="store derivatives too")
    featurize.add_argument("--only", choices=("forces",), help="derivatives for structures with forces")
    featurize.add_argument("--name", help="name of the groups; by default the descriptor's")
    featurize.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="as stored")
    featurize.add_argument("--overwrite", action="store_true", help="replace groups that are there")
    featurize.add_argument("--workers", type=int, metavar="N", help="number of workers")
    featurize.add_argument("--quiet", action="store_true", help="no progress bar")
    featurize.set_defaults(run=_featurize)


def _featurize(arguments: argparse.Namespace) -> int:
    from zstruct.features.defaults import completed
    from zstruct.features.registry import by_name, check_known

    check_known(arguments.descriptor)
    given = from_json(arguments.params) if arguments.params else {}
    for name, text in pairs("--param", arguments.param).items():
        given[name] = value(text)
    store = zstruct.Store(arguments.store)
    parameters = completed(arguments.descriptor, given, store)
    descriptor = by_name(arguments.descriptor, parameters)
    if parameters != given:
        said = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
        print(f"{arguments.descriptor} with {said}")
    report = zstruct.featurize(
        arguments.store,
        descriptor,
        arguments.derivatives,
        arguments.name,
        dtype=arguments.dtype,
        only=arguments.only,
        overwrite=arguments.overwrite,
        workers=arguments.workers,
        progress=not arguments.quiet,
    )
    print(report)
    return 0
