"""What pytest must know before it collects: without torch there are no datasets to test."""

from importlib.util import find_spec

_WITH_TORCH = [
    "zstruct/loading/*",
    "zstruct/features/torch.py",
    "tests/features/test_torch.py",
    "tests/layouts/*",
    "tests/loading/*",
    "tests/transforms/*",
]
collect_ignore_glob = [] if find_spec("torch") else _WITH_TORCH
