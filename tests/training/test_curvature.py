"""Derivatives of a stack against torch.autograd.functional, per-example sums and closed forms, all in float64."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from torch.autograd.functional import hessian as reference_hessian
from torch.autograd.functional import jacobian as reference_jacobian

from suite.config.schema import Data, Model, Start
from suite.data import load
from suite.nets.initial import initial_parameters
from suite.nets.mlp import Mlp
from suite.nets.starts import placed
from suite.training import curvature, kfac
from suite.training.curvature import Problem, count_parameters, flatten, gradient, hessian, hessian_vector, unflatten
from suite.training.losses import LOSSES

CASES = {
    "tanh_cross_entropy": (Model(hidden=[4, 3], activation="tanh"), "cross_entropy"),
    "relu_cross_entropy": (Model(hidden=[5], activation="relu"), "cross_entropy"),
    "elu_squared": (Model(hidden=[4], activation="elu"), "squared_error"),
    "gelu_squared": (Model(hidden=[3, 3], activation="gelu"), "squared_error"),
    "prelu_squared": (Model(hidden=[4], activation="prelu"), "squared_error"),
    "batchnorm_silu": (Model(hidden=[4], activation="silu", norm="batch"), "cross_entropy"),
    "layernorm_tanh": (Model(hidden=[4], activation="tanh", norm="layer"), "squared_error"),
    "sigmoid_output": (Model(hidden=[3], activation="tanh", output_unit="sigmoid"), "squared_error"),
    "logits": (Model(hidden=[3], activation="sigmoid"), "binary_cross_entropy"),
    "no_hidden_layer": (Model(hidden=[]), "cross_entropy"),
}


def case(name: str, replicates: range = range(3), batch: int = 7) -> tuple[Problem, torch.Tensor]:
    model, loss = CASES[name]
    net = Mlp.of(model, 4, 3)
    parameters, buffers = initial_parameters(net, model, 5, replicates, torch.device("cpu"), torch.float64)
    rng = np.random.default_rng(1)
    inputs = torch.from_numpy(rng.standard_normal((len(replicates), batch, 4)))
    if loss == "cross_entropy":
        targets = torch.from_numpy(rng.integers(0, 3, (len(replicates), batch)))
    else:
        targets = torch.from_numpy(rng.uniform(0, 1, (len(replicates), batch, 3)))
    return Problem(net, LOSSES[loss], inputs, targets, buffers), flatten(net, parameters)


def one(problem: Problem, replicate: int):
    """The loss and the outputs of one replicate as plain functions of its vector."""
    rows = slice(replicate, replicate + 1)
    buffers = {key: value[rows] for key, value in problem.buffers.items()}
    alone = Problem(problem.net, problem.loss, problem.inputs[rows], problem.targets[rows], buffers)
    return (lambda vector: alone.losses(vector[None])[0]), (lambda vector: alone.output(vector[None])[0])


def test_the_vector_and_the_tensors_are_the_same_numbers():
    problem, flat = case("batchnorm_silu")
    tensors = unflatten(problem.net, flat)
    assert torch.equal(flatten(problem.net, tensors), flat)
    assert flat.shape[1] == count_parameters(problem.net)
    assert {name: tuple(value.shape[1:]) for name, value in tensors.items()} == problem.net.parameter_shapes()


@pytest.mark.parametrize("name", CASES)
def test_gradient_hessian_and_products_are_those_of_each_replicate(name):
    problem, flat = case(name)
    whole, slope = hessian(problem, flat), gradient(problem, flat)
    vectors = torch.from_numpy(np.random.default_rng(2).standard_normal(flat.shape))
    product = hessian_vector(problem, flat, vectors)
    for replicate in range(3):
        loss, _ = one(problem, replicate)
        expected = reference_hessian(loss, flat[replicate])
        np.testing.assert_allclose(whole[replicate], expected, atol=1e-12)
        np.testing.assert_allclose(slope[replicate], reference_jacobian(loss, flat[replicate]), atol=1e-13)
        np.testing.assert_allclose(product[replicate], expected @ vectors[replicate], atol=1e-12)
    assert torch.equal(whole, whole.transpose(1, 2))


def test_the_hessian_is_the_derivative_of_the_gradient_by_differences():
    problem, flat = case("tanh_cross_entropy")
    whole, step = hessian(problem, flat), 1e-5
    for k in range(0, flat.shape[1], 5):
        away = torch.zeros_like(flat)
        away[:, k] = step
        difference = (gradient(problem, flat + away) - gradient(problem, flat - away)) / (2 * step)
        np.testing.assert_allclose(whole[:, :, k], difference, atol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_gauss_newton_is_the_sum_over_examples(name):
    problem, flat = case(name)
    matrix = curvature.gauss_newton(problem, flat)
    for replicate in range(3):
        _, output = one(problem, replicate)
        jacobian = reference_jacobian(output, flat[replicate])
        total = torch.zeros_like(matrix[0])
        for example in range(7):
            target = problem.targets[replicate, example][None, None]
            inner = reference_hessian(lambda z, t=target: problem.loss(z[None, None], t)[0, 0], output(flat[replicate])[example])
            total += jacobian[example].T @ inner @ jacobian[example]
        np.testing.assert_allclose(matrix[replicate], total / 7, atol=1e-12)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-12


@pytest.mark.parametrize("name", ["tanh_cross_entropy", "elu_squared", "logits"])
def test_the_output_factor_squares_to_the_losss_hessian_also_where_no_closed_form_is_known(name):
    problem, flat = case(name)
    expected = curvature.output_hessian(problem, problem.output(flat))
    unknown = Problem(problem.net, lambda output, target: problem.loss(output, target), problem.inputs, problem.targets, problem.buffers)
    for p in (problem, unknown):
        factor = curvature.output_factor(p, flat)
        np.testing.assert_allclose(factor @ factor.transpose(2, 3), expected, atol=1e-12)


def test_cross_entropys_gauss_newton_matrix_is_the_fisher_matrix():
    """E over labels drawn from the model of ∇log p ∇log pᵀ, label by label and example by example."""
    problem, flat = case("relu_cross_entropy")
    matrix = curvature.gauss_newton(problem, flat)
    probabilities = problem.output(flat).softmax(dim=2)
    fisher = torch.zeros_like(matrix)
    for example in range(7):
        for label in range(3):
            labels = torch.full((3, 1), label)
            single = Problem(problem.net, problem.loss, problem.inputs[:, example : example + 1], labels, problem.buffers)
            score = gradient(single, flat)
            fisher += probabilities[:, example, label, None, None] * score[:, :, None] * score[:, None, :] / 7
    np.testing.assert_allclose(matrix, fisher, atol=1e-12)


@pytest.mark.parametrize("name", ["tanh_cross_entropy", "relu_cross_entropy", "elu_squared", "sigmoid_output", "logits", "no_hidden_layer"])
def test_kfacs_factors_are_those_of_explicit_examples(name):
    """A from the layer's inputs; B from the Fisher matrix of one example with respect to the layer's bias, whose derivative is δ."""
    problem, flat = case(name)
    found = kfac.factors(problem, flat)
    positions = unflatten(problem.net, torch.arange(flat.shape[1], dtype=torch.float64)[None])
    values = problem.inputs
    for index, (layer, _, _) in enumerate(problem.net.linears):
        if index:
            values = problem.net.forward(unflatten(problem.net, flat), {}, problem.inputs, training=True).post[index - 1]
        extended = torch.cat([values, torch.ones_like(values[..., :1])], dim=2)
        np.testing.assert_allclose(found[layer].inputs, torch.einsum("rbi,rbj->rij", extended, extended) / 7, atol=1e-13)
        bias = positions[f"{layer}.bias"][0].long()
        outer = torch.zeros_like(found[layer].outputs)
        for example in range(7):
            part = slice(example, example + 1)
            single = Problem(problem.net, problem.loss, problem.inputs[:, part], problem.targets[:, part], {})
            outer += curvature.gauss_newton(single, flat)[:, bias][:, :, bias] / 7
        np.testing.assert_allclose(found[layer].outputs, outer, atol=1e-12)


def test_kfac_is_the_exact_block_where_one_example_makes_the_expectation():
    """With one example E[aaᵀ ⊗ δδᵀ] factorises, so the layer's block of the Gauss-Newton matrix is A ⊗ B exactly."""
    problem, flat = case("tanh_cross_entropy", batch=1)
    matrix = curvature.gauss_newton(problem, flat)
    positions = unflatten(problem.net, torch.arange(flat.shape[1], dtype=torch.float64)[None])
    for layer, factors in kfac.factors(problem, flat).items():
        rows = torch.cat([positions[f"{layer}.weight"][0], positions[f"{layer}.bias"]]).long().flatten()
        for replicate in range(3):
            product = torch.kron(factors.inputs[replicate], factors.outputs[replicate])
            np.testing.assert_allclose(matrix[replicate][rows][:, rows], product, atol=1e-13)


def test_kroneckers_solve_is_the_dense_one():
    problem, flat = case("tanh_cross_entropy")
    layer = kfac.factors(problem, flat)["layer2"]
    block = torch.from_numpy(np.random.default_rng(3).standard_normal((3, layer.inputs.shape[1], layer.outputs.shape[1])))
    solved = kfac.kronecker_solve(layer, block, 0.01)
    for replicate in range(3):
        dense = torch.kron(layer.inputs[replicate], layer.outputs[replicate])
        dense += 0.01 * torch.eye(len(dense), dtype=dense.dtype)
        np.testing.assert_allclose(solved[replicate].flatten(), torch.linalg.solve(dense, block[replicate].flatten()), rtol=1e-9)


def test_kroneckers_solve_takes_a_factor_with_subnormal_entries():
    """A factor met in training, on which LAPACK's float32 eigensolver does not converge as it stands; the witness is float64."""
    outputs = torch.zeros(1, 16, 16)
    entries = {(2, 2): 1.1293385177850723e-3, (5, 5): 6.759280222468078e-5, (7, 7): 1.7038462112560493e-13, (12, 12): 0.11953166872262955}
    entries |= {(2, 12): 5.602504984381085e-07, (5, 12): -1.7204191223767554e-14, (7, 12): 4.924168711673005e-13}
    entries |= {(12, 14): 1.2611686178923354e-44, (14, 14): 1.2611686178923354e-44}
    for (row, column), value in entries.items():
        outputs[0, row, column] = outputs[0, column, row] = value
    layer = kfac.Factors(torch.eye(3)[None], outputs)
    block = torch.from_numpy(np.random.default_rng(4).standard_normal((1, 3, 16))).float()
    dense = outputs[0].double() + 0.1 * torch.eye(16, dtype=torch.float64)
    expected = torch.linalg.solve(dense, block[0].double().T).T
    np.testing.assert_allclose(kfac.kronecker_solve(layer, block, 0.1)[0], expected, rtol=1e-5)


def linear_net_at_the_origin(hidden: list[int]) -> tuple[Problem, torch.Tensor]:
    model = Model(hidden=hidden, activation="leaky_relu", negative_slope=1.0)
    data = load(Data("axes", features=4), "data").tensors(torch.device("cpu"), torch.float64)
    net = Mlp.of(model, 4, 4)
    parameters, buffers = initial_parameters(net, model, 0, range(2), torch.device("cpu"), torch.float64)
    parameters = placed(net, parameters, buffers, data.train_x, Start("saddle"))
    inputs = data.train_x.expand(2, -1, -1)
    return Problem(net, LOSSES["squared_error"], inputs, inputs, buffers), flatten(net, parameters)


def test_a_linear_net_of_depth_two_has_a_strict_saddle_at_the_origin():
    """The gradient is exactly zero. Of the loss (1/O)·Σ(output - target)², 2/O times the loss of the textbooks, the Hessian pairs
    each input variance with ± 2σ/O once per hidden unit; the output bias adds 2/O per output and the rest is flat."""
    problem, flat = linear_net_at_the_origin([2])
    assert torch.count_nonzero(gradient(problem, flat)) == 0
    values = torch.linalg.eigvalsh(hessian(problem, flat))
    variances = np.array([1.0, 0.5, 0.25, 0.125])
    pairs = np.repeat(2 / 4 * np.concatenate([-variances, variances]), 2)
    expected = np.sort(np.concatenate([pairs, np.full(4, 2 / 4), np.zeros(2)]))
    np.testing.assert_allclose(values, np.tile(expected, (2, 1)), atol=1e-12)
    assert expected[0] == -2 / 4 * variances.max()


def test_a_linear_net_of_depth_three_has_no_curvature_in_its_weights_at_the_origin():
    problem, flat = linear_net_at_the_origin([2, 2])
    assert torch.count_nonzero(gradient(problem, flat)) == 0
    matrix = hessian(problem, flat)
    bias = unflatten(problem.net, torch.arange(flat.shape[1], dtype=torch.float64)[None])["output.bias"][0].long()
    np.testing.assert_allclose(matrix[:, bias][:, :, bias], np.tile(np.eye(4) / 2, (2, 1, 1)), atol=1e-14)
    matrix[:, bias] = 0
    assert torch.count_nonzero(matrix) == 0


def test_a_dead_units_block_of_the_hessian_and_of_gauss_newton_is_exactly_zero():
    problem, flat = case("relu_cross_entropy")
    net = problem.net
    tensors = {name: value.clone() for name, value in unflatten(net, flat).items()}
    tensors["layer1.bias"][:, 2] = -100.0
    flat = flatten(net, tensors)
    positions = unflatten(net, torch.arange(flat.shape[1], dtype=torch.float64)[None])
    incoming = torch.cat([positions["layer1.weight"][0, :, 2], positions["layer1.bias"][0, 2:3]]).long()
    outgoing = positions["output.weight"][0, 2].long()
    for matrix in (hessian(problem, flat), curvature.gauss_newton(problem, flat)):
        assert torch.count_nonzero(matrix[:, torch.cat([incoming, outgoing])]) == 0
        assert torch.count_nonzero(matrix) > 0
    found = kfac.factors(problem, flat)["layer1"]
    assert torch.count_nonzero(found.outputs[:, 2]) == 0


def test_the_chunks_of_a_hessian_change_no_bit(monkeypatch):
    problem, flat = case("tanh_cross_entropy")
    whole = hessian(problem, flat)
    monkeypatch.setattr(curvature, "PASS_ELEMENTS", 1)
    assert hessian(problem, flat).numpy().tobytes() == whole.numpy().tobytes()


def test_the_docstrings_examples_hold():
    assert doctest.testmod(curvature).failed == 0
