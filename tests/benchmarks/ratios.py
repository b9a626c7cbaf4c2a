"""How much slower one side is than the other: a median of ratios, its interval, and what that means."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MARGIN = 0.03  # of the ratio, within which sides count as equal
_SAMPLES = 2000
UNDECIDED, SLOWER = "undecided", "slower"


@dataclass(frozen=True)
class Ratio:
    """A median of ratios with its 95 % interval.

    Parameters
    ----------
    median
        Of all pairs; above one where the new side is slower.
    low, high
        The ends of the interval.
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f}-{self.high:.3f})"

    @property
    def verdict(self) -> str:
        """What the interval says, or that it says too little."""
        if self.low > 1 + MARGIN:
            return SLOWER
        if self.high < 1 - MARGIN:
            return "faster"
        if self.high <= 1 + MARGIN:
            return "equal" if self.low >= 1 - MARGIN else "not slower"
        return UNDECIDED


def ratio_of(rounds: Sequence[Sequence[float]]) -> Ratio:
    """Return the median of the ratios of all pairs, and its interval by bootstrap.

    Parameters
    ----------
    rounds
        Ratios of pairs, as many in each round. Where memory lies differs from process to process and
        makes pairs of the same processes alike, so rounds are drawn first, and then pairs in them.
    """
    ratios = np.asarray(rounds, dtype=np.float64)
    n_rounds, n_pairs = ratios.shape
    rng = np.random.default_rng(0)
    which = rng.integers(n_rounds, size=(_SAMPLES, n_rounds, 1))
    drawn = ratios[which, rng.integers(n_pairs, size=(_SAMPLES, n_rounds, n_pairs))]
    low, high = np.quantile(np.median(drawn.reshape(_SAMPLES, -1), axis=1), (0.025, 0.975))
    return Ratio(float(np.median(ratios)), float(low), float(high))
