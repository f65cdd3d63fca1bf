"""How much of what hidden layers pass on is exactly zero."""

from __future__ import annotations

import torch
from torch import Tensor

from suite.probes.views import Evaluation, Layout, Quiet


class Sparsity(Quiet):
    """At the end ``activation_sparsity``: share of exact zeros among the activations of all hidden units on all training examples, as
    training sees them; ``activation_sparsity.<layer>`` of one layer. Cost: one pass over the training set, when the clocks have stopped.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def columns(self) -> tuple[str, ...]:
        """No curves."""
        return ()

    def summaries(self) -> tuple[str, ...]:
        """Over all layers, then each."""
        return ("activation_sparsity", *(f"activation_sparsity.{layer}" for layer in self.layout.layers))

    def evaluate(self, view: Evaluation) -> dict[str, Tensor]:
        """Keeps the view, whose network is the finished one when training has ended."""
        self.view = view
        return {}

    def finish(self) -> dict[str, Tensor]:
        """Counts zeros."""
        pieces = [torch.stack([(post == 0).sum(dim=(1, 2)) for post in posts], dim=1) for posts in self.view.activations()]
        zeros = torch.cat(pieces).to(torch.float64)
        examples = self.layout.examples
        values = {"activation_sparsity": zeros.sum(dim=1) / (examples * sum(self.layout.widths))}
        for index, (layer, width) in enumerate(zip(self.layout.layers, self.layout.widths, strict=True)):
            values[f"activation_sparsity.{layer}"] = zeros[:, index] / (examples * width)
        return values
