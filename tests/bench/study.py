"""A whole study from the command line, where its time goes, and what the same seeds cost as a Hydra multirun with MLflow.

``python -m tests.bench.study --out results/benchmarks/study.json``
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
from tests.bench.figures import significant, summary
from tests.bench.measure import ONE_THREAD, ROOT, with_bytecode

APP = ROOT / "tests" / "bench" / "rivals" / "hydra_multirun" / "app.py"
#: Two lengths of multirun, whose difference is seeds alone, without start-up and without creating the database.
FEW, MORE = 2, 6
#: As many commands of one seed each, one after the other on the same database.
ONE, THREE = "one process", "three processes"
SUITE = (sys.executable, "-m", "suite")
SCENARIO = "+scenario=born_dead"

COMMANDS: dict[str, tuple[str, ...]] = {
    "study": (*SUITE, SCENARIO, "quiet=true"),
    "study, tracking off": (*SUITE, SCENARIO, "quiet=true", "tracking=off"),
    "imports": (sys.executable, "-c", "import hydra, suite.config.compose, suite.study.run"),
    "list": SUITE,
    f"multirun of {FEW}": (sys.executable, str(APP), "-m", f"seed=range({FEW})"),
    f"multirun of {MORE}": (sys.executable, str(APP), "-m", f"seed=range({MORE})"),
    ONE: (sys.executable, str(APP), "seed=0"),
    THREE: ("sh", "-c", f"for seed in 0 1 2; do '{sys.executable}' '{APP}' seed=$seed || exit 1; done"),
}

WHAT = (
    "Wall times of whole commands, each in an empty folder, one thread, in alternating rounds; Python finds the bytecode that an untimed "
    "run has left. The parts of the study come from "
    "subtraction of minima: MLflow = study - study with tracking=off; imports = a process that imports what a study does; training, probes "
    "and evaluation = the engine's clocks in the record of the fastest untracked study; record and report = the rest of that study, "
    "composing and deciding included. MLflow is written by a process of its own that starts while the study trains, so its part is "
    "what the user waits for; a negative part is noise. The rival: a Hydra application that logs every step to MLflow in SQLite, with one "
    "process per seed, as Hydra's launchers start them; its cost per seed-run is extrapolated: the difference between three such commands "
    "and one, over two, so that creating the database is left out in its favour. Beside it, without a target, the same application as a "
    "multirun whose seeds share one process, by the difference between two lengths over the difference in seeds."
)


def run(arguments: Sequence[str], cached: str) -> tuple[float, dict[str, float]]:
    """Wall time in a fresh folder, and the engine's clocks summed over conditions where a record was left.

    Raises CalledProcessError where the command fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        variables = with_bytecode({**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}, cached)
        variables.pop("MLFLOW_TRACKING_URI", None)
        began = time.perf_counter()
        subprocess.run(arguments, cwd=folder, env=variables, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wall = time.perf_counter() - began
        left = Path(folder) / "results" / "born_dead" / "timings.json"
        return wall, clocks_of(json.loads(left.read_text(encoding="utf-8"))) if left.is_file() else {}


def clocks_of(timings: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The engine's clocks of a record, in seconds, summed over conditions."""
    names = {"training": "train_seconds", "probes": "probe_seconds", "evaluation": "evaluate_seconds"}
    return {name: sum(condition.get(key, 0.0) for condition in timings.values()) for name, key in names.items()}


def assess(walls: Mapping[str, Sequence[float]], engine: Mapping[str, float], seed_runs: int) -> dict[str, Any]:
    """``walls``: {command: seconds of each round}; ``engine``: clocks of the least untracked study."""
    least = {name: min(seconds) for name, seconds in walls.items()}
    whole, untracked, imports = least["study"], least["study, tracking off"], least["imports"]
    parts = {"imports": imports, **engine, "record and report": untracked - imports - sum(engine.values()), "MLflow": whole - untracked}
    per_seed = {
        "ours": whole / seed_runs,
        "multirun (extrapolated)": (least[f"multirun of {MORE}"] - least[f"multirun of {FEW}"]) / (MORE - FEW),
        "a process per seed (extrapolated)": (least[THREE] - least[ONE]) / 2,
    }
    rival = per_seed["a process per seed (extrapolated)"]
    return {
        "seconds": {name: summary(seconds) for name, seconds in walls.items()},
        "seed_runs": seed_runs,
        "parts_seconds": {name: significant(value) for name, value in parts.items()},
        "parts_share": {name: significant(value / whole, 3) for name, value in parts.items()},
        "seconds_per_seed_run": {name: significant(value) for name, value in per_seed.items()},
        "extrapolated_rival_study_seconds": significant(rival * seed_runs),
        "targets": [
            targets.STUDY.check(rival / per_seed["ours"]),
            targets.VERDICT.check(whole),
            targets.LIST.check(least["list"]),
        ],
    }


def seed_runs_of_study() -> int:
    """Conditions times replicates of the study, as the scenario stands."""
    import yaml

    scenario = yaml.safe_load((ROOT / "scenarios" / "born_dead.yaml").read_text(encoding="utf-8"))
    settings = yaml.safe_load((ROOT / "conf" / "config.yaml").read_text(encoding="utf-8"))
    return len(scenario["scenario"]["conditions"]) * int(scenario.get("replicates", settings["replicates"]))


def main(arguments: Sequence[str]) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.study", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/study.json"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    started = environment()
    walls: dict[str, list[float]] = {name: [] for name in COMMANDS}
    engine: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as cached:
        for name in (name for name in COMMANDS if name not in (THREE, f"multirun of {MORE}")):
            run(COMMANDS[name], cached)  # untimed: leaves the bytecode
        for name, arguments_of_command in list(COMMANDS.items()) * options.rounds:
            wall, clocks = run(arguments_of_command, cached)
            if name == "study, tracking off" and wall < min(walls[name], default=float("inf")):
                engine = clocks
            walls[name].append(wall)
    write(options.out, WHAT, command("tests.bench.study", arguments), started, assess(walls, engine, seed_runs_of_study()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
