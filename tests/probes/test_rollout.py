"""The rollout against the closed forms of coasting and decay, and against scipy-free arithmetic on single numbers."""

from __future__ import annotations

import math

import pytest
import torch

from suite.config.schema import Optimizer
from suite.probes.rollout import Path, coasting_factor


def path(optimizer: Optimizer, value: float, state: dict[str, float] | None = None, kind: str = "bias") -> Path:
    tensors = {name: torch.tensor([number], dtype=torch.float64) for name, number in (state or {}).items()}
    return Path(optimizer, kind, torch.tensor([value], dtype=torch.float64), tensors, torch.tensor(100))


def advanced(p: Path, steps: int) -> float:
    for _ in range(steps):
        p.advance()
    return float(p.value[0])


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("mu", [0.5, 0.9, 0.99])
def test_coasting_follows_the_geometric_series(mu, nesterov):
    o = Optimizer(lr=0.05, momentum=mu, nesterov=nesterov)
    v = 0.3
    for steps in (1, 7, 4000):
        moved = advanced(path(o, 0.0, {"velocity": v}), steps)
        assert moved == pytest.approx(-o.lr * v * coasting_factor(o, steps), rel=1e-12)
    limit = o.lr * v * (mu**2 if nesterov else mu) / (1 - mu)
    assert coasting_factor(o, math.inf) * o.lr * v == pytest.approx(limit, rel=1e-15)


def test_adam_coasts_about_nine_learning_rates():
    """Published rule of thumb: 9.05 · lr · m̂/√v̂ for β = 0.9/0.999, late in training."""
    o = Optimizer(name="adam", lr=0.01, eps=0.0)
    p = path(o, 0.0, {"first": 0.2, "second": 0.04})
    p.taken = 10_000_000
    assert advanced(p, 2000) / o.lr == pytest.approx(-9.05, abs=0.01)


@pytest.mark.parametrize(("decay", "name"), [("l2", "sgd"), ("decoupled", "sgd"), ("decoupled", "adam")])
def test_bias_decay_revives_at_the_closed_form_step(decay, name):
    """b + m > 0 first at the smallest whole t above ln(|b|/m)/-ln(1 - lr·λ)."""
    o = Optimizer(name=name, lr=0.1, weight_decay=0.1, decay=decay, decay_on="biases")
    m, b = 0.7, -1.9
    predicted = math.log(-b / m) / -math.log(1 - o.lr * o.weight_decay)
    p = path(o, b, {"first": 0.0, "second": 0.0})
    steps = 0
    while float(p.value[0]) + m <= 0:
        p.advance()
        steps += 1
    assert steps == math.ceil(predicted)


def test_decay_on_the_other_group_leaves_a_parameter_alone():
    o = Optimizer(lr=0.1, weight_decay=0.1, decay_on="weights")
    assert advanced(path(o, -1.0, kind="bias"), 50) == -1.0
    assert advanced(path(o, -1.0, kind="weight"), 50) == pytest.approx(-(0.99**50), rel=1e-12)


@pytest.mark.parametrize(("rate", "oscillates"), [(0.0024, False), (0.0028, True), (0.01, True)])
def test_heavy_ball_with_l2_crosses_zero_only_above_the_threshold(rate, oscillates):
    """lr·λ > (1-√μ)² = 0.002634 for μ = 0.9 makes the characteristic roots complex."""
    o = Optimizer(lr=0.1, momentum=0.9, weight_decay=rate / 0.1)
    p = path(o, 1.0, {"velocity": 0.0})
    crossed = False
    for _ in range(3000):
        p.advance()
        crossed |= float(p.value[0]) < 0
    assert crossed == oscillates
