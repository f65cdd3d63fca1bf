"""Initialisation schemes against the moments their authors state, and the born-dead probability of Lu et al."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch

from suite.config.choices import ACTIVATIONS as NAMES
from suite.config.schema import Model
from suite.nets.activations import ACTIVATIONS
from suite.nets.initial import initial_parameters
from suite.nets.mlp import Mlp

CPU = torch.device("cpu")


def weights(init: str, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    model = Model(hidden=[30], init=init)
    parameters, _ = initial_parameters(Mlp.of(model, 50, 5), model, 0, range(count), CPU, torch.float64)
    return parameters["layer1.weight"].numpy().ravel(), parameters["layer1.bias"].numpy().ravel()


@pytest.mark.parametrize(
    ("init", "law"),
    [
        ("pytorch", scipy.stats.uniform(-1 / math.sqrt(50), 2 / math.sqrt(50))),
        ("he", scipy.stats.norm(0, math.sqrt(2 / 50))),
        ("glorot", scipy.stats.uniform(-math.sqrt(6 / 80), 2 * math.sqrt(6 / 80))),
    ],
)
def test_weights_follow_the_stated_law(init, law):
    w, b = weights(init)
    assert scipy.stats.kstest(w, law.cdf).pvalue > 1e-3
    if init == "pytorch":
        assert scipy.stats.kstest(b, law.cdf).pvalue > 1e-3
    else:
        assert (b == 0).all()


def test_asymmetric_replaces_one_number_of_each_unit_by_a_beta_draw():
    """Lu et al. 2020, algorithm 1: of a unit's fan-in + 1 numbers one is Beta(2, 1), the rest normal with deviation 0.6007/√fan-in.
    With a fan-in of 10,000 the normal ones stay below 0.04, so the Beta draws stand out."""
    model = Model(hidden=[300], init="rai")
    parameters, _ = initial_parameters(Mlp.of(model, 10_000, 1), model, 0, range(2), CPU, torch.float64)
    together = torch.cat([parameters["layer1.weight"], parameters["layer1.bias"][:, None, :]], dim=1).numpy()
    far = together > 0.04
    # Beta(2, 1) lies below 0.04 with probability 0.0016
    assert (far.sum(axis=1) <= 1).all() and (far.sum(axis=1) == 1).mean() > 0.98
    assert scipy.stats.kstest(together[far], scipy.stats.beta(2, 1).cdf).pvalue > 1e-3
    assert scipy.stats.kstest(together[~far], scipy.stats.norm(0, 0.006007).cdf).pvalue > 1e-3
    rows = np.argwhere(far)[:, 1]
    assert scipy.stats.kstest(rows, scipy.stats.randint(0, 10_001).cdf).pvalue > 1e-3
    small = Model(hidden=[2000], init="rai")
    biases = initial_parameters(Mlp.of(small, 1, 1), small, 0, range(2), CPU, torch.float64)[0]["layer1.bias"].numpy()
    # with one input the bias is the replaced one half of the time
    mixture = lambda x: 0.5 * scipy.stats.beta(2, 1).cdf(x) + 0.5 * scipy.stats.norm(0, 0.6007).cdf(x)  # noqa: E731
    assert scipy.stats.kstest(biases.ravel(), mixture).pvalue > 1e-3


def test_schemes_share_their_draws():
    """Uniform schemes differ by their scale alone, so replicates stay paired across them."""
    np.testing.assert_allclose(weights("pytorch")[0] * math.sqrt(50), weights("glorot")[0] / math.sqrt(6 / 80), rtol=1e-12)


def test_born_dead_share_of_narrow_deep_networks_matches_the_closed_form():
    """Lu et al. 2020: for a single input and zero biases a network of width N and H hidden layers is born dead (its
    last hidden layer silent) with probability exactly 1 - (1 - 2^-N)^H; for N = 3, H = 9 that is 0.6993."""
    model, trials = Model(hidden=[3] * 9, init="he"), 4000
    net = Mlp.of(model, 1, 1)
    parameters, buffers = initial_parameters(net, model, 0, range(trials), CPU, torch.float64)
    posts = net.forward(parameters, buffers, torch.ones(trials, 1, 1, dtype=torch.float64), training=False).post
    dead = int((posts[-1].amax(dim=(1, 2)) == 0).sum())
    interval = scipy.stats.binomtest(dead, trials).proportion_ci(0.999)
    assert interval.low <= 1 - (1 - 2**-3) ** 9 <= interval.high


def test_every_activation_name_that_may_be_configured_exists():
    assert set(NAMES) == set(ACTIVATIONS)


def test_step_passes_no_gradient_and_is_zero_at_zero():
    pre = torch.tensor([[[-1.0, 0.0, 2.0]]], requires_grad=True)
    value = ACTIVATIONS["step"](pre, 0.0)
    assert value.tolist() == [[[0.0, 0.0, 1.0]]]
    (gradient,) = torch.autograd.grad(value.sum(), pre)
    assert (gradient == 0).all()
