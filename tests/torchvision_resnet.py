"""torchvision's residual network with a CIFAR stem, and its parameters under the suite's names: an independent witness."""

from __future__ import annotations

import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock


def torchvisions(width: int, depth: int, colours: int, norm: str) -> torchvision.models.ResNet:
    """torchvision's class, its first convolution and pooling replaced, its stages at other widths where asked for."""
    layer = {"batch": None, "none": lambda _: nn.Identity(), "layer": lambda size: nn.GroupNorm(1, size)}[norm]
    network = torchvision.models.ResNet(BasicBlock, [depth] * 4, num_classes=10, norm_layer=layer)
    network.inplanes = width
    for stage in range(4):
        setattr(network, f"layer{stage + 1}", network._make_layer(BasicBlock, width * 2**stage, depth, stride=1 if stage == 0 else 2))
    network.conv1 = nn.Conv2d(colours, width, 3, padding=1, bias=False)
    network.bn1 = network._norm_layer(width)
    network.maxpool = nn.Identity()
    network.fc = nn.Linear(8 * width, 10)
    return network.double()


def owners(network: torchvision.models.ResNet) -> dict[str, tuple[nn.Module, nn.Module | None]]:
    """The convolution (or linear layer) and the norm behind every name of the suite."""
    found: dict[str, tuple[nn.Module, nn.Module | None]] = {"layer1": (network.conv1, network.bn1), "output": (network.fc, None)}
    place = 2
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in stage:
            found[f"layer{place}"], found[f"layer{place + 1}"] = (block.conv1, block.bn1), (block.conv2, block.bn2)
            if block.downsample is not None:
                found[f"skip{place + 1}"] = (block.downsample[0], block.downsample[1])
            place += 2
    return found


def tensors(network: torchvision.models.ResNet) -> dict[str, nn.Parameter]:
    """Its parameters under the suite's names."""
    found = {}
    for name, (linear, norm) in owners(network).items():
        found[f"{name}.weight"] = linear.weight
        if linear.bias is not None:
            found[f"{name}.bias"] = linear.bias
        if norm is not None and not isinstance(norm, nn.Identity):
            found[f"{name}.scale"], found[f"{name}.shift"] = norm.weight, norm.bias
    return found


def theirs(value: torch.Tensor) -> torch.Tensor:
    """A weight of torch in the suite's orientation."""
    return value.flatten(1).T if value.ndim > 1 else value


def filled(network: torchvision.models.ResNet, parameters: dict[str, torch.Tensor], replicate: int) -> None:
    own = tensors(network)
    assert own.keys() == parameters.keys()
    with torch.no_grad():
        for name, value in own.items():
            mine = parameters[name][replicate]
            value.copy_(mine.T.reshape(value.shape) if name.endswith("weight") else mine)
