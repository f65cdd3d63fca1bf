"""The window of jobs in flight, on a fleet that is only pretended, so that every order of events can be chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from small_blocks import blocks, taking

from suite.execution.attempt import Failure
from suite.execution.fleet import ATTEMPTS, Chunk, JobLostError, Result, run_on
from suite.vocabulary import Trace


class Pretended:
    """Ends jobs last in, first out; loses those named by the first replicate, so many times each."""

    def __init__(self, lost: dict[int, int] | None = None) -> None:
        self.lost = dict(lost or {})
        self.running: dict[int, Chunk] = {}
        self.most = 0
        self.sent: list[int] = []
        self.cancelled: list[int] | None = None
        self.ended: dict[int, Chunk] = {}

    def submit(self, chunks: Sequence[Chunk]) -> list[int]:
        handles = []
        for chunk in chunks:
            handle = len(self.sent)
            self.sent.append(chunk[0].first)
            self.running[handle] = chunk
            handles.append(handle)
        self.most = max(self.most, len(self.running))
        return handles

    def wait(self, handles: Sequence[int]) -> list[int]:
        assert sorted(handles) == sorted(self.running)
        last = max(handles)
        self.ended[last] = self.running.pop(last)
        return [last]

    def result(self, handle: int) -> list[Result]:
        chunk = self.ended[handle]
        first = chunk[0].first
        if self.lost.get(first, 0):
            self.lost[first] -= 1
            raise JobLostError("killed")
        return [(Trace("plain", block.first, np.arange(2), {}, {}, np.full(2, -1), {}), [f"did {block.first}"]) for block in chunk]

    def close(self, unfinished: Sequence[int]) -> None:
        self.cancelled = list(unfinished)


def test_every_block_comes_back_once_with_its_own_trace_and_never_too_many_are_under_way():
    fleet, some, told = Pretended(), blocks(11), []
    got = list(run_on(fleet, taking(some), 3, 2, told.append))
    assert sorted(block.first for block, _ in got) == [block.first for block in some]
    assert all(block.first == trace.first for block, trace in got)
    assert fleet.most == 3
    assert len(fleet.sent) == 6
    assert fleet.cancelled == []
    assert sorted(told) == sorted(f"did {block.first}" for block in some)


def test_a_lost_job_is_sent_again_but_not_for_ever_and_the_rest_goes_on():
    fleet, told = Pretended(lost={2: ATTEMPTS - 1}), []
    assert all(isinstance(outcome, Trace) for _, outcome in run_on(fleet, taking(blocks(3)), 2, 1, told.append))
    assert fleet.sent.count(2) == ATTEMPTS
    assert sum("replicates 2 to 3: its job was lost (killed); sent again" in line for line in told) == ATTEMPTS - 1
    hopeless = Pretended(lost={2: ATTEMPTS})
    outcomes = {block.first: outcome for block, outcome in run_on(hopeless, taking(blocks(3)), 2, 1, told.append)}
    assert isinstance(outcomes[2], Failure)
    assert f"lost {ATTEMPTS} times" in outcomes[2].cause
    assert isinstance(outcomes[0], Trace) and isinstance(outcomes[4], Trace)


def test_what_still_runs_is_cancelled_when_the_study_stops():
    fleet = Pretended()
    going = run_on(fleet, taking(blocks(5)), 4, 1, print)
    next(going)
    going.close()
    assert fleet.cancelled is not None
    assert len(fleet.cancelled) == 3
