"""Draw the pictures of the pages, ``docs/pictures``, from the bundled sample.

    python docs/make_pictures.py

Drawings need matplotlib. Pictures of pages need Chromium, too (``chromium``, or ``$CHROMIUM``), and are left
as they are without it. ``packed.svg`` is drawn by ``make_packed.py``.
"""

import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import zstruct  # noqa: E402
from tests.chromium import Browser, executable  # noqa: E402
from zstruct.features import Chebyshev  # noqa: E402
from zstruct.reporting.live_server import file_server  # noqa: E402

FOLDER = Path(__file__).with_name("pictures")
STYLE = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}

SHOWN = 402  # a slab with an adsorbate

#: Both pages show a structure when its number is given; the one that reads a store has a form for it.
SHOW = f"""(async () => {{
    const until = async (holds) => {{ while (!holds()) await new Promise(go => setTimeout(go, 20)); }};
    const number = document.getElementById("number"), form = document.getElementById("go");
    const said = document.documentElement.dataset;
    if (form) await until(() => said.ready === "yes");
    number.value = {SHOWN};
    form ? form.requestSubmit() : number.dispatchEvent(new Event("change"));
    if (form) await until(() => said.shown === "{SHOWN}");
    document.getElementById("forces").click();
    await new Promise(go => setTimeout(go, 500));
}})()"""


def make_store(path: Path) -> None:
    """Build the store that pictures are of, with features, a map and labels."""
    zstruct.build(str(ROOT / "tests/data/sample/*.xyz"), path, progress=False)
    elements = zstruct.open(path).zs.elements
    cheb = Chebyshev(elements, rad_order=8, rad_cutoff=5.0, ang_order=3, ang_cutoff=3.5)
    zstruct.featurize(path, cheb, name="cheb", progress=False)
    zstruct.project(path, "cheb", name="map")
    zstruct.split(path, [0.8, 0.1, 0.1], name="default", stratify="config_type")
    zstruct.fit_references(path, name="default")
    store, rng = zstruct.Store(path), np.random.default_rng(0)
    energy, forces = store.read("energy"), store.read("forces")
    zstruct.labels.add(
        path,
        "student",
        energy=energy + 0.05 * store.read("n_atoms") * rng.normal(size=len(energy)),
        forces=forces + (0.05 + 0.1 * abs(forces)) * rng.normal(size=forces.shape),
    )


def drawings(path: Path) -> dict[str, Callable[[], Any]]:
    """Return what makes axes with a drawing, by the name of the picture."""
    ds = zstruct.open(path)
    bound = ds.zs.select("n_atoms > 1")  # single atoms lie far to the right
    return {
        "energies": partial(bound.zs.plot_energies, by="config_type"),
        "forces": partial(ds.zs.plot_forces, by="element"),
        "sizes": ds.zs.plot_sizes,
        "composition": ds.zs.plot_composition,
        "parity": partial(zstruct.compare(path, "student").plot, "forces"),
        "map": partial(draw_map, path),
    }


def draw_map(path: Path) -> Any:
    """Draw the map of all structures, and which of them farthest points are."""
    ax = plt.figure(figsize=(6.4, 3.6), layout="constrained").subplots()
    ds = zstruct.open(path)
    x, y = ds.zs.features("map").values.T
    for name in np.unique(ds.config_type.values.astype(str)):
        chosen = ds.config_type.values == name
        ax.scatter(x[chosen], y[chosen], s=12, alpha=0.6, linewidths=0, label=name)
    picks = zstruct.farthest(25, "cheb").picks(zstruct.Store(path)).structures
    ax.scatter(x[picks], y[picks], s=60, facecolors="none", edgecolors="black", label="farthest 25")
    ax.set(xlabel="first principal component", ylabel="second principal component")
    ax.legend(fontsize=8, ncols=2)
    return ax


def draw(path: Path, folder: Path) -> None:
    """Save all drawings."""
    with plt.rc_context(STYLE):
        for name, draws in drawings(path).items():
            figure = draws().figure
            figure.savefig(folder / f"{name}.png", dpi=120)
            plt.close(figure)
            shrink(folder / f"{name}.png")


def photograph(path: Path, folder: Path) -> None:
    """Save pictures of the page of a store, and of the page that reads it."""
    program = executable()
    if program is None:
        print("there is no Chromium: pictures of pages stay as they are")
        return
    report = path.with_name("report.html")
    zstruct.report(path, report, features="map")
    zstruct.live_report(path, path.with_name("live"), by="config_type")
    server = file_server(path.parent, [path.parent])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    browser = Browser(program, str(path.parent))
    try:
        for name, where in (("report", report), ("live", f"http://127.0.0.1:{server.server_port}/live/")):
            page = browser.page(where, 1100, 736)
            page.evaluate(SHOW)
            page.screenshot(folder / f"{name}.png")
            shrink(folder / f"{name}.png")
    finally:
        browser.close()
        server.shutdown()
        thread.join()
        server.server_close()


def shrink(file: Path, colours: int = 256) -> None:
    """Write a picture with few colours, which makes it small; rare ones, as those of legends, stay."""
    picture = Image.open(file).convert("RGB")
    few = picture.quantize(colours, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(file, optimize=True)


def main(folder: Path = FOLDER) -> None:
    """Make all pictures anew."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "train.zarr"
        make_store(path)
        draw(path, folder)
        photograph(path, folder)


if __name__ == "__main__":
    main()
