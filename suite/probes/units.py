"""Dead and dormant units over the whole training set, and how they come and go.

A unit is *dead* when its pre-activation is at or below zero on every training input; it is *τ-dormant* when its mean
absolute activation is at most τ times the layer's mean (Sokar et al. 2023). A unit counts as *revived* only
above ``REVIVED_ABOVE``: in float32 a pre-activation of 1e-43 is rounding, not revival.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet, UnitStatistics

REVIVED_ABOVE = 1e-6


def dead_units(units: tuple[UnitStatistics, ...]) -> Tensor:
    """[replicate, all hidden units] True where the unit is dead."""
    return torch.cat([layer.max_pre <= 0 for layer in units], dim=1)


def alive_units(units: tuple[UnitStatistics, ...]) -> Tensor:
    """[replicate, all hidden units] True where the largest pre-activation exceeds REVIVED_ABOVE."""
    flags = [layer.max_pre > REVIVED_ABOVE for layer in units]
    return flags[0] if len(flags) == 1 else torch.cat(flags, dim=1)


def _share(flags: Tensor, among: Tensor | None = None) -> Tensor:
    """Share of True per replicate [replicate, unit], of all units or among some; NaN where there are none to share."""
    if among is None:
        return flags.sum(dim=1, dtype=torch.float64) / flags.shape[1]
    return (flags & among).sum(dim=1, dtype=torch.float64) / among.sum(dim=1, dtype=torch.float64)


def _by_layer(metric: str, layers: tuple[str, ...], flags: Sequence[Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """``metric`` over all units and ``metric.<layer>``, and the flags of all layers side by side."""
    shares = {f"{metric}.{layer}": _share(flag) for layer, flag in zip(layers, flags, strict=True)}
    if len(flags) == 1:
        return shares | {metric: shares[f"{metric}.{layers[0]}"]}, flags[0]
    together = torch.cat(list(flags), dim=1)
    return shares | {metric: _share(together)}, together


class Dead(Quiet):
    """``dead_fraction`` (all hidden units; ``.layerK`` per layer; ``dead_fraction_eval`` with BatchNorm's running
    statistics), ``deaths`` and ``revivals`` since the previous evaluation (shares of all units), and at the end
    ``dead_at_start``, ``revived_fraction`` (of units dead at the start, the share found alive at any later evaluation; 0 where
    none was dead), ``died_fraction`` (of units alive at the start, the share found dead at any later evaluation; 0 where none
    was alive) and ``recovered_fraction`` (of units alive at the start and found dead later, the share alive at the end; 0 where none died).
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.first: Tensor | None = None

    def columns(self) -> tuple[str, ...]:
        """Fractions of the network and per layer."""
        names = ["dead_fraction", *(f"dead_fraction.{layer}" for layer in self.layout.layers), "deaths", "revivals"]
        return (*names, "dead_fraction_eval") if self.layout.norm == "batch" else tuple(names)

    def summaries(self) -> tuple[str, ...]:
        """What became of the units over the whole run."""
        return ("dead_at_start", "revived_fraction", "died_fraction", "recovered_fraction")

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Level and flow of dead units."""
        values, dead = _by_layer("dead_fraction", self.layout.layers, [layer.max_pre <= 0 for layer in view.units])
        alive = alive_units(view.units)
        if self.first is None:
            self.first, self.first_not = dead, ~dead
            self.previous, self.previous_not = self.first, self.first_not
            self.revived, self.died = torch.zeros_like(dead), torch.zeros_like(dead)
        flows = torch.stack([dead & self.previous_not, alive & self.previous]).sum(dim=2, dtype=torch.float64) / dead.shape[1]
        values["deaths"], values["revivals"] = flows.unbind()
        if self.layout.norm == "batch":
            values["dead_fraction_eval"] = _share(dead_units(view.units_eval))
        self.revived |= self.first & alive
        self.died |= self.first_not & dead
        self.previous, self.previous_not = dead, ~dead
        return values

    def finish(self) -> dict[str, Tensor]:
        """Shares among the units dead, or alive, at the start."""
        assert self.first is not None
        return {
            "dead_at_start": _share(self.first),
            "revived_fraction": _share(self.revived, self.first).nan_to_num(0.0),
            "died_fraction": _share(self.died, self.first_not).nan_to_num(0.0),
            "recovered_fraction": _share(~self.previous, self.died).nan_to_num(0.0),
        }


class Dormant(Quiet):
    """``dormant_fraction`` (and ``.layerK``): the share of τ-dormant units, τ = probes.dormant_tau."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def columns(self) -> tuple[str, ...]:
        """The network's fraction and each layer's."""
        return ("dormant_fraction", *(f"dormant_fraction.{layer}" for layer in self.layout.layers))

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """A layer whose every activation is zero is dormant as a whole."""
        flags = [layer.mean_abs_post <= self.layout.dormant_tau * layer.mean_abs_post.mean(dim=1, keepdim=True) for layer in view.units]
        return _by_layer("dormant_fraction", self.layout.layers, flags)[0]
