"""One configuration of a ``.cfg`` file, read line by line, and what may be wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.schema import GEOMETRY
from zstruct.sources.lines.frames import FaultError, Frame, floats, whole
from zstruct.voigt import VOIGT, VOIGT_OF_FULL

__all__ = [
    "TYPE_MAP",
    "Columns",
    "columns_named",
    "feature_of",
    "feature_value",
    "read_structure",
    "stress_order",
]

_VECTORS = {
    "cartes": "positions",
    "direct": "direct",
    "f": "forces",
    "magmom": "magmoms",
    "en_der_m": "en_der_m",
}
_SCALARS = {"site_en": "energies", "charge": "charges"}
_PARTS = {
    f"{stem}{'' if stem in ('f', 'en_der_m') else '_'}{axis}": name
    for stem, name in _VECTORS.items()
    for axis in "xyz"
}
_REFUSED = {
    "Virial:": "a Virial, which MLIP divides by the volume; have it write PlusStress",
    "Stress:": "a Stress of the old sign, which MLIP refuses itself; have it write PlusStress",
    "Features:": "features in a table; have MLIP write each in a line of its own",
}

# Names that a feature can't have: what the structure is, and what its own lines say.
_TAKEN = (*GEOMETRY, "energy", "virial")

#: The feature that names the elements of types.
TYPE_MAP = "type_map"
#: Names of the columns of atoms, and how many words each has; "id", "type" and "ghost" among them.
Columns = tuple[tuple[str, int], ...]


def columns_named(words: list[str]) -> Columns:
    """Return the columns that a line ``AtomData:`` names, vectors as one.

    Raises
    ------
    FaultError
        If they make no sense.
    """
    found: dict[str, int] = {}
    for k, word in enumerate(words):
        name = _PARTS.get(word)
        if name is None:
            name = _SCALARS.get(word, word)
        elif word[-1] != "x" and (k == 0 or _PARTS.get(words[k - 1]) != name):
            raise FaultError(f"the columns of {name} are not x, y, z in this order")
        elif word[-1] != "x":
            if words[k - 1][-1] + word[-1] not in ("xy", "yz"):
                raise FaultError(f"the columns of {name} are not x, y, z in this order")
            found[name] += 1
            continue
        if name in found:
            raise FaultError(f"the column {word[:40]!r} is there twice")
        if name in ("numbers", "pbc", "cell"):
            raise FaultError(f"a column of atoms can't be called {name}")
        found[name] = 1
    for name, width in found.items():
        if name in _VECTORS.values() and width != 3:
            raise FaultError(f"the columns of {name} are not x, y, z in this order")
    if ("positions" in found) == ("direct" in found):
        raise FaultError("the columns of atoms have no positions (cartes_x, ... or direct_x, ...), or both")
    return tuple(found.items())


def stress_order(words: list[str]) -> list[int]:
    """Return where the six components are that a line ``PlusStress:`` names, in the store's order.

    Raises
    ------
    FaultError
        If they are not these six.
    """
    if sorted(words) != sorted(VOIGT):
        raise FaultError("PlusStress has other components than xx, yy, zz, yz, xz, xy")
    return [words.index(name) for name in VOIGT]


def feature_of(line: str) -> tuple[str, str]:
    """Return name and value of a line ``Feature``.

    Raises
    ------
    FaultError
        If it has no name.
    """
    words = line.split(None, 2)
    if len(words) < 2:
        raise FaultError("a Feature without a name")
    name = f"feature_{words[1]}" if words[1] in _TAKEN else words[1]
    return name, words[2].strip() if len(words) == 3 else ""


def feature_value(text: str) -> Any:
    """Return the value of a feature: a number if it is spelled as one.

    Examples
    --------
    >>> feature_value("3.856142"), feature_value("12"), feature_value("007"), feature_value("VASP")
    (3.856142, 12, '007', 'VASP')
    >>> feature_value("-inf"), feature_value("nan")
    (-inf, nan)
    """
    if re.fullmatch(r"-?(0|[1-9]\d{0,18})", text, re.ASCII) and -(2**63) <= int(text) < 2**63:
        return int(text)
    if re.fullmatch(r"-?(\d+\.\d*([eE][-+]?\d{1,3})?|\d+[eE][-+]?\d{1,3}|inf)|nan", text, re.ASCII):
        return float(text)
    return text


@dataclass
class _Lines:
    """Lines that have words, with their numbers, one after the other."""

    rest: list[tuple[int, str]]
    at: int = 0

    def next(self, what: str) -> list[str]:
        """Return the words of the next line."""
        if self.at == len(self.rest):
            raise _EndError(f"the structure ends before {what}")
        self.at += 1
        return self.rest[self.at - 1][1].split()

    @property
    def line(self) -> int:
        """The number of the latest line."""
        return self.rest[self.at - 1][0]


class _EndError(Exception):
    """Where something is missing."""


def read_structure(lines: list[str], before: int, number: int, last: bool) -> Frame:
    """Return the configuration that begins with the first of some lines.

    Parameters
    ----------
    lines
        Up to the next configuration.
    before
        How many lines of the file are before them.
    number
        Of the configuration in the file.
    last
        Whether the file ends with it.

    Raises
    ------
    FaultError
        With what is wrong.
    """
    numbered = [(at, line) for at, line in enumerate(lines, start=before + 1) if line.split()]
    reading = _Lines(numbered)
    try:
        known = _read(reading)
    except FaultError as error:
        raise FaultError(f"line {reading.line}: {error}") from None
    except _EndError as error:
        ends = "the file ends inside of this structure" if last else str(error)
        raise FaultError(f"{ends} (there is no line 'END_CFG')") from None
    return _complete(known, number)


def _read(reading: _Lines) -> dict[str, Any]:
    """Return what the lines of a structure say, by the words they begin with."""
    known: dict[str, Any] = {"features": {}}
    if reading.next("it begins") != ["BEGIN_CFG"]:
        raise FaultError("something stands behind BEGIN_CFG")
    while True:
        words = reading.next("its end")
        key = {"SuperCell": "Supercell", "Atomic_data:": "AtomData:"}.get(words[0], words[0])
        if words == ["END_CFG"]:
            break
        if key in known:
            raise FaultError(f"{words[0]} is there twice")
        if key == "Size":
            (value,) = _values(reading, words[1:], 1, key)
            known[key] = whole(value, key)
            if known[key] < 1:
                raise FaultError(f"Size is {value[:40]!r}, it should be the number of atoms")
        elif key == "Supercell":
            known[key] = list(_vectors(reading, words[1:]))
        elif key == "AtomData:":
            if "Size" not in known:
                raise FaultError("the atoms come before Size says how many there are")
            columns = columns_named(words[1:])
            known[key] = columns, _atoms(reading, known["Size"], columns)
        elif key == "Energy":
            known[key] = floats(_values(reading, words[1:], 1, key))[0]
        elif key == "PlusStress:":
            order = stress_order(words[1:])
            row = floats(_values(reading, [], 6, key))
            known[key] = [row[k] for k in order]
        elif key == "Feature":
            name, value = feature_of(reading.rest[reading.at - 1][1])
            features = known["features"]
            features[name] = f"{features[name]}\n{value}" if name in features else value
        elif key in _REFUSED:
            raise FaultError(f"the structure has {_REFUSED[key]}")
        else:
            raise FaultError(f"{words[0][:40]!r} is no keyword of this format")
    if reading.at < len(reading.rest):
        word = reading.next("")[0]
        raise FaultError(f"{word[:40]!r} stands behind the end of a structure")
    if "AtomData:" not in known:
        raise FaultError("the structure has no atoms (a line 'AtomData:')")
    return known


def _values(reading: _Lines, words: list[str], n: int, key: str) -> list[str]:
    """Return what belongs to a keyword: the rest of its line, or the next one."""
    words = words or reading.next(f"what {key} is")
    if len(words) != n:
        raise FaultError(f"{key} is followed by {len(words)} words, it should be {n}")
    return words


def _vectors(reading: _Lines, words: list[str]) -> Iterator[list[float]]:
    """Yield lattice vectors: as many lines of numbers as there are, three at most."""
    if words:
        raise FaultError("Supercell is a line of its own, with a vector in each of the next")
    for _ in range(3):
        following = reading.rest[reading.at][1].split() if reading.at < len(reading.rest) else []
        if not following or not re.match(r"[-+.\d]", following[0]):
            break
        words = reading.next("")
        if len(words) != 3:
            raise FaultError(f"a vector of the Supercell has {len(words)} numbers, it should have 3")
        yield floats(words)


def _atoms(reading: _Lines, size: int, columns: Columns) -> list[tuple[int, list[str]]]:
    """Return number and words of the lines of atoms."""
    width = sum(n for _, n in columns)
    found = []
    for k in range(size):
        words = reading.next(f"atom {k + 1} of {size}")
        if len(words) != width:
            raise FaultError(f"atom {k + 1} of {size} has {len(words)} columns, it should have {width}")
        found.append((reading.line, words))
    return found


def _complete(known: dict[str, Any], number: int) -> Frame:
    """Make numbers of the words of a structure that has ended."""
    columns, rows = known["AtomData:"]
    atom: dict[str, NDArray[Any]] = {}
    at = 0
    for name, width in columns:
        atom[name] = _column(name, [(line, words[at : at + width]) for line, words in rows])
        at += width
    vectors = known.get("Supercell", [])
    cell = np.zeros((3, 3))
    cell[: len(vectors)] = np.array(vectors).reshape(-1, 3)
    if (ids := atom.pop("id", None)) is not None:
        if not np.array_equal(np.sort(ids), np.arange(1, len(ids) + 1)):
            raise FaultError(f"line {rows[0][0]}: the ids of atoms are not 1 to {len(ids)}, each once")
        order = np.argsort(ids)
        atom = {name: values[order] for name, values in atom.items()}
    if (direct := atom.pop("direct", None)) is not None:
        if not np.linalg.det(cell):
            raise FaultError(f"line {rows[0][0]}: positions are parts of a cell that has no volume")
        atom["positions"] = direct @ cell
    types = atom.pop("type", np.zeros(len(rows), dtype=np.int64))
    names = known["features"].pop(TYPE_MAP, "").split()
    if names:
        if types.min() < 0 or types.max() >= len(names):
            raise FaultError(f"line {rows[0][0]}: there are types that the feature {TYPE_MAP} does not name")
        types = np.array(names)[types]
    structure: dict[str, Any] = {"pbc": np.arange(3) < len(vectors)}
    if vectors:
        structure["cell"] = cell
    if "Energy" in known:
        structure["energy"] = known["Energy"]
    if "PlusStress:" in known:
        structure["virial"] = np.array(known["PlusStress:"])[VOIGT_OF_FULL]
    for name, text in known["features"].items():
        structure[name] = feature_value(text)
    return Frame(number, atom, structure, types=types, first_type=0)


def _column(name: str, rows: list[tuple[int, list[str]]]) -> NDArray[Any]:
    """Return the values of a column of atoms."""
    values: list[Any] = []
    for line, words in rows:
        try:
            if name in ("id", "type"):
                values.append(whole(words[0], f"the {name}"))
            elif name == "ghost":
                if words[0] not in ("true", "false"):
                    raise FaultError(f"{words[0][:40]!r} in the column ghost is neither true nor false")
                values.append(words[0] == "true")
            else:
                row = floats(words)
                values.append(row if len(row) > 1 else row[0])
        except FaultError as error:
            raise FaultError(f"line {line}: {error}") from None
    return np.array(values)
