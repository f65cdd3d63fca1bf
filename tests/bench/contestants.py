"""Who is timed: each makes, from a job, a call that trains once and says how long that took. Imports a rival only when asked.

A job is {workload, replicates, steps, folder, examples}; the folder holds the data as arrays, so that a rival's process never
imports the suite and runs with the libraries' own settings.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.workloads import WORKLOADS

Call = Callable[[], dict[str, float]]

#: Products in one timed call of the peak.
PEAK_SIZE, PEAK_PRODUCTS = 1024, 8
PEAK_FLOPS = 2 * PEAK_SIZE**3 * PEAK_PRODUCTS


def arrays(job: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Inputs [example, feature] float32 and labels [example] int64 as the parent wrote them."""
    folder = Path(job["folder"])
    name = WORKLOADS[job["workload"]].data
    return np.load(folder / f"{name}.x.npy"), np.load(folder / f"{name}.y.npy")


def ours(job: Mapping[str, Any]) -> Call:
    """The suite's engine. The set-up is warmed on a sliver of the data, since evaluating all of it takes long."""
    import torch

    from tests.bench.engine import block_of, calls_of, dataset_of, timed_call

    torch.set_num_threads(1)
    workload = WORKLOADS[job["workload"]]
    block = block_of(workload, job["replicates"], job["steps"], job.get("tier", "economy"), job.get("every"), job.get("path", "auto"))
    timed_call(block, dataset_of(workload, 4 * workload.batch))
    return calls_of(block, dataset_of(workload, job["examples"]))


def loop(job: Mapping[str, Any]) -> Call:
    """Plain torch, one network after another."""
    import torch

    from tests.bench.rivals import torch_loop

    torch.set_num_threads(1)
    workload = WORKLOADS[job["workload"]]
    x, y = (torch.from_numpy(part) for part in arrays(job))

    def call(replicates: int, steps: int) -> dict[str, float]:
        models = []
        for seed in range(replicates):
            torch.manual_seed(seed)
            models.append(torch_loop.mlp(workload.sizes))
        began = time.perf_counter()
        for seed, model in enumerate(models):
            torch.manual_seed(seed)
            batches = torch_loop.shuffled_batches(len(x), workload.batch, steps)
            torch_loop.train(model, x, y, batches, workload.lr, workload.momentum)
        return {"seconds": time.perf_counter() - began}

    call(1, 3)
    return lambda: call(job["replicates"], job["steps"])


def jax(job: Mapping[str, Any]) -> Call:
    """JAX, all networks at once; compiled before it is timed."""
    import jax

    from tests.bench.rivals import jax_stack

    workload = WORKLOADS[job["workload"]]
    x, y = (jax.numpy.asarray(part) for part in arrays(job))
    params = jax_stack.init(0, job["replicates"], workload.sizes)
    seeds = itertools.count()

    def call() -> dict[str, float]:
        began = time.perf_counter()
        order = jax_stack.shuffled_batches(next(seeds), job["replicates"], len(x), workload.batch, job["steps"])
        jax.block_until_ready(jax_stack.train(params, x, y, order, workload.lr, workload.momentum))
        return {"seconds": time.perf_counter() - began}

    call()
    return call


def sgemm(job: Mapping[str, Any]) -> Call:
    """What the processor can do at best: products of two 1024 × 1024 float32 matrices."""
    import torch

    torch.set_num_threads(1)
    a, b = torch.rand(2, PEAK_SIZE, PEAK_SIZE)
    out = torch.mm(a, b)

    def call() -> dict[str, float]:
        began = time.perf_counter()
        for _ in range(PEAK_PRODUCTS):
            torch.mm(a, b, out=out)
        return {"seconds": time.perf_counter() - began}

    return call


CONTESTANTS: dict[str, Callable[[Mapping[str, Any]], Call]] = {"ours": ours, "loop": loop, "jax": jax, "sgemm": sgemm}
