"""Seconds of a replicate-step of ResNet-18 on 32 × 32 colour images: the stacked engine beside a plain torch loop, interleaved.

    PYTHONPATH=. python tests/bench/resnet_step.py [device] [rounds] [width]

Prints the median of both and their ratio. The loop is torchvision's network under torch.optim.SGD, one network at a time.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import torchvision_resnet as witness

from suite.config.schema import Model, Optimizer
from suite.data import Tensors
from suite.nets.initial import initial_parameters
from suite.nets.resnet import ResNet
from suite.training import optimizers
from suite.training.eager import EagerSteps, State
from suite.training.evaluate import Task
from suite.training.losses import cross_entropy

BATCH, REPLICATES = 32, 2


def main(device: str = "cpu", rounds: int = 3, width: int = 64) -> None:
    """Time ``rounds`` steps of each, after one that is not counted."""
    torch.set_num_threads(1)
    place = torch.device(device)
    model = Model(name="resnet18", width=width, depth=2, norm="batch")
    net = ResNet.on(model, (32, 32, 3), 10, biased=False)
    x = torch.randn(128, 3072, generator=torch.Generator().manual_seed(0)).to(place)
    y = (torch.arange(128) % 10).to(place)
    parameters, buffers = initial_parameters(net, model, 0, range(REPLICATES), place, torch.float32)
    optimizer = Optimizer(lr=0.01, momentum=0.9)
    state = State(parameters, buffers, optimizers.build(optimizer, parameters), torch.full((REPLICATES,), -1, device=place))
    steps = EagerSteps(Task(net, Tensors(x, y, x, y), cross_entropy, True), frozenset())
    indices = np.stack([np.arange(BATCH) + shift for shift in range(REPLICATES)])[:, None]
    network = witness.torchvisions(width, 2, 3, "batch").float().to(place)
    sgd = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def ours() -> None:
        steps.run(state, indices, 0)

    def plain() -> None:
        sgd.zero_grad()
        images = x[:BATCH].reshape(BATCH, 32, 32, 3).permute(0, 3, 1, 2).contiguous()
        torch.nn.functional.cross_entropy(network(images), y[:BATCH]).backward()
        sgd.step()

    took: dict[str, list[float]] = {"engine": [], "torch loop": []}
    for turn in range(rounds + 1):
        for name, run, each in (("engine", ours, REPLICATES), ("torch loop", plain, 1)):
            began = time.perf_counter()
            run()
            if place.type == "cuda":
                torch.cuda.synchronize()
            if turn:
                took[name].append((time.perf_counter() - began) / each)
    median = {name: statistics.median(seconds) for name, seconds in took.items()}
    print({name: round(value, 4) for name, value in median.items()}, "ratio", round(median["engine"] / median["torch loop"], 3))


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:4]))
