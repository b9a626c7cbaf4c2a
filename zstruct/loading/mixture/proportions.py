"""`Proportions`: how much of each part of a mixture an epoch has. Numbers and names, no stores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zstruct.arguments import real, shown, whole
from zstruct.errors import ArgumentTypeError, InputError, UnknownNameError
from zstruct.keywords import keywords, set_fields
from zstruct.text import counted, nearest

__all__ = ["WINDOW", "Proportions"]

#: Structures among which proportions are exact, if nobody says how many.
WINDOW = 1024


@keywords()
@dataclass(frozen=True, eq=False)
class Proportions:
    """How much of each part of a mixture an epoch has; by default, every structure comes once.

    Parameters
    ----------
    weights
        By the names of the parts, or in their order: how much of an epoch is theirs, on any scale. A part of
        weight zero does not come. Parts of one name share its weight by their sizes.
    temperature
        In place of weights, n ** (1 / temperature) for a part of n structures: 1 as they are, more evens them
        out, and infinity makes all of them equal. For parts of one name, n is what they have together.
    window
        Structures of an epoch among which the proportions are exact: as exact as whole numbers can be. By
        default 1,024. Alone, it has every structure come once, in proportion in each window.
    length
        Structures of an epoch; by default as many as the mixture has.

    Raises
    ------
    InputError
        If there are both weights and a temperature, or if a number makes no sense.
    ArgumentTypeError
        If something is of a type that makes no sense there.

    Examples
    --------
    >>> Proportions({"pbe": 3, "r2scan": 1}, window=256).describe(["pbe", "r2scan"], [600, 50])
    'by weights, pbe 0.75, r2scan 0.25, in each 256 structures; 650 in an epoch'
    >>> Proportions(temperature=2.0).shares(["pbe", "r2scan"], [400, 100]).tolist()
    [20.0, 10.0]
    """

    weights: Mapping[str, float] | Sequence[float] | None = None
    _: KW_ONLY
    temperature: float | None = None
    window: int | None = None
    length: int | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and self.temperature is not None:
            raise InputError("weights and temperature both say how much comes of each part: give one of them")
        if self.weights is not None:
            set_fields(self, weights=_checked(self.weights))
        temperature = real("temperature", self.temperature)
        if temperature is not None and temperature <= 0:
            raise InputError(f"temperature is a number above 0, not {shown(self.temperature)}")
        set_fields(
            self,
            temperature=temperature,
            window=whole("window", self.window, 1),
            length=whole("length", self.length, 0),
        )

    @property
    def once(self) -> bool:
        """Whether every structure comes once, whatever parts are next."""
        return all(one is None for one in (self.weights, self.temperature, self.window, self.length))

    def shares(self, names: Sequence[str], sizes: Sequence[int]) -> NDArray[np.float64] | None:
        """Return how much comes of each part, on any scale, shape (n_parts,); None: every structure once.

        Parameters
        ----------
        names
            Of the parts; some may have the same.
        sizes
            Structures of each.

        Raises
        ------
        UnknownNameError
            If a weight is of no part.
        InputError
            If a part has no weight, or one without structures has one; if all are zero.
        """
        if self.once:
            return None
        counts = np.asarray(sizes, np.float64)
        if self.weights is None:
            power = 1.0 if self.temperature is None else 1.0 / self.temperature
            of_name = {name: counts[_of(name, names)].sum() for name in names}
            found = {name: n**power if n else 0.0 for name, n in of_name.items()}
        elif isinstance(self.weights, Mapping):
            found = _by_name(self.weights, names)
        else:
            return _in_order(self.weights, names, counts)
        shares = np.zeros(len(counts))
        for name, weight in found.items():
            mine = _of(name, names)
            _check_there(name, weight, counts[mine].sum())
            if weight:
                shares[mine] = weight * (counts[mine] / counts[mine].sum())
        return _some(shares, counts)

    def describe(self, names: Sequence[str], sizes: Sequence[int]) -> str:
        """Return how much comes of each part, for people; of the names and sizes of the parts."""
        shares = self.shares(names, sizes)
        if shares is None:
            return "every structure once"
        how = "by weights" if self.weights is not None else "by their sizes"
        if self.temperature is not None:
            how = f"at temperature {self.temperature:g}"
        total = shares.sum() or 1.0
        found = ", ".join(f"{name} {share / total:.3g}" for name, share in zip(names, shares, strict=True))
        n = sum(sizes) if self.length is None else self.length
        window = WINDOW if self.window is None else self.window
        return f"{how}, {found}, in each {counted(window, 'structure')}; {n:,} in an epoch"


def _checked(given: Any) -> Mapping[str, float] | tuple[float, ...]:
    """Return weights of any kind as Python's."""
    if isinstance(given, Mapping):
        if not all(isinstance(name, str) for name in given):
            raise ArgumentTypeError(f"weights are by the names of the parts, which are texts: {shown(given)}")
        return {name: _weight(f"of {name}", weight) for name, weight in given.items()}
    if isinstance(given, str | bytes) or not isinstance(given, Iterable) or getattr(given, "ndim", 1) != 1:
        raise ArgumentTypeError(
            f"weights are numbers by the names of the parts, or in their order, not {shown(given)}"
        )
    return tuple(_weight(f"of part {k}", weight) for k, weight in enumerate(given))


def _weight(of: str, given: Any) -> float:
    if hasattr(given, "item") and getattr(given, "ndim", 0) == 0:
        given = given.item()
    weight = real(f"the weight {of}", given)
    if weight is None:
        raise ArgumentTypeError(f"the weight {of} is a number, not None")
    if not 0 <= weight < math.inf:
        raise InputError(f"the weight {of} is a number from 0, not {shown(given)}")
    return weight


def _of(name: str, names: Sequence[str]) -> NDArray[np.int64]:
    return np.array([k for k, one in enumerate(names) if one == name], np.int64)


def _by_name(weights: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    for name in weights:
        if name not in names:
            near = nearest(name, names)
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(dict.fromkeys(names))}"
            raise UnknownNameError(f"weights names {name!r}, which is no part; {hint}")
    for name in names:
        if name not in weights:
            raise InputError(f"weights says nothing of {name}: give it a number; with 0 it does not come")
    return {name: weights[name] for name in dict.fromkeys(names)}


def _in_order(
    weights: Sequence[float], names: Sequence[str], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    if len(weights) != len(names):
        raise InputError(f"there are {counted(len(names), 'part')}, and {counted(len(weights), 'weight')}")
    for name, weight, n in zip(names, weights, counts, strict=True):
        _check_there(name, weight, n)
    return _some(np.array(weights, np.float64), counts)


def _check_there(name: str, weight: float, n: float) -> None:
    if weight and not n:
        raise InputError(
            f"{name} has no structures, and the weight {weight:g}: give it 0, or leave that part out"
        )


def _some(shares: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    if counts.any() and not shares.any():
        raise InputError("all weights are zero: there is nothing to draw")
    return shares
