"""Run benchmarks by name: ``python -m tests.benchmarks build layout``; all of them without."""

import argparse
import importlib
from pathlib import Path


def main() -> None:
    names = sorted(p.stem.removeprefix("bench_") for p in Path(__file__).parent.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="a tenth of the size, to try them out")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    for name in arguments.names or names:
        module = importlib.import_module(f"tests.benchmarks.bench_{name}")
        print(f"\n== {name}: {module.__doc__.splitlines()[0]}")
        module.main(scale=0.1 if arguments.quick else 1.0)


if __name__ == "__main__":
    main()
