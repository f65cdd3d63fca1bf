"""An independent witness: one replicate trained by torch.nn modules, torch.optim and torch's own losses.

Shares with the suite only the initial numbers and the batch order.
"""

from __future__ import annotations

import torch
from torch import nn

from suite.config.numeric import Numeric
from suite.nets.mlp import Mlp

MODULES = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "prelu": nn.PReLU,
}


class Step(nn.Module):
    def forward(self, values):
        return torch.heaviside(values.detach(), torch.zeros((), dtype=values.dtype))


class StraightThrough(torch.autograd.Function):
    """Forward a step, backward the identity where |x| ≤ 1."""

    @staticmethod
    def forward(ctx, values):
        ctx.save_for_backward(values)
        return torch.heaviside(values, torch.zeros((), dtype=values.dtype))

    @staticmethod
    def backward(ctx, gradient):
        (values,) = ctx.saved_tensors
        return torch.where(values.abs() <= 1, gradient, torch.zeros((), dtype=gradient.dtype))


class StepSte(nn.Module):
    def forward(self, values):
        return StraightThrough.apply(values)


def activation(name: str, slope: float) -> nn.Module:
    if name == "leaky_relu":
        return nn.LeakyReLU(slope)
    return {"step": Step, "step_ste": StepSte, **MODULES}[name]()


class Residual(nn.Sequential):
    """The same chain, with the input of some stretches [first, last) of it added to ``scale`` times their output."""

    def __init__(self, layers: list[nn.Module], stretches: list[tuple[int, int]], scale: float):
        super().__init__(*layers)
        self.scale = scale
        self.firsts, self.lasts = {first for first, _ in stretches}, {last for _, last in stretches}

    def forward(self, values):
        carried = [values]
        for index, layer in enumerate(self):
            if index in self.lasts:
                values = self.scale * values + carried[-1]
            if index in self.firsts:
                carried.append(values)
            values = layer(values)
        return values


def module(net: Mlp, parameters: dict[str, torch.Tensor], replicate: int, dtype: torch.dtype) -> nn.Sequential:
    """The same network as an nn.Sequential, holding one replicate's numbers."""
    layers: list[nn.Module] = []
    skips: list[tuple[int, int]] = []
    for name, fan_in, fan_out in net.linears:
        linear = nn.Linear(fan_in, fan_out, dtype=dtype)
        linear.weight.data = parameters[f"{name}.weight"][replicate].T.clone()
        linear.bias.data = parameters[f"{name}.bias"][replicate].clone()
        layers.append(linear)
        if name == "output":
            break
        act = activation(net.activation, net.negative_slope)
        if net.activation == "prelu":
            act.weight.data = parameters[f"{name}.slope"][replicate].clone()
        tail = [act]
        if net.norm != "none":
            norm = (nn.BatchNorm1d if net.norm == "batch" else nn.LayerNorm)(fan_out, dtype=dtype)
            norm.weight.data = parameters[f"{name}.scale"][replicate].clone()
            norm.bias.data = parameters[f"{name}.shift"][replicate].clone()
            tail = [norm, act] if net.norm_position == "before" else [act, norm]
        layers += tail
        if net.skip and fan_in == fan_out:
            skips.append((len(layers) - 1 - len(tail), len(layers)))
    return Residual(layers, skips, net.skip_scale)


def is_bias(module_: nn.Module, name: str) -> bool:
    return name == "bias"


def optimizer_of(network: nn.Sequential, numeric: Numeric) -> torch.optim.Optimizer:
    """torch.optim with decay on the groups the configuration names. Decoupled decay of SGD is not in torch.optim: the
    caller shrinks those parameters before each step."""
    o = numeric.optimizer
    groups = []
    for layer in network:
        for name, parameter in layer.named_parameters(recurse=False):
            kind = "biases" if name == "bias" else "weights"
            applies = o.decay_on in ("both", kind)
            coupled = o.decay == "l2" or o.name == "adam"
            groups.append({"params": [parameter], "weight_decay": o.weight_decay if applies and coupled else 0.0})
    if o.name == "sgd":
        return torch.optim.SGD(groups, lr=o.lr, momentum=o.momentum, nesterov=o.nesterov)
    kind = torch.optim.AdamW if o.decay == "decoupled" else torch.optim.Adam
    return kind(groups, lr=o.lr, betas=(o.beta1, o.beta2), eps=o.eps)


def shrink(network: nn.Sequential, numeric: Numeric) -> None:
    """Decoupled decay for SGD, by hand: θ ← θ(1 - lr·λ)."""
    o = numeric.optimizer
    if o.name != "sgd" or o.decay != "decoupled" or not o.weight_decay:
        return
    for layer in network:
        for name, parameter in layer.named_parameters(recurse=False):
            kind = "biases" if name == "bias" else "weights"
            if o.decay_on in ("both", kind):
                parameter.data.mul_(1 - o.lr * o.weight_decay)


def loss_of(name: str, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    if name == "cross_entropy":
        return nn.functional.cross_entropy(output, targets)
    if name == "hinge":
        classes = output.shape[1]
        return nn.functional.multi_margin_loss(output, targets) * classes / (classes - 1)
    if targets.ndim == 1:
        targets = nn.functional.one_hot(targets, output.shape[1]).to(output.dtype)
    return nn.functional.mse_loss(output, targets)
