"""The ``zstruct`` command: build, featurize, label, split, sum up, rewrite, cut, show, check in a shell.

A module for each command; ``options`` makes their options of the functions that they call, ``values`` what
these take of the words that were typed. Nothing here does more than call a public function and print what
it returned.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

import zstruct
from zstruct.cli.append import add_append
from zstruct.cli.build import add_build
from zstruct.cli.compare import add_compare
from zstruct.cli.drop import add_drop
from zstruct.cli.duplicates import add_duplicates, add_leaks
from zstruct.cli.export import add_export, add_formats
from zstruct.cli.features_add import add_features_add
from zstruct.cli.featurize import add_featurize
from zstruct.cli.index import add_index
from zstruct.cli.info import add_info
from zstruct.cli.label import add_label
from zstruct.cli.live import add_live
from zstruct.cli.log import add_log
from zstruct.cli.ls import add_ls
from zstruct.cli.options import Command
from zstruct.cli.outliers import add_outliers
from zstruct.cli.peek import add_peek
from zstruct.cli.project import add_project
from zstruct.cli.references import add_references
from zstruct.cli.report import add_report
from zstruct.cli.rewrite import add_rewrite
from zstruct.cli.select import add_select
from zstruct.cli.split import add_split
from zstruct.cli.stats import add_stats
from zstruct.cli.verify import add_verify
from zstruct.cli.warmup import add_warmup
from zstruct.errors import ZstructError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, or 1 after an error sentence."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # names of files may be no UTF-8
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
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
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=Command)
    kept = add_append, add_drop, add_index, add_split, add_stats, add_references, add_rewrite, add_select
    found = add_ls, add_duplicates, add_leaks, add_outliers, add_report, add_live
    out = add_export, add_formats, add_info, add_log, add_verify, add_warmup
    first = add_peek, add_build, add_featurize, add_features_add, add_project, add_label, add_compare
    for add in (*first, *kept, *found, *out):
        add(commands)
    return parser
