"""Decides hypotheses: supported, refuted or inconclusive, from intervals whose level is corrected over the scenario.

Knows traces and hypotheses, not how they came to be. What the correction guarantees, and its proof, is in
``correction``; how far the intervals cover is in ``intervals`` and ``means``. Exact hypotheses are statements about
every run that was made, not inferences, and take no share of alpha; every other one takes its share, also where
divergence left it nothing to decide.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from suite.inference.auc import Auc
from suite.inference.bounds import Bounds, share_bounds
from suite.inference.correction import holm_levels
from suite.inference.exact import decide_exact
from suite.inference.intervals import Interval, Share, ShareDifference
from suite.inference.means import Mean
from suite.inference.samples import Sample, sample
from suite.inference.scales import GeometricMean, logarithms, slopes
from suite.inference.units import best_of, by_block
from suite.vocabulary import Condition, Decision, Hypothesis, Level, Outcome, RequestError, Trace, Verdict, is_timed


def decide(
    hypotheses: Sequence[Hypothesis],
    conditions: Sequence[Condition],
    traces: Mapping[str, Trace],
    confidence: float,
    seed: int,
    bounds: Bounds = share_bounds,
    block_size: int | None = None,
) -> Outcome:
    """All verdicts of a scenario, in the order given. The outcome is invalid where a control is not supported.

    ``bounds`` gives the range of a metric, None where it has none; differences lie within the range's width either way, and
    differences of differences within twice that. ``block_size`` is how many consecutive replicates share a clock: a metric that
    a clock made counts once for each such block.
    Raises ValueError where a metric is missing, undefined or outside its range, RequestError for a hypothesis that
    its test cannot decide.
    """
    for hypothesis in hypotheses:
        _check(hypothesis)
    if len({hypothesis.name for hypothesis in hypotheses}) < len(hypotheses):
        raise RequestError("two hypotheses have the same name")
    samples = {h.name: _samples(h, conditions, traces, block_size) for h in hypotheses}
    inferred = {h.name: _prepare(h, samples[h.name], seed, bounds) for h in hypotheses if h.test != "exact"}
    levels = holm_levels(
        {name: item.decision for name, item in inferred.items()},
        frozenset(name for name, item in inferred.items() if item.hypothesis.direction == "equal"),
        1 - confidence,
    )
    verdicts = tuple(
        inferred[h.name].verdict(levels[h.name]) if h.name in inferred else decide_exact(h, samples[h.name][0], confidence)
        for h in hypotheses
    )
    failed = tuple(v.hypothesis.name for v in verdicts if v.hypothesis.role != "treatment" and v.verdict != "supported")
    return Outcome("invalid" if failed else "valid", verdicts, failed)


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


@dataclass(frozen=True)
class _Prepared:
    """A hypothesis and its interval, None where too few units are left; ``blocked`` says why it is undecidable."""

    hypothesis: Hypothesis
    n: int
    diverged: int
    interval: Interval | None
    estimate: float
    blocked: str

    def decision(self, alpha: float) -> Decision:
        """What the interval of confidence 1 - alpha leads to."""
        if self.interval is None or self.blocked:
            return "inconclusive"
        return three_way(self.hypothesis, *self.interval.interval(alpha))

    def verdict(self, alpha: float) -> Verdict:
        """The verdict at its corrected level."""
        low, high = (math.nan, math.nan) if self.interval is None else self.interval.interval(alpha)
        unit = "one value per block of replicates that share a clock" if is_timed(self.hypothesis.metric) else ""
        note = "; ".join(text for text in (self.blocked, self.interval.method if self.interval else "", unit) if text)
        return Verdict(self.hypothesis, self.decision(alpha), self.estimate, low, high, 1 - alpha, self.n, self.diverged, note)


def _check(h: Hypothesis) -> None:
    if h.test in ("exact", "proportion") and h.event is None:
        raise RequestError(f"{h.name}: test {h.test} needs an event")
    if h.test == "exact" and h.contrast is not None:
        raise RequestError(f"{h.name}: an exact test has no contrast; state the event on the treatment")
    if h.test == "auc" and h.contrast is None:
        raise RequestError(f"{h.name}: test auc compares two populations and so needs a contrast")
    if h.versus is not None and (h.test != "mean" or h.contrast is None):
        raise RequestError(f"{h.name}: versus compares two differences of means and so needs test mean and a contrast")
    if h.test == "ratio" and h.contrast is None:
        raise RequestError(f"{h.name}: test ratio divides by a contrast and so needs one")
    if (h.test == "exponent") != (h.over is not None):
        raise RequestError(f"{h.name}: 'over' names the metric that an exponent is fitted over; it goes with test exponent only")
    if h.test == "exponent" and h.best is not None:
        raise RequestError(f"{h.name}: an exponent is fitted over all of the treatment's conditions and takes no 'best'")
    if h.test not in ("exact", "proportion") and h.diverged == "failure":
        raise RequestError(f"{h.name}: a diverged replicate has no mean and no rank; diverged is forbid or exclude here")
    if h.test != "exact" and h.direction == "equal" and not h.margin > 0:
        raise RequestError(f"{h.name}: direction equal needs a margin above zero")


def _samples(h: Hypothesis, conditions: Sequence[Condition], traces: Mapping[str, Trace], block_size: int | None) -> tuple[Sample, ...]:
    """One sample for each of its selections, in their order; for an exponent one of the sizes after each."""

    def of(selection: Mapping[str, Level], metric: str) -> Sample:
        one = sample(replace(h, metric=metric), selection, conditions, traces)
        if is_timed(h.metric):
            if block_size is None:
                raise ValueError(f"{h.name}: {h.metric} was made by a clock, and nothing says which replicates shared one")
            one = by_block(one, block_size)
        return one if h.best is None else best_of(one, h.best)

    metrics = [h.metric] if h.over is None else [h.metric, h.over]
    found = tuple(of(selection, metric) for selection in h.selections.values() for metric in metrics)
    if len({one.values.shape[1] for one in found}) > 1:
        raise ValueError(f"{h.name}: {', '.join(h.selections)} do not hold the same replicates")
    return found


def _prepare(h: Hypothesis, samples: tuple[Sample, ...], seed: int, bounds: Bounds) -> _Prepared:
    first, second = samples[0], samples[1] if len(samples) > 1 else None
    lost = np.any([one.any_diverged() for one in samples], axis=0)
    diverged, total = int(lost.sum()), len(lost)
    keep = np.ones(total, dtype=bool) if h.diverged == "failure" else ~lost
    n = int(keep.sum())
    blocked = []
    if diverged and h.diverged == "forbid":
        blocked.append(f"{diverged} of {total} {_units(h)}s diverged, which this hypothesis forbids; estimated from the rest")
    interval: Interval | None = None
    estimate = math.nan
    if h.test == "mean":
        values, limits = _values(h, samples, keep, bounds)
        if n >= 2:
            interval = Mean(values, _seed(seed, h.name), limits)
        elif n == 1:
            estimate = float(values[0])
    elif h.test in ("ratio", "exponent"):
        if n >= 2:
            values = _scaled(h, samples, keep)
            interval = GeometricMean(values, _seed(seed, h.name)) if h.test == "ratio" else Mean(values, _seed(seed, h.name), None)
    elif h.test == "auc":
        assert second is not None
        if n >= 2:
            interval = Auc(first.values[:, keep].mean(axis=0), second.values[:, keep].mean(axis=0))
    elif n:
        assert h.event is not None
        held = first.throughout(h.event)[keep]
        interval = Share(held) if second is None else ShareDifference(held, second.throughout(h.event)[keep])
    if interval is None:
        blocked.append(f"{n} {_units(h)}{'' if n == 1 else 's'} cannot support an interval")
    else:
        estimate = interval.estimate
    return _Prepared(h, n, diverged, interval, estimate, "; ".join(blocked))


def _units(h: Hypothesis) -> str:
    return "block" if is_timed(h.metric) else "replicate"


def _scaled(h: Hypothesis, samples: tuple[Sample, ...], keep: NDArray[np.bool_]) -> NDArray[np.float64]:
    """One value per kept unit: the logarithm of a ratio, or a slope, less that of the contrast where there is one."""
    kept = [one.values[:, keep] for one in samples]
    if h.test == "ratio":
        parts = [logarithms(values, f"{h.name}: {h.metric}").mean(axis=0) for values in kept]
    else:
        parts = [slopes(values, sizes, f"{h.name}: {h.metric}") for values, sizes in zip(kept[::2], kept[1::2], strict=True)]
    return np.asarray(parts[0] if len(parts) == 1 else parts[0] - parts[1])


def _values(
    h: Hypothesis, samples: tuple[Sample, ...], keep: NDArray[np.bool_], bounds: Bounds
) -> tuple[NDArray[np.float64], tuple[float, float] | None]:
    """One value per kept replicate and the range it must lie in: the average over conditions; of two samples their difference,
    of four the difference of the first two less that of the last two.
    """
    limits = bounds(h.metric)
    averages = []
    for found in samples:
        kept = found.values[:, keep]
        if not np.isfinite(kept).all():
            raise ValueError(f"{h.name}: {h.metric} is infinite in a replicate that did not diverge; it has no mean")
        # the slack is for averages of ones that come out an ulp above one
        if limits is not None and kept.size and (kept.min() < limits[0] - 1e-9 or kept.max() > limits[1] + 1e-9):
            raise ValueError(f"{h.name}: {h.metric} has values outside its range [{limits[0]:g}, {limits[1]:g}]")
        averages.append(kept.mean(axis=0))
    while len(averages) > 1:
        averages = [minuend - subtrahend for minuend, subtrahend in zip(averages[::2], averages[1::2], strict=True)]
        limits = None if limits is None else (limits[0] - limits[1], limits[1] - limits[0])
    return averages[0], limits


def _seed(seed: int, name: str) -> int:
    """Each hypothesis has resamples of its own, whichever others stand beside it."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")
