"""Holm by direction against statsmodels, and the levels written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.multitest import multipletests

from suite.inference.correction import SMALLEST_ALPHA, decisive_alpha, holm_levels


def rule(p: float, decision: str = "supported"):
    """A hypothesis that is decided from alpha = p upwards."""
    return lambda alpha: decision if alpha >= p else "inconclusive"


def test_the_smallest_deciding_alpha_of_a_t_interval_is_its_p_value():
    values = np.random.default_rng(0).standard_normal(64) + 0.3
    p = scipy.stats.ttest_1samp(values, 0.0).pvalue

    def decided(alpha: float) -> str:
        low = scipy.stats.t.interval(1 - alpha, 63, loc=values.mean(), scale=scipy.stats.sem(values))[0]
        return "supported" if low > 0 else "inconclusive"

    assert decisive_alpha(decided, "supported") == pytest.approx(p, rel=2e-3)
    assert decisive_alpha(decided, "refuted") == 1.0
    assert decisive_alpha(rule(0.0), "supported") == SMALLEST_ALPHA


@pytest.mark.parametrize("decision", ["supported", "refuted"])
def test_each_direction_agrees_with_statsmodels(decision):
    rng = np.random.default_rng(4)
    rejected = 0
    for _ in range(25):
        p = rng.uniform(0, 0.1, rng.integers(1, 9)) ** rng.uniform(0.5, 2)
        levels = holm_levels({str(k): rule(x, decision) for k, x in enumerate(p)}, frozenset(), 0.05)
        expected = multipletests(p, alpha=0.05, method="holm")[0]
        assert [x <= levels[str(k)] for k, x in enumerate(p)] == list(expected)
        rejected += sum(expected)
    assert rejected > 10


def test_supports_and_refutations_do_not_hand_each_other_their_share():
    rules = {"a": rule(1e-9), "b": rule(1e-8), "c": rule(1e-9, "refuted"), "d": rule(0.9)}
    assert holm_levels(rules, frozenset(), 0.04) == pytest.approx({"a": 0.01, "b": 0.04 / 3, "c": 0.01, "d": 0.04 / 3})


def test_an_equality_is_refuted_at_half_its_share_and_supported_at_all_of_it():
    two_ended = frozenset({"a"})
    assert holm_levels({"a": rule(1e-9, "refuted")}, two_ended, 0.04) == pytest.approx({"a": 0.02})
    assert holm_levels({"a": rule(1e-9)}, two_ended, 0.04) == pytest.approx({"a": 0.04})
    assert holm_levels({"a": rule(0.03, "refuted")}, two_ended, 0.04) == pytest.approx({"a": 0.02})


def test_ties_go_by_name_not_by_place():
    rules = {"a": rule(0.0), "b": rule(0.0), "c": rule(0.0)}
    backwards = dict(reversed(rules.items()))
    assert holm_levels(rules, frozenset(), 0.06) == holm_levels(backwards, frozenset(), 0.06)


def test_nothing_to_correct():
    assert holm_levels({}, frozenset(), 0.05) == {}
