"""The AUC against SciPy's and statsmodels', its interval's coverage by simulation, and the decisions it leads to."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm
from statsmodels.stats.nonparametric import rank_compare_2indep

from suite.inference import decide
from suite.inference.auc import Auc
from suite.vocabulary import Condition, Hypothesis, RequestError, Trace


def test_the_estimate_is_mann_whitneys_and_the_error_statsmodels_where_there_is_no_pairing():
    rng = np.random.default_rng(0)
    for shift, digits in ((0.0, 9), (1.0, 9), (1.0, 0)):  # the last with many ties
        x, y = np.round(rng.normal(shift, 1, 400), digits), np.round(rng.normal(0, 2, 400), digits)
        auc = Auc(x, y)
        assert auc.estimate == pytest.approx(mannwhitneyu(x, y).statistic / 400**2, abs=1e-12)
        pairs = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
        assert auc.estimate == pytest.approx(pairs.mean(), abs=1e-12)
        components = pairs.mean(axis=1) + pairs.mean(axis=0)
        assert auc.error == pytest.approx(components.std(ddof=1) / 20, rel=1e-12)
        independent = rank_compare_2indep(x, y)
        assert independent.prob1 == pytest.approx(auc.estimate, abs=1e-12)
        # unpaired draws: the two differ only by the chance covariance of the pairs
        assert auc.error == pytest.approx(np.sqrt(independent.var_prob), rel=0.15)


def test_mirror_images_and_monotone_maps():
    rng = np.random.default_rng(1)
    x, y = rng.normal(1, 1, 20), rng.normal(0, 1, 20)
    low, high = Auc(x, y).interval(0.05)
    assert Auc(y, x).interval(0.05) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    assert Auc(np.exp(x), np.exp(y)).interval(0.05) == pytest.approx((low, high), abs=1e-12)
    order = rng.permutation(20)
    assert Auc(x[order], y[order]).interval(0.05) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize("n", [2, 16, 64])
def test_intervals_are_nested_hold_the_estimate_and_never_degenerate(n):
    rng = np.random.default_rng(n)
    apart = np.arange(n, dtype=float)
    for x, y in ((apart + n, apart), (apart, apart + n), (np.ones(n), np.ones(n)), (rng.normal(size=n), rng.normal(size=n))):
        auc = Auc(x, y)
        last = (auc.estimate, auc.estimate)
        for alpha in (0.9, 0.3, 0.05, 0.001):
            low, high = auc.interval(alpha)
            assert 0 <= low <= last[0] + 1e-12
            assert last[1] - 1e-12 <= high <= 1
            assert high > low
            last = (low, high)


def test_the_interval_covers():
    """One-sided errors at 5 % stay within chance (four standard errors of 800 samples) of 2.5 % for shifted normals, and of 4.6 % for
    one value in twenty on the wrong side, the worst of the module's table."""
    rng = np.random.default_rng(7)
    laws = (
        (lambda n: (rng.normal(1, 1, n), rng.normal(0, 1, n)), norm.cdf(1 / np.sqrt(2)), 0.025),
        (lambda n: (rng.normal(2.5, 1, n), rng.normal(0, 1, n)), norm.cdf(2.5 / np.sqrt(2)), 0.025),
        (lambda n: (np.where(rng.random(n) < 0.05, 0.0, 1.0), np.full(n, 0.5)), 0.95, 0.046),
    )
    for draw, truth, due in laws:
        limit = due + 4 * np.sqrt(due * (1 - due) / 800)
        for n in (16, 64):
            ends = np.array([Auc(*draw(n)).interval(0.05) for _ in range(800)])
            assert (ends[:, 0] > truth + 1e-12).mean() < limit
            assert (ends[:, 1] < truth - 1e-12).mean() < limit


def hypothesis(**changes) -> Hypothesis:
    basis = {
        "name": "h", "claim": "C", "part": "boundary", "role": "treatment", "statement": "s", "metric": "m", "test": "auc",
        "treatment": {"condition": "a"}, "contrast": {"condition": "b"}, "value": 0.75,
    }  # fmt: skip
    return Hypothesis(**(basis | changes))


def decided(h: Hypothesis, a, b, diverged=()):
    conditions = [Condition("a", {}, {}), Condition("b", {}, {})]
    traces = {}
    for name, values in (("a", a), ("b", b)):
        at = np.full(len(values), -1)
        if name == "a":
            at[list(diverged)] = 3
        traces[name] = Trace(name, 0, np.array([0]), {}, {"m": np.asarray(values, dtype=float)}, at)
    return decide([h], conditions, traces, 0.95, 0).verdicts[0]


def test_it_decides_three_ways():
    rng = np.random.default_rng(2)
    low, high, same = rng.normal(0, 1, 64), rng.normal(5, 1, 64), rng.normal(0, 1, 64)
    assert decided(hypothesis(), high, low).verdict == "supported"
    assert decided(hypothesis(), same, low).verdict == "refuted"
    assert decided(hypothesis(), same + 0.95, low).verdict == "inconclusive"
    assert decided(hypothesis(direction="less"), low, high).verdict == "supported"
    assert decided(hypothesis(direction="equal", value=0.5, margin=0.25), same, low).verdict == "supported"
    assert decided(hypothesis(direction="equal", value=0.5, margin=0.25), high, low).verdict == "refuted"


def test_diverged_replicates_are_left_out_or_forbid_a_verdict():
    values = np.arange(20.0)
    lost = decided(hypothesis(), values + 100, values, diverged=[3])
    assert (lost.verdict, lost.n, lost.diverged) == ("inconclusive", 19, 1)
    kept = decided(hypothesis(diverged="exclude"), values + 100, values, diverged=[3])
    assert (kept.verdict, kept.n, kept.diverged) == ("supported", 19, 1)
    assert kept.estimate == 1
    alone = decided(hypothesis(diverged="exclude"), values[:2] + 100, values[:2], diverged=[0])
    assert (alone.verdict, alone.n) == ("inconclusive", 1)


def test_it_needs_two_populations():
    with pytest.raises(RequestError, match="needs a contrast"):
        decided(hypothesis(contrast=None), [1.0, 2.0], [1.0, 2.0])
    with pytest.raises(RequestError, match="forbid or exclude"):
        decided(hypothesis(diverged="failure"), [1.0, 2.0], [1.0, 2.0])
