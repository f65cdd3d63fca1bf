"""Keeps a bounded number of jobs under way on machines elsewhere. Knows neither Slurm nor Ray, nor what a block computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import torch

from suite.execution.attempt import Failure, attempt, named
from suite.execution.crew import dismiss
from suite.vocabulary import Block, Trace

Handle = TypeVar("Handle")

#: Times in all that a job which vanishes (killed, preempted for good, its machine gone) is sent before its blocks count as failed.
ATTEMPTS = 4

Chunk = tuple[Block, ...]
#: What one block of a chunk came to, and lines about what had to be done for it.
Result = tuple[Trace | Failure, list[str]]


class JobLostError(Exception):
    """The job ended without a result, so doing it again may help."""


class Fleet(Protocol[Handle]):
    """Somewhere that runs chunks of blocks."""

    def submit(self, chunks: Sequence[Chunk]) -> list[Handle]:
        """Send these chunks off, one job each, and return their handles in the same order."""
        ...

    def wait(self, handles: Sequence[Handle]) -> list[Handle]:
        """Those that have ended; returns when there is one."""
        ...

    def result(self, handle: Handle) -> list[Result]:
        """What became of the chunk of a job that has ended. Raises JobLostError where it left nothing."""
        ...

    def close(self, unfinished: Sequence[Handle]) -> None:
        """Cancel what still runs and let go."""
        ...


def run_chunk(chunk: Chunk, data_dir: str) -> list[Result]:
    """What a job does: its blocks one after another. The dataset is read there, from ``data_dir``."""
    torch.set_num_threads(1)
    try:
        return [attempt(block, data_dir) for block in chunk]
    finally:
        dismiss()


def run_on(
    fleet: Fleet[Handle], take: Callable[[], Block | None], in_flight: int, size: int, tell: Callable[[str], None]
) -> Iterator[tuple[Block, Trace | Failure]]:
    """Yield every block that ``take`` gives with its trace, or why it has none, in the order in which jobs end; at most ``in_flight``
    jobs of ``size`` blocks at once.

    A lost job is sent again; which attempt succeeds cannot matter, since a block's numbers depend on the block alone.
    """
    running: dict[Handle, tuple[Chunk, int]] = {}
    again: list[tuple[Chunk, int]] = []
    try:
        while True:
            batch, again = again, []
            while len(running) + len(batch) < in_flight and (chunk := _chunk(take, size)):
                batch.append((chunk, 1))
            if batch:
                running |= dict(zip(fleet.submit([chunk for chunk, _ in batch]), batch, strict=True))
            if not running:
                return
            for handle in fleet.wait(list(running)):
                chunk, sent = running.pop(handle)
                try:
                    results = fleet.result(handle)
                except JobLostError as reason:
                    if sent < ATTEMPTS:
                        tell(f"{named(chunk[0])}: its job was lost ({reason}); sent again")
                        again.append((chunk, sent + 1))
                        continue
                    results = [(Failure(f"its job was lost {sent} times, the last time because: {reason}", str(reason)), [])] * len(chunk)
                for block, (outcome, said) in zip(chunk, results, strict=True):
                    for line in said:
                        tell(line)
                    yield block, outcome
    finally:
        fleet.close(list(running))


def _chunk(take: Callable[[], Block | None], size: int) -> Chunk:
    """The next ``size`` blocks, or as many as there are."""
    found: list[Block] = []
    while len(found) < size and (block := take()) is not None:
        found.append(block)
    return tuple(found)
