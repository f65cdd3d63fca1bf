"""Probes of swallowed updates, zero losses, plateaus and gradients by layer, against counts made by hand and NumPy's spacing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_units import LAYOUT, evaluation

from suite.config.schema import Optimizer
from suite.probes.initial_gradients import InitialGradients
from suite.probes.layer_gradients import LayerGradients
from suite.probes.plateau import Plateau
from suite.probes.stalled import Stalled, swallowed
from suite.probes.views import Stretch
from suite.probes.zero_loss import ZeroLoss


def stretch(gradients, losses=None, parameters=None, peak=None) -> Stretch:
    return Stretch(peak or {}, torch.empty(1, 0), gradients, (), (), {}, losses, parameters)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_what_is_swallowed_is_what_numpy_leaves_unchanged(kind):
    random = np.random.default_rng(1)
    weights = random.standard_normal(4000).astype(kind)
    weights[:4] = [1, -1, 2, 0.5]  # at powers of two the neighbour towards zero is half as far
    updates = (np.spacing(np.abs(weights)).astype(np.float64) * random.uniform(-1.2, 1.2, 4000)).astype(kind).astype(np.float64)
    updates[:4] = [-(2.0**-40), 0, 0, 0]
    ours = swallowed(torch.from_numpy(weights), torch.from_numpy(updates)).numpy()
    if kind == "float64":
        theirs = weights + updates == weights
    else:
        # the sum of two numbers of these formats, of nearly one size, is exact in longdouble
        theirs = (weights.astype(np.longdouble) + updates.astype(np.longdouble)).astype(kind) == weights
    assert (ours == theirs).all()
    assert 0.2 < ours.mean() < 0.8


def test_a_tie_goes_to_the_even_neighbour():
    one, odd = torch.tensor([1.0], dtype=torch.bfloat16), torch.tensor([1.0 + 2.0**-7], dtype=torch.bfloat16)
    half = torch.tensor([2.0**-8], dtype=torch.float64)
    assert swallowed(one, half).item() and not swallowed(odd, half).item()
    assert not swallowed(one, half * (1 + 1e-9)).item()
    assert swallowed(one, -half / 2).item() and not swallowed(one, -half * 0.51).item()


def test_stalled_counts_only_where_there_is_a_gradient():
    probe = Stalled(replace(LAYOUT, optimizer=Optimizer(lr=0.1)))
    start = torch.tensor([[1.0, 1.0, 1.0, 1.0]], dtype=torch.bfloat16)
    assert probe.evaluate(evaluation([[1.0]], parameters={"output.bias": start})) == {}
    gradient = torch.tensor([[0.0, 0.01, 0.01, 10.0]], dtype=torch.bfloat16)
    after = torch.tensor([[1.0, 1.0, 0.996, 0.0]], dtype=torch.bfloat16)  # the third moved although it should not have
    probe.after_steps(stretch({"output.bias": gradient}, torch.ones(1, 1), {"output.bias": after}))
    values = probe.evaluate(evaluation([[1.0]], parameters={"output.bias": after}))
    assert {name: value.item() for name, value in values.items()} == pytest.approx(
        {"stalled_share": 1 / 3, "stalled_predicted_share": 2 / 3, "stalled_agreement": 2 / 3}
    )


def test_zero_loss_counts_steps_gradients_and_movement():
    probe = ZeroLoss(LAYOUT)
    weights = torch.ones(2, 3)
    probe.evaluate(evaluation([[1.0]], parameters={"output.bias": weights}))
    none, some = torch.zeros(2, 3), torch.tensor([[0.0, 1e-30, 0.0]] * 2)
    live = {"output.bias": weights}
    for losses, gradient, moves in (
        ([0.0, 0.0], none, False),
        ([0.0, 1.0], some, False),
        ([0.0, 0.0], some, True),
        ([2.0, 2.0], some, True),
    ):
        if moves:
            live["output.bias"][:, 1] += 2.0**-23
        probe.after_steps(stretch({"output.bias": gradient}, torch.tensor(losses)[:, None], live))
    found = {name: value.tolist() for name, value in probe.finish().items()}
    assert found["zero_loss_share"] == [0.75, 0.5]
    assert found["zero_loss_grad_share"] == pytest.approx([2 / 3, 1 / 2])
    assert found["zero_loss_moved_share"] == pytest.approx([1 / 3, 1 / 2])
    assert found["nonzero_loss_moved_share"] == pytest.approx([1.0, 1 / 2])


def test_a_plateau_is_left_once_and_never_counts_as_the_run():
    probe = Plateau(replace(LAYOUT, constant_loss=2.0, escape_share=0.25))
    for step, losses in ((0, [2.5, 2.5]), (10, [1.6, 1.51]), (20, [1.5, 1.9]), (30, [9.0, 1.6])):
        seen = replace(evaluation([[1.0]], step=step), train_loss=torch.tensor(losses))
        values = probe.evaluate(seen)
    assert values["left_plateau"].tolist() == [1, 0]
    assert probe.finish()["steps_to_escape"].tolist() == [20, 30]


def test_initial_gradients_take_the_size_of_what_cannot_be_squared():
    gradients = {
        "layer1.weight": torch.tensor([[3e-200, 4e-200], [0.0, 0.0]], dtype=torch.float64),
        "layer2.weight": torch.zeros(2, 2, dtype=torch.float64),
        "output.bias": torch.tensor([[1.0], [100.0]], dtype=torch.float64),
    }
    probe = InitialGradients(LAYOUT)
    probe.evaluate(replace(evaluation([[1.0]]), gradients=lambda: gradients))
    probe.evaluate(replace(evaluation([[1.0]]), gradients=dict))  # later evaluations are not asked
    found = probe.finish()
    assert found["initial_grad_log10.hidden_weight"][0].item() == pytest.approx(math.log10(5e-200), abs=1e-12)
    assert math.isnan(found["initial_grad_log10.hidden_weight"][1])
    assert found["initial_grad_max_abs.hidden_weight"].tolist() == [4e-200, 0]
    assert found["initial_grad_zero_fraction.hidden_weight"].tolist() == [0.5, 1]
    assert found["initial_grad_log10.output_bias"].tolist() == pytest.approx([0, 2])


def test_layer_gradients_keep_the_largest_and_count_the_silent():
    probe = LayerGradients(LAYOUT)
    assert probe.evaluate(evaluation([[1.0]])) == {}
    zero = torch.zeros(1)
    for second in (0.0, 2.0, 1.0):
        peak = {f"{layer}.{kind}": zero for layer in ("layer1", "layer2", "output") for kind in ("weight", "bias")}
        probe.after_steps(stretch({}, peak=peak | {"layer2.bias": torch.tensor([second]), "output.weight": torch.tensor([5.0])}))
    values = {name: value.item() for name, value in probe.evaluate(evaluation([[1.0]])).items()}
    assert values == {
        "layer_grad_max_abs.layer1": 0,
        "layer_grad_max_abs.layer2": 2,
        "layer_grad_max_abs.output": 5,
        "zero_gradient_layers": 1,
    }
