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


def places(executor: Executor, device: str, cores: int) -> list[int | None]:
    """One worker each: the index of a GPU, or None for a core. Raises RequestError for a GPU that is not there."""
    if not device.startswith("cuda"):
        return [None] * (executor.workers or cores)
    found = torch.cuda.device_count()
    wanted = _indices(executor.devices, found)
    absent = [index for index in wanted if index >= found]
    if absent:
        raise RequestError(f"executor.devices={executor.devices}: there is no GPU {absent[0]}; this machine has {found}, counted from 0")
    return [*wanted]


def _indices(devices: Any, found: int) -> list[int]:
    if devices == "all":
        return list(range(found))
    return list(range(devices)) if isinstance(devices, int) else [int(index) for index in devices]
