"""Runs blocks so that their clocks can be compared: one after another, each rehearsed first. Knows no statistics."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from suite.config.numeric import Numeric
from suite.execution.attempt import Failure, attempt
from suite.vocabulary import Block, Trace

#: Steps of a rehearsal: the first has torch load and plan what it needs, the second is like any other.
REHEARSAL_STEPS = 2


def shortened(block: Block, steps: int) -> Block:
    """The block with so many steps at most and evaluations at both ends only. Steps before a start that comes later are left out."""
    config = block.condition.config
    taken = min(steps, Numeric.of(config).train.steps)
    short = {
        **config,
        "train": {**config["train"], "steps": taken, "tasks": 1},
        "probes": {**config["probes"], "every": max(taken, 1)},
        "start": {**config["start"], "after": 0},
    }
    return replace(block, condition=replace(block.condition, config=short))


def in_turn(blocks: Iterable[Block], data_dir: str) -> Iterator[tuple[Block, Trace | Failure]]:
    """Each block's trace, or why it has none, in the order given and in this process: side by side blocks would slow each other down.

    A few steps of it are taken first and thrown away: code is then loaded, memory claimed and the data at hand, whatever ran
    before. Garbage is collected before and not while the clocks run, as the standard library's timeit has it.
    """
    torch.set_num_threads(1)
    for block in blocks:
        outcome, said = attempt(shortened(block, REHEARSAL_STEPS), data_dir)
        if isinstance(outcome, Trace):
            with _no_garbage_collection():
                outcome, said = attempt(block, data_dir)
        if said:
            outcome = Failure(f"{said[0]}, which is another thing to time", "")
        yield block, outcome


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
