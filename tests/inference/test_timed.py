"""Clocks as observations: blocks, ratios and exponents against NumPy, SciPy and statsmodels, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm

from suite.inference import decide
from suite.inference.samples import Sample
from suite.inference.scales import GeometricMean, slopes
from suite.inference.units import best_of, by_block
from suite.vocabulary import Condition, Hypothesis, RequestError, Trace, is_timed

SECONDS = "time.step_seconds"


def hypothesis(**changes) -> Hypothesis:
    kept = {"metric": SECONDS, "test": "ratio", "treatment": {"condition": "a"}, "contrast": {"condition": "b"}, "value": 1.0}
    return Hypothesis("h", "C21", "as_stated", "treatment", "a takes longer than b", **{**kept, **changes})


def trace(name: str, diverged=(), **finals) -> Trace:
    count = len(next(iter(finals.values())))
    ended = np.full(count, -1)
    ended[list(diverged)] = 3
    values = {key.replace("__", "."): np.where(ended >= 0, np.nan, np.asarray(value, dtype=float)) for key, value in finals.items()}
    return Trace(name, 0, np.array([0]), {}, values, ended)


def verdict(h: Hypothesis, traces: dict[str, Trace], block_size: int | None = 4):
    conditions = [Condition(name, {}, {}) for name in traces]
    return decide([h], conditions, traces, 0.95, 0, block_size=block_size).verdicts[0]


def clocks(rng, blocks: int, size: int, centre: float, spread: float = 0.05) -> np.ndarray:
    """One log-normal reading per block, the same for all its replicates."""
    return np.repeat(np.exp(rng.normal(np.log(centre), spread, blocks)), size)


def test_a_clock_is_told_by_its_name():
    assert is_timed(SECONDS)
    assert not is_timed("steps_to_target")
    assert not is_timed("escape_time")


def test_a_blocks_replicates_are_one_observation():
    rng = np.random.default_rng(0)
    a, b = clocks(rng, 10, 4, 2.0), clocks(rng, 10, 4, 1.0)
    found = verdict(hypothesis(), {"a": trace("a", time__step_seconds=a), "b": trace("b", time__step_seconds=b)})
    logs = np.log(a[::4] / b[::4])
    assert found.n == 10
    assert "block" in found.note
    assert found.estimate == pytest.approx(scipy.stats.gmean(a[::4] / b[::4]), rel=1e-12)
    low, high = np.exp(scipy.stats.ttest_1samp(logs, 0).confidence_interval(0.95))
    # the hull holds Student's interval and is not much wider on ten ordinary values
    assert found.low <= low * (1 + 1e-9)
    assert found.high >= high * (1 - 1e-9)
    assert np.log(found.high / found.low) < 1.6 * np.log(high / low)


def test_a_metric_without_a_clock_counts_once_per_replicate():
    rng = np.random.default_rng(1)
    a, b = rng.lognormal(1, 0.1, 40), rng.lognormal(0, 0.1, 40)
    found = verdict(hypothesis(metric="steps_to_target"), {"a": trace("a", steps_to_target=a), "b": trace("b", steps_to_target=b)})
    assert found.n == 40
    assert found.estimate == pytest.approx(scipy.stats.gmean(a / b), rel=1e-12)
    assert found.verdict == "supported"


def test_the_exponent_is_the_mean_slope_of_ordinary_least_squares():
    rng = np.random.default_rng(2)
    sizes = np.array([100.0, 200.0, 500.0, 1000.0])
    values = sizes[:, None] ** 1.7 * np.exp(rng.normal(0, 0.1, (4, 6)))
    fits = [sm.OLS(np.log(values[:, k]), sm.add_constant(np.log(sizes))).fit().params[1] for k in range(6)]
    np.testing.assert_allclose(slopes(values, np.repeat(sizes[:, None], 6, axis=1), "t"), fits, rtol=1e-12)
    traces = {f"p{k}": trace(f"p{k}", time__step_seconds=np.repeat(values[k], 4), parameters=np.full(24, sizes[k])) for k in range(4)}
    h = hypothesis(test="exponent", over="parameters", treatment={}, contrast=None, value=1.0)
    found = verdict(h, traces)
    assert found.estimate == pytest.approx(np.mean(fits), rel=1e-12)
    assert (found.n, found.verdict) == (6, "supported")
    low, high = scipy.stats.ttest_1samp(fits, 0).confidence_interval(0.95)
    assert found.low <= low + 1e-12
    assert found.high >= high - 1e-12


def test_the_difference_of_two_exponents():
    sizes = (10.0, 100.0)
    traces = {
        f"{arm}{k}": trace(f"{arm}{k}", time__step_seconds=np.full(12, size**power), parameters=np.full(12, size))
        for arm, power in (("a", 3), ("b", 1))
        for k, size in enumerate(sizes)
    }
    h = hypothesis(
        test="exponent", over="parameters", treatment={"condition": ["a0", "a1"]}, contrast={"condition": ["b0", "b1"]}, value=1.9
    )
    found = verdict(h, traces)
    assert found.estimate == pytest.approx(2.0, abs=1e-12)
    assert found.verdict == "supported"


def coverage(of_clocks: bool, trials: int = 400) -> tuple[float, float]:
    """One-sided misses of a true ratio of 1.2 from 8 blocks of 4, with noise that a block's replicates share."""
    below = above = 0
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        a, b = clocks(rng, 8, 4, 1.2), clocks(rng, 8, 4, 1.0)
        metric = SECONDS if of_clocks else "pretended"
        key = metric.replace(".", "__")
        found = verdict(hypothesis(metric=metric), {"a": trace("a", **{key: a}), "b": trace("b", **{key: b})})
        below += found.low > 1.2
        above += found.high < 1.2
    return below / trials, above / trials


def test_blocks_cover_and_their_replicates_would_not():
    """At 5 % both ends together miss at most 5 % (and four standard errors of 400 trials) by blocks; taking the replicates of a block for
    independent misses far more often.
    """
    assert sum(coverage(True)) <= 0.05 + 4 * (0.05 * 0.95 / 400) ** 0.5
    assert sum(coverage(False, 100)) > 0.2


def test_an_exponents_interval_covers():
    sizes = np.array([100.0, 300.0, 1000.0])
    missed = 0
    for trial in range(300):
        rng = np.random.default_rng(trial)
        values = sizes[:, None] ** 2 * np.exp(rng.normal(0, 0.2, (3, 10)))
        low, high = np.sort(slopes(values, np.repeat(sizes[:, None], 10, axis=1), "t")), None
        traces = {f"p{k}": trace(f"p{k}", time__step_seconds=values[k], parameters=np.full(10, sizes[k])) for k in range(3)}
        found = verdict(hypothesis(test="exponent", over="parameters", treatment={}, contrast=None, value=1.0), traces, block_size=1)
        missed += not found.low <= 2 <= found.high
        assert low[0] <= found.estimate <= low[-1]
        assert high is None
    assert missed / 300 <= 0.05 + 4 * (0.05 * 0.95 / 300) ** 0.5


def test_a_block_with_a_diverged_replicate_is_left_out():
    rng = np.random.default_rng(3)
    a, b = clocks(rng, 5, 4, 2.0), clocks(rng, 5, 4, 1.0)
    traces = {"a": trace("a", diverged=[6], time__step_seconds=a), "b": trace("b", time__step_seconds=b)}
    forbidden = verdict(hypothesis(), traces)
    assert (forbidden.verdict, forbidden.n, forbidden.diverged) == ("inconclusive", 4, 1)
    assert "1 of 5 blocks diverged" in forbidden.note
    excluded = verdict(hypothesis(diverged="exclude"), traces)
    rest = np.r_[0:4, 8:20]
    assert excluded.estimate == pytest.approx(scipy.stats.gmean(a[rest] / b[rest]), rel=1e-12)
    assert excluded.verdict == "supported"


def test_the_best_of_a_grid_is_each_units_own_and_never_a_diverged_run():
    values = np.array([[3.0, 1.0, np.nan], [2.0, 5.0, np.nan], [4.0, np.nan, np.nan]])
    ended = np.where(np.isnan(values), 7, -1)
    least = best_of(Sample(("a", "b", "c"), values, ended), "least")
    np.testing.assert_array_equal(least.values, [[2.0, 1.0, np.nan]])
    np.testing.assert_array_equal(least.diverged_at, [[-1, -1, 7]])
    np.testing.assert_array_equal(best_of(Sample(("a", "b", "c"), values, ended), "greatest").values, [[4.0, 5.0, np.nan]])
    traces = {
        name: trace(name, steps_to_target=row) for name, row in (("a", [3.0, 1.0, 9.0]), ("b", [2.0, 5.0, 9.0]), ("c", [1.0, 1.0, 3.0]))
    }
    h = hypothesis(metric="steps_to_target", best="least", treatment={"condition": ["a", "b"]}, contrast={"condition": "c"})
    assert verdict(h, traces, None).estimate == pytest.approx((2 * 1 * 3) ** (1 / 3))


def test_what_cannot_be_decided_is_refused():
    good = {"a": trace("a", time__step_seconds=np.ones(8)), "b": trace("b", time__step_seconds=np.ones(8))}
    with pytest.raises(ValueError, match="which replicates shared one"):
        verdict(hypothesis(), good, None)
    with pytest.raises(ValueError, match="do not divide into blocks of 3"):
        verdict(hypothesis(), good, 3)
    with pytest.raises(ValueError, match="not above zero"):
        verdict(hypothesis(), {**good, "b": trace("b", time__step_seconds=np.zeros(8))})
    same = {name: trace(name, time__step_seconds=np.ones(8), parameters=np.ones(8)) for name in "ab"}
    with pytest.raises(ValueError, match="different sizes"):
        verdict(hypothesis(test="exponent", over="parameters", treatment={}, contrast=None), same)
    for changes, text in (
        ({"contrast": None}, "needs one"),
        ({"test": "exponent"}, "'over' names"),
        ({"over": "parameters"}, "'over' names"),
        ({"diverged": "failure"}, "forbid or exclude"),
        ({"test": "exponent", "over": "parameters", "best": "least"}, "no 'best'"),
    ):
        with pytest.raises(RequestError, match=text):
            verdict(hypothesis(**changes), good)


def test_two_blocks_have_an_interval_without_overflow():
    interval = GeometricMean(np.array([0.0, 1.0]), 0)
    low, high = interval.interval(1e-6)
    assert 0 <= low < interval.estimate < high < np.inf


def test_by_block_takes_means_in_order():
    found = by_block(Sample(("a",), np.arange(6.0)[None], np.full((1, 6), -1)), 3)
    np.testing.assert_array_equal(found.values, [[1.0, 4.0]])
