"""What the Hessian of the training loss says at an evaluation: its extremes, its sign, and what kind of point this is."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet

#: An eigenvalue has a sign where its size exceeds this share of the largest one's; below, it is rounding or a flat direction.
SIGN_ABOVE = 1e-6

Spectrum = Float[Tensor, "replicate parameter"]


def spectrum(matrix: Float[Tensor, "replicate parameter parameter"]) -> Spectrum:
    """Eigenvalues in ascending order, in float64; NaN for a matrix that is not finite."""
    finite = torch.isfinite(matrix).flatten(1).all(dim=1)
    values = torch.linalg.eigvalsh(torch.where(finite[:, None, None], matrix, 0.0).to(torch.float64))
    return torch.where(finite[:, None], values, torch.nan)


def signs(values: Spectrum) -> tuple[Bool[Tensor, "replicate parameter"], Bool[Tensor, "replicate parameter"]]:
    """Which eigenvalues are negative and which positive, to SIGN_ABOVE of the largest."""
    least = SIGN_ABOVE * values.abs().amax(dim=1, keepdim=True)
    return values < -least, values > least


def negative_fraction(values: Spectrum) -> Float[Tensor, " replicate"]:
    """The index of the point: the share of eigenvalues that are negative (Dauphin et al. 2014)."""
    return signs(values)[0].to(torch.float64).mean(dim=1)


class Curvature(Quiet):
    """``hessian_min``, ``hessian_max``, ``hessian_trace`` and ``hessian_negative_fraction`` of the whole Hessian of the training loss,
    in training mode, over the first ``probes.hessian_examples`` training examples. Cost: one Hessian-vector product per
    parameter, and memory for the square of their number.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def columns(self) -> tuple[str, ...]:
        """Four of the spectrum."""
        return ("hessian_min", "hessian_max", "hessian_trace", "hessian_negative_fraction")

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """One Hessian and its eigenvalues."""
        matrix = view.hessian()
        values = spectrum(matrix)
        return {
            "hessian_min": values[:, 0],
            "hessian_max": values[:, -1],
            # a copy first: a sum along strides takes another path for another number of replicates
            "hessian_trace": matrix.diagonal(dim1=1, dim2=2).to(torch.float64).contiguous().sum(dim=1),
            "hessian_negative_fraction": negative_fraction(values),
        }


class Stationary(Quiet):
    """What kind of point the network stands at, each 0 or 1: ``critical`` (``gradient_norm``, the L2 norm of the full-batch gradient
    over all parameters, at or below ``probes.critical_below``); of the critical ones ``saddle`` (negative and positive
    curvature), ``minimum`` (positive, none negative: to second order, flat directions are not followed) and ``maximum``;
    ``saddle_excess`` = saddle - minimum; ``gradient_flat`` (not critical, but ``flatness`` at or below GRADIENT_FLAT).

    ``flatness`` = ‖Hg‖ / (‖H‖_F ‖g‖), in [0, 1] up to rounding, 0 where g is zero: minimisers of the gradient norm stall where it is
    small, at points that are not critical (Frye et al. 2021).
    """

    GRADIENT_FLAT = 1e-3

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def columns(self) -> tuple[str, ...]:
        """Size of the gradient, then the kinds."""
        return ("gradient_norm", "flatness", "critical", "saddle", "minimum", "maximum", "saddle_excess", "gradient_flat")

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """One full-batch gradient and one Hessian (over ``probes.hessian_examples``)."""
        slopes = view.gradients()
        slope = torch.cat([slopes[name].flatten(1) for name in view.parameters], dim=1).to(torch.float64)
        matrix = view.hessian().to(torch.float64)
        size = torch.linalg.vector_norm(slope, dim=1)
        bent = torch.linalg.vector_norm(torch.bmm(matrix, slope[:, :, None])[:, :, 0], dim=1)
        scale = torch.linalg.matrix_norm(matrix) * size
        flatness = torch.where(scale > 0, bent / torch.where(scale > 0, scale, 1.0), 0.0)
        critical = size <= self.layout.critical_below
        negative, positive = (flags.any(dim=1) for flags in signs(spectrum(matrix)))
        kinds = {
            "critical": critical,
            "saddle": critical & negative & positive,
            "minimum": critical & positive & ~negative,
            "maximum": critical & negative & ~positive,
            "gradient_flat": ~critical & (flatness <= self.GRADIENT_FLAT),
        }
        values = {name: flag.to(torch.float64) for name, flag in kinds.items()}
        return values | {"gradient_norm": size, "flatness": flatness, "saddle_excess": values["saddle"] - values["minimum"]}
