"""Non-stationary tasks: each replicate's own permutations of pixels or labels. Knows no network, loss or schedule.

The tasks of Goodfellow et al. (2014, permuted pixels) and Dohare et al. (2024): every task holds the same examples, with one
permutation of the features, or of the classes, for the whole task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from suite.streams import generator


@dataclass(frozen=True)
class Shift:
    """One task of every replicate. ``pixels`` [replicate, feature]: feature j of the task is feature pixels[j] of the data;
    ``labels`` [replicate, class]: class c is called labels[c]. None leaves them as they are.
    """

    pixels: Tensor | None
    labels: Tensor | None

    def part(self, replicates: slice) -> Shift:
        """The same for a slice of the replicates."""
        return Shift(*(None if order is None else order[replicates] for order in (self.pixels, self.labels)))

    def inputs(self, values: Tensor) -> Tensor:
        """[replicate, example, feature] as the task presents them."""
        return values if self.pixels is None else values.gather(2, self.pixels[:, None, :].expand_as(values))

    def targets(self, values: Tensor) -> Tensor:
        """Labels [replicate, example] as the task names them."""
        return values if self.labels is None else self.labels.gather(1, values)


def shift_of(
    kind: str, seed: int, replicates: Sequence[int], task: int, features: int, classes: int | None, device: torch.device
) -> Shift | None:
    """The shift of task number ``task``, drawn from each replicate's stream ``task/<task>``. The first task, number 0, is the
    data as they are.
    """
    if kind == "none" or task == 0:
        return None
    size = features if kind == "permuted_pixels" else classes
    assert size is not None, "labels to permute"
    drawn = np.stack([generator(seed, replicate, f"task/{task}").permutation(size) for replicate in replicates])
    order = torch.from_numpy(drawn.astype(np.int64)).to(device)
    return Shift(order, None) if kind == "permuted_pixels" else Shift(None, order)
