"""Make comment lines of extended XYZ, and the values that libAtoms' own parser reads in them.

    python tests/data/make_libatoms.py

writes ``tests/data/cases/libatoms.json``. It needs the package ``extxyz`` (0.4.6 made the file that
is here), the reference implementation of the format's specification; the tests need only the file.
"""

import json
import random
import tempfile
from pathlib import Path

import numpy as np

SEED, LINES = 0, 120
TARGET = Path(__file__).resolve().parent / "cases" / "libatoms.json"
SEPARATORS = (", ", ",", " , ")


def integer(rng):
    return str(rng.choice([0, 1, -7, 42, 12345678, -2147483648, 2147483647]))


def real(rng):
    value = rng.gauss(0, 10.0 ** rng.randrange(-5, 6))
    spelled = [f"{value:.6f}", f"{value:.10e}", f"{value:.3E}", f"{value:.2f}", f"{int(value)}.", repr(value)]
    spelled += [f"{value:.5e}".replace("e", "d"), f"{value:.8E}".replace("E", "D")]
    return rng.choice(spelled)


def truth(rng):
    return rng.choice(["T", "F", "true", "false", "True", "False", "TRUE", "FALSE"])


def bare(rng):
    return rng.choice(["abc", "x_y", "a-b", "md/300K", "C6H6", "foo.bar", "Z"])


def quoted(rng):
    texts = ["two words", "a=b", "it, is", r"say \"hi\"", "[x]", "{y}", r"back\\slash", "it's", r"new\nline"]
    return f'"{rng.choice(texts)}"'


def row(rng, kind, n, separator):
    return separator.join(kind(rng) for _ in range(n))


def value(rng):
    """Return a value of any form that the specification knows."""
    kind, n = rng.choice([integer, real, truth]), rng.randrange(2, 6)
    form = rng.randrange(12)
    if form < 3:
        return rng.choice([integer, real, truth, bare])(rng)
    if form == 3:
        return quoted(rng)
    if form < 7:
        first, last = ['""', "{}", "''"][form - 4]
        return first + row(rng, kind, n, " ") + last
    separator = rng.choice(SEPARATORS)
    if form == 7:
        return f"[{row(rng, kind, n, separator)}]"
    if form == 8:
        return f"{{{kind(rng)}}}"
    if form == 9:
        kind = lambda rng: rng.choice([integer, real])(rng)  # noqa: E731
    rows = [f"[{row(rng, kind, n, separator)}]" for _ in range(rng.randrange(1, 5))]
    return f"[{separator.join(rows)}]"


def plain(value):
    """Return a value as JSON has it; an array with its shape."""
    if isinstance(value, np.ndarray):
        return {"shape": value.shape, "values": value.ravel().tolist()}
    return value.item() if isinstance(value, np.generic) else value


def main():
    import extxyz

    rng = random.Random(SEED)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.xyz"
        while len(found) < LINES:
            words = [f"k{i}{rng.choice(['=', ' = ', '= ', ' ='])}{value(rng)}" for i in range(4)]
            words.insert(rng.randrange(5), "Properties=species:S:1:pos:R:3")
            line = " ".join(words)
            path.write_text(f"1\n{line}\nH 0 0 0\n")
            info = extxyz.read_dicts(str(path)).info
            found.append([line, {key: plain(v) for key, v in info.items()}])
    TARGET.write_text("[\n" + ",\n".join(map(json.dumps, found)) + "\n]\n")


if __name__ == "__main__":
    main()
