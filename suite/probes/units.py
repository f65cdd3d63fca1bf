"""Dead and dormant units over the whole training set, and how they come and go.

A unit is *dead* when its pre-activation is at or below zero on every training input; it is *τ-dormant* when its mean
absolute activation is at most τ times the layer's mean (Sokar et al. 2023). A unit counts as *revived* only
above ``REVIVED_ABOVE``: in float32 a pre-activation of 1e-43 is rounding, not revival.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from suite.probes.views import Evaluation, Gathered, Layout, UnitStatistics

REVIVED_ABOVE = 1e-6


def dead_units(units: tuple[UnitStatistics, ...]) -> Tensor:
    """[replicate, all hidden units] True where the unit is dead."""
    return torch.cat([layer.max_pre <= 0 for layer in units], dim=1)


def alive_units(units: tuple[UnitStatistics, ...]) -> Tensor:
    """[replicate, all hidden units] True where the largest pre-activation exceeds REVIVED_ABOVE."""
    return torch.cat([layer.max_pre > REVIVED_ABOVE for layer in units], dim=1)


def _share(flags: Tensor) -> Tensor:
    """Share of True of all units [..., unit]."""
    return flags.sum(dim=-1).double() / flags.shape[-1]


def _beside(flags: Sequence[Tensor]) -> Tensor:
    """All layers' units [..., unit] side by side."""
    return flags[0] if len(flags) == 1 else torch.cat(list(flags), dim=-1)


def _by_layer(metric: str, layers: tuple[str, ...], flags: Sequence[Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """``metric`` over all units and ``metric.<layer>``, and the flags of all layers side by side."""
    shares = {f"{metric}.{layer}": _share(flag) for layer, flag in zip(layers, flags, strict=True)}
    together = _beside(flags)
    return shares | {metric: shares[f"{metric}.{layers[0]}"] if len(flags) == 1 else _share(together)}, together


class Dead(Gathered):
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

    def note(self, view: Evaluation) -> tuple[Tensor, ...]:
        """The largest pre-activation of every unit, as training and, with BatchNorm, as inference sees it."""
        seen = (*view.units, *view.units_eval) if self.layout.norm == "batch" else view.units
        return tuple([layer.max_pre for layer in seen])

    def work_out(self, *noted: Tensor) -> dict[str, Tensor]:
        """Level and flow of dead units."""
        layers = len(self.layout.layers)
        values, dead = _by_layer("dead_fraction", self.layout.layers, [top <= 0 for top in noted[:layers]])
        alive = _beside([top > REVIVED_ABOVE for top in noted[:layers]])
        if self.first is None:
            self.first = self.previous = dead[0]
            self.revived, self.died = torch.zeros_like(self.first), torch.zeros_like(self.first)
        before = torch.cat([self.previous[None], dead[:-1]])
        values |= {"deaths": _share(dead & ~before), "revivals": _share(alive & before)}
        if self.layout.norm == "batch":
            values["dead_fraction_eval"] = _share(_beside([top <= 0 for top in noted[layers:]]))
        self.revived |= self.first & alive.any(dim=0)
        self.died |= ~self.first & dead.any(dim=0)
        self.previous = dead[-1]
        return values

    def finish(self) -> dict[str, Tensor]:
        """Shares among the units dead, or alive, at the start."""
        assert self.first is not None
        flags = torch.stack([self.first, self.revived, self.died, self.died & ~self.previous])
        first, revived, died, back = flags.sum(dim=2, dtype=torch.float64).unbind()
        return {
            "dead_at_start": first / self.first.shape[1],
            "revived_fraction": (revived / first).nan_to_num(0.0),
            "died_fraction": (died / (self.first.shape[1] - first)).nan_to_num(0.0),
            "recovered_fraction": (back / died).nan_to_num(0.0),
        }


class Dormant(Gathered):
    """``dormant_fraction`` (and ``.layerK``): the share of τ-dormant units, τ = probes.dormant_tau."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def columns(self) -> tuple[str, ...]:
        """The network's fraction and each layer's."""
        return ("dormant_fraction", *(f"dormant_fraction.{layer}" for layer in self.layout.layers))

    def note(self, view: Evaluation) -> tuple[Tensor, ...]:
        """The mean absolute activation of every unit."""
        return tuple([layer.mean_abs_post for layer in view.units])

    def work_out(self, *noted: Tensor) -> dict[str, Tensor]:
        """A layer whose every activation is zero is dormant as a whole."""
        flags = [mean <= self.layout.dormant_tau * mean.mean(dim=-1, keepdim=True) for mean in noted]
        return _by_layer("dormant_fraction", self.layout.layers, flags)[0]
