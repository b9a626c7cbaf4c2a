"""Links from signatures to the pages of other projects, with their inventories or without.

Signatures have names as the source writes them, such as `np.int64`; inventories have `numpy.int64`. Without a
network there are no inventories, and a few rules say where the names lie that signatures have. With
``ZSTRUCT_DOCS_ONLINE=1`` intersphinx fetches the inventories, and knows all names.
"""

import os
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

ONLINE = os.environ.get("ZSTRUCT_DOCS_ONLINE") == "1"

INVENTORIES = {
    "python": "https://docs.python.org/3",
    "numpy": "https://numpy.org/doc/stable",
    "xarray": "https://docs.xarray.dev/en/stable",
    "pandas": "https://pandas.pydata.org/docs",
    "torch": "https://docs.pytorch.org/docs/stable",
    "zarr": "https://zarr.readthedocs.io/en/stable",
    "dask": "https://docs.dask.org/en/stable",
    "distributed": "https://distributed.dask.org/en/stable",
    "ase": "https://ase-lib.org",
    "matplotlib": "https://matplotlib.org/stable",
}

SHORT = {"np": "numpy", "xr": "xarray", "pd": "pandas"}
WHOLE = {
    name.rpartition(".")[2]: name
    for name in """
    collections.abc.Callable collections.abc.Iterable collections.abc.Iterator collections.abc.Mapping
    collections.abc.Sequence typing.Any typing.Literal pathlib.Path numpy.typing.NDArray
    numpy.typing.ArrayLike numpy.typing.DTypeLike ase.Atoms distributed.Client matplotlib.axes.Axes
    torch.Tensor torch.utils.data.Sampler
    """.split()
}

#: Pages, by the beginning of a name; the first that fits.
PAGES = {
    "collections.abc.": "python/library/collections.abc.html#{}",
    "typing.": "python/library/typing.html#{}",
    "pathlib.": "python/library/pathlib.html#{}",
    "os.": "python/library/os.html#{}",
    "numpy.typing.": "numpy/reference/typing.html#{}",
    "numpy.ndarray": "numpy/reference/generated/{}.html",
    "numpy.dtype": "numpy/reference/generated/{}.html",
    "numpy.": "numpy/reference/arrays.scalars.html#{}",
    "xarray.Data": "xarray/generated/{}.html",
    "pandas.DataFrame": "pandas/reference/api/{}.html",
    "torch.Tensor": "torch/tensors.html#{}",
    "torch.device": "torch/tensor_attributes.html#{}",
    "torch.utils.data.": "torch/data.html#{}",
    "distributed.": "distributed/api.html#{}",
    "ase.Atoms": "ase/ase/atoms.html#{}",
    "matplotlib.axes.": "matplotlib/api/_as_gen/{}.html",
}


def whole(name: str) -> str:
    """Return a name with the module that documents it.

    >>> whole("np.int64"), whole("NDArray"), whole("os.PathLike")
    ('numpy.int64', 'numpy.typing.NDArray', 'os.PathLike')
    """
    name = re.sub(r"^xarray\.core\.\w+\.", "xarray.", name)
    first, dot, rest = name.partition(".")
    return SHORT[first] + dot + rest if dot and first in SHORT else WHOLE.get(name, name)


def address(name: str) -> str | None:
    """Return the URL of a whole name, or None.

    >>> address("os.PathLike")
    'https://docs.python.org/3/library/os.html#os.PathLike'
    """
    page = next((page for begin, page in PAGES.items() if name.startswith(begin)), None)
    if page is None:
        return None
    project, _, rest = page.partition("/")
    return f"{INVENTORIES[project]}/{rest.format(name)}"


def write_out(app: Sphinx, env: Any, node: Any, shown: nodes.Element) -> None:
    """Give a reference its whole name, by which inventories know it."""
    if node.get("refdomain") == "py":
        node["reftarget"] = whole(node["reftarget"])


def look_up(app: Sphinx, env: Any, node: Any, shown: nodes.Element) -> nodes.reference | None:
    """Return a link to what no inventory has."""
    found = address(node["reftarget"]) if node.get("refdomain") == "py" else None
    if found is None:
        return None
    return nodes.reference("", "", shown, internal=False, refuri=found, reftitle=node["reftarget"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect what is above with Sphinx; intersphinx comes between the two."""
    if ONLINE:
        app.setup_extension("sphinx.ext.intersphinx")
        app.config.intersphinx_mapping = {name: (url, None) for name, url in INVENTORIES.items()}
    app.connect("missing-reference", write_out, priority=400)
    app.connect("missing-reference", look_up, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
