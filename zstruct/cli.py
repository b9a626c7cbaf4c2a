"""The ``zstruct`` command: build, featurize, split, sum up, show and check stores from a shell."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zstruct
from zstruct.errors import ZstructError
from zstruct.text import counted

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
    _add_split(commands.add_parser("split", help="divide a store into parts and keep them in it"))
    _add_stats(commands.add_parser("stats", help="sum up structures, energies and forces of a store"))
    _add_references(commands.add_parser("references", help="fit reference energies of the elements"))
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


def _add_split(split: argparse.ArgumentParser) -> None:
    split.add_argument("store", metavar="STORE")
    split.add_argument("--sizes", metavar="A,B,C", help="fractions, or whole numbers, separated by commas")
    split.add_argument("--file", metavar="NPZ", help="a file of indices instead of sizes")
    split.add_argument("--seed", type=int, default=42, metavar="N", help="of the random order")
    split.add_argument("--by", default="random", metavar="FIELD", help="random, order, formula or a field")
    split.add_argument("--stratify", metavar="FIELD,...", help="what to spread over all parts")
    split.add_argument("--bins", type=int, default=10, metavar="N", help="ranges of a stratum of numbers")
    split.add_argument("--labels", metavar="A,B,C", help="names of the parts; train, val and test")
    split.add_argument("--name", default="default", help="of the split in the store")
    split.add_argument("--overwrite", action="store_true", help="replace a split that is there")
    split.set_defaults(run=_split)


def _split(arguments: argparse.Namespace) -> int:
    if (arguments.sizes is None) == (arguments.file is None):
        raise zstruct.InputError("give either --sizes or --file")
    sizes: Any = arguments.file and Path(arguments.file)
    if sizes is None:
        try:
            sizes = [int(x) if x.strip().isdigit() else float(x) for x in arguments.sizes.split(",")]
        except ValueError:
            raise zstruct.InputError(
                f"--sizes {arguments.sizes}: give numbers separated by commas, as in 0.8,0.1,0.1"
            ) from None
    strata = arguments.stratify.split(",") if arguments.stratify else None
    parts = zstruct.split(
        arguments.store,
        sizes,
        arguments.seed,
        arguments.by,
        strata[0] if strata and len(strata) == 1 else strata,
        bins=arguments.bins,
        labels=arguments.labels.split(",") if arguments.labels else None,
        name=arguments.name,
        overwrite=arguments.overwrite,
    )
    print(f"{arguments.store}: splits/{arguments.name}: {parts}")
    return 0


def _add_part(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is computed from a part of a store and may be kept in it."""
    parser.add_argument("store", metavar="STORE")
    parser.add_argument("--split", metavar="[NAME/]LABEL", help="a part of the store; by default all of it")
    parser.add_argument("--name", help="keep them in the store under this name")
    parser.add_argument("--overwrite", action="store_true", help="replace what has this name")


def _part(text: str | None) -> str | tuple[str, str] | None:
    if text is None or "/" not in text:
        return text
    name, _, label = text.partition("/")
    return name, label


def _add_stats(stats: argparse.ArgumentParser) -> None:
    _add_part(stats)
    stats.add_argument("--references", metavar="NAME", help="reference energies to subtract")
    stats.add_argument("--json", action="store_true", help="print JSON instead of a table")
    stats.add_argument("--workers", type=int, metavar="N", help="number of workers")
    stats.add_argument("--quiet", action="store_true", help="no progress bar")
    stats.set_defaults(run=_stats)


def _stats(arguments: argparse.Namespace) -> int:
    found = zstruct.statistics(
        arguments.store,
        _part(arguments.split),
        references=arguments.references,
        name=arguments.name,
        overwrite=arguments.overwrite,
        n_workers=arguments.workers,
        progress=not arguments.quiet,
    )
    print(json.dumps(found.to_dict(), indent=2) if arguments.json else found)
    return 0


def _add_references(references: argparse.ArgumentParser) -> None:
    _add_part(references)
    references.add_argument("--ridge", type=float, metavar="X", help="keep references small by this weight")
    references.add_argument("--isolated", action="store_true", help="read them from single atoms instead")
    references.add_argument("--workers", type=int, metavar="N", help="number of workers")
    references.add_argument("--quiet", action="store_true", help="no progress bar")
    references.set_defaults(run=_references)


def _references(arguments: argparse.Namespace) -> int:
    kept = {"name": arguments.name, "overwrite": arguments.overwrite}
    if arguments.isolated:
        if arguments.split or arguments.ridge is not None:
            raise zstruct.InputError("--isolated takes no --split or --ridge")
        print(zstruct.isolated_references(arguments.store, **kept))
        return 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what is printed says it
        found = zstruct.fit_references(
            arguments.store,
            _part(arguments.split),
            ridge=arguments.ridge,
            n_workers=arguments.workers,
            progress=not arguments.quiet,
            **kept,
        )
    print(found)
    return 0


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
        units=_units(arguments.unit),
        exclude=arguments.exclude,
        elements=_pairs("--element", arguments.element),
        leave_out=arguments.leave_out,
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
    """Return what made each group of a store, and whether it is stale."""
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
    for small, describe in (("splits", _said_split), ("statistics", _said_stats), ("references", _said_fit)):
        for name in store.group_names(small):
            attrs = store.group_attrs(f"{small}/{name}")
            stale = attrs["store_digest"] != store.digest
            found[f"{small}/{name}"] = {"made_by": describe(attrs), "stale": stale}
    return found


def _said_split(attrs: dict[str, Any]) -> str:
    recipe = ", ".join(f"{key}={value!r}" for key, value in attrs["recipe"].items() if value is not None)
    return f"{', '.join(attrs['labels'])} ({recipe})"


def _said_stats(attrs: dict[str, Any]) -> str:
    of = f", {attrs['split'][1]} of {attrs['split'][0]}" if attrs["split"] else ""
    return f"{counted(attrs['structures'], 'structure')}{of}"


def _said_fit(attrs: dict[str, Any]) -> str:
    energies = ", ".join(f"{symbol} {energy:.6g}" for symbol, energy in attrs["energies"].items())
    return f"{energies} eV, {attrs['method']}{', singular' if attrs['singular'] else ''}"


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


def _units(texts: Sequence[str]) -> dict[str, str]:
    """Return units by field and quantity; a text without "=" names a system of them."""
    systems = [text for text in texts if "=" not in text]
    if len(systems) > 1:
        raise zstruct.InputError(f"--unit {' --unit '.join(systems)}: give one system of units")
    system = {"system": systems[0]} if systems else {}
    return system | _pairs("--unit", [text for text in texts if "=" in text])


def _numbers(pairs: dict[str, str]) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in pairs.items()}
    except ValueError as error:
        raise zstruct.InputError(f"--atomic-energy: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
