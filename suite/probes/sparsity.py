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
        zeros: list[Tensor] = []
        for posts in self.view.activations():
            zeros.append(torch.stack([(post == 0).sum(dim=(1, 2)) for post in posts], dim=1))
            sizes = [post.shape[1] * post.shape[2] for post in posts]
        found = torch.cat(zeros).to(torch.float64)
        values = {"activation_sparsity": found.sum(dim=1) / sum(sizes)}
        for index, (layer, size) in enumerate(zip(self.layout.layers, sizes, strict=True)):
            values[f"activation_sparsity.{layer}"] = found[:, index] / size
        return values
