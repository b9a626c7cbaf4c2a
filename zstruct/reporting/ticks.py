"""Where the ticks of an axis are, and how numbers are written beside them."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["decades", "short", "ticks"]


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Return round numbers within a range, whose steps are 1, 2 or 5 times a power of ten.

    Examples
    --------
    >>> ticks(0.0, 10.0), ticks(-1.3, 0.4, 4)
    ([0.0, 2.0, 4.0, 6.0, 8.0, 10.0], [-1.0, -0.5, 0.0])
    """
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((k * power for k in (1, 2, 5) if k * power >= rough), 10 * power)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def decades(low: float, high: float) -> list[float]:
    """Return the powers of ten within a range of positive numbers; at least one.

    Examples
    --------
    >>> decades(0.02, 30.0)
    [0.1, 1.0, 10.0]
    """
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [10.0**k for k in range(first, last + 1)] or [float(f"{math.sqrt(low * high):.1g}")]


def short(value: float, digits: int = 5) -> str:
    """Return a number as it is written beside an axis or in a table; nothing where it is missing.

    Examples
    --------
    >>> short(1234567), short(0.25), short(1e7 / 3), short(float("nan")), short(12.3456789)
    ('1,234,567', '0.25', '3.3333e6', '', '12.346')
    """
    if not np.isfinite(value):
        return ""
    if float(value).is_integer() and abs(value) < 1e15:
        text = f"{int(value):,}"
    else:
        text = f"{value:.{digits}g}"
        if "e" in text:
            mantissa, _, power = text.partition("e")
            text = f"{mantissa}e{int(power)}"
    return text.replace("-", "\N{MINUS SIGN}")
