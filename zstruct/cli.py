"""The ``zstruct`` command: build, info and verify from a shell."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

import zstruct
from zstruct.errors import ZstructError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, or 1 after an error sentence."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except ZstructError as error:
        print(f"zstruct: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("zstruct: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zstruct", description="Atomistic structures in one packed ragged Zarr store."
    )
    parser.add_argument("--version", action="version", version=f"zstruct {zstruct.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_build(commands.add_parser("build", help="build a store from files"))
    info = commands.add_parser("info", help="show what is in a store")
    info.add_argument("store", metavar="STORE")
    info.add_argument("--json", action="store_true", help="print JSON instead of a table")
    info.set_defaults(run=_info)
    verify = commands.add_parser("verify", help="check every checksum and invariant of a store")
    verify.add_argument("store", metavar="STORE")
    verify.set_defaults(run=_verify)
    return parser


def _add_build(build: argparse.ArgumentParser) -> None:
    build.add_argument("inputs", nargs="+", metavar="IN", help="files, directories or globs")
    build.add_argument("out", metavar="OUT", help="the store to make")
    build.add_argument("--reader", help="reader for all files, where their names don't tell")
    build.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="FIELD=NAME",
        help="the input's name for a field, as in energy=REF_energy (repeatable)",
    )
    build.add_argument(
        "--unit",
        action="append",
        default=[],
        metavar="FIELD=UNIT",
        help="unit of a field in the input, as in energy=kcal/mol (repeatable)",
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
    report = zstruct.build(
        arguments.inputs,
        arguments.out,
        reader=arguments.reader,
        keys=_pairs("--key", arguments.key),
        units=_pairs("--unit", arguments.unit),
        exclude=arguments.exclude,
        overwrite=arguments.overwrite,
        on_error=arguments.on_error,
        max_energy=arguments.max_energy,
        max_force=arguments.max_force,
        max_force_component=arguments.max_force_component,
        atomic_energies=_numbers(_pairs("--atomic-energy", arguments.atomic_energy)),
        dtype=arguments.dtype,
        shuffle_seed=arguments.shuffle_seed,
        resume=not arguments.no_resume,
        n_workers=arguments.workers,
        progress=not arguments.quiet,
    )
    print(report)
    return 0


def _info(arguments: argparse.Namespace) -> int:
    from zstruct.explore.summary import format_summary, summarize

    summary = summarize(arguments.store)
    print(json.dumps(summary, indent=2) if arguments.json else format_summary(summary))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    zstruct.verify(arguments.store)
    print(f"{arguments.store}: every checksum and invariant holds")
    return 0


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise zstruct.InputError(f"{option} {text}: write it as NAME=VALUE")
        pairs[name] = value
    return pairs


def _numbers(pairs: dict[str, str]) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in pairs.items()}
    except ValueError as error:
        raise zstruct.InputError(f"--atomic-energy: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
