"""The stacked multilayer perceptron: its parameters, its groups and its forward pass. Knows no loss.

All replicates of a block run in one computation: a weight is [replicate, in, out], a bias [replicate, out],
an input [replicate, batch, in]. Each replicate's slice of every operation is independent of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from suite.config.schema import Model
from suite.nets.activations import ACTIVATIONS
from suite.nets.norms import batch_norm, batch_statistics, layer_norm, shared_statistics, updated_running

Parameters = dict[str, Tensor]
Buffers = dict[str, Tensor]

#: Types narrower than float32.
HALVES = (torch.float16, torch.bfloat16)

#: Parameter groups, by which gradients and movement are reported.
GROUPS = ("hidden_weight", "hidden_bias", "output_weight", "output_bias", "norm", "slope")


@dataclass(frozen=True)
class Forward:
    """One pass. ``pre`` and ``post`` hold, per hidden layer, the activation's input and output
    [replicate, batch, unit], before anything a skip adds ([replicate, batch·position, channel] for a convolution); ``buffers``
    the running statistics after the pass; ``variance`` the batch variance per normalised layer (training mode only).
    """

    output: Float[Tensor, "replicate batch output"]
    pre: tuple[Tensor, ...]
    post: tuple[Tensor, ...]
    buffers: Buffers
    variance: tuple[Tensor, ...]


@dataclass(frozen=True)
class Mlp:
    """Shapes and choices of the network; the numbers live in the dictionaries passed to ``forward``."""

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    activation: str
    negative_slope: float
    norm: str
    norm_position: str
    skip: bool = False
    skip_scale: float = 1.0
    output_unit: str = "linear"
    #: Sums a tensor, with its gradient, over the processes that share a batch; None where the batch is all here.
    across: Callable[[Tensor], Tensor] | None = None

    @staticmethod
    def of(model: Model, inputs: int, outputs: int) -> Mlp:
        """The network a model configuration describes for data of these sizes."""
        hidden = model.hidden if model.width is None or model.depth is None else [model.width] * model.depth
        norm = model.norm, model.norm_position
        skip = model.skip, model.skip_scale
        return Mlp(inputs, tuple(hidden), outputs, model.activation, model.negative_slope, *norm, *skip, model.output_unit)

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of every hidden layer."""
        return self.hidden

    @property
    def held(self) -> tuple[int, ...]:
        """Values of one example in every hidden layer."""
        return self.hidden

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the hidden layers, input side first: layer1, layer2 …"""
        return tuple(f"layer{k}" for k in range(1, len(self.widths) + 1))

    @property
    def linears(self) -> tuple[tuple[str, int, int], ...]:
        """(name, inputs, outputs) of every linear map, the output layer last."""
        sizes = (self.inputs, *self.hidden, self.outputs)
        return tuple((name, sizes[k], sizes[k + 1]) for k, name in enumerate((*self.layers, "output")))

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter of one replicate."""
        shapes: dict[str, tuple[int, ...]] = {}
        for name, fan_in, fan_out in self.linears:
            shapes[f"{name}.weight"] = (fan_in, fan_out)
            shapes[f"{name}.bias"] = (fan_out,)
            if name != "output" and self.norm != "none":
                shapes[f"{name}.scale"] = (fan_out,)
                shapes[f"{name}.shift"] = (fan_out,)
            if name != "output" and self.activation == "prelu":
                shapes[f"{name}.slope"] = (1,)
        return shapes

    def buffer_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every running statistic of one replicate."""
        if self.norm != "batch":
            return {}
        return {
            f"{layer}.{kind}": (width,)
            for layer, width in zip(self.layers, self.widths, strict=True)
            for kind in ("running_mean", "running_var")
        }

    def linear(
        self, parameters: Mapping[str, Tensor], name: str, values: Float[Tensor, "replicate batch in"]
    ) -> Float[Tensor, "replicate batch out"]:
        """Values · W + b, all replicates at once; see ``affine``."""
        return affine(parameters[f"{name}.bias"], values, parameters[f"{name}.weight"])

    def receptive(self, name: str) -> int:
        """How many values of each unit of the layer before one output of a linear map reads."""
        return 1

    def passed_on(self, layer: str, values: Tensor) -> Tensor:
        """What the next layer reads of a hidden layer's values."""
        return values

    def layer_norm(self, layer: str, values: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Each example standardised over the layer."""
        return layer_norm(values, scale, shift)

    def batch_statistics(self, layer: str, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance of each unit over the batch."""
        return batch_statistics(values)

    def standardised(self, layer: str, values: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """BatchNorm by the batch's own statistics, and these: mean and biased variance of each unit."""
        mean, var = self.batch_statistics(layer, values)
        return batch_norm(values, scale, shift, mean, var), mean, var

    def forward(
        self,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        inputs: Float[Tensor, "replicate batch in"],
        training: bool,
    ) -> Forward:
        """Run the network: h_k = act(W h_(k-1) + b), and where ``skip`` is set and the widths agree
        h_k = s · act(W h_(k-1) + b) + h_(k-1) with s = ``skip_scale``; a norm, before or after the activation, is part of that
        branch. In training mode BatchNorm uses the batch and updates the running statistics.
        """
        new_buffers = dict(buffers)
        pres: list[Tensor] = []
        posts: list[Tensor] = []
        variances: list[Tensor] = []
        values = inputs
        for layer in self.layers:
            reached = values
            values = self.linear(parameters, layer, values)
            if self.norm != "none" and self.norm_position == "before":
                values = self._normalise(parameters, buffers, new_buffers, variances, layer, values, training)
            pres.append(values)
            values = self.activated(parameters, layer, values)
            posts.append(values)
            if self.norm != "none" and self.norm_position == "after":
                values = self._normalise(parameters, buffers, new_buffers, variances, layer, values, training)
            values = self.passed_on(layer, values)
            if self.skip and reached.shape[2] == values.shape[2]:
                values = values * self.skip_scale + reached
        return Forward(self.outcome(parameters, values), tuple(pres), tuple(posts), new_buffers, tuple(variances))

    def outcome(self, parameters: Mapping[str, Tensor], values: Float[Tensor, "replicate batch in"]) -> Tensor:
        """The output layer of what the last hidden layer passes on."""
        output = self.linear(parameters, "output", values)
        return ACTIVATIONS["sigmoid"](output, 0.0) if self.output_unit == "sigmoid" else output

    def reached(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], inputs: Float[Tensor, "replicate batch in"], index: int
    ) -> Tensor:
        """What hidden layer ``index`` (from 0) reads, in inference mode. Networks without skips."""
        values = inputs
        for layer in self.layers[:index]:
            values = self.linear(parameters, layer, values)
            if self.norm != "none" and self.norm_position == "before":
                values = self._normalise(parameters, buffers, {}, [], layer, values, training=False)
            values = self.activated(parameters, layer, values)
            if self.norm != "none" and self.norm_position == "after":
                values = self._normalise(parameters, buffers, {}, [], layer, values, training=False)
            values = self.passed_on(layer, values)
        return values

    def driven(self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], inputs: Tensor, index: int) -> Tensor:
        """What hidden layer ``index`` (from 0) makes of the inputs before a norm and its activation, in inference mode."""
        return self.linear(parameters, self.layers[index], self.reached(parameters, buffers, inputs, index))

    @property
    def normed(self) -> tuple[str, ...]:
        """Names of the norms, in the order of the pass."""
        return self.layers

    @property
    def joined(self) -> frozenset[str]:
        """Layers whose pre-activation holds what a skip adds: none, where skips are added behind the activation."""
        return frozenset()

    def before_norm(self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], inputs: Tensor, name: str) -> Tensor:
        """What a norm is given, in inference mode."""
        values = self.driven(parameters, buffers, inputs, self.layers.index(name))
        return self.activated(parameters, name, values) if self.norm_position == "after" else values

    def activated(self, parameters: Mapping[str, Tensor], layer: str, values: Tensor) -> Tensor:
        """The layer's activation of its pre-activations."""
        slope = parameters[f"{layer}.slope"] if self.activation == "prelu" else self.negative_slope
        return ACTIVATIONS[self.activation](values, slope)

    def _normalise(
        self,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        new_buffers: Buffers,
        variances: list[Tensor],
        layer: str,
        values: Tensor,
        training: bool,
    ) -> Tensor:
        if values.dtype in HALVES:
            # as in ``affine``: sums over the batch, those of gradients included, in float32, and one rounding
            names = [f"{layer}.{kind}" for kind in ("scale", "shift", "running_mean", "running_var")]
            wide = {name: held[name].float() for held in (parameters, buffers) for name in names if name in held}
            found: Buffers = {}
            spread: list[Tensor] = []
            normal = self._normalise(wide, wide, found, spread, layer, values.float(), training)
            new_buffers |= {name: value.to(values.dtype) for name, value in found.items()}
            variances += [value.to(values.dtype) for value in spread]
            return normal.to(values.dtype)
        scale, shift = parameters[f"{layer}.scale"], parameters[f"{layer}.shift"]
        if self.norm == "layer":
            return self.layer_norm(layer, values, scale, shift)
        mean_key, var_key = f"{layer}.running_mean", f"{layer}.running_var"
        if not training:
            return batch_norm(values, scale, shift, buffers[mean_key], buffers[var_key])
        if self.across is None:
            normal, mean, var = self.standardised(layer, values, scale, shift)
            count = values.shape[1]
            unbiased: float | Tensor = count / max(count - 1, 1)
        else:
            mean, var, total = shared_statistics(values, self.across)
            normal = batch_norm(values, scale, shift, mean, var)
            unbiased = total / (total - 1).clamp(min=1)
        variances.append(var.detach())
        new_buffers[mean_key] = updated_running(buffers[mean_key], mean.detach())
        # torch keeps the unbiased variance in the running statistic and uses the biased one in the pass
        new_buffers[var_key] = updated_running(buffers[var_key], var.detach() * unbiased)
        return normal


def affine(
    bias: Float[Tensor, "replicate out"],
    values: Float[Tensor, "replicate batch in"],
    weight: Float[Tensor, "replicate fan_in out"],
) -> Float[Tensor, "replicate batch out"]:
    """Values · W + b. For float16 and bfloat16 the product and its gradients are summed in float32 and rounded once.

    Torch's own half-precision products choose a kernel by size, replicates included, and those that use the CPU's bfloat16
    instructions flush subnormal numbers to zero: a replicate's bits would depend on its company, and the smallest gradients on
    the machine.
    """
    if values.dtype in HALVES:
        return torch.baddbmm(bias[:, None, :].float(), values.float(), weight.float()).to(values.dtype)
    return torch.baddbmm(bias[:, None, :], values, weight)


def group_of(parameter: str) -> str:
    """The reporting group of a parameter, one of GROUPS."""
    layer, kind = parameter.split(".")
    if kind in ("scale", "shift"):
        return "norm"
    if kind == "slope":
        return "slope"
    return f"{'output' if layer == 'output' else 'hidden'}_{kind}"


def groups_of(net: Mlp) -> dict[str, tuple[str, ...]]:
    """Which parameters each non-empty group holds, in the order of GROUPS."""
    names = net.parameter_shapes()
    found = {group: tuple(n for n in names if group_of(n) == group) for group in GROUPS}
    return {group: members for group, members in found.items() if members}
