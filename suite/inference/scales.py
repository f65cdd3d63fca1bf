"""Ratios and exponents: means of logarithms, and slopes of one logarithm over another. Knows arrays, nothing of hypotheses.

How far the interval of a ratio or of an exponent covers is that of the mean of the logarithms or slopes it rests on (``means``);
tests/inference/test_timed.py measures it for blocks whose replicates share a clock. An exponent's interval tells how well this
machine repeats the slope over these sizes. It says nothing of sizes beyond them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from suite.inference.means import Mean

#: The logarithm of the largest ratio that is told: the end of an interval from two or three values may lie beyond any float.
LARGEST = 700.0


class GeometricMean:
    """The geometric mean of n ≥ 2 values, given by their logarithms: the mean's interval, brought back by exp."""

    def __init__(self, logarithms: NDArray[np.float64], seed: int) -> None:
        self.mean = Mean(logarithms, seed, None)
        self.estimate = math.exp(self.mean.estimate)
        self.method = f"{self.mean.method}, of logarithms"

    def interval(self, alpha: float) -> tuple[float, float]:
        """Two-sided interval of confidence 1 - alpha."""
        low, high = self.mean.interval(alpha)
        return math.exp(low), math.exp(min(high, LARGEST))


def logarithms(values: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    """Natural logarithms. Raises ValueError where a value is not above zero."""
    if not (values > 0).all():
        raise ValueError(f"{what} has values that are not above zero; they have no logarithm")
    return np.log(values)


def slopes(values: NDArray[np.float64], sizes: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    """[unit] the least-squares slope of log value over log size, both [condition, unit]. Raises ValueError where the sizes are not
    at least two, or a number is not above zero.
    """
    x, y = logarithms(sizes, "the size"), logarithms(values, what)
    x = x - x.mean(axis=0)
    spread = (x * x).sum(axis=0)
    if not (spread > 1e-12).all():
        raise ValueError(f"{what}: an exponent needs conditions of different sizes")
    return np.asarray((x * (y - y.mean(axis=0))).sum(axis=0) / spread)
