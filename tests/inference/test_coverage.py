"""The statistics on data whose truth is known: how often intervals miss, and how often a scenario decides falsely.

Seeds are fixed; every limit is the nominal rate plus three standard errors of the number of trials, unless it says
otherwise.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from suite.inference import decide, means
from suite.inference.intervals import Share, ShareDifference
from suite.inference.means import Mean
from suite.vocabulary import Condition, Event, Hypothesis, Trace

UNIT = (0.0, 1.0)


def limit(rate: float, trials: int) -> float:
    return rate + 3 * math.sqrt(rate * (1 - rate) / trials)


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    """Coverage does not need the last digit of each end."""
    monkeypatch.setattr(means, "RESAMPLES", 1199)


def partial_deaths(share):
    """A share of replicates loses units, a beta(1, 4) part of the 32; the others none. Mean share/5."""
    return lambda rng, n: (rng.uniform(size=n) < share) * rng.binomial(32, rng.beta(1, 4, n)) / 32


#: name: (draw, truth, range, allowed error at 5 %, allowed error at 5 %/12)
LAWS = {
    "normal": (lambda rng, n: rng.standard_normal(n), 0.0, None, 0.05, 0.05 / 12),
    # the known shortfall of skewed laws without a range, as the table in means.py has it
    "exponential": (lambda rng, n: rng.exponential(size=n), 1.0, None, 0.055, 0.01),
    "units die alone": (lambda rng, n: rng.binomial(32, 0.01, n) / 32, 0.01, UNIT, 0.05, 0.05 / 12),
    "1 in 20 partly": (partial_deaths(0.05), 0.01, UNIT, 0.05, 0.05 / 12),
    "1 in 10 partly": (partial_deaths(0.1), 0.02, UNIT, 0.05, 0.05 / 12),
    "1 in 5 partly": (partial_deaths(0.2), 0.04, UNIT, 0.05, 0.05 / 12),
    "1 in 50 wholly": (lambda rng, n: (rng.uniform(size=n) < 0.02).astype(float), 0.02, UNIT, 0.05, 0.05 / 12),
    "pairs": (
        lambda rng, n: partial_deaths(0.1)(rng, n) - partial_deaths(0.1)(rng, n),
        0.0,
        (-1.0, 1.0),
        0.05,
        0.05 / 12,
    ),
}


@pytest.mark.parametrize("n", [16, 64])
@pytest.mark.parametrize("name", LAWS)
def test_intervals_of_a_mean_cover(name, n):
    """At the scenario's level and at the level of one in twelve hypotheses, where a verdict is taken in practice."""
    draw, truth, bounds, plain, corrected = LAWS[name]
    trials = 300
    missed = np.zeros(2)
    for trial in range(trials):
        mean = Mean(draw(np.random.default_rng(trial), n), trial, bounds)
        ends = [mean.interval(alpha) for alpha in (0.05, 0.05 / 12)]
        missed += [not low <= truth <= high for low, high in ends]
    assert missed[0] / trials <= limit(plain, trials)
    assert missed[1] / trials <= limit(corrected, trials)


def test_intervals_are_not_so_wide_that_they_always_cover():
    """The expected length at n = 64 beside that of the t interval, for values in which nothing is wrong."""
    lengths = []
    for trial in range(40):
        values = np.random.default_rng(trial).standard_normal(64)
        mean = Mean(values, trial, None)
        low, high = mean.interval(0.05)
        t = mean._t(0.05)
        lengths.append((high - low) / (mean._unit * (t[1] - t[0])))
    assert 1.0 <= np.mean(lengths) < 1.06


@pytest.mark.parametrize("p", [0.0, 0.01, 0.3, 0.97])
def test_shares_cover_whatever_the_truth(p):
    rng = np.random.default_rng(3)
    intervals = [Share(rng.uniform(size=64) < p).interval(0.05) for _ in range(2000)]
    assert sum(not low <= p <= high for low, high in intervals) / 2000 <= limit(0.05, 2000)


@pytest.mark.parametrize(("first", "second"), [((0.0, 0.4), (0.1, 0.3)), ((0.0, 0.02), (0.5, 0.51)), ((0.0, 0.5), (0.5, 1.0))])
def test_paired_differences_of_shares_cover(first, second):
    rng = np.random.default_rng(3)
    truth = (first[1] - first[0]) - (second[1] - second[0])
    missed = 0
    for _ in range(1000):
        u = rng.uniform(size=64)
        held = [(u >= low) & (u < high) for low, high in (first, second)]
        low, high = ShareDifference(*held).interval(0.05)
        missed += not low <= truth <= high
    assert missed / 1000 <= limit(0.05, 1000)


def study(values, metric):
    """Condition k holds values[k]."""
    conditions = [Condition(str(k), {"x": k}, {}) for k in range(len(values))]
    traces = {
        str(k): Trace(str(k), 0, np.array([0]), {}, {metric: np.asarray(v, float)}, np.full(len(v), -1)) for k, v in enumerate(values)
    }
    return conditions, traces


def about(k, metric, **fields):
    base = {"claim": "C01", "part": "as_stated", "role": "treatment", "statement": "s", "test": "mean"}
    return Hypothesis(name=f"h{k}", metric=metric, treatment={"x": k}, **(base | fields))


def familywise(trials, metric, draw, hypotheses, at_the_threshold, confidence=0.9):
    """Share of studies with any decision on a hypothesis whose truth is its threshold, where each is false."""
    false = 0
    for trial in range(trials):
        conditions, traces = study(draw(np.random.default_rng(10_000 + trial)), metric)
        verdicts = decide(hypotheses, conditions, traces, confidence, trial).verdicts
        false += any(v.verdict != "inconclusive" for v in verdicts if v.hypothesis.name in at_the_threshold)
    return false / trials


def test_false_verdicts_with_a_shared_control():
    """Six paired effects on one control group, each truly at its threshold."""

    def draw(rng):
        control = rng.standard_normal(32)
        return [control, *(control + 0.5 + 0.3 * rng.standard_normal(32) for _ in range(6))]

    hypotheses = [about(k, "loss", contrast={"x": 0}, value=0.5) for k in range(1, 7)]
    assert familywise(150, "loss", draw, hypotheses, {h.name for h in hypotheses}) <= limit(0.1, 150)


def test_false_verdicts_where_others_are_rightly_decided():
    """Four effects are plain, so the shares grow as Holm allows; two lie at their thresholds, one in either
    direction."""

    def draw(rng):
        return [rng.standard_normal(32) + (3 if k < 2 else -3 if k < 4 else 0) for k in range(6)]

    hypotheses = [about(k, "loss", direction="less" if k == 5 else "greater") for k in range(6)]
    assert familywise(150, "loss", draw, hypotheses, {"h4", "h5"}) <= limit(0.1, 150)


def test_false_verdicts_on_dead_units():
    """Six dead fractions, zero in most replicates, each truly at its threshold."""

    def draw(rng):
        return [partial_deaths(share)(rng, 64) for share in (0.03, 0.05, 0.08, 0.1, 0.15, 0.2)]

    values = [share / 5 for share in (0.03, 0.05, 0.08, 0.1, 0.15, 0.2)]
    hypotheses = [about(k, "dead_fraction", direction="less", value=value) for k, value in enumerate(values)]
    assert familywise(150, "dead_fraction", draw, hypotheses, {h.name for h in hypotheses}) <= limit(0.1, 150)


def test_false_verdicts_on_shares():
    """Eight proportions, each truly at its threshold, four of them refutable from above only."""
    truths = (0.02, 0.1, 0.3, 0.5, 0.5, 0.7, 0.9, 0.98)

    def draw(rng):
        return [(rng.uniform(size=64) < p).astype(float) for p in truths]

    hypotheses = [
        about(k, "loss", test="proportion", event=Event("==", 1), value=p, direction="less" if k % 2 else "greater")
        for k, p in enumerate(truths)
    ]
    assert familywise(300, "loss", draw, hypotheses, {h.name for h in hypotheses}) <= limit(0.1, 300)


def test_a_plain_effect_is_found():
    """Without power a procedure that never decides would pass every test above."""
    found = 0
    hypotheses = [about(1, "loss", contrast={"x": 0}, value=0.5)]
    for trial in range(50):
        rng = np.random.default_rng(trial)
        control = rng.standard_normal(64)
        conditions, traces = study([control, control + 0.7 + 0.3 * rng.standard_normal(64)], "loss")
        found += decide(hypotheses, conditions, traces, 0.95, trial).verdicts[0].verdict == "supported"
    assert found >= 48
