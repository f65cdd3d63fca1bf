"""Blocks in one and in two worker processes, beside the simulated schedule; and what a finished block costs to store and find.

``python -m tests.bench.workers --out results/benchmarks/workers.json``
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from suite.config.schema import Executor
from suite.execution import execute
from suite.execution.order import largest_first
from suite.execution.simulate import simulate
from suite.record import cache
from suite.vocabulary import Block, Trace
from tests.bench.engine import block_of
from tests.bench.environment import command, environment, write
from tests.bench.figures import significant, summary
from tests.bench.workloads import WORKLOADS

WHAT = (
    "Digits, 64-32-10, batch 64, blocks of 64 replicates, of two lengths. `serial` trains them in this process; the others in worker "
    "processes that are started anew. Starting a worker is what one worker takes beyond the blocks; with it, and the serial times of the "
    "blocks, the schedule on two workers is simulated and set beside what two workers take. Rounds alternate."
)
#: Steps of the blocks: long ones among short ones, so that the order matters.
STEPS = (30000, 10000, 10000, 10000, 10000, 10000)


def blocks() -> list[Block]:
    """The same condition, by length."""
    return [block_of(WORKLOADS["digits"], 64, steps) for steps in STEPS]


def run(executor: Executor) -> tuple[float, list[float], list[Trace]]:
    """Seconds of the whole, seconds between blocks, and the traces."""
    left = largest_first(blocks())
    marks, traces = [time.perf_counter()], []
    for _, trace in execute(lambda: left.pop(0) if left else None, len(STEPS), executor, "data", lambda *unused: None, print):
        marks.append(time.perf_counter())
        assert isinstance(trace, Trace)
        traces.append(trace)
    return marks[-1] - marks[0], [b - a for a, b in itertools.pairwise(marks)], traces


def storing(trace: Trace, times: int = 20) -> tuple[float, float]:
    """Median seconds to store a block and to find it again."""
    stored, found = [], []
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for number in range(times):
            began = time.perf_counter()
            cache.store(Path(folder), f"{number:064x}", trace)
            between = time.perf_counter()
            assert cache.load(Path(folder), f"{number:064x}", print) is not None
            stored.append(between - began)
            found.append(time.perf_counter() - between)
    return median(stored), median(found)


def measure(rounds: int) -> dict[str, Any]:
    """Everything, in ``rounds`` rounds."""
    seconds: dict[str, list[float]] = {"serial": [], "one worker": [], "two workers": [], "two workers, simulated": []}
    trace = None
    for _ in range(rounds):
        whole, each, traces = run(Executor("serial"))
        trace = traces[0]
        one, _, _ = run(Executor("local", workers=1))
        two, _, _ = run(Executor("local", workers=2))
        start = max(one - whole, 0.0)
        seconds["serial"].append(whole)
        seconds["one worker"].append(one)
        seconds["two workers"].append(two)
        seconds["two workers, simulated"].append(simulate(each, 2, start).makespan)
    assert trace is not None
    stored, found = storing(trace)
    least = {name: min(values) for name, values in seconds.items()}
    rows = [{"run": name, "seconds": summary(values)} for name, values in seconds.items()]
    start = least["one worker"] - least["serial"]
    return {
        "rounds": rounds,
        "rows": rows,
        "figures": {
            "seconds to start a worker": significant(start),
            "serial / two workers": significant(least["serial"] / least["two workers"]),
            "serial / two workers, starting left out": significant(least["serial"] / (least["two workers"] - start)),
            "simulated / measured, two workers": significant(least["two workers, simulated"] / least["two workers"]),
            "milliseconds to store a block of 64 replicates": significant(1e3 * stored),
            "milliseconds to find it again": significant(1e3 * found),
        },
    }


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    started = environment()
    write(options.out, WHAT, command("tests.bench.workers", arguments), started, measure(options.rounds))


if __name__ == "__main__":
    main(sys.argv[1:])
