"""The chemical elements: symbols by atomic number, and formulas made of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NUMBERS",
    "SYMBOLS",
    "atomic_number",
    "by_number",
    "formula",
    "hill",
    "hills",
    "numbers_by_letters",
    "parsed_formula",
]


#: Chemical symbols by atomic number; 0 is "X", ASE's dummy atom.
SYMBOLS = (
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As "
    "Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd "
    "Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am "
    "Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
).split()


#: Atomic numbers by chemical symbol.
NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS)}


def numbers_by_letters() -> NDArray[np.uint8]:
    """Return atomic numbers by ``32 * first letter + second letter`` (a = 1, none = 0); 255 for none.

    Examples
    --------
    >>> numbers_by_letters()[[32 * 8, 32 * 20 + 9, 32 * 17]]
    array([  1,  22, 255], dtype=uint8)
    """
    table = np.full(1024, 255, dtype=np.uint8)
    for number, symbol in enumerate(SYMBOLS):
        letters = [ord(c) & 31 for c in symbol]
        table[32 * letters[0] + (letters[1] if len(letters) == 2 else 0)] = number
    return table


def atomic_number(symbol: str) -> int | None:
    """Return the atomic number of a chemical symbol in any case, or None if there is none."""
    return NUMBERS.get(symbol.capitalize())


def by_number(values: Mapping[str, float]) -> NDArray[np.float64]:
    """Return values of elements by atomic number, NaN where there is none, shape (256,).

    There are as many as atomic numbers have bits for: ``table[numbers]`` is of any atoms.

    Examples
    --------
    >>> by_number({"H": -13.6, "C": -1029.0})[[6, 1, 8]]
    array([-1029. ,   -13.6,     nan])
    """
    table = np.full(256, np.nan)
    for symbol, value in values.items():
        table[NUMBERS[symbol]] = value
    return table


def formula(numbers: np.ndarray) -> str:
    """Return the Hill formula of `numbers` (carbon, hydrogen, then the alphabet).

    Examples
    --------
    >>> formula(np.array([8, 1, 1, 6]))
    'CH2O'
    """
    values, counts = np.unique(np.asarray(numbers), return_counts=True)
    return hill(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def hill(counts: Mapping[int, int]) -> str:
    """Return the Hill formula of so many atoms of each atomic number.

    Examples
    --------
    >>> hill({8: 1, 1: 2})
    'H2O'
    """
    count = {SYMBOLS[z]: n for z, n in counts.items()}
    return "".join(_word(symbol, count[symbol]) for symbol in _hill_order(count, "C" in count))


def _hill_order(symbols: Iterable[str], organic: bool) -> list[str]:
    first = ("C", "H") if organic else ()
    return sorted(symbols, key=lambda symbol: (symbol not in first, symbol))


def _word(symbol: str, count: int) -> str:
    return f"{symbol}{count}" if count > 1 else symbol


def hills(elements: Sequence[int], counts: NDArray[np.integer]) -> list[str]:
    """Return the Hill formulas of many compositions.

    Parameters
    ----------
    elements
        Atomic numbers, each once, shape (k,).
    counts
        Atoms of each element in every composition, shape (n, k).

    Examples
    --------
    >>> hills([1, 6, 8], np.array([[2, 0, 1], [4, 1, 0]]))
    ['H2O', 'CH4']
    """
    column = {SYMBOLS[z]: k for k, z in enumerate(elements)}
    organic = counts[:, column["C"]] > 0 if "C" in column else np.zeros(len(counts), dtype=bool)
    texts = [""] * len(counts)
    for has_carbon in (True, False):
        rows = np.flatnonzero(organic == has_carbon)
        order = _hill_order(column, has_carbon)
        table = counts[rows][:, [column[symbol] for symbol in order]]
        which, place = np.nonzero(table)
        # Each element with its count is written once, and then looked up.
        base = int(table.max(initial=0)) + 1
        codes = (place * base + table[which, place]).tolist()
        words = {code: _word(order[code // base], code % base) for code in set(codes)}
        parts = [words[code] for code in codes]
        edges = np.searchsorted(which, np.arange(len(rows) + 1)).tolist()
        for row, start, stop in zip(rows.tolist(), edges[:-1], edges[1:], strict=True):
            texts[row] = "".join(parts[start:stop])
    return texts


def parsed_formula(text: str) -> dict[int, int] | None:
    """Return how many atoms of each atomic number a formula has, or None if it is none.

    Examples
    --------
    >>> parsed_formula("TiO2"), parsed_formula("CH3CH3"), parsed_formula("water")
    ({22: 1, 8: 2}, {6: 2, 1: 6}, None)
    """
    if not re.fullmatch(r"(?:[A-Z][a-z]?(?:[1-9][0-9]{0,8})?)+", text):
        return None
    found: dict[int, int] = {}
    for symbol, count in re.findall(r"([A-Z][a-z]?)([0-9]*)", text):
        if symbol not in NUMBERS:
            return None
        number = NUMBERS[symbol]
        found[number] = found.get(number, 0) + int(count or 1)
    return found
