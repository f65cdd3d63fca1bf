"""Runs blocks in this process, in worker processes or on a cluster, one thread each. Knows neither the study nor the disk.

One thread per process is a rule, not a default: OpenMP barriers collapse on a busy machine, and a reduction that is
split over threads may round differently.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait

import torch

from suite.config.schema import Executor
from suite.execution.attempt import Failure, attempt, named
from suite.execution.crew import dismiss
from suite.execution.fleet import run_on
from suite.execution.order import places
from suite.execution.ray_cluster import RayFleet
from suite.execution.slurm import SlurmFleet
from suite.execution.worker import DEATHS, Died, Worker
from suite.vocabulary import Block, Trace

#: (block, replicate-steps done since the last call, mean dead fraction or None)
Report = Callable[[Block, int, float | None], None]
#: The next block to work on; None where none is free, now or any more.
Take = Callable[[], Block | None]
#: A line for the user: a block had to be done again, and why.
Tell = Callable[[str], None]

#: Seconds between two looks for a free block while some workers have none.
LOOK_SECONDS = 0.5


def execute(
    take: Take, expected: int, executor: Executor, data_dir: str, report: Report, tell: Tell
) -> Iterator[tuple[Block, Trace | Failure]]:
    """Yield each block's trace as it is finished, or why it has none, until ``take`` gives no more. At most ``expected`` blocks
    are worth a worker each. ``serial`` keeps the order given; the others do not.
    """
    torch.set_num_threads(1)
    if executor.name in ("slurm", "ray"):
        yield from _elsewhere(take, executor, data_dir, report, tell)
        return
    if executor.name == "local" and expected > 1:
        yield from _in_workers(take, expected, executor, data_dir, report, tell)
        return
    try:
        while (block := take()) is not None:
            outcome, said = attempt(block, data_dir, lambda steps, dead, block=block: report(block, steps, dead))  # type: ignore[misc]
            for line in said:
                tell(line)
            yield block, outcome
    finally:
        dismiss()


def _elsewhere(take: Take, executor: Executor, data_dir: str, report: Report, tell: Tell) -> Iterator[tuple[Block, Trace | Failure]]:
    fleet = SlurmFleet(executor.slurm, data_dir) if executor.name == "slurm" else RayFleet(executor.address, data_dir)
    for block, outcome in run_on(fleet, take, executor.in_flight, executor.blocks_per_job, tell):
        _count(block, outcome, report)
        yield block, outcome


def _count(block: Block, outcome: Trace | Failure, report: Report) -> None:
    """Report the whole of a block that was trained out of sight."""
    if isinstance(outcome, Failure):
        return
    dead = outcome.finals.get("dead_fraction")
    alive = outcome.diverged_at < 0
    share = None if dead is None or not alive.any() else float(dead[alive].mean())
    report(block, int(outcome.steps[-1]) * block.count, share)


def _in_workers(
    take: Take, expected: int, executor: Executor, data_dir: str, report: Report, tell: Tell
) -> Iterator[tuple[Block, Trace | Failure]]:
    """On a GPU a worker for each, else one for each core; whichever is free gets the next block."""
    first = take()
    if first is None:
        return
    workers = [Worker(gpus) for gpus in places(executor, first.device, os.cpu_count() or 1)[:expected]]
    idle = workers[::-1]
    waiting = [first]
    running: dict[Future[tuple[Trace | Failure, list[str]]], tuple[Worker, Block, int]] = {}
    try:
        while True:
            while idle and (block := waiting.pop() if waiting else take()) is not None:
                worker = idle.pop()
                running[worker.submit(attempt, block, data_dir)] = (worker, block, 0)
            if not running:
                return
            for future in wait(running, LOOK_SECONDS if idle else None, FIRST_COMPLETED).done:
                worker, block, deaths = running.pop(future)
                try:
                    outcome, said = worker.result(future)
                except Died as how:
                    if deaths < DEATHS:
                        pieces = 2**deaths
                        tell(f"{named(block)}: its worker process {how}; done again" + (f" in {pieces} pieces" if pieces > 1 else ""))
                        running[worker.submit(attempt, block, data_dir, None, pieces)] = (worker, block, deaths + 1)
                        continue
                    outcome, said = Failure(f"its worker process {how}, {deaths + 1} times", str(how)), []
                idle.append(worker)
                for line in said:
                    tell(line)
                _count(block, outcome, report)
                yield block, outcome
    finally:
        for worker in workers:
            worker.stop()
