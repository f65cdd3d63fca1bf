"""How many layers a gradient passes on its way down before it is exactly zero, against what the number format allows.

Meant for a stack of sigmoids, one unit wide, from ``start=steepest`` with ``train.batch_size=1``: there every layer divides
the gradient by 4.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet, Stretch, Watch


def smallest_exponent(dtype: torch.dtype) -> int:
    """log2 of the smallest subnormal number.

    >>> [smallest_exponent(getattr(torch, name)) for name in ("float16", "bfloat16", "float32", "float64")]
    [-24, -133, -149, -1074]
    """
    limits = torch.finfo(dtype)
    return round(math.log2(limits.smallest_normal) + math.log2(limits.eps))


def quarterings_to_zero(value: float, smallest: int) -> int:
    """How often ``value`` can be divided by 4, rounded each time to nearest (ties to even) on the grid of 2^smallest, until it is
    0. Exact integer arithmetic; the value's own precision is taken to suffice above the grid's last bits.

    >>> [quarterings_to_zero(1.0, smallest) for smallest in (-24, -133, -149, -1074)]
    [13, 67, 75, 538]
    """
    mantissa, exponent = math.frexp(abs(value))
    whole, exponent = int(math.ldexp(mantissa, 53)), exponent - 53
    count = 0
    while whole:
        exponent -= 2
        if exponent < smallest:
            shift = smallest - exponent
            down, rest = whole >> shift, whole & ((1 << shift) - 1)
            half = 1 << (shift - 1)
            whole, exponent = down + (rest > half or (rest == half and down & 1 == 1)), smallest
        count += 1
    return count


class Underflow(Quiet):
    """Of the first step's batch, at the end: ``zero_depth``, the number of hidden layers, counted from the output, at which the
    gradient of the bias is first exactly zero (one more than there are, where it never is); ``zero_depth_predicted``, the same
    from the gradient at the last hidden layer by division by 4 and rounding to multiples of the format's smallest subnormal, loss scaling
    included; ``zero_depth_error``, measured less predicted; ``zero_depth_from_one``, the depth less log4 of the gradient
    that enters the stack (4 times that at the last hidden layer), so what it would be for a gradient of 1;
    ``first_layer_grad_max_abs``, the largest element at the first hidden layer.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.found: dict[str, Tensor] = {}
        self.smallest = 0

    def columns(self) -> tuple[str, ...]:
        """No curves."""
        return ()

    def summaries(self) -> tuple[str, ...]:
        """Measured, predicted and their difference."""
        return ("zero_depth", "zero_depth_predicted", "zero_depth_error", "zero_depth_from_one", "first_layer_grad_max_abs")

    def watches(self) -> frozenset[Watch]:
        """Every step, of which only the first matters."""
        return frozenset({"every_step"})

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Notes the number format."""
        self.smallest = smallest_exponent(view.parameters["output.bias"].dtype)
        return {}

    def after_steps(self, stretch: Stretch) -> None:
        """Reads the gradients of the first step."""
        if self.found:
            return
        scale = self.layout.loss_scale
        sizes = torch.stack([stretch.gradients[f"{layer}.bias"].abs().amax(dim=1).double() for layer in reversed(self.layout.layers)])
        zero = torch.cat([sizes == 0, torch.ones_like(sizes[:1], dtype=torch.bool)])
        depth = zero.to(torch.int64).argmax(dim=0).double() + 1
        top = sizes[0] * scale
        passed = [1 + quarterings_to_zero(value, self.smallest) for value in top.tolist()]
        predicted = torch.tensor(passed, dtype=torch.float64, device=depth.device).clamp(max=len(sizes) + 1)
        first = torch.maximum(
            stretch.gradients["layer1.bias"].flatten(1).abs().amax(dim=1), stretch.gradients["layer1.weight"].flatten(1).abs().amax(dim=1)
        )
        self.found = {
            "zero_depth": depth,
            "zero_depth_predicted": predicted,
            "zero_depth_error": depth - predicted,
            "zero_depth_from_one": depth - torch.log2(4 * top) / 2,
            "first_layer_grad_max_abs": first,
        }

    def finish(self) -> dict[str, Tensor]:
        """What the first step showed."""
        return self.found
