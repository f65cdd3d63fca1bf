"""The engine under its public face: a workload as a block, its data, and one timed call. Knows nothing of the rivals."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np

from suite.config.numeric import Numeric
from suite.config.schema import Data, Engine, Model, Optimizer, Probes, Start, Train
from suite.data import Dataset, load
from suite.training.engine import network_of, train_block
from suite.training.paths import path_of
from suite.vocabulary import Block, Condition, RequestError
from tests.bench.workloads import Workload

SEED = 0


def dataset_of(workload: Workload, examples: int | None = None, data_dir: str = "data") -> Dataset:
    """The workload's data, training and test set cut to ``examples`` where they are larger. Where Fashion-MNIST is not to be had:
    random bytes of the same shape.
    """
    try:
        data = load(Data(name=workload.data), data_dir)
    except RequestError:
        rng = np.random.default_rng(SEED)
        images = [rng.integers(0, 256, (count, workload.sizes[0]), dtype=np.uint8) for count in (60_000, 10_000)]
        labels = [rng.integers(0, workload.sizes[-1], len(part)) for part in images]
        data = Dataset(
            "random bytes", images[0], labels[0], images[1], labels[1], workload.sizes[-1], (28, 28), scale=255.0, mean=0.5, std=0.289
        )
    if examples is None or examples >= len(data.train_x):
        return data
    part = slice(examples)
    return replace(data, train_x=data.train_x[part], train_y=data.train_y[part], test_x=data.test_x[part], test_y=data.test_y[part])


def block_of(workload: Workload, replicates: int, steps: int, tier: str = "economy", every: int | None = None, path: str = "auto") -> Block:
    """Replicates 0 … of the workload. Without ``every`` nothing is observed between the start and the end. ``path`` is the way
    through the engine: auto, eager or native.
    """
    numeric = Numeric(
        "float32",
        Data(name=workload.data),
        Model(hidden=list(workload.hidden)),
        Start(),
        Optimizer(lr=workload.lr, momentum=workload.momentum),
        Train(steps=steps, batch_size=workload.batch),
        Probes(tier=tier, every=every or steps),
        Engine(path),
    )
    return Block(Condition(workload.name, {}, asdict(numeric)), 0, replicates, SEED, "cpu")


def path_taken(block: Block, dataset: Dataset) -> str:
    """Which way the engine trains this block here: native needs a compiler."""
    numeric = Numeric.of(block.condition.config)
    return path_of(numeric, network_of(numeric, dataset), block.device)


def calls_of(block: Block, dataset: Dataset) -> Callable[[], dict[str, float]]:
    """Timed calls, each with a study seed of its own: the engine keeps batch orders for the next condition of the same
    seed, and a second call would find them drawn.
    """
    seeds = itertools.count(block.seed + 1)
    return lambda: timed_call(replace(block, seed=next(seeds)), dataset)


def timed_call(block: Block, dataset: Dataset) -> dict[str, float]:
    """One call of ``train_block``, in seconds: ``seconds`` is the engine's own clock for training (batches drawn and gathered,
    forward, backward, update), ``wall`` the whole call with its evaluations and set-up.
    """
    began = time.perf_counter()
    trace = train_block(block, dataset)
    wall = time.perf_counter() - began
    if (trace.diverged_at >= 0).any():
        raise ArithmeticError(f"{block.condition.name}: a replicate diverged; what was timed is not training")
    return {
        "seconds": trace.timings["train_seconds"],
        "probes": trace.timings["probe_seconds"],
        "evaluation": trace.timings.get("evaluate_seconds", 0.0),
        "wall": wall,
    }
