"""How Sphinx makes the site: ``make docs``."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import zstruct  # noqa: E402

project = "zstruct"
author = "the zstruct developers"
release = version = zstruct.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"zstruct {release}"

myst_heading_anchors = 3

# Torch is large and is not needed to read the docstrings of what loads it.
autodoc_mock_imports = ["torch"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
default_role = "code"
napoleon_google_docstring = False
napoleon_use_rtype = False
