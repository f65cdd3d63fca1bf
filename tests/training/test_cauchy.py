"""Cauchy's step against its closed form on a quadratic and a dense Hessian, and what the optimizers say they hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_second_order import LINEAR, problem_of, run

from suite.config.schema import Data, Model, Optimizer
from suite.training.curvature import flatten, gradient, hessian, unflatten
from suite.training.optimizers import OPTIMIZERS


def tanh(width: int) -> Model:
    return Model(hidden=[width], activation="tanh")


def test_the_step_is_the_minimiser_along_the_gradient():
    """On a quadratic the next gradient is orthogonal to the last one."""
    problem, parameters = problem_of(*LINEAR)
    path = run(problem, parameters, Optimizer(name="cauchy", lr=1.0, damping=0.0), 2)
    before, after = gradient(problem, path[0]), gradient(problem, path[1])
    cosine = (before * after).sum(dim=1) / (before.norm(dim=1) * after.norm(dim=1))
    assert cosine.abs().max() < 1e-12
    assert (problem.losses(path[2]) < problem.losses(path[1])).all()


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_the_length_is_that_of_the_dense_hessian(damping):
    problem, parameters = problem_of(
        Data("blobs", examples=20, features=3, classes=3), Model(hidden=[3], activation="tanh"), "cross_entropy"
    )
    start = flatten(problem.net, parameters)
    slope, matrix = gradient(problem, start), hessian(problem, start)
    bent = torch.einsum("ri,rij,rj->r", slope, matrix, slope)
    size = slope.square().sum(dim=1)
    moved = run(problem, parameters, Optimizer(name="cauchy", lr=0.5, damping=damping), 1)[-1]
    np.testing.assert_allclose(moved, start - 0.5 * (size / (bent.abs() + damping * size))[:, None] * slope, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # a network of 3·4+4 and 4·3+3 parameters in float64: 31² numbers, two factors per layer, ten pairs of vectors, nothing
        ("saddle_free_newton", 8 * 31**2),
        ("gauss_newton", 8 * 31**2),
        ("trust_region", 8 * 31**2),
        ("kfac", 8 * (4**2 + 4**2 + 5**2 + 3**2)),
        ("lbfgs", 8 * 2 * 10 * 31),
        ("cauchy", 0),
    ],
)
def test_the_bytes_held_are_those_of_the_matrices(name, expected):
    problem, parameters = problem_of(
        Data("blobs", examples=20, features=3, classes=3), Model(hidden=[4], activation="tanh"), "cross_entropy"
    )

    stepper = OPTIMIZERS[name](Optimizer(name=name, lr=0.1, damping=0.1), parameters)
    stepper.step(parameters, unflatten(problem.net, gradient(problem, flatten(problem.net, parameters))), problem)
    held = int(stepper.state()["held"]) / 3
    # the trust region also remembers a radius, which is no curvature
    assert held == expected
