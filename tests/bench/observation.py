"""What observing costs: the probes of each tier beside a run that is observed only at its start and its end.

``python -m tests.bench.observation --out results/benchmarks/observation.json``
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suite.config.schema import Probes
from tests.bench import targets
from tests.bench.environment import command, environment, write
from tests.bench.figures import processor_share, significant, summary
from tests.bench.measure import Contestant, alternate
from tests.bench.workloads import WORKLOADS

REPLICATES, EVERY = 32, Probes().every
TIERS = ("economy", "default", "full")

WHAT = (
    f"Digits, 64-32-10, batch 64, R = 32, one thread; every tier observed every {EVERY} steps, the default, beside `none`: tier "
    "economy at the start and the end only. `training`, `probes` and `evaluation` are the engine's clocks train_seconds, probe_seconds and "
    "evaluate_seconds, `wall` the whole call of train_block; of each the minimum of the rounds. Shares are of the training time of `none`."
)


def assess(timed: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """``timed``: {none or a tier: {clock: seconds}}."""
    base = min(timed["none"]["seconds"])
    rows = {}
    for tier, readings in timed.items():
        least = {"training": min(readings["seconds"])} | {clock: min(readings[clock]) for clock in ("probes", "evaluation", "wall")}
        rows[tier] = {
            "seconds": {clock: significant(value) for clock, value in least.items()},
            "training_rounds": summary(readings["seconds"])["rounds"],
            "share_of_training": {clock: significant(value / base) for clock, value in least.items()},
            "processor_share": processor_share(readings),
        }
    return {"tiers": rows, "targets": [targets.PROBES.check(rows["default"]["share_of_training"]["probes"])]}


def main(arguments: Sequence[str]) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.observation", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/observation.json"))
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args(arguments)
    started = environment()
    job = {"workload": "digits", "replicates": REPLICATES, "steps": WORKLOADS["digits"].steps, "examples": None}
    with Contestant("ours", "ours") as ours:
        ours.prepare("none", **job)
        for tier in TIERS:
            ours.prepare(tier, **job, tier=tier, every=EVERY)
        timed = alternate([(ours, key) for key in ("none", *TIERS)], options.rounds)
    body = assess({key: readings for (_, key), readings in timed.items()})
    write(options.out, WHAT, command("tests.bench.observation", arguments), started, body)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
