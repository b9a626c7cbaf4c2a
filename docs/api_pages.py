"""Tables of names on the page of the Python interface, and ways back from sources to its pages."""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

FOLDER = Path(__file__).parent / "api"
HEADING = re.compile(r"^## \[[^\]]+\]\(api/(\w+)\.md\)\n", re.MULTILINE)
PART = re.compile(r"^## (.+)\n|^\.\. auto\w+:: (\S+)", re.MULTILINE)
TABLE = "```{{eval-rst}}\n.. autosummary::\n   :nosignatures:\n\n{}\n```\n"


def parts(page: Path) -> dict[str, list[str]]:
    """Return the names that a page documents, by the heading that they are under."""
    found: dict[str, list[str]] = {}
    under = ""
    for heading, name in PART.findall(page.read_text(encoding="utf-8")):
        if heading:
            found[under := heading] = []
        else:
            found.setdefault(under, []).append(name)
    return found


def tables(page: Path) -> str:
    """Return a table of names and their summaries for each heading of a page."""
    written = []
    for heading, names in parts(page).items():
        table = TABLE.format("\n".join(f"   {name}" for name in names))
        written.append(f"**{heading}**\n\n{table}" if heading else table)
    return "\n".join(written)


def fill(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the tables of each page under its heading on the page of the whole interface."""
    if docname == "api":
        source[0] = HEADING.sub(lambda m: f"{m[0]}\n{tables(FOLDER / f'{m[1]}.md')}", source[0])


def ways_back(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Mark what is documented by the names that viewcode uses for ways back from sources.

    It takes all that a module has to be documented under the name of that module which it met first.
    """
    modules: dict[str, Any] = getattr(app.env, "_viewcode_modules", {})
    places = {(module, name): entry[3] for module, entry in modules.items() if entry for name in entry[2]}
    for signature in doctree.findall(addnodes.desc_signature):
        for source in signature.findall(nodes.reference):
            path, _, name = source.get("refuri", "").partition("_modules/")[2].partition("#")
            known = places.get((path.removesuffix(".html").replace("/", "."), name))
            if known and f"{known}.{name}" not in signature["ids"]:
                signature["ids"].append(f"{known}.{name}")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect what is above with Sphinx."""
    app.connect("source-read", fill)
    app.connect("doctree-resolved", ways_back)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
