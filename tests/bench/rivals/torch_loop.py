"""One network after another in plain torch: the loop that most people would write. Knows nothing of the suite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def shuffled_batches(examples: int, batch: int, steps: int) -> Iterator[Tensor]:
    """Indices of ``steps`` batches: each epoch a new permutation, its remainder dropped."""
    done = 0
    while done < steps:
        order = torch.randperm(examples)
        for first in range(0, examples - batch + 1, batch):
            if done == steps:
                return
            yield order[first : first + batch]
            done += 1


def train(model: nn.Module, x: Tensor, y: Tensor, batches: Iterable[Tensor], lr: float, momentum: float) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    criterion = nn.CrossEntropyLoss()
    for chosen in batches:
        optimizer.zero_grad()
        criterion(model(x[chosen]), y[chosen]).backward()
        optimizer.step()
