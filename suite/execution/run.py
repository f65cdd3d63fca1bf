"""Runs blocks in this process or in worker processes, one thread each. Knows neither the study nor the disk.

One thread per process is a rule, not a default: OpenMP barriers collapse on a busy machine, and a reduction that is
split over threads may round differently.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import lru_cache

import torch

from suite.config.numeric import Numeric
from suite.config.schema import PRESENTATION_KEYS, Data, Executor
from suite.data import Dataset, load
from suite.training.engine import train_block
from suite.vocabulary import Block, Trace

#: (block, replicate-steps done since the last call, mean dead fraction or None)
Report = Callable[[Block, int, float | None], None]


def execute(blocks: Sequence[Block], executor: Executor, data_dir: str, report: Report) -> Iterator[tuple[Block, Trace]]:
    """Yield each block's trace as it is finished. ``serial`` keeps the order given; ``local`` does not."""
    torch.set_num_threads(1)
    if executor.name == "local" and len(blocks) > 1:
        yield from _in_workers(blocks, executor, data_dir, report)
        return
    for block in blocks:
        yield block, _train(block, data_dir, lambda steps, dead, block=block: report(block, steps, dead))  # type: ignore[misc]


@lru_cache(maxsize=4)
def _dataset(name: str, fields: tuple[tuple[str, object], ...], data_dir: str) -> Dataset:
    return load(Data(**dict(fields)), data_dir)  # type: ignore[arg-type]


def _train(block: Block, data_dir: str, report: Callable[[int, float | None], None] | None) -> Trace:
    data = Numeric.of(block.condition.config).data
    # conditions that differ only in how the data are presented share one copy
    fields = tuple(sorted((key, value) for key, value in vars(data).items() if key not in PRESENTATION_KEYS))
    return train_block(block, _dataset(data.name, fields, data_dir), report)


def _train_quietly(block: Block, data_dir: str) -> Trace:
    return _train(block, data_dir, None)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _in_workers(blocks: Sequence[Block], executor: Executor, data_dir: str, report: Report) -> Iterator[tuple[Block, Trace]]:
    workers = min(executor.workers or os.cpu_count() or 1, len(blocks))
    # spawn: a forked child of a process that holds OpenMP or CUDA state may hang
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_one_thread)
    try:
        running: dict[Future[Trace], Block] = {pool.submit(_train_quietly, block, data_dir): block for block in blocks}
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                block = running.pop(future)
                trace = future.result()
                steps = int(trace.steps[-1]) * block.count
                dead = trace.finals.get("dead_fraction")
                report(block, steps, None if dead is None else float(dead[~(trace.diverged_at >= 0)].mean()))
                yield block, trace
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
