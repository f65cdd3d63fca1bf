"""Holm's step-down correction for three-way decisions. Knows p-values and levels, nothing of their origin."""

from __future__ import annotations

from collections.abc import Callable, Sequence

#: Decisions sharper than this are not told apart; no design here needs a smaller share of alpha.
SMALLEST_ALPHA = 1e-6


def decisive_alpha(decisive: Callable[[float], bool]) -> float:
    """The smallest alpha at which the interval of level 1 - alpha still leads to a decision, by bisection on
    log alpha; 1 where no level does. Requires nested intervals.
    """
    if not decisive(0.999):
        return 1.0
    if decisive(SMALLEST_ALPHA):
        return SMALLEST_ALPHA
    low, high = SMALLEST_ALPHA, 0.999
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if decisive(middle) else (middle, high)
    return high


def holm_levels(p: Sequence[float], alpha: float) -> list[float]:
    """The share of alpha each hypothesis is decided at (Holm 1979): in order of p the k-th of m gets
    alpha/(m - k + 1); from the first that fails on, all get that same share.
    """
    order = sorted(range(len(p)), key=lambda index: p[index])
    levels = [0.0] * len(p)
    share = 0.0
    stopped = False
    for rank, index in enumerate(order):
        if not stopped:
            share = alpha / (len(p) - rank)
            stopped = p[index] > share
        levels[index] = share
    return levels
