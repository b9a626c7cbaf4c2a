"""``zstruct warmup``: compile all kernels now."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import zstruct
from zstruct.text import counted

__all__ = ["add_warmup"]


def add_warmup(commands: Any) -> None:
    """Add the command."""
    warmup = commands.add_parser("warmup", help="compile all kernels now, for later processes to find")
    warmup.set_defaults(run=_warmup)


def _warmup(arguments: argparse.Namespace) -> int:
    folders = zstruct.warmup()
    if not folders:
        print("zstruct: no folder can be written, so nothing is kept: set NUMBA_CACHE_DIR", file=sys.stderr)
        return 1
    places = sorted({str(folder.parent) for folder in folders})
    print(f"{counted(len(folders), 'file')} of kernels compiled; kept in {', '.join(places)}")
    return 0
