"""Second-order training keeps the engine's promises: alone or together, and measuring changes nothing, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_invariants import same_bits, trained

from suite.config.choices import SECOND_ORDER
from suite.config.numeric import Numeric
from suite.config.schema import Data, Model, Optimizer, Probes, Start, Train

BASE = Numeric(
    "float64",
    Data("blobs", examples=30, features=3, classes=3),
    Model(hidden=[4], activation="relu"),
    Start(),
    Optimizer(),
    Train(steps=6, batch_size=None),
    Probes("full", 3, ["curvature", "stationary", "escape"], escape_loss=0.5),
)
STARTS = {
    "full_batch": {},
    "batches": {"train": Train(6, 8)},
    "born_dead": {"start": Start("born_dead")},
    "float32": {"precision": "float32"},
    "tanh": {"model": Model(hidden=[5, 3], activation="tanh")},
}


@pytest.mark.parametrize("variant", STARTS)
@pytest.mark.parametrize("name", SECOND_ORDER)
def test_a_replicate_is_the_same_alone_or_together(name, variant):
    numeric = replace(BASE, optimizer=Optimizer(name=name, lr=0.5, damping=0.01), **STARTS[variant])
    whole_trace, whole = trained(numeric, 0, 8)
    for first, count in ((0, 1), (5, 1), (5, 3)):
        part_trace, part = trained(numeric, first, count)
        rows = slice(first, first + count)
        for key, value in part.parameters.items():
            assert same_bits(value, whole.parameters[key][rows]), (key, first, count)
        for key, curve in part_trace.curves.items():
            np.testing.assert_array_equal(curve, whole_trace.curves[key][rows], err_msg=f"{key} {first} {count}")
        for key, final in part_trace.finals.items():
            np.testing.assert_array_equal(final, whole_trace.finals[key][rows], err_msg=f"{key} {first} {count}")
    assert not same_bits(whole.parameters["output.weight"][0], whole.parameters["output.weight"][1])


@pytest.mark.parametrize("name", ["newton", "kfac", "lbfgs", "gradient_norm"])
def test_measuring_changes_nothing(name):
    numeric = replace(BASE, optimizer=Optimizer(name=name, lr=0.5, damping=0.01))
    _, watched = trained(numeric, 0, 3)
    _, alone = trained(replace(numeric, probes=Probes("economy", 1000)), 0, 3)
    for key in watched.parameters:
        assert same_bits(watched.parameters[key], alone.parameters[key]), key
