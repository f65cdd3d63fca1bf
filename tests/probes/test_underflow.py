"""The depth at which a gradient is gone: integer recursion against NumPy's own numbers and against the engine."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch

from suite.config.numeric import Numeric
from suite.config.schema import Data, Model, Optimizer, Probes, Start, Train
from suite.data import load
from suite.probes.underflow import quarterings_to_zero, smallest_exponent
from suite.training.engine import train
from suite.vocabulary import Block, Condition

CLOSED = {"float16": 13, "bfloat16": 67, "float32": 75, "float64": 538}


@pytest.mark.parametrize("precision", ["float16", "float32", "float64"])
def test_quartering_is_numpys(precision):
    kind = np.dtype(precision).type
    smallest = smallest_exponent(getattr(torch, precision))
    assert kind(np.finfo(kind).smallest_subnormal) == kind(math.ldexp(1.0, smallest))
    random = np.random.default_rng(2)
    for value in (*random.lognormal(0, 6, 300), 1.0, 0.0, 3 * math.ldexp(1.0, smallest)):
        number = kind(min(value, float(np.finfo(kind).max)))
        start, count = float(number), 0
        while number:
            number, count = kind(number * kind(0.5)) * kind(0.5), count + 1
        assert quarterings_to_zero(start, smallest) == count


@pytest.mark.parametrize("precision", CLOSED)
def test_a_gradient_of_one_is_gone_at_the_closed_form(precision):
    """4^-d ≤ half the smallest subnormal 2^t: d = ⌈(1 - t) / 2⌉."""
    smallest = smallest_exponent(getattr(torch, precision))
    assert quarterings_to_zero(1.0, smallest) == math.ceil((1 - smallest) / 2) == CLOSED[precision]


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_the_probe_reads_the_depth_from_the_stack(precision):
    """Against the gradients themselves, taken from torch.autograd on a stack written out here."""
    depth = 80 if precision == "bfloat16" else 20
    numeric = Numeric(
        precision,
        Data(subset=50),
        Model(width=1, depth=depth, activation="sigmoid"),
        Start("steepest"),
        Optimizer(),
        Train(1, 1),
        Probes("bare", 1, ["underflow"]),
    )
    trace, _ = train(Block(Condition("c", {}, asdict(numeric)), 0, 3, 5, "cpu"), load(numeric.data, "data"))
    assert (trace.finals["zero_depth_error"] == 0).all()
    # 2, 10, 42, 170 … smallest units all end at zero together, ties going to even: the threshold tends to 2/3 of the smallest unit
    low = math.log(1.5, 4) - smallest_exponent(getattr(torch, precision)) / 2
    assert (low - 0.01 <= trace.finals["zero_depth_from_one"]).all()
    assert (trace.finals["zero_depth_from_one"] <= low + 1.01).all()
    assert (trace.finals["first_layer_grad_max_abs"] == 0).all()
    assert (trace.finals["zero_depth"] < depth).all()
