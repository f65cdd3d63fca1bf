"""The stacked residual network of He et al. (2016) for small images: ResNet-18 and its thinner and shallower kin. Knows no loss.

The layout of ``torchvision.models.resnet18`` with the stem of CIFAR work: a first convolution of 3 × 3 and stride 1, no max pooling.
Four stages of ``blocks`` residual blocks follow (2: ResNet-18), of ``width``, 2, 4 and 8 times ``width`` channels, the image halved at
the start of the last three; then the mean over all positions and a linear output. A block is
act(norm(conv(act(norm(conv(x))))) + s(x)), where s is the identity, or a 1 × 1 convolution with a norm where the shape changes.

Every activation is a hidden layer: layer1 the stem, then two for each block, 17 in ResNet-18. What a skip adds is part of the
pre-activation of a block's second layer, so a channel there is dead when the sum is at or below zero everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor

from suite.config.schema import Model
from suite.nets.cnn import Cnn, convolved
from suite.nets.mlp import Forward, Mlp
from suite.nets.norms import batch_norm_apart, group_norm

STAGES = 4
#: Side of every kernel but the skips'.
KERNEL = 3
#: A moment of a pass: what a layer reads, its linear output with what a skip adds where no norm stands between, what a norm is given,
#: an activation's input and output, and the network's output.
Moment = tuple[Literal["read", "drive", "normed", "pre", "post", "output"], str, Tensor]


@dataclass(frozen=True)
class Convolution:
    """One convolution: its name, (rows, columns, channels) of what it reads and gives, stride, side of its kernel, and the skip
    that is added to it: None, "" for the identity, or the name of a convolution.
    """

    name: str
    reads: tuple[int, int, int]
    gives: tuple[int, int, int]
    stride: int
    kernel: int
    skip: str | None = None


@dataclass(frozen=True)
class ResNet(Cnn):
    """``channels`` are those of every layer, first to last; ``biased`` says whether convolutions have a bias (torchvision's have
    none). A skip's convolution, named ``skip<k>`` after the layer it is added to, has none in any case: that layer's stands for both.

    With ``norm_position`` after, a layer's norm follows its activation, in a block's second layer after the addition.
    """

    biased: bool = True
    #: Examples of a slice of a whole-set pass, at least: one image at a time is slow on any device.
    least_slice: ClassVar[int] = 64

    @staticmethod
    def on(model: Model, image: tuple[int, int, int], outputs: int, biased: bool = True) -> ResNet:
        """The network a model configuration describes for images of this shape: ``width`` channels in the first stage, ``depth``
        blocks in every stage.
        """
        assert model.width is not None and model.depth is not None, "validation asks for both"
        channels = [model.width, *(model.width * 2**stage for stage in range(STAGES) for _ in range(2 * model.depth))]
        rows, columns, colours = image
        plain = vars(Mlp.of(model, rows * columns * colours, outputs)) | {"hidden": ()}
        return ResNet(**plain, image=image, channels=tuple(channels), kernel=KERNEL, biased=biased)

    @cached_property
    def convolutions(self) -> dict[str, Convolution]:
        """Every convolution by its name, a skip's before the layer it is added to."""
        stem = Convolution("layer1", self.image, (*self.image[:2], self.channels[0]), 1, KERNEL)
        found = {"layer1": stem}
        grid, blocks = stem.gives, (len(self.channels) - 1) // (2 * STAGES)
        for block in range(STAGES * blocks):
            stride = 2 if block and block % blocks == 0 else 1
            first, second = f"layer{2 * block + 2}", f"layer{2 * block + 3}"
            rows, columns = (-(-side // stride) for side in grid[:2])
            inside = (rows, columns, self.channels[2 * block + 1])
            skip = ""
            if stride != 1 or grid[2] != inside[2]:
                skip = f"skip{2 * block + 3}"
                found[skip] = Convolution(skip, grid, inside, stride, 1)
            found[first] = Convolution(first, grid, inside, stride, KERNEL)
            found[second] = Convolution(second, inside, inside, 1, KERNEL, skip)
            grid = inside
        return found

    @property
    def joined(self) -> frozenset[str]:
        """Layers whose pre-activation holds what a skip adds."""
        return frozenset(name for name, convolution in self.convolutions.items() if convolution.skip is not None)

    @property
    def held(self) -> tuple[int, ...]:
        """Values of one example in every hidden layer."""
        return tuple(rows * columns * channels for rows, columns, channels in (self.convolutions[name].gives for name in self.layers))

    @property
    def linears(self) -> tuple[tuple[str, int, int], ...]:
        """(name, values read by one output, outputs) of every linear map, the output layer last."""
        maps = [(c.name, c.reads[2] * c.kernel**2, c.gives[2]) for c in self.convolutions.values()]
        return (*maps, ("output", self.channels[-1], self.outputs))

    @property
    def normed(self) -> tuple[str, ...]:
        """Names of the norms, in the order of the pass."""
        return tuple(self.convolutions)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter of one replicate."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, fan_in, fan_out in self.linears:
            layer = name in self.layers
            shapes[f"{name}.weight"] = (fan_in, fan_out)
            if name == "output" or (self.biased and layer):
                shapes[f"{name}.bias"] = (fan_out,)
            if name != "output" and self.norm != "none":
                shapes[f"{name}.scale"] = (fan_out,)
                shapes[f"{name}.shift"] = (fan_out,)
            if layer and self.activation == "prelu":
                shapes[f"{name}.slope"] = (1,)
        return shapes

    def buffer_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every running statistic of one replicate."""
        if self.norm != "batch":
            return {}
        sizes = {name: convolution.gives[2] for name, convolution in self.convolutions.items()}
        return {f"{name}.{kind}": (size,) for name, size in sizes.items() for kind in ("running_mean", "running_var")}

    def receptive(self, name: str) -> int:
        """Values of one channel under the kernel; 1 for the output layer."""
        return self.convolutions[name].kernel ** 2 if name in self.convolutions else 1

    def positions(self, index: int) -> int:
        """Positions at which hidden layer ``index`` (from 0) has values."""
        return self._positions(self.layers[index])

    def linear(self, parameters: Mapping[str, Tensor], name: str, values: Tensor) -> Tensor:
        """[replicate, example·position, channel] -> the same for a convolution; the output layer as in a perceptron."""
        if name not in self.convolutions:
            return super().linear(parameters, name, values)
        c = self.convolutions[name]
        seen = values.reshape(values.shape[0], -1, *c.reads)
        return convolved(parameters.get(f"{name}.bias"), seen, parameters[f"{name}.weight"], c.kernel, c.stride)

    def layer_norm(self, layer: str, values: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Over all the values of an example: ``torch.nn.GroupNorm`` with one group."""
        return group_norm(values, self._positions(layer), scale, shift)

    def standardised(self, layer: str, values: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of a channel over the batch and all positions."""
        return batch_norm_apart(values, scale, shift)

    def forward(self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], inputs: Tensor, training: bool) -> Forward:
        """Run the network on inputs [replicate, example, value]. ``variance`` has one entry for each layer, none for skips."""
        new_buffers = dict(buffers)
        variances: list[Tensor] = []
        aside: list[Tensor] = []

        def normalised(name: str, values: Tensor) -> Tensor:
            kept = variances if name in layers else aside
            return self._normalise(parameters, buffers, new_buffers, kept, name, values, training)

        layers = frozenset(self.layers)
        seen: dict[str, list[Tensor]] = {"pre": [], "post": [], "output": []}
        for kind, _, values in self._pass(parameters, inputs, normalised):
            if kind in seen:
                seen[kind].append(values)
        return Forward(seen["output"][0], tuple(seen["pre"]), tuple(seen["post"]), new_buffers, tuple(variances))

    def reached(self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], inputs: Tensor, index: int) -> Tensor:
        """What hidden layer ``index`` (from 0) reads, in inference mode."""
        return self._at("read", self.layers[index], parameters, buffers, inputs)

    def driven(self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], inputs: Tensor, index: int) -> Tensor:
        """As of a perceptron; what a skip adds belongs to it where no norm stands between it and the activation."""
        return self._at("drive", self.layers[index], parameters, buffers, inputs)

    def before_norm(self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], inputs: Tensor, name: str) -> Tensor:
        """What a norm is given, in inference mode."""
        return self._at("normed", name, parameters, buffers, inputs)

    def _at(self, kind: str, name: str, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """One moment of a pass in inference mode, which goes no further."""

        def normalised(norm: str, values: Tensor) -> Tensor:
            return self._normalise(parameters, buffers, {}, [], norm, values, training=False)

        moments_of = self._pass(parameters, inputs, normalised)
        return next(values for what, where, values in moments_of if (what, where) == (kind, name))

    def _pass(self, parameters: Mapping[str, Tensor], inputs: Tensor, normalised: Callable[[str, Tensor], Tensor]) -> Iterator[Moment]:
        """A pass, moment by moment."""
        count, examples = inputs.shape[:2]
        before, after = (self.norm != "none" and self.norm_position == position for position in ("before", "after"))
        values = entered = inputs.reshape(count, -1, self.image[2])
        for layer in self.layers:
            c = self.convolutions[layer]
            if c.skip is None:
                entered = values
            added = entered
            if c.skip:
                added = self.linear(parameters, c.skip, entered)
                if self.norm != "none":
                    yield "normed", c.skip, added
                    added = normalised(c.skip, added)
            yield "read", layer, values
            values = self.linear(parameters, layer, values)
            if before:
                yield "drive", layer, values
                yield "normed", layer, values
                values = normalised(layer, values)
            if c.skip is not None:
                values = values + added
            if not before:
                yield "drive", layer, values
            yield "pre", layer, values
            values = self.activated(parameters, layer, values)
            yield "post", layer, values
            if after:
                yield "normed", layer, values
                values = normalised(layer, values)
        apart = values.reshape(count, examples, -1, values.shape[2])
        pooled = apart.to(torch.promote_types(apart.dtype, torch.float32)).mean(dim=2).to(apart.dtype)
        yield "output", "output", self.outcome(parameters, pooled)

    def _positions(self, name: str) -> int:
        rows, columns, _ = self.convolutions[name].gives
        return rows * columns
