"""Settles how a device computes before anything is trained on it. Knows no network."""

from __future__ import annotations

import os

import torch


def settle(device: str) -> None:
    """For CUDA: deterministic algorithms only, products and convolutions in full float32 instead of TF32. To be called before anything
    touches the device; changes nothing for the CPU, where every kernel used is deterministic and the switch only costs (it
    imports the compiler). Unsettled, torch lets cuDNN use TF32, whose products keep 10 of 23 bits.
    """
    if torch.device(device).type != "cuda":
        return
    # cuBLAS reads it when it is first used; without a fixed workspace its products may differ from call to call, and torch refuses them
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def settled_flags() -> dict[str, bool]:
    """What is switched on, for the record."""
    return {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "tf32": torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32,
    }
