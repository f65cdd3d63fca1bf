"""What surrounds the training of default studies: record, report and MLflow, the executor, and resuming.

``python -m tests.bench.overhead --out results/benchmarks/overhead.json``
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench import targets
from tests.bench.environment import command, environment, write
from tests.bench.figures import significant
from tests.bench.measure import ONE_THREAD, ROOT, with_bytecode
from tests.bench.study import clocks_of

#: The shortest study and three ordinary ones.
STUDIES = ("born_dead", "natural_death", "momentum", "batchnorm")
#: What the target bounds.
AFTERWARDS = ("record", "report", "MLflow")
PHASES = ("start and composing", "imports", "data and plan", "training", "deciding", *AFTERWARDS)

WHAT = (
    "Default studies as the command runs them, each in an empty folder with a new SQLite store, then once more in the same folder, where "
    "all blocks are finished: that is resuming. One thread; Python finds its bytecode. Clocks around the phases give wall time, which is "
    "what the user waits for, and processor time. MLflow is written by a process of its own that starts with the study and works beside "
    "it: its wall time is what the study waits for, its processor time all of it, importing MLflow and making the store included. What a "
    "phase alone imports is part of it. The executor's overhead is the wall time of training less the engine's clocks (training, probes, "
    "evaluation), over the blocks: handing out, leases, building the network, storing the block. Of several rounds the one with the least "
    "processor time in all is shown, every figure from that one."
)


def run(study: str, folder: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """One run of a study in a folder: ``wall``, ``processor``, and [wall, processor] seconds by phase; ``engine``, the engine's clocks.

    Raises CalledProcessError where it fails, but for an invalid study, which is one all the same.
    """
    out = folder / "phases.json"
    line = [sys.executable, "-m", "tests.bench.phases", str(out), f"+scenario={study}", "quiet=true"]
    began = time.perf_counter()
    done = subprocess.run(line, cwd=folder, env=dict(variables), check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    if done.returncode not in (0, 3):
        raise subprocess.CalledProcessError(done.returncode, line)
    found = json.loads(out.read_text(encoding="utf-8"))
    timings = json.loads((folder / "results" / study / "timings.json").read_text(encoding="utf-8"))
    return {**found, "wall": wall, "engine": sum(clocks_of(timings).values())}


def rounds(study: str, count: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(fresh, resumed) of every round."""
    found = []
    with tempfile.TemporaryDirectory() as cached:
        variables = with_bytecode({**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}, cached)
        variables.pop("MLFLOW_TRACKING_URI", None)
        for number in range(count + 1):
            with tempfile.TemporaryDirectory() as folder:
                if number == 0:  # leaves the bytecode
                    short = [sys.executable, "-m", "suite", f"+scenario={study}", "replicates=2", "train.steps=2", "quiet=true"]
                    subprocess.run(short, cwd=folder, env=variables, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                else:
                    found.append((run(study, Path(folder), variables), run(study, Path(folder), variables)))
    return found


def assess(readings: Mapping[str, Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]]) -> dict[str, Any]:
    """``readings``: {study: (fresh, resumed) of each round}."""
    studies = {}
    for study, all_rounds in readings.items():
        fresh, resumed = min(all_rounds, key=lambda pair: pair[0]["processor"])
        studies[study] = {
            "rounds": len(all_rounds),
            "blocks": fresh["blocks"],
            **_phases(fresh),
            "share_of_wall": significant(_afterwards(fresh, 0) / fresh["wall"], 3),
            "share_of_processor": significant(_afterwards(fresh, 1) / fresh["processor"], 3),
            "executor_milliseconds_per_block": significant(1e3 * (fresh["seconds"]["training"][0] - fresh["engine"]) / fresh["blocks"], 3),
            "resumed": {
                **_phases(resumed),
                "milliseconds_per_block": significant(1e3 * resumed["seconds"]["training"][0] / resumed["blocks"], 3),
                "share_of_fresh": significant(resumed["wall"] / fresh["wall"], 3),
            },
        }
    return {"studies": studies, "targets": [targets.mirror(name).check(found["share_of_wall"]) for name, found in studies.items()]}


def _afterwards(reading: Mapping[str, Any], clock: int) -> float:
    return float(sum(reading["seconds"].get(phase, (0.0, 0.0))[clock] for phase in AFTERWARDS))


def _phases(reading: Mapping[str, Any]) -> dict[str, Any]:
    """Wall and processor seconds by phase; what no clock saw is the start of Python and composing."""
    found = {}
    for clock, name in enumerate(("wall", "processor")):
        seconds = {phase: reading["seconds"].get(phase, (0.0, 0.0))[clock] for phase in PHASES}
        seconds["start and composing"] = reading[name] - sum(seconds.values())
        found[f"{name}_seconds"] = {"whole": significant(reading[name])} | {phase: significant(s, 3) for phase, s in seconds.items()}
    return found


def main(arguments: Sequence[str]) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.overhead", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/overhead.json"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--studies", nargs="+", default=STUDIES)
    options = parser.parse_args(arguments)
    started = environment()
    readings = {study: rounds(study, options.rounds) for study in options.studies}
    write(options.out, WHAT, command("tests.bench.overhead", arguments), started, assess(readings))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
