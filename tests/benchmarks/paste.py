"""Put what benchmarks printed into pages: ``python -m tests.benchmarks.paste PRINTED PAGE...``.

PRINTED is what ``make bench`` printed, one after the other. A table of a page is that which the benchmark
named above it (``make bench BENCH=...``) printed with the same header; several come in the same order. A line
of text that differs from a printed one in numbers only gets those. What was not found is said.
"""

import re
import sys
from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path

_NUMBER = re.compile(r"\d[\d,.]*\d|\d")
_NAMED = re.compile(r"BENCH=(\w+)")
Key = tuple[str, ...]


def main(printed: str, *pages: str) -> None:
    tables, lines = _read(Path(printed).read_text().splitlines())
    missing = []
    for page in pages:
        path = Path(page)
        out, bench = [], ""
        for block in _blocks(path.read_text().splitlines()):
            named = _NAMED.search(block[0])
            bench = named[1] if named else bench
            if block[0].startswith("|"):
                found = tables.get((bench, *_cells(block[0])))
                if not found and any(key[0] == bench for key in tables):
                    missing.append(f"{page}, {bench}: {block[0]}")
                out += found.popleft() if found else block
            else:
                out.append(lines.get(_masked(block[0]), block[0]))
        path.write_text("\n".join(out) + "\n")
    if missing:
        raise SystemExit("not printed:\n" + "\n".join(missing))


def _read(printed: list[str]) -> tuple[dict[Key, deque[list[str]]], dict[str, str]]:
    """Return the tables by benchmark and header, and the lines of text by what is left without numbers."""
    tables: dict[Key, deque[list[str]]] = defaultdict(deque)
    lines, bench = {}, ""
    for block in _blocks(printed):
        if block[0].startswith("== "):
            bench = block[0].split()[1].rstrip(":")
        elif block[0].startswith("|"):
            tables[bench, *_cells(block[0])].append(block)
        elif _NUMBER.search(block[0]):
            lines[_masked(block[0])] = block[0]
    return tables, lines


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Yield tables as they are, and every other line by itself."""
    table: list[str] = []
    for line in lines:
        if line.startswith("|"):
            table.append(line)
            continue
        if table:
            yield table
            table = []
        yield [line]
    if table:
        yield table


def _cells(row: str) -> Key:
    return tuple(cell.strip() for cell in row.strip("|").split("|"))


def _masked(line: str) -> str:
    return _NUMBER.sub("#", line)


if __name__ == "__main__":
    main(*sys.argv[1:])
