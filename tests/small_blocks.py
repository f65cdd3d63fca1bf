"""A few small blocks of one study, and their traces as this process makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from suite.config.numeric import Numeric
from suite.config.schema import Data, Engine, Model, Optimizer, Probes, Start, Train
from suite.data import load
from suite.training.engine import train_block
from suite.vocabulary import Block, Condition, Trace


def config(steps: int = 20, width: int = 8) -> dict[str, Any]:
    model, train, probes = Model(hidden=[width]), Train(steps=steps, batch_size=16), Probes(every=10)
    return asdict(Numeric("float32", Data(), model, Start(), Optimizer(), train, probes, Engine("eager")))


def blocks(count: int = 3) -> list[Block]:
    """Of one condition, two replicates each."""
    condition = Condition("plain", {}, config())
    return [Block(condition, 2 * number, 2, 3, "cpu") for number in range(count)]


def expected(of: list[Block]) -> dict[int, Trace]:
    """By the first replicate."""
    return {block.first: train_block(block, load(Data(), "data")) for block in of}


def assert_same(trace: Trace, other: Trace) -> None:
    """To the last bit."""
    assert trace.curves.keys() == other.curves.keys()
    for name, curve in trace.curves.items():
        np.testing.assert_array_equal(curve.view(np.int64), other.curves[name].view(np.int64), err_msg=name)
    for name, final in trace.finals.items():
        np.testing.assert_array_equal(final.view(np.int64), other.finals[name].view(np.int64), err_msg=name)
    np.testing.assert_array_equal(trace.diverged_at, other.diverged_at)


def taking(of: list[Block]) -> Callable[[], Block | None]:
    """Hands them out one by one."""
    left = list(of)
    return lambda: left.pop(0) if left else None
