"""Verdict rules on small tables whose right answer is plain, and Holm against statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from suite.inference import decide
from suite.inference.correction import decisive_alpha, holm_levels
from suite.inference.decide import three_way
from suite.inference.intervals import Mean, Share, ShareDifference
from suite.vocabulary import Condition, Event, Hypothesis, RequestError, Trace

A, B = Condition("a", {"x": 0}, {}), Condition("b", {"x": 1}, {})


def trace(name: str, values, diverged=()) -> Trace:
    values = np.asarray(values, dtype=float)
    at = np.full(len(values), -1)
    at[list(diverged)] = 3
    return Trace(name, 0, np.array([0]), {}, {"loss": values, "dead_fraction": values}, at)


def hypothesis(name="h", **changes) -> Hypothesis:
    fields = {
        "claim": "C01",
        "part": "as_stated",
        "role": "treatment",
        "statement": "s",
        "metric": "loss",
        "test": "mean",
        "treatment": {"x": 1},
    }
    return Hypothesis(name=name, **(fields | changes))


def verdict(h: Hypothesis, a, b, diverged_b=(), confidence=0.95, seed=0):
    traces = {"a": trace("a", a), "b": trace("b", b, diverged_b)}
    return decide([h], [A, B], traces, confidence, seed).verdicts[0]


NORMAL = np.random.default_rng(0).standard_normal(64)


@pytest.mark.parametrize(
    ("direction", "value", "expected"),
    [
        ("greater", -1.0, "supported"),
        ("greater", 1.0, "refuted"),
        ("greater", float(NORMAL.mean()), "inconclusive"),
        ("less", 1.0, "supported"),
        ("less", -1.0, "refuted"),
        ("less", float(NORMAL.mean()), "inconclusive"),
    ],
)
def test_directions(direction, value, expected):
    assert verdict(hypothesis(direction=direction, value=value), NORMAL, NORMAL).verdict == expected


@pytest.mark.parametrize(("value", "margin", "expected"), [(0.0, 1.0, "supported"), (5.0, 1.0, "refuted"), (0.0, 0.05, "inconclusive")])
def test_equivalence(value, margin, expected):
    h = hypothesis(direction="equal", value=value, margin=margin)
    assert verdict(h, NORMAL, NORMAL).verdict == expected


def test_the_contrast_is_paired():
    """A shift of 0.1 under noise of spread 100: plain to paired differences, invisible without pairing."""
    base = 100 * NORMAL
    shifted = base + 0.1 + 0.01 * np.random.default_rng(1).standard_normal(64)
    h = hypothesis(contrast={"x": 0}, value=0.05)
    found = verdict(h, base, shifted)
    assert found.verdict == "supported" and found.estimate == pytest.approx(0.1, abs=0.01)
    assert verdict(h, base[::-1].copy(), shifted).verdict == "inconclusive"


def test_exact_needs_every_replicate_and_names_the_counterexample():
    h = hypothesis(test="exact", event=Event("==", 0))
    assert verdict(h, np.ones(5), np.zeros(5)).verdict == "supported"
    found = verdict(h, np.ones(5), [0, 0, 1e-300, 0, 2])
    assert found.verdict == "refuted"
    assert "'b', replicate 2: loss = 1e-300" in found.note
    assert found.estimate == pytest.approx(0.6)


@pytest.mark.parametrize(("rule", "expected"), [("forbid", "inconclusive"), ("exclude", "supported"), ("failure", "refuted")])
def test_a_diverged_replicate_counts_as_the_hypothesis_says(rule, expected):
    values = [0.0, 0.0, math.nan, 0.0]
    exact = hypothesis(test="exact", event=Event("==", 0), diverged=rule)
    found = verdict(exact, np.ones(4), values, diverged_b=[2])
    assert found.verdict == expected and found.diverged == 1


def test_a_counterexample_refutes_whatever_diverged():
    h = hypothesis(test="exact", event=Event("==", 0), diverged="forbid")
    assert verdict(h, np.ones(3), [0.0, 7.0, math.nan], diverged_b=[2]).verdict == "refuted"


def test_forbidden_divergence_blocks_a_mean_and_excluded_drops_the_pair():
    values = NORMAL.copy()
    values[5] = math.nan
    found = verdict(hypothesis(value=-1.0), NORMAL, values, diverged_b=[5])
    assert found.verdict == "inconclusive" and found.diverged == 1 and "forbids" in found.note
    found = verdict(hypothesis(value=-1.0, diverged="exclude"), NORMAL, values, diverged_b=[5])
    assert found.verdict == "supported" and found.n == 63
    with pytest.raises(RequestError, match="no mean"):
        verdict(hypothesis(diverged="failure"), NORMAL, values, diverged_b=[5])


def test_failure_counts_against_a_proportion():
    h = hypothesis(test="proportion", event=Event("<", 1), value=0.5, diverged="failure")
    found = verdict(h, np.zeros(40), np.where(np.arange(40) < 30, np.nan, 0.0), diverged_b=range(30))
    assert found.estimate == 0.25 and found.n == 40 and found.verdict == "refuted"


def test_an_undefined_value_is_an_error_not_a_gap():
    with pytest.raises(ValueError, match="replicate 1 of condition 'b'"):
        verdict(hypothesis(), NORMAL[:3], [0.0, math.nan, 0.0])
    with pytest.raises(ValueError, match="was not measured"):
        verdict(hypothesis(metric="unheard_of"), NORMAL[:3], NORMAL[:3])


def test_one_replicate_is_inconclusive_not_a_crash():
    found = verdict(hypothesis(), [0.0], [3.0])
    assert found.verdict == "inconclusive" and found.estimate == 3.0 and math.isnan(found.low)


def test_identical_values_of_a_share_leave_room_for_what_was_not_seen():
    """0 of 64: a replicate that differs may still have probability up to 1 - 0.025^(1/64) = 0.056."""
    found = verdict(hypothesis(metric="dead_fraction", direction="less", value=0.05), np.ones(64), np.zeros(64))
    assert found.low == 0.0
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 64), rel=1e-9)
    assert found.verdict == "inconclusive"
    assert verdict(hypothesis(metric="dead_fraction", direction="less", value=0.06), np.ones(64), np.zeros(64)).verdict == "supported"


def test_a_failed_control_makes_the_study_invalid():
    good = hypothesis("good", role="positive_control", value=-1.0)
    bad = hypothesis("bad", role="negative_control", value=1.0)
    traces = {"a": trace("a", NORMAL), "b": trace("b", NORMAL)}
    assert decide([good], [A, B], traces, 0.95, 0).status == "valid"
    outcome = decide([good, bad], [A, B], traces, 0.95, 0)
    assert outcome.status == "invalid" and outcome.failed_controls == ("bad",)


def test_holm_agrees_with_statsmodels():
    rng = np.random.default_rng(4)
    for _ in range(200):
        p = rng.uniform(0, 0.1, rng.integers(1, 9)) ** rng.uniform(0.5, 2)
        levels = holm_levels(list(p), 0.05)
        expected = multipletests(p, alpha=0.05, method="holm")[0]
        assert [x <= level for x, level in zip(p, levels, strict=True)] == list(expected)


def test_the_decisive_level_of_a_normal_mean_is_its_p_value():
    """For a t interval the smallest deciding alpha is the two-sided t-test's p-value."""
    values = NORMAL + 0.3
    p = scipy.stats.ttest_1samp(values, 0.0).pvalue
    mean = Mean(values, 0, None)
    found = decisive_alpha(lambda a: mean._t(a)[0] > 0 or mean._t(a)[1] < 0)
    assert found == pytest.approx(p, rel=2e-3)


def test_the_order_of_hypotheses_and_the_run_change_nothing():
    hs = [hypothesis(f"h{k}", value=v) for k, v in enumerate((-0.5, 0.0, 0.1, 0.2, 2.0))]
    traces = {"a": trace("a", NORMAL), "b": trace("b", NORMAL + 0.05)}
    one = {v.hypothesis.name: v for v in decide(hs, [A, B], traces, 0.95, 7).verdicts}
    two = {v.hypothesis.name: v for v in decide(hs[::-1], [A, B], traces, 0.95, 7).verdicts}
    assert one == two


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=40), st.floats(1e-4, 0.2), st.floats(1.01, 20))
def test_intervals_are_nested_and_hold_the_estimate(values, alpha, factor):
    mean = Mean(np.asarray(values), 0, None)
    narrow, wide = mean.interval(min(alpha * factor, 0.9)), mean.interval(alpha)
    tiny = 1e-9 * (1 + abs(mean.estimate))
    assert wide[0] <= narrow[0] + tiny and narrow[1] <= wide[1] + tiny
    assert wide[0] - tiny <= mean.estimate <= wide[1] + tiny


@settings(max_examples=60, deadline=None)
@given(st.floats(-2, 2), st.floats(0, 2), st.floats(-2, 2))
def test_greater_and_less_mirror_each_other(low, width, value):
    up = three_way(hypothesis(direction="greater", value=value), low, low + width)
    down = three_way(hypothesis(direction="less", value=-value), -low - width, -low)
    assert up == down


def test_shares_match_statsmodels():
    held = np.arange(50) < 13
    found = Share(held).interval(0.02)
    assert found == pytest.approx(proportion_confint(13, 50, alpha=0.02, method="beta"), rel=1e-9)
    difference = ShareDifference(held, np.zeros(50, dtype=bool))
    assert difference.estimate == 0.26
    assert difference.interval(0.05)[0] < Share(held).interval(0.05)[0]
