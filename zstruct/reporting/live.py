"""Write a page that reads a store by itself, in the browser, from any server of files.

The page is a folder of static files, the same for all stores but for one, which says where the store is. What
it shows at first is the sample that is kept in the store.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from zstruct.arguments import Option, count, require, shown
from zstruct.disk import WholeFile, bytes_within, writing
from zstruct.elements import SYMBOLS
from zstruct.errors import InputError
from zstruct.keywords import keywords
from zstruct.paths_and_urls import check_writable
from zstruct.reporting.live_sample import Sample, kept_sample
from zstruct.reporting.scripts import STYLE, asset, look_module
from zstruct.store.store import Store
from zstruct.text import counted, sized
from zstruct.to_ase import element_look

__all__ = ["LiveReport", "live_report"]

_SAID = "live.json"
_SIZE = 20_000
_NAME = Option("a text, or None", lambda value: value is None or isinstance(value, str))


@dataclass(frozen=True)
class LiveReport:
    """Result of `zstruct.live_report`; printing it says how to look at it.

    Parameters
    ----------
    path
        The folder of the page.
    store
        The store, where the page looks for it: a path from that folder, or a URL.
    served
        The folder that a server has to serve, if it is to have both; None if the store is elsewhere.
    n_sampled
        Structures in the sample.
    n_structures
        Structures of the store.
    sampled
        How the sample was drawn, in words.
    sample_made
        Whether this call put the sample into the store; it may have been there.
    nbytes
        Bytes of the page, without the store.
    """

    path: str
    store: str
    served: str | None
    n_sampled: int
    n_structures: int
    sampled: str
    sample_made: bool
    nbytes: int

    def __str__(self) -> str:
        did = "put into the store" if self.sample_made else "in the store already"
        sample = f"sample of {self.n_sampled:,} of {counted(self.n_structures, 'structure')}, {did}"
        if self.served is None:
            how = f"put it on a web server; it reads {self.store}"
        else:
            folder = os.path.relpath(self.path, self.served)
            how = f"serve {self.served} and open {Path(folder).as_posix()}/; it reads {self.store}"
        return f"{self.path}: page, {sized(self.nbytes)}; {sample}\n{how}"


@keywords({"most": "sample=...", "url": "store_url=..."})
def live_report(
    store: str | os.PathLike[str] | Store,
    out: str | os.PathLike[str] | None = None,
    *,
    by: str | None = None,
    sample: int = _SIZE,
    store_url: str | None = None,
) -> LiveReport:
    """Write a page that reads a store in the browser, by ranges of its files, from any server of files.

    It shows a sample of the structures, which is kept in the store as the group ``index/sample``, and any
    structure when it is asked for: then the chunks that hold it are read, and no others. There is no program
    behind it; the server has to answer range requests, as nginx, Apache, Caddy and object stores do.

    For one file, without a store and a server, see `zstruct.report`. In a shell this is ``zstruct live``.

    When the store changes, the page says that its sample is of other content, or gone: call this again.
    Nothing is drawn again that is still right.

    Parameters
    ----------
    store
        The store, in a local directory.
    out
        The folder to make, or one that has such a page, which is replaced; by default that beside the store
        whose name ends in ``-live`` in place of ``.zarr``.
    by
        The category by which the sample is drawn: of each text at least some. By default ``config_type``,
        ``head``, another one, or ``source``: the first that has between 2 and 256 texts.
    sample
        How many structures are in the sample, up to 20,000.
    store_url
        Where browsers find the store, if not beside the page as it is here: a URL, or a path from the page.

    Raises
    ------
    InputError
        If the folder has other files, or the store is behind a URL.
    BuildLockedError
        If another process is writing groups into the store.
    StoreFormatError
        If there is no finished store.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> path = tempfile.mkdtemp() + "/molecules.zarr"
    >>> molecules = [ase.build.molecule(name) for name in ("H2O", "CO2", "CH4")]
    >>> report = zstruct.build(molecules, path, progress=False)
    >>> page = zstruct.live_report(path)
    >>> page.store, page.sampled
    ('../molecules.zarr', 'All 3 structures of the store.')
    """
    path = check_writable(store.path if isinstance(store, Store) else store)
    size = count("sample", sample, 1, _SIZE)
    opened = Store(path)
    require("by", _NAME, by)
    require("store_url", _NAME, store_url)
    if by is not None:
        _check_category(opened, by)
    folder = _folder(path, out)
    served = None
    if store_url is None:
        real, page = os.path.realpath(path), os.path.realpath(folder)
        store_url = quote(Path(os.path.relpath(real, page)).as_posix())
        served = os.path.commonpath([real, page])
    kept = kept_sample(opened, size, by)
    with writing(folder, "the page is not whole yet"):
        _write(folder, _said(opened, store_url))
    return _report(folder, opened, store_url, served, kept)


def _check_category(store: Store, name: str) -> None:
    field = store.fields.get(name)
    if field is None or field.kind != "category":
        there = sorted(one for one, said in store.fields.items() if said.kind == "category")
        raise InputError(
            f"{store.path} has no category {shown(name)} to draw a sample by; "
            f"it has {', '.join(there) or 'none'}"
        )


def _folder(store: str, out: str | os.PathLike[str] | None) -> Path:
    """Return the folder of the page, which has no other files."""
    if out is None:
        given = Path(os.path.abspath(store))
        folder = given.with_name(f"{given.name.removesuffix('.zarr')}-live")
    else:
        folder = Path(check_writable(out, "a page is written"))
    real, inside = os.path.realpath(folder), os.path.realpath(store)
    if os.path.commonpath([real, inside]) == inside:
        raise InputError(f"{folder} is in the store: choose a folder beside it for the page")
    if folder.exists() and not (folder / _SAID).exists() and any(folder.iterdir()):
        raise InputError(
            f"{folder} has other files: choose a folder that is new or empty, or has such a page"
        )
    return folder


def _said(store: Store, url: str) -> bytes:
    """Return what the page is told of the store."""
    said = {
        "store": url,
        "name": Path(os.path.abspath(store.path)).name,
        "digest": store.digest,
        "n_structures": store.n_structures,
        "elements": [element_look(z) for z in range(len(SYMBOLS))],
    }
    return json.dumps(said).encode("ascii", "backslashreplace")


def _write(folder: Path, said: bytes) -> None:
    """Write all files of the page, what says where the store is at last."""
    for name, content in {**_files(), _SAID: said}.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with WholeFile(target, durable=name == _SAID) as whole_file:
            whole_file.file.write(content)


@cache
def _files() -> dict[str, bytes]:
    """Return the files that all pages have, by their paths in the folder."""
    own = resources.files("zstruct") / "reporting" / "live_page"
    shared = {STYLE: asset(STYLE), "look.js": look_module()}
    return {name: text.encode() for name, text in shared.items()} | {
        inside + entry.name: entry.read_bytes()
        for folder, inside in ((own, ""), (own / "vendor", "vendor/"))
        for entry in folder.iterdir()
        if entry.is_file()
    }


def _report(folder: Path, store: Store, url: str, served: str | None, kept: Sample) -> LiveReport:
    n = store.n_structures
    return LiveReport(str(folder), url, served, kept.n, n, kept.description, kept.made, bytes_within(folder))
