"""`zstruct.warmup` compiles every kernel, and what it compiled is what is used later."""

import subprocess
import sys
import textwrap
from pathlib import Path

from zstruct import cli
from zstruct.precompilation import FAMILIES

CODE = """
    import sys
    import zstruct
    from zstruct import precompilation

    folders = zstruct.warmup()
    kernels = precompilation.kernels()
    assert len(kernels) > 30
    assert {kernel.__module__ for kernel in kernels} == set(precompilation.FAMILIES)
    assert [kernel.__name__ for kernel in kernels if not kernel.compiled().signatures] == []
    assert len(folders) == len(precompilation.FAMILIES)
    print("done")
"""


def test_all_kernels_are_compiled(capsys):
    # With the cache of the tests, so that this is fast but for the first time.
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CODE)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "done\n", done.stderr
    assert cli.main(["warmup"]) == 0
    again = capsys.readouterr()
    assert again.err == ""
    assert again.out.startswith(f"{len(FAMILIES)} files of kernels compiled; kept in ")


def test_every_file_of_kernels_is_known():
    from zstruct import precompilation

    package = Path(precompilation.__file__).parent
    found = {
        ".".join(["zstruct", *path.relative_to(package).with_suffix("").parts])
        for path in package.rglob("*.py")
        if "\n@kernel" in path.read_text()
    }
    assert found == set(precompilation.FAMILIES)


def test_nothing_to_keep_it_in_is_said(monkeypatch, capsys):
    import zstruct

    monkeypatch.setattr(zstruct, "warmup", list)
    assert cli.main(["warmup"]) == 1
    assert "set NUMBA_CACHE_DIR" in capsys.readouterr().err
