"""How Sphinx makes the site: ``make docs``."""

import inspect
import shutil
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import zstruct  # noqa: E402

project = "zstruct"
author = project_copyright = "the zstruct developers"
release = version = zstruct.__version__

extensions = [
    "myst_nb",
    "api_pages",
    "others",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "zarrita"]
html_theme = "furo"
html_title = f"zstruct {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]

myst_heading_anchors = 3

# Notebooks are kept with what they printed and drew; the tests run them.
nb_execution_mode = "off"
# What is copied are commands, without prompts and without what they print.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Torch is large and is not needed to read the docstrings of what loads it.
autodoc_mock_imports = ["torch"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autosummary_generate = False
maximum_signature_line_length = 88
default_role = "code"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_attr_annotations = False  # signatures have them


def copy_notebooks(app: Sphinx) -> None:
    """Bring the notebooks to where Sphinx finds them."""
    target = HERE / "notebooks"
    target.mkdir(exist_ok=True)
    for notebook in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
        shutil.copyfile(notebook, target / notebook.name)


def words_before_a_colon(
    app: Sphinx, what: str, name: str, documented: Any, options: Any, lines: list[str]
) -> None:
    """Put back what a property's description says before a colon, which napoleon takes for its type."""
    for line in [line for line in lines if line.startswith(":type: ")]:
        lines.remove(line)
        lines[0] = f"{line.removeprefix(':type: ')}: {lines[0]}"


def signature_as_written(
    app: Sphinx,
    what: str,
    name: str,
    documented: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str] | None:
    """Return parameters and result with the types as the source writes them.

    Sphinx would write out what ``ArrayLike`` stands for, and of a class whose base is mocked show the mock.
    """
    function = documented.__init__ if inspect.isclass(documented) else documented
    if signature is None or not (getattr(function, "__module__", None) or "").startswith("zstruct"):
        return None
    own = inspect.signature(function)
    parameters = [one for one in own.parameters.values() if one.name not in ("self", "cls")]
    result = "" if function is not documented or own.return_annotation is own.empty else own.return_annotation
    return stringify_signature(own.replace(parameters=parameters), show_return_annotation=False), result


def setup(app: Sphinx) -> None:
    """Connect what is above with Sphinx."""
    app.connect("builder-inited", copy_notebooks)
    app.connect("autodoc-process-docstring", words_before_a_colon, priority=600)
    app.connect("autodoc-process-signature", signature_as_written)
