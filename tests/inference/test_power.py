"""What a design can decide, against closed forms, simulation and the decisions themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from suite.inference import detectable_effect, identical_reach, share_bounds
from suite.inference.intervals import Share, ShareDifference
from suite.inference.means import Mean


def test_exact_is_the_share_seen_at_least_once():
    share = detectable_effect("exact", 64, 0.95, 1)
    assert (1 - share) ** 64 == pytest.approx(0.2)


@pytest.mark.parametrize(("n", "m"), [(5, 1), (64, 12)])
def test_a_share_farther_off_is_always_decided(n, m):
    reach = detectable_effect("proportion", n, 0.95, m)
    worst = 0.0
    for count in range(n + 1):
        low, high = Share(np.arange(n) < count).interval(0.05 / m)
        worst = max(worst, high - count / n, count / n - low)
    assert reach == pytest.approx(worst)


def test_a_paired_difference_farther_off_is_always_decided():
    reach = detectable_effect("proportion", 12, 0.95, 3, paired=True)
    for more in range(13):
        for less in range(13 - more):
            first, second = np.arange(12) < more, np.arange(12) >= 12 - less
            difference = ShareDifference(first, second)
            low, high = difference.interval(0.05 / 3)
            assert difference.estimate - low <= reach + 1e-12 and high - difference.estimate <= reach + 1e-12


@pytest.mark.parametrize(("n", "m"), [(2, 1), (16, 3), (64, 10), (1000, 1)])
def test_a_mean_effect_has_the_power_statsmodels_gives(n, m):
    d = detectable_effect("mean", n, 0.95, m)
    # one-sided at half the level: of a decision, only the right direction counts
    assert TTestPower().power(d, nobs=n, alpha=0.025 / m, alternative="larger") == pytest.approx(0.8, abs=1e-6)


def test_the_reach_of_a_constant_sample_is_the_interval_it_gets():
    assert identical_reach(64, 0.95, 12) == pytest.approx(Mean(np.zeros(64), 0, (0.0, 1.0)).interval(0.05 / 12)[1], abs=2e-6)


def test_too_few():
    assert math.isnan(detectable_effect("mean", 1, 0.95, 1))
    with pytest.raises(ValueError, match="at least 1"):
        detectable_effect("mean", 0, 0.95, 1)


@pytest.mark.parametrize("metric", ["dead_fraction", "dead_fraction.layer2", "moved_fraction.output_bias", "test_accuracy", "deaths"])
def test_shares_are_known_by_name(metric):
    assert share_bounds(metric) == (0.0, 1.0)


@pytest.mark.parametrize("metric", ["moved_norm.hidden_weight", "train_loss", "coast_ratio", "shared_norm", "revival_step"])
def test_other_metrics_have_no_range(metric):
    assert share_bounds(metric) is None
