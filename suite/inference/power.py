"""What a design can decide before it is run. Knows counts and levels, no data."""

from __future__ import annotations

import math

from scipy.special import stdtrit

from suite.inference.intervals import clopper_pearson
from suite.vocabulary import Test


def detectable_effect(test: Test, n: int, confidence: float, hypotheses: int, paired: bool = False, power: float = 0.8) -> float:
    """The distance from ``value`` that n replicates can decide at the strictest level, (1 - confidence)/hypotheses.

    - ``exact``: the share of counterexamples in the population of which n replicates show at least one with probability
      ``power``, 1 - (1 - power)^(1/n).
    - ``proportion``: the widest reach from estimate to interval end, over all counts (paired: over all discordant
      counts). A share whose estimate lies farther from ``value`` is always decided. Free of ``power``.
    - ``mean``: the effect found with probability ``power``, in standard deviations of the (paired) values, by the
      power of the t-test; the interval used is a little wider. See ``identical_reach`` for samples without spread.

    NaN where n is too small for any interval. Raises ValueError for n < 1, hypotheses < 1.
    """
    if n < 1 or hypotheses < 1:
        raise ValueError(f"n={n} and hypotheses={hypotheses} must be at least 1")
    alpha = (1 - confidence) / hypotheses
    if test == "exact":
        return -math.expm1(math.log1p(-power) / n)
    if test == "proportion":
        if not paired:
            return max(clopper_pearson(count, n, alpha)[1] - count / n for count in range(n + 1))
        reach = [clopper_pearson(count, n, alpha / 2) for count in range(n + 1)]
        return max(reach[more][1] - more / n + less / n - reach[less][0] for more in range(n + 1) for less in range(n + 1 - more))
    if n < 2:
        return math.nan
    from scipy.optimize import brentq  # imported where they are used: a study asks for this only before it runs
    from scipy.stats import nct

    critical = -float(stdtrit(n - 1, alpha / 2))
    # the noncentrality d·√n at which t passes its critical value with this power; ten spreads past it is always enough
    shift = brentq(lambda delta: float(nct.sf(critical, n - 1, delta)) - power, 0.0, 10 * critical + 10)
    return float(shift) / math.sqrt(n)


def identical_reach(n: int, confidence: float, hypotheses: int) -> float:
    """How far from a constant sample's value its mean may lie, in ranges of the metric on that side: 1 - alpha^(1/n).
    Identical shares cannot be told from a ``value`` that is nearer than this.

    >>> round(identical_reach(64, 0.95, 12), 3)
    0.082
    """
    return float(1 - ((1 - confidence) / hypotheses) ** (1 / n))
