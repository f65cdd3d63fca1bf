"""Larger blocks first; a worker per GPU, each seeing its own; impossible devices refused."""

from __future__ import annotations

import os

import pytest
import torch
from small_blocks import config

from suite.config.schema import Executor
from suite.execution.order import largest_first, places, work
from suite.execution.worker import Worker
from suite.vocabulary import Block, Condition, RequestError


def test_larger_blocks_go_first():
    conditions = {"small": config(20, 8), "large": config(20, 64), "longer": config(4000, 8)}
    mixed = [Block(Condition(name, {}, settings), 0, 2, 3, "cpu") for name, settings in conditions.items()]
    assert [block.condition.name for block in largest_first(mixed)] == ["longer", "large", "small"]
    # 64·8 + 8·10 products of neighbouring widths, 20 steps, 2 replicates
    assert work(mixed[0]) == 20 * 2 * (64 * 8 + 8 * 10)
    # channels count as widths of layers that come first
    convolved = config(20, 8) | {"model": {**config(20, 8)["model"], "name": "cnn", "channels": [16]}}
    assert work(Block(Condition("cnn", {}, convolved), 0, 2, 3, "cpu")) == 20 * 2 * (64 * 16 + 16 * 8 + 8 * 10)
    residual = config(20, 8) | {"model": {"hidden": [], "name": "resnet18", "width": 2, "depth": 1}}
    products = 64 * 2 + 2 * 2 + 2 * 4 + 4 * 4 + 4 * 8 + 8 * 8 + 8 * 16 + 16 * 16 + 16 * 10
    assert work(Block(Condition("resnet18", {}, residual), 0, 2, 3, "cpu")) == 20 * 2 * products


@pytest.mark.parametrize(
    ("executor", "device", "expected"),
    [
        (Executor("local"), "cpu", [(), (), ()]),
        (Executor("local", workers=2, devices=[1]), "cpu", [(), ()]),
        (Executor("local", workers=1), "cuda", [(0,), (1,), (2,), (3,)]),
        (Executor("local", devices=2), "cuda", [(0,), (1,)]),
        (Executor("local", devices=[3, 1]), "cuda", [(3,), (1,)]),
        (Executor("local", data_parallel=2), "cpu", [()]),
        (Executor("local", data_parallel=8), "cpu", [()]),
        (Executor("local", data_parallel=2), "cuda", [(0, 1), (2, 3)]),
        (Executor("local", data_parallel=2, devices=[3, 0, 2]), "cuda", [(3, 0)]),
    ],
)
def test_a_worker_per_core_or_per_gpu_asked_for(monkeypatch, executor, device, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert places(executor, device, cores=3) == expected


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(RequestError, match=r"executor\.devices=\[0, 2\]: there is no GPU 2; this machine has 2"):
        places(Executor("local", devices=[0, 2]), "cuda", cores=3)


def test_too_few_gpus_for_one_worker(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with pytest.raises(RequestError, match=r"executor\.data_parallel=3 takes 3 GPUs, and executor\.devices=2 has 2"):
        places(Executor("local", data_parallel=3, devices=2), "cuda", cores=3)


def test_a_worker_sees_its_own_gpus():
    workers = [Worker([3, 0]), Worker([1])]
    try:
        assert [worker.result(worker.submit(os.getenv, "CUDA_VISIBLE_DEVICES")) for worker in workers] == ["3,0", "1"]
    finally:
        for worker in workers:
            worker.stop()
