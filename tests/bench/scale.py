"""Ten thousand replicates of a thousand conditions on machines nobody here has, by simulation: prints the table of docs/scale.md.

``python -m tests.bench.scale``
"""

from __future__ import annotations

from dataclasses import dataclass

from suite.config.schema import Probes
from suite.execution.simulate import simulate
from suite.study.estimate import HANDLING_BYTES_PER_SECOND, HANDLING_SECONDS, START_SECONDS, VALUE_BYTES

CONDITIONS, REPLICATES, STEPS = 1000, 10_000, 300
#: Curves and summaries of the default tier on one hidden layer.
CURVES, SUMMARIES = 40, 6


@dataclass(frozen=True)
class Machine:
    """``rate``: replicate-steps per second of one worker, observation included."""

    name: str
    workers: int
    rate: float
    block: int


MACHINES = (
    Machine("1 core", 1, 1e5, 64),
    Machine("64 cores", 64, 1e5, 64),
    Machine("1,024 cores", 1024, 1e5, 64),
    Machine("8 GPUs", 8, 2e6, 2500),
    Machine("64 GPUs", 64, 2e6, 2500),
    Machine("64 GPUs, ten times as fast", 64, 2e7, 2500),
)


def row(machine: Machine, points: int) -> tuple[str, ...]:
    """One line of the table."""
    blocks = CONDITIONS * -(-REPLICATES // machine.block)
    values = machine.block * (CURVES * points + SUMMARIES)
    handling = HANDLING_SECONDS + VALUE_BYTES * values / HANDLING_BYTES_PER_SECOND
    schedule = simulate([machine.block * STEPS / machine.rate] * blocks, machine.workers, START_SECONDS, handling)
    total = VALUE_BYTES * CONDITIONS * REPLICATES * (CURVES * points + SUMMARIES)
    return (
        machine.name,
        str(points),
        f"{blocks:,}",
        f"{schedule.makespan / 60:,.1f} min",
        f"{schedule.workers_busy:.0%}",
        f"{schedule.parent_busy:.0%}",
        f"{total / 1e9:.1f} GB",
    )


def table() -> str:
    """With curves on the default schedule, and with both ends only."""
    head = ("machine", "points per curve", "blocks", "time", "workers busy", "parent busy", "curves and finals")
    lines = [head, ("---",) * len(head)]
    lines += [row(machine, points) for machine in MACHINES for points in (STEPS // Probes().every + 1, 2)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    print(table(), end="")
