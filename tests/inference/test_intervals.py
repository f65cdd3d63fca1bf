"""Intervals against scipy, closed forms and a bootstrap written out here; nesting and symmetry as properties."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from suite.inference import means
from suite.inference.intervals import Share, ShareDifference, clopper_pearson
from suite.inference.means import Mean

UNIT = (0.0, 1.0)
SKEWED = np.random.default_rng(5).exponential(size=40)


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    """Enough for every comparison here, none of which rests on a distant tail."""
    monkeypatch.setattr(means, "RESAMPLES", 999)


@pytest.mark.parametrize("count", [0, 1, 13, 49, 50])
def test_shares_match_statsmodels_and_scipy(count):
    found = Share(np.arange(50) < count).interval(0.02)
    assert found == pytest.approx(proportion_confint(count, 50, alpha=0.02, method="beta"), rel=1e-9)
    other = scipy.stats.binomtest(count, 50).proportion_ci(0.98, method="exact")
    assert found == pytest.approx((other.low, other.high), rel=1e-9, abs=1e-12)


def test_a_share_difference_never_claims_more_than_its_certain_half():
    held = np.arange(50) < 13
    difference = ShareDifference(held, np.zeros(50, dtype=bool))
    assert difference.estimate == 0.26
    assert difference.interval(0.05)[0] < Share(held).interval(0.05)[0]
    # no discordant pair at all: 1 - (alpha/4)^(1/n) either way
    reach = 1 - (0.05 / 4) ** (1 / 50)
    assert ShareDifference(held, held).interval(0.05) == pytest.approx((-reach, reach))


def test_the_bca_part_is_scipys():
    """The same resamples (the sorted sample, the same generator) through scipy's own BCa."""
    expected = scipy.stats.bootstrap(
        (np.sort(SKEWED),), np.mean, n_resamples=9999, method="BCa", confidence_level=0.99, rng=np.random.default_rng(3)
    ).confidence_interval
    means.RESAMPLES = 9999
    mean = Mean(SKEWED, 3, None)
    assert not mean._mirrored
    assert mean._scaled(mean._bca(0.01)) == pytest.approx((expected.low, expected.high), rel=5e-3)
    assert Mean(SKEWED, 3, None).estimate == pytest.approx(SKEWED.mean())


def test_the_t_part_is_scipys():
    mean = Mean(SKEWED, 0, None)
    expected = scipy.stats.t.interval(0.97, 39, loc=SKEWED.mean(), scale=scipy.stats.sem(SKEWED))
    assert mean._scaled(mean._t(0.03)) == pytest.approx(expected, rel=1e-9)


def test_the_bootstrap_t_part_matches_one_written_out():
    rng = np.random.default_rng(11)
    drawn = rng.choice(SKEWED, (20_000, 40))
    t = (drawn.mean(1) - SKEWED.mean()) / scipy.stats.sem(drawn, axis=1)
    error = scipy.stats.sem(SKEWED)
    expected = SKEWED.mean() - np.quantile(t, [0.975, 0.025]) * error
    means.RESAMPLES = 19_999
    mean = Mean(SKEWED, 1, None)
    assert mean._scaled(mean._bootstrap_t(0.05)) == pytest.approx(tuple(expected), abs=0.1 * error)


def test_identical_values_leave_room_for_what_was_not_seen():
    """0 of n differ: with confidence 1 - alpha at most 1 - alpha^(1/n) of replicates do, by no more than the range."""
    q = 1 - 0.05 ** (1 / 64)
    assert Mean(np.zeros(64), 0, UNIT).interval(0.05) == pytest.approx((0.0, q), abs=2e-6)
    assert Mean(np.full(64, 0.25), 0, UNIT).interval(0.05) == pytest.approx((0.25 - 0.25 * q, 0.25 + 0.75 * q), abs=2e-6)
    assert Mean(np.zeros(64), 0, (-1.0, 1.0)).interval(0.05) == pytest.approx((-q, q), abs=4e-6)


def test_one_value_apart_is_not_taken_for_the_whole_truth():
    """One replicate in 64 lost one unit of 32. That another may lose all of them is still bounded exactly."""
    values = np.zeros(64)
    values[7] = 1 / 32
    q = scipy.stats.binomtest(1, 64).proportion_ci(0.9, method="exact").high
    assert Mean(values, 0, UNIT).interval(0.05)[1] == pytest.approx(q, abs=2e-6)


def test_rounding_errors_are_not_spread():
    """Differences of float32 shares that all mean 18/360 scatter by 1e-8; that is no evidence of anything."""
    base = np.arange(64, dtype=np.float32) * 4
    values = ((base + 18) / np.float32(360)).astype(float) - (base / np.float32(360)).astype(float)
    assert len(np.unique(values)) > 5
    low, high = Mean(values, 0, (-1.0, 1.0)).interval(0.05)
    q = 1 - 0.05 ** (1 / 64)
    assert (low, high) == pytest.approx((0.05 - 1.05 * q, 0.05 + 0.95 * q), abs=1e-5)


def test_identical_values_without_a_range_are_a_point_and_say_so():
    mean = Mean(np.full(9, 3.5), 0, None)
    assert mean.interval(0.01) == (3.5, 3.5)
    assert "identical" in mean.method and "no known range" in mean.method


def test_a_mean_is_reproducible_by_seed():
    assert Mean(SKEWED, 4, None).interval(0.05) == Mean(SKEWED, 4, None).interval(0.05)
    assert Mean(SKEWED, 4, None).interval(0.001) != Mean(SKEWED, 5, None).interval(0.001)


SAMPLES = st.one_of(
    st.lists(st.floats(-5, 5), min_size=2, max_size=30),
    st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.03125, 0.5, 1.0]), min_size=2, max_size=30),
)


@settings(max_examples=60, deadline=None)
@given(SAMPLES, st.floats(1e-5, 0.3), st.floats(1.01, 50), st.booleans())
def test_intervals_of_a_mean_are_nested_and_hold_the_estimate(values, alpha, factor, ranged):
    means.RESAMPLES = 199
    mean = Mean(np.asarray(values), 0, (-5.0, 5.0) if ranged else None)
    wide, narrow = mean.interval(alpha), mean.interval(min(alpha * factor, 0.999))
    assert wide[0] <= narrow[0] <= mean.estimate <= narrow[1] <= wide[1]
    assert np.isfinite(wide).all()


@settings(max_examples=60, deadline=None)
@given(SAMPLES, st.floats(1e-5, 0.5), st.booleans(), st.randoms())
def test_order_changes_nothing_and_mirroring_mirrors(values, alpha, ranged, random):
    means.RESAMPLES = 199
    bounds = (-5.0, 5.0) if ranged else None
    low, high = Mean(np.asarray(values), 0, bounds).interval(alpha)
    shuffled = list(values)
    random.shuffle(shuffled)
    assert Mean(np.asarray(shuffled), 0, bounds).interval(alpha) == (low, high)
    assert Mean(-np.asarray(values), 0, bounds).interval(alpha) == (-high, -low)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 80), st.data(), st.floats(1e-9, 0.5), st.floats(1.01, 1.9))
def test_intervals_of_shares_are_nested_and_symmetric(total, data, alpha, factor):
    count = data.draw(st.integers(0, total))
    wide, narrow = clopper_pearson(count, total, alpha), clopper_pearson(count, total, alpha * factor)
    assert wide[0] <= narrow[0] <= count / total <= narrow[1] <= wide[1]
    other = clopper_pearson(total - count, total, alpha)
    assert other == pytest.approx((1 - wide[1], 1 - wide[0]), abs=1e-9)
