"""The interval of a mean over replicates. Knows one sample and the range of its metric, nothing of hypotheses.

No interval of a mean covers every law. The measured one-sided errors of this one, in per cent below / above the truth, at alpha
= 5 % and at 5 %/12 (the first of twelve hypotheses), over 2,000 samples of 16, 1,500 of 64 and 600 of 256, with 3,999 resamples
(alpha is the sum of both sides; the lognormal, which has no range, exceeds it, and so, at small alpha, does the exponential):

==========================================  ==========  ==========  ==========  ==========  ==========  ==========
law                                         n=16 5%     n=16 .4%    n=64 5%     n=64 .4%    n=256 5%    n=256 .4%
==========================================  ==========  ==========  ==========  ==========  ==========  ==========
normal                                      2.3 / 1.8   0.3 / 0.2   1.7 / 1.8   0.1 / 0.4   2.3 / 2.0   0.2 / 0.0
exponential                                 0.6 / 4.0   0.0 / 0.8   0.5 / 2.7   0.0 / 0.5   2.0 / 2.8   0.2 / 0.2
lognormal, sigma 1                          0.2 / 7.2   0.0 / 1.9   0.3 / 4.7   0.0 / 0.9   0.7 / 3.3   0.0 / 0.0
units of 32 die independently, 1 in 100     0.5 / 0.0   0.0 / 0.0   0.8 / 1.9   0.1 / 0.0   1.8 / 2.3   0.3 / 0.3
1 replicate in 20 loses part of its units   0.0 / 0.0   0.0 / 0.0   0.2 / 0.0   0.0 / 0.0   0.3 / 0.5   0.0 / 0.0
1 in 5 does                                 0.1 / 0.0   0.0 / 0.0   0.4 / 1.3   0.0 / 0.0   0.7 / 1.8   0.0 / 0.2
1 in 20 loses all of them                   0.2 / 0.0   0.0 / 0.0   0.5 / 3.3   0.0 / 0.0   1.3 / 1.8   0.0 / 0.0
difference of two of 1 in 10 (part)         0.2 / 0.4   0.0 / 0.0   2.6 / 1.9   0.0 / 0.0   1.8 / 2.0   0.3 / 0.0
0.93 ± 0.01, but 1 in 20 collapses to 0.1   44.0 / 0.1  44.0 / 0.0  3.0 / 0.6   3.0 / 0.0   0.3 / 1.5   0.0 / 0.0
==========================================  ==========  ==========  ==========  ==========  ==========  ==========

The last line is the limit of the method: where all n values differ a little and a rare, far-off value happened not to
occur (0.95^16 = 44 %, 0.95^64 = 3.8 %), nothing in the sample tells of it. A design that must not miss such an event
states it as an event, and tests it as a proportion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from suite.inference.intervals import clopper_pearson

RESAMPLES = 9999
#: Values of a metric with a known range that lie this close together, as a share of that range, are one value: the
#: difference of two float32 shares is rarely exact.
TIE = 1e-6

Ends = tuple[float, float]


class Mean:
    """A mean of n ≥ 2 values: the hull of the BCa bootstrap (Efron 1987), Student's t and the bootstrap-t interval
    (Efron and Tibshirani 1993, section 12.5), the last held within the bound from the commonest value.

    *The bound.* Let q be the one-sided Clopper–Pearson upper limit, at alpha, of the probability that a replicate
    differs from the commonest value c. Of a metric in [lo, hi] the mean then lies in [c - q(c - lo), c + q(hi - c)],
    whatever the other values are. A sample with few values apart from c has resamples without spread, so its
    bootstrap-t end is infinite and the bound takes its place; no threshold chooses between them. Of a metric without a
    known range the range seen stands in, which for identical values makes the interval a point; ``method`` says so.

    The sample is sorted, and mirrored into a fixed orientation, before it is resampled: the order of replicates
    changes no digit and the interval of -x is the mirrored interval of x.
    """

    def __init__(self, values: NDArray[np.float64], seed: int, bounds: Ends | None) -> None:
        self.estimate = float(np.sort(values).mean())
        up, down = np.sort(values), np.sort(-values)
        self._mirrored = tuple(down) > tuple(up)
        sample = down if self._mirrored else up
        self.bounds = bounds
        if bounds is not None and self._mirrored:
            bounds = (-bounds[1], -bounds[0])
        self._range = bounds or (float(sample[0]), float(sample[-1]))
        self._tie = TIE * (bounds[1] - bounds[0]) if bounds else 0.0
        first, last = _fullest_window(sample, self._tie)
        self._common = (float(sample[first]), float(sample[last - 1]))
        self.apart = len(sample) - (last - first)
        # values within a tie become one: resamples of them then have no spread, not a spread of rounding errors
        sample[first:last] = sample[(first + last - 1) // 2]
        self._n = len(sample)
        # unit spread about zero, so that no square of a tiny value underflows
        self._origin = float(sample[self._n // 2])
        self._unit = float(np.abs(sample - self._origin).max()) or 1.0
        sample = (sample - self._origin) / self._unit
        self._mean = float(sample.mean())
        self._error = float(sample.std(ddof=1) / np.sqrt(self._n))
        if self.apart:
            self._draw(sample, seed)
        self.method = self._described()

    def interval(self, alpha: float) -> Ends:
        """Hull of the three, cut off at the metric's range."""
        bound = self._bound(alpha)
        parts = [bound]
        if self.apart:
            low, high = self._scaled(self._bootstrap_t(alpha))
            if self.bounds is not None:
                held = max(low, bound[0]), min(high, bound[1])
            else:
                held = (low if np.isfinite(low) else bound[0]), (high if np.isfinite(high) else bound[1])
            parts = [held, self._scaled(self._t(alpha)), self._scaled(self._bca(alpha))]
        low = min(part[0] for part in parts) - self._tie
        high = max(part[1] for part in parts) + self._tie
        low, high = (-high, -low) if self._mirrored else (low, high)
        if self.bounds is not None:
            low, high = max(low, self.bounds[0]), min(high, self.bounds[1])
        return min(low, self.estimate), max(high, self.estimate)

    def _scaled(self, ends: Ends) -> Ends:
        return self._origin + self._unit * ends[0], self._origin + self._unit * ends[1]

    def _draw(self, sample: NDArray[np.float64], seed: int) -> None:
        """Keeps the sorted bootstrap distributions of the mean and of the studentised mean, and BCa's two constants."""
        from scipy.stats import bootstrap  # imported where it is used: a study of exact statements alone does without

        drawn = bootstrap(
            (sample,),
            lambda x, axis: np.stack([x.mean(axis=axis), x.std(axis=axis, ddof=1) / np.sqrt(x.shape[axis])]),
            n_resamples=RESAMPLES,
            batch=max(1, 2**21 // len(sample)),
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).bootstrap_distribution
        means, errors = drawn
        away = means - self._mean
        # relative, for the standard deviation of equal floats need not come out as exactly zero
        spread = errors > 1e-9 * self._error
        studentised = np.where(spread, away / np.where(spread, errors, 1.0), np.copysign(np.inf, away))
        self._means, self._studentised = np.sort(means), np.sort(studentised)
        below = (np.mean(means < self._mean) + np.mean(means <= self._mean)) / 2
        self._z0 = float(ndtri(np.clip(below, 0.5 / RESAMPLES, 1 - 0.5 / RESAMPLES)))
        centred = sample - self._mean
        self._acceleration = float((centred**3).sum() / (6 * (centred**2).sum() ** 1.5))

    def _t(self, alpha: float) -> Ends:
        reach = -float(stdtrit(self._n - 1, alpha / 2)) * self._error
        return self._mean - reach, self._mean + reach

    def _bca(self, alpha: float) -> Ends:
        low, high = (float(np.quantile(self._means, self._adjusted(float(ndtri(side))))) for side in (alpha / 2, 1 - alpha / 2))
        return low, high

    def _adjusted(self, z: float) -> float:
        """BCa's corrected share; past the pole of the correction, its limit."""
        shifted = self._z0 + z
        room = 1 - self._acceleration * shifted
        return float(ndtr(self._z0 + shifted / room)) if room > 0 else float(shifted > 0)

    def _bootstrap_t(self, alpha: float) -> Ends:
        # order statistics rounded outwards: interpolating beside an infinite one has no meaning
        rank = int(np.floor(alpha / 2 * (RESAMPLES - 1)))
        return (
            self._mean - float(self._studentised[RESAMPLES - 1 - rank]) * self._error,
            self._mean - float(self._studentised[rank]) * self._error,
        )

    def _bound(self, alpha: float) -> Ends:
        # a two-sided interval at 2 alpha has its upper end at alpha; both ends of the bound rest on that one end
        q = clopper_pearson(self.apart, self._n, 2 * alpha)[1] if alpha < 0.5 else self.apart / self._n
        (low, high), (bottom, top) = self._common, self._range
        return low - q * (low - bottom), high + q * (top - high)

    def _described(self) -> str:
        if self.apart == 0 and self.bounds is None:
            return f"all {self._n} values are identical and of no known range: a point, resting on that identity alone"
        if self.apart == 0:
            return f"all {self._n} values are identical: exact bound on the share of replicates that may differ"
        text = "hull of BCa bootstrap, t and bootstrap-t"
        few = self.bounds is not None and self.apart <= self._n // 4
        return f"{text}; {self.apart} of {self._n} values differ from the commonest, exact bound on the rest" if few else text


def _fullest_window(values: NDArray[np.float64], width: float) -> tuple[int, int]:
    """First and one past the last index of the largest group of sorted values within ``width`` of each other."""
    last = np.searchsorted(values, values + width, side="right")
    first = int(np.argmax(last - np.arange(len(values))))
    return first, int(last[first])
