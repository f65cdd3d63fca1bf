"""Convolutional stacks against torch.nn.Conv2d, BatchNorm2d, GroupNorm, MaxPool2d and torch.optim, one replicate at a time."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import reference
import torch
from test_against_torch import OPTIMIZERS, REPLICATES, trained_stack
from test_invariants import same_bits, trained
from torch import nn

from suite.config.numeric import Numeric
from suite.config.schema import Data, Engine, Model, Optimizer, Probes, Remedy, Start, Train
from suite.data import load
from suite.nets import passes
from suite.nets.cnn import Cnn, pooled_apart
from suite.probes.registry import names
from suite.study.plan import blocks_of, data_key
from suite.training.curvature import Problem, flatten, full_hessian, gradient, hessian_vector
from suite.training.engine import layout_of, network_of
from suite.training.evaluate import evaluate, full_gradients, outputs, pre_activations
from suite.training.losses import cross_entropy
from suite.training.paths import path_of, why_not_native
from suite.vocabulary import Condition, Plan, RequestError

BASE = Numeric(
    "float64",
    Data(subset=150),
    Model(name="cnn", channels=[5, 6], hidden=[7]),
    Start(),
    OPTIMIZERS["momentum"],
    Train(steps=12, batch_size=16),
    Probes(),
)


def module(net: Cnn, parameters: dict[str, torch.Tensor], replicate: int) -> nn.Sequential:
    """The same network of torch.nn parts. What it reads is [example, colour, row, column]."""
    layers: list[nn.Module] = []
    fan_in, rows = net.image[2], net.image[0]
    for index, (name, flat_in, fan_out) in enumerate(net.linears):
        convolution = index < len(net.channels)
        if index == len(net.channels):
            layers.append(nn.Flatten())
        linear = (
            nn.Conv2d(fan_in, fan_out, net.kernel, padding="same", dtype=torch.float64)
            if convolution
            else nn.Linear(flat_in, fan_out, dtype=torch.float64)
        )
        linear.weight.data = parameters[f"{name}.weight"][replicate].T.reshape(linear.weight.shape).clone()
        linear.bias.data = parameters[f"{name}.bias"][replicate].clone()
        layers.append(linear)
        if name == "output":
            return nn.Sequential(*layers)
        tail = [reference.activation(net.activation, net.negative_slope)]
        if net.activation == "prelu":
            tail[0].weight.data = parameters[f"{name}.slope"][replicate].clone()
        if net.norm != "none":
            if net.norm == "batch":
                norm = (nn.BatchNorm2d if convolution else nn.BatchNorm1d)(fan_out, dtype=torch.float64)
            else:
                norm = nn.GroupNorm(1, fan_out, dtype=torch.float64)
            norm.weight.data = parameters[f"{name}.scale"][replicate].clone()
            norm.bias.data = parameters[f"{name}.shift"][replicate].clone()
            tail.insert(0 if net.norm_position == "before" else 1, norm)
        layers += tail
        if convolution and rows >= 4:
            layers.append(nn.MaxPool2d(2))
            rows //= 2
        fan_in = fan_out
    raise AssertionError


def images(net: Cnn, x: torch.Tensor) -> torch.Tensor:
    return x.reshape(-1, *net.image).permute(0, 3, 1, 2)


def by_name(net: Cnn, network: nn.Sequential, grad: bool = False) -> dict[str, np.ndarray]:
    """The module's parameters, or their gradients, under the suite's names and in its shapes."""
    kinds = {nn.Conv2d: ("weight", "bias"), nn.Linear: ("weight", "bias"), nn.PReLU: ("slope",)}
    found: dict[str, np.ndarray] = {}
    hidden = iter((*net.layers, "output"))
    shapes = net.parameter_shapes()
    for layer in network:
        owned = list(layer.parameters())
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            current = next(hidden)
        for kind, value in zip(kinds.get(type(layer), ("scale", "shift")), owned, strict=False):
            taken = value.grad if grad else value.detach()
            name = f"{current}.{kind}"
            found[name] = (taken.flatten(1).T if kind == "weight" else taken).reshape(shapes[name]).numpy()
    assert found.keys() == shapes.keys()
    return found


def alone(numeric: Numeric, net: Cnn, data, first, order, replicate: int):
    """One replicate through torch.nn and torch.optim."""
    network = module(net, first, replicate)
    optimizer = reference.optimizer_of(network, numeric)
    network.train()
    gradients = None
    for step in range(numeric.train.steps):
        chosen = torch.from_numpy(order.indices(step)[replicate].copy())
        optimizer.zero_grad()
        reference.loss_of(numeric.train.loss, network(images(net, data.train_x[chosen])), data.train_y[chosen]).backward()
        gradients = gradients or {name: value.copy() for name, value in by_name(net, network, grad=True).items()}
        optimizer.step()
    return network, gradients


def compare(numeric: Numeric, rtol: float = 1e-9, atol: float = 1e-11) -> None:
    """Gradients of the first step, parameters and running statistics after the last, inference loss and dead channels."""
    net, task, state, first, gradients, order = trained_stack(numeric)
    assert isinstance(net, Cnn)
    seen = evaluate(task, state.parameters, state.buffers)
    for replicate in range(len(REPLICATES)):
        network, expected = alone(numeric, net, task.data, first, order, replicate)
        close = {"rtol": rtol, "atol": atol}
        after = by_name(net, network)
        for name in net.parameter_shapes():
            np.testing.assert_allclose(gradients[name][replicate].numpy(), expected[name], err_msg=name, **close)
            np.testing.assert_allclose(state.parameters[name][replicate].numpy(), after[name], err_msg=name, **close)
            assert not np.array_equal(after[name], first[name][replicate].numpy())
        norms = [layer for layer in network if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d))]
        for layer, norm in zip(net.layers, norms, strict=net.norm == "batch"):
            for kind in ("running_mean", "running_var"):
                mine = state.buffers[f"{layer}.{kind}"][replicate]
                np.testing.assert_allclose(mine.numpy(), getattr(norm, kind).numpy(), err_msg=f"{layer}.{kind}", **close)
        network.eval()
        with torch.no_grad():
            output = network(images(net, task.data.test_x))
            np.testing.assert_allclose(
                seen.test_loss[replicate].item(), reference.loss_of(numeric.train.loss, output, task.data.test_y).item(), **close
            )
            np.testing.assert_allclose(
                seen.output_range[replicate].item(), np.ptp(network(images(net, task.data.train_x)).numpy(), axis=0).max(), **close
            )


@pytest.mark.parametrize("name", ["sgd", "momentum", "sgd_l2", "adam", "adamw"])
def test_steps_follow_torch(name):
    compare(replace(BASE, optimizer=OPTIMIZERS[name]))


@pytest.mark.parametrize(
    "model",
    [
        Model(name="cnn", channels=[4], hidden=[]),
        Model(name="cnn", channels=[3, 4, 5, 6], hidden=[6, 5], kernel=3),
        Model(name="cnn", channels=[4, 5], hidden=[], kernel=5, activation="tanh"),
        Model(name="cnn", channels=[4, 5], hidden=[6], kernel=1, activation="prelu", init="glorot"),
        Model(name="cnn", width=4, depth=3, hidden=[], init="he", activation="leaky_relu"),
    ],
)
def test_shapes_kernels_and_activations_follow_torch(model):
    compare(replace(BASE, model=model))


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_norms_follow_their_torch_modules(norm, position):
    model = Model(name="cnn", channels=[5, 6], hidden=[7], norm=norm, norm_position=position, norm_scale=0.7, norm_shift=-0.2)
    compare(replace(BASE, model=model), rtol=1e-8, atol=1e-9)


class Colours:
    """An 11 × 9 image in three colours: nothing is square, halves evenly, or equals anything else."""

    def __init__(self) -> None:
        self.net = Cnn.on(Model(name="cnn", channels=[4, 5], hidden=[6]), (11, 9, 3), 4)
        generator = torch.Generator().manual_seed(5)

        def draw(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64) * 0.3

        self.parameters = {name: draw(2, *shape) for name, shape in self.net.parameter_shapes().items()}
        self.inputs = draw(2, 10, 11 * 9 * 3)
        self.targets = torch.randint(0, 4, (2, 10), generator=generator)


def test_images_in_colour_and_of_odd_sizes():
    case = Colours()
    assert case.net.places == ((11, 9, 3), (5, 4, 4), (2, 2, 5))
    forward = case.net.forward(case.parameters, {}, case.inputs, training=False)
    for replicate in range(2):
        network = module(case.net, case.parameters, replicate)
        with torch.no_grad():
            expected = network(images(case.net, case.inputs[replicate]))
            np.testing.assert_allclose(forward.output[replicate].numpy(), expected.numpy(), rtol=1e-11, atol=1e-13)
            first = network[0](images(case.net, case.inputs[replicate])).permute(0, 2, 3, 1).reshape(-1, 4)
            np.testing.assert_allclose(forward.pre[0][replicate].numpy(), first.numpy(), rtol=1e-11, atol=1e-13)


def test_pooling_from_corners_is_max_pooling():
    """Ties, odd sizes and what is not a number included, values and gradients."""
    images = torch.randint(-2, 3, (6, 3, 7, 5), generator=torch.Generator().manual_seed(2)).double()
    images[0, 0, 1, 1] = torch.nan
    found = []
    for pool in (pooled_apart, lambda values: nn.functional.max_pool2d(values, 2)):
        leaf = images.clone().requires_grad_()
        values = pool(leaf)
        weights = torch.arange(values.numel(), dtype=torch.float64).reshape(values.shape)
        found.append((values.detach(), *torch.autograd.grad(values, leaf, weights)))
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_the_hessian_of_a_small_network_is_symmetric_and_its_products_agree():
    numeric = replace(BASE, data=Data(subset=20), model=Model(name="cnn", channels=[2], hidden=[]), train=Train(1, 16))
    net, task, state, *_ = trained_stack(numeric)
    matrix = full_hessian(task, state.parameters, state.buffers, None)
    problem = Problem(net, cross_entropy, task.data.train_x.expand(3, -1, -1), task.data.train_y.expand(3, -1), {})
    flat = flatten(net, state.parameters)
    vector = torch.randn(flat.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    product = hessian_vector(problem, flat, vector)
    np.testing.assert_allclose(torch.bmm(matrix, vector[:, :, None])[:, :, 0].numpy(), product.numpy(), rtol=1e-9, atol=1e-11)


def test_curvature_products_follow_double_backward():
    case = Colours()
    problem = Problem(case.net, cross_entropy, case.inputs, case.targets, {})
    flat = flatten(case.net, case.parameters)
    vector = torch.randn(flat.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    product = hessian_vector(problem, flat, vector)
    slope = gradient(problem, flat)
    for replicate in range(2):
        network = module(case.net, case.parameters, replicate)
        loss = nn.functional.cross_entropy(network(images(case.net, case.inputs[replicate])), case.targets[replicate])
        slopes = torch.autograd.grad(loss, list(network.parameters()), create_graph=True)

        def flattened(values) -> torch.Tensor:
            return torch.cat([(value.flatten(1).T if value.ndim > 1 else value).reshape(-1) for value in values])

        whole = flattened(slopes)
        np.testing.assert_allclose(slope[replicate].numpy(), whole.detach().numpy(), rtol=1e-9, atol=1e-12)
        twice = flattened(torch.autograd.grad(whole @ vector[replicate], list(network.parameters())))
        np.testing.assert_allclose(product[replicate].numpy(), twice.numpy(), rtol=1e-8, atol=1e-11)


VARIANTS = {
    "plain": replace(BASE, precision="float32"),
    "wide_batch": replace(BASE, precision="float32", model=Model(name="cnn", channels=[8, 16], hidden=[]), train=Train(6, 64)),
    "one_channel": replace(BASE, precision="float32", model=Model(name="cnn", channels=[1, 1], hidden=[]), train=Train(6, 3)),
    "batchnorm": replace(BASE, precision="float32", model=Model(name="cnn", channels=[5, 6], hidden=[7], norm="batch")),
    "batchnorm_one_channel": replace(
        BASE, precision="float32", model=Model(name="cnn", channels=[1, 3], hidden=[], norm="batch"), train=Train(6, 64)
    ),
    "layernorm": replace(BASE, precision="float32", model=Model(name="cnn", channels=[5, 6], hidden=[7], norm="layer")),
    "killed": replace(BASE, precision="float32", start=Start("killed", layer=1, units=2, after=5)),
    "bfloat16": replace(BASE, precision="bfloat16"),
    "redo": replace(BASE, precision="float32", remedy=Remedy("redo", every=4, tau=0.3)),
    "continual": replace(BASE, precision="float32", remedy=Remedy("continual_backprop", maturity=2, rate=0.1)),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_replicate_is_the_same_alone_or_together(name):
    numeric = replace(VARIANTS[name], probes=Probes("full", 4, ["collapse", "zeros", "detectors", "pruning"]))
    whole_trace, whole = trained(numeric, 0, 8)
    for first, count in ((0, 1), (5, 3), (2, 4)):
        part_trace, part = trained(numeric, first, count)
        rows = slice(first, first + count)
        for key, value in (part.parameters | part.buffers).items():
            assert same_bits(value, (whole.parameters | whole.buffers)[key][rows]), (key, first, count)
        for key, final in part_trace.finals.items():
            np.testing.assert_array_equal(final, whole_trace.finals[key][rows], err_msg=f"{key} {first} {count}")
    assert not same_bits(whole.parameters["output.weight"][0], whole.parameters["output.weight"][1])


def test_measuring_changes_nothing():
    numeric = VARIANTS["batchnorm"]
    _, a = trained(replace(numeric, probes=Probes("full", 1, ["batchnorm_bound", "zeros", "collapse"])), 0, 3)
    _, b = trained(replace(numeric, probes=Probes("economy", 1000)), 0, 3)
    for key in a.parameters | a.buffers:
        assert same_bits((a.parameters | a.buffers)[key], (b.parameters | b.buffers)[key]), key


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_slices_of_the_examples_add_up_to_the_whole(monkeypatch, norm):
    """What slices of 10 examples show, against one pass over all of them (a perceptron's way) in float64."""
    numeric = replace(BASE, model=replace(BASE.model, norm=norm, norm_position="after" if norm == "batch" else "before"))
    net, task, state, *_ = trained_stack(numeric)
    found = {}
    for room in (2**40, 2 * 10 * sum(net.held)):
        monkeypatch.setattr(passes, "PASS_ELEMENTS", room)
        found[room] = (
            evaluate(task, state.parameters, state.buffers),
            full_gradients(task, state.parameters, state.buffers),
            outputs(task, state.parameters, state.buffers),
            [torch.cat(layer) for layer in zip(*pre_activations(task, state.parameters, state.buffers), strict=True)],
        )
    assert len(passes.example_slices(net, 150)) == 15
    (whole, slopes, said, pre), (pieces, slopes_pieces, said_pieces, pre_pieces) = found.values()
    for key in ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "output_range"):
        np.testing.assert_allclose(getattr(pieces, key).numpy(), getattr(whole, key).numpy(), rtol=1e-11, err_msg=key)
    for mine, theirs in zip(pieces.units + pieces.units_eval, whole.units + whole.units_eval, strict=True):
        np.testing.assert_allclose(mine.max_pre.numpy(), theirs.max_pre.numpy(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(mine.mean_abs_post.numpy(), theirs.mean_abs_post.numpy(), rtol=1e-10, atol=1e-12)
    for name, slope in slopes.items():
        np.testing.assert_allclose(slopes_pieces[name].numpy(), slope.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)
    for mine, theirs in zip((*said_pieces, *pre_pieces), (*said, *pre), strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-9, atol=1e-12)
    assert pre[0].shape == (3, 150, 5)


@pytest.mark.parametrize("start", [Start("born_dead"), Start("killed", after=5), Start("born_dead", layer=2)])
def test_dead_channels_have_exactly_zero_gradients(start):
    """At the start and for ever under plain SGD: every position of every training image is at or below zero, by torch's own
    convolution, and no weight of a dead channel has a gradient other than 0.
    """
    numeric = replace(BASE, precision="float32", optimizer=Optimizer(lr=0.1), start=start, probes=Probes("full", 4, ["collapse"]))
    trace, state = trained(numeric, 0, 3)
    dataset = load(numeric.data, "data")
    net = network_of(numeric, dataset)
    dead = net.layers if start.layer is None else ("layer2",)
    for layer in dead:
        np.testing.assert_array_equal(trace.curves[f"dead_fraction.{layer}"], 1.0)
    if start.layer is None:
        np.testing.assert_array_equal(trace.finals["full_grad_max_abs.hidden_weight"], 0.0)
        np.testing.assert_array_equal(trace.finals["moved_norm.hidden_weight"], 0.0)
    assert (trace.finals["constant_output"] == 1).all()
    x = images(net, dataset.tensors(torch.device("cpu"), torch.float64).train_x)
    for replicate in range(3):
        network = module(net, {name: value.double() for name, value in state.parameters.items()}, replicate)
        with torch.no_grad():
            drive = network[:4](x) if start.layer == 2 else network[0](x)
        largest = drive.amax(dim=(0, 2, 3)).numpy()
        np.testing.assert_allclose(largest, -1.0, atol=1e-4)


def test_a_channel_may_stay_alive_on_a_chosen_number_of_images():
    numeric = replace(BASE, start=Start("born_dead", layer=1, alive_on=3), optimizer=Optimizer(lr=1e-30), train=Train(1, 16))
    _, state = trained(numeric, 0, 2)
    dataset = load(numeric.data, "data")
    net = network_of(numeric, dataset)
    x = images(net, dataset.tensors(torch.device("cpu"), torch.float64).train_x)
    for replicate in range(2):
        with torch.no_grad():
            alive = (module(net, state.parameters, replicate)[0](x).amax(dim=(2, 3)) > 0).sum(dim=0)
        np.testing.assert_array_equal(alive.numpy(), 3)


def test_initial_spread_is_that_of_torch():
    """torch.nn.Conv2d draws uniformly within 1/√(fan-in), fan-in counting the kernel's places; xavier and kaiming likewise."""
    dataset = load(Data(), "data")
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(nn.Conv2d(40, 64, 3).weight)
    bounds = {"pytorch": fan_in**-0.5, "glorot": (6 / (fan_in + fan_out)) ** 0.5, "he": (2 / fan_in) ** 0.5 * 3**0.5}
    for init, bound in bounds.items():
        numeric = replace(BASE, model=Model(name="cnn", channels=[40, 64], hidden=[], init=init), optimizer=Optimizer(lr=1e-30))
        _, state = trained(replace(numeric, train=Train(1, 2), probes=Probes("bare", 10)), 0, 2)
        weight = state.parameters["layer2.weight"]
        assert weight.shape == (2, fan_in, 64)
        # 46,080 draws: the sample's standard deviation is within 2 % with near certainty
        np.testing.assert_allclose(weight.std().item(), bound / 3**0.5, rtol=0.02, err_msg=init)
        if init != "he":
            assert 0.99 * bound < weight.abs().max().item() <= bound
    assert dataset.image == (8, 8, 1)


def test_pruning_dead_channels_changes_nothing_and_live_ones_do():
    numeric = replace(BASE, start=Start("born_dead", layer=1, units=2), probes=Probes("default", 4, ["pruning", "detectors"]))
    trace, _ = trained(numeric, 0, 3)
    assert (trace.finals["pruned_units"] >= 2).all()
    np.testing.assert_array_equal(trace.finals["pruned_output_change"], 0.0)
    assert (trace.finals["live_pruned_output_change"] > 1e-3).all()


def test_redo_cuts_the_outgoing_weights_of_the_channel_it_recycles():
    """The 9 inputs per channel of the next convolution, and the 4 per channel of the dense layer behind the last pooling."""
    still = replace(BASE, start=Start("born_dead", units=1), optimizer=Optimizer(lr=1e-30), train=Train(4, 16))
    net, task, *_ = trained_stack(still)
    _, before = trained(still, 0, 3)
    _, after = trained(replace(still, remedy=Remedy("redo", at=3, tau=0.0)), 0, 3)
    silent = [layer.mean_abs_post == 0 for layer in evaluate(task, before.parameters, before.buffers).units]
    assert all(layer[:, 0].all() and not layer.all() for layer in silent)
    for layer, rows, units in zip((*net.layers[1:], "output"), (9, 4, 1), silent, strict=True):
        weight = after.parameters[f"{layer}.weight"].abs().amax(dim=2)
        for replicate, unit in np.ndindex(*units.shape):
            mine = weight[replicate, unit * rows : (unit + 1) * rows]
            assert (mine < 1e-25).all() if units[replicate, unit] else (mine > 1e-4).any()


def test_the_native_path_says_why_it_does_not_serve():
    numeric = replace(BASE, precision="float32")
    net = network_of(numeric, load(numeric.data, "data"))
    assert why_not_native(numeric, net, "cpu") == "it knows no convolutions"
    assert path_of(replace(numeric, engine=Engine("auto")), net, "cpu") == "eager"


def test_data_without_images_are_refused_and_every_probe_of_the_tiers_is_there():
    with pytest.raises(RequestError, match="model=cnn needs images and data=blobs has none"):
        network_of(replace(BASE, data=Data(name="blobs")), load(Data(name="blobs"), "data"))
    layout = layout_of(BASE, load(BASE.data, "data"))
    assert layout.widths == (5, 6, 7)
    assert "dead" in names(BASE.probes, layout)


def test_blocks_are_small_enough_for_a_cache(monkeypatch):
    """Per replicate and batch of 16: maps of 5·64 + 6·16 values and 7 units. Where a size is asked for, it is taken."""
    dataset = load(BASE.data, "data")
    condition = Condition("c", {}, asdict(BASE))
    plan = Plan("s", "t", {}, "", "", (), (condition,), (), 0.95, 0, 40, "cpu", {}, ())
    monkeypatch.setattr("suite.study.plan.PASS_ELEMENTS", 4 * 16 * (5 * 64 + 6 * 16 + 7) * 12)
    found = {data_key(BASE): dataset}
    assert [block.count for block in blocks_of(plan, None, found)] == [12, 12, 12, 4]
    assert [block.count for block in blocks_of(plan, 30, found)] == [30, 10]
    assert [block.count for block in blocks_of(replace(plan, device="cuda"), None, found)] == [32, 8]
