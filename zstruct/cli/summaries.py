"""``zstruct split``, ``stats`` and ``references``: what is kept of a whole store or a part of it."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import zstruct
from zstruct.cli.values import add_select_option, add_storage_option, part, storage_options

__all__ = ["add_references", "add_split", "add_stats"]


def add_split(commands: Any) -> None:
    """Add the command."""
    split = commands.add_parser("split", help="divide a store into parts and keep them in it")
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
    add_select_option(split)
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
    store: Any = arguments.store
    if arguments.select is not None:
        from zstruct.stats.scan import Part

        store = Part.of(store, select=arguments.select)
    parts = zstruct.split(
        store,
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
    add_select_option(parser)
    parser.add_argument("--name", help="keep them in the store under this name")
    parser.add_argument("--overwrite", action="store_true", help="replace what has this name")
    add_storage_option(parser)


def add_stats(commands: Any) -> None:
    """Add the command."""
    stats = commands.add_parser("stats", help="sum up structures, energies and forces of a store")
    _add_part(stats)
    stats.add_argument("--references", metavar="NAME", help="reference energies to subtract")
    stats.add_argument("--json", action="store_true", help="print JSON instead of a table")
    stats.add_argument("--workers", type=int, metavar="N", help="number of workers")
    stats.add_argument("--quiet", action="store_true", help="no progress bar")
    stats.set_defaults(run=_stats)


def _stats(arguments: argparse.Namespace) -> int:
    found = zstruct.statistics(
        arguments.store,
        part(arguments.split),
        select=arguments.select,
        references=arguments.references,
        name=arguments.name,
        overwrite=arguments.overwrite,
        workers=arguments.workers,
        progress=not arguments.quiet,
        storage_options=storage_options(arguments),
    )
    print(json.dumps(found.to_dict(), indent=2) if arguments.json else found)
    return 0


def add_references(commands: Any) -> None:
    """Add the command."""
    references = commands.add_parser("references", help="fit reference energies of the elements")
    _add_part(references)
    references.add_argument("--ridge", type=float, metavar="X", help="keep references small by this weight")
    references.add_argument("--isolated", action="store_true", help="read them from single atoms instead")
    references.add_argument(
        "--by", metavar="FIELD", help="with --isolated, what tells levels of theory apart: head, source, ..."
    )
    references.add_argument("--workers", type=int, metavar="N", help="number of workers")
    references.add_argument("--quiet", action="store_true", help="no progress bar")
    references.set_defaults(run=_references)


def _references(arguments: argparse.Namespace) -> int:
    kept: dict[str, Any] = {"name": arguments.name, "overwrite": arguments.overwrite}
    kept["storage_options"] = storage_options(arguments)
    if arguments.isolated:
        if arguments.split or arguments.select or arguments.ridge is not None:
            raise zstruct.InputError("--isolated takes no --split, --select or --ridge")
        isolated = zstruct.isolated_references(arguments.store, by=arguments.by, **kept)
        of_labels = isinstance(isolated, dict)
        print("\n".join(f"{label}: {one}" for label, one in isolated.items()) if of_labels else isolated)
        return 0
    if arguments.by is not None:
        raise zstruct.InputError("--by goes with --isolated")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what is printed says it
        found = zstruct.fit_references(
            arguments.store,
            part(arguments.split),
            select=arguments.select,
            ridge=arguments.ridge,
            workers=arguments.workers,
            progress=not arguments.quiet,
            **kept,
        )
    print(found)
    return 0
