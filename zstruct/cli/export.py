"""``zstruct export``: structures of a store as a file that other tools read; ``zstruct formats``."""

from __future__ import annotations

import argparse
import re
from importlib import metadata
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_labels, add_options, given

__all__ = ["add_export", "add_formats"]


def add_export(commands: Any) -> None:
    """Add the command."""
    export = commands.add_parser(
        "export",
        help="write structures of a store into a file of another format",
        epilog="example: zstruct export train.zarr test.xyz.gz --split test --exclude dipole",
        options=_options,
    )
    export.set_defaults(run=_export)


def _options(export: Command) -> None:
    export.add_argument("data", metavar="STORE")
    export.add_argument("path", metavar="OUT", help="the file or directory to make")
    add_options(export, zstruct.export, omit=("labels",))
    add_labels(export)


def _export(arguments: argparse.Namespace) -> int:
    print(zstruct.export(**given(arguments, zstruct.export)))
    return 0


def add_formats(commands: Any) -> None:
    """Add the command."""
    formats = commands.add_parser("formats", help="list the formats that are read and written")
    formats.set_defaults(run=_formats)


def _formats(arguments: argparse.Namespace) -> int:
    from zstruct.exporters.registry import FORMATS as WRITTEN
    from zstruct.sources.formats import FORMATS as READ

    for title, rows in (("read by zstruct build", READ), ("written by zstruct export", WRITTEN)):
        print(f"{title}:")
        table = [(row.name, " ".join(row.suffixes), row.title, _said(row.extra)) for row in rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in table:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            print(f"  {'  '.join(cells)}".rstrip())
    return 0


def _said(extra: str) -> str:
    """Return what a format needs, and whether it is there."""
    gone = _missing(extra)
    return "" if not extra else f"needs {extra}" + (f", not installed: {', '.join(gone)}" if gone else "")


def _missing(extra: str) -> list[str]:
    """Return the packages of an extra, ``zstruct[hdf5]``, that are not installed."""
    name = extra.partition("[")[2].rstrip("]")
    try:
        stated = metadata.requires("zstruct") or []
    except metadata.PackageNotFoundError:  # run from its sources
        return []
    of_extra = (one for one in stated if name and re.search(rf"extra == ['\"]{re.escape(name)}['\"]", one))
    packages = [re.split(r"[^A-Za-z0-9_.-]", one)[0] for one in of_extra]
    return [package for package in packages if not _is_installed(package)]


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
