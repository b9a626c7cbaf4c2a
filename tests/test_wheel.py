"""The wheel has all that is in the package: scripts, styles, what others wrote, and the licences of that."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.long
def test_every_file_of_the_package_is_in_the_wheel(tmp_path):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    made = subprocess.run([*command, "-w", tmp_path, ROOT], capture_output=True, text=True, check=False)
    if "No matching distribution found for hatchling" in made.stderr:
        pytest.skip("hatchling can't be had, which makes the wheel")
    assert made.returncode == 0, made.stderr
    (wheel,) = tmp_path.glob("zstruct-*.whl")
    there = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("zstruct/")}
    files = (path for path in (ROOT / "zstruct").rglob("*") if path.is_file())
    ours = {file.relative_to(ROOT).as_posix() for file in files if "__pycache__" not in file.parts}
    assert there == ours
    page = "zstruct/reporting/live_page"
    assert there >= {f"{page}/index.html", f"{page}/vendor/zarrita.js", f"{page}/vendor/LICENSES.txt"}
    assert "zstruct/reporting/assets/viewer.js" in there
