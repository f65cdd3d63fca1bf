"""Curvature, stationary and escape probes on points whose kind is known."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from probes.test_units import LAYOUT, evaluation

from suite.config.numeric import Numeric
from suite.config.schema import Data, Model, Optimizer, Probes, Start, Train
from suite.data import load
from suite.probes.curvature import Curvature, Stationary, negative_fraction, signs, spectrum
from suite.probes.escape import Escape
from suite.study.plan import check_fit
from suite.training.engine import train
from suite.vocabulary import Block, Condition, RequestError

SADDLE = Numeric(
    "float64",
    Data("axes", features=4),
    Model(hidden=[2], activation="leaky_relu", negative_slope=1.0),
    Start("saddle"),
    Optimizer(),
    Train(1, None, "squared_error"),
    Probes("economy", 1, ["curvature", "stationary"]),
)


def finals(numeric: Numeric, count: int = 2):
    trace, _ = train(Block(Condition("c", {}, asdict(numeric)), 0, count, 0, "cpu"), load(numeric.data, "data"))
    return trace.finals


def test_the_origin_of_a_linear_net_is_a_saddle_of_known_spectrum():
    """Pairs ±(2/O)σ, twice for two hidden units: 8 negative of 22; the trace is that of the output biases, 4 · 2/O."""
    seen = finals(SADDLE)
    np.testing.assert_allclose(seen["hessian_min"], -0.5, rtol=1e-12)
    np.testing.assert_allclose(seen["hessian_max"], 0.5, rtol=1e-12)
    np.testing.assert_allclose(seen["hessian_trace"], 2.0, rtol=1e-12)
    np.testing.assert_allclose(seen["hessian_negative_fraction"], 8 / 22)
    assert (seen["gradient_norm"] == 0).all()
    for name, value in {"critical": 1, "saddle": 1, "minimum": 0, "maximum": 0, "saddle_excess": 1, "gradient_flat": 0}.items():
        assert (seen[name] == value).all(), name


def test_the_bottom_of_a_linear_regression_is_a_minimum():
    seen = finals(replace(SADDLE, model=Model(hidden=[]), start=Start(), optimizer=Optimizer("newton", lr=1.0)))
    assert (seen["minimum"] == 1).all()
    assert (seen["saddle"] == 0).all()
    assert (seen["saddle_excess"] == -1).all()


def test_an_ordinary_point_is_not_critical():
    seen = finals(replace(SADDLE, start=Start()))
    assert (seen["gradient_norm"] > 1e-3).all()
    for name in ("critical", "saddle", "minimum", "maximum", "gradient_flat"):
        assert (seen[name] == 0).all(), name


def test_the_hessian_is_of_the_first_examples_only_where_that_is_asked():
    whole = finals(SADDLE)
    part = finals(replace(SADDLE, probes=replace(SADDLE.probes, hessian_examples=2)))
    # the first two points lie on the first axis: all of the covariance there, four times as dense
    np.testing.assert_allclose(part["hessian_max"], 4 * whole["hessian_max"], rtol=1e-12)


def test_float32_training_is_measured_in_float64():
    seen = finals(replace(SADDLE, precision="float32", start=Start()))
    assert not np.array_equal(seen["hessian_max"], seen["hessian_max"].astype(np.float32))


def test_signs_are_relative_and_a_broken_matrix_has_none():
    matrix = torch.diag_embed(torch.tensor([[-1e-8, 0.0, 1.0], [-1e-3, -1e-9, 1e-2], [math.nan, 0.0, 0.0]], dtype=torch.float64))
    values = spectrum(matrix)
    negative, positive = signs(values)
    assert negative.sum(dim=1).tolist() == [0, 1, 0]
    assert positive.sum(dim=1).tolist() == [1, 1, 0]
    assert negative_fraction(values[:2]).tolist() == [0, 1 / 3]
    assert torch.isnan(values[2]).all()


def test_gradient_flat_is_a_gradient_the_hessian_does_not_see():
    probe = Stationary(replace(LAYOUT, critical_below=0.1))
    view = evaluation([[1.0], [1.0]])
    slopes = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.05]], dtype=torch.float64)
    matrices = torch.tensor([[[0.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, -2.0]], [[-1.0, 0.0], [0.0, -2.0]]], dtype=torch.float64)
    view = replace(view, parameters={"w": slopes}, gradients=lambda: {"w": slopes}, hessian=lambda: matrices)
    seen = probe.evaluate(view)
    assert seen["gradient_flat"].tolist() == [1, 0, 0]
    assert seen["critical"].tolist() == [0, 0, 1]
    assert seen["maximum"].tolist() == [0, 0, 1]
    np.testing.assert_allclose(seen["flatness"], [0, 1 / math.sqrt(5), 2 / math.sqrt(5)])
    assert set(seen) == set(probe.columns())
    assert set(Curvature(LAYOUT).evaluate(view)) == set(Curvature(LAYOUT).columns())


def test_escape_is_the_first_evaluation_at_or_below_the_threshold():
    probe = Escape(replace(LAYOUT, escape_loss=0.5, optimizer=Optimizer(lr=0.25)))
    view = evaluation([[1.0], [1.0]])
    for step, losses in ((0, [1.0, 0.5, 2.0]), (3, [0.5, 0.9, 2.0]), (6, [0.1, 0.1, 2.5])):
        seen = probe.evaluate(replace(view, step=step, train_loss=torch.tensor(losses, dtype=torch.float64)))
    assert seen["escaped"].tolist() == [1, 1, 0]
    np.testing.assert_allclose(seen["loss_change"], [-0.9, -0.4, 0.5])
    last = probe.finish()
    # the third never got out: at least six steps
    assert last["escape_step"].tolist() == [3, 0, 6]
    assert last["escape_time"].tolist() == [0.75, 0, 1.5]


def test_a_full_matrix_over_too_many_parameters_is_refused_before_training():
    wide = replace(SADDLE, data=Data("digits"), model=Model(hidden=[32]), train=Train(1, None))
    dataset = load(wide.data, "data")
    with pytest.raises(RequestError, match="2410 parameters"):
        check_fit(Condition("c", {}, asdict(wide)), dataset)
    allowed = replace(wide, probes=Probes(), optimizer=Optimizer("kfac"))
    check_fit(Condition("c", {}, asdict(allowed)), dataset)
    with pytest.raises(RequestError, match=r"optimizer.name=newton"):
        check_fit(Condition("c", {}, asdict(replace(allowed, optimizer=Optimizer("newton")))), dataset)
