"""How well one number separates two populations: the area under the ROC curve and its interval. Knows two paired samples.

One-sided errors measured by simulation, in per cent below / above the truth, at alpha = 5 % (2.5 % a side are due) over
4,000 samples of 16 and of 64 replicates; tests/inference/test_auc.py repeats a part of it:

==================================  =====  ===========  ===========
law                                  AUC      n = 16       n = 64
==================================  =====  ===========  ===========
normal, shift 0                      .500  1.9 / 1.6    2.3 / 1.9
normal, shift 1                      .760  0.8 / 2.8    1.6 / 2.2
normal, shift 2.5                    .961  0.0 / 2.4    0.1 / 2.2
normal, spread 1:10, shift 5         .691  1.0 / 2.3    2.3 / 2.5
normal, spread 1:10, shift 15        .932  0.0 / 2.5    1.5 / 3.3
normal, shift 1, correlation .8      .760  0.2 / 0.0    0.1 / 0.0
normal, shift 1, correlation -.8     .760  2.2 / 2.3    2.5 / 2.8
normal, shift 2.5, correlation -.8   .961  0.0 / 2.8    0.3 / 2.8
exponential, means 1:3               .750  1.1 / 2.0    2.2 / 2.5
exponential, means 1:20              .952  0.0 / 2.4    0.8 / 2.4
counts of 6, with ties               .853  0.2 / 2.0    1.0 / 2.2
1 in 20 on the wrong side            .950  0.0 / 4.2    3.8 / 4.6
1 in 5 on the wrong side             .800  2.6 / 3.1    2.0 / 2.5
==================================  =====  ===========  ===========

The worst is a population that is apart from the other but for a rare value on the wrong side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri


class Auc:
    """P(X > Y) + ½ P(X = Y) for X and Y of different replicates, from n paired values of each: the Mann–Whitney statistic. The
    interval is the hull of two.

    *DeLong* (DeLong, DeLong and Clarke-Pearson 1988) on the logit scale. With x the treatment's and y the contrast's values, replicate
    i contributes F_y(x_i) + 1 - F_x(y_i), so that the pairing (the same seed in both) is in the variance. Where the samples are
    apart altogether it is a point.

    *Newcombe's score interval* (2006, method 5): all θ with |θ̂ - θ| ≤ z√V(θ), V(θ) the variance for exponential samples. It
    never degenerates: of 64 against 64 values without overlap, it still leaves about 3 % for the share of misordered pairs.
    """

    method = "hull of DeLong (paired, logit) and Newcombe's score interval"

    def __init__(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
        from scipy.stats import rankdata  # imported where it is used: few studies need it

        self.n = len(first)
        both = rankdata(np.concatenate([first, second]))
        # a value's rank among both less its rank among its own counts the others below it, ties by half
        above = (both[: self.n] - rankdata(first)) / self.n
        below = 1 - (both[self.n :] - rankdata(second)) / self.n
        self.estimate = float(above.mean())
        self.error = float((above + below).std(ddof=1) / np.sqrt(self.n))

    def interval(self, alpha: float) -> tuple[float, float]:
        """Hull of the two, within [0, 1]."""
        z = -float(ndtri(alpha / 2))
        parts = [self._delong(z), (self._newcombe(z, 0.0), self._newcombe(z, 1.0))]
        return min(low for low, _ in parts), max(high for _, high in parts)

    def _delong(self, z: float) -> tuple[float, float]:
        inside = self.estimate * (1 - self.estimate)
        if inside <= 0:
            return self.estimate, self.estimate
        reach = z * self.error / inside
        centre = float(logit(self.estimate))
        return float(expit(centre - reach)), float(expit(centre + reach))

    def _newcombe(self, z: float, end: float) -> float:
        """The root of |θ̂ - θ| = z√V(θ) between the estimate and ``end``."""
        n, estimate = self.n, self.estimate
        if estimate == end:
            return end

        from scipy.optimize import brentq

        def excess(theta: float) -> float:
            spread = 1 + (n - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
            return float((estimate - theta) ** 2 - z * z * theta * (1 - theta) * spread / (n * n))

        # V vanishes at 0 and 1, where an estimate of 0 or 1 would be a root of its own
        start = min(max(estimate, 1e-12), 1 - 1e-12)
        return float(brentq(excess, start, end, xtol=1e-14))
