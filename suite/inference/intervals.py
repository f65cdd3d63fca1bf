"""Interval estimates of shares, at any level. Knows counts, nothing of hypotheses or where the counts come from.

Every interval of this room answers ``interval(alpha)``, two-sided with confidence 1 - alpha, and is nested: a smaller
alpha never gives a narrower interval, and none leaves its estimate out. A correction can so move the level afterwards.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv


class Interval(Protocol):
    """An estimate and its interval at any level; ``method`` says in words how the interval is made."""

    estimate: float
    method: str

    def interval(self, alpha: float) -> tuple[float, float]:
        """Two-sided interval of confidence 1 - alpha."""
        ...


@lru_cache(maxsize=4096)
def clopper_pearson(count: int, total: int, alpha: float) -> tuple[float, float]:
    """Exact interval of a proportion: each end misses with probability at most alpha/2, whatever the truth (Clopper
    and Pearson 1934).
    """
    low = 0.0 if count == 0 else float(betaincinv(count, total - count + 1, alpha / 2))
    return low, 1.0 if count == total else 1.0 - float(betaincinv(total - count, count + 1, alpha / 2))


class Share:
    """A proportion of replicates, by Clopper–Pearson."""

    method = "Clopper–Pearson"

    def __init__(self, held: NDArray[np.bool_]) -> None:
        self.count, self.total = int(held.sum()), len(held)
        self.estimate = self.count / self.total

    def interval(self, alpha: float) -> tuple[float, float]:
        """Never degenerate: 0 of n still leaves room above."""
        return clopper_pearson(self.count, self.total, alpha)


class ShareDifference:
    """A difference of two paired proportions, p(only first) - p(only second). Each end takes one end of each discordant
    share's Clopper–Pearson interval at alpha/2, so it misses with probability at most alpha/4 + alpha/4.
    """

    method = "paired Clopper–Pearson"

    def __init__(self, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> None:
        self.only_first, self.only_second = int((first & ~second).sum()), int((second & ~first).sum())
        self.total = len(first)
        self.estimate = (self.only_first - self.only_second) / self.total

    def interval(self, alpha: float) -> tuple[float, float]:
        """Conservative and never degenerate."""
        a = clopper_pearson(self.only_first, self.total, alpha / 2)
        b = clopper_pearson(self.only_second, self.total, alpha / 2)
        return a[0] - b[1], a[1] - b[0]
