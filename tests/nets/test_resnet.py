"""The residual network against torchvision.models.resnet18 with a CIFAR stem: same weights, same numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torchvision_resnet import filled, owners, tensors, theirs, torchvisions

from suite.config.schema import Model
from suite.nets.cnn import Cnn
from suite.nets.resnet import ResNet
from suite.training.curvature import count_parameters

MODEL = Model(name="resnet18", width=64, depth=2, norm="batch")


def drawn(net: ResNet, replicates: int, seed: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in net.parameter_shapes().items():
        draw = torch.randn(replicates, *shape, generator=generator, dtype=torch.float64)
        found[name] = draw / np.sqrt(shape[0]) if name.endswith("weight") else (1 + 0.1 * draw if name.endswith("scale") else 0.1 * draw)
    return found


def buffers_of(net: ResNet, replicates: int) -> dict[str, torch.Tensor]:
    return {
        name: torch.full((replicates, *shape), 1.0 if name.endswith("var") else 0.0, dtype=torch.float64)
        for name, shape in net.buffer_shapes().items()
    }


def compare(model: Model, image: tuple[int, int, int], batch: int) -> None:
    """Outputs in training and inference mode, every gradient, running statistics and what every ReLU is given."""
    net = ResNet.on(model, image, 10, biased=False)
    parameters, buffers = drawn(net, 2), buffers_of(net, 2)
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(2, batch, image[0] * image[1] * image[2], generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 10, (2, batch), generator=generator)
    leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    forward = net.forward(leaves, buffers, inputs, training=True)
    losses = [nn.functional.cross_entropy(forward.output[replicate], labels[replicate]) for replicate in range(2)]
    gradients = dict(zip(leaves, torch.autograd.grad(sum(losses), list(leaves.values())), strict=True))
    later = net.forward(parameters, forward.buffers, inputs, training=False).output
    close = {"rtol": 1e-9, "atol": 1e-9}
    for replicate in range(2):
        network = torchvisions(model.width, model.depth, image[2], model.norm)
        filled(network, parameters, replicate)
        assert count_parameters(net) == sum(value.numel() for value in network.parameters())
        images = inputs[replicate].reshape(batch, *image).permute(0, 3, 1, 2)
        given: list[torch.Tensor] = []
        for part in network.modules():
            if isinstance(part, nn.ReLU):
                part.inplace = False
                part.register_forward_pre_hook(lambda _, values, given=given: given.append(values[0].detach()))
        output = network(images)
        np.testing.assert_allclose(forward.output[replicate].detach(), output.detach(), **close)
        assert len(given) == len(net.layers) == 1 + 8 * model.depth
        for mine, other in zip(forward.pre, given, strict=True):
            np.testing.assert_allclose(mine[replicate].detach(), other.permute(0, 2, 3, 1).flatten(0, 2), **close)
        nn.functional.cross_entropy(output, labels[replicate]).backward()
        for name, value in tensors(network).items():
            np.testing.assert_allclose(gradients[name][replicate], theirs(value.grad), err_msg=name, **close)
            assert value.grad.abs().max() > 1e-6, name
        if model.norm == "batch":
            for name, (_, norm) in owners(network).items():
                for kind in ("running_mean", "running_var") if norm is not None else ():
                    np.testing.assert_allclose(forward.buffers[f"{name}.{kind}"][replicate], getattr(norm, kind), err_msg=name, **close)
        network.eval()
        np.testing.assert_allclose(later[replicate], network(images).detach(), **close)


def test_resnet18_of_width_64_is_torchvisions():
    net = ResNet.on(MODEL, (32, 32, 3), 10, biased=False)
    reference = torchvision.models.resnet18(num_classes=10)
    reference.conv1, reference.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    assert count_parameters(net) == sum(value.numel() for value in reference.parameters()) == 11_173_962
    assert sorted(str(m) for m in torchvisions(64, 2, 3, "batch").modules() if isinstance(m, nn.Conv2d)) == sorted(
        str(m) for m in reference.modules() if isinstance(m, nn.Conv2d)
    )
    assert len(net.layers) == 17
    compare(MODEL, (16, 16, 3), 3)


@pytest.mark.parametrize(
    ("model", "image"),
    [
        (Model(name="resnet18", width=3, depth=2, norm="batch"), (32, 32, 3)),
        (Model(name="resnet18", width=4, depth=1, norm="none"), (28, 28, 1)),
        (Model(name="resnet18", width=2, depth=3, norm="layer"), (8, 8, 1)),
        (Model(name="resnet18", width=2, depth=2, norm="batch"), (11, 9, 3)),
    ],
)
def test_other_widths_depths_norms_and_images_are_torchvisions(model, image):
    compare(model, image, 5)


def test_a_bias_is_what_a_constant_added_to_the_convolution_is():
    """Torchvision's convolutions have none: with a bias given to its modules both agree, skips having none of their own."""
    net = ResNet.on(Model(name="resnet18", width=3, depth=1), (8, 8, 3), 10)
    parameters = drawn(net, 1)
    network = torchvisions(3, 1, 3, "none")
    for name, (linear, _) in owners(network).items():
        if name.startswith("layer"):
            linear.bias = nn.Parameter(parameters[f"{name}.bias"][0].clone())
    filled(network, parameters, 0)
    inputs = torch.randn(1, 4, 192, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    expected = network(inputs[0].reshape(4, 8, 8, 3).permute(0, 3, 1, 2)).detach()
    np.testing.assert_allclose(net.forward(parameters, {}, inputs, training=False).output[0], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("position", ["before", "after"])
def test_moments_of_a_pass_are_those_of_the_whole_pass(position):
    """What a norm is given, what a layer reads and what drives it, each by stopping there, against the activations of a full pass."""
    net = ResNet.on(replace(MODEL, width=2, norm_position=position), (8, 8, 1), 10)
    parameters, buffers = drawn(net, 2), buffers_of(net, 2)
    inputs = torch.randn(2, 6, 64, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    forward = net.forward(parameters, buffers, inputs, training=False)
    whole = torch.relu(forward.pre[4])
    assert torch.equal(forward.post[4], whole)
    if position == "before":
        # layer6 opens the second stage and reads the first stage's outputs
        assert torch.equal(net.reached(parameters, buffers, inputs, 5), whole)
        given = net.before_norm(parameters, buffers, inputs, "layer6")
        assert torch.equal(given, net.driven(parameters, buffers, inputs, 5))
        assert net.before_norm(parameters, buffers, inputs, "skip7").shape == given.shape == (2, 6 * 16, 4)
    else:
        assert torch.equal(net.before_norm(parameters, buffers, inputs, "layer5"), whole)
        assert torch.equal(net.driven(parameters, buffers, inputs, 4), forward.pre[4])
    assert net.joined == frozenset(f"layer{k}" for k in range(3, 18, 2))
    assert isinstance(net, Cnn) and net.positions(5) == 16
