"""The born-dead closed forms against Monte Carlo in NumPy that shares no code with the suite."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from suite.nets.closed_forms import born_dead_lower, born_dead_one_input

NETWORKS = 40_000


def silent_networks(width: int, hidden: int, inputs: np.ndarray) -> int:
    """How many of NETWORKS random ReLU networks (normal weights, no biases) have a layer silent on every input [input, feature]."""
    rng = np.random.default_rng(width * 1000 + hidden)
    values = np.broadcast_to(inputs, (NETWORKS, *inputs.shape))
    silent = np.zeros(NETWORKS, dtype=bool)
    for _ in range(hidden):
        weights = rng.standard_normal((NETWORKS, values.shape[2], width))
        values = np.maximum(values @ weights, 0)
        # signs are all that matters: keep deep products away from underflow
        values = values / np.maximum(values.max(axis=(1, 2), keepdims=True), 1e-300)
        silent |= (values == 0).all(axis=(1, 2))
    return int(silent.sum())


@pytest.mark.parametrize(("width", "hidden"), [(1, 3), (2, 1), (2, 9), (3, 9), (5, 9), (4, 20)])
def test_one_input_is_silenced_with_exactly_the_stated_probability(width, hidden):
    found = scipy.stats.binomtest(silent_networks(width, hidden, np.ones((1, 3))), NETWORKS).proportion_ci(0.999)
    assert found.low <= born_dead_one_input(width, hidden) <= found.high


@pytest.mark.parametrize(("width", "hidden"), [(1, 5), (2, 2), (2, 9), (3, 9), (3, 30), (5, 9)])
def test_inputs_of_both_signs_lie_between_the_bounds(width, hidden):
    """With one-dimensional inputs and no biases two inputs, -1 and 1, stand for all. The bounds are also no wider than they
    must be: for width 2 and nine layers they leave 5.5 points."""
    found = scipy.stats.binomtest(silent_networks(width, hidden, np.array([[1.0], [-1.0]])), NETWORKS).proportion_ci(0.999)
    assert found.high >= born_dead_lower(width, hidden)
    assert found.low <= born_dead_one_input(width, hidden)


def test_one_layer_never_silences_both_signs():
    assert silent_networks(2, 1, np.array([[1.0], [-1.0]])) == 0
    assert born_dead_lower(2, 1) == 0
    assert born_dead_lower(2, 9) == pytest.approx(0.8703, abs=5e-5)


def test_many_dimensional_inputs_are_silenced_less_often_than_the_upper_bound():
    inputs = np.random.default_rng(0).standard_normal((20, 6))
    found = scipy.stats.binomtest(silent_networks(3, 9, inputs), NETWORKS).proportion_ci(0.999)
    assert found.low > 0.05 and found.high < born_dead_one_input(3, 9) - 0.05


@pytest.mark.parametrize(("width", "hidden"), [(0, 3), (2, 0)])
def test_an_empty_network_is_refused(width, hidden):
    for form in (born_dead_one_input, born_dead_lower):
        with pytest.raises(ValueError, match="at least 1"):
            form(width, hidden)
