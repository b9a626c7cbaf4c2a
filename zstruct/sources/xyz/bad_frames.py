"""Which frames of a block are bad, and why."""

from __future__ import annotations

import numpy as np

__all__ = ["Faults"]


class Faults:
    """Which frames of a block are bad, and the first reason for each; which have lines partly unread."""

    def __init__(self, n: int):
        self.mask = np.zeros(n, dtype=bool)
        self.unread = np.zeros(n, dtype=bool)
        self.reasons: dict[int, str] = {}

    def add(self, frame: int, reason: str) -> None:
        """Note that a frame is bad."""
        self.mask[frame] = True
        self.reasons.setdefault(frame, reason)
