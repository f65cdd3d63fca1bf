"""The statistics on data whose truth is known: how often intervals cover, and how often a scenario decides falsely.

Simulated with fixed seeds; the limits allow for the binomial noise of the number of trials.
"""

from __future__ import annotations

import numpy as np
import pytest

from suite.inference import decide, intervals
from suite.inference.intervals import Mean, Share, ShareDifference
from suite.vocabulary import Condition, Hypothesis, Trace

TRIALS = 400


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    """Coverage does not need the last digit of each endpoint."""
    monkeypatch.setattr(intervals, "RESAMPLES", 999)


def dead_units(rng, shape):
    """Multiples of 1/32, most replicates with none dead: typical of dead fractions. Mean 0.0125."""
    return rng.binomial(32, 0.05, shape) * (rng.uniform(size=shape) < 0.25) / 32


LAWS = {
    "normal": (lambda rng, n: rng.standard_normal(n), 0.0, None),
    "exponential": (lambda rng, n: rng.exponential(size=n), 1.0, None),
    "dead units": (dead_units, 0.25 * 0.05, (0.0, 1.0)),
    "rare": (lambda rng, n: (rng.uniform(size=n) < 0.02).astype(float), 0.02, (0.0, 1.0)),
    "nearly all": (lambda rng, n: 1 - rng.binomial(1, 0.1, n) / 32, 1 - 0.1 / 32, (0.0, 1.0)),
}


@pytest.mark.parametrize("name", LAWS)
def test_intervals_of_a_mean_cover_at_64(name):
    """Nominal 95 %. The skewed laws are the hard ones: at n = 64 a few points less are measured and allowed for."""
    draw, truth, bounds = LAWS[name]
    covered = 0
    for trial in range(TRIALS):
        low, high = Mean(draw(np.random.default_rng(trial), 64), trial, bounds).interval(0.05)
        covered += low <= truth <= high
    assert covered / TRIALS >= {"exponential": 0.92, "dead units": 0.91}.get(name, 0.93)


@pytest.mark.parametrize("p", [0.0, 0.01, 0.3, 0.97])
def test_shares_cover_whatever_the_truth(p):
    rng = np.random.default_rng(3)
    covered = sum(low <= p <= high for low, high in (Share(rng.uniform(size=64) < p).interval(0.05) for _ in range(2000)))
    assert covered / 2000 >= 0.94


def test_paired_differences_of_shares_cover():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(2000):
        u = rng.uniform(size=64)
        low, high = ShareDifference(u < 0.4, (u > 0.1) & (u < 0.3)).interval(0.05)
        covered += low <= 0.2 <= high
    assert covered / 2000 >= 0.94


def test_false_verdicts_over_a_whole_scenario_stay_below_the_stated_level():
    """Six hypotheses whose true effect lies exactly at the threshold, where any decision is a false one, sharing one control group as
    scenarios do. At confidence 0.9 at most 10 % of scenarios may hold any false decision."""
    conditions = [Condition(str(k), {"x": k}, {}) for k in range(7)]
    hypotheses = [
        Hypothesis(f"h{k}", "C01", "as_stated", "treatment", "s", "loss", "mean", {"x": k}, {"x": 0}, value=0.5) for k in range(1, 7)
    ]
    false = 0
    for trial in range(TRIALS):
        rng = np.random.default_rng(10_000 + trial)
        control = rng.standard_normal(64)
        traces = {"0": Trace("0", 0, np.array([0]), {}, {"loss": control}, np.full(64, -1))}
        for k in range(1, 7):
            values = control + 0.5 + 0.3 * rng.standard_normal(64)
            traces[str(k)] = Trace(str(k), 0, np.array([0]), {}, {"loss": values}, np.full(64, -1))
        outcome = decide(hypotheses, conditions, traces, 0.9, trial)
        false += any(verdict.verdict != "inconclusive" for verdict in outcome.verdicts)
    # three standard errors of a binomial share of 0.1 at 400 trials are 0.045
    assert false / TRIALS <= 0.1 + 0.045


def test_a_plain_effect_is_found():
    """Without power a procedure that never decides would pass the test above."""
    conditions = [Condition(str(k), {"x": k}, {}) for k in range(2)]
    h = Hypothesis("h", "C01", "as_stated", "treatment", "s", "loss", "mean", {"x": 1}, {"x": 0}, value=0.5)
    found = 0
    for trial in range(50):
        rng = np.random.default_rng(trial)
        control = rng.standard_normal(64)
        traces = {
            "0": Trace("0", 0, np.array([0]), {}, {"loss": control}, np.full(64, -1)),
            "1": Trace("1", 0, np.array([0]), {}, {"loss": control + 0.7 + 0.3 * rng.standard_normal(64)}, np.full(64, -1)),
        }
        found += decide([h], conditions, traces, 0.95, trial).verdicts[0].verdict == "supported"
    assert found >= 48
