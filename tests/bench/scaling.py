"""Cost and memory against the number of replicates, and one replicate beside the plain loop.

``python -m tests.bench.scaling --out results/benchmarks/scaling.json``
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench import memory, targets
from tests.bench.compare import export
from tests.bench.environment import command, environment, write
from tests.bench.figures import processor_share, rates, ratios, significant, summary
from tests.bench.measure import ONE_THREAD, ROOT, Contestant, alternate
from tests.bench.workloads import WORKLOADS

REPLICATES = (1, 2, 4, 8, 16, 32, 64, 128)
PATHS = ("native", "eager")
#: Networks and blocks whose memory is measured; the wide and the deep one on 10,000 images.
MEASURED = [
    *((path, "digits", count) for path in PATHS for count in REPLICATES),
    *(("native", "wide", count) for count in (8, 32, 128)),
    *(("eager", "wide", count) for count in (8, 32)),
    *(("native", "deep", count) for count in (8, 32)),
    ("eager", "deep", 8),
]
#: Smaller blocks hold less than what the data take while they are made.
JUDGED_FROM = 8

WHAT = (
    "Digits, 64-32-10, batch 64, one thread; memory also of the wide and deep workloads of compare, on 10,000 images. "
    "Cost: the engine's clock train_seconds per replicate-step, the loop's wall time of training. "
    "Memory: growth of the resident set over one block of 100 steps, in a fresh process for each point, from before the call of "
    "train_block to the highest point in it, beside what suite/training/memory.py predicts for the same path. The C library is told "
    "to give freed memory back, so that what is resident is what is held."
)


def steps_for(replicates: int) -> int:
    """Enough steps for a steady figure, few enough for many rounds."""
    return max(100, 1500 // replicates)


def measure_speed(rounds: int) -> dict[str, Any]:
    """Seconds per replicate-step of ours at every R and of the loop at R = 1, in the same rounds."""
    with tempfile.TemporaryDirectory() as folder, Contestant("ours", "ours") as ours, Contestant("loop", "loop") as loop:
        export(WORKLOADS["digits"], None, Path(folder))
        job = {"workload": "digits", "folder": folder, "examples": None}
        calls = [(loop, "1"), *((ours, str(count)) for count in REPLICATES)]
        for contestant, count in calls:
            contestant.prepare(count, **job, replicates=int(count), steps=steps_for(int(count)))
        timed = alternate(calls, rounds)
    return assess_speed(timed)


def assess_speed(timed: dict[tuple[str, str], dict[str, list[float]]]) -> dict[str, Any]:
    """``timed``: {(contestant, R): {clock: seconds}}."""
    rows, speed = [], {}
    for (contestant, count), readings in timed.items():
        replicates = int(count)
        seconds = summary(readings["seconds"])
        speed[contestant, count] = rates(replicates * steps_for(replicates), seconds)
        rows.append(
            {
                "contestant": contestant,
                "replicates": replicates,
                "steps": steps_for(replicates),
                "seconds": seconds,
                "microseconds_per_replicate_step": {kind: significant(1e6 / rate) for kind, rate in speed[contestant, count].items()},
                "processor_share": processor_share(readings),
            }
        )
    alone = ratios(speed["ours", "1"], speed["loop", "1"])
    return {"rows": rows, "ours / loop at R = 1": alone, "targets": [targets.ALONE.check(alone["minimum"])]}


def measure_memory() -> dict[str, Any]:
    """One fresh process for each block."""
    points = []
    for path, workload, count in MEASURED:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.memory", workload, str(count), path],
            cwd=ROOT,
            env={**os.environ, **ONE_THREAD, **memory.ENVIRONMENT, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        points.append(json.loads(done.stdout))
    return assess_memory(points)


def assess_memory(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``points``: workload, replicates, path, growth in bytes and predicted terms. The target is on the worst of the blocks it names."""
    rows = []
    for point in points:
        predicted = sum(point["terms"].values())
        row = {
            "workload": point["workload"],
            "path": point["path"],
            "replicates": point["replicates"],
            "measured_bytes": point["growth"],
            "predicted_bytes": predicted,
        }
        rows.append(row | {"off": significant(point["growth"] / predicted - 1), "terms": point["terms"]})
    worst = max(abs(row["measured_bytes"] / row["predicted_bytes"] - 1) for row in rows if row["replicates"] >= JUDGED_FROM)
    return {"rows": rows, "targets": [targets.MEMORY.check(worst)]}


def main(arguments: Sequence[str]) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scaling", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/scaling.json"))
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args(arguments)
    started = environment()
    body = {"speed": measure_speed(options.rounds), "memory": measure_memory()}
    write(options.out, WHAT, command("tests.bench.scaling", arguments), started, body)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
