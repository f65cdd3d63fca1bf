"""Updates in half precision: torch.optim on tensors of that type, explicit unit-in-the-last-place arithmetic, and chance."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from suite.config.numeric import Numeric
from suite.config.schema import Data, Engine, Model, Optimizer, Probes, Start, Train
from suite.data import load
from suite.nets.initial import initial_parameters
from suite.streams import BatchOrder
from suite.training import updates
from suite.training.eager import State
from suite.training.engine import network_of, train
from suite.training.evaluate import Task
from suite.training.losses import LOSSES, scaled_gradients
from suite.training.paths import path_of, steps_of, why_not_native
from suite.training.rounding import CHUNK, Noise, stochastic
from suite.vocabulary import Block, Condition

BASE = Numeric("bfloat16", Data(subset=100), Model(hidden=[8]), Start(), Optimizer(lr=0.1), Train(20, 16), Probes("default", 10))
HALVES = ["float16", "bfloat16"]


def weights(values, dtype) -> dict[str, torch.Tensor]:
    return {"output.weight": torch.as_tensor(values).to(dtype).reshape(2, -1, 1)}


def trained(numeric: Numeric, first=0, count=3):
    return train(Block(Condition("c", {}, asdict(numeric)), first, count, 3, "cpu"), load(numeric.data, "data"))


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("optimizer", [Optimizer(lr=0.1), Optimizer(lr=0.1, momentum=0.9), Optimizer(lr=0.1, weight_decay=0.1)])
def test_an_update_is_torch_optims_in_float32_rounded_once(precision, optimizer):
    dtype = getattr(torch, precision)
    generator = torch.Generator().manual_seed(0)
    ours = weights(torch.randn(2, 50, generator=generator), dtype)
    theirs = ours["output.weight"].float()
    stepper = updates.build(replace(BASE, precision=precision, optimizer=optimizer), ours, 0, range(2))
    witness = torch.optim.SGD([theirs], lr=optimizer.lr, momentum=optimizer.momentum, weight_decay=optimizer.weight_decay, foreach=False)
    for _ in range(10):
        gradient = torch.randn(2, 50, 1, generator=generator).to(dtype)
        stepper.step(ours, {"output.weight": gradient})
        theirs.grad = gradient.float()
        witness.step()
        theirs.copy_(theirs.to(dtype))
    assert torch.equal(ours["output.weight"].float(), theirs)


def test_a_bfloat16_weight_of_one_cannot_decay_by_a_thousandth():
    """The neighbour below 1 is 1 - 2^-8; half of that is more than 1e-3."""
    optimizer = Optimizer(lr=0.1, weight_decay=0.01, decay="decoupled")
    results = {}
    for precision, rounding in (("bfloat16", "nearest"), ("bfloat16", "stochastic"), ("float16", "nearest"), ("float32", "nearest")):
        held = weights(torch.ones(2, 400), getattr(torch, precision))
        stepper = updates.build(replace(BASE, precision=precision, optimizer=optimizer, train=Train(rounding=rounding)), held, 0, range(2))
        for _ in range(50):
            stepper.step(held, {"output.weight": torch.zeros_like(held["output.weight"])})
        results[precision, rounding] = held["output.weight"].double().mean().item()
    assert results["bfloat16", "nearest"] == 1.0
    assert results["float32", "nearest"] == pytest.approx(0.999**50, abs=1e-5)
    assert results["float16", "nearest"] == pytest.approx(0.999**50, abs=2e-2)
    # on average stochastic rounding does what exact arithmetic would: 800 weights, each off by less than 0.004 in 13 flips
    assert results["bfloat16", "stochastic"] == pytest.approx(0.999**50, abs=2e-3)


@pytest.mark.parametrize("precision", HALVES)
def test_stochastic_rounding_picks_a_neighbour_with_the_right_odds(precision):
    dtype = getattr(torch, precision)
    random = np.random.default_rng(4)
    limits = torch.finfo(dtype)
    tiny = limits.smallest_normal * limits.eps
    exact = np.concatenate([random.standard_normal(20), random.standard_normal(10) * 1e-3, tiny * random.uniform(-9, 9, 10)])
    values = torch.from_numpy(exact.astype(np.float32))
    draws = 40_000
    noise = torch.from_numpy(random.random((draws, len(exact)), dtype=np.float32))
    rounded = stochastic(values.expand(draws, -1).contiguous(), dtype, noise)
    assert rounded.dtype == dtype
    nearest = values.to(dtype)
    below = torch.where(nearest.float() > values, torch.nextafter(nearest, torch.tensor(-torch.inf, dtype=dtype)), nearest).double()
    above = torch.nextafter(below.to(dtype), torch.tensor(torch.inf, dtype=dtype)).double()
    wide = rounded.double()
    assert ((wide == below) | (wide == above)).all()
    odds = (values.double() - below) / (above - below)
    share = (wide == above).double().mean(dim=0)
    deviation = torch.sqrt(odds * (1 - odds) / draws)
    assert ((share - odds).abs() <= 5 * deviation + 1e-12).all()
    bias = (wide.mean(dim=0) - values.double()).abs()
    assert (bias <= 5 * deviation * (above - below) + 1e-300).all()
    assert (share > 0.01).sum() > 30 > (share > 0.99).sum()


@pytest.mark.parametrize("precision", HALVES)
def test_stochastic_rounding_leaves_what_is_representable_and_what_is_not_finite(precision):
    dtype = getattr(torch, precision)
    limits = torch.finfo(dtype)
    kept = torch.tensor([0.0, -0.0, 1.0, -1.5, limits.smallest_normal * limits.eps, -limits.max, torch.inf, -torch.inf])
    for noise in (0.0, 0.5, 0.99999994):
        assert torch.equal(stochastic(kept, dtype, torch.full_like(kept, noise)).float(), kept)
    assert torch.isnan(stochastic(torch.tensor([torch.nan]), dtype, torch.zeros(1))).all()


def test_noise_belongs_to_the_replicate_the_weight_and_the_step():
    like = torch.zeros(3, 5, 2)
    together = Noise(1, range(4, 7))
    alone = Noise(1, range(5, 6))
    first = together("output.weight", like, 2)
    later = together("output.weight", like, 2 + CHUNK)
    assert torch.equal(alone("output.weight", like[:1], 2)[0], first[1])
    assert torch.equal(together("output.weight", like, 2), first)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, later)
    assert not torch.equal(first, together("layer1.weight", like, 2))
    assert not torch.equal(first, together("output.weight", like, 3))
    assert first.min() >= 0 and first.max() < 1


def test_master_weights_follow_float32_and_show_their_nearest():
    """100 steps of 1e-4 from 1: nothing in bfloat16 itself, 0.01 in the master."""
    held, plain = weights(torch.ones(2, 3), torch.bfloat16), weights(torch.ones(2, 3), torch.bfloat16)
    stepper = updates.build(replace(BASE, train=Train(master_weights=True)), held, 0, range(2))
    ordinary = updates.build(BASE, plain, 0, range(2))
    witness = torch.ones(2, 3, 1, requires_grad=True)
    optimizer = torch.optim.SGD([witness], lr=0.1)
    for _ in range(100):
        gradient = torch.full((2, 3, 1), 1e-3, dtype=torch.bfloat16)
        stepper.step(held, {"output.weight": gradient})
        ordinary.step(plain, {"output.weight": gradient})
        witness.grad = gradient.float()
        optimizer.step()
    assert torch.equal(held["output.weight"], witness.detach().to(torch.bfloat16))
    assert (plain["output.weight"] == 1).all()
    assert (held["output.weight"] < 1).all()
    held["output.weight"].fill_(5.0)  # set from outside: the master follows
    stepper.step(held, {"output.weight": torch.zeros(2, 3, 1, dtype=torch.bfloat16)})
    assert (held["output.weight"] == 5).all()


def test_loss_scaling_brings_back_what_float16_loses():
    """d/dw of w·2^-30 is 2^-30, below half of float16's smallest number; scaled by 2^10 it is there, and unscaled exact in float32."""
    w = torch.ones(2, dtype=torch.float16, requires_grad=True)
    (lost,) = scaled_gradients(w * 2.0**-15 * 2.0**-15, [w], 1.0)
    (found,) = scaled_gradients(w * 2.0**-15 * 2.0**-15, [w], 2.0**10)
    assert (lost == 0).all()
    assert found.dtype == torch.float32
    assert (found == 2.0**-30).all()


def test_a_power_of_two_as_loss_scale_changes_no_bit_of_float32():
    plain = replace(BASE, precision="float32", engine=Engine("eager"))
    one, two = trained(plain), trained(replace(plain, train=Train(20, 16, loss_scale=4096.0)))
    for name, value in one[1].parameters.items():
        assert torch.equal(value, two[1].parameters[name]), name


@pytest.mark.parametrize(
    "asked",
    [
        {"precision": "float16"},
        {"precision": "bfloat16", "train": Train(rounding="stochastic")},
        {"train": Train(trainable="output")},
        {"train": Train(loss_scale=2.0)},
        {"train": Train(loss="hinge")},
        {"model": Model(activation="step_ste")},
    ],
)
def test_what_the_compiled_step_does_not_know_never_takes_it(asked):
    plain = replace(BASE, precision="float32")
    dataset = load(plain.data, "data")
    numeric = replace(plain, **asked)
    assert why_not_native(numeric, network_of(numeric, dataset), "cpu") is not None
    assert path_of(numeric, network_of(numeric, dataset), "cpu") == "eager"


@pytest.mark.parametrize("path", ["eager", "native"])
def test_probes_of_single_steps_see_losses_and_weights_on_either_path(path):
    """Plain SGD: the weights that a probe is shown after a step are those before it less lr times the gradient."""
    numeric = replace(BASE, precision="float64", engine=Engine(path))
    if path == "native" and why_not_native(numeric, network_of(numeric, load(numeric.data, "data")), "cpu"):
        path = "eager"  # no compiler here: what is left to check is the general path, twice
        numeric = replace(numeric, engine=Engine(path))
    net = network_of(numeric, load(numeric.data, "data"))
    dataset = load(numeric.data, "data")
    task = Task(net, dataset.tensors(torch.device("cpu"), torch.float64), LOSSES["cross_entropy"], True)
    parameters, buffers = initial_parameters(net, numeric.model, 3, range(3), torch.device("cpu"), torch.float64)
    before = {name: value.clone() for name, value in parameters.items()}
    state = State(parameters, buffers, updates.build(numeric, parameters, 3, range(3)), torch.full((3,), -1))
    stretch = steps_of(numeric, task, frozenset({"losses", "every_step"})).run(state, BatchOrder(3, range(3), 100, 16).stretch(0, 1), 0)
    assert stretch.losses.shape == (3, 1)
    for name, value in stretch.parameters.items():
        torch.testing.assert_close(value, before[name] - 0.1 * stretch.gradients[name], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("scale", [1.0, 256.0])
def test_float16_gradients_follow_float64(scale):
    """The first step's gradient: within a few units of float16's last place of the float64 one, scaled or not."""
    numeric = replace(BASE, precision="float16", train=Train(1, 100, loss_scale=scale), probes=Probes("full", 1))
    low, high = trained(numeric)[0], trained(replace(numeric, precision="float64"))[0]
    for group in ("hidden_weight", "output_weight", "output_bias"):
        name = f"grad_norm.{group}"
        np.testing.assert_allclose(low.finals[name], high.finals[name], rtol=5e-3)


def test_only_the_output_layer_moves_and_moves_as_a_linear_model_would():
    numeric = replace(
        BASE, precision="float64", optimizer=Optimizer(lr=0.1, momentum=0.9, weight_decay=0.01), train=Train(20, None, trainable="output")
    )
    trace, state = trained(numeric)
    start = trained(replace(numeric, train=Train(1, None, trainable="output"), optimizer=Optimizer(lr=1e-300)))[1]
    dataset = load(numeric.data, "data").tensors(torch.device("cpu"), torch.float64)
    for name in ("layer1.weight", "layer1.bias"):
        assert torch.equal(state.parameters[name], start.parameters[name])
    assert (trace.finals["moved_fraction.hidden_weight"] == 0).all()
    assert (trace.finals["grad_max_abs.hidden_weight"] > 0).all()  # what is reported is the gradient, not what is done with it
    features = torch.relu(dataset.train_x @ start.parameters["layer1.weight"][1] + start.parameters["layer1.bias"][1])
    weight, bias = (
        start.parameters["output.weight"][1].clone().requires_grad_(),
        start.parameters["output.bias"][1].clone().requires_grad_(),
    )
    witness = torch.optim.SGD([weight, bias], lr=0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(20):
        witness.zero_grad()
        torch.nn.functional.cross_entropy(features @ weight + bias, dataset.train_y).backward()
        witness.step()
    torch.testing.assert_close(state.parameters["output.weight"][1], weight.detach(), rtol=1e-9, atol=1e-12)
