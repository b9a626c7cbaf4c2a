"""What pytest must know before it collects: without torch there are no datasets to test."""

from importlib.util import find_spec

collect_ignore_glob = (
    []
    if find_spec("torch")
    else ["zstruct/loading/*", "tests/loading/*", "zstruct/features/torch.py", "tests/features/test_torch.py"]
)
