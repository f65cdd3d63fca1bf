"""Interval estimates that can be asked for at any level, so that a correction can move the level afterwards.

Every class holds its sample (and, for the bootstrap, its resamples) once; ``interval(alpha)`` is nested: a smaller
alpha never gives a narrower interval.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import scipy.stats
from numpy.typing import NDArray

RESAMPLES = 9999
#: A sample with fewer values than this apart from its most common one is nearly degenerate: resampling it says too little.
FEW = 10


class Interval(Protocol):
    """An estimate and its interval at any level."""

    estimate: float
    method: str

    def interval(self, alpha: float) -> tuple[float, float]:
        """Two-sided interval of confidence 1 - alpha."""
        ...


@lru_cache(maxsize=4096)
def clopper_pearson(count: int, total: int, alpha: float) -> tuple[float, float]:
    """Exact interval of a proportion: coverage is at least 1 - alpha whatever the truth (Clopper & Pearson 1934)."""
    found = scipy.stats.binomtest(count, total).proportion_ci(1 - alpha, method="exact")
    return float(found.low), float(found.high)


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
    """A difference of two paired proportions, p(only first) - p(only second). Each discordant share gets a Clopper–Pearson
    interval at alpha/2, so that by Bonferroni both hold together with confidence at least 1 - alpha.
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


class Mean:
    """A mean of n ≥ 2 values: the union of the BCa bootstrap (Efron 1987) and Student's t interval.

    Each undercovers where the other does better (BCa for small n, t for skewed samples); their union was measured by simulation
    (tests/inference/test_coverage.py). A sample whose values are nearly all the same carries almost no spread to
    resample, so it is joined with an exact bound: a value differs from the most common one, upwards or downwards, with a
    probability within its Clopper–Pearson interval, by no more than the largest difference seen in that direction, or by no
    more than ``bounds`` allows where none was seen. Without bounds, identical values give a point, and ``method`` says so.
    """

    def __init__(self, values: NDArray[np.float64], seed: int, bounds: tuple[float, float] | None) -> None:
        self.values = values
        self.estimate = float(values.mean())
        self.bounds = bounds
        modes, counts = np.unique(values, return_counts=True)
        self.mode = float(modes[counts.argmax()])
        self.apart = len(values) - int(counts.max())
        self.constant = self.apart == 0
        self.nearly_constant = self.apart < FEW and counts.max() > len(values) / 2
        self._resampled: Any = None if self.constant else self._bootstrap(0.05, seed, RESAMPLES)
        self.method = "BCa bootstrap and t"
        if self.nearly_constant:
            self.method = (
                "exact bound, nearly identical values" if not self.constant or bounds else "identical values, no spread to judge by"
            )

    def _bootstrap(self, alpha: float, seed: int, resamples: int) -> Any:
        with warnings.catch_warnings():
            # a jackknife without spread makes scipy warn and return NaN; that case falls back on the other intervals
            warnings.simplefilter("ignore")
            return scipy.stats.bootstrap(
                (self.values,),
                np.mean,
                confidence_level=1 - alpha,
                n_resamples=resamples,
                method="BCa",
                rng=np.random.default_rng(seed),
                bootstrap_result=getattr(self, "_resampled", None) if resamples == 0 else None,
                batch=2000,
            )

    def interval(self, alpha: float) -> tuple[float, float]:
        """Union of the intervals that apply."""
        parts = [] if self.constant else [self._t(alpha), self._bca(alpha)]
        if self.nearly_constant:
            parts.append(self._nearly_constant(alpha))
        low = min(part[0] for part in parts if not np.isnan(part[0]))
        high = max(part[1] for part in parts if not np.isnan(part[1]))
        if self.bounds is not None:
            low, high = max(low, self.bounds[0]), min(high, self.bounds[1])
        return low, high

    def _t(self, alpha: float) -> tuple[float, float]:
        error = scipy.stats.sem(self.values)
        low, high = scipy.stats.t.interval(1 - alpha, len(self.values) - 1, loc=self.estimate, scale=error)
        return float(low), float(high)

    def _bca(self, alpha: float) -> tuple[float, float]:
        found = self._bootstrap(alpha, 0, 0).confidence_interval
        return float(found.low), float(found.high)

    def _nearly_constant(self, alpha: float) -> tuple[float, float]:
        below, above = self.values[self.values < self.mode], self.values[self.values > self.mode]
        reach_down = self.mode - below.min() if len(below) else self._room(0)
        reach_up = above.max() - self.mode if len(above) else self._room(1)
        n = len(self.values)
        down = clopper_pearson(len(below), n, alpha)[1] * reach_down
        up = clopper_pearson(len(above), n, alpha)[1] * reach_up
        return self.mode - down, self.mode + up

    def _room(self, side: int) -> float:
        return 0.0 if self.bounds is None else abs(self.bounds[side] - self.mode)
