"""What a study would do, without doing it: conditions, blocks, steps, detectable effects, and a measured estimate of time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from suite.config.choices import STARTS_LATER
from suite.config.numeric import Numeric
from suite.config.schema import Settings
from suite.data import Dataset
from suite.execution.timed import shortened
from suite.inference.power import detectable_effect, identical_reach
from suite.study.estimate import Demand, demand
from suite.study.plan import data_key, engine_line
from suite.study.timed import timed_line
from suite.training.engine import network_of, train_block
from suite.training.memory import block_bytes, predictable
from suite.training.paths import path_of
from suite.vocabulary import Block, Condition, Plan

#: Steps and evaluations of the sample that is timed for the estimate.
SAMPLE_STEPS = 5


def block_seconds(block: Block, dataset: Dataset) -> float:
    """Estimated seconds of one block: a few steps and two evaluations of it are run and scaled up."""
    numeric = Numeric.of(block.condition.config)
    steps = min(SAMPLE_STEPS, numeric.train.steps)
    # what torch loads at the first use of anything is no part of a block's cost
    train_block(shortened(block, 1), dataset)
    began = time.perf_counter()
    # the steps before a kill cost what other steps cost; they are added below, not run
    trace = train_block(shortened(block, SAMPLE_STEPS), dataset)
    wall = time.perf_counter() - began
    evaluations = len(trace.steps)
    step = trace.timings["train_seconds"] / max(steps, 1)
    watching = trace.timings["evaluate_seconds"] + trace.timings["probe_seconds"]
    evaluation = watching / max(evaluations, 1)
    rest = max(wall - trace.timings["train_seconds"] - watching, 0.0)
    prelude = numeric.start.after if numeric.start.name in STARTS_LATER else 0
    full = numeric.train.steps // numeric.probes.every + 2
    return rest + step * (numeric.train.steps + prelude) + evaluation * full


def _memory(block: Block, dataset: Dataset) -> str:
    """What a block holds at its highest point, besides libraries; a dash where that is not known beforehand."""
    numeric = Numeric.of(block.condition.config)
    if not predictable(numeric):
        return "-"
    net = network_of(numeric, dataset)
    terms = block_bytes(numeric, net, len(dataset.train_x), len(dataset.test_x), block.count, path_of(numeric, net, block.device))
    return f"{sum(terms.values()) / 1e6:.0f} MB"


def show_dry_run(
    plan: Plan,
    blocks: Sequence[Block],
    datasets: Mapping[str, Dataset],
    settings: Settings,
    console: Console,
    asked: Sequence[Condition] = (),
) -> None:
    """Print the table. One block of every condition is sampled for the estimate; nothing is written. ``asked`` are the conditions as
    they were requested.
    """
    table = Table(title=f"{plan.scenario}: what would run", title_justify="left")
    for column in ("condition", "blocks", "replicates", "steps", "evaluations", "memory/block", "about"):
        table.add_column(column, justify="left" if column == "condition" else "right")
    each: dict[str, float] = {}
    for condition in plan.conditions:
        mine = [block for block in blocks if block.condition is condition]
        numeric = Numeric.of(condition.config)
        each[condition.name] = block_seconds(mine[0], datasets[data_key(numeric)]) / mine[0].count
        table.add_row(
            condition.name,
            str(len(mine)),
            str(plan.replicates),
            str(numeric.train.steps),
            str(numeric.train.steps // numeric.probes.every + 1),
            _memory(mine[0], datasets[data_key(numeric)]),
            f"{each[condition.name] * plan.replicates:.1f} s",
        )
    console.print(table)
    _print_demand(plan, demand(plan, blocks, each, datasets, settings), len(blocks), console)
    console.print(engine_line(plan, asked, settings.executor.data_parallel), highlight=False, soft_wrap=True)
    if settings.executor.data_parallel > 1:
        console.print("times and memory are those of one process with the whole of every batch", highlight=False, soft_wrap=True)
    if plan.timed:
        console.print(timed_line(plan, settings.executor), highlight=False, soft_wrap=True)
    inferred = sum(hypothesis.test != "exact" for hypothesis in plan.hypotheses)
    if inferred:
        level, n = plan.confidence, plan.replicates // (plan.block_size or 1)
        console.print(
            f"with {n} {'blocks' if plan.timed else 'replicates'}: a mean is found with 80 % power from "
            f"{detectable_effect('mean', n, level, inferred):.2f} standard deviations; identical shares are told from a "
            f"threshold {identical_reach(n, level, inferred):.3f} or farther away",
            highlight=False,
        )
    if plan.exploratory:
        console.print(f"exploratory: the command line changes the registered design ({', '.join(plan.deviations)})", highlight=False)


def _print_demand(plan: Plan, needed: Demand, blocks: int, console: Console) -> None:
    cached = "" if plan.timed else ", less what is cached"
    workers, schedule = needed.workers, needed.schedule
    console.print(
        f"{len(plan.conditions)} conditions, {blocks} blocks, {len(plan.hypotheses)} hypotheses, data {', '.join(plan.data)}; "
        f"about {schedule.makespan:.0f} s on {plan.device}{cached}: {workers} worker{'s' * (workers > 1)} busy "
        f"{schedule.workers_busy:.0%} of it, this process {schedule.parent_busy:.1%}; {needed.trace_bytes / 1e6:.1f} MB of curves and "
        f"final values, held here and on disk; up to {needed.mlflow_rows} rows in MLflow",
        highlight=False,
        soft_wrap=True,
    )
