"""Trains one block, in smaller pieces where memory runs out, and says what went wrong where it cannot be done.

A replicate's numbers do not depend on who shares its block, so pieces give the same bits as the whole.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from suite.config.numeric import Numeric
from suite.config.schema import PRESENTATION_KEYS, Data
from suite.data import Dataset, load
from suite.execution.crew import RankError, train_together
from suite.execution.join import joined
from suite.execution.worker import DEATHS, Died
from suite.training.device import settle
from suite.training.engine import train_block
from suite.vocabulary import Block, RequestError, Trace

#: Told after every evaluation: replicate-steps since the last call, and the mean dead fraction (None if not measured).
Report = Callable[[int, float | None], None]
#: A stack is never smaller: a replicate alone is trained with its successor beside it.
SMALLEST = 2


@dataclass(frozen=True)
class Failure:
    """Why a block could not be done: one line, and everything a developer would ask for."""

    cause: str
    details: str


def attempt(block: Block, data_dir: str, report: Report | None = None, pieces: int = 1) -> tuple[Trace | Failure, list[str]]:
    """The block's trace, or why there is none; and lines about what had to be done to get it. ``pieces`` trains it in at least so
    many. A block of several ranks is given to new processes where one of them dies. Raises RequestError where the data are wrong.
    """
    settle(block.device)
    said: list[str] = []
    for deaths in range(DEATHS + 1):
        split = max(pieces, 2 ** max(deaths - 1, 0))
        try:
            return _attempt(block, data_dir, report, split, said), said
        except Died as error:
            how = str(error)
            again = max(pieces, 2**deaths)
            if deaths < DEATHS:
                said.append(f"{named(block)}: {how}; done again" + (f" in {again} pieces" if again > 1 else ""))
    return Failure(f"{how}, {DEATHS + 1} times", how), said


def _attempt(block: Block, data_dir: str, report: Report | None, pieces: int, said: list[str]) -> Trace | Failure:
    """One attempt. Raises Died where a process of several was lost."""
    reported = 0

    def counted(steps: int, dead: float | None) -> None:
        nonlocal reported
        reported += steps
        if report is not None:
            report(steps, dead)

    try:
        size = max(-(-block.count // pieces), min(SMALLEST, block.count))
        dataset = dataset_of(block, data_dir)
        return joined([_fitting(part, dataset, data_dir, counted, said) for part in _split(block, size)])
    except RequestError:
        raise
    except Exception as error:  # whatever stops this block must not stop the others
        if report is not None:
            report(-reported, None)
        if isinstance(error, Died):
            raise
        return Failure(cause_of(error), error.details if isinstance(error, RankError) else traceback.format_exc())


def cause_of(error: BaseException) -> str:
    """One line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """The forms it takes: Python's, torch's for GPUs, and plain RuntimeErrors of torch's CPU allocator and of CUDA."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "allocate memory" in text)


def _fitting(block: Block, dataset: Dataset, data_dir: str, report: Report, said: list[str]) -> Trace:
    """The block's trace, by halves where the whole does not fit into memory. Raises what training raises."""
    done = 0

    def counted(steps: int, dead: float | None) -> None:
        nonlocal done
        done += steps
        report(steps, dead)

    try:
        return train_block(block, dataset, counted) if block.ranks == 1 else train_together(block, data_dir, counted)
    except Exception as error:
        if not is_out_of_memory(error) or block.count <= SMALLEST:
            raise
        cause = cause_of(error)
    # outside the handler: the exception holds the frames that hold the memory
    gc.collect()
    if block.device.startswith("cuda"):
        torch.cuda.empty_cache()
    report(-done, None)
    size = -(-block.count // 2)
    said.append(f"{named(block)}: not enough memory ({cause}); done again with {size} replicates at a time")
    return joined([_fitting(part, dataset, data_dir, report, said) for part in _split(block, size)])


def _split(block: Block, size: int) -> list[Block]:
    """Neighbouring pieces of at most ``size`` replicates."""
    end = block.first + block.count
    return [replace(block, first=first, count=min(size, end - first)) for first in range(block.first, end, size)]


def named(block: Block) -> str:
    """How a block is called in messages."""
    return f"condition {block.condition.name!r}, replicates {block.first} to {block.first + block.count - 1}"


@lru_cache(maxsize=4)
def _dataset(name: str, fields: tuple[tuple[str, object], ...], data_dir: str) -> Dataset:
    return load(Data(**dict(fields)), data_dir)  # type: ignore[arg-type]


def dataset_of(block: Block, data_dir: str) -> Dataset:
    """The data a block is trained on, kept for the next one. Raises RequestError where they are wrong."""
    data = Numeric.of(block.condition.config).data
    # conditions that differ only in how the data are presented share one copy
    fields = tuple(sorted((key, value) for key, value in vars(data).items() if key not in PRESENTATION_KEYS))
    return _dataset(data.name, fields, data_dir)
