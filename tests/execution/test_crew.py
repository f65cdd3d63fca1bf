"""Processes that train a block together: one that is lost or fails costs its block alone, and nothing is left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from small_blocks import assert_same as same
from small_blocks import config

from suite.execution import attempt as module
from suite.execution import crew as crews
from suite.execution.attempt import Failure, attempt
from suite.execution.crew import Crew, RankError, dismiss
from suite.execution.worker import Died
from suite.vocabulary import Block, Condition, RequestError, Trace

SHARED = Block(Condition("c", {}, config(steps=40)), 2, 4, 0, "cpu", ranks=2)


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    yield
    dismiss()
    assert not multiprocessing.active_children()


def test_a_killed_process_costs_its_block_alone_and_no_bit():
    killed: list[int] = []
    reported: list[int] = []

    def strike(steps: int, dead: float | None) -> None:
        reported.append(steps)
        if not killed:
            process, _ = crews._kept[0].members[1]
            killed.append(process.pid)
            os.kill(process.pid, signal.SIGKILL)

    outcome, said = attempt(SHARED, "data", strike)
    assert not isinstance(outcome, Failure), outcome
    assert said == ["condition 'c', replicates 2 to 5: process 1 of 2 was killed by signal 9 (for want of memory, perhaps); done again"]
    assert sum(reported) == 4 * 40
    # the processes that took over are still there, for the same block once more
    again, said = attempt(SHARED, "data")
    same(outcome, again)
    assert not said

    # what every one of them trips over is the block's failure, with its cause and theirs the traceback
    broken = {**SHARED.condition.config, "model": {**SHARED.condition.config["model"], "activation": "nonsense"}}
    failure, said = attempt(replace(SHARED, condition=replace(SHARED.condition, config=broken)), "data")
    assert isinstance(failure, Failure)
    assert "KeyError: 'nonsense' (process " in failure.cause
    assert "activated" in failure.details
    assert not said
    assert not multiprocessing.active_children()


def test_processes_that_die_every_time_are_given_up_after_smaller_pieces(monkeypatch):
    sizes: list[int] = []

    def dying(part: Block, data_dir: str, report) -> Trace:
        sizes.append(part.count)
        raise Died("process 0 of 2 was killed by signal 9 (for want of memory, perhaps)")

    monkeypatch.setattr(module, "train_together", dying)
    failure, said = attempt(replace(SHARED, count=8), "data")
    assert failure.cause == "process 0 of 2 was killed by signal 9 (for want of memory, perhaps), 4 times"
    assert sizes == [8, 8, 4, 2]
    assert [line.rpartition("; ")[2] for line in said] == ["done again", "done again in 2 pieces", "done again in 4 pieces"]


def test_too_little_memory_in_one_process_takes_smaller_pieces(monkeypatch):
    sizes: list[int] = []

    def narrow(part: Block, data_dir: str, report) -> Trace:
        sizes.append(part.count)
        if part.count > 2:
            raise MemoryError("OutOfMemoryError: CUDA out of memory (process 1 of 2)")
        return module.train_block(part, module.dataset_of(part, data_dir), report)

    monkeypatch.setattr(module, "train_together", narrow)
    outcome, said = attempt(SHARED, "data")
    assert sizes == [4, 2, 2]
    assert "not enough memory (MemoryError: OutOfMemoryError: CUDA out of memory (process 1 of 2))" in said[0]
    same(outcome, attempt(replace(SHARED, ranks=1), "data")[0])


class Silent:
    """Stands for a process; its end of the pipe is played by the test."""

    exitcode = -signal.SIGSEGV

    def join(self, timeout: float | None = None) -> None: ...

    def kill(self) -> None: ...

    def close(self) -> None: ...


def told(*words: tuple[int, tuple[str, object] | None]) -> Trace:
    """What a crew of three makes of these messages, each (rank, message), None being its end."""
    crew = Crew(3, "cpu")
    pipes = [multiprocessing.Pipe() for _ in range(3)]
    crew.members = [(Silent(), ours) for ours, _ in pipes]

    def play() -> None:
        for _, theirs in pipes:
            theirs.recv()
        for rank, message in words:
            if message is None:
                pipes[rank][1].close()
            else:
                pipes[rank][1].send(message)

    thread = threading.Thread(target=play)
    thread.start()
    try:
        return crew.train(SHARED, "data")
    finally:
        thread.join()
        assert not crew.members
        for _, theirs in pipes:
            theirs.close()


def test_the_cause_is_told_and_not_what_followed_from_it(monkeypatch):
    lost = ("lost", "PeerLostError: Connection closed by peer")
    with pytest.raises(Died, match=r"^process 2 of 3 was killed by signal 11"):
        told((0, lost), (1, lost), (2, None))
    with pytest.raises(MemoryError, match=r"^OutOfMemoryError: 17 bytes \(process 1 of 3\)$"):
        told((0, lost), (1, ("failed", ("memory", "OutOfMemoryError: 17 bytes", ""))))
    with pytest.raises(RankError, match=r"^ValueError: odd \(process 2 of 3\)$"):
        told((2, ("failed", ("other", "ValueError: odd", "Traceback …"))))
    with pytest.raises(RequestError, match=r"^data=mnist: not here$"):
        told((0, ("failed", ("request", "data=mnist: not here", ""))))
    monkeypatch.setattr(crews, "CAUSE_SECONDS", 0.1)
    with pytest.raises(Died, match="process 0 of 3 lost touch with the others"):
        told((0, lost))
