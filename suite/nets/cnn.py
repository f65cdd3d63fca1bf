"""The stacked convolutional network: convolutions and pooling before the perceptron. Knows no loss.

A unit of a convolution is a channel, and its values at every position of every example are its values: ``Forward.pre`` of such
a layer is [replicate, example·position, channel], so a channel is dead when it is at or below zero everywhere.

The convolutions of a stack are taken one replicate after another. That is bit for bit independent of how many there are, and
on the CPU the quickest of the ways that are: patches gathered for one stacked matrix product take 1 to 7 times as long. A
grouped convolution is quicker on small images, but its last bits depend on the number of groups, that is of replicates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from suite.config.schema import Model
from suite.nets.mlp import HALVES, Mlp
from suite.nets.norms import group_norm
from suite.nets.rows import moments

#: An image is pooled while its shorter side is at least this long; below, a 3 × 3 kernel would see more
#: border than image, and of a single pixel its outer weights nothing at all.
POOLED_FROM = 4


@dataclass(frozen=True)
class Cnn(Mlp):
    """One convolution per entry of ``channels``: stride 1, ``kernel`` × ``kernel``, zeros around the border so that the image keeps
    its size; norm and activation as in a perceptron; then the maximum over 2 × 2 blocks, while the image is at least
    POOLED_FROM long on both sides. After the last comes a perceptron of the ``hidden`` layers and the output.

    ``image`` is (rows, columns, colours) of an input, which is a vector in that order. The weight of a convolution is
    [replicate, in·kernel·kernel, out], rows in the order of ``torch.nn.Conv2d.weight[0].flatten()``; the perceptron sees (channel,
    row, column), as after ``torch.nn.Flatten``, so a channel's outgoing weights stand together in either case.
    """

    #: Examples of a slice of a whole-set pass, at least.
    least_slice: ClassVar[int] = 1

    image: tuple[int, int, int] = (1, 1, 1)
    channels: tuple[int, ...] = ()
    kernel: int = 3

    @staticmethod
    def on(model: Model, image: tuple[int, int, int], outputs: int) -> Cnn:
        """The network a model configuration describes for images of this shape. ``width`` and ``depth`` stand for ``channels``."""
        channels = model.channels if model.width is None or model.depth is None else [model.width] * model.depth
        rows, columns, colours = image
        plain = Mlp.of(model, rows * columns * colours, outputs)
        return Cnn(**vars(plain) | {"hidden": tuple(model.hidden)}, image=image, channels=tuple(channels), kernel=model.kernel)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of every convolution, then units of every dense layer."""
        return (*self.channels, *self.hidden)

    @property
    def places(self) -> tuple[tuple[int, int, int], ...]:
        """(rows, columns, channels) of what each convolution reads, and of what the perceptron reads."""
        found = [self.image]
        for width in self.channels:
            rows, columns, _ = found[-1]
            pooled = 2 if min(rows, columns) >= POOLED_FROM else 1
            found.append((rows // pooled, columns // pooled, width))
        return tuple(found)

    @property
    def held(self) -> tuple[int, ...]:
        """Values of one example in every hidden layer."""
        sizes = [rows * columns * width for (rows, columns, _), width in zip(self.places[:-1], self.channels, strict=True)]
        return (*sizes, *self.hidden)

    @property
    def linears(self) -> tuple[tuple[str, int, int], ...]:
        """As of a perceptron; a convolution's inputs are the values under its kernel."""
        places = self.places
        reads = [colours * self.kernel**2 for _, _, colours in places[:-1]]
        rows, columns, channels = places[-1]
        sizes = (*self.widths, self.outputs)
        reads += [rows * columns * channels, *self.hidden]
        return tuple((name, reads[k], sizes[k]) for k, name in enumerate((*self.layers, "output")))

    def receptive(self, name: str) -> int:
        """Values of one channel under the kernel; 1 for a dense layer."""
        return self.kernel**2 if name in self.layers[: len(self.channels)] else 1

    def positions(self, index: int) -> int:
        """Positions at which hidden layer ``index`` (from 0) has values."""
        rows, columns, _ = self.places[index] if index < len(self.channels) else (1, 1, 1)
        return rows * columns

    def linear(self, parameters: Mapping[str, Tensor], name: str, values: Tensor) -> Tensor:
        """[replicate, example, value] -> [replicate, example·position, channel] for a convolution, else as of a perceptron."""
        index = self._convolution(name)
        if index is None:
            return super().linear(parameters, name, values)
        seen = values.reshape(*values.shape[:2], *self.places[index])
        return convolved(parameters[f"{name}.bias"], seen, parameters[f"{name}.weight"], self.kernel)

    def passed_on(self, layer: str, values: Tensor) -> Tensor:
        """What the next layer reads: a convolution's values pooled, [replicate, example, value]."""
        index = self._convolution(layer)
        if index is None:
            return values
        (rows, columns, _), after, width = self.places[index], self.places[index + 1], self.channels[index]
        images = values.reshape(-1, rows, columns, width).permute(0, 3, 1, 2)
        if after[0] < rows:
            images = pooled_apart(images) if images.is_cuda else F.max_pool2d(images, 2)
        if index + 1 < len(self.channels):
            images = images.permute(0, 2, 3, 1)
        return images.reshape(values.shape[0], -1, after[0] * after[1] * width)

    def layer_norm(self, layer: str, values: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Of a convolution over all the values of an example, channels and positions, with a scale and a shift per channel:
        ``torch.nn.GroupNorm`` with one group.
        """
        index = self._convolution(layer)
        if index is None:
            return super().layer_norm(layer, values, scale, shift)
        return group_norm(values, self.positions(index), scale, shift)

    def batch_statistics(self, layer: str, values: Tensor) -> tuple[Tensor, Tensor]:
        """Of a channel over the batch and all positions, as ``torch.nn.BatchNorm2d`` takes them."""
        return super().batch_statistics(layer, values) if self._convolution(layer) is None else moments(values)

    def _convolution(self, name: str) -> int | None:
        layers = self.layers[: len(self.channels)]
        return layers.index(name) if name in layers else None


def pooled_apart(images: Float[Tensor, "image channel row column"]) -> Float[Tensor, "image channel row2 column2"]:
    """``max_pool2d(images, 2)`` from the four corners of the blocks, the first of equals taking the gradient. On a GPU torch's own
    backward pass adds atomically, in no certain order; on the CPU it is far quicker than this.
    """
    rows, columns = (size // 2 * 2 for size in images.shape[2:])
    corners = [images[:, :, row:rows:2, column:columns:2] for row in (0, 1) for column in (0, 1)]
    top = corners[0]
    for other in corners[1:]:
        top = torch.where((top >= other) | top.isnan(), top, other)
    return top


def convolved(
    bias: Float[Tensor, "replicate out"] | None,
    values: Float[Tensor, "replicate batch row column channel"],
    weight: Float[Tensor, "replicate fan_in out"],
    kernel: int,
    stride: int = 1,
) -> Float[Tensor, "replicate position out"]:
    """Convolution with zeros around the border, replicate by replicate; positions are (example, row, column), of which only every
    ``stride``-th row and column remains. For float16 and bfloat16 summed in float32 and rounded once, as ``suite.nets.mlp.affine`` does.
    """
    if values.dtype in HALVES:
        wide = None if bias is None else bias.float()
        return convolved(wide, values.float(), weight.float(), kernel, stride).to(values.dtype)
    count, channels, out = values.shape[0], values.shape[4], weight.shape[2]
    biases = [None] * count if bias is None else bias.unbind()
    maps = [
        F.conv2d(v.permute(0, 3, 1, 2), w.t().reshape(out, channels, kernel, kernel), b, stride, kernel // 2).permute(0, 2, 3, 1)
        for v, w, b in zip(values.unbind(), weight.unbind(), biases, strict=True)
    ]
    return torch.stack(maps).reshape(count, -1, out)
