"""Write ``docs/formats.md``, what can be read and written, from the tables of sources and exporters.

    python docs/make_formats.py

A test fails when the page and the tables differ.
"""

import importlib
import inspect
import re
from pathlib import Path

from ase.io.formats import ioformats

from zstruct.exporters import registry as exporters
from zstruct.sources import formats as sources
from zstruct.sources.compression import SUFFIXES

PAGE = Path(__file__).with_name("formats.md")

HEAD = """\
<!-- Written by docs/make_formats.py from the registries of sources and exporters; don't edit. -->
# Formats

What [`zstruct.build`](building.md) reads and `zstruct.export` writes. `zstruct formats` prints the same,
and says what is installed here.

"""

READS = """\
## Read

A name is what `reader=` takes; it is needed only where neither the name of a file nor its beginning tells.
Any of these may be behind a URL. Files may be compressed (COMPRESSIONS), all but those of
SEEKING, which are read here and there. What no
reader of ours knows is given to [ASE](ase.md), under `reader="ase:FORMAT"` if need be. Where units are
*open*, the format does not say them, and a build asks you for `units=`.

"""

WRITES = """
## Written

A name is what `format=` takes; where the name of the target ends as below, it need not be given. Units are
those of the store (eV, angstrom), unless something else is said. What a format can't carry, the last column,
is in `ExportReport.lost`, and printed, where a store has it; what is refused is an error. A file from which
nothing is missing is built into the same store again.

"""


def page() -> str:
    """Return the whole page."""
    read = {row.name: row for row in sources.FORMATS}
    written = {row.name: row for row in exporters.FORMATS}
    rows = [
        _line(f"[`{row.name}`](#{row.name})", row.title, _files(row), row.units, _code(row.extra))
        for row in read.values()
    ]
    compressions = ", ".join(f"`{suffix}`" for suffix in SUFFIXES)
    seeking = _listed([f"`{row.name}`" for row in read.values() if row.seeks])
    text = HEAD + READS.replace("COMPRESSIONS", compressions).replace("SEEKING", seeking)
    text += "\n".join(["| name | format | files | units | needs |", "|---|---|---|---|---|", *rows, ""])
    rows = [
        _line(f"[`{out.name}`](#{out.name})", out.title, _suffixes(out), _code(out.extra), _limits(out))
        for out in written.values()
    ]
    head = ["| name | format | files | needs | cannot carry |", "|---|---|---|---|---|"]
    text += WRITES + "\n".join([*head, *rows, ""])
    text += "\n## In detail\n"
    for name in dict.fromkeys([*read, *written]):
        text += f"\n({name})=\n### {name}\n"
        parts = [("", read[name].module, read[name].source)] if name in read else []
        parts += [("**Written.** ", written[name].module, written[name].exporter)] if name in written else []
        for before, module, kind in parts:
            text += f"\n{before}{_prose(getattr(importlib.import_module(module), kind))}\n"
    return text


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _listed(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _suffixes(row: sources.Format | exporters.Format) -> str:
    return ", ".join(f"`{suffix}`" for suffix in row.suffixes)


def _limits(row: exporters.Format) -> str:
    """Return what a format can't carry."""
    return "; ".join(getattr(importlib.import_module(row.module), row.exporter).limits.words())


def _files(row: sources.Format) -> str:
    folder = " and ".join(f"`{name}`" for name in row.folder)
    told = "by how they begin" if row.matches is not None else ""
    if row.begins is not None:  # in directories, by the names that ASE knows
        names = [f"`{pattern}`" for format in row.ase for pattern in ioformats[format].globs]
        told = ", ".join([*names, "named ones by how they begin"])
    return "; ".join(
        text for text in (_suffixes(row), told, f"a folder with {folder}" if folder else "") if text
    )


def _prose(kind: type) -> str:
    """Return what a class says before its parameters, in Markdown."""
    text = re.split(r"\n\n[A-Z]\w+\n-{4,}\n", inspect.getdoc(kind) or "", maxsplit=1)[0]
    text = re.sub(r"``(.+?)``", r"`\1`", text)
    return re.sub(r"(?<!`)`zstruct\.[\w.]+\.(\w+)`", r"`\1`", text)


if __name__ == "__main__":
    PAGE.write_text(page())
