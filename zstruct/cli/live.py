"""``zstruct live``."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from typing import Any

import zstruct
from zstruct.cli.options import Command, add_options
from zstruct.errors import InputError

__all__ = ["add_live"]


def add_live(commands: Any) -> None:
    """Add the command."""
    live = commands.add_parser(
        "live",
        help="write a page that reads a store itself, from any file server",
        epilog="example: zstruct live train.zarr --serve",
        options=_options,
    )
    live.set_defaults(run=_live)


def _options(live: Command) -> None:
    live.add_argument("store", metavar="STORE")
    unset = argparse.SUPPRESS
    live.add_argument("-o", "--out", default=unset, metavar="FOLDER", help="the folder to write")
    add_options(live, zstruct.live_report, only=("by",))
    live.add_argument("--sample", type=int, default=unset, metavar="N", help="structures of the sample")
    live.add_argument(
        "--store-url", default=unset, metavar="URL", help="where browsers find the store, if not here"
    )
    live.add_argument(
        "--serve",
        nargs="?",
        type=int,
        const=0,
        metavar="PORT",
        help="serve page and store to browsers on this machine, at a free port or this one",
    )


def _live(arguments: argparse.Namespace) -> int:
    taken = inspect.signature(zstruct.live_report).parameters  # its sample is a number, not a sampling
    made: zstruct.LiveReport = zstruct.live_report(
        **{name: value for name, value in vars(arguments).items() if name in taken}
    )
    print(made)
    if arguments.serve is not None:
        _serve(Path(made.path), made.served, arguments)
    return 0


def _serve(page: Path, served: str | None, arguments: argparse.Namespace) -> None:
    from zstruct.reporting.live_server import file_server

    if served is None:
        raise InputError("the store is elsewhere, and is not served from here: leave out --serve")
    try:
        server = file_server(Path(served), [page, Path(arguments.store)], arguments.serve)
    except OSError as error:
        raise InputError(f"port {arguments.serve} can't be had: {error.strerror}; take another") from error
    inside = page.resolve().relative_to(served).as_posix()
    print(f"http://127.0.0.1:{server.server_port}/{inside}/ (Ctrl-C ends it)", flush=True)
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
