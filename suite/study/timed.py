"""What a study that reads clocks needs: blocks of one size, run in rounds that hold every condition once. Knows no clock."""

from __future__ import annotations

from collections.abc import Sequence

from suite.config.compose import StudyRequest
from suite.config.schema import Executor
from suite.vocabulary import TIMING, Condition, Plan, RequestError, is_timed

#: Tests that hold clocks of whole blocks against each other; an event of a single clock reading would be decided by noise.
TESTS = ("mean", "ratio", "exponent")


def timed_block_size(request: StudyRequest) -> int | None:
    """The block size of a study that reads clocks, None of any other. Raises RequestError where the design or the request does not
    allow clocks to be compared.
    """
    timed = any(TIMING in condition.config["probes"]["extra"] for condition in request.conditions)
    size, settings, origin = request.scenario.block_size, request.settings, request.origin
    if not timed:
        if size is not None:
            raise RequestError(f"{origin}: scenario.block_size={size} serves studies that read clocks; add {TIMING!r} to probes.extra")
        return None
    if size is None:
        raise RequestError(f"{origin}: probes.extra={TIMING} reads clocks, so the design must fix scenario.block_size, such as 8")
    if settings.replicates % size:
        near = max(round(settings.replicates / size), 1) * size
        raise RequestError(
            f"replicates={settings.replicates} does not divide into timed blocks of {size}, the size {origin} fixes; the nearest is {near}"
        )
    given = settings.executor.block_size
    if given not in (None, size):
        fixed = f"leave it out, {origin} fixes scenario.block_size={size}"
        raise RequestError(f"executor.block_size={given} would change what is timed; {fixed}")
    for hypothesis in request.scenario.hypotheses:
        clocks = [metric for metric in (hypothesis.metric, hypothesis.over) if metric is not None and is_timed(metric)]
        if clocks and hypothesis.test not in TESTS:
            raise RequestError(
                f"{origin}: hypothesis {hypothesis.name!r} puts the clock {clocks[0]!r} to test {hypothesis.test}, which a single "
                f"disturbance decides; use one of {', '.join(TESTS)}"
            )
    return size


def rounds(conditions: Sequence[Condition], replicates: int, size: int) -> list[tuple[Condition, int]]:
    """(condition, first replicate) of every block in the order they run: a round holds one range of replicates of every condition, and
    every other round goes backwards, so that a drift of the machine that is even over two rounds favours nobody.
    """
    order = []
    for number, first in enumerate(range(0, replicates, size)):
        order += [(condition, first) for condition in (conditions if number % 2 == 0 else reversed(conditions))]
    return order


def timed_line(plan: Plan, executor: Executor) -> str:
    """How the clocks are run, in one line."""
    assert plan.block_size is not None
    unused = f"; executor={executor.name} is not used" if executor.name != "serial" else ""
    return (
        f"timed: {plan.replicates // plan.block_size} rounds of {len(plan.conditions)} blocks of {plan.block_size} replicates, one block "
        f"at a time on one core, all of them now: clocks of another run, cached or interrupted, are never mixed in{unused}"
    )
