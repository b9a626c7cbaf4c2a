"""``zstruct live`` writes a page, and serves it."""

import functools
import re
import signal
import subprocess
import sys
import threading
import urllib.request

import ase.build

import zstruct
from zstruct import cli


def test_a_page_is_written_and_served(tmp_path, capsys):
    path = tmp_path / "x.zarr"
    zstruct.build([ase.build.molecule("H2O")], path, progress=False)
    assert cli.main(["live", str(path), "--sample", "5"]) == 0
    assert "sample of 1 of 1 structure, put into the store" in capsys.readouterr().out
    assert cli.main(["info", str(path)]) == 0
    assert "index/sample: The one structure of the store" in capsys.readouterr().out
    assert cli.main(["live", str(path), "--sample", "0"]) == 1
    assert "sample" in capsys.readouterr().err
    command = [sys.executable, "-m", "zstruct", "live", str(path), "-o", str(tmp_path / "page"), "--serve"]
    # Whoever runs the tests may ignore interruptions.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heed) as running:
        limit = threading.Timer(60, running.kill)
        limit.start()
        url = next(found[0] for line in running.stdout if (found := re.match(r"http://\S+", line)))
        assert url.endswith("/page/")
        with urllib.request.urlopen(url) as page:
            assert b"<title>zstruct</title>" in page.read()
        part = urllib.request.Request(f"{url}../x.zarr/positions/c/0/0", headers={"Range": "bytes=-4"})
        with urllib.request.urlopen(part) as answer:
            assert (answer.status, len(answer.read())) == (206, 4)
        running.send_signal(signal.SIGINT)
        assert running.wait() == 0
        limit.cancel()


def test_a_report_can_be_live(tmp_path, capsys):
    path, out = tmp_path / "x.zarr", tmp_path / "page"
    zstruct.build([ase.build.molecule("H2O")], path, progress=False)
    assert cli.main(["report", str(path), "--live", "-o", str(out)]) == 0
    assert (out / "index.html").is_file()
    assert cli.main(["report", str(path), "--live", "--most", "3"]) == 1
    assert "no use for most: with --live give -o and --by only" in capsys.readouterr().err
    assert cli.main(["report", str(path)]) == 1
    assert "say where to write the page, -o FILE" in capsys.readouterr().err
