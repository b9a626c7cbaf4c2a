"""The ``zstruct`` command: build, featurize, info and verify from a shell."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    _add_featurize(commands.add_parser("featurize", help="compute a descriptor and keep it in a store"))
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


def _add_featurize(featurize: argparse.ArgumentParser) -> None:
    featurize.add_argument("store", metavar="STORE")
    featurize.add_argument("descriptor", metavar="DESCRIPTOR", help="chebyshev, acsf or neighbors")
    featurize.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the descriptor, as in rad_order=10 or species=H,O (repeatable)",
    )
    featurize.add_argument("--params", metavar="JSON", help="all parameters, as JSON or a file with it")
    featurize.add_argument("--derivatives", action="store_true", help="store derivatives too")
    featurize.add_argument("--only", choices=("forces",), help="derivatives for structures with forces")
    featurize.add_argument("--name", help="name of the groups; by default the descriptor's")
    featurize.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="as stored")
    featurize.add_argument("--overwrite", action="store_true", help="replace groups that are there")
    featurize.add_argument("--workers", type=int, metavar="N", help="number of workers")
    featurize.add_argument("--quiet", action="store_true", help="no progress bar")
    featurize.set_defaults(run=_featurize)


def _featurize(arguments: argparse.Namespace) -> int:
    from zstruct.features.registry import by_name

    parameters = _json(arguments.params) if arguments.params else {}
    for name, text in _pairs("--param", arguments.param).items():
        parameters[name] = _value(text)
    report = zstruct.featurize(
        arguments.store,
        by_name(arguments.descriptor, parameters),
        arguments.derivatives,
        arguments.name,
        dtype=arguments.dtype,
        only=arguments.only,
        overwrite=arguments.overwrite,
        n_workers=arguments.workers,
        progress=not arguments.quiet,
    )
    print(report)
    return 0


def _json(text: str) -> dict[str, Any]:
    """Return the parameters that a text, or the file that it names, gives as JSON."""
    try:
        source = text if text.lstrip().startswith("{") else Path(text).read_text()
        parameters = json.loads(source)
    except (OSError, ValueError) as error:
        raise zstruct.InputError(f"--params {text}: {error}") from None
    if not isinstance(parameters, dict):
        raise zstruct.InputError(f"--params {text}: parameters are a JSON object")
    return parameters


def _value(text: str) -> Any:
    """Return JSON as what it is, names separated by commas as a list, and anything else as text."""
    try:
        return json.loads(text)
    except ValueError:
        return text.split(",") if "," in text else text


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

    summary, groups = summarize(arguments.store), _groups(arguments.store)
    if arguments.json:
        print(json.dumps(summary | {"groups": groups}, indent=2))
        return 0
    print(format_summary(summary))
    for path, group in groups.items():
        stale = "; stale: the store has other content now" if group["stale"] else ""
        print(f"{path}: {group['made_by']}{stale}")
    return 0


def _groups(path: str) -> dict[str, dict[str, Any]]:
    """Return what made each group of features, derivatives or neighbours, and whether it is stale."""
    from zstruct.store import GROUP_KINDS, Store

    store, found = Store(path), {}
    for kind in GROUP_KINDS:
        for name in store.group_names(kind):
            attrs = store.group_attrs(f"{kind}/{name}")
            parameters = ", ".join(f"{k}={v!r}" for k, v in attrs["manifest"]["parameters"].items())
            found[f"{kind}/{name}"] = {
                "made_by": f"{attrs['manifest']['class']}({parameters})",
                "manifest": attrs["manifest"],
                "stale": attrs["store_digest"] != store.digest,
            }
    return found


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
