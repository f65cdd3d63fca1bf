"""The rollout against the closed forms of coasting and decay, and against the whole product at every evaluation."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from suite.config.numeric import Numeric
from suite.config.schema import Data, Model, Optimizer, Probes, Start, Train
from suite.data import load
from suite.probes import registry
from suite.probes.coasting import Path, coasting_factor, is_linear
from suite.probes.rollout import Rollout
from suite.probes.units import REVIVED_ABOVE
from suite.training.engine import train
from suite.vocabulary import Block, Condition


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


class Multiplied(Rollout):
    """The witness: every path stepped element by element, and all inputs multiplied by all weights at every evaluation."""

    def _predict(self):
        paths = {
            name: Path(self.layout.optimizer, name.split(".")[1], value, self.memory[name], self.taken)
            for name, value in self.origin.items()
        }
        weights, biases = (list(path.at(self.marks)) for path in paths.values())
        inputs = self.inputs.double().numpy()
        found = np.full(self.dead.shape, -1)
        for mark, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            top = np.stack([(inputs @ w).max(axis=0) for w in weight.numpy()]) + bias.numpy()
            found = np.where((found < 0) & self.dead.numpy() & (top > REVIVED_ABOVE), mark, found)
        if self.layout.optimizer.name == "sgd" and not self.layout.optimizer.weight_decay:
            reach = self.layout.optimizer.lr * coasting_factor(self.layout.optimizer, self.marks[-1])
            moved = {name: -reach * kept["velocity"].double() if kept else 0 * paths[name].value for name, kept in self.memory.items()}
        else:
            moved = {name: path.value - self.origin[name].double() for name, path in paths.items()}
        return torch.from_numpy(found), moved


KILLED = Start(name="killed", margin=0.02, after=20)
BORN = Start(name="born_dead", margin=0.3)
CASES = {
    "heavy_ball": (KILLED, Optimizer(lr=0.05, momentum=0.9)),
    "nesterov": (KILLED, Optimizer(lr=0.05, momentum=0.9, nesterov=True)),
    "cleared": (replace(KILLED, optimizer_state="cleared"), Optimizer(lr=0.05, momentum=0.9)),
    "no_memory": (KILLED, Optimizer(lr=0.05)),
    "velocity_and_decay": (KILLED, Optimizer(lr=0.05, momentum=0.9, weight_decay=0.05)),
    "l2_biases": (BORN, Optimizer(lr=0.1, weight_decay=0.3, decay_on="biases")),
    "l2_both": (BORN, Optimizer(lr=0.1, weight_decay=0.3)),
    "turns_sign": (BORN, Optimizer(lr=0.1, momentum=0.9, weight_decay=0.5)),
    "decoupled_biases": (BORN, Optimizer(lr=0.1, weight_decay=0.3, decay="decoupled", decay_on="biases")),
    "adam_without_memory": (BORN, Optimizer(name="adam", lr=0.1)),
    "adamw_without_memory": (BORN, Optimizer(name="adam", lr=0.1, weight_decay=0.3, decay="decoupled")),
    "adam_l2": (replace(BORN, scale=10.0, margin=0.1), Optimizer(name="adam", lr=0.1, weight_decay=0.1)),
    "adam_coasts": (KILLED, Optimizer(name="adam", lr=0.01)),
}
#: Where the prediction is not that nothing happens.
REVIVING = ("heavy_ball", "nesterov", "velocity_and_decay", "l2_biases", "turns_sign", "decoupled_biases", "adam_l2", "adam_coasts")


@pytest.mark.parametrize("case", CASES)
def test_prediction_is_that_of_the_whole_product_at_every_evaluation(case, monkeypatch):
    start, optimizer = CASES[case]
    numeric = Numeric("float32", Data(subset=300), Model(hidden=[12]), start, optimizer, Train(60, 16), Probes("economy", 5, ["rollout"]))
    block = Block(Condition("c", {}, asdict(numeric)), 0, 4, 3, "cpu")
    finals = []
    for probe in (Rollout, Multiplied):
        monkeypatch.setitem(registry.PROBES, "rollout", probe)
        finals.append(train(block, load(numeric.data, "data"))[0].finals)
    ours, theirs = finals
    for name in ("revival_agreement", "predicted_revived_fraction", "revival_step", "predicted_revival_step", "coast_distance"):
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    for name in ("coast_predicted", "coast_ratio"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-12, err_msg=name)
    if case in REVIVING:
        assert theirs["predicted_revived_fraction"].any()


def test_both_ways_of_predicting_are_used():
    """Adam goes straight only while its memory is empty and no L2 term fills it."""
    empty, full = torch.zeros(3), torch.tensor([0.0, 1e-30])
    adam = Optimizer(name="adam", weight_decay=0.1, decay="decoupled")
    assert is_linear(adam, [empty]) and not is_linear(adam, [empty, full])
    assert not is_linear(replace(adam, decay="l2"), [empty])
    assert is_linear(Optimizer(momentum=0.9, weight_decay=0.1), [full])
