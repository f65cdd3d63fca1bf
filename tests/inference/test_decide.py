"""Verdict rules on small tables whose right answer is plain."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suite.inference import decide
from suite.inference.decide import three_way
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


def test_a_failed_control_makes_the_study_invalid():
    good = hypothesis("good", role="positive_control", value=-1.0)
    bad = hypothesis("bad", role="negative_control", value=1.0)
    traces = {"a": trace("a", NORMAL), "b": trace("b", NORMAL)}
    assert decide([good], [A, B], traces, 0.95, 0).status == "valid"
    outcome = decide([good, bad], [A, B], traces, 0.95, 0)
    assert outcome.status == "invalid" and outcome.failed_controls == ("bad",)


def test_the_order_of_hypotheses_and_the_run_change_nothing():
    hs = [hypothesis(f"h{k}", value=v) for k, v in enumerate((-0.5, 0.0, 0.1, 0.2, 2.0))]
    traces = {"a": trace("a", NORMAL), "b": trace("b", NORMAL + 0.05)}
    one = {v.hypothesis.name: v for v in decide(hs, [A, B], traces, 0.95, 7).verdicts}
    two = {v.hypothesis.name: v for v in decide(hs[::-1], [A, B], traces, 0.95, 7).verdicts}
    assert one == two


@settings(max_examples=60, deadline=None)
@given(st.floats(-2, 2), st.floats(0, 2), st.floats(-2, 2))
def test_greater_and_less_mirror_each_other(low, width, value):
    up = three_way(hypothesis(direction="greater", value=value), low, low + width)
    down = three_way(hypothesis(direction="less", value=-value), -low - width, -low)
    assert up == down


def test_the_verdict_agrees_with_the_interval_shown():
    """At every effect size, and so also where p lies within the search's tolerance of its share."""
    for shift in np.linspace(0.2, 0.5, 31):
        found = verdict(hypothesis(value=0.0), NORMAL, NORMAL + shift)
        assert found.verdict == three_way(found.hypothesis, found.low, found.high)
        assert found.low <= found.estimate <= found.high


def test_many_hypotheses_share_alpha_and_exact_ones_take_none():
    hs = [hypothesis(f"h{k}", value=-9.0) for k in range(4)]
    exact = hypothesis("exact", test="exact", event=Event(">", -9))
    traces = {"a": trace("a", NORMAL), "b": trace("b", NORMAL)}
    found = {v.hypothesis.name: v.confidence for v in decide([*hs, exact], [A, B], traces, 0.95, 0).verdicts}
    assert found == pytest.approx({"h0": 1 - 0.05 / 4, "h1": 1 - 0.05 / 3, "h2": 0.975, "h3": 0.95, "exact": 0.95})


def test_a_hypothesis_that_divergence_leaves_undecided_keeps_its_share():
    lost = hypothesis("lost", treatment={"x": 0}, diverged="exclude")
    traces = {"a": trace("a", np.full(64, np.nan), range(64)), "b": trace("b", NORMAL)}
    found = decide([lost, hypothesis("h", value=-1.0)], [A, B], traces, 0.95, 0).verdicts
    assert found[0].verdict == "inconclusive" and found[0].n == 0 and math.isnan(found[0].estimate)
    assert found[1].confidence == pytest.approx(0.975)


def test_identical_shares_cannot_be_told_from_a_near_threshold():
    """0 of 64: with confidence 0.95 at most 1 - 0.05^(1/64) = 4.6 % of replicates may differ, each by up to 1."""
    near, far = (hypothesis(metric="dead_fraction", direction="less", value=value) for value in (0.045, 0.048))
    assert verdict(near, np.ones(64), np.zeros(64)).verdict == "inconclusive"
    assert verdict(far, np.ones(64), np.zeros(64)).verdict == "supported"


def test_an_excluded_replicate_still_counts_where_it_did_not_diverge():
    """Replicate 1 diverged under a and is a counterexample under b."""
    h = hypothesis(test="exact", event=Event("==", 0), treatment={}, diverged="exclude")
    traces = {"a": trace("a", [0.0, math.nan, 0.0], [1]), "b": trace("b", [0.0, 5.0, 0.0])}
    found = decide([h], [A, B], traces, 0.95, 0).verdicts[0]
    assert found.verdict == "refuted" and "'b', replicate 1" in found.note
    assert (found.n, found.diverged, found.estimate) == (3, 1, pytest.approx(2 / 3))


def test_a_failure_names_the_step():
    h = hypothesis(test="exact", event=Event("==", 0), diverged="failure")
    assert "replicate 2: diverged at step 3" in verdict(h, np.zeros(4), [0, 0, math.nan, 0], diverged_b=[2]).note


def test_failure_counts_on_each_side_of_a_contrast():
    h = hypothesis(test="proportion", event=Event("==", 0), contrast={"x": 0}, diverged="failure")
    traces = {"a": trace("a", np.zeros(40), range(10)), "b": trace("b", np.zeros(40), range(5, 35))}
    found = decide([h], [A, B], traces, 0.95, 0).verdicts[0]
    assert found.estimate == pytest.approx(10 / 40 - 30 / 40) and found.diverged == 35 and found.n == 40


def test_several_conditions_are_averaged_for_a_mean_and_must_all_hold_for_a_share():
    traces = {"a": trace("a", NORMAL), "b": trace("b", NORMAL + 2)}
    mean = decide([hypothesis(treatment={})], [A, B], traces, 0.95, 0).verdicts[0]
    assert mean.estimate == pytest.approx(NORMAL.mean() + 1)
    share = hypothesis(test="proportion", event=Event(">", 0), treatment={})
    assert decide([share], [A, B], traces, 0.95, 0).verdicts[0].estimate == (NORMAL > 0).mean()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": "proportion"}, "needs an event"),
        ({"test": "exact", "event": Event("==", 0), "contrast": {"x": 0}}, "no contrast"),
        ({"direction": "equal"}, "margin above zero"),
    ],
)
def test_what_cannot_be_decided_is_refused(changes, message):
    with pytest.raises(RequestError, match=message):
        verdict(hypothesis(**changes), NORMAL, NORMAL)


def test_values_outside_a_metrics_range_are_an_error():
    with pytest.raises(ValueError, match="outside its range"):
        verdict(hypothesis(metric="dead_fraction"), np.zeros(4), [0.0, 0.5, 1.5, 0.0])


def test_conditions_must_hold_the_same_replicates():
    with pytest.raises(ValueError, match="same replicates"):
        verdict(hypothesis(contrast={"x": 0}), NORMAL, NORMAL[:10])


def test_one_replicate_of_every_test():
    for test in ("exact", "proportion", "mean"):
        found = verdict(hypothesis(test=test, event=Event(">", 0), value=0.5), [0.0], [3.0])
        assert found.n == 1 and found.verdict == ("supported" if test == "exact" else "inconclusive")
