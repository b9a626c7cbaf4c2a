"""Every module has tests that can be found: in the file of its name, or in one that `tests.mirror` names."""

import subprocess
import sys

import pytest

from tests.mirror import ROOT, THROUGH, files_testing, mirror_of, modules

ELSEWHERE = sorted(module for tested in THROUGH.values() for module in tested)


def test_every_module_has_tests_or_is_tested_through_another():
    without = [module for module in modules() if not files_testing(module)]
    assert without == [], "write tests/.../test_NAME.py for these, or name them in tests/mirror.py"


def test_no_module_is_named_that_has_files_testing_its_own_or_is_gone():
    needless = [name for name in ELSEWHERE if name not in modules() or mirror_of(name).is_file()]
    assert needless == [], "take these out of tests/mirror.py"
    assert len(ELSEWHERE) == len(set(ELSEWHERE))
    assert list(THROUGH) == sorted(THROUGH)
    assert all(tested == sorted(tested) for tested in THROUGH.values())


@pytest.mark.parametrize("test", THROUGH)
def test_what_tests_another_module_exists(test):
    assert (ROOT / "tests" / test).is_file()


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("store/shards", "tests/store/test_shards.py zstruct/store/shards.py"),
        (
            "zstruct/geometry/kernels/neighbors.py",
            "tests/geometry/test_neighbors.py zstruct/geometry/kernels/neighbors.py",
        ),
    ],
)
def test_the_files_testing_a_module_are_printed(named, expected):
    command = [sys.executable, str(ROOT / "tests" / "mirror.py"), named]
    assert (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == expected.split()
    )


def test_a_module_that_does_not_exist_is_a_sentence():
    command = [sys.executable, str(ROOT / "tests" / "mirror.py"), "store/shard"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "zstruct/store/shard.py does not exist; a module is named like store/shards\n"
