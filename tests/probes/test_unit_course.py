"""Followed units against the metrics of the same run, NumPy and torch.nn; the loss from a dead start against a network in torch.nn."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from suite.config.numeric import Numeric
from suite.config.schema import Data, Engine, Model, Optimizer, Probes, Start, Train
from suite.data import load
from suite.probes.bias_shift import shifts
from suite.probes.unit_course import QUANTILES
from suite.probes.views import FOLLOWED
from suite.training.engine import train
from suite.training.evaluate import SAMPLE
from suite.vocabulary import Block, Condition, Trace

KILLED = Numeric(
    "float32",
    Data(subset=300),
    Model(hidden=[16, 8]),
    Start(name="killed", margin=0.02, after=10),
    Optimizer(lr=0.1, momentum=0.9),
    Train(steps=30, batch_size=16),
    Probes(tier="default", every=5, extra=["rollout", "unit_course"]),
)
VARIANTS = {
    "native": KILLED,
    "eager": replace(KILLED, engine=Engine("eager")),
    "batchnorm": replace(KILLED, model=Model(hidden=[16, 8], norm="batch")),
    "cnn": replace(KILLED, model=Model(name="cnn", channels=[4], hidden=[8]), probes=Probes(every=5, extra=["unit_course"])),
    "changing tasks": replace(
        KILLED,
        data=Data(subset=300, shift="pixels"),
        train=Train(steps=30, batch_size=16, tasks=3),
        start=Start(),
        probes=Probes(every=5, extra=["unit_course"]),
    ),
    "float64": replace(KILLED, precision="float64"),
    "adam": replace(KILLED, optimizer=Optimizer(name="adam", lr=0.01)),
    "decay": replace(KILLED, optimizer=Optimizer(lr=0.1, momentum=0.9, weight_decay=0.01)),
    "diverging": replace(KILLED, optimizer=Optimizer(lr=1e6), train=Train(steps=30, batch_size=16, loss="squared_error")),
}


def trained(numeric: Numeric, first: int = 0, count: int = 10) -> tuple[Trace, dict[str, torch.Tensor]]:
    trace, state = train(Block(Condition("c", {}, asdict(numeric)), first, count, 3, "cpu"), load(numeric.data, "data"))
    return trace, state.parameters


@pytest.mark.parametrize("name", VARIANTS)
def test_followed_units_do_not_depend_on_company(name):
    whole, _ = trained(VARIANTS[name])
    assert all(len(course) == FOLLOWED for course in whole.units.values())
    assert whole.units
    for first, count in ((0, 2), (2, 5), (7, 1), (7, 3)):
        part, _ = trained(VARIANTS[name], first, count)
        assert part.units.keys() == whole.units.keys()
        for column, course in part.units.items():
            expected = whole.units[column][first : first + count]
            np.testing.assert_array_equal(course.view(np.int64), expected.copy().view(np.int64), err_msg=column)
    assert trained(VARIANTS[name], 8, 2)[0].units == {}


@pytest.mark.parametrize("name", ["native", "eager", "batchnorm", "cnn", "changing tasks", "diverging"])
def test_the_dead_are_those_that_the_metric_counts(name):
    trace, _ = trained(VARIANTS[name])
    layers = sorted(key.partition(".")[2] for key in trace.units if key.startswith("state."))
    assert layers == [f"layer{k + 1}" for k in range(2)]
    for layer in layers:
        state, share = trace.units[f"state.{layer}"], trace.curves[f"dead_fraction.{layer}"][:FOLLOWED]
        gone = np.isnan(share)
        np.testing.assert_array_equal((state == 0).mean(axis=2)[~gone], share[~gone])
        assert np.isnan(state[gone]).all()
        # a layer is dead exactly where its largest pre-activation is not above zero
        np.testing.assert_array_equal((trace.units[f"pre_max.{layer}"] <= 0)[~gone], (share == 1)[~gone])
    assert np.isnan(state).any() == (name == "diverging")
    if name in ("native", "eager"):
        state = np.concatenate([trace.units[f"state.{layer}"] for layer in layers], axis=2)
        deaths = ((state[:, 1:] == 0) & (state[:, :-1] != 0)).mean(axis=2)
        np.testing.assert_array_equal(deaths, trace.curves["deaths"][:FOLLOWED, 1:])
        revivals = ((state[:, 1:] == 1) & (state[:, :-1] == 0)).mean(axis=2)
        np.testing.assert_array_equal(revivals, trace.curves["revivals"][:FOLLOWED, 1:])
        assert revivals.any()


@pytest.mark.parametrize("name", ["native", "eager", "float64"])
def test_quantiles_are_those_of_a_network_in_torch(name):
    trace, parameters = trained(VARIANTS[name])
    dataset = load(VARIANTS[name].data, "data")
    inputs = dataset.tensors(torch.device("cpu"), torch.float64).train_x
    chosen = inputs[np.linspace(0, len(inputs) - 1, SAMPLE).round().astype(int)]
    for replicate in range(FOLLOWED):
        first, second = (torch.nn.Linear(64, 16).double(), torch.nn.Linear(16, 8).double())
        with torch.no_grad():
            for linear, layer in ((first, "layer1"), (second, "layer2")):
                linear.weight.copy_(parameters[f"{layer}.weight"][replicate].T)
                linear.bias.copy_(parameters[f"{layer}.bias"][replicate])
            found = {"layer1": first(chosen), "layer2": second(torch.relu(first(chosen)))}
            whole = {"layer1": first(inputs), "layer2": second(torch.relu(first(inputs)))}
        for layer, values in found.items():
            for column, rank in QUANTILES.items():
                expected = np.quantile(values.numpy(), rank, method="nearest")
                assert trace.units[f"{column}.{layer}"][replicate, -1] == pytest.approx(expected, rel=1e-4, abs=1e-4)
            assert trace.units[f"pre_max.{layer}"][replicate, -1] == pytest.approx(float(whole[layer].max()), rel=1e-4, abs=1e-4)


def test_following_changes_nothing():
    followed, with_probes = trained(KILLED)
    plain, without = trained(replace(KILLED, probes=Probes(tier="default", every=5)))
    for name, value in without.items():
        assert torch.equal(value.view(torch.int32), with_probes[name].view(torch.int32)), name
    for name, curve in plain.curves.items():
        np.testing.assert_array_equal(curve.view(np.int64), followed.curves[name].view(np.int64), err_msg=name)
    assert plain.units == {}


def test_many_units_are_followed_in_fewer_replicates():
    wide = replace(KILLED, model=Model(hidden=[600]), probes=Probes(every=30, extra=["unit_course"]))
    trace, _ = trained(wide, count=4)
    assert trace.units["state.layer1"].shape == (3, 2, 600)  # 2048 // 600 replicates, start and end


def test_coasting_over_time_ends_where_the_summary_says():
    trace, _ = trained(KILLED)
    measured, predicted = trace.units["coast_distance.layer1"], trace.units["coast_predicted.layer1"]
    stayed = np.isfinite(measured[:, -1])
    assert stayed.any()
    np.testing.assert_allclose(measured[stayed, -1], trace.finals["coast_distance"][:FOLLOWED][stayed], rtol=1e-12)
    np.testing.assert_allclose(predicted[stayed, -1], trace.finals["coast_predicted"][:FOLLOWED][stayed], rtol=1e-12)
    assert (measured[stayed, 0] == 0).all()
    assert (predicted[stayed, 0] == 0).all()
    assert (measured[stayed, 1] > 0).all()
    # heavy ball without gradient: after t steps the distance is lr·|v|·μ(1 - μ^t)/(1 - μ), so that ratios know neither lr nor v
    shape = 1 - 0.9 ** trace.steps.astype(float)
    np.testing.assert_allclose(
        measured[stayed] / measured[stayed, -1:], np.broadcast_to(shape / shape[-1], measured[stayed].shape), rtol=1e-3
    )


def test_decay_is_followed_by_the_recursion():
    o = VARIANTS["decay"]
    trace, _ = trained(replace(o, start=replace(o.start, margin=5.0)))
    measured, predicted = trace.units["coast_distance.layer1"], trace.units["coast_predicted.layer1"]
    assert np.isfinite(measured).any()
    np.testing.assert_allclose(measured, predicted, rtol=1e-3)


DEAD = replace(
    KILLED,
    start=Start(name="born_dead", margin=1.0),
    probes=Probes(tier="default", every=30, extra=["bias_shift"]),
    train=Train(steps=30, batch_size=16),
)


@pytest.mark.parametrize("hidden", [[16], [16, 8]])
@pytest.mark.parametrize("path", ["native", "eager"])
def test_the_loss_is_flat_until_the_closed_form_wakes_a_unit(hidden, path):
    trace, _ = trained(replace(DEAD, model=Model(hidden=hidden), engine=Engine(path)))
    np.testing.assert_allclose(trace.finals["wake_shift"], 1.0, atol=1e-4)
    start = trace.finals["shifted_loss.0"]
    np.testing.assert_allclose(start, trace.curves["train_loss"][:, 0], rtol=1e-5)
    for shift in shifts(1.0):
        loss = trace.finals[f"shifted_loss.{shift:g}"]
        if shift < 1:
            np.testing.assert_array_equal(loss, start)
        elif shift > 1:
            assert (loss != start).all()


def test_the_loss_after_a_shift_is_that_of_a_network_in_torch():
    numeric = replace(DEAD, model=Model(hidden=[16]), train=Train(steps=1, batch_size=16), optimizer=Optimizer(lr=0.0 + 1e-30))
    trace, parameters = trained(numeric, count=3)
    data = load(numeric.data, "data").tensors(torch.device("cpu"), torch.float64)
    for replicate in range(3):
        network = torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10)).double()
        with torch.no_grad():
            for linear, layer in ((network[0], "layer1"), (network[2], "output")):
                linear.weight.copy_(parameters[f"{layer}.weight"][replicate].T)
                linear.bias.copy_(parameters[f"{layer}.bias"][replicate])
            network[0].bias += 2.5
            expected = float(torch.nn.functional.cross_entropy(network(data.train_x), data.train_y))
        assert trace.finals["shifted_loss.2.5"][replicate] == pytest.approx(expected, rel=1e-5)


def test_only_units_made_dead_are_shifted():
    ordinary, _ = trained(replace(DEAD, start=Start()))
    assert (ordinary.finals["dead_at_start"] > 0).any()  # by chance, and near zero
    for name in ("wake_shift", "shifted_loss.0", "shifted_loss.2.5"):
        assert np.isnan(ordinary.finals[name]).all()
    for start in (Start(name="born_dead", margin=1.0, units=3), Start(name="killed", margin=1.0, layer=2, units=2, after=5)):
        some, _ = trained(replace(DEAD, start=start))
        np.testing.assert_allclose(some.finals["wake_shift"], 1.0, atol=1e-4)
        np.testing.assert_array_equal(some.finals["shifted_loss.-0.5"], some.finals["shifted_loss.0.875"])
        assert (some.finals["shifted_loss.0"] != some.finals["shifted_loss.2.5"]).all()
    awake, _ = trained(replace(DEAD, start=Start(name="born_dead", alive_on=1)))
    assert np.isnan(awake.finals["wake_shift"]).all()
