"""Serve a page and its store to browsers on this machine, by ranges: two folders, and nothing beside them.

It is for looking at a store where it is; what others are to see belongs on a real web server.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from zstruct.arguments import whole

__all__ = ["file_server"]

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_PIECE = 1 << 16  # bytes that are sent at a time
_HOSTS = frozenset({"127.0.0.1", "localhost"})


class _Handler(SimpleHTTPRequestHandler):
    """Answers requests for files of some folders below one, whole or in part."""

    protocol_version = "HTTP/1.1"
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".js": "text/javascript"}  # noqa: RUF012

    def __init__(self, *args: Any, folders: Sequence[Path], **kwargs: Any):
        self._folders = folders
        self._left = 0
        super().__init__(*args, **kwargs)

    def send_head(self) -> BinaryIO | None:
        """Send the headers of a file, and return what is to be sent of it."""
        if (self.headers.get("Host") or "").partition(":")[0] not in _HOSTS:  # a page of another name asks
            self.send_error(403)
            return None
        path = Path(self.directory, unquote(self.path.partition("?")[0]).lstrip("/"))
        path = path / "index.html" if path.is_dir() and self.path.endswith("/") else path
        real = path.resolve()
        if not (real.is_file() and any(real.is_relative_to(folder) for folder in self._folders)):
            self.send_error(404)
            return None
        file = real.open("rb")
        size = real.stat().st_size
        start, stop = self._asked(size)
        if start >= stop and size:
            file.close()
            self.send_error(416)
            return None
        part = stop - start < size
        self.send_response(206 if part else 200)
        self.send_header("Content-Type", self.guess_type(str(real)))
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", "no-cache")
        if part:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.end_headers()
        file.seek(start)
        self._left = stop - start
        return file

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send what was asked for."""
        while self._left and (piece := source.read(min(self._left, _PIECE))):
            outputfile.write(piece)
            self._left -= len(piece)

    def _asked(self, size: int) -> tuple[int, int]:
        """Return the range that is asked for; all, if it is none that is understood."""
        found = _RANGE.fullmatch(self.headers.get("Range") or "")
        if found is None or found.groups() == ("", ""):
            return 0, size
        first, last = found.groups()
        if not first:
            return max(0, size - int(last)), size
        return int(first), min(size, int(last) + 1) if last else size

    def log_message(self, *args: Any) -> None:
        """Say nothing of requests."""


def file_server(folder: Path, served: Sequence[Path], port: int = 0) -> ThreadingHTTPServer:
    """Return a server for browsers on this machine; it is bound, and whoever has it lets it run.

    Parameters
    ----------
    folder
        What paths are relative to.
    served
        Folders below it, whose files it gives.
    port
        Where it listens; 0: at a port that is free.

    Raises
    ------
    OSError
        If the port is taken.
    """
    number = whole("port", port, 0, 65_535)
    real = [Path(one).resolve() for one in served]
    return ThreadingHTTPServer(("127.0.0.1", number), partial(_Handler, directory=str(folder), folders=real))
