"""The streams: keyed by what they say, independent of what is asked beside them, and of the right law."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import scipy.stats

from suite.streams import VERSION, BatchOrder, generator, stack_normal, stack_uniform


def test_the_key_is_the_documented_hash():
    key = hashlib.sha256(f"{VERSION}/3/7/init".encode()).digest()[:16]
    expected = np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little"))).uniform(-1, 1, 5)
    np.testing.assert_array_equal(stack_uniform(3, [7], "init", (5,))[0], expected)


def test_a_replicate_draws_the_same_whoever_is_asked_with_it():
    together = stack_normal(1, range(8), "init", (4, 3))
    np.testing.assert_array_equal(together[5], stack_normal(1, [5], "init", (4, 3))[0])
    for other in (stack_normal(2, [5], "init", (4, 3)), stack_normal(1, [6], "init", (4, 3)), stack_normal(1, [5], "x", (4, 3))):
        assert not np.array_equal(together[5], other[0])


def test_laws_and_independence_of_streams():
    draws = stack_uniform(0, range(50), "init", (400,))
    assert scipy.stats.kstest(draws.ravel(), scipy.stats.uniform(-1, 2).cdf).pvalue > 1e-3
    correlations = np.corrcoef(draws)[np.triu_indices(50, 1)]
    assert abs(correlations.mean()) < 0.005
    assert scipy.stats.kstest(correlations * np.sqrt(400), scipy.stats.norm.cdf).pvalue > 1e-3
    assert scipy.stats.kstest(stack_normal(0, range(50), "init", (400,)).ravel(), scipy.stats.norm.cdf).pvalue > 1e-3


def test_every_epoch_is_a_permutation_and_steps_may_be_asked_in_any_order():
    order = BatchOrder(0, range(3), 53, 10)
    epoch = order.epoch(2)
    assert epoch.shape == (3, 5, 10)
    for replicate in range(3):
        assert len(set(epoch[replicate].ravel().tolist())) == 50
    steps = [order.indices(step).copy() for step in range(12)]
    fresh = BatchOrder(0, range(3), 53, 10)
    for step in (11, 0, 7):
        np.testing.assert_array_equal(fresh.indices(step), steps[step])
    assert not np.array_equal(order.epoch(0)[0], order.epoch(1)[0])
    assert not np.array_equal(order.epoch(0)[0], order.epoch(0)[1])
    assert not np.array_equal(BatchOrder(0, range(3), 53, 10, "prelude").epoch(0), order.epoch(0))


@pytest.mark.parametrize("size", [None, 53, 99])
def test_the_full_batch_is_everything_in_order(size):
    order = BatchOrder(0, range(2), 53, size)
    for step in (0, 4):
        np.testing.assert_array_equal(order.indices(step), np.tile(np.arange(53), (2, 1)))


def test_no_global_state_is_touched():
    before = np.random.get_state()[1].copy()
    generator(0, 0, "x").normal(size=10)
    BatchOrder(0, range(2), 10, 2).indices(3)
    assert np.array_equal(before, np.random.get_state()[1])
