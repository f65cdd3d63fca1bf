"""Blocks as submitit's jobs, on its local executor: the same jobs, pickles and signals as on a cluster, without one."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from small_blocks import assert_same, blocks, config, expected, taking

pytest.importorskip("submitit", reason="submitit is not installed (the extra slurm)")

from suite.config.schema import Executor, Slurm
from suite.execution import execute
from suite.execution.attempt import Failure
from suite.execution.fleet import run_on
from suite.execution.slurm import ChunkJob, SlurmFleet
from suite.vocabulary import Block, Condition, RequestError

DATA = "data"


def nothing(*unused: object) -> None:
    pass


def here(tmp_path: Path) -> Slurm:
    return Slurm(cluster="local", folder=str(tmp_path / "jobs"), timeout_min=5)


def test_jobs_give_the_bits_of_this_process(tmp_path):
    some = blocks(3)
    executor = Executor("slurm", in_flight=2, blocks_per_job=2, slurm=here(tmp_path))
    told: list[int] = []
    got = list(execute(taking(some), 3, executor, DATA, lambda block, steps, dead: told.append(steps), print))
    assert {block.first for block, _ in got} == {0, 2, 4}
    reference = expected(some)
    for block, trace in got:
        assert_same(trace, reference[block.first])
    assert told == [40, 40, 40]


def task_of(controller: str) -> int:
    """The process that trains, a child of the job's controller, once it can take a preemption signal."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for child in Path(f"/proc/{controller}/task/{controller}/children").read_text().split():
            status = Path(f"/proc/{child}/status").read_text()
            if int(status.split("SigCgt:")[1].split()[0], 16) >> (signal.SIGUSR2 - 1) & 1:
                return int(child)
        time.sleep(0.02)
    raise AssertionError("the job never started")


class Struck(SlurmFleet):
    """Sends a signal to the first job it submits."""

    def __init__(self, slurm: Slurm, strike: int) -> None:
        super().__init__(slurm, DATA)
        self.strike = strike
        self.jobs: list[str] = []

    def submit(self, chunks):
        jobs = super().submit(chunks)
        if not self.jobs:
            os.kill(task_of(jobs[0].job_id), self.strike)
        self.jobs += [job.job_id for job in jobs]
        return jobs


def long_block() -> Block:
    """Long enough to be struck while it trains."""
    return Block(Condition("plain", {}, config(steps=3000)), 0, 2, 3, "cpu")


@pytest.mark.parametrize(("strike", "jobs"), [(signal.SIGKILL, 2), (signal.SIGUSR2, 1)], ids=["killed", "preempted"])
def test_a_job_that_is_stopped_is_done_again(tmp_path, strike, jobs):
    """Killed, it is sent again; preempted, it puts itself back into the queue under the same id."""
    fleet = Struck(here(tmp_path), strike)
    block = long_block()
    got = list(run_on(fleet, taking([block]), 1, 1, print))
    assert len(fleet.jobs) == jobs
    assert_same(got[0][1], expected([block])[0])


def test_an_error_of_the_block_itself_comes_back_as_its_cause(tmp_path):
    broken = Condition("plain", {}, config() | {"model": {**config()["model"], "activation": "no such"}})
    fleet = SlurmFleet(here(tmp_path), DATA)
    ((_, outcome),) = run_on(fleet, taking([Block(broken, 0, 2, 3, "cpu")]), 1, 1, print)
    assert isinstance(outcome, Failure)
    assert "no such" in outcome.cause


def test_a_machine_without_slurm_is_told_so(tmp_path):
    with pytest.raises(RequestError, match=r"executor\.slurm\.cluster=slurm"):
        SlurmFleet(Slurm(folder=str(tmp_path)), DATA)


def test_a_job_begins_anew_at_its_checkpoint():
    job = ChunkJob(tuple(blocks(1)), DATA)
    assert job.checkpoint().function is job
