"""The simulated schedule, against what can be worked out by hand and against the bounds every schedule obeys."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.execution.simulate import simulate


def test_equal_blocks_without_costs_take_whole_rounds():
    schedule = simulate([2.0] * 7, workers=3)
    assert schedule.makespan == 3 * 2.0
    assert schedule.workers_busy == pytest.approx(14 / 18)
    assert schedule.parent_busy == 0


def test_a_long_block_handed_out_last_runs_alone():
    assert simulate([1, 1, 1, 1, 8], workers=4).makespan == 9
    assert simulate([8, 1, 1, 1, 1], workers=4).makespan == 8


def test_the_parent_becomes_the_bottleneck():
    """A thousand workers cannot be served faster than one block per handling time."""
    schedule = simulate([1.0] * 5000, workers=1000, handling=0.01)
    assert schedule.makespan == pytest.approx(1.0 + 5000 * 0.01, rel=0.03)
    assert schedule.parent_busy > 0.97
    assert schedule.workers_busy < 0.11


def test_starting_is_paid_once_per_worker():
    assert simulate([1.0] * 4, workers=2, start=3.0).makespan == 5.0


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40), st.integers(1, 12), st.floats(0, 5), st.floats(0, 1))
def test_every_schedule_lies_between_the_bounds_of_list_scheduling(seconds, workers, start, handling):
    """Graham 1969: at least the mean load and the longest block, at most the mean load plus the longest block."""
    makespan = simulate(seconds, workers, start, handling).makespan
    mean, longest = math.fsum(seconds) / workers, max(seconds)
    slack = 1e-9 * (1 + makespan)
    assert makespan >= max(mean, longest, len(seconds) * handling) - slack
    assert makespan <= start + mean + longest + len(seconds) * handling + slack


def test_wrong_machines():
    with pytest.raises(ValueError, match="must be a worker"):
        simulate([1.0], workers=0)
