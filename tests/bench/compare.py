"""The engine beside a torch loop, JAX and the processor's peak, in alternating rounds.

``python -m tests.bench.compare --out results/benchmarks/engine.json``. Refuses to report where a rival does not train the same model.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench import targets
from tests.bench.agreement import STEPS, TOLERANCE, deviation, write_problem
from tests.bench.contestants import PEAK_FLOPS
from tests.bench.engine import block_of, dataset_of, path_taken
from tests.bench.environment import command, environment, version, write
from tests.bench.figures import STATISTICS, fastest, processor_seconds, processor_share, rates, ratios, significant, summary
from tests.bench.measure import JAX_ONE_THREAD, ONE_THREAD, Contestant, alternate, clocks
from tests.bench.workloads import WORKLOADS, Workload

REPLICATES = 32
#: The loop's cost is per network, so its rate is taken from fewer of them.
LOOP_REPLICATES = 4

WHAT = (
    "Training throughput of R = 32 replicates. `ours` is the engine on the path it chooses by itself, `ours eager` on its general one. "
    "For ours `seconds` is the engine's clock train_seconds (batches drawn and gathered, forward, backward, update), and `wall` the whole "
    "call of train_block with its two evaluations of the whole dataset; the rivals do not evaluate, their `seconds` is wall time of "
    "training, batches drawn included, models built and code compiled before. The loop trains 4 of the 32 networks, its cost being per "
    "network. Every process has one thread and a core of its own, except that `jax default` uses JAX's threads on all cores. Contestants "
    "of two processes train R replicates in each, released together, and their time is the slower one's. `cpu` is processor time over the "
    "whole call and `processor_share` its median share of the call: below 1 for one thread says that the machine was busy. Figures by "
    "processor time rest on it, ours reduced to the clock's share of the call; they are the steadier ones on a busy machine."
)


def contestants(with_jax: bool) -> list[Contestant]:
    """Everybody, in the order of a round."""
    cores = min(2, os.cpu_count() or 1)
    everybody = [
        Contestant("ours", "ours"),
        Contestant("ours eager", "ours", job={"path": "eager"}),
        Contestant("loop", "loop", job={"replicates": LOOP_REPLICATES}),
        Contestant("sgemm", "sgemm"),
        Contestant("ours ×2", "ours", cores),
        Contestant("sgemm ×2", "sgemm", cores),
    ]
    if with_jax:
        one = ONE_THREAD | JAX_ONE_THREAD
        everybody += [
            Contestant("jax", "jax", 1, one),
            Contestant("jax ×2", "jax", cores, one),
            Contestant("jax default", "jax", 1, {}, pinned=False),
        ]
    return everybody


def export(workload: Workload, examples: int | None, folder: Path) -> tuple[str, str]:
    """Write the data for the rivals; return its name, and which way the engine trains on it."""
    import torch

    dataset = dataset_of(workload, examples)
    data = dataset.tensors(torch.device("cpu"), torch.float32)
    np.save(folder / f"{workload.data}.x.npy", data.train_x.numpy())
    np.save(folder / f"{workload.data}.y.npy", data.train_y.numpy())
    return f"{dataset.name}, {len(dataset.train_x)} training examples", path_taken(block_of(workload, REPLICATES, 1), dataset)


def check_agreement(workload: Workload, everybody: Sequence[Contestant], folder: Path) -> dict[str, Any]:
    """Largest relative difference of the losses of each rival from ours. Raises ValueError where one trains another model."""
    path = folder / f"{workload.name}.problem.npz"
    before, after = write_problem(workload, path)
    found = {}
    for contestant in everybody:
        if contestant.kind in ("loop", "jax") and contestant.kind not in found:
            theirs = contestant.workers[0].ask(agree=str(path), workload=workload.name)["losses"]
            found[contestant.kind] = float(f"{deviation(before, after, theirs):.1e}")
    return {"steps": STEPS, "tolerance": TOLERANCE, "largest_relative_difference": found}


def assess(workload: Workload, timed: Mapping[str, Mapping[str, Sequence[float]]], processes: Mapping[str, int]) -> dict[str, Any]:
    """Rates, ratios and shares of the peak from the rounds of one workload. ``timed``: {contestant: {clock: seconds}}."""
    table: dict[str, Any] = {}
    speed: dict[str, dict[str, float]] = {}
    peak: dict[str, dict[str, float]] = {}

    def work_of(name: str) -> int:
        return workload.steps * (LOOP_REPLICATES if name == "loop" else REPLICATES)

    for name, readings in timed.items():
        seconds = summary(readings["seconds"])
        share_of_call = processor_share(readings)
        table[name] = {"processes": processes[name], "seconds": seconds, "other_clocks": clocks(readings), "processor_share": share_of_call}
        if name.startswith("sgemm"):
            peak[name] = rates(processes[name] * PEAK_FLOPS / 1e9, seconds)
            table[name]["gflops_per_second"] = peak[name]
        else:
            work = processes[name] * work_of(name)
            speed[name] = rates(work, seconds)
            table[name]["replicate_steps_per_second"] = speed[name]
            table[name]["gflops_per_second"] = rates(work * workload.flops / 1e9, seconds)

    def share(name: str, of: str) -> dict[str, float]:
        return {kind: significant(table[name]["gflops_per_second"][kind] / peak[of][kind]) for kind in STATISTICS}

    compared = {"ours / loop": ratios(speed["ours"], speed["loop"]), "ours / ours eager": ratios(speed["ours"], speed["ours eager"])}
    checks = [targets.LOOP[workload.name].check(compared["ours / loop"]["minimum"])]
    rivals = {name: rate for name, rate in speed.items() if name.startswith("jax")}
    if rivals:
        best = fastest(rivals)
        compared["ours / jax"] = ratios(speed["ours"], speed["jax"])
        compared[f"ours ×2 / best jax ({best})"] = ratios(speed["ours ×2"], speed[best])
        checks.append(targets.JAX_ONE.check(compared["ours / jax"]["minimum"]))
        checks.append(targets.JAX_BEST[workload.name].check(speed["ours ×2"]["minimum"] / speed[best]["minimum"]))
    # on a busy machine the steadier comparison, for single processes of one thread
    single = [name for name in timed if processes[name] == 1 and name != "jax default"]
    spent = {name: processor_seconds(timed[name]) for name in single}
    cost = {name: spent[name] / work_of(name) for name in single if name in speed}
    by_processor = {f"ours / {name}": significant(cost[name] / cost["ours"]) for name in cost if name != "ours"}
    full = PEAK_FLOPS / spent["sgemm"]
    share_by_processor = {name: significant(workload.flops / cost[name] / full) for name in cost}
    alone = [name for name in ("ours", "ours eager", "loop", "jax") if name in speed]
    shares = {name: share(name, "sgemm") for name in alone}
    if workload.name != "digits":
        checks.append(targets.GEMM.check(shares["ours"]["minimum"]))
    shares |= {name: share(name, "sgemm ×2") for name in ("ours ×2", "jax ×2") if name in speed}
    return {
        "contestants": table,
        "ratios": compared,
        "ratios_by_processor_time": by_processor,
        "share_of_sgemm_peak": shares,
        "share_of_sgemm_peak_by_processor_time": share_by_processor,
        "targets": checks,
    }


def main(arguments: Sequence[str]) -> int:
    """Measure, check, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.compare", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/engine.json"))
    parser.add_argument("--rounds", type=int, default=15, help="rounds of the small workload; the large ones take a third of it")
    parser.add_argument("--examples", type=int, default=None, help="cut the data to so many, for a quick look: evaluating all takes long")
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    options = parser.parse_args(arguments)

    started = environment()
    if version("jax") is None:
        print("JAX is not installed: it is left out (extra `bench`)", file=sys.stderr)
    body: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        everybody = [stack.enter_context(one) for one in contestants(version("jax") is not None)]
        processes = {one.name: one.processes for one in everybody}
        for name in options.workloads:
            workload = WORKLOADS[name]
            data, path = export(workload, options.examples, folder)
            agreed = check_agreement(workload, everybody, folder)
            print(f"{name}: rivals agree, {agreed['largest_relative_difference']}", file=sys.stderr)
            job = {"workload": name, "steps": workload.steps, "folder": str(folder), "examples": options.examples}
            for one in everybody:
                one.prepare(name, replicates=REPLICATES, **job)
            rounds = options.rounds if workload.data == "digits" else max(1, options.rounds // 3)
            timed = {one: readings for (one, _), readings in alternate([(one, name) for one in everybody], rounds).items()}
            facts = {
                "layers": list(workload.sizes),
                "batch": workload.batch,
                "replicates": REPLICATES,
                "steps": workload.steps,
                "data": data,
                "path": path,
                "flops_per_replicate_step": workload.flops,
                "agreement": agreed,
            }
            body[name] = facts | assess(workload, timed, processes)
            print(f"{name}: {body[name]['ratios']}", file=sys.stderr)
            # after each workload, so that an interrupted run keeps what it has
            write(options.out, WHAT, command("tests.bench.compare", arguments), started, {"workloads": body})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
