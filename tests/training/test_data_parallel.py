"""A block whose batches are shared by processes, against the same block in one process: every curve and final value of every probe.

Over gloo on the CPU. In float64 the two differ by the order of additions alone, so 50 steps leave them within 1e-9.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from inspect import signature

import numpy as np
import pytest
import torch

from suite.config.numeric import Numeric
from suite.config.schema import Data, Engine, Model, Optimizer, Probes, Remedy, Start, Train
from suite.data import load
from suite.execution.crew import Crew
from suite.nets.norms import batch_statistics, shared_statistics
from suite.training.data_parallel import ParallelSteps, why_not_parallel
from suite.training.eager import EagerSteps
from suite.training.engine import train_block
from suite.training.ranks import Ranks
from suite.vocabulary import Block, Condition, Trace

# a batch of 16 does not divide evenly among three, one of 15 not among two
MLP = Numeric(
    "float64",
    Data(subset=90),
    Model(hidden=[12, 8]),
    Start(),
    Optimizer(momentum=0.9, weight_decay=0.01),
    Train(50, 15),
    Probes("full", 10, ["zeros", "layer_gradients"]),
    Engine("eager"),
)
CNN = replace(MLP, model=Model("cnn", hidden=[8], channels=[4, 3]))
VARIANTS = {
    "mlp": MLP,
    "cnn": CNN,
    "mlp_batchnorm": replace(MLP, model=Model(hidden=[12, 8], norm="batch"), probes=Probes("full", 10, ["batchnorm_bound"])),
    "cnn_batchnorm": replace(
        CNN, model=Model("cnn", channels=[4], norm="batch", norm_position="after"), train=Train(20, 15), probes=Probes("full", 10)
    ),
    "cropped_and_mirrored": replace(CNN, data=Data(subset=90, crop=1, flip=True), train=Train(20, 15), probes=Probes("full", 10)),
    "resnet": replace(
        MLP, model=Model("resnet18", width=2, depth=1, norm="batch"), train=Train(6, 15), probes=Probes("default", 3), data=Data(subset=40)
    ),
    "adam_clipped_warm": replace(MLP, optimizer=Optimizer("adam", 0.01), train=Train(50, 15, warmup=10, clip=0.5)),
    "killed_then_bumped": replace(
        MLP, start=Start("killed", margin=0.02, after=10), remedy=Remedy("bias_bump", at=20), probes=Probes("full", 10)
    ),
    "full_batch_regression": replace(
        MLP, data=Data("teacher", examples=40, features=5), train=Train(30, None, "squared_error"), probes=Probes("full", 10)
    ),
    "new_pixels": replace(MLP, data=Data(subset=90, shift="permuted_pixels"), train=Train(40, 15, tasks=2), probes=Probes("full", 10)),
}


def block(numeric: Numeric, count: int = 3, ranks: int = 1, first: int = 1) -> Block:
    return Block(Condition("c", {}, asdict(numeric)), first, count, 5, "cpu", ranks)


def alone(numeric: Numeric, count: int = 3) -> Trace:
    return train_block(block(numeric, count), load(numeric.data, "data"))


def close(one: Trace, other: Trace, rtol: float, atol: float, without: str | None = None) -> None:
    np.testing.assert_array_equal(one.steps, other.steps)
    np.testing.assert_array_equal(one.diverged_at, other.diverged_at)
    for kind in ("curves", "finals"):
        assert getattr(one, kind).keys() == getattr(other, kind).keys()
        for name, values in getattr(one, kind).items():
            if without is not None and without in name:
                continue
            np.testing.assert_allclose(getattr(other, kind)[name], values, rtol=rtol, atol=atol, err_msg=name)


@pytest.fixture(scope="module")
def two():
    crew = Crew(2, "cpu")
    yield crew
    crew.stop()


@pytest.mark.parametrize("name", VARIANTS)
def test_two_processes_tell_what_one_tells_in_float64(two, name):
    numeric = VARIANTS[name]
    together = two.train(block(numeric, ranks=2), "data")
    serial = alone(numeric)
    # BatchNorm centres what it passes back: a constant pixel's gradient is zero but for rounding, and exactly so or not by chance
    close(serial, together, 1e-9, 1e-9, "grad_zero_fraction" if numeric.model.norm == "batch" else None)
    # two ways, not one taken twice: somewhere a last bit differs
    assert any(not np.array_equal(values, together.curves[key], equal_nan=True) for key, values in serial.curves.items())


@pytest.mark.parametrize("model", [Model(hidden=[12, 8]), Model("cnn", channels=[4], hidden=[8])], ids=["mlp", "cnn"])
def test_in_float32_to_its_tolerance(two, model):
    numeric = replace(MLP, precision="float32", model=model, probes=Probes("economy", 10), optimizer=Optimizer(momentum=0.5))
    close(alone(numeric), two.train(block(numeric, ranks=2), "data"), 2e-4, 2e-5)


def test_divergence_is_seen_at_the_same_step(two):
    numeric = replace(MLP, optimizer=Optimizer(lr=1e200), probes=Probes("default", 10))
    together = two.train(block(numeric, ranks=2), "data")
    assert (together.diverged_at >= 0).all()
    np.testing.assert_array_equal(together.diverged_at, alone(numeric).diverged_at)


def test_steps_are_reported_once(two):
    told: list[tuple[int, float | None]] = []
    two.train(block(MLP, ranks=2), "data", lambda steps, dead: told.append((steps, dead)))
    assert [steps for steps, _ in told] == [30] * 5
    assert all(dead is not None and 0 <= dead <= 1 for _, dead in told)


def test_a_replicate_has_the_same_bits_alone_and_in_company():
    """Three processes, whose sums a ring would order by an element's place in the buffer."""
    numeric = replace(MLP, precision="float32", train=Train(20, 16))
    crew = Crew(3, "cpu")
    try:
        company = crew.train(block(numeric, count=5, ranks=3, first=0), "data")
        pair = crew.train(block(numeric, count=2, ranks=3, first=1), "data")
        single = crew.train(block(numeric, count=1, ranks=3, first=2), "data")
    finally:
        crew.stop()
    for name, values in company.curves.items():
        np.testing.assert_array_equal(values[1:3], pair.curves[name], err_msg=name)
        np.testing.assert_array_equal(values[2:3], single.curves[name], err_msg=name)


def test_shared_moments_are_those_of_all_rows_and_so_are_their_gradients():
    """Two slices held by one process: the sum over both stands in for the exchange."""
    rows = (torch.randn(2, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 100).requires_grad_()
    mean, var = batch_statistics(rows)
    whole = torch.autograd.grad((mean.square() + var.exp()).sum(), rows)[0]
    slices = [rows[:, :4].detach().requires_grad_(), rows[:, 4:].detach().requires_grad_()]
    count = 7
    centre = sum(part.sum(dim=1) for part in slices) / count
    # the other slice's share of each of the two sums, in the order they are asked for
    shares = [torch.cat([slices[1].sum(dim=1).flatten(), torch.tensor([3.0], dtype=torch.float64)])]
    shares.append((slices[1] - centre[:, None, :]).square().sum(dim=1))
    left = iter(shares)
    found_mean, found_var, found_count = shared_statistics(slices[0], lambda own: own + next(left))
    assert float(found_count) == count
    torch.testing.assert_close(found_mean, mean.detach(), rtol=1e-14, atol=0)
    torch.testing.assert_close(found_var, var.detach(), rtol=1e-12, atol=0)
    grads = torch.autograd.grad((found_mean.square() + found_var.exp()).sum(), slices)
    torch.testing.assert_close(torch.cat(grads, dim=1), whole, rtol=1e-10, atol=1e-12)


def test_the_shared_steps_take_whatever_the_eager_ones_take():
    """What is added to a step must reach the slices too, or be refused."""
    assert signature(EagerSteps).parameters.keys() | {"ranks"} == signature(ParallelSteps).parameters.keys()


def test_shares_cut_every_batch_once():
    for batch in (4, 7, 64):
        shares = [Ranks(rank, 3).share(batch) for rank in range(3)]
        assert [index for share in shares for index in range(batch)[share]] == list(range(batch))
        sizes = [share.stop - share.start for share in shares]
        assert max(sizes) - min(sizes) <= 1
        assert tuple(sizes) == Ranks(0, 3).sizes(batch)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"optimizer": Optimizer("newton")}, "optimizer.name=newton needs the whole batch's curvature; take sgd or adam"),
        ({"precision": "bfloat16"}, "rounded to bfloat16; take precision=float32"),
        ({"engine": Engine("native")}, "engine.path=native runs in one process"),
        ({"remedy": Remedy("continual_backprop")}, "remedy=continual_backprop"),
        ({"probes": Probes(extra=["timing"])}, "reads the clock of one process"),
        ({"train": Train(10, 3)}, "a batch of 3 does not divide among 4 processes; take executor.data_parallel=3 at most"),
        ({"data": Data(subset=3), "train": Train(10, None)}, "a batch of 3 does not divide"),
    ],
)
def test_what_cannot_be_shared_is_refused(changed, reason):
    assert why_not_parallel(MLP, 90, 4) is None
    numeric = replace(MLP, **changed)
    assert reason in str(why_not_parallel(numeric, numeric.data.subset or 90, 4))
