"""Decides hypotheses: supported, refuted or inconclusive, from intervals whose level is corrected over the scenario.

What is controlled. Call a decision false when the interval it rests on does not contain the true value. Two-sided intervals of
level 1 - a miss the truth with probability at most a (as far as they cover, which is tested by simulation), whichever side
a decision is taken on. For each hypothesis the smallest a at which it is decided plays the part of a p-value, and Holm's
procedure over these keeps the probability of any false decision in the scenario at or below 1 - confidence.
Exact hypotheses are statements about every run that was made, not inferences, and take no share.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from suite.inference.correction import decisive_alpha, holm_levels
from suite.inference.intervals import Interval, Mean, Share, ShareDifference, clopper_pearson
from suite.inference.samples import Sample, sample
from suite.vocabulary import Condition, Decision, Hypothesis, Outcome, RequestError, Trace, Verdict

Bounds = Callable[[str], tuple[float, float] | None]


def share_bounds(metric: str) -> tuple[float, float] | None:
    """[0, 1] for metrics that are shares by their name (…fraction, …accuracy, …share, …agreement, deaths, revivals),
    None for all others.
    """
    family = metric.split(".")[0]
    words = ("fraction", "accuracy", "share", "agreement", "deaths", "revivals", "dead_at_start")
    return (0.0, 1.0) if any(word in family for word in words) else None


def decide(
    hypotheses: Sequence[Hypothesis],
    conditions: Sequence[Condition],
    traces: Mapping[str, Trace],
    confidence: float,
    seed: int,
    bounds: Bounds = share_bounds,
) -> Outcome:
    """All verdicts of a scenario, in the order given. The outcome is invalid where a control is not supported.

    Raises ValueError where a metric is missing or undefined, RequestError for a divergence rule that a test cannot follow.
    """
    prepared = [_prepare(hypothesis, conditions, traces, confidence, seed, bounds) for hypothesis in hypotheses]
    inferred = [item for item in prepared if item.interval is not None]
    p = [decisive_alpha(lambda a, item=item: item.decision(a) != "inconclusive") for item in inferred]  # type: ignore[misc]
    levels = dict(zip((item.hypothesis.name for item in inferred), holm_levels(p, 1 - confidence), strict=True))
    verdicts = tuple(
        item.verdict(levels[item.hypothesis.name]) if item.interval is not None else item.settled_verdict() for item in prepared
    )
    failed = tuple(v.hypothesis.name for v in verdicts if v.hypothesis.role != "treatment" and v.verdict != "supported")
    return Outcome("invalid" if failed else "valid", verdicts, failed)


@dataclass(frozen=True)
class _Prepared:
    """A hypothesis with its interval, or already settled without one."""

    hypothesis: Hypothesis
    n: int
    diverged: int
    interval: Interval | None = None
    settled: Verdict | None = None
    blocked: str = ""

    def decision(self, alpha: float) -> Decision:
        assert self.interval is not None
        if self.blocked:
            return "inconclusive"
        low, high = self.interval.interval(alpha)
        return three_way(self.hypothesis, low, high)

    def verdict(self, alpha: float) -> Verdict:
        assert self.interval is not None
        low, high = self.interval.interval(alpha)
        note = "; ".join(text for text in (self.blocked, self.interval.method) if text)
        return Verdict(self.hypothesis, self.decision(alpha), self.interval.estimate, low, high, 1 - alpha, self.n, self.diverged, note)

    def settled_verdict(self) -> Verdict:
        assert self.settled is not None
        return self.settled


def three_way(hypothesis: Hypothesis, low: float, high: float) -> Decision:
    """The decision an interval leads to. For ``equal``, supported inside value ± margin and refuted outside it."""
    if hypothesis.direction == "equal":
        bottom, top = hypothesis.value - hypothesis.margin, hypothesis.value + hypothesis.margin
        if low >= bottom and high <= top:
            return "supported"
        return "refuted" if low > top or high < bottom else "inconclusive"
    if hypothesis.direction == "less":
        return "supported" if high < hypothesis.value else "refuted" if low > hypothesis.value else "inconclusive"
    return "supported" if low > hypothesis.value else "refuted" if high < hypothesis.value else "inconclusive"


def _prepare(
    hypothesis: Hypothesis,
    conditions: Sequence[Condition],
    traces: Mapping[str, Trace],
    confidence: float,
    seed: int,
    bounds: Bounds,
) -> _Prepared:
    first = sample(hypothesis, hypothesis.treatment, conditions, traces)
    second = None if hypothesis.contrast is None else sample(hypothesis, hypothesis.contrast, conditions, traces)
    lost = first.any_diverged() if second is None else first.any_diverged() | second.any_diverged()
    diverged, total = int(lost.sum()), len(lost)
    if hypothesis.test == "exact":
        return _Prepared(hypothesis, total, diverged, settled=_exact(hypothesis, first, confidence, diverged))
    if hypothesis.test == "mean" and hypothesis.diverged == "failure":
        raise RequestError(f"{hypothesis.name}: a diverged replicate has no mean; diverged is forbid or exclude here")
    keep = np.ones(total, dtype=bool) if hypothesis.diverged == "failure" else ~lost
    blocked = (
        f"{diverged} of {total} replicates diverged, which this hypothesis forbids" if diverged and hypothesis.diverged == "forbid" else ""
    )
    n = int(keep.sum())
    if n < (2 if hypothesis.test == "mean" else 1):
        estimate = math.nan
        if hypothesis.test == "mean" and n == 1:
            estimate = float(np.nanmean(first.values[:, keep]) - (0.0 if second is None else np.nanmean(second.values[:, keep])))
        note = blocked or f"{n} replicate{'' if n == 1 else 's'} cannot support an interval"
        return _Prepared(
            hypothesis,
            n,
            diverged,
            settled=Verdict(hypothesis, "inconclusive", estimate, math.nan, math.nan, confidence, n, diverged, note),
        )
    interval: Interval
    if hypothesis.test == "proportion":
        assert hypothesis.event is not None
        held = first.throughout(hypothesis.event)[keep]
        if second is None:
            interval = Share(held)
        else:
            interval = ShareDifference(held, second.throughout(hypothesis.event)[keep])
    else:
        values = first.values[:, keep].mean(axis=0)
        limits = bounds(hypothesis.metric)
        if second is not None:
            values = values - second.values[:, keep].mean(axis=0)
            limits = None if limits is None else (limits[0] - limits[1], limits[1] - limits[0])
        interval = Mean(values, _seed(seed, hypothesis.name), limits)
    return _Prepared(hypothesis, n, diverged, interval, blocked=blocked)


def _exact(hypothesis: Hypothesis, found: Sample, confidence: float, diverged: int) -> Verdict:
    """Every replicate of every condition, or the first counterexample. The interval, at the scenario's confidence and for
    information only, is that of the share of replicates in which the event holds throughout.
    """
    assert hypothesis.event is not None
    held = found.held(hypothesis.event)
    counted = np.ones_like(held) if hypothesis.diverged == "failure" else ~found.diverged
    against = np.argwhere(counted & ~held)
    usable = np.asarray(counted.all(axis=0)) if hypothesis.diverged != "failure" else np.ones(held.shape[1], dtype=bool)
    n = int(usable.sum())
    count = int(found.throughout(hypothesis.event)[usable].sum())
    low, high = clopper_pearson(count, n, 1 - confidence) if n else (math.nan, math.nan)
    decision: Decision
    if len(against):
        row, replicate = against[0]
        value = found.values[row, replicate]
        shown = "diverged" if np.isnan(value) else f"{hypothesis.metric} = {value:.6g}"
        decision, note = "refuted", f"counterexample: condition {found.conditions[row]!r}, replicate {replicate}: {shown}"
    elif n == 0 or (diverged and hypothesis.diverged == "forbid"):
        decision, note = "inconclusive", f"{diverged} of {held.shape[1]} replicates diverged"
    else:
        decision, note = "supported", f"holds in every replicate of {len(found.conditions)} condition{'s' * (len(found.conditions) > 1)}"
    return Verdict(hypothesis, decision, count / n if n else math.nan, low, high, confidence, n, diverged, note)


def _seed(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")
