"""Files behind URLs: found, asked for their version, and read in parts, through fsspec.

Whoever reads opens the file for himself, in whatever process: nothing that is open is sent. Passwords and
signatures in URLs are left out wherever a URL is told. Formats are not known here.
"""

from __future__ import annotations

import glob
import io
import os
import re
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import unquote

from zstruct.errors import InputError, MissingExtraError, StoreAccessError, ZstructError
from zstruct.paths_and_urls import causes, why_refused
from zstruct.sources.paths import STORE_FILES, Found, names_stores, natural

__all__ = ["RemoteFile", "is_pattern", "told"]

_EXTRAS = {"s3": "s3", "s3a": "s3", "http": "http", "https": "http"}
# What fsspec's file systems have that changes with a file.
_VERSIONS = (
    "ETag LastModified Last-Modified Content-MD5 Digest last_modified mtime updated generation VersionId "
    "version_id md5Hash crc32c blob_id oid sha256 checksum"
).split()
_SECRET = re.compile(r"sig|token|key|secret|passw|auth|credential|session", re.IGNORECASE)
_HIDDEN = "***"
# What is asked for at once: more and more where a file is read from front to back.
_FIRST_BYTES, _MOST_BYTES = 1 << 18, 1 << 24
_MOST_COPIES = 4


def told(url: str) -> str:
    """Return a URL without its secrets.

    Examples
    --------
    >>> told("https://me:word@host.org/a.xyz?part=2&Signature=abc")
    'https://host.org/a.xyz?part=2&Signature=***'
    >>> told("zip://a.xyz::s3://bucket/data.zip")
    'zip://a.xyz::s3://bucket/data.zip'
    """
    return re.sub(r"([?&;][^=&;#?]+=)([^&;#:]+)", _shown, re.sub(r"(://)[^/?#@]*@", r"\1", url))


def _shown(match: re.Match[str]) -> str:
    return match[1] + (_HIDDEN if _SECRET.search(match[1]) else match[2])


def _secrets(url: str, options: Mapping[str, Any]) -> list[str]:
    """Return what must not be in a message."""
    found = [match[1] for match in re.finditer(r"://([^/?#@]*)@", url)]
    found += [word for pair in found for word in pair.split(":")[1:] if word]
    found += [m[2] for m in re.finditer(r"([?&;][^=&;#?]+)=([^&;#:]+)", url) if _SECRET.search(m[1])]
    found += [v for k, v in options.items() if isinstance(v, str) and len(v) > 3 and _SECRET.search(k)]
    return sorted({*found, *map(unquote, found)}, key=len, reverse=True)


def is_pattern(url: str) -> bool:
    """Return whether a URL has ``*`` or such in it; a ``?`` is none where queries begin with it.

    Examples
    --------
    >>> is_pattern("s3://bucket/*.xyz"), is_pattern("https://host/a.xyz?version=1")
    (True, False)
    """
    parts = url.split("::")[0]
    return glob.has_magic(parts.replace("?", "") if parts.startswith("http") else parts)


class RemoteFile:
    """What a URL is of: a file, or what has files below it.

    Parameters
    ----------
    url
        As fsspec has it; chains too (``zip://a.xyz::s3://bucket/data.zip``).
    options
        Of the file system.
    """

    def __init__(self, url: str, options: Mapping[str, Any]):
        self._url, self._options, self._label = url, options, told(url)
        with self._named():
            import fsspec

            self._system, self._path = fsspec.core.url_to_fs(url, **options)

    def version(self) -> dict[str, Any]:
        """Return its size, and what the server says that changes with the bytes."""
        with self._named():
            self._system.invalidate_cache(self._path)
            info = self._system.info(self._path)
        known = {key: str(info[key]) for key in _VERSIONS if info.get(key)}
        return {"size": self._size(info), **known}

    def open(self) -> io.RawIOBase:
        """Return a stream that fetches what is read."""
        with self._named():
            info = self._system.info(self._path)
            size = self._size(info)
            if self._in_parts(info):
                return _Parts(self._fetch, size)
            stream = None if self._is_http() else self._system.open(self._path, "rb")
            if stream is not None and stream.seekable():
                return _Opened(stream, self._named)
        version = tuple(str(info.get(key)) for key in ("size", *_VERSIONS))
        return open(_copied(self._url, version, self.copy_to), "rb", buffering=0)

    def copy_to(self, path: str) -> None:
        """Make a copy in a local file."""
        with self._named():
            self._system.get_file(self._path, path)

    def is_folder(self) -> bool:
        """Return whether there are files below it, rather than a file."""
        with self._named():
            try:
                return bool(self._system.info(self._path)["type"] == "directory")
            except FileNotFoundError:
                return False

    def below(self) -> Found:
        """Return the URLs of the files below it; hidden ones are left out."""
        with self._named():
            self._system.invalidate_cache(self._path)
            paths = self._system.find(self._path)
        root = len(self._path.rstrip("/"))
        shown = [p for p in paths if not any(part.startswith(".") for part in p[root:].split("/"))]
        stores = {os.path.dirname(p) for p in paths if os.path.basename(p) in STORE_FILES}
        if self._path.rstrip("/") in stores:
            return Found(left=[self._label])
        return self._found(shown, stores)

    def matching(self) -> Found:
        """Return the URLs of the files that its pattern matches.

        Raises
        ------
        InputError
            If there are none.
        """
        with self._named():
            self._system.invalidate_cache()
            paths = self._system.glob(self._path, detail=True)
            folders = [p for p, info in paths.items() if info["type"] == "directory"]
            named = names_stores(self._path.rstrip("/").rpartition("/")[2])
            stores = [p for p in folders if named and self._system.exists(f"{p}/{STORE_FILES[0]}")]
        found = self._found([p for p, info in paths.items() if info["type"] == "file"], set())
        found.stores = sorted(map(self._as_url, stores), key=natural)
        if not found.names and not stores:
            raise InputError("no file matches this pattern", self._label)
        return found

    def _found(self, paths: list[str], stores: set[str]) -> Found:
        inside = tuple(f"{store}/" for store in stores)
        names = [self._as_url(path) for path in paths if not (inside and path.startswith(inside))]
        left = [told(self._as_url(store)) for store in stores]
        return Found(sorted(names, key=natural), sorted(left, key=natural))

    def _as_url(self, path: str) -> str:
        """Return the URL of a path of the file system, in the chain that the URL is."""
        first, *rest = self._url.split("::")
        protocol = first.partition("://")[0]
        whole = path if "://" in path else f"{protocol}://{path}"
        return "::".join([whole, *rest])

    def _size(self, info: Mapping[str, Any]) -> int:
        if info.get("type") == "directory":
            raise InputError("this is no file, but a place that has some: end it with a slash", self._label)
        if info.get("size") is None:
            raise InputError("its server does not say how large it is; download it first", self._label)
        return int(info["size"])

    def _is_http(self) -> bool:
        return self._path.startswith(("http://", "https://"))

    def _in_parts(self, info: Mapping[str, Any]) -> bool:
        """Return whether the server gives parts of files, by what it does rather than by what it says."""
        if not self._system.async_impl:
            return False
        if not self._is_http():
            return True
        return info.get("partial", True) and _gives_parts(
            self._url, partial(_asked, self._system, self._path)
        )

    def _fetch(self, start: int, stop: int) -> bytes:
        with self._named():
            data = bytes(self._system.cat_file(self._path, start=start, end=stop))
        if len(data) != stop - start:
            raise InputError("it became another file while it was read, or its server cuts it", self._label)
        return data

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Say of which input an error is, and what it means."""
        try:
            yield
        except ZstructError:
            raise
        except ImportError as error:
            protocol = self._url.split("::")[-1].partition("://")[0]
            extra = _EXTRAS.get(protocol)
            how = f"pip install 'zstruct[{extra}]'" if extra else str(error)
            raise MissingExtraError(f"{self._label}: this kind of URL needs a package: {how}") from error
        except Exception as error:
            known = why_refused(error)
            if known is None:
                raise
            _forget(error)
            why = known.why
            for secret in _secrets(self._url, self._options):
                why = why.replace(secret, _HIDDEN)
            if known.passes:  # what has been read is kept, and the same call goes on
                raise StoreAccessError(f"{self._label}: can't be read: {why}") from error
            raise InputError(f"can't be read: {why}", self._label) from error


def _forget(error: BaseException) -> None:
    """Let go of what the functions had in hand that an error came through.

    fsspec's has the error itself: together with all who called they would stay until garbage is collected.
    """
    for one in causes(error):
        traceback.clear_frames(one.__traceback__)


async def _gives_a_byte(system: Any, path: str) -> bool:
    session = await system.set_session()
    headers = {**system.kwargs.get("headers", {}), "Range": "bytes=0-0"}
    async with session.get(system.encode_url(path), **{**system.kwargs, "headers": headers}) as answer:
        answer.raise_for_status()
        return bool(answer.status == 206)


def _asked(system: Any, path: str) -> bool:
    from fsspec.asyn import sync

    return bool(sync(system.loop, _gives_a_byte, system, path))


_ANSWERS: dict[str, bool] = {}


def _gives_parts(url: str, ask: Callable[[], bool]) -> bool:
    """Return what a server answered for a URL; each process asks once."""
    if url not in _ANSWERS:
        _ANSWERS[url] = ask()
    return _ANSWERS[url]


class _Parts(io.RawIOBase):
    """A stream of what is fetched part by part.

    Parameters
    ----------
    fetch
        Returns the bytes from one place to another.
    size
        How many there are.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int):
        self._fetch, self._size, self._at = fetch, size, 0
        self._held, self._first, self._ahead = b"", 0, _FIRST_BYTES

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can seek."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place; return it."""
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def tell(self) -> int:
        """Return where it is."""
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer; return how much there was."""
        room = memoryview(buffer)[: max(0, self._size - self._at)]
        done = 0
        while done < len(room):
            end = self._first + len(self._held)
            if not self._first <= self._at < end:
                follows = self._at == end and end > 0
                self._ahead = min(2 * self._ahead, _MOST_BYTES) if follows else _FIRST_BYTES
                stop = min(self._at + max(len(room) - done, self._ahead), self._size)
                self._held, self._first = self._fetch(self._at, stop), self._at
            begin = self._at - self._first
            part = memoryview(self._held)[begin : begin + len(room) - done]
            room[done : done + len(part)] = part
            done += len(part)
            self._at += len(part)
        return done


class _Opened(io.RawIOBase):
    """A stream of a file that is open on a file system of fsspec.

    Parameters
    ----------
    file
        The file.
    named
        In which what fails is said of the input.
    """

    def __init__(self, file: Any, named: Callable[[], Any]):
        self._file, self._named = file, named

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can seek."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place; return it."""
        with self._named():
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """Return where it is."""
        return int(self._file.tell())

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer; return how much there was."""
        room = memoryview(buffer)
        done = 0
        with self._named():
            while done < len(room) and (data := self._file.read(len(room) - done)):
                room[done : done + len(data)] = data
                done += len(data)
        return done

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


_COPIES: dict[tuple[str, ...], str] = {}
_FOLDER: list[tempfile.TemporaryDirectory[str]] = []
_LOCK = threading.Lock()


def _copied(url: str, version: tuple[str, ...], download: Callable[[str], None]) -> str:
    """Return the path of a copy of what comes in one piece only; few are kept, while the process lives."""
    key = (url, *version)
    with _LOCK:
        if not _FOLDER:
            _FOLDER.append(tempfile.TemporaryDirectory(prefix="zstruct-"))
        path = _COPIES.pop(key, "")
        if not path:
            while len(_COPIES) >= _MOST_COPIES:
                os.unlink(_COPIES.pop(next(iter(_COPIES))))  # who has it open goes on reading it
            handle, path = tempfile.mkstemp(dir=_FOLDER[0].name)
            os.close(handle)
            download(path)
        _COPIES[key] = path
        return path
