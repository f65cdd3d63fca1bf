"""Whether n units can decide a hypothesis at all, by the very intervals that will. Trains nothing and draws nothing.

Of shares and of separated populations a sample that lies wholly at one end is as good as evidence gets: where even its interval reaches the
threshold, no run of that size can decide. Of means it is not, values that differ a little have a narrower interval than identical ones
(``suite/inference/means.py``); but identical values at the end of the range, such as no dead unit anywhere, are what often comes out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from suite.inference.auc import Auc
from suite.inference.bounds import share_bounds
from suite.inference.decide import three_way
from suite.inference.intervals import Interval, Share, ShareDifference
from suite.inference.means import Mean
from suite.study.findings import Level
from suite.vocabulary import Decision, Hypothesis, is_timed

#: Units up to which the least sufficient number is looked for.
MOST = 4096
#: Below so many replicates an exact statement is told from one that fails in a tenth of them in fewer than four runs of five.
FEW_EXACT = 16


DECIDED: tuple[Decision, ...] = ("supported", "refuted")


def power(h: Hypothesis, n: int, confidence: float, family: int) -> Iterator[tuple[Level, str, str]]:
    """(level, key or nothing, line) for each way in which n units cannot decide it. ``family`` hypotheses share the error probability."""
    alpha = 1 - confidence
    unit = "block" if is_timed(h.metric) else "replicate"
    if h.test == "exact":
        if n < FEW_EXACT:
            yield (
                "warning",
                "",
                f"{n} {unit}s: what fails in one run of ten fails in none of these with probability {0.9**n:.0%}; take {FEW_EXACT} or more",
            )
        return
    if n < 2:
        return  # told once, of all hypotheses
    strict = alpha / family
    for decision in DECIDED:
        if decision == "refuted" and h.role != "treatment":
            continue  # a control that is not supported is no use either way
        alone, shared = attainable(h, n, alpha, decision), attainable(h, n, strict, decision)
        if shared is not False or (h.test == "mean" and "accuracy" in h.metric):
            continue  # accuracies are never alike in all replicates
        enough = least(h, n, strict, decision)
        more = f"; {enough} would do" if enough else "; no number would: move the threshold away from the end of the range"
        level: Level = "note" if alone or (h.test == "mean" and h.contrast is not None) else "warning"
        if h.test == "mean":
            outcome = f"if {h.metric} came out alike in all {n} {unit}s, however extreme, it would still not be {decision}"
        else:
            outcome = f"no outcome of {n} {unit}s is {decision}"
            level = "error" if level == "warning" and decision == "supported" else level
        when = f" until other hypotheses are decided (Holm: {family} share {alpha:.2g})" if alone else f" at confidence {confidence:g}"
        yield level, "value", f"{outcome}{when}, so near is the threshold{more}"


def attainable(h: Hypothesis, n: int, alpha: float, decision: Decision) -> bool | None:
    """Whether an extreme sample of n ≥ 2 units leads to the decision at confidence 1 - alpha; None where the metric has no known range, so
    that no sample is extreme.
    """
    if h.direction == "equal" and decision == "refuted":
        # either end refutes; half the share is what Holm's pass over refutations gives it
        alpha = alpha / 2
    found = _samples(h, n, decision)
    if found is None:
        return None
    return any(three_way(h, *interval.interval(alpha)) == decision for interval in found)


def least(h: Hypothesis, n: int, alpha: float, decision: Decision) -> int | None:
    """The fewest units, of n, 2n, 4n …, with which an extreme sample leads to the decision."""
    while n <= MOST:
        if attainable(h, n, alpha, decision):
            return n
        n *= 2
    return None


def _samples(h: Hypothesis, n: int, decision: Decision) -> Sequence[Interval] | None:
    """The extreme samples, as intervals."""
    up = (h.direction == "greater") == (decision == "supported")
    every, none = np.ones(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    equal = h.direction == "equal"
    if h.test == "proportion" and h.contrast is None:
        counts = range(n + 1) if equal else [n if up else 0]
        return [Share(np.arange(n) < count) for count in counts]
    if h.test == "proportion":
        if equal:
            pairs = [(np.arange(n) < count, none) for count in range(n + 1)]
            return [ShareDifference(*sides) for pair in pairs for sides in (pair, pair[::-1])]
        return [ShareDifference(every, none) if up else ShareDifference(none, every)]
    if h.test == "auc":
        return None if equal else [Auc(every.astype(float), none.astype(float)) if up else Auc(none.astype(float), every.astype(float))]
    limits = share_bounds(h.metric) if h.test == "mean" else None
    if limits is None:
        return None
    for _ in range(len(h.selections) // 2):  # a difference reaches over the whole range, either way
        limits = (limits[0] - limits[1], limits[1] - limits[0])
    if not equal:
        values = [limits[1] if up else limits[0]]
    else:
        values = [float(np.clip(h.value, *limits))] if decision == "supported" else list(limits)
    return [Mean(np.full(n, value), 0, limits) for value in values]
