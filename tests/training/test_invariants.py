"""Paired, alone or together, measuring changes nothing, divergence is a result: the engine's promises, bit for bit."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from suite.config.numeric import Numeric
from suite.config.schema import Data, Engine, Model, Optimizer, Probes, Start, Train
from suite.data import load
from suite.training.engine import train
from suite.vocabulary import Block, Condition

BASE = Numeric(
    "float32",
    Data(subset=300),
    Model(hidden=[16, 8]),
    Start(),
    Optimizer(lr=0.1, momentum=0.9),
    Train(steps=25, batch_size=16),
    Probes(tier="full", every=5),
)

VARIANTS = {
    "plain": BASE,
    "float64": replace(BASE, precision="float64"),
    "batchnorm": replace(BASE, model=Model(hidden=[16, 8], norm="batch")),
    "layernorm_after": replace(BASE, model=Model(hidden=[16, 8], norm="layer", norm_position="after")),
    "adam": replace(BASE, optimizer=Optimizer(name="adam", lr=0.01, weight_decay=0.1)),
    "killed": replace(BASE, start=Start(name="killed", margin=0.02, after=10), probes=Probes("full", 5, ["rollout"])),
    "born_dead_layer2": replace(BASE, start=Start(name="born_dead", layer=2)),
    "full_batch": replace(BASE, train=Train(10, None)),
    "killed_in_part": replace(BASE, start=Start("killed", 2, units=3, after=10), probes=Probes("full", 5, ["zeros", "collapse"])),
    "skip": replace(BASE, model=Model(hidden=[16, 16, 8], skip=True, init="rai"), probes=Probes("full", 5, ["collapse"])),
    "odd_everywhere": replace(BASE, data=Data(subset=299), model=Model(hidden=[13, 7]), train=Train(25, 5)),
    "odd_full_batch": replace(BASE, data=Data(subset=299), model=Model(hidden=[9]), train=Train(10, None)),
    "plain_eager": replace(BASE, engine=Engine("eager")),
    "adam_eager": replace(BASE, engine=Engine("eager"), optimizer=Optimizer(name="adam", lr=0.01, weight_decay=0.1)),
    "killed_eager": replace(BASE, engine=Engine("eager"), start=Start(name="killed", margin=0.02, after=10)),
    "odd_eager": replace(BASE, engine=Engine("eager"), data=Data(subset=299), model=Model(hidden=[13, 7]), train=Train(25, 5)),
    "squared": replace(BASE, train=Train(25, 16, "squared_error"), model=Model(hidden=[16, 8], activation="gelu")),
    "float16": replace(BASE, precision="float16"),
    "bfloat16_batchnorm": replace(BASE, precision="bfloat16", model=Model(hidden=[16, 8], norm="batch")),
    "float16_layernorm": replace(BASE, precision="float16", model=Model(hidden=[16, 8], norm="layer")),
    "bfloat16_wide": replace(BASE, precision="bfloat16", model=Model(hidden=[64]), train=Train(10, 64)),
    "bfloat16_stochastic": replace(BASE, precision="bfloat16", train=Train(25, 16, rounding="stochastic")),
    "float16_scaled_masters": replace(BASE, precision="float16", train=Train(25, 16, loss_scale=1024.0, master_weights=True)),
    "hinge_output_only": replace(BASE, train=Train(25, 16, "hinge", trainable="output")),
    "step_ste": replace(
        BASE,
        model=Model(hidden=[16], activation="step_ste"),
        probes=Probes("full", 5, ["late", "stalled", "zero_loss"], late_steps=64),
        train=Train(70, 16),
    ),
    "steepest": replace(
        BASE,
        model=Model(width=1, depth=9, activation="sigmoid"),
        start=Start("steepest"),
        train=Train(5, 1),
        probes=Probes("bare", 5, ["underflow"]),
    ),
    "saturated": replace(
        BASE,
        model=Model(hidden=[16], activation="tanh"),
        start=Start("saturated_hidden", saturation=-3.0),
        probes=Probes("default", 5, ["plateau", "initial_gradients", "layer_gradients"]),
    ),
    "zero_loss": replace(BASE, start=Start("zero_loss", after=10, scale=5.0), probes=Probes("full", 5, ["zero_loss"])),
    "sigmoid_odd": replace(BASE, data=Data(subset=299), model=Model(hidden=[13, 7], activation="sigmoid"), train=Train(25, 5)),
    "prelu": replace(BASE, model=Model(hidden=[16], activation="prelu")),
}


def block(numeric: Numeric, first: int, count: int, seed: int = 3) -> Block:
    return Block(Condition("c", {}, asdict(numeric)), first, count, seed, "cpu")


def trained(numeric: Numeric, first: int, count: int, seed: int = 3):
    return train(block(numeric, first, count, seed), load(numeric.data, "data"))


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_replicate_is_the_same_alone_or_together(name):
    """R = 1, 3 and 8, cut at different places: every weight and every metric of a replicate has the same bits."""
    numeric = VARIANTS[name]
    whole_trace, whole = trained(numeric, 0, 8)
    for first, count in ((0, 1), (5, 1), (5, 3), (2, 4)):
        part_trace, part = trained(numeric, first, count)
        rows = slice(first, first + count)
        for key, value in part.parameters.items():
            assert same_bits(value, whole.parameters[key][rows]), (key, first, count)
        for key, value in part.buffers.items():
            assert same_bits(value, whole.buffers[key][rows]), (key, first, count)
        for key, curve in part_trace.curves.items():
            np.testing.assert_array_equal(curve, whole_trace.curves[key][rows], err_msg=f"{key} {first} {count}")
        for key, final in part_trace.finals.items():
            np.testing.assert_array_equal(final, whole_trace.finals[key][rows], err_msg=f"{key} {first} {count}")
    # the replicates are not copies of each other, or the comparison would prove nothing
    assert not same_bits(whole.parameters["output.weight"][0], whole.parameters["output.weight"][1])


@pytest.mark.parametrize("name", ["plain", "plain_eager", "batchnorm", "killed"])
def test_measuring_changes_nothing(name):
    """All probes at every step, against the cheapest tier twice in the run: the weights have the same bits, and no
    global random state is touched."""
    numeric = VARIANTS[name]
    watched = replace(numeric, probes=Probes("full", 1, ["rollout", "batchnorm_bound", "zeros", "collapse"]))
    alone = replace(numeric, probes=Probes("economy", 10_000))
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    _, a = trained(watched, 0, 4)
    _, b = trained(alone, 0, 4)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])
    for key in a.parameters:
        assert same_bits(a.parameters[key], b.parameters[key]), key
    for key in a.buffers:
        assert same_bits(a.buffers[key], b.buffers[key]), key


def test_replicates_are_paired_across_conditions():
    """At lr 1e-12 nothing moves, so the end shows the start: the same bits under any optimizer and
    activation, and for layers of equal shape under any depth; the seed changes them."""
    still = replace(BASE, optimizer=Optimizer(lr=1e-30), train=Train(1, 16))
    _, a = trained(still, 0, 2)
    _, b = trained(replace(still, optimizer=Optimizer(name="adam", lr=1e-30), model=Model(hidden=[16, 8], activation="tanh")), 0, 2)
    _, deep = trained(replace(still, model=Model(hidden=[16, 8, 8])), 0, 2)
    _, other = trained(still, 0, 2, seed=4)
    for key in a.parameters:
        assert same_bits(a.parameters[key], b.parameters[key]), key
        assert not same_bits(a.parameters[key], other.parameters[key]), key
    for key in ("layer1.weight", "layer1.bias", "layer2.weight", "output.weight"):
        assert same_bits(a.parameters[key], deep.parameters[key]), key


def test_the_same_call_twice_gives_the_same_bits():
    one, _ = trained(BASE, 0, 3)
    two, _ = trained(BASE, 0, 3)
    for key in one.curves:
        np.testing.assert_array_equal(one.curves[key], two.curves[key])


def test_a_diverged_replicate_is_counted_masked_and_leaves_the_others_alone():
    """A learning rate that blows up some replicates: these are NaN from their divergence on, never before, and the rest
    keep the bits they have without them."""
    hot = replace(
        BASE,
        model=Model(hidden=[16], activation="leaky_relu"),
        train=Train(60, 16, "squared_error"),
        optimizer=Optimizer(lr=5.0),
        probes=Probes("default", 4),
    )
    trace, state = trained(hot, 0, 12)
    diverged = trace.diverged_at >= 0
    assert diverged.any() and not diverged.all()
    for name, curve in trace.curves.items():
        for replicate in np.flatnonzero(diverged):
            after = trace.steps >= trace.diverged_at[replicate]
            assert np.isnan(curve[replicate, after]).all(), name
    loss = trace.curves["train_loss"]
    for replicate in np.flatnonzero(diverged):
        before = trace.steps < trace.diverged_at[replicate]
        assert np.isfinite(loss[replicate, before]).all()
    assert np.isnan(trace.finals["dead_fraction"][diverged]).all()
    for replicate in np.flatnonzero(~diverged):
        _, alone = trained(hot, int(replicate), 1)
        for key in state.parameters:
            assert same_bits(alone.parameters[key][0], state.parameters[key][replicate]), key
    assert np.isfinite(loss[~diverged]).all()
