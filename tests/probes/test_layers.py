"""Metrics per layer, of exact zeros and of collapse, against counts made by hand on tensors small enough to read."""

from __future__ import annotations

import pytest
import torch

from suite.config.schema import Optimizer, Start
from suite.probes.collapse import Collapse
from suite.probes.gradients import FullGradients
from suite.probes.movement import Movement
from suite.probes.views import Evaluation, Layout, Stretch, UnitStatistics
from suite.probes.zeros import Zeros

NAMES = ("layer1.weight", "layer2.weight"), ("layer1.bias", "layer2.bias"), ("output.weight",), ("output.bias",), ("layer1.scale",)
LAYOUT = Layout(
    layers=("layer1", "layer2"),
    widths=(2, 1),
    groups=dict(zip(("hidden_weight", "hidden_bias", "output_weight", "output_bias", "norm"), NAMES, strict=True)),
    classification=True,
    norm="none",
    norm_position="before",
    optimizer=Optimizer(),
    start=Start(),
    batch_size=4,
    dormant_tau=0.025,
    constant_loss=2.0,
)
#: One input, two units, one unit, one output.
SHAPES = {
    "layer1.weight": (1, 1, 2),
    "layer1.bias": (1, 2),
    "layer1.scale": (1, 2),
    "layer2.weight": (1, 2, 1),
    "layer2.bias": (1, 1),
    "output.weight": (1, 1, 1),
    "output.bias": (1, 1),
}


def filled(value: float = 1.0, **changed: list) -> dict[str, torch.Tensor]:
    """Every parameter filled with one number, but for those given (``layer1__bias=[0.0, 1.0]``)."""
    tensors = {name: torch.full(shape, value) for name, shape in SHAPES.items()}
    return tensors | {name.replace("__", "."): torch.tensor(v).reshape(SHAPES[name.replace("__", ".")]) for name, v in changed.items()}


def evaluation(max_pre=((1.0, 1.0), (1.0,)), parameters=None, gradients=None, output_range=0.0) -> Evaluation:
    units = tuple(UnitStatistics(torch.tensor([pre]), torch.tensor([pre])) for pre in max_pre)
    zero = torch.zeros(1)
    return Evaluation(
        0,
        parameters or filled(),
        {},
        units,
        units,
        zero,
        zero,
        zero,
        zero,
        lambda: gradients or filled(),
        lambda: torch.zeros(1, 1, 1),
        torch.zeros(1, 1),
        torch.zeros(1, dtype=torch.bool),
        torch.tensor([output_range]),
    )


def batch(gradients: dict[str, torch.Tensor]) -> Stretch:
    return Stretch({}, torch.empty(1, 0), gradients, (), (), {})


def numbers(values: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: value.item() for name, value in values.items()}


def test_movement_per_layer_takes_weights_and_biases_together_and_no_norm():
    probe = Movement(LAYOUT)
    probe.evaluate(evaluation())
    moved = filled(layer1__weight=[1.0, 4.0], layer1__bias=[5.0, 1.0], layer1__scale=[9.0, 9.0])
    values = numbers(probe.evaluate(evaluation(parameters=moved)))
    assert values["moved_fraction.layer1"] == pytest.approx(2 / 4)
    assert values["moved_norm.layer1"] == pytest.approx(5.0)
    assert values["moved_fraction.layer2"] == values["moved_norm.output"] == 0
    assert values["moved_fraction.hidden_weight"] == pytest.approx(1 / 4)
    assert values["moved_fraction.norm"] == 1
    assert set(values) == set(probe.columns())


def test_full_gradients_per_layer_keep_the_largest_so_far():
    probe = FullGradients(LAYOUT)
    probe.evaluate(evaluation(gradients=filled(0.0, layer2__bias=[-3.0], output__weight=[1.0])))
    values = numbers(probe.evaluate(evaluation(gradients=filled(0.0, layer2__weight=[2.0, 0.0]))))
    assert values["full_grad_max_abs.layer1"] == 0
    assert values["full_grad_max_abs.layer2"] == 3
    assert values["full_grad_max_abs.output"] == 1
    assert values["full_grad_max_abs.hidden_weight"] == 2
    assert set(values) == set(probe.columns())


def test_a_gradient_that_was_zero_on_a_batch_and_moves_later_is_seen():
    """Seven hidden parameters. On the first batch both weights of layer1 have gradient zero; afterwards one of them moves."""
    probe = Zeros(LAYOUT)
    probe.evaluate(evaluation())
    probe.after_steps(batch(filled(layer1__weight=[0.0, 0.0])))
    # what moves up to this evaluation may have moved before that batch, so it does not count yet
    probe.evaluate(evaluation(parameters=filled(layer1__weight=[2.0, 2.0])))
    probe.after_steps(batch(filled()))
    probe.evaluate(evaluation(parameters=filled(3.0, layer1__weight=[2.0, 3.0])))
    end = numbers(probe.finish())
    assert end["batch_zero_fraction"] == pytest.approx(2 / 7)
    assert end["batch_zero_moved_fraction"] == pytest.approx(1 / 2)
    assert end["full_zero_fraction"] == end["full_zero_moved_fraction"] == end["dead_moved_fraction"] == end["came_back_fraction"] == 0
    assert set(end) == set(probe.summaries())


def test_a_gradient_that_was_zero_over_the_whole_set_and_moves_later_is_seen():
    probe = Zeros(LAYOUT)
    probe.evaluate(evaluation(gradients=filled(layer1__bias=[0.0, 1.0], layer2__bias=[0.0], output__bias=[0.0])))
    probe.evaluate(evaluation(parameters=filled(layer1__bias=[2.0, 2.0])))
    end = numbers(probe.finish())
    assert end["full_zero_fraction"] == pytest.approx(2 / 7)
    assert end["full_zero_moved_fraction"] == pytest.approx(1 / 2)
    assert end["batch_zero_fraction"] == 0


def test_what_leads_into_a_dead_unit_and_moves_while_it_is_dead_is_seen():
    """The second unit of layer1 is dead at the first two evaluations: its weight and bias are two of the parameters that lead
    into dead units, and only the weight moves meanwhile. Then it revives, and its bias moves with it alive: that is not counted."""
    probe = Zeros(LAYOUT)
    dead = ((1.0, -1.0), (1.0,))
    probe.evaluate(evaluation(dead))
    probe.evaluate(evaluation(dead, filled(5.0, layer1__weight=[5.0, 2.0], layer1__bias=[5.0, 1.0])))
    probe.evaluate(evaluation(parameters=filled(6.0, layer1__weight=[5.0, 2.0])))
    end = numbers(probe.finish())
    assert end["dead_moved_fraction"] == pytest.approx(1 / 2)
    assert end["came_back_fraction"] == 1


def test_a_unit_that_dies_and_one_that_comes_back():
    probe = Zeros(LAYOUT)
    for pre in (((1.0, -1.0), (1.0,)), ((-1.0, -1.0), (1.0,)), ((-1.0, 0.5), (1.0,)), ((1e-9, -1.0), (1.0,))):
        probe.evaluate(evaluation(pre))
    assert numbers(probe.finish())["came_back_fraction"] == pytest.approx(1 / 2)


def test_collapse_needs_a_whole_layer_and_knows_when_it_happened():
    probe = Collapse(LAYOUT)
    first = numbers(probe.evaluate(evaluation(((-1.0, 1.0), (1.0,)), output_range=1e-5)))
    assert first == {"dead_layer": 0, "constant_output": 0, "output_range": pytest.approx(1e-5)}
    second = numbers(probe.evaluate(evaluation(((-1.0, 0.0), (1.0,)), output_range=1e-8)))
    assert (second["dead_layer"], second["constant_output"]) == (1, 1)
    assert numbers(probe.finish()) == {"born_dead_network": 0, "born_constant": 0, "became_constant": 1}


def test_a_network_born_constant_did_not_become_so():
    probe = Collapse(LAYOUT)
    for _ in range(2):
        probe.evaluate(evaluation(((1.0, 1.0), (-1.0,))))
    assert numbers(probe.finish()) == {"born_dead_network": 1, "born_constant": 1, "became_constant": 0}
