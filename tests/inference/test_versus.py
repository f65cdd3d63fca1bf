"""Interactions: a paired difference of differences, beside the arithmetic and a simulation of a 2 x 2 design."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from suite.inference import decide, means
from suite.vocabulary import Condition, Event, Hypothesis, RequestError, Trace, Versus

CELLS = tuple(Condition(f"{x}{y}", {"x": x, "y": y}, {}) for x in (0, 1) for y in (0, 1))
N = 64


def interaction(**changes) -> Hypothesis:
    """How much more x does to the metric at y = 1 than at y = 0."""
    fields = {
        "claim": "C01",
        "part": "as_stated",
        "role": "treatment",
        "statement": "s",
        "metric": "loss",
        "test": "mean",
        "treatment": {"x": 1, "y": 1},
        "contrast": {"x": 0, "y": 1},
        "versus": Versus({"x": 1, "y": 0}, {"x": 0, "y": 0}),
    }
    return Hypothesis(name="h", **(fields | changes))


def traces(values, diverged=None, metric="loss"):
    """``values`` and ``diverged``: cell name -> one value, or one flag, per replicate."""
    lost = diverged or {}
    return {
        name: Trace(name, 0, np.array([0]), {}, {metric: np.asarray(v, float)}, np.where(lost.get(name, np.zeros(len(v), bool)), 3, -1))
        for name, v in values.items()
    }


def cells(effect: float, rng, noise: float = 0.1, n: int = N):
    """A main effect of 2 for x and of 3 for y, the interaction, replicates that differ by 50, and independent noise."""
    replicate = 50 * rng.standard_normal(n)
    return {c.name: replicate + 2 * c.factors["x"] + 3 * c.factors["y"] + effect * c.factors["x"] * c.factors["y"]
            + noise * rng.standard_normal(n) for c in CELLS}  # fmt: skip


def test_the_estimate_and_the_t_interval_are_those_of_the_paired_differences():
    values = cells(0.5, np.random.default_rng(0))
    found = decide([interaction(value=0.4)], CELLS, traces(values), 0.95, 0).verdicts[0]
    paired = (values["11"] - values["01"]) - (values["10"] - values["00"])
    t = scipy.stats.ttest_1samp(paired, 0).confidence_interval(0.95)
    assert found.estimate == pytest.approx(paired.mean())
    assert found.low <= t.low and found.high >= t.high
    assert found.high - found.low < 1.3 * (t.high - t.low)
    assert found.n == N and found.verdict == "supported"


def test_main_effects_alone_are_no_interaction():
    values = cells(0.0, np.random.default_rng(1))
    equal = interaction(direction="equal", margin=0.2)
    assert decide([equal], CELLS, traces(values), 0.95, 0).verdicts[0].verdict == "supported"
    main = interaction(versus=None, value=1.0)
    assert decide([main], CELLS, traces(values), 0.95, 0).verdicts[0].verdict == "supported"


def test_exchanging_the_pairs_turns_the_sign():
    values = cells(0.5, np.random.default_rng(2))
    one = decide([interaction()], CELLS, traces(values), 0.95, 0).verdicts[0]
    other = interaction(
        treatment={"x": 1, "y": 0}, contrast={"x": 0, "y": 0}, versus=Versus(treatment={"x": 1, "y": 1}, contrast={"x": 0, "y": 1})
    )
    turned = decide([other], CELLS, traces(values), 0.95, 0).verdicts[0]
    assert (turned.estimate, turned.low, turned.high) == pytest.approx((-one.estimate, -one.high, -one.low))


def test_a_selection_of_several_conditions_is_averaged_in_each_of_the_four():
    values = {"a": [1.0, 2.0], "b": [3.0, 6.0], "c": [0.0, 1.0], "d": [5.0, 5.0], "e": [1.0, 0.0]}
    conditions = [Condition(name, {}, {}) for name in values]
    h = interaction(
        treatment={"condition": ["a", "b"]}, contrast={"condition": "c"}, versus=Versus({"condition": "d"}, {"condition": ["c", "e"]})
    )
    found = decide([h], conditions, traces(values), 0.95, 0).verdicts[0]
    # by hand: ((2 - 0) - (5 - 0.5), (4 - 1) - (5 - 0.5)) = (-2.5, -1.5)
    assert found.estimate == pytest.approx(-2.0)


def test_of_shares_it_lies_within_twice_their_range():
    """Identical values leave the exact bound alone: 1 - alpha^(1/n) of what remains of the range on either side."""
    values = {"11": np.ones(N), "01": np.zeros(N), "10": np.zeros(N), "00": np.ones(N)}
    found = decide([interaction(metric="dead_fraction")], CELLS, traces(values, metric="dead_fraction"), 0.95, 0).verdicts[0]
    assert found.estimate == 2.0 and found.high == pytest.approx(2.0)
    assert found.low == pytest.approx(2.0 - 4.0 * (1 - 0.05 ** (1 / N)), abs=1e-5)


@pytest.mark.parametrize("cell", ["11", "01", "10", "00"])
def test_a_replicate_lost_in_any_of_the_four_is_lost(cell):
    values = cells(0.5, np.random.default_rng(3))
    flags = np.arange(N) == 5
    values[cell][5] = np.nan
    lost = traces(values, {cell: flags})
    found = decide([interaction()], CELLS, lost, 0.95, 0).verdicts[0]
    assert found.verdict == "inconclusive" and found.diverged == 1
    found = decide([interaction(diverged="exclude")], CELLS, lost, 0.95, 0).verdicts[0]
    assert found.verdict == "supported" and found.n == N - 1


def test_the_interval_covers_an_interaction_of_shares(monkeypatch):
    """Units of 32 die independently with the cell's probability; the truth is 0.3 - 0.1 - (0.2 - 0.05) = 0.05."""
    monkeypatch.setattr(means, "RESAMPLES", 1199)
    chance = {"11": 0.3, "01": 0.1, "10": 0.2, "00": 0.05}
    missed, trials = 0, 300
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        values = {name: rng.binomial(32, p, N) / 32 for name, p in chance.items()}
        h = interaction(metric="dead_fraction")
        found = decide([h], CELLS, traces(values, metric="dead_fraction"), 0.95, trial).verdicts[0]
        missed += not found.low <= 0.05 <= found.high
    assert missed / trials <= 0.05 + 3 * (0.05 * 0.95 / trials) ** 0.5


@pytest.mark.parametrize(
    "changes",
    [{"contrast": None}, {"test": "auc"}, {"test": "proportion", "event": Event(">", 0)}],
)
def test_only_a_mean_with_a_contrast_has_an_interaction(changes):
    with pytest.raises(RequestError, match="versus compares two differences of means"):
        decide([interaction(**changes)], CELLS, traces(cells(0.5, np.random.default_rng(0))), 0.95, 0)
