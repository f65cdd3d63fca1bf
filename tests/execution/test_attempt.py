"""A block that cannot be done as a whole: smaller pieces give the same bits, and what fails is reported with its cause."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from suite.config.schema import Data, Engine, Executor, Model, Optimizer, Probes, Remedy, Start, Train
from suite.execution import attempt as module
from suite.execution import execute
from suite.execution.attempt import Failure, attempt
from suite.vocabulary import Block, Condition

SECTIONS = (Start(), Optimizer(momentum=0.5), Probes(every=10), Engine(path="eager"), Remedy())


def block(name: str = "c", count: int = 7, first: int = 2, steps: int = 20) -> Block:
    config = {type(section).__name__.lower(): asdict(section) for section in SECTIONS}
    config |= {"precision": "float32", "data": asdict(Data("blobs", examples=64, features=4, classes=3))}
    config |= {"model": asdict(Model(hidden=[6])), "train": asdict(Train(steps, 16))}
    return Block(Condition(name, {}, config), first, count, 0, "cpu")


def same(a, b) -> None:
    np.testing.assert_array_equal(a.steps, b.steps)
    np.testing.assert_array_equal(a.diverged_at, b.diverged_at)
    for kind in ("curves", "finals"):
        assert getattr(a, kind).keys() == getattr(b, kind).keys()
        for name, values in getattr(a, kind).items():
            np.testing.assert_array_equal(values, getattr(b, kind)[name], err_msg=name)
    assert (a.condition, a.first, a.count) == (b.condition, b.first, b.count)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 800 bytes"),
    ],
)
def test_out_of_memory_takes_smaller_pieces_and_changes_no_bit(monkeypatch, error):
    whole, _ = attempt(block(), "data")
    real, sizes, reported = module.train_block, [], []

    def limited(part, dataset, report):
        sizes.append(part.count)
        trace = real(part, dataset, report)  # the memory may run out late
        if part.count > 2:
            raise error
        return trace

    monkeypatch.setattr(module, "train_block", limited)
    pieces, said = attempt(block(), "data", lambda steps, dead: reported.append(steps))
    same(whole, pieces)
    assert sizes == [7, 4, 2, 2, 3, 2, 1]
    assert sum(reported) == 7 * 20
    assert "not enough memory" in said[0]
    assert "done again with 4 replicates at a time" in said[0]


def test_what_cannot_be_done_at_all_is_a_failure_with_its_cause(monkeypatch):
    def never(part, dataset, report):
        raise RuntimeError("CUDA error: device-side assert triggered\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(module, "train_block", never)
    failure, _ = attempt(block(), "data")
    assert failure.cause == "RuntimeError: CUDA error: device-side assert triggered"
    assert "Traceback" in failure.details

    def full(part, dataset, report):
        raise MemoryError("17 bytes")

    monkeypatch.setattr(module, "train_block", full)
    failure, said = attempt(block(), "data")
    assert failure.cause == "MemoryError: 17 bytes"
    assert len(said) == 2  # 7 → 4 → 2, which is as small as it gets


def everything(blocks, executor, tell=lambda line: None):
    waiting = list(blocks)
    found = execute(lambda: waiting.pop(0) if waiting else None, len(blocks), executor, "data", lambda *unused: None, tell)
    return {part.condition.name: outcome for part, outcome in found}


def test_one_failing_block_does_not_stop_the_others(monkeypatch):
    real = module.train_block

    def sometimes(part, dataset, report):
        if part.condition.name == "b":
            raise np.linalg.LinAlgError("SVD did not converge")
        return real(part, dataset, report)

    monkeypatch.setattr(module, "train_block", sometimes)
    found = everything([block("a"), block("b"), block("c")], Executor("serial"))
    assert found["b"].cause == "LinAlgError: SVD did not converge"
    same(found["a"], attempt(block("a"), "data")[0])
    assert found["c"].count == 7


def is_at_work(pid: int) -> bool:
    """Whether a process has computed for a while."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11])
    return ticks > 0.5 * os.sysconf("SC_CLK_TCK")


def test_a_worker_killed_by_the_kernel_costs_its_block_alone_and_no_bit():
    # long enough for the killer to find it at work
    blocks = [block(name, count=4, steps=2000) for name in "abcd"]
    said: list[str] = []
    killed: list[int] = []

    def killer() -> None:
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            for process in multiprocessing.active_children():
                if process.pid is not None and is_at_work(process.pid):
                    os.kill(process.pid, signal.SIGKILL)
                    killed.append(process.pid)
                    break
            time.sleep(0.02)

    thread = threading.Thread(target=killer)
    thread.start()
    found = everything(blocks, Executor("local", workers=2), said.append)
    thread.join()
    assert len(killed) == 1
    assert len(said) == 1
    assert "was killed by signal 9" in said[0]
    assert "done again" in said[0]
    alone, _ = attempt(blocks[0], "data")
    for name, outcome in found.items():
        assert not isinstance(outcome, Failure), name
    same(found["a"], alone)
    assert not multiprocessing.active_children()
