"""What cutting units off does to the outputs: dead ones, and for comparison live ones."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.probes.parts import over_inputs
from suite.probes.views import Evaluation, Layout, Quiet


class Pruning(Quiet):
    """Largest absolute change of any output in inference mode when outgoing weights are set to zero. Of the units dead on the
    training set: ``pruned_output_change`` on the training set and ``pruned_output_change_test`` on the test set. Of the most
    active unit of every hidden layer instead: ``live_pruned_output_change``, on the training set. ``pruned_units``: how
    many units were dead and pruned.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def columns(self) -> tuple[str, ...]:
        """Three changes and a count."""
        return ("pruned_output_change", "pruned_output_change_test", "live_pruned_output_change", "pruned_units")

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Four passes. Who is dead is read from the same computation as the outputs: another path's rounding could differ."""
        found = [[layer.amax(dim=1) <= 0 for layer in pre] for pre in view.pre_activations()]
        dead = [torch.cat(layer) for layer in zip(*found, strict=True)]
        busiest = [layer.mean_abs_post >= layer.mean_abs_post.amax(dim=1, keepdim=True) for layer in view.units]
        whole = view.outputs(view.parameters)
        without_dead = view.outputs(self._pruned(view, dead))
        without_live = view.outputs(self._pruned(view, busiest))
        return {
            "pruned_output_change": _change(whole[0], without_dead[0]),
            "pruned_output_change_test": _change(whole[1], without_dead[1]),
            "live_pruned_output_change": _change(whole[0], without_live[0]),
            "pruned_units": torch.cat(dead, dim=1).sum(dim=1),
        }

    def _pruned(self, view: Evaluation, units: list[Tensor]) -> dict[str, Tensor]:
        pruned = dict(view.parameters)
        for layer, mask in zip((*self.layout.layers[1:], "output"), units, strict=True):
            weight = pruned[f"{layer}.weight"]
            pruned[f"{layer}.weight"] = weight.masked_fill(over_inputs(mask, weight.shape[1])[:, :, None], 0.0)
        return pruned


def _change(before: Tensor, after: Tensor) -> Tensor:
    return (after - before).abs().flatten(1).amax(dim=1)
