"""How a device is settled: deterministic and without TF32 on CUDA, untouched for the CPU. The flags can be set where there is no GPU."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch

from suite.execution.attempt import attempt
from suite.training.device import settle, settled_flags
from tests.small_blocks import blocks


@pytest.fixture(autouse=True)
def as_torch_has_it(monkeypatch):
    """Flags as a fresh process has them, and as they were afterwards."""
    switches = (torch.backends.cudnn, "allow_tf32"), (torch.backends.cuda.matmul, "allow_tf32"), (torch.backends.cudnn, "benchmark")
    before = [getattr(*switch) for switch in switches]
    strict = torch.are_deterministic_algorithms_enabled()
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    for owner, name in switches:
        setattr(owner, name, True)
    torch.use_deterministic_algorithms(False)
    yield
    torch.use_deterministic_algorithms(strict)
    for (owner, name), value in zip(switches, before, strict=True):
        setattr(owner, name, value)


def test_cuda_is_deterministic_and_in_full_float32():
    assert settled_flags() == {"deterministic_algorithms": False, "tf32": True}
    settle("cuda:1")
    assert torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.benchmark
    # torch refuses cuBLAS under deterministic algorithms without one of two such values (notes on reproducibility)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] in (":4096:8", ":16:8")
    assert settled_flags() == {"deterministic_algorithms": True, "tf32": False}


def test_the_cpu_is_left_alone():
    settle("cpu")
    assert settled_flags() == {"deterministic_algorithms": False, "tf32": True}
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_every_block_for_a_gpu_settles_it_in_whatever_process_it_is_trained():
    attempt(replace(blocks(1)[0], device="cuda"), "data")
    assert settled_flags() == {"deterministic_algorithms": True, "tf32": False}
