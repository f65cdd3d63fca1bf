"""Warm-up, clipping and scaled targets against torch.optim.lr_scheduler, torch.nn.utils and float64 arithmetic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import reference
import test_against_torch as single
import torch
from torch import nn

from suite.config.schema import Data, Optimizer, Train
from suite.data import load
from suite.nets.initial import initial_parameters
from suite.streams import BatchOrder
from suite.training import optimizers
from suite.training.clipping import clipped
from suite.training.eager import EagerSteps, State
from suite.training.engine import DTYPES, loss_of, network_of
from suite.training.evaluate import Task
from suite.training.losses import constant_loss, squared_error, with_target_scale


def trained_stack(numeric):
    """Parameters after all steps, through the path's own loop."""
    dataset = load(numeric.data, "data")
    dtype = DTYPES[numeric.precision]
    net = network_of(numeric, dataset)
    data = dataset.tensors(torch.device("cpu"), dtype, numeric.data.offset)
    task = Task(net, data, loss_of(numeric, dataset), dataset.classes is not None)
    parameters, buffers = initial_parameters(net, numeric.model, 11, single.REPLICATES, torch.device("cpu"), dtype)
    first = {name: value.clone() for name, value in parameters.items()}
    stepper = optimizers.build(numeric.optimizer, parameters, numeric.train.warmup)
    state = State(parameters, buffers, stepper, torch.full((3,), -1))
    order = BatchOrder(11, single.REPLICATES, len(data.train_x), numeric.train.batch_size)
    EagerSteps(task, frozenset(), numeric.train.clip).run(state, order.stretch(0, numeric.train.steps), 0)
    return net, data, state, first, order


@pytest.mark.parametrize("warmup", [0, 20, 1000])
@pytest.mark.parametrize("clip", [None, 0.3])
@pytest.mark.parametrize("name", ["momentum", "sgd_decoupled", "adam_l2", "adamw"])
def test_warmup_and_clipping_follow_torch(name, clip, warmup):
    numeric = replace(single.BASE, optimizer=single.OPTIMIZERS[name], train=Train(60, 32, warmup=warmup, clip=clip))
    net, data, state, first, order = trained_stack(numeric)
    limited = []
    for replicate in range(len(single.REPLICATES)):
        network = reference.module(net, first, replicate, torch.float64)
        optimizer = reference.optimizer_of(network, numeric)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / max(warmup, 1), 1.0, max(warmup - 1, 1))
        for step in range(60):
            chosen = torch.from_numpy(order.indices(step)[replicate].copy())
            optimizer.zero_grad()
            reference.loss_of("cross_entropy", network(data.train_x[chosen]), data.train_y[chosen]).backward()
            if clip is not None:
                limited.append(nn.utils.clip_grad_norm_(network.parameters(), clip).item() > clip)
            if name == "sgd_decoupled":  # not in torch.optim: shrink by the rate of the moment
                rate = optimizer.param_groups[0]["lr"]
                for layer in network:
                    for parameter in layer.parameters(recurse=False):
                        parameter.data.mul_(1 - rate * numeric.optimizer.weight_decay)
            optimizer.step()
            schedule.step()
        np.testing.assert_allclose(
            single.flat_stack(net, state.parameters, replicate), single.flat_module(net, network), rtol=1e-9, atol=1e-11
        )
    # both sides of the limit are met, or clipping would not be tested
    assert clip is None or 0 < sum(limited) < len(limited)


def test_a_gradient_below_the_limit_keeps_its_bits_and_replicates_are_limited_apart():
    rng = torch.Generator().manual_seed(0)
    gradients = {"a": torch.randn(3, 4, 5, generator=rng), "b": torch.randn(3, 5, generator=rng)}
    gradients = {name: value * torch.tensor([1e-3, 1.0, 100.0]).view(-1, *[1] * (value.ndim - 1)) for name, value in gradients.items()}
    result = clipped(gradients, 1.0)
    assert torch.equal(result["a"][0], gradients["a"][0])
    for replicate in (1, 2):
        assert sum(float(value[replicate].square().sum()) for value in result.values()) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("scale", [0.01, 3.33])
def test_scaled_targets_keep_their_mean_and_scale_their_deviation(scale):
    digits = load(Data("digits"), "nowhere")
    labels = torch.as_tensor(digits.train_y)
    onehot = np.eye(10)[digits.train_y]
    targets = onehot.mean(axis=0) + scale * (onehot - onehot.mean(axis=0))
    output = torch.from_numpy(np.random.default_rng(1).standard_normal((2, len(labels), 10)))
    loss = with_target_scale(squared_error, labels, 10, scale)
    found = loss(output, labels.expand(2, -1)).numpy()
    np.testing.assert_allclose(found, ((output.numpy() - targets) ** 2).mean(axis=2), rtol=1e-12)
    best = torch.from_numpy(onehot.mean(axis=0)).expand(1, len(labels), 10)
    expected = constant_loss("squared_error", labels, 10) * scale**2
    assert loss(best, labels[None]).mean().item() == pytest.approx(expected, rel=1e-12)
    assert targets.var(axis=0).mean() == pytest.approx(expected, rel=1e-12)


def test_regression_targets_are_scaled_alike():
    teacher = load(Data("teacher", examples=64), "nowhere")
    y = torch.as_tensor(teacher.train_y)
    loss = with_target_scale(squared_error, y, None, 0.5)
    output = torch.zeros(1, 64, 1, dtype=torch.float64)
    expected = (teacher.train_y.mean() + 0.5 * (teacher.train_y - teacher.train_y.mean())) ** 2
    np.testing.assert_allclose(loss(output, y[None])[0].numpy(), expected[:, 0], rtol=1e-12)


def test_ten_classes_at_3_33_have_unit_variance():
    digits = load(Data("digits"), "nowhere")
    assert constant_loss("squared_error", torch.as_tensor(digits.train_y), 10) * 3.33**2 == pytest.approx(1.0, abs=5e-3)


def test_the_offset_is_added_after_normalising():
    digits = load(Data("digits"), "nowhere")
    plain = digits.tensors(torch.device("cpu"), torch.float64)
    moved = digits.tensors(torch.device("cpu"), torch.float64, 2.5)
    torch.testing.assert_close(moved.train_x, plain.train_x + 2.5, rtol=0, atol=1e-14)
    torch.testing.assert_close(moved.test_x, plain.test_x + 2.5, rtol=0, atol=1e-14)
    assert torch.equal(moved.train_y, plain.train_y)


def test_the_rate_rises_by_equal_parts_and_starts_again_when_cleared():
    stepper = optimizers.build(Optimizer(lr=0.8), {"w": torch.zeros(1, 1)}, 4)
    seen = []
    for _ in range(6):
        parameter = {"w": torch.zeros(1, 1)}
        stepper.step(parameter, {"w": torch.ones(1, 1)})
        seen.append(-parameter["w"].item())
    assert seen == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    stepper.clear()
    parameter = {"w": torch.zeros(1, 1)}
    stepper.step(parameter, {"w": torch.ones(1, 1)})
    assert -parameter["w"].item() == pytest.approx(0.2)
