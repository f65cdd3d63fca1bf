"""Gradient clipping of stacked gradients by each replicate's own global norm. Knows no optimizer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

#: Added to the norm before dividing, as in torch.nn.utils.clip_grad_norm_.
EPS = 1e-6


def clipped(gradients: Mapping[str, Tensor], largest: float) -> dict[str, Tensor]:
    """Every replicate's gradient times min(1, largest / (‖g‖ + 1e-6)), ‖g‖ its L2 norm over all parameters together
    (Pascanu et al. 2013). Gradients are [replicate, …].
    """
    norms = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients.values()], dim=1)
    factor = (largest / (torch.linalg.vector_norm(norms, dim=1) + EPS)).clamp(max=1.0)
    return {name: gradient * factor.view(-1, *[1] * (gradient.ndim - 1)) for name, gradient in gradients.items()}
