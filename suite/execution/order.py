"""In which order blocks are handed out, and to which devices. Knows lengths only roughly, and no device's contents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from suite.config.schema import Executor
from suite.vocabulary import Block, RequestError


def largest_first(blocks: Sequence[Block]) -> list[Block]:
    """So that no long block is left to run alone at the end; equal ones keep their order."""
    return sorted(blocks, key=work, reverse=True)


def work(block: Block) -> int:
    """A measure of a block's length, for ordering only: replicate-steps times the products of neighbouring widths."""
    config = block.condition.config
    model = config["model"]
    hidden = [int(width) for width in (*(model["channels"] if model["name"] == "cnn" else ()), *model["hidden"])]
    if model["name"] == "resnet18":
        hidden = [int(model["width"]) * 2**stage for stage in range(4) for _ in range(2 * int(model["depth"]))]
    # the number of inputs is the data's; a constant in its place keeps the order of networks on the same data
    products = sum(a * b for a, b in zip([64, *hidden], [*hidden, 10], strict=True))
    return int(config["train"]["steps"]) * block.count * products


def places(executor: Executor, device: str, cores: int) -> list[tuple[int, ...]]:
    """One worker each: the indices of its GPUs, of which there is one for each process that shares its batches, or nothing where it
    takes cores. Raises RequestError for a GPU that is not there, or where there are too few for one worker.
    """
    ranks = executor.data_parallel
    if not device.startswith("cuda"):
        return [()] * (executor.workers or max(cores // ranks, 1))
    found = torch.cuda.device_count()
    wanted = _indices(executor.devices, found)
    absent = [index for index in wanted if index >= found]
    if absent:
        raise RequestError(f"executor.devices={executor.devices}: there is no GPU {absent[0]}; this machine has {found}, counted from 0")
    if len(wanted) < ranks:
        raise RequestError(f"executor.data_parallel={ranks} takes {ranks} GPUs, and executor.devices={executor.devices} has {len(wanted)}")
    return [tuple(wanted[first : first + ranks]) for first in range(0, len(wanted) - ranks + 1, ranks)]


def _indices(devices: Any, found: int) -> list[int]:
    if devices == "all":
        return list(range(found))
    return list(range(devices)) if isinstance(devices, int) else [int(index) for index in devices]
