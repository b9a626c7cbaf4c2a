"""`report`: a page about a store, as a file or in a notebook."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass, field, replace
from typing import Any

from zstruct.arguments import check
from zstruct.disk import writing
from zstruct.errors import InputError
from zstruct.exporters.target import ExportTarget
from zstruct.keywords import keywords, takes
from zstruct.parallel import WORKERS
from zstruct.paths_and_urls import is_url, path_of
from zstruct.reporting.findings import find
from zstruct.reporting.options import PageOptions, ReportRequest
from zstruct.reporting.page import page_of
from zstruct.stats.scan import Part
from zstruct.text import counted, sized

__all__ = ["Report", "report", "report_of"]

_FRAME = '<iframe sandbox="allow-scripts" srcdoc="{page}" style="width:100%;height:760px;border:0"></iframe>'


@dataclass(frozen=True, eq=False)
class Report:
    """Result of `zstruct.report`: a page; in a notebook it is shown, and printing it says what is in it.

    Parameters
    ----------
    html
        The page.
    n_structures
        Structures that it is about.
    n_shown
        Structures that are in it, to be looked at.
    sample
        How those were chosen.
    path
        The file that it was written into; None: it was not.
    """

    html: str = field(repr=False)
    n_structures: int
    n_shown: int
    sample: str
    path: str | None = None

    @keywords()
    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the page into a file, all of it or nothing.

        Parameters
        ----------
        path
            The file.
        overwrite
            Whether a file that is there may be replaced.

        Raises
        ------
        StoreExistsError
            If something is there that may not be replaced.
        InputError, WriteError
            If there can be no such file, or the disk is full.
        """
        check(overwrite=overwrite)
        local = _local(path)
        with writing(local, f"{local} is as it was"), ExportTarget(local, overwrite=overwrite) as target:
            target.partial.write_bytes(self.html.encode("utf-8", "replace"))
            target.publish()

    def __str__(self) -> str:
        where = "" if self.path is None else f" in {self.path}"
        size = sized(len(self.html.encode("utf-8", "replace")))
        about = f"report of {counted(self.n_structures, 'structure')}{where}, {size}"
        return f"{about}; to be looked at: {self.sample}"

    def _repr_html_(self) -> str:
        return _FRAME.format(page=html.escape(self.html))


@takes(ReportRequest, WORKERS | {"live": "zstruct.live_report(store) in place of it"})
def report(request: ReportRequest) -> Report:
    """Write a page about a store: one file of HTML that works anywhere, with structures that can be turned.

    It has a summary, the fields and who has them, sizes, energies, raw and less references, by group, forces
    by element, stress, elements, shortest distances, splits beside each other, duplicates and leaks, and
    outliers; and a map of structures beside a viewer. All structures are counted; those that can be looked at
    are a sample of up to 20,000, which has some of each group and all that are named on the page. Nothing is
    loaded from elsewhere. A page that reads the store itself, however large, is `zstruct.live_report`.

    In memory are about 40 bytes for each structure, and 150 more for those that are compared.

    Raises
    ------
    InputError
        If an argument can't be used, there is no structure, or an element has no reference energy.
    UnknownNameError
        If there is no such field.
    StoreExistsError, WriteError
        If the file is there already and `overwrite` was not given, or can't be written.
    StaleGroupError
        If features or references that are asked for are of other content than the store has now.
    StoreFormatError, ChangedInputError
        As for `zstruct.duplicates`.

    Examples
    --------
    >>> import tempfile, ase.build, zstruct
    >>> folder = tempfile.mkdtemp()
    >>> molecules = [ase.build.molecule(name) for name in ("H2O", "CH4", "C2H6")]
    >>> built = zstruct.build(molecules, folder + "/molecules.zarr", progress=False)
    >>> made = zstruct.report(folder + "/molecules.zarr", folder + "/report.html")
    >>> made.n_shown, made.sample
    (3, 'all 3 structures')
    """
    out = request.out
    if out is not None:
        ExportTarget(_local(out), overwrite=request.overwrite).check()  # before all the work
    part = Part.of(request.store, None, request.storage_options, request.select)
    made = report_of(part, request)
    if out is None:
        return made
    made.save(out, overwrite=request.overwrite)
    return replace(made, path=os.fspath(out))


def _local(path: Any) -> str:
    """Return the path of a page, which is in a local file.

    Raises
    ------
    InputError
        If it is a URL, or there is a directory.
    """
    local = path_of(path, "a report")
    if is_url(local):
        raise InputError(f"reports go to local files, not to {local}: make one here and copy that")
    if os.path.isdir(local):
        raise InputError(
            f"{local} is a directory: name a file in it, as {os.path.join(local, 'report.html')}"
        )
    return local


def report_of(part: Part, options: PageOptions) -> Report:
    """Return a page about some structures of a store, in no file.

    Parameters
    ----------
    part
        The structures.
    options
        What it shows.
    """
    found = find(part, options)
    return Report(page_of(found), len(part), found.points.about["n"], found.sample.told)
