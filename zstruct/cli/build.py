"""``zstruct build``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

import zstruct
from zstruct.cli.values import numbers, pairs

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
    )
    build.add_argument("paths", nargs="*", metavar="IN ... OUT", help=_PATHS)
    build.add_argument("--reader", help="reader for all files, where their names don't tell")
    build.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="FIELD=NAME",
        help="the input's name for a field, as in energy=REF_energy, or the form of the comment that holds a "
        "number, as in 'energy=energy: {} ...' (repeatable)",
    )
    build.add_argument(
        "--unit",
        action="append",
        default=[],
        metavar="WHAT=UNIT",
        help="unit of energy, length or a field in the input, as in energy=kcal/mol, or a system: atomic, "
        "ase, metal, real (repeatable)",
    )
    build.add_argument(
        "--atomic-energy",
        action="append",
        default=[],
        metavar="SYMBOL=EV",
        help="reference energy of an element (repeatable)",
    )
    build.add_argument(
        "--exclude", action="append", default=[], metavar="NAME", help="property to leave out (repeatable)"
    )
    build.add_argument(
        "--element",
        action="append",
        default=[],
        metavar="TYPE=SYMBOL",
        help="element of an atom type, where the input names none, as in 1=Ti (repeatable)",
    )
    build.add_argument(
        "--leave-out",
        action="append",
        default=[],
        choices=("unconverged", "cut"),
        help="calculations to leave out: not converged, cut off (repeatable)",
    )
    build.add_argument("--overwrite", action="store_true", help="replace a store that is there")
    build.add_argument("--on-error", choices=("raise", "skip"), default="raise", help="what a bad frame does")
    build.add_argument("--max-energy", type=float, metavar="EV", help="limit of the energy per atom")
    build.add_argument("--max-force", type=float, metavar="EV/A", help="limit of the norm of any force")
    build.add_argument(
        "--max-force-component", type=float, metavar="EV/A", help="limit of any force component"
    )
    build.add_argument("--dtype", choices=("float32", "float64"), help="precision of per-atom floats")
    build.add_argument("--shuffle-seed", type=int, metavar="N", help="store in an order shuffled with N")
    build.add_argument("--no-resume", action="store_true", help="don't go on with an interrupted build")
    build.add_argument("--workers", type=int, metavar="N", help="number of workers")
    build.add_argument("--quiet", action="store_true", help="no progress bar")
    build.set_defaults(run=_build)


def _build(arguments: argparse.Namespace) -> int:
    inputs, out = _paths(arguments.paths)
    report = zstruct.build(
        inputs,
        out,
        reader=arguments.reader,
        keys=pairs("--key", arguments.key),
        units=_units(arguments.unit),
        exclude=arguments.exclude,
        elements=pairs("--element", arguments.element),
        filters=zstruct.Filters(
            max_energy=arguments.max_energy,
            max_force=arguments.max_force,
            max_force_component=arguments.max_force_component,
            atomic_energies=numbers(pairs("--atomic-energy", arguments.atomic_energy)),
            leave_out=arguments.leave_out,
        ),
        encoding=zstruct.Encoding(arguments.dtype, arguments.shuffle_seed),
        overwrite=arguments.overwrite,
        on_error=arguments.on_error,
        resume=not arguments.no_resume,
        workers=arguments.workers,
        progress=not arguments.quiet,
    )
    print(report)
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


def _units(texts: Sequence[str]) -> dict[str, str]:
    """Return units by field and quantity; a text without "=" names a system of them."""
    systems = [text for text in texts if "=" not in text]
    if len(systems) > 1:
        raise zstruct.InputError(f"--unit {' --unit '.join(systems)}: give one system of units")
    system = {"system": systems[0]} if systems else {}
    return system | pairs("--unit", [text for text in texts if "=" in text])
