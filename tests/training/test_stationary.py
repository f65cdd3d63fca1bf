"""The finder on problems whose stationary points are all known, and where there are none to find."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from suite.config.schema import Data, Model
from suite.data import load
from suite.nets.initial import initial_parameters
from suite.nets.mlp import Mlp
from suite.training import stationary
from suite.training.curvature import Problem, flatten
from suite.training.losses import LOSSES

LINEAR = {"activation": "leaky_relu", "negative_slope": 1.0}
VARIANCES = np.array([1.0, 0.5, 0.25, 0.125])


def autoencoder(starts: int, hidden: int = 2) -> tuple[Problem, torch.Tensor]:
    data = load(Data("axes", features=4), "data").tensors(torch.device("cpu"), torch.float64)
    model = Model(hidden=[hidden], **LINEAR, init="he")
    net = Mlp.of(model, 4, 4)
    parameters, buffers = initial_parameters(net, model, 3, range(starts), torch.device("cpu"), torch.float64)
    # starts at many distances from the origin reach all classes
    scale = torch.linspace(0.05, 1.5, starts, dtype=torch.float64)[:, None]
    x = data.train_x.expand(starts, -1, -1)
    return Problem(net, LOSSES["squared_error"], x, x, buffers), flatten(net, parameters) * scale


def test_the_data_have_the_covariance_they_claim():
    data = load(Data("axes", features=4), "data")
    x = data.train_x
    assert x.sum(axis=0).tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(x.T @ x / len(x), np.diag(VARIANCES), atol=1e-15)


def test_every_class_of_the_linear_autoencoder_is_found_and_one_is_a_minimum():
    """Baldi and Hornik (1989): a critical point keeps a set of at most p = 2 of the d = 4 principal axes, and its loss is the sum of
    the variances left out, over d: 1 + 4 + 6 = 11 classes. Only the one that keeps the two largest is a minimum."""
    problem, starts = autoencoder(400)
    points = stationary.find(problem, starts, 200)
    critical = points.critical(1e-10)
    assert critical.double().mean() > 0.95
    classes = [kept for size in range(3) for kept in itertools.combinations(range(4), size)]
    losses = np.array([(VARIANCES.sum() - VARIANCES[list(kept)].sum()) / 4 for kept in classes])
    assert len(np.unique(losses)) == len(classes) == 11
    found = points.loss[critical].numpy()
    distance = np.abs(found[:, None] - losses[None, :])
    assert distance.min(axis=1).max() < 1e-9
    seen = distance.argmin(axis=1)
    assert set(seen) == set(range(11))
    index = points.index()[critical].numpy()
    best = int(losses.argmin())
    assert (index[seen == best] == 0).all()
    assert (index[seen != best] > 0).all()


def test_the_index_of_a_class_is_counted_right():
    """At a class of full rank, each kept axis j paired with a left-out axis i of larger variance gives one descent direction."""
    problem, starts = autoencoder(400)
    points = stationary.find(problem, starts, 200)
    for kept in itertools.combinations(range(4), 2):
        left = [i for i in range(4) if i not in kept]
        descending = sum(VARIANCES[i] > VARIANCES[j] for i in left for j in kept)
        loss = VARIANCES[left].sum() / 4
        at = ((points.loss - loss).abs() < 1e-9) & points.critical(1e-10)
        assert at.any()
        np.testing.assert_allclose(points.index()[at], descending / starts.shape[1])


def test_a_stall_is_told_from_a_stationary_point():
    """x²y²-like valleys aside, a loss without any stationary point: the logistic loss of separable data. The finder drives the
    gradient down for ever, and no tolerance below the residual calls it critical."""
    x = torch.tensor([[[-1.0], [1.0]]], dtype=torch.float64)
    y = torch.tensor([[0, 1]])
    net = Mlp.of(Model(hidden=[]), 1, 2)
    problem = Problem(net, LOSSES["cross_entropy"], x, y, {})
    points = stationary.find(problem, torch.zeros(1, 4, dtype=torch.float64), 5)
    assert points.residual[0] > 1e-8
    assert not points.critical(1e-8).any()


def test_flatness_is_the_share_of_the_gradient_the_hessian_sees():
    """At w = 1 of w³-like curvature: a quadratic bowl sees all of its gradient along its own eigenvector."""
    x = torch.tensor([[[1.0], [-1.0]]], dtype=torch.float64)
    net = Mlp.of(Model(hidden=[]), 1, 1)
    problem = Problem(net, LOSSES["squared_error"], x, torch.zeros(1, 2, 1, dtype=torch.float64), {})
    points = stationary.find(problem, torch.tensor([[1.0, 0.0]], dtype=torch.float64), 0)
    # H = diag(2, 2), g = (2, 0): ‖Hg‖ / (‖H‖_F ‖g‖) = 4 / (2√2 · 2)
    np.testing.assert_allclose(points.flatness, 1 / np.sqrt(2), rtol=1e-12)
    np.testing.assert_allclose(points.residual, 2.0)
