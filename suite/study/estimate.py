"""What a study will take of a machine: time by simulating how its blocks are handed out, disk, memory and MLflow rows by counting."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from suite.config.numeric import Numeric
from suite.config.schema import Settings
from suite.data import Dataset
from suite.execution.order import largest_first, places
from suite.execution.simulate import Schedule, simulate
from suite.probes import registry
from suite.study.plan import data_key
from suite.tracking.mirror import BANDED
from suite.training.engine import layout_of
from suite.vocabulary import Block, Plan

VALUE_BYTES = 8
#: Of a worker process or a job before its first block: Python, torch, the dataset. Seconds.
START_SECONDS = 4.0
#: Of this process per block, received and stored: so long for any, and so many bytes in a second. Measured on a laptop-class disk
#: (blocks of 0.2 to 18 MB: 3 ms and 66 MB/s); on a network file system expect less.
HANDLING_SECONDS = 0.003
HANDLING_BYTES_PER_SECOND = 60e6


@dataclass(frozen=True)
class Demand:
    """``schedule`` on ``workers``; bytes of all blocks together, which is what the cache takes on disk and what this process
    holds when it decides; and rows in MLflow.
    """

    workers: int
    schedule: Schedule
    trace_bytes: int
    mlflow_rows: int


def workers_of(plan: Plan, settings: Settings) -> int:
    """How many blocks are worked on at once."""
    executor = settings.executor
    if executor.name == "serial" or plan.timed:
        return 1
    if executor.name == "local":
        return len(places(executor, plan.device, os.cpu_count() or 1))
    return executor.in_flight


def demand(
    plan: Plan, blocks: Sequence[Block], seconds: Mapping[str, float], datasets: Mapping[str, Dataset], settings: Settings
) -> Demand:
    """Of a plan whose conditions take ``seconds`` for each replicate."""
    counts = {condition.name: values_per_replicate(Numeric.of(condition.config), datasets) for condition in plan.conditions}
    size = {name: VALUE_BYTES * (points * curves + summaries) for name, (points, curves, summaries, _) in counts.items()}
    total = sum(size[block.condition.name] * block.count for block in blocks)
    workers = workers_of(plan, settings)
    ordered = list(blocks) if settings.executor.name == "serial" else largest_first(blocks)
    schedule = simulate(
        [seconds[block.condition.name] * block.count for block in ordered],
        workers,
        start=START_SECONDS if settings.executor.name != "serial" else 0.0,
        handling=HANDLING_SECONDS + total / len(blocks) / HANDLING_BYTES_PER_SECOND,
    )
    series = plan.replicates if settings.tracking.runs == "replicates" else 0
    rows = sum(
        points * (curves + 2 * banded) + summaries + series * (points * curves + summaries)
        for points, curves, summaries, banded in counts.values()
    )
    return Demand(workers, schedule, total, rows if settings.tracking.enabled else 0)


def values_per_replicate(numeric: Numeric, datasets: Mapping[str, Dataset]) -> tuple[int, int, int, int]:
    """Points of a curve, curves, summaries beside them, and curves that get a band in MLflow."""
    probes = registry.build(numeric.probes, layout_of(numeric, datasets[data_key(numeric)]))
    curves = [name for probe in probes for name in probe.columns()]
    summaries = sum(len(probe.summaries()) for probe in probes)
    points = -(-numeric.train.steps // numeric.probes.every) + 1
    return points, len(curves), summaries, sum(name in BANDED for name in curves)
