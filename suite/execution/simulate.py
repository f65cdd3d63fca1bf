"""Plays through when blocks would be done on a given number of workers: a discrete-event simulation. Runs nothing.

The model: one parent hands out the blocks in the order given; a worker takes ``start`` seconds before its first block; each
finished block takes ``handling`` seconds of the parent (receiving and storing it), during which the parent serves nobody
else; the worker that waits for its next block waits for the parent. Blocks take as long on any worker.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Seconds until the last block is stored, and the shares of that time in which the workers trained and the parent handled."""

    makespan: float
    workers_busy: float
    parent_busy: float


def simulate(seconds: Sequence[float], workers: int, start: float = 0.0, handling: float = 0.0) -> Schedule:
    """The schedule of blocks that train for ``seconds`` each, in the order in which they are handed out.

    Raises ValueError for fewer than one worker or a negative time.
    """
    if workers < 1 or start < 0 or handling < 0 or min(seconds, default=0.0) < 0:
        raise ValueError("there must be a worker, and no time can be negative")
    waiting = iter(seconds)
    # (when a worker's block ends, which worker): a heap, ties settled by the worker's number
    training = [(start + length, worker) for worker, length in zip(range(workers), waiting)]
    heapq.heapify(training)
    parent_free = 0.0
    while training:
        ended, worker = heapq.heappop(training)
        parent_free = max(parent_free, ended) + handling
        length = next(waiting, None)
        if length is not None:
            heapq.heappush(training, (parent_free + length, worker))
    if parent_free == 0:
        return Schedule(0.0, 0.0, 0.0)
    return Schedule(parent_free, sum(seconds) / (workers * parent_free), handling * len(seconds) / parent_free)
