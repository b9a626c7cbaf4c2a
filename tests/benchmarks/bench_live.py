"""The page that reads a store itself: what it fetches of one of 10 million structures, and how soon it draws.

The structures have two or three atoms, decimal energies and forces and one of 40 labels. Files are served
from the page cache on this machine. Fetched bytes are those of all answers, the page itself among them.
"""

import shutil
import tempfile
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np

import zstruct
from tests.benchmarks.common import machine, median, show
from tests.chromium import Browser, executable
from tests.reporting.test_live import READY, Counting, until

_N = 10_000_000
_LOADS, _CHOICES = 5, 20


def main(scale: float = 1.0) -> None:
    print(machine())
    folder = Path(tempfile.mkdtemp(prefix="zstruct-bench-"))
    try:
        _look(folder, int(_N * scale))
    finally:
        shutil.rmtree(folder)


def structures(n):
    """Return `n` structures of two or three atoms."""
    draw = np.random.default_rng(0)
    counts = draw.integers(2, 4, n)
    edges = np.concatenate([[0], np.cumsum(counts)])
    atoms = int(edges[-1])
    return zstruct.sources.arrays(
        positions=draw.integers(-30_000, 30_000, (atoms, 3)) / 1e4,
        numbers=draw.choice(np.array([1, 6, 7, 8, 22], np.uint8), atoms),
        offsets=edges,
        energy=draw.integers(-10_000_000, 0, n) / 1e5,
        forces=draw.integers(-50_000, 50_000, (atoms, 3)) / 1e4,
        config_type=np.array([f"label {k}" for k in range(40)])[draw.integers(0, 40, n)],
    )


def _look(folder: Path, n: int) -> None:
    began = time.perf_counter()
    zstruct.build(structures(n), folder / "x.zarr", progress=False)
    built = time.perf_counter() - began
    began = time.perf_counter()
    made = zstruct.live_report(folder / "x.zarr", folder / "page")
    sampled = time.perf_counter() - began
    print(f"{n:,} structures: built in {built:.0f} s; {made.n_sampled:,} sampled in {sampled:.1f} s")
    program = executable()
    if program is None:
        print("there is no Chromium")
        return
    server = ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    server.folder, server.sent = folder, []
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    browser = Browser(program, folder)
    rows = []
    try:
        loads = [_load(browser, server) for _ in range(_LOADS)]
        rows.append(("first picture", *_told(loads)))
        page = browser.page(f"http://127.0.0.1:{server.server_port}/page/")
        until(page, READY)
        chosen = [_choose(page, server, int(k)) for k in np.random.default_rng(1).integers(0, n, _CHOICES)]
        rows.append(("a structure anywhere", *_told(chosen)))
        page.close()
    finally:
        browser.close()
        server.shutdown()
    show("Medians", rows, ("what", "MB fetched", "requests", "ms"))


def _told(runs: list[tuple[int, int, float]]) -> tuple[str, str, str]:
    nbytes, requests, ms = (median(values) for values in zip(*runs, strict=True))
    return f"{nbytes / 1e6:.2f}", f"{requests:.0f}", f"{ms:.0f}"


def _load(browser: Browser, server: ThreadingHTTPServer) -> tuple[int, int, float]:
    del server.sent[:]
    page = browser.page(f"http://127.0.0.1:{server.server_port}/page/")
    page.call("Network.setCacheDisabled", cacheDisabled=True)
    until(page, READY)
    ms = page.evaluate("performance.getEntriesByName('first-picture')[0].startTime")
    page.close()
    return sum(size for _, _, size in server.sent), len(server.sent), ms


def _choose(page, server: ThreadingHTTPServer, row: int) -> tuple[int, int, float]:
    del server.sent[:]
    began = time.perf_counter()
    page.evaluate(
        f"(document.getElementById('number').value = {row}, document.getElementById('go').requestSubmit())"
    )
    until(page, f"document.documentElement.dataset.shown === '{row}'")
    ms = 1000 * (time.perf_counter() - began)
    return sum(size for _, _, size in server.sent), len(server.sent), ms


if __name__ == "__main__":
    main()
