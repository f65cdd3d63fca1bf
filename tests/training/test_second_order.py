"""Second-order steps against solved quadratics, closed forms of a saturated unit, dense references and scipy, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize
import torch

from suite.config.choices import SECOND_ORDER
from suite.config.schema import Data, Model, Optimizer, Start
from suite.data import load
from suite.nets.initial import initial_parameters
from suite.nets.mlp import Mlp
from suite.nets.starts import placed
from suite.training import kfac, lbfgs, second_order
from suite.training.curvature import Problem, flatten, gradient, hessian, unflatten
from suite.training.losses import LOSSES
from suite.training.optimizers import OPTIMIZERS

SOLVERS = [name for name in SECOND_ORDER if name != "gradient_norm"]


def problem_of(data: Data, model: Model, loss: str, start: Start | None = None, replicates: int = 3):
    dataset = load(data, "data")
    tensors = dataset.tensors(torch.device("cpu"), torch.float64)
    outputs = dataset.classes or tensors.train_y.shape[1]
    net = Mlp.of(model, tensors.train_x.shape[1], outputs)
    parameters, buffers = initial_parameters(net, model, 7, range(replicates), torch.device("cpu"), torch.float64)
    parameters = placed(net, parameters, buffers, tensors.train_x, start or Start())
    x = tensors.train_x.expand(replicates, -1, -1)
    y = tensors.train_y.expand(replicates, *tensors.train_y.shape)
    return Problem(net, LOSSES[loss], x, y, buffers), parameters


TANH = Model(hidden=[3], activation="tanh")


def run(problem: Problem, parameters, optimizer: Optimizer, steps: int):
    """Every parameter vector on the way, [step + 1] of [replicate, parameter]."""
    parameters = {name: value.clone() for name, value in parameters.items()}
    stepper = OPTIMIZERS[optimizer.name](optimizer, parameters)
    path = [flatten(problem.net, parameters)]
    for _ in range(steps):
        stepper.step(parameters, unflatten(problem.net, gradient(problem, path[-1])), problem)
        path.append(flatten(problem.net, parameters))
    return path


LINEAR = (Data("teacher", examples=40, features=3), Model(hidden=[]), "squared_error")


@pytest.mark.parametrize("name", ["newton", "damped_newton", "saddle_free_newton", "gauss_newton", "kfac", "trust_region"])
def test_one_step_solves_a_linear_regression(name):
    """Undamped; the Kronecker factors of a single linear layer with squared error are its Hessian. Witness: least squares by NumPy."""
    problem, parameters = problem_of(*LINEAR)
    radius = 100.0 if name == "trust_region" else 1.0
    flat = run(problem, parameters, Optimizer(name=name, lr=radius, damping=0.0), 1)[-1]
    x = np.concatenate([problem.inputs[0].numpy(), np.ones((40, 1))], axis=1)
    solution = np.linalg.lstsq(x, problem.targets[0].numpy(), rcond=None)[0][:, 0]
    np.testing.assert_allclose(flat, np.tile(solution, (3, 1)), atol=1e-12)


def test_damping_and_absolute_values_are_what_they_are_called():
    problem, parameters = problem_of(
        Data("blobs", examples=20, features=3, classes=3), Model(hidden=[3], activation="tanh"), "cross_entropy"
    )
    start = flatten(problem.net, parameters)
    matrix, slope = hessian(problem, start), gradient(problem, start)
    values, vectors = torch.linalg.eigh(matrix)
    assert (values[:, 0] < -1e-4).all()
    unit = torch.eye(matrix.shape[1], dtype=torch.float64)
    absolute = vectors @ torch.diag_embed(values.abs()) @ vectors.transpose(1, 2)
    for name, dense in (("damped_newton", matrix + 0.3 * unit), ("saddle_free_newton", absolute + 0.3 * unit)):
        moved = run(problem, parameters, Optimizer(name=name, lr=0.5, damping=0.3), 1)[-1]
        expected = start - 0.5 * torch.linalg.solve(dense, slope[:, :, None])[:, :, 0]
        np.testing.assert_allclose(moved, expected, rtol=1e-9, atol=1e-12)


def test_newton_leaves_flat_directions_alone():
    """Softmax does not see a shift of all its biases: an undamped step moves their sum by nothing but rounding."""
    problem, parameters = problem_of(Data("blobs", examples=20, features=2, classes=3), Model(hidden=[]), "cross_entropy")
    start, end = run(problem, parameters, Optimizer(name="newton", lr=1.0, damping=0.0), 1)
    assert (end[:, -3:].sum(dim=1) - start[:, -3:].sum(dim=1)).abs().max() < 1e-10
    assert (end - start).abs().max() > 0.1


@pytest.mark.parametrize("name", SECOND_ORDER)
@pytest.mark.parametrize("damping", [0.0, 0.01])
def test_no_method_moves_a_dead_units_incoming_weights_by_a_bit(name, damping):
    problem, parameters = problem_of(Data("blobs", examples=30, features=3, classes=3), Model(hidden=[6]), "cross_entropy")
    parameters["layer1.bias"][:, [1, 4]] = -50.0
    end = unflatten(problem.net, run(problem, parameters, Optimizer(name=name, lr=1.0, damping=damping), 5)[-1])
    for unit in (1, 4):
        assert torch.equal(end["layer1.weight"][:, :, unit], parameters["layer1.weight"][:, :, unit])
        assert torch.equal(end["layer1.bias"][:, unit], parameters["layer1.bias"][:, unit])
        assert torch.equal(end["output.weight"][:, unit], parameters["output.weight"][:, unit])
    assert not torch.equal(end["layer1.weight"][:, :, 0], parameters["layer1.weight"][:, :, 0])


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_at_an_exact_saddle_only_the_trust_region_moves(name):
    """Gradient zero, negative curvature: what multiplies the gradient stays; the minimiser within a radius does not."""
    linear = Model(hidden=[2], activation="leaky_relu", negative_slope=1.0)
    problem, parameters = problem_of(Data("axes", features=4), linear, "squared_error", Start("saddle"))
    path = run(problem, parameters, Optimizer(name=name, lr=0.5, damping=0.001), 20)
    if name == "trust_region":
        # the linear autoencoder's minimum: the smaller two of the variances 1, 1/2, 1/4, 1/8 over four outputs
        np.testing.assert_allclose(problem.losses(path[-1]), (1 / 4 + 1 / 8) / 4, rtol=1e-8)
        np.testing.assert_allclose(torch.linalg.vector_norm(path[1], dim=1), 0.5, rtol=1e-12)
    else:
        assert torch.count_nonzero(path[-1]) == 0


SATURATED = 6.0


def saturated(loss: str):
    unit = "sigmoid" if loss == "squared_error" else "linear"
    return problem_of(
        Data("constant", examples=1, features=1), Model(hidden=[], output_unit=unit), loss, Start("saturated", margin=SATURATED), 2
    )


def bias_path(loss: str, optimizer: Optimizer, steps: int) -> np.ndarray:
    problem, parameters = saturated(loss)
    return np.array([flat[0, -1].item() for flat in run(problem, parameters, optimizer, steps)])


def test_newton_at_a_saturated_unit_walks_away_from_the_target():
    """Of the loss (1-p)², L'/L'' = -1/(3p-1): for p < 1/3 the curvature is negative and the step leads down, by about one."""
    path = bias_path("squared_error", Optimizer(name="newton", lr=1.0, damping=0.0), 20)
    p = 1 / (1 + np.exp(-path[:-1]))
    np.testing.assert_allclose(np.diff(path), -1 / (1 - 3 * p), rtol=1e-9)
    assert path[-1] < -SATURATED - 20


def test_saddle_free_newton_walks_up_in_about_k_minus_one_steps():
    path = bias_path("squared_error", Optimizer(name="saddle_free_newton", lr=1.0, damping=0.0), 8)
    below = path[:-1] < -0.7
    p = 1 / (1 + np.exp(-path[:-1]))
    np.testing.assert_allclose(np.diff(path)[below], (1 / np.abs(1 - 3 * p))[below], rtol=1e-9)
    assert abs(int(np.argmax(path >= 0)) - (SATURATED - 1)) <= 1


@pytest.mark.parametrize("name", ["gauss_newton", "kfac"])
@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
def test_undamped_gauss_newton_overshoots_by_about_e_to_the_k(name, loss):
    """The step is 1/p = 1 + e^K for both losses."""
    path = bias_path(loss, Optimizer(name=name, lr=1.0, damping=0.0), 1)
    np.testing.assert_allclose(np.diff(path), 1 + math.exp(SATURATED), rtol=1e-9)


@pytest.mark.parametrize(
    ("loss", "closed"),
    [
        # the losses here are twice the textbook's ½(1-p)², and once its -log p
        ("squared_error", (math.exp(SATURATED) + 3 * SATURATED + 2.5 - 3 * math.exp(-SATURATED) - math.exp(-2 * SATURATED) / 2) / 2),
        ("binary_cross_entropy", SATURATED + 1 - math.exp(-SATURATED)),
    ],
)
def test_gradient_flow_leaves_saturation_in_the_closed_forms_time(loss, closed):
    """Gradient descent at two small rates, extrapolated to rate zero."""
    problem, parameters = saturated(loss)
    times = []
    for rate in (closed / 1000, closed / 2000):
        flat, steps = flatten(problem.net, parameters), 0
        while flat[0, -1] < 0:
            last, slope = flat, gradient(problem, flat)
            flat, steps = flat - rate * slope, steps + 1
        # the last step, up to z = 0 only
        times.append(rate * (steps - 1 + (-last[0, -1] / (flat - last)[0, -1]).item()))
    assert 2 * times[1] - times[0] == pytest.approx(closed, rel=2e-3)


def test_two_loops_are_the_dense_bfgs_inverse():
    """Against BFGS's own update of a matrix, oldest pair first, and a replicate with fewer pairs than its neighbour."""
    rng = np.random.default_rng(0)
    s = torch.from_numpy(rng.standard_normal((4, 2, 6)))
    y = s + 0.3 * torch.from_numpy(rng.standard_normal((4, 2, 6)))
    y = torch.where(((s * y).sum(dim=2) > 0)[:, :, None], y, s)
    s[2:, 1] = y[2:, 1] = 0  # replicate 1 remembers two pairs
    slope = torch.from_numpy(rng.standard_normal((2, 6)))
    direction = lbfgs.two_loop(slope, s, y)
    for replicate, pairs in ((0, 4), (1, 2)):
        a, b = s[:pairs, replicate].numpy(), y[:pairs, replicate].numpy()
        inverse = np.eye(6) * (a[0] @ b[0]) / (b[0] @ b[0])
        for k in reversed(range(pairs)):
            rho = 1 / (a[k] @ b[k])
            left = np.eye(6) - rho * np.outer(a[k], b[k])
            inverse = left @ inverse @ left.T + rho * np.outer(a[k], a[k])
        np.testing.assert_allclose(direction[replicate], inverse @ slope[replicate].numpy(), rtol=1e-10)
    np.testing.assert_array_equal(lbfgs.two_loop(slope, s[:0], y[:0]), slope)


def test_lbfgs_finds_scipys_minimum_of_a_convex_loss():
    problem, parameters = problem_of(Data("blobs", examples=60, features=2, classes=2, noise=2.0), Model(hidden=[]), "cross_entropy")
    end = run(problem, parameters, Optimizer(name="lbfgs", lr=1.0), 60)[-1]

    def loss(vector):
        flat = torch.from_numpy(vector)[None].expand(3, -1)
        return problem.losses(flat)[0].item(), gradient(problem, flat)[0].numpy()

    best = scipy.optimize.minimize(loss, np.zeros(end.shape[1]), jac=True, method="L-BFGS-B", options={"ftol": 0, "gtol": 1e-9})
    np.testing.assert_allclose(problem.losses(end), best.fun, rtol=1e-10)
    assert 0.01 < best.fun < 0.6


def test_lbfgs_never_raises_the_loss_and_keeps_no_pair_of_negative_curvature():
    problem, parameters = problem_of(Data("teacher", examples=30, features=3), Model(hidden=[4], activation="tanh"), "squared_error")
    parameters = {name: 3 * value for name, value in parameters.items()}
    optimizer = Optimizer(name="lbfgs", lr=1.0, history=3)
    stepper = OPTIMIZERS["lbfgs"](optimizer, parameters)
    losses = []
    for _ in range(15):
        flat = flatten(problem.net, parameters)
        losses.append(problem.losses(flat))
        stepper.step(parameters, unflatten(problem.net, gradient(problem, flat)), problem)
    assert (torch.stack(losses).diff(dim=0) <= 0).all()
    inner = (stepper.memory["s"] * stepper.memory["y"]).sum(dim=2)
    assert (inner > 0).all()
    assert inner.shape == (3, 3)


@pytest.mark.parametrize("radius", [0.05, 1.0, 50.0])
def test_a_trust_region_step_is_optimal(radius):
    """The three conditions of Moré and Sorensen, for definite and indefinite matrices and in the hard case; and no point that
    scipy's constrained minimiser finds is lower."""
    rng = np.random.default_rng(4)
    raw = torch.from_numpy(rng.standard_normal((4, 5, 5)))
    matrix = (raw + raw.transpose(1, 2)) / 2
    matrix[0] = raw[0] @ raw[0].T + torch.eye(5)
    slope = torch.from_numpy(rng.standard_normal((4, 5)))
    values, vectors = torch.linalg.eigh(matrix)
    slope[2] -= vectors[2, :, 0] * (vectors[2, :, 0] @ slope[2])  # no part along the lowest eigenvector
    slope[3] = 0
    step = second_order.trust_region_step(matrix, slope, torch.full((4,), radius, dtype=torch.float64))
    model = (slope * step).sum(dim=1) + torch.einsum("ri,rij,rj->r", step, matrix, step) / 2
    for r in range(4):
        size = step[r].norm().item()
        assert size <= radius * (1 + 1e-9)
        # H s + g = -mu s with mu >= max(0, -lowest), and mu = 0 unless s is on the boundary
        residual = matrix[r] @ step[r] + slope[r]
        mu = -(residual @ step[r] / step[r].square().sum()).item() if size > 0 else 0.0
        np.testing.assert_allclose(residual, -mu * step[r], atol=1e-7)
        assert mu >= max(0.0, -values[r, 0].item()) - 1e-7
        assert mu < 1e-7 or size == pytest.approx(radius, rel=1e-6)
        a, g = matrix[r].numpy(), slope[r].numpy()
        ball = {"type": "ineq", "fun": lambda s: radius**2 - s @ s}
        starts = rng.standard_normal((4, 5)) * radius / 3
        found = min(
            scipy.optimize.minimize(lambda s, a=a, g=g: g @ s + s @ a @ s / 2, s0, constraints=ball, method="SLSQP").fun for s0 in starts
        )
        assert model[r] <= found + 1e-6 * max(1.0, abs(found))


@pytest.mark.parametrize("name", [*SECOND_ORDER])
def test_a_replicate_that_is_no_longer_finite_stays_alone(name):
    problem, parameters = problem_of(
        Data("blobs", examples=16, features=2, classes=2), Model(hidden=[3], activation="tanh"), "cross_entropy"
    )
    optimizer = Optimizer(name=name, lr=0.5, damping=0.01)
    whole = run(problem, parameters, optimizer, 3)[-1]
    parameters["layer1.weight"][1, 0, 0] = math.inf
    broken = run(problem, parameters, optimizer, 3)[-1]
    assert torch.equal(broken[[0, 2]], whole[[0, 2]])
    assert not torch.isfinite(broken[1]).all()


@pytest.mark.parametrize("name", SOLVERS)
def test_every_method_trains_an_ordinary_net(name):
    problem, parameters = problem_of(
        Data("blobs", examples=48, features=3, classes=3, noise=0.5), Model(hidden=[5], activation="tanh"), "cross_entropy"
    )
    lr = 0.5 if name in ("newton", "damped_newton") else 1.0
    path = run(problem, parameters, Optimizer(name=name, lr=lr, damping=0.3), 40)
    if name == "newton":
        # to a stationary point, whichever; that it need not be a good one is the point of the others
        assert gradient(problem, path[-1]).norm(dim=1).min() < 1e-3
    else:
        assert (problem.losses(path[-1]) < 0.5 * problem.losses(path[0])).all()


def test_memory_is_forgotten_and_shown():
    problem, parameters = problem_of(*LINEAR)
    stepper = OPTIMIZERS["lbfgs"](Optimizer(name="lbfgs", lr=1.0, history=4), parameters)
    stepper.step(parameters, unflatten(problem.net, gradient(problem, flatten(problem.net, parameters))), problem)
    assert stepper.state()["s"].shape == (3, 4, 4)
    assert stepper.state()["taken"] == 1
    stepper.clear()
    assert set(stepper.state()) == {"taken", "held"}
    assert stepper.state()["held"] == 0
    assert stepper.state()["taken"] == 0


def test_kfac_sees_a_sigmoid_output_through_its_slope():
    """B of a single sigmoid unit with squared error is 2·(p(1-p))²."""
    problem, parameters = saturated("squared_error")
    layer = kfac.factors(problem, flatten(problem.net, parameters))["output"]
    p = 1 / (1 + math.exp(SATURATED))
    np.testing.assert_allclose(layer.outputs, np.full((2, 1, 1), 2 * (p * (1 - p)) ** 2), rtol=1e-12)
